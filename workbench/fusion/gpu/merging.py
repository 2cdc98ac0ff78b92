"""Reductions and running values in the body of a task: of a whole row, step by step, in parts that merge in order."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.gpu.language import constant
from workbench.fusion.gpu.memory import TYPES
from workbench.fusion.gpu.tasks import Unsupported, Work, scanned

if TYPE_CHECKING:
    from workbench.fusion.gpu.body import Slots
    from workbench.fusion.gpu.tasks import Task
    from workbench.fusion.gpu.tiling import Tile

__all__ = ["Merging"]

#: name of a reduction -> the rule by which it merges
RULES = {
    "sum": "add", "mean": "add", "count_nonzero": "add", "any": "or", "all": "and", "prod": "product", "max": "max",
    "min": "min", "var": "moments", "std": "moments", "argmax": "order", "argmin": "order",
}  # fmt: skip
_IDENTITY: dict[str, float] = {"add": 0, "product": 1, "or": 0, "and": 1, "max": -math.inf, "min": math.inf}
_STEP = {
    "add": "{0} + {1}", "product": "{0} * {1}", "or": "{0} | {1}", "and": "{0} & {1}", "max": "maximum({0}, {1})",
    "min": "minimum({0}, {1})",
}  # fmt: skip
_ROW = {
    "add": "tl.sum({0}, {1})", "or": "tl.max({0}.to(tl.int32), {1})", "and": "tl.min({0}.to(tl.int32), {1})",
    "product": "tl.reduce({0}, {1}, product)",
}  # fmt: skip


class Merging:
    """The part of a body that knows reductions."""

    task: Task
    tile: Tile
    slots: Slots

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0
        self.state: dict[int, tuple[str, ...]] = {}

    # of a body

    def input(self, work: Work) -> str:
        raise NotImplementedError

    def width(self, side: str) -> int:
        raise NotImplementedError

    def mask_of(self, sides: set[str]) -> str:
        raise NotImplementedError

    def store(self, node: Any, refs: Any, value: str) -> None:
        raise NotImplementedError

    def known_value(self, made: Work) -> str:
        raise NotImplementedError

    # lines

    def line(self, text: str) -> None:
        """Write a line."""
        self.lines.append("    " * self.depth + text)

    def named(self, text: str) -> str:
        """Write a value and return its name."""
        name = f"v{self.count}"
        self.count += 1
        self.line(f"{name} = {text}")
        return name

    def deeper(self) -> None:
        """Begin a block, whose values are not known after it."""
        self.depth += 1
        self.scopes.append({})  # type: ignore[attr-defined]

    def shallower(self) -> None:
        """End a block."""
        self.depth -= 1
        self.scopes.pop()  # type: ignore[attr-defined]

    # reductions

    def rule(self, work: Work) -> str:
        """Return how a reduction merges."""
        found = RULES.get(work.node.name)
        if found is None:
            raise Unsupported(f"{work.node.name} on the GPU")
        return found

    def inner(self, work: Work) -> np.dtype:
        """Return the dtype of what is merged."""
        if work.how == "scan":
            return work.node.dtype
        rule, x = self.rule(work), work.node.inputs[0].dtype
        if work.node.name == "count_nonzero":
            return np.dtype(bool)
        if rule in ("or", "and"):
            return np.dtype(bool)
        if rule in ("max", "min", "order"):
            return np.dtype(np.int32) if x.kind == "b" else x
        return work.node.dtype

    def identity(self, work: Work) -> str:
        """Return what merges without a change."""
        if work.node.name == "count_nonzero":
            return constant(0, np.int64)
        return self.least(self.rule(work), self.inner(work))

    def least(self, rule: str, dtype: np.dtype) -> str:
        """Return what merges by a rule without a change."""
        value = _IDENTITY[rule]
        if math.isinf(value) and dtype.kind != "f":
            limits = np.iinfo(dtype)
            return constant(limits.min if value < 0 else limits.max, dtype)
        return constant(value, dtype)

    def masked(self, work: Work, value: str, across: bool = False) -> str:
        """Return a value that is the identity where there is nothing."""
        if work.node.name == "count_nonzero":
            value = self.named(f"{value}.to(tl.int64)")
        mask = self.mask_of({"r"} if across else {work.side}) if work.side or across else ""
        return self.named(f"tl.where({mask}, {value}, {self.identity(work)})") if mask else value

    def row(self, rule: str, value: str, axis: int, dtype: np.dtype) -> str:
        """Return the reduction of an axis of a tile, which is gone then."""
        if rule in ("max", "min"):
            found = self.named(f"tl.{rule}({value}, {axis})")
            if dtype.kind == "f":
                none = self.named(f"tl.max(({value} != {value}).to(tl.int32), {axis})")
                found = self.named(f'tl.where({none} != 0, float("nan"), {found})')
            return found
        return self.named(_ROW[rule].format(value, axis))

    def reduce(self, work: Work) -> None:
        """Write a reduction of rows that the tile holds whole."""
        value, rule, node = self.input(work), self.rule(work), work.node
        total = work.part or int(work.side[1:] if work.side else 1)
        if not work.side:  # one element
            self.finished(work, self.single(work, value))
            return
        axis = 1
        if work.part:
            columns = self.width(work.side)
            shape = f"[{self.tile.rows}, {columns // work.part}, {work.part}]"
        if rule == "moments":
            self.finished(work, self.moments(work, value, total))
            return
        if rule == "order":
            self.finished(work, self.order(work, value))
            return
        value = self.masked(work, value) if not work.part else value
        if work.node.name == "count_nonzero" and work.part:
            value = self.named(f"{value}.to(tl.int64)")
        if work.part:
            value, axis = self.named(f"tl.reshape({value}, {shape})"), 2
        found = self.row(rule, value, axis, self.inner(work))
        if axis == 1:
            found = self.named(f"{found}[:, None]")
        self.finished(work, found, total if node.name == "mean" else 0)

    def single(self, work: Work, value: str) -> str:
        """Return the reduction of one element."""
        name = work.node.name
        if name in ("var", "std"):
            return self.named(constant(math.nan if work.node.attr("ddof") >= 1 else 0.0, work.node.dtype))
        return self.named(f"{value} * 0") if name.startswith("arg") else value

    def finished(self, work: Work, value: str, total: int = 0) -> None:
        """Note and store what was merged; of a mean its share."""
        node = work.node
        if total:
            value = self.named(f"{value} / {constant(total, node.dtype)}")
        elif node.dtype.kind == "b":
            value = self.named(f"{value} != 0")
        elif node.name in ("max", "min") and node.inputs[0].dtype != node.dtype:
            value = self.named(f"{value}.to({TYPES[node.dtype.name][1]})")
        self.store(node, work.result, value)

    def moments(self, work: Work, value: str, total: int) -> str:
        """Return a variance in two passes over what is in registers."""
        if work.part:
            raise Unsupported("var of parts of a row on the GPU")
        mask = self.mask_of({work.side})
        zero = constant(0, work.node.dtype)
        kept = self.named(f"tl.where({mask}, {value}, {zero})") if mask else value
        mean = self.mean(work) or self.named(f"(tl.sum({kept}, 1) / {float(total)!r})[:, None]")
        far = self.named(f"{value} - {mean}")
        far = self.named(f"tl.where({mask}, {far}, {zero})") if mask else far
        return self.variance(work, self.named(f"tl.sum({far} * {far}, 1)[:, None]"), total)

    def mean(self, work: Work) -> str:
        """Return the mean of what a variance is of, if the task has computed it; else ""."""
        for other in self.task.works:
            same = other.node.inputs and other.node.inputs[0] is work.node.inputs[0] and other.axes == work.axes
            if same and other.how == "reduce" and other.node.name == "mean" and other.node.dtype == work.node.dtype:
                return self.known_value(other)
        return ""

    def variance(self, work: Work, squares: str, total: int) -> str:
        """Return a variance, of the sum of squared distances."""
        left = total - work.node.attr("ddof")
        if left <= 0:
            return self.named(f"{squares} * {constant(math.nan, work.node.dtype)}")
        found = self.named(f"{squares} / {float(left)!r}")
        return self.named(f"root({found})") if work.node.name == "std" else found

    def order(self, work: Work, value: str) -> str:
        """Return the first position of the largest or smallest element; the first NaN wins."""
        if work.part:
            raise Unsupported("argmax of parts of a row on the GPU")
        side, mask = work.side, self.mask_of({work.side})
        kept = self.named(f"tl.where({mask}, {value}, {self.extreme(work)})") if mask else value
        return self.first(work, kept, side, mask, int(side[1:]))[1]

    def first(self, work: Work, value: str, places: str, mask: str, total: int) -> tuple[str, str]:
        """Return the largest or smallest element of each row, NaN if there is one, and the least of its places."""
        kind, dtype = work.node.name[3:], self.inner(work)
        best = self.named(f"tl.{kind}({value}, 1)[:, None]")
        hit = self.named(f"{value} == {best}")
        if dtype.kind == "f":
            none = self.named(f"{value} != {value}")
            some = self.named(f"tl.max({none}.to(tl.int32), 1)[:, None]")
            hit = self.named(f"tl.where({some} != 0, {none}, {hit})")
            best = self.named(f'tl.where({some} != 0, float("nan"), {best})')
        if mask:
            hit = self.named(f"{hit} & {mask}")
        return best, self.named(f"tl.min(tl.where({hit}, {places}, {total}), 1)[:, None].to(tl.int64)")

    def extreme(self, work: Work) -> str:
        """Return what no element comes before."""
        dtype, kind = self.inner(work), work.node.name[3:]
        if dtype.kind == "f":
            return constant(math.inf if kind == "min" else -math.inf, dtype)
        limits = np.iinfo(dtype)
        return constant(limits.max if kind == "min" else limits.min, dtype)

    # step by step

    def begin(self, work: Work) -> None:
        """Write what a walk over columns begins with."""
        rows, name = self.tile.rows, f"a{self.count}"
        self.count += 1
        if work.how == "store":
            return
        if work.how == "scan":
            start = {"cumsum": "add", "cumprod": "product"}.get(work.node.name, work.node.name[3:])
            self.line(f"{name} = tl.broadcast_to({self.least(start, work.node.dtype)}, [{rows}, 1])")
            self.state[id(work)] = (name,)
        elif self.rule(work) == "order":
            shape = f"[{rows}, {self.tile.columns}]"
            self.line(f"{name} = tl.broadcast_to({self.extreme(work)}, {shape})")
            self.line(f"{name}_at = tl.full({shape}, {work.side[1:]}, tl.int64)")
            self.state[id(work)] = (name, f"{name}_at")
        elif self.rule(work) == "moments":
            for part in ("n", "mean", "squares"):
                self.line(f"{name}_{part} = tl.full([{rows}, 1], 0.0, {TYPES[work.node.dtype.name][1]})")
            self.state[id(work)] = (f"{name}_n", f"{name}_mean", f"{name}_squares")
        else:
            self.line(f"{name} = tl.broadcast_to({self.identity(work)}, [{rows}, {self.tile.columns}])")
            self.state[id(work)] = (name,)

    def step(self, work: Work) -> None:
        """Write what a walk does with some columns."""
        value = self.input(work)
        if work.how == "scan":
            self.scan(work, value)
            return
        if self.rule(work) == "moments":
            n, mean, squares = self.state[id(work)]
            mask = self.mask_of({work.side})
            zero = constant(0, work.node.dtype)
            kept = self.named(f"tl.where({mask}, {value}, {zero})") if mask else value
            end = "high" if self.task.mode == "split" else work.side[1:]
            kind = TYPES[work.node.dtype.name][1]
            many = self.named(f"tl.minimum({end} - at, {self.tile.columns}).to({kind})")
            own = self.named(f"(tl.sum({kept}, 1) / {many})[:, None]")
            far = self.named(f"{value} - {own}")
            far = self.named(f"tl.where({mask}, {far}, {zero})") if mask else far
            more = self.named(f"tl.sum({far} * {far}, 1)[:, None]")
            gap, both = self.named(f"{own} - {mean}"), self.named(f"{n} + {many}")
            self.line(f"{squares} = {squares} + {more} + {gap} * {gap} * {n} * {many} / {both}")
            self.line(f"{mean} = {mean} + {gap} * {many} / {both}")
            self.line(f"{n} = {both}")
            return
        if self.rule(work) == "order":
            best, at = self.state[id(work)]
            mask, fresh = self.mask_of({work.side}), f"({at} == {work.side[1:]})"
            better = f"({value} {'>' if work.node.name == 'argmax' else '<'} {best})"
            if self.inner(work).kind == "f":
                better += f" | (({value} != {value}) & ({best} == {best}))"
            take = self.named(f"{fresh} | {better}")
            take = self.named(f"{take} & {mask}") if mask else take
            self.line(f"{best} = tl.where({take}, {value}, {best})")
            self.line(f"{at} = tl.where({take}, {work.side}, {at})")
            return
        (name,) = self.state[id(work)]
        self.line(f"{name} = {_STEP[self.rule(work)].format(name, self.masked(work, value))}")

    def end(self, work: Work) -> None:
        """Write what comes of a walk over columns."""
        if work.how in ("store", "scan"):
            return
        names, split = self.state[id(work)], self.task.mode == "split"
        total = int(work.side[1:])
        if self.rule(work) == "moments":
            if split:
                self.partial(work, [names[1], names[2]])
            else:
                self.finished(work, self.variance(work, names[2], total))
            return
        if self.rule(work) == "order":
            best, at = self.first(work, names[0], names[1], f"({names[1]} < {total})", total)
            if split:
                self.partial(work, [best, at])
            else:
                self.finished(work, at)
            return
        found = self.row(self.rule(work), names[0], 1, self.inner(work))
        found = self.named(f"{found}[:, None]")
        if split:
            self.partial(work, [found])
        else:
            self.finished(work, found, total if work.node.name == "mean" else 0)

    def partial(self, work: Work, values: list[str]) -> None:
        """Write partial results, those of a row side by side."""
        for number, value in enumerate(values):
            pointer = self.slots.name("part", work.node, number)
            mask = self.mask_of({"r"})
            extra = f", mask={mask}" if mask else ""
            self.line(f"tl.store({pointer} + r * {self.tile.pieces} + piece, {value}{extra})")

    # rows of a task that walks rows

    def begin_across(self) -> None:
        """Write what tiles of rows begin with."""
        for work in self.task.across:
            name = f"a{self.count}"
            self.count += 1
            self.state[id(work)] = (name,)
            width = self.width(work.side) if work.side else 1
            self.line(f"{name} = tl.broadcast_to({self.identity(work)}, [{self.tile.rows}, {width}])")

    def step_across(self, work: Work) -> None:
        """Merge a tile of rows."""
        (name,) = self.state[id(work)]
        value = self.masked(work, self.input(work), across=True)
        self.line(f"{name} = {_STEP[self.rule(work)].format(name, value)}")

    def end_across(self) -> None:
        """Write partial results, one row for each walk."""
        for work in self.task.across:
            (name,) = self.state[id(work)]
            found = self.row(self.rule(work), name, 0, self.inner(work))
            pointer = self.slots.name("part", work.node)
            if not work.side:
                self.line(f"tl.store({pointer} + t + tl.zeros([1], tl.int32), {found})")
                continue
            columns = int(work.side[1:])
            mask = f", mask=m{work.side}" if self.width(work.side) != columns else ""
            self.line(f"tl.store({pointer} + t * {columns} + {work.side}, {found}[None, :]{mask})")

    # merging

    def finish(self, work: Work) -> None:
        """Merge partial results of each row, or of each column of walks over rows."""
        merge = self.merges[id(work.node)]  # type: ignore[attr-defined]
        found = merge(self, "r", self.mask_of({"r"}))
        self.store(work.node, work.axes, found)

    # running values

    def scan(self, work: Work, value: str | None = None) -> None:
        """Write running values along a row."""
        value = self.input(work) if value is None else value
        name, dtype = work.node.name, work.node.dtype
        if not work.side:
            self.store(work.node, scanned(work.root, work.axes), value)
            return
        form = {
            "cumsum": "tl.cumsum({0}, 1)", "cumprod": "tl.cumprod({0}, 1)",
            "cummax": "tl.associative_scan({0}, 1, maximum)", "cummin": "tl.associative_scan({0}, 1, minimum)",
        }.get(name)  # fmt: skip
        if form is None:
            raise Unsupported(f"{name} on the GPU")
        found = self.named(form.format(value))
        if id(work) in self.state:
            (carry,) = self.state[id(work)]
            if name in ("cummax", "cummin"):
                rule = f"{name[3:]}imum"
                found = self.named(f"{rule}({found}, {carry})")
                self.line(f"{carry} = {rule}({carry}, tl.reduce({value}, 1, {rule})[:, None])")
                self.store(work.node, scanned(work.root, work.axes), found)
                return
            op = "+" if name == "cumsum" else "*"
            found = self.named(f"{found} {op} {carry}")
            rest = f"tl.sum({value}, 1)" if op == "+" else f"tl.reduce({value}, 1, product)"
            mask = self.mask_of({work.side})
            if mask:
                kept = self.named(f"tl.where({mask}, {value}, {constant(0 if op == '+' else 1, dtype)})")
                rest = rest.replace(value, kept)
            self.line(f"{carry} = {carry} {op} {rest}[:, None]")
        self.store(work.node, scanned(work.root, work.axes), found)
