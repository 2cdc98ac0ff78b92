"""A small writer of LLVM IR text: values with operators, so that vector code reads like the formula it computes."""

from __future__ import annotations

import struct
from collections.abc import Sequence

__all__ = ["BITS", "Code", "Value", "constant", "joined", "llvm_type", "pieces"]

_LLVM = {
    "f64": "double",
    "f32": "float",
    "i64": "i64",
    "i32": "i32",
    "i16": "i16",
    "i8": "i8",
    "i1": "i1",
    "ptr": "ptr",
}
#: bits of one element
BITS = {"f64": 64, "f32": 32, "i64": 64, "i32": 32, "i16": 16, "i8": 8, "i1": 1, "ptr": 64}


def llvm_type(kind: str, lanes: int = 0) -> str:
    """Return LLVM's name of a vector of `lanes` elements of `kind`, or with 0 lanes of the scalar."""
    return f"<{lanes} x {_LLVM[kind]}>" if lanes else _LLVM[kind]


def constant(kind: str, value: float | int | bool) -> str:
    """Return the literal of a scalar constant."""
    if kind == "f64":
        return "0x" + struct.pack(">d", float(value)).hex().upper()
    if kind == "f32":  # LLVM writes a float as the double of the same value
        try:
            (rounded,) = struct.unpack(">f", struct.pack(">f", float(value)))
        except OverflowError:
            rounded = float("inf") if value > 0 else float("-inf")
        return "0x" + struct.pack(">d", rounded).hex().upper()
    if kind == "i1":
        return "true" if value else "false"
    bits = BITS[kind]
    folded = int(value) & ((1 << bits) - 1)
    return str(folded - (1 << bits) if folded >> (bits - 1) else folded)


class Code:
    """The body of one function as it is written.

    Parameters
    ----------
    fma : bool
        Whether the target multiplies and adds in one step; without, exact products are split.
    flags : str
        Put after `fadd`, `fsub`, `fmul` ("contract" in users' expressions; nothing in compensated arithmetic).
    """

    def __init__(self, *, fma: bool = True, flags: str = "", scalef: bool = False) -> None:
        self.fma, self.flags, self.scalef = fma, flags, scalef
        self.lines: list[str] = []
        self.declared: set[str] = set()
        self._count = 0

    def name(self) -> str:
        """Return a fresh local name."""
        self._count += 1
        return f"%v{self._count}"

    def line(self, text: str) -> None:
        """Write an instruction that gives no value."""
        self.lines.append(f"  {text}")

    def label(self, name: str) -> None:
        """Begin a basic block."""
        self.lines.append(f"{name}:")

    def value(self, kind: str, lanes: int, text: str) -> Value:
        """Write an instruction and return its value."""
        ref = self.name()
        self.lines.append(f"  {ref} = {text}")
        return Value(self, ref, kind, lanes)

    def const(self, kind: str, lanes: int, number: float | int | bool) -> Value:
        """Return a constant, in all lanes."""
        literal = constant(kind, number)
        return Value(self, f"splat ({_LLVM[kind]} {literal})" if lanes else literal, kind, lanes)

    def call(self, kind: str, lanes: int, function: str, *arguments: Value, tail: str = "") -> Value:
        """Call a function that returns a value; what it takes is declared if it is an intrinsic."""
        given = ", ".join(f"{a.type} {a.ref}" for a in arguments)
        result = llvm_type(kind, lanes)
        if function.startswith("llvm."):
            extra = tail.strip(", ")
            types = [a.type for a in arguments] + ([extra.split(" ")[0]] if extra else [])
            self.declared.add(f"declare {result} @{function}({', '.join(types)})")
        return self.value(kind, lanes, f"call {result} @{function}({given}{tail})")


class Value:
    """An SSA value: a vector of `lanes` elements of `kind`, or with 0 lanes a scalar."""

    __slots__ = ("code", "kind", "lanes", "ref")

    def __init__(self, code: Code, ref: str, kind: str, lanes: int) -> None:
        self.code, self.ref, self.kind, self.lanes = code, ref, kind, lanes

    @property
    def type(self) -> str:
        """LLVM's name of the type."""
        return llvm_type(self.kind, self.lanes)

    @property
    def suffix(self) -> str:
        """The end of an intrinsic's name for this type."""
        return f"v{self.lanes}{self.kind}" if self.lanes else self.kind

    @property
    def floating(self) -> bool:
        """Whether the elements are floating point."""
        return self.kind[0] == "f"

    def like(self, number: float | int | bool) -> Value:
        """Return a constant of this type."""
        return self.code.const(self.kind, self.lanes, number)

    def _other(self, other: Value | float | int) -> Value:
        return other if isinstance(other, Value) else self.like(other)

    def op(self, name: str, other: Value | float | int) -> Value:
        """Return a binary operation of two values of this type."""
        right = self._other(other)
        return self.code.value(self.kind, self.lanes, f"{name} {self.type} {self.ref}, {right.ref}")

    def _arith(self, name: str, other: Value | float | int) -> Value:
        if self.floating:
            flags = f" {self.code.flags}" if self.code.flags and name != "div" else ""
            return self.op(f"f{name}{flags}", other)
        return self.op(name, other)

    def __add__(self, other: Value | float | int) -> Value:
        return self._arith("add", other)

    def __sub__(self, other: Value | float | int) -> Value:
        return self._arith("sub", other)

    def __mul__(self, other: Value | float | int) -> Value:
        return self._arith("mul", other)

    def __truediv__(self, other: Value | float | int) -> Value:
        return self._arith("div", other)

    def __radd__(self, other: float | int) -> Value:
        return self.like(other) + self

    def __rsub__(self, other: float | int) -> Value:
        return self.like(other) - self

    def __rmul__(self, other: float | int) -> Value:
        return self.like(other) * self

    def __rtruediv__(self, other: float | int) -> Value:
        return self.like(other) / self

    def __neg__(self) -> Value:
        if self.floating:
            return self.code.value(self.kind, self.lanes, f"fneg {self.type} {self.ref}")
        return self.like(0) - self

    def __and__(self, other: Value | int) -> Value:
        return self.op("and", other)

    def __or__(self, other: Value | int) -> Value:
        return self.op("or", other)

    def __xor__(self, other: Value | int) -> Value:
        return self.op("xor", other)

    def __invert__(self) -> Value:
        return self.op("xor", -1 if self.kind != "i1" else True)

    def __lshift__(self, other: Value | int) -> Value:
        return self.op("shl", other)

    def __rshift__(self, other: Value | int) -> Value:
        return self.op("ashr", other)

    def compare(self, predicate: str, other: Value | float | int) -> Value:
        """Return the mask of a comparison with LLVM's predicate (`olt`, `une`, `slt`, `ult`, `eq`)."""
        right = self._other(other)
        word = "fcmp" if self.floating else "icmp"
        return self.code.value("i1", self.lanes, f"{word} {predicate} {self.type} {self.ref}, {right.ref}")

    def lt(self, other: Value | float | int) -> Value:
        """Return `self < other`, False with a NaN; integers signed."""
        return self.compare("olt" if self.floating else "slt", other)

    def le(self, other: Value | float | int) -> Value:
        """Return `self <= other`."""
        return self.compare("ole" if self.floating else "sle", other)

    def gt(self, other: Value | float | int) -> Value:
        """Return `self > other`."""
        return self.compare("ogt" if self.floating else "sgt", other)

    def ge(self, other: Value | float | int) -> Value:
        """Return `self >= other`."""
        return self.compare("oge" if self.floating else "sge", other)

    def eq(self, other: Value | float | int) -> Value:
        """Return `self == other`."""
        return self.compare("oeq" if self.floating else "eq", other)

    def ne(self, other: Value | float | int) -> Value:
        """Return `self != other`, True with a NaN."""
        return self.compare("une" if self.floating else "ne", other)

    def is_nan(self) -> Value:
        """Return where a floating value is not a number."""
        return self.compare("uno", self)

    def where(self, yes: Value | float | int, no: Value | float | int) -> Value:
        """Return `yes` where this mask holds, else `no`."""
        model = yes if isinstance(yes, Value) else no
        assert isinstance(model, Value)
        a, b = model._other(yes), model._other(no)
        return self.code.value(
            model.kind, model.lanes, f"select {self.type} {self.ref}, {a.type} {a.ref}, {b.type} {b.ref}"
        )

    def cast(self, word: str, kind: str) -> Value:
        """Return a conversion by LLVM's instruction `word`."""
        target = llvm_type(kind, self.lanes)
        return self.code.value(kind, self.lanes, f"{word} {self.type} {self.ref} to {target}")

    def bits(self) -> Value:
        """Return the bits as integers of the same size, or of such integers the floating values."""
        kinds = {"f64": "i64", "f32": "i32", "i64": "f64", "i32": "f32"}
        return self.cast("bitcast", kinds[self.kind])

    def intrinsic(self, name: str, *others: Value, tail: str = "") -> Value:
        """Return `llvm.<name>` of this value and others of the same type."""
        return self.code.call(self.kind, self.lanes, f"llvm.{name}.{self.suffix}", self, *others, tail=tail)

    def abs(self) -> Value:
        """Return the magnitude of a floating value."""
        return self.intrinsic("fabs")

    def sqrt(self) -> Value:
        """Return the square root, correctly rounded."""
        return self.intrinsic("sqrt")

    def fma(self, factor: Value | float, addend: Value | float) -> Value:
        """Return `self * factor + addend`, rounded once where the target can, else twice."""
        a, b = self._other(factor), self._other(addend)
        if self.code.fma:
            return self.intrinsic("fma", a, b)
        product = self.op("fmul", a)
        return product.op("fadd", b)

    def poly(self, coefficients: Sequence[float], ways: int = 1) -> Value:
        """Return the polynomial with these coefficients, lowest first.

        With `ways` 2 or 4 it is split by powers modulo `ways`: shorter chains of dependent steps.
        """
        if ways == 1 or len(coefficients) < 2 * ways:
            total = self.like(coefficients[-1])
            for c in reversed(coefficients[:-1]):
                total = total.fma(self, c)
            return total
        square = self * self
        even = square.poly(coefficients[0::2], ways // 2)
        odd = square.poly(coefficients[1::2], ways // 2)
        return odd.fma(self, even)


def pieces(x: Value, lanes: int) -> list[Value]:
    """Return a vector as several of so many lanes."""
    if x.lanes == lanes:
        return [x]
    found = []
    for start in range(0, x.lanes, lanes):
        which = ", ".join(f"i32 {k}" for k in range(start, start + lanes))
        found.append(
            x.code.value(x.kind, lanes, f"shufflevector {x.type} {x.ref}, {x.type} poison, <{lanes} x i32> <{which}>")
        )
    return found


def joined(parts: list[Value]) -> Value:
    """Return vectors, a power of two of them, as one."""
    while len(parts) > 1:
        lanes = 2 * parts[0].lanes
        which = ", ".join(f"i32 {k}" for k in range(lanes))
        parts = [
            a.code.value(a.kind, lanes, f"shufflevector {a.type} {a.ref}, {b.type} {b.ref}, <{lanes} x i32> <{which}>")
            for a, b in zip(parts[::2], parts[1::2], strict=True)
        ]
    return parts[0]
