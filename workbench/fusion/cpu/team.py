"""Chunks on the threads of torch's own operators, which are OpenMP's.

Between two operators those threads wait by spinning, for as long as a millisecond: threads of ours beside them would
share the processors with that. Whoever is free takes the next chunks; results do not depend on who took them.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from workbench.fusion.cpu import machine, objects

__all__ = ["Team", "here"]

# what the threads share: a function, its table and records, the width of a record, the chunks' bounds, a chunk to begin
# with and one to end before, how many a turn takes, the next chunk, what tells a thread's number, memory for each
_TEXT = """define void @work(ptr %team) nounwind {
entry:
  %f.at = getelementptr i64, ptr %team, i64 0
  %f = load ptr, ptr %f.at, align 8
  %t.at = getelementptr i64, ptr %team, i64 1
  %t = load ptr, ptr %t.at, align 8
  %p.at = getelementptr i64, ptr %team, i64 2
  %p = load ptr, ptr %p.at, align 8
  %width.at = getelementptr i64, ptr %team, i64 3
  %width = load i64, ptr %width.at, align 8
  %chunks.at = getelementptr i64, ptr %team, i64 4
  %chunks = load ptr, ptr %chunks.at, align 8
  %next.at = getelementptr i64, ptr %team, i64 5
  %end.at = getelementptr i64, ptr %team, i64 6
  %end = load i64, ptr %end.at, align 8
  %many.at = getelementptr i64, ptr %team, i64 7
  %many = load i64, ptr %many.at, align 8
  %number.at = getelementptr i64, ptr %team, i64 8
  %number = load ptr, ptr %number.at, align 8
  %who32 = call i32 %number()
  %who = sext i32 %who32 to i64
  %mine = add i64 %who, 9
  %s.at = getelementptr i64, ptr %team, i64 %mine
  %s = load ptr, ptr %s.at, align 8
  br label %turn
turn:
  %k = atomicrmw add ptr %next.at, i64 %many monotonic
  %some = icmp slt i64 %k, %end
  br i1 %some, label %take, label %done
take:
  %beyond = add i64 %k, %many
  %less = icmp slt i64 %beyond, %end
  %stop = select i1 %less, i64 %beyond, i64 %end
  br label %chunk
chunk:
  %i = phi i64 [ %k, %take ], [ %after, %chunk ]
  %offset = mul i64 %i, %width
  %record = getelementptr i8, ptr %p, i64 %offset
  %here = getelementptr [4 x i64], ptr %chunks, i64 %i
  %lo = load i64, ptr %here, align 8
  %hi.at = getelementptr i64, ptr %here, i64 1
  %hi = load i64, ptr %hi.at, align 8
  %from.here = getelementptr i64, ptr %here, i64 2
  %from = load i64, ptr %from.here, align 8
  %to.here = getelementptr i64, ptr %here, i64 3
  %to = load i64, ptr %to.here, align 8
  call void %f(ptr %t, ptr %record, ptr %s, i64 %lo, i64 %hi, i64 %from, i64 %to)
  %after = add i64 %i, 1
  %more = icmp slt i64 %after, %stop
  br i1 %more, label %chunk, label %turn
done:
  ret void
}
"""
_forked = False


def _fork() -> None:
    global _forked
    _forked = True  # a child has none of the parent's threads, and OpenMP does not know


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork)


class Team:
    """Threads that run the chunks of a loop together with the caller's.

    Parameters
    ----------
    library : ctypes.CDLL
        Where `GOMP_parallel` and `omp_get_thread_num` are.

    Attributes
    ----------
    calls : tuple of int

    Raises
    ------
    AttributeError
        If they are not there.
    """

    def __init__(self, library: Any) -> None:
        host = machine.host()
        content, _ = objects.get(_TEXT, host, lambda: _TEXT)
        self._code = machine.load(content, host)
        self._library = library
        self._number = ctypes.cast(library.omp_get_thread_num, ctypes.c_void_p).value
        kinds = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        self._start = ctypes.CFUNCTYPE(None, *kinds)(("GOMP_parallel", library))
        #: addresses of what starts threads, and of what each of them does with what they share
        self.calls = (ctypes.cast(self._start, ctypes.c_void_p).value or 0, self._code.address("work"))

    def run(
        self,
        function: int,
        table: int,
        records: tuple[int, int],
        bounds: int,
        chunks: tuple[int, int, int],
        scratches: Sequence[int],
    ) -> None:
        """Run chunks, on as many threads as there are scratches.

        Parameters
        ----------
        function, table : int
            Addresses.
        records : tuple of int
            Address, and bytes from one to the next: 0 where all chunks share one.
        bounds : int
            Address of the chunks' bounds.
        chunks : tuple of int
            The first, the one after the last, and how many a thread takes at a time.
        scratches : sequence of int
            Addresses of memory for tiles.
        """
        words = self.shared(function, table, records, bounds, chunks, scratches)
        self._start(self.calls[1], words.buffer_info()[0], len(scratches), 0)

    def shared(
        self,
        function: int,
        table: int,
        records: tuple[int, int],
        bounds: int,
        chunks: tuple[int, int, int],
        scratches: Sequence[int],
    ) -> array[int]:
        """Return what the threads of a run look at: `run` tells of the arguments."""
        return array("q", (function, table, *records, bounds, *chunks, self._number or 0, *scratches))


def here() -> Team | None:
    """Return the threads of torch's operators; None where torch is not loaded, or its threads are of another kind."""
    return None if _forked or "torch" not in sys.modules else _found()


@functools.cache
def _found() -> Team | None:
    torch = sys.modules["torch"]
    folder = os.path.join(os.path.dirname(torch.__file__ or ""), "lib")
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib"):
        try:
            return Team(ctypes.CDLL(os.path.join(folder, name)))  # with all that it stands on
        except (OSError, AttributeError):
            continue
    return None
