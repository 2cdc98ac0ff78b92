"""Sums of floats without any rounding but the last: every element is added to one long integer.

A double is an integer below 2**53 times a power of two, so all of them are multiples of 2**-1074. The sum stands in
digits of 32 bits, each in a word of 64 that leaves room for 2**31 elements before digits are carried. What is added is
exact and so does not hang on order: chunks, threads and partitions give the same bits. Infinities and NaN are added by
themselves, as floats.

Source: Neal, Fast exact summation using small and large superaccumulators (2015).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.fusion.cpu.builders import Recorded
from workbench.fusion.cpu.ir import Value
from workbench.fusion.cpu.layout import WORDS
from workbench.fusion.loop import Builder

if TYPE_CHECKING:
    from workbench.fusion.cpu.emit import Emitter

__all__ = ["ExactLanes", "ExactState", "add", "merged", "rounded"]

#: where the digits begin, the lowest first: before them are what is not finite, and two words that stay 0
_FIRST = 3
_MASK = (1 << 32) - 1

_ADD = """\
define internal void @exact_add(ptr %p, double %x) nounwind noinline {
  %bits = bitcast double %x to i64
  %shifted = lshr i64 %bits, 52
  %exponent = and i64 %shifted, 2047
  %fraction = and i64 %bits, 4503599627370495
  %odd = icmp eq i64 %exponent, 2047
  br i1 %odd, label %special, label %finite
special:
  %before = load double, ptr %p, align 8
  %after = fadd double %before, %x
  store double %after, ptr %p, align 8
  ret void
finite:
  %normal = icmp ne i64 %exponent, 0
  %hidden = select i1 %normal, i64 4503599627370496, i64 0
  %m = or i64 %fraction, %hidden
  %one = zext i1 %normal to i64
  %place = sub i64 %exponent, %one
  %digit = lshr i64 %place, 5
  %s = and i64 %place, 31
  %low = shl i64 %m, %s
  %w0 = and i64 %low, 4294967295
  %w1 = lshr i64 %low, 32
  %half = lshr i64 %m, 1
  %back = sub i64 63, %s
  %w2 = lshr i64 %half, %back
  %sign = ashr i64 %bits, 63
  %x0 = xor i64 %w0, %sign
  %x1 = xor i64 %w1, %sign
  %x2 = xor i64 %w2, %sign
  %y0 = sub i64 %x0, %sign
  %y1 = sub i64 %x1, %sign
  %y2 = sub i64 %x2, %sign
  %at = add i64 %digit, 3
  %p0 = getelementptr i64, ptr %p, i64 %at
  %p1 = getelementptr i64, ptr %p0, i64 1
  %p2 = getelementptr i64, ptr %p0, i64 2
  %d0 = load i64, ptr %p0, align 8
  %d1 = load i64, ptr %p1, align 8
  %d2 = load i64, ptr %p2, align 8
  %e0 = add i64 %d0, %y0
  %e1 = add i64 %d1, %y1
  %e2 = add i64 %d2, %y2
  store i64 %e0, ptr %p0, align 8
  store i64 %e1, ptr %p1, align 8
  store i64 %e2, ptr %p2, align 8
  ret void
}
"""

_ROUND = """\
define internal double @exact_round(ptr %p) nounwind noinline {
entry:
  %t = alloca [70 x i64], align 64
  %special = load double, ptr %p, align 8
  %odd = fcmp une double %special, 0.0
  br i1 %odd, label %told, label %carry
told:
  ret double %special
carry:
  %i = phi i64 [ 3, %entry ], [ %i1, %carry ]
  %c = phi i64 [ 0, %entry ], [ %c1, %carry ]
  %pi = getelementptr i64, ptr %p, i64 %i
  %d = load i64, ptr %pi, align 8
  %sum = add i64 %d, %c
  %low = and i64 %sum, 4294967295
  %c1 = ashr i64 %sum, 32
  %ti = getelementptr i64, ptr %t, i64 %i
  store i64 %low, ptr %ti, align 8
  %i1 = add i64 %i, 1
  %more = icmp slt i64 %i1, 70
  br i1 %more, label %carry, label %signs
signs:
  %t1 = getelementptr i64, ptr %t, i64 1
  %t2 = getelementptr i64, ptr %t, i64 2
  store i64 0, ptr %t1, align 8
  store i64 0, ptr %t2, align 8
  %negative = icmp slt i64 %c1, 0
  br i1 %negative, label %negate, label %top
negate:
  %k = phi i64 [ 3, %signs ], [ %k1, %negate ]
  %n = phi i64 [ 1, %signs ], [ %n1, %negate ]
  %tk = getelementptr i64, ptr %t, i64 %k
  %v = load i64, ptr %tk, align 8
  %flipped = xor i64 %v, 4294967295
  %w = add i64 %flipped, %n
  %wl = and i64 %w, 4294967295
  %n1 = lshr i64 %w, 32
  store i64 %wl, ptr %tk, align 8
  %k1 = add i64 %k, 1
  %morek = icmp slt i64 %k1, 70
  br i1 %morek, label %negate, label %top
top:
  %h = phi i64 [ 69, %signs ], [ 69, %negate ], [ %h1, %next ]
  %th = getelementptr i64, ptr %t, i64 %h
  %d2 = load i64, ptr %th, align 8
  %some = icmp ne i64 %d2, 0
  br i1 %some, label %found, label %next
next:
  %h1 = sub i64 %h, 1
  %on = icmp sge i64 %h1, 3
  br i1 %on, label %top, label %nothing
nothing:
  ret double 0.0
found:
  %at1 = sub i64 %h, 1
  %at0 = sub i64 %h, 2
  %tp1 = getelementptr i64, ptr %t, i64 %at1
  %tp0 = getelementptr i64, ptr %t, i64 %at0
  %d1 = load i64, ptr %tp1, align 8
  %d0 = load i64, ptr %tp0, align 8
  br label %below
below:
  %j = phi i64 [ 3, %found ], [ %j1, %look ]
  %rest = phi i64 [ 0, %found ], [ %rest1, %look ]
  %inside = icmp slt i64 %j, %at0
  br i1 %inside, label %look, label %cut
look:
  %tj = getelementptr i64, ptr %t, i64 %j
  %vj = load i64, ptr %tj, align 8
  %rest1 = or i64 %rest, %vj
  %j1 = add i64 %j, 1
  br label %below
cut:
  %zeros = call i64 @llvm.ctlz.i64(i64 %d2, i1 false)
  %lz = sub i64 %zeros, 32
  %up = shl i64 %d2, 32
  %both = or i64 %up, %d1
  %high = shl i64 %both, %lz
  %back = sub i64 32, %lz
  %fill = lshr i64 %d0, %back
  %x = or i64 %high, %fill
  %left = shl i64 %d0, %lz
  %left32 = and i64 %left, 4294967295
  %under = or i64 %rest, %left32
  %sticky = icmp ne i64 %under, 0
  %g = sub i64 %h, 4
  %g32 = shl i64 %g, 5
  %q = sub i64 %g32, %lz
  %short = sub i64 0, %q
  %r = call i64 @llvm.smax.i64(i64 11, i64 %short)
  %m0 = lshr i64 %x, %r
  %unit = shl i64 1, %r
  %mask = sub i64 %unit, 1
  %remain = and i64 %x, %mask
  %half = lshr i64 %unit, 1
  %gt = icmp ugt i64 %remain, %half
  %eq = icmp eq i64 %remain, %half
  %last = trunc i64 %m0 to i1
  %uneven = or i1 %sticky, %last
  %tie = and i1 %eq, %uneven
  %grow = or i1 %gt, %tie
  %one = zext i1 %grow to i64
  %m = add i64 %m0, %one
  %e = add i64 %q, %r
  %es = shl i64 %e, 52
  %b = add i64 %es, %m
  %most = call i64 @llvm.umin.i64(i64 %b, i64 9218868437227405312)
  %minus = select i1 %negative, i64 -9223372036854775808, i64 0
  %bits = or i64 %most, %minus
  %value = bitcast i64 %bits to double
  ret double %value
}
"""
_DECLARED = {
    "declare i64 @llvm.ctlz.i64(i64, i1)",
    "declare i64 @llvm.smax.i64(i64, i64)",
    "declare i64 @llvm.umin.i64(i64, i64)",
}


def add(emitter: Emitter, where: Value, x: Value) -> None:
    """Write the addition of a scalar to the sum at an address."""
    emitter.module.definitions.setdefault("exact_add", _ADD)
    emitter.code.line(f"call void @exact_add(ptr {where.ref}, double {x.ref})")


class ExactState(Recorded):
    """A sum that a loop merges into: in the chunk's record, or for a loop inside on the stack."""

    def __init__(self, emitter: Emitter, builder: Builder, outermost: bool) -> None:
        super().__init__(emitter, builder)
        self.outermost = outermost
        if not outermost:
            self.memory = emitter.array("i64", WORDS)
            emitter.code.declared.add("declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)")
            emitter.code.line(f"call void @llvm.memset.p0.i64(ptr {self.memory.ref}, i8 0, i64 {8 * WORDS}, i1 false)")

    @property
    def where(self) -> Value:
        """Its address."""
        return self._place(0) if self.outermost else self.memory

    def keep(self) -> None:
        """Nothing: the sum is in the record."""

    def one(self, k: int, x: Value, pred: Value | None, position: Value) -> None:
        """Merge lane 0, where its predicate holds."""
        if pred is not None:
            x = pred.where(x, 0.0)
        add(self.emitter, self.where, self.emitter.first(x))

    def value(self, part: int) -> Value:
        """Return the sum, rounded once."""
        self.emitter.module.definitions.setdefault("exact_round", _ROUND)
        self.emitter.module.declared |= _DECLARED
        return self.emitter.code.value("f64", 0, f"call double @exact_round(ptr {self.where.ref})")


class ExactLanes:
    """The lanes of a vector, added one after another."""

    blocked = False

    def __init__(self, emitter: Emitter, state: ExactState) -> None:
        self.emitter, self.state = emitter, state

    def begin(self, start: Value) -> None:
        """Nothing: there is one sum, which goes on."""

    def add(self, x: Value, pred: Value | None, position: Value) -> None:
        """Merge the lanes whose predicate holds."""
        if pred is not None:
            x = pred.where(x, 0.0)
        for lane in range(x.lanes):
            add(self.emitter, self.state.where, self.emitter.lane(x, self.emitter.int64(lane)))

    def turn(self) -> None:
        """Nothing: there are no turns."""

    def fold(self, start: Value, end: Value) -> None:
        """Nothing: there is nothing to fold."""


def carried(words: np.ndarray) -> np.ndarray:
    """Return sums (…, WORDS) with every digit but the last one from 0 to 2**32 - 1, as a new array."""
    found = words.copy()
    for k in range(_FIRST, WORDS - 1):
        found[..., k + 1] += found[..., k] >> 32
        found[..., k] &= _MASK
    return found


def merged(words: np.ndarray) -> np.ndarray:
    """Return sums (n, …, WORDS) as one sum along the first axis."""
    digits = carried(words).sum(axis=0)
    with np.errstate(all="ignore"):
        digits[..., 0] = np.ascontiguousarray(words[..., 0]).view(np.float64).sum(axis=0).view(np.int64)
    return digits


def rounded(words: np.ndarray) -> np.ndarray:
    """Return sums (n, WORDS) as float64, each the nearest to the exact sum; one too large is infinite."""
    digits = carried(words)
    negative = digits[:, -1] < 0
    digits[negative, _FIRST:] *= -1
    digits = carried(digits)
    digits[:, :_FIRST] = 0
    rows = np.arange(len(digits))
    top = WORDS - 1 - np.argmax(digits[:, ::-1] != 0, axis=1)
    some = digits[rows, top] != 0
    top = np.where(some, top, _FIRST)
    below = np.cumsum(digits != 0, axis=1)[rows, top - 3] > 0
    high, middle, low = [digits[rows, top - k].astype(np.uint64) for k in range(3)]
    zeros = (32 - np.frexp(np.where(some, high, 1).astype(np.float64))[1]).astype(np.uint64)
    x = ((high << np.uint64(32) | middle) << zeros) | (low >> (np.uint64(32) - zeros))
    sticky = below | ((low << zeros & np.uint64(_MASK)) != 0)
    place = (top - 4) * 32 - zeros.astype(np.int64)
    drop = np.maximum(11, -place)
    shift = drop.astype(np.uint64)
    whole = x >> shift
    remain, half = x & ((np.uint64(1) << shift) - np.uint64(1)), np.uint64(1) << (shift - np.uint64(1))
    grow = (remain > half) | ((remain == half) & (sticky | (whole & np.uint64(1) > 0)))
    bits = ((place + drop).astype(np.uint64) << np.uint64(52)) + whole + grow.astype(np.uint64)
    found = np.minimum(bits, np.uint64(0x7FF0 << 48)).view(np.float64)
    found = np.where(some, np.where(negative, -found, found), 0.0)
    special = np.ascontiguousarray(words[:, 0]).view(np.float64)
    return np.where(special != 0, special, found)
