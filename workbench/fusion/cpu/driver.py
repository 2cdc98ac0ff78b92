"""Chunks one after another without Python between them: each time its code would have to come back to the caches."""

from __future__ import annotations

import ctypes
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion.cpu import machine, objects
from workbench.fusion.cpu.team import Team
from workbench.fusion.cpu.watch import watching

__all__ = ["Driver"]

#: seconds within which code may come back for an interrupt
PROMPT = 5e-3

_TEXT = """define void @drive(ptr %f, ptr %t, ptr %p, i64 %width, ptr %s, ptr %chunks, ptr %carried, i64 %many, i64 %k,
    i64 %end) nounwind {
entry:
  %some = icmp slt i64 %k, %end
  br i1 %some, label %chunk, label %done
chunk:
  %i = phi i64 [ %k, %entry ], [ %next, %call ]
  %offset = mul i64 %i, %width
  %record = getelementptr i8, ptr %p, i64 %offset
  %back = sub i64 0, %width
  %before = getelementptr i8, ptr %record, i64 %back
  %first = icmp eq i64 %i, 0
  %none = icmp eq i64 %many, 0
  %skip = or i1 %first, %none
  br i1 %skip, label %call, label %carry
carry:
  %j = phi i64 [ 0, %chunk ], [ %after, %carry ]
  %which = getelementptr i64, ptr %carried, i64 %j
  %slot = load i64, ptr %which, align 8
  %from.at = getelementptr i64, ptr %before, i64 %slot
  %word = load i64, ptr %from.at, align 8
  %to.at = getelementptr i64, ptr %record, i64 %slot
  store i64 %word, ptr %to.at, align 8
  %after = add i64 %j, 1
  %more = icmp slt i64 %after, %many
  br i1 %more, label %carry, label %call
call:
  %here = getelementptr [4 x i64], ptr %chunks, i64 %i
  %lo = load i64, ptr %here, align 8
  %hi.at = getelementptr i64, ptr %here, i64 1
  %hi = load i64, ptr %hi.at, align 8
  %from.here = getelementptr i64, ptr %here, i64 2
  %from = load i64, ptr %from.here, align 8
  %to.here = getelementptr i64, ptr %here, i64 3
  %to = load i64, ptr %to.here, align 8
  call void %f(ptr %t, ptr %record, ptr %s, i64 %lo, i64 %hi, i64 %from, i64 %to)
  %next = add i64 %i, 1
  %on = icmp slt i64 %next, %end
  br i1 %on, label %chunk, label %done
done:
  ret void
}
"""


@functools.cache
def _drive() -> Callable[..., None]:
    host = machine.host()
    content, _ = objects.get(_TEXT, host, lambda: _TEXT)
    words = [ctypes.c_void_p] * 3 + [ctypes.c_int64] + [ctypes.c_void_p] * 3 + [ctypes.c_int64] * 3
    found: Callable[..., None] = machine.load(content, host).function("drive", *words)
    return found


class Driver:
    """Calls a kernel's function for one chunk after another.

    Parameters
    ----------
    function : int
        Its address.
    table : int
        Address of the table that all chunks share.
    records : ndarray of int64, (chunks or 1, words)
        A record for each chunk; a single one is shared by all.
    chunks : list of tuple of int
        Their bounds.
    carried : list of int
        Words of the record that a chunk takes over from the one before.
    step : int
        How many chunks to begin with take no longer than an interrupt may wait.
    """

    def __init__(
        self,
        function: int,
        table: int,
        records: np.ndarray,
        chunks: list[tuple[int, int, int, int]],
        carried: list[int],
        step: int,
    ) -> None:
        self._keep: Any = (records, np.array(chunks, np.int64), np.array(carried, np.int64))
        self.function, self.table, self.records = function, table, records.ctypes.data
        self.width = records.strides[0] if len(records) > 1 else 0
        self.bounds, self.carried = self._keep[1].ctypes.data, self._keep[2].ctypes.data
        self.many = len(carried)
        self.step = step
        self.watch = watching.get()
        if self.watch is not None:
            self.watch.loop(len(chunks))

    def run(self, begin: int, end: int, scratch: int) -> None:
        """Run chunks `begin` to `end`, more and more at once while they are quick."""
        drive = _drive()
        while begin < end:
            stop = min(begin + self.step, end)
            start = time.perf_counter()
            drive(
                self.function, self.table, self.records, self.width, scratch, self.bounds, self.carried, self.many,
                begin, stop,
            )  # fmt: skip
            if stop - begin == self.step and time.perf_counter() - start < PROMPT / 2:
                self.step *= 2
            if self.watch is not None:
                self.watch.passed(stop - begin)
            begin = stop

    def share(self, team: Team, end: int, many: int, scratches: Sequence[int]) -> None:
        """Run chunks 0 to `end` on the threads of a team, of which each takes `many` at a time.

        It comes back for interrupts as `run` does.
        """
        begin, records = 0, (self.records, self.width)
        while begin < end:
            turn = many * max(1, self.step * len(scratches) // many)
            stop = min(begin + turn, end)
            start = time.perf_counter()
            team.run(self.function, self.table, records, self.bounds, (begin, stop, many), scratches)
            if stop - begin == turn and time.perf_counter() - start < PROMPT / 2:
                self.step *= 2
            begin = stop
