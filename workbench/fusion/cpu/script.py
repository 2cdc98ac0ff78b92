"""Loops of one chunk each, and copies of memory, one after another without Python between them."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from typing import Any

from workbench.fusion.cpu.written import function

__all__ = ["Script"]

_TEXT = """declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define i64 @play(ptr %script, i64 %count) nounwind {
entry:
  %some = icmp sgt i64 %count, 0
  br i1 %some, label %line, label %done
line:
  %i = phi i64 [ 0, %entry ], [ %next, %again ]
  %at = getelementptr [8 x i64], ptr %script, i64 %i
  %w0 = load i64, ptr %at, align 8
  %a1 = getelementptr i64, ptr %at, i64 1
  %p1 = load ptr, ptr %a1, align 8
  %a2 = getelementptr i64, ptr %at, i64 2
  %p2 = load ptr, ptr %a2, align 8
  %a3 = getelementptr i64, ptr %at, i64 3
  %w3 = load i64, ptr %a3, align 8
  %copies = icmp eq i64 %w0, 0
  br i1 %copies, label %copy, label %call
copy:
  call void @llvm.memcpy.p0.p0.i64(ptr %p1, ptr %p2, i64 %w3, i1 false)
  br label %again
call:
  %f = inttoptr i64 %w0 to ptr
  %s = inttoptr i64 %w3 to ptr
  %a4 = getelementptr i64, ptr %at, i64 4
  %lo = load i64, ptr %a4, align 8
  %a5 = getelementptr i64, ptr %at, i64 5
  %hi = load i64, ptr %a5, align 8
  %a6 = getelementptr i64, ptr %at, i64 6
  %from = load i64, ptr %a6, align 8
  %a7 = getelementptr i64, ptr %at, i64 7
  %to = load i64, ptr %a7, align 8
  call void %f(ptr %p1, ptr %p2, ptr %s, i64 %lo, i64 %hi, i64 %from, i64 %to)
  br label %again
again:
  %next = add i64 %i, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %line, label %done
done:
  ret i64 0
}
"""


@functools.cache
def _play() -> Any:
    return function(_TEXT, "play", 2)


class Script:
    """What is done in one call: loops over a chunk of theirs, and copies.

    Attributes
    ----------
    words : array of int64
        Eight for each line. Who builds the script may change an address between two calls.
    """

    def __init__(self) -> None:
        self.words = array("q")
        self._keep: list[Any] = []

    def call(self, function: int, table: int, record: int, scratch: int, chunk: Sequence[int], keep: Any) -> None:
        """Add a loop.

        Parameters
        ----------
        function, table, record, scratch : int
            Addresses.
        chunk : sequence of int
            Rows from and to, then points of the last dimension from and to.
        keep : object
            What these addresses are of.
        """
        self.words.extend((function, table, record, scratch, *chunk))
        self._keep.append(keep)

    def copy(self, to: int, source: int, nbytes: int, keep: Any) -> int:
        """Add a copy of bytes between addresses; return which word is where they go."""
        self.words.extend((0, to, source, nbytes, 0, 0, 0, 0))
        self._keep.append(keep)
        return len(self.words) - 7

    def __call__(self) -> None:
        """Do it."""
        address, count = self.words.buffer_info()
        _play()(address, count // 8)
