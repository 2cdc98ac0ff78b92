"""Statements in blocks, each value once; buffers and builders by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr
from workbench.fusion.loop import Buffer, Builder, Instr, Statement, Store
from workbench.fusion.lower.bindings import Input, Output

__all__ = ["Block", "Writer"]


@dataclass
class Block:
    """A list of statements under construction, with the values known there."""

    body: list[Statement] = field(default_factory=list)
    known: dict[Any, int] = field(default_factory=dict)


class Writer:
    """What all parts of a lowering write into."""

    def __init__(self) -> None:
        self.buffers: dict[str, Buffer] = {}
        self.inputs: list[Input] = []
        self.outputs: list[Output] = []
        self.errors: list[tuple[str, str]] = []
        self.sizes: dict[str, tuple[Any, ...]] = {}
        self.blocks: list[Block] = []
        self.count = 0
        self.builders = 0
        self.outer_builders: list[Builder] = []
        self.inner_builders: list[Builder] = []
        self.outside = False  # whether instructions go before the loop over a row

    def begin(self) -> None:
        """Open the body of the outermost loop."""
        self.blocks = [Block()]

    def body(self) -> tuple[Statement, ...]:
        """Close the body of the outermost loop."""
        return tuple(self.blocks.pop().body)

    def emit(self, each: Statement) -> None:
        self.blocks[-1].body.append(each)

    def number(self) -> int:
        self.count += 1
        return self.count

    def add(self, op: str, args: tuple[int, ...], dtype: str, **rest: Any) -> int:
        """Emit an instruction, or return the value of an equal one that is known here."""
        key = (op, args, dtype, *[(k, _hashable(v)) for k, v in rest.items()])
        target = self.blocks[0 if self.outside else -1]
        for each in self.blocks:
            if key in each.known:
                return each.known[key]
            if each is target:
                break
        number = self.number()
        target.body.append(Instr(number, op, args, dtype, **rest))
        target.known[key] = number
        return number

    def const(self, value: Any, dtype: Any) -> int:
        kind = np.dtype(dtype)
        plain = np.asarray(value).astype(kind).item()
        return self.add("const", (), kind.name, value=plain)

    def to(self, value: int, dtype: np.dtype, wanted: str) -> int:
        return value if dtype.name == wanted else self.add("cast", (value,), wanted)

    def find(self, key: Any) -> int | None:
        for block in reversed(self.blocks):
            if key in block.known:
                return block.known[key]
        return None

    def output(self, node: Expr, shape: tuple[Any, ...], appended: bool = False, dtype: Any = None) -> str:
        name = f"o{len(self.outputs)}"
        self.outputs.append(Output(name, node, appended))
        self.buffers[name] = Buffer(name, np.dtype(dtype or node.dtype).name, shape, "out")
        return name

    def kept(self, node: Expr) -> str:
        """Return a buffer for a value that only later loops of this kernel read."""
        name = f"t{len(self.buffers)}"
        self.buffers[name] = Buffer(name, node.dtype.name, (), "temp")
        return name

    def builder(self, target: list[Builder], op: str, dtype: str) -> int:
        self.builders += 1
        target.append(Builder(self.builders, "merge", (op,), (dtype,)))
        return self.builders

    def error(self, wrong: int, what: str) -> None:
        name = f"e{len(self.errors)}"
        self.buffers[name] = Buffer(name, "bool", (), "out")
        self.errors.append((name, what))
        self.emit(Store(name, (), wrong))


def _hashable(value: Any) -> Any:
    return (type(value).__name__, value.hex()) if isinstance(value, float) else (type(value).__name__, value)
