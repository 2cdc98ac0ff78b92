"""Loops, what their tables come to, and copies of memory, one after another without Python between them."""

from __future__ import annotations

import functools
from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.fusion.cpu.address import address
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
  switch i64 %w0, label %call [ i64 0, label %copy
    i64 -1, label %team ]
team:
  %g.at = getelementptr i64, ptr %at, i64 4
  %g = load ptr, ptr %g.at, align 8
  %w.at = getelementptr i64, ptr %at, i64 5
  %w = load ptr, ptr %w.at, align 8
  %n.at = getelementptr i64, ptr %p1, i64 5
  store i64 0, ptr %n.at, align 8
  %alone = icmp sle i64 %w3, 1
  br i1 %alone, label %one, label %all
one:
  call void %w(ptr %p1)
  br label %again
all:
  %threads = trunc i64 %w3 to i32
  call void %g(ptr %w, ptr %p1, i32 %threads, i32 0)
  br label %again
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


def _settling(table: str, out: str) -> str:
    """Return what adds up tables (sets, copies, keys): copies first, in order, which is the order of `combine.tables`.

    The function takes the result's address, the tables', that of the bytes from one set, copy and key to the next, and
    how many sets, copies and keys there are.
    """
    kind, made = _TYPES[table], _TYPES[out]
    add = "fadd" if kind in ("double", "float") else "add"
    last = "" if kind == made else f"  %rounded = fptrunc {kind} %sum to {made}\n"
    return f"""define void @settle(ptr %out, ptr %table, ptr %steps, i64 %sets, i64 %copies, i64 %keys, i64 %none)
    nounwind {{
entry:
  %by.set = load i64, ptr %steps, align 8
  %c.at = getelementptr i64, ptr %steps, i64 1
  %by.copy = load i64, ptr %c.at, align 8
  %k.at = getelementptr i64, ptr %steps, i64 2
  %by.key = load i64, ptr %k.at, align 8
  br label %key
key:
  %k = phi i64 [ 0, %entry ], [ %k.next, %end ]
  %k.off = mul i64 %k, %by.key
  %here = getelementptr i8, ptr %table, i64 %k.off
  br label %set
set:
  %s = phi i64 [ 0, %key ], [ %s.next, %merged ]
  %before = phi {kind} [ zeroinitializer, %key ], [ %sum, %merged ]
  %s.off = mul i64 %s, %by.set
  %first = getelementptr i8, ptr %here, i64 %s.off
  %x = load {kind}, ptr %first, align 1
  br label %copy
copy:
  %c = phi i64 [ 1, %set ], [ %c.next, %add ]
  %inner = phi {kind} [ %x, %set ], [ %y, %add ]
  %more = icmp slt i64 %c, %copies
  br i1 %more, label %add, label %all
add:
  %c.off = mul i64 %c, %by.copy
  %at = getelementptr i8, ptr %first, i64 %c.off
  %z = load {kind}, ptr %at, align 1
  %y = {add} {kind} %inner, %z
  %c.next = add i64 %c, 1
  br label %copy
all:
  %start = icmp eq i64 %s, 0
  %both = {add} {kind} %before, %inner
  br label %merged
merged:
  %sum = select i1 %start, {kind} %inner, {kind} %both
  %s.next = add i64 %s, 1
  %on = icmp slt i64 %s.next, %sets
  br i1 %on, label %set, label %end
end:
{last}  %to = getelementptr {made}, ptr %out, i64 %k
  store {made} {"%sum" if kind == made else "%rounded"}, ptr %to, align 1
  %k.next = add i64 %k, 1
  %less = icmp slt i64 %k.next, %keys
  br i1 %less, label %key, label %done
done:
  ret void
}}
define i64 @address() nounwind {{
  ret i64 ptrtoint (ptr @settle to i64)
}}
"""


_TYPES = {"float64": "double", "float32": "float", "int64": "i64"}
_PAIRS = {("float64", "float64"), ("float64", "float32"), ("float32", "float32"), ("int64", "int64")}


@functools.cache
def _settle(table: str, out: str) -> int:
    return int(function(_settling(table, out), "address", 0)())


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

    def share(self, words: array[int], threads: int, calls: tuple[int, int], keep: Any) -> int:
        """Add a loop that several threads run; return which word says how many.

        Parameters
        ----------
        words : array of int64
            What they share (`team.shared`).
        threads : int
            1 for the caller's alone.
        calls : tuple of int
            Addresses of what starts threads, and of what each does.
        keep : object
            What the addresses are of.
        """
        self.words.extend((-1, words.buffer_info()[0], 0, threads, *calls, 0, 0))
        self._keep.append((words, keep))
        return len(self.words) - 5

    @staticmethod
    def adds(table: np.ndarray, out: np.ndarray) -> bool:
        """Whether `add` can add up a table into a result."""
        return (table.dtype.name, out.dtype.name) in _PAIRS and table.shape[2] > 1 and out.flags.c_contiguous

    def add(self, table: np.ndarray, out: np.ndarray) -> int:
        """Add the adding up of a table (sets, copies, keys); return which word is where the result goes."""
        steps = array("q", table.strides)
        call = _settle(table.dtype.name, out.dtype.name)
        self.words.extend((call, address(out), address(table), steps.buffer_info()[0], *table.shape, 0))
        self._keep.append((table, out, steps))
        return len(self.words) - 7

    def __call__(self) -> None:
        """Do it."""
        where, count = self.words.buffer_info()
        _play()(where, count // 8)
