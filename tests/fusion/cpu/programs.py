"""Writes loop programs in few words."""

from __future__ import annotations

from typing import Any

from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, If, Instr, Merge, Program, Statement, Store, verify

FLAGS = {
    "less", "less_equal", "greater", "greater_equal", "equal", "not_equal", "logical_and", "logical_or", "logical_xor",
    "logical_not", "isnan", "isinf", "isfinite", "signbit",
}  # fmt: skip


class Maker:
    """Collects buffers and loops; a `Body` collects the statements of one loop."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self.loops: list[For] = []
        self.sizes: list[str] = []
        self.count = 0
        self.builders = 0
        self.dtypes: dict[int, str] = {}

    def size(self, name: str) -> str:
        if name not in self.sizes:
            self.sizes.append(name)
        return name

    def buffer(self, name: str, dtype: str, shape: tuple[Any, ...], role: str = "in", unit: bool = True) -> str:
        self.buffers.append(Buffer(name, dtype, shape, role, unit))
        return name

    def body(self) -> Body:
        return Body(self)

    def loop(self, dims: list[tuple[str, Any]], body: Body) -> None:
        self.loops.append(For(tuple([Dim(name, size) for name, size in dims]), tuple(body.found), tuple(body.builders)))

    def program(self, exact: bool = False) -> Program:
        return verify(Program("k", tuple(self.sizes), tuple(self.buffers), tuple(self.loops), exact))


class Body:
    """The statements of one loop."""

    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.found: list[Statement] = []
        self.builders: list[Builder] = []

    def add(self, op: str, args: tuple[int, ...] = (), dtype: str = "float64", **rest: Any) -> int:
        self.maker.count += 1
        self.maker.dtypes[self.maker.count] = dtype
        self.found.append(Instr(self.maker.count, op, args, dtype, **rest))
        return self.maker.count

    def const(self, value: Any, dtype: str = "float64") -> int:
        return self.add("const", dtype=dtype, value=value)

    def load(self, name: str, *dims: Any) -> int:
        buffer = next(b for b in self.maker.buffers if b.name == name)
        return self.add("load", dtype=buffer.dtype, name=name, index=index(dims))

    def op(self, name: str, *args: Any, dtype: str | None = None) -> int:
        known = next((self.maker.dtypes[a.id] for a in args if isinstance(a, V)), None)
        given = [a.id if isinstance(a, V) else self.const(a, known or "float64") for a in args]
        result = dtype or ("bool" if name in FLAGS else self.maker.dtypes[given[0]])
        return self.add(name, tuple(given), result)

    def store(self, name: str, dims: tuple[Any, ...], value: int, pred: int | None = None) -> None:
        self.found.append(Store(name, index(dims), value, pred))

    def builder(self, kind: str, **rest: Any) -> int:
        self.maker.builders += 1
        self.builders.append(Builder(self.maker.builders, kind, **rest))
        return self.maker.builders

    def merge(self, builder: int, values: list[int], keys: list[int] | None = None, pred: int | None = None) -> None:
        self.found.append(Merge(builder, tuple(values), tuple(keys or ()), pred))

    def inner(self, dims: list[tuple[str, Any]], body: Body) -> None:
        self.found.append(For(tuple([Dim(n, s) for n, s in dims]), tuple(body.found), tuple(body.builders)))

    def where(self, pred: int, body: Body) -> None:
        self.found.append(If(pred, tuple(body.found)))

    def v(self, number: int) -> V:
        return V(self, number)


def index(dims: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return indexes: a name is a dimension, an int a value, a tuple (name, factor, offset) affine."""
    found: list[Any] = []
    for each in dims:
        if isinstance(each, str):
            found.append(Affine(((each, 1),)))
        elif isinstance(each, tuple):
            found.append(Affine(((each[0], each[1]),) if each[1] else (), each[2]))
        else:
            found.append(each)
    return tuple(found)


class V:
    """A value with operators."""

    def __init__(self, body: Body, number: int) -> None:
        self.body, self.id = body, number

    def f(self, name: str, *others: Any, dtype: str | None = None) -> V:
        return V(self.body, self.body.op(name, self, *others, dtype=dtype))

    def __add__(self, o: Any) -> V:
        return self.f("add", o)

    def __sub__(self, o: Any) -> V:
        return self.f("subtract", o)

    def __mul__(self, o: Any) -> V:
        return self.f("multiply", o)

    def __truediv__(self, o: Any) -> V:
        return self.f("divide", o)

    def __rsub__(self, o: Any) -> V:
        return V(self.body, self.body.const(o)).f("subtract", self)

    def __neg__(self) -> V:
        return self.f("negative")

    def __gt__(self, o: Any) -> V:
        return self.f("greater", o)

    def __lt__(self, o: Any) -> V:
        return self.f("less", o)

    def __ge__(self, o: Any) -> V:
        return self.f("greater_equal", o)

    def where(self, yes: Any, no: Any) -> V:
        given = [v.id if isinstance(v, V) else self.body.const(v) for v in (yes, no)]
        return V(self.body, self.body.add("select", (self.id, *given), self.body.maker.dtypes[given[0]]))
