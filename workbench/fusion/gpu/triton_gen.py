"""From the groups of one launch to Triton source: tasks, what packs many of one kind, phases and their barriers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.gpu.body import Body
from workbench.fusion.gpu.finishing import merged_scalar
from workbench.fusion.gpu.language import HELPERS
from workbench.fusion.gpu.memory import TYPES, Spec, looked
from workbench.fusion.gpu.placing import launch_of
from workbench.fusion.gpu.registers import MOST_WARPS, fitted, live_values, loops
from workbench.fusion.gpu.source import Argument, Source
from workbench.fusion.gpu.tasks import WHOLE, Launch, Task, Unsupported, Work
from workbench.fusion.gpu.tiling import Tile, tile_of
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Group, Partition
from workbench.fusion.plan.model import Limits

__all__ = ["emit"]

#: tasks of one kind from which on a table holds their addresses
MANY = 3
#: offsets up to which 32 bits are enough, whatever tiles and masks add to it
FAR = 2**31 - 2**20


@dataclass(eq=False)
class _Part:
    """A task with its function."""

    task: Task
    tile: Tile
    text: str
    body: Body
    size: int


def emit(
    name: str,
    groups: Sequence[Group],
    parts: Partition,
    limits: Limits,
    storage: Callable[[Expr], str],
    warps: int = 0,
    whole: int = WHOLE,
    symbolic: bool = False,
) -> Source:
    """Return the kernel of the groups of one launch.

    Parameters
    ----------
    name : str
    groups : sequence of Group
    parts : Partition
    limits : Limits
        Of the device.
    storage : callable
        Gives the name of the type that a node is stored in.
    warps : int
        Of a block, if it is to be more than the tiles ask for.
    whole : int
        Elements of a row that tiles hold whole.
    symbolic : bool
        Whether lengths of rows are arguments, so that one kernel serves any of them.

    Raises
    ------
    Unsupported
        If some of it has no form.
    """
    launch = launch_of(groups, parts, limits)

    def again(warps: int, whole: int) -> Source:
        return emit(name, groups, parts, limits, storage, warps, whole, symbolic)

    found = _Emitting(name, launch, parts, limits, storage, warps, whole, symbolic).source()
    found.again = again
    return found


class _Emitting:
    def __init__(
        self,
        name: str,
        launch: Launch,
        parts: Partition,
        limits: Limits,
        storage: Callable[[Expr], str],
        warps: int,
        whole: int,
        symbolic: bool,
    ) -> None:
        self.name, self.launch, self.parts, self.limits, self.storage = name, launch, parts, limits, storage
        self.whole, self.warps, self.symbolic = whole, warps, symbolic
        self.reach = launch.reach
        self.tile = {id(task): self.tiled(task) for task in launch.tasks}
        self.left = {id(work.node): (work, task) for task in launch.tasks for work in task.partial}
        self.scalars = {id(work.node): phase for phase, works in launch.scalars.items() for work in works}
        self.arguments: dict[Any, Argument] = {}
        self.table: list[Any] = []
        #: id of what is read -> whether some of it is beyond what 32 bits reach
        self.distant: dict[int, bool] = {}
        self.stored = self.find_stored()

    def tiled(self, task: Task) -> Tile:
        """Return how a task is cut: its rows are held whole if they fit the registers, else walked in steps."""
        tile = tile_of(task, self.limits.units, self.whole, self.symbolic)
        if task.mode == "rows" and not tile.whole and len(task.sides) > 1:
            raise Unsupported("registers over limit")
        if task.mode != "rows" or not tile.whole or task.works[0].how == "finish":
            return tile
        warps = fitted(max(tile.warps, self.warps), tile.rows * tile.columns, live_values(task, self.reach))
        if not warps and loops(task):
            return tile_of(task, self.limits.units, tile.columns // 2, self.symbolic)
        return replace(tile, warps=max(warps or MOST_WARPS, self.warps))

    def find_stored(self) -> set[int]:
        """Return ids of the nodes that are to be in memory: asked for, or read by another task."""
        home = {id(work.node): task for task in self.launch.tasks for work in task.works if work.how != "finish"}
        found = {key for key in home if key in self.parts.needed}
        for task in self.launch.tasks:
            for work in task.works:
                if work.how == "finish":
                    continue
                for node, _ in self.reach[id(work.node)].seen(work.root, work.axes):
                    base = base_of(node)
                    at = home.get(id(base))
                    if at is not None and id(base) not in self.scalars and (at is not task or base is not node):
                        found.add(id(base))
                    if at is not None and id(base) in self.left and id(base) not in self.scalars:
                        found.add(id(base))
                    if at is task and not self.tile[id(task)].whole and self.later(work, base, task):
                        found.add(id(base))  # no register keeps it from one walk to the next
        return found

    def later(self, work: Work, base: Expr, task: Task) -> bool:
        """Whether a root reads what an earlier walk of its task made element by element."""
        made = next(each for each in task.works if each.node is base)
        return bool(made.side) and made.how in ("store", "scan") and made.stage < work.stage

    def source(self) -> Source:
        parts = [self.part(task) for task in self.launch.tasks]
        kinds: dict[str, list[_Part]] = {}
        for each in parts:
            kinds.setdefault(f"{each.task.phase} {each.text}", []).append(each)
        functions: list[str] = []
        phases: list[list[str]] = [[] for _ in range(self.launch.phases)]
        tiles = [0] * self.launch.phases
        for key, members in kinds.items():
            number = len(functions)
            phase = members[0].task.phase
            functions.append(f"@triton.jit\ndef {self.name}_{number}{members[0].text}")
            begin = tiles[phase]
            tiles[phase] += sum(each.tile.count for each in members)
            call = self.table_call if len(members) >= MANY else self.direct_calls
            phases[phase] += call(number, members, begin)
            del key
        text = self.main(phases, tiles)
        most = max([each.tile.warps for each in parts] + [self.warps])
        found = Source(self.name, "", [], self.table, max(tiles), len(phases), most, self.launch)
        found.walks = any(not each.tile.whole and each.task.mode == "rows" for each in parts)
        found.text = "\n\n".join([_HEAD, *functions, text])
        found.arguments = list(self.arguments.values())
        return found

    def part(self, task: Task) -> _Part:
        tile = self.tile[id(task)]
        reach = self.reach[id(task.works[0].node)]
        merged = {key: phase for key, phase in self.scalars.items() if phase <= task.phase}
        body = Body(task, reach, lambda node: id(node) in self.stored, merged, self.storage, tile)
        body.symbolic = self.symbolic
        body.long = any(self.far(work) for work in task.works if work.how != "finish")
        body.merges = {}  # type: ignore[attr-defined]
        for work in task.works:
            if work.how == "finish":
                body.merges[id(work.node)] = self.merge(id(work.node))  # type: ignore[attr-defined]
        size = task.rows if task.mode != "flat" else int((task.sides or ["c1"])[0][1:])
        return _Part(task, tile, body.write(), body, size)

    def far(self, work: Work) -> bool:
        """Whether a root reads or writes at offsets beyond 32 bits."""
        if math.prod(work.root.space if work.into is None else work.into.shape) > FAR:  # type: ignore[arg-type]
            return True
        return any(self.reaches_far(node) for node, _ in self.reach[id(work.node)].seen(work.root, work.axes))

    def reaches_far(self, node: Expr) -> bool:
        found = self.distant.get(id(node))
        if found is None:
            found = self.distant[id(node)] = looked(node).last > FAR
        return found

    def merge(self, key: int) -> Any:
        work, task = self.left[key]
        across = work.how == "across"
        total = task.rows if across else int(work.side[1:])
        return merged_scalar(work, self.tile[id(task)], total, across)

    # arguments

    def argument(self, what: str, node: Expr, number: int = 0) -> Argument:
        """Return the kernel's argument for an array or partial results."""
        key = (what, id(node), number)
        if key not in self.arguments:
            name = f"{'a' if what == 'array' else 'w'}{len(self.arguments)}"
            self.arguments[key] = self.argument_of(name, what, node, number)
        return self.arguments[key]

    def argument_of(self, name: str, what: str, node: Expr, number: int) -> Argument:
        """Return an argument for an array or partial results."""
        if what == "array":
            return Argument(name, what, node, 0, self.storage(node))
        return self.space_for(name, node, number)

    def space_for(self, name: str, node: Expr, number: int) -> Argument:
        tile = self.tile[id(self.left[id(node)][1])]
        kept = math.prod([d for d in node.shape if isinstance(d, int)])
        values = node.name in ("max", "min") or (node.name.startswith("arg") and not number)
        dtype = node.inputs[0].dtype if values else node.dtype
        dtype_name = "int32" if dtype.kind == "b" and values else dtype.name
        return Argument(name, "part", node, number, dtype_name, kept * tile.pieces)

    def actual(self, key: tuple[str, Expr, int]) -> str:
        what, node, number = key
        if what == "scalar":
            return f"s{list(self.scalars).index(id(node))}"
        return self.argument(what, node, number).name

    def number(self, value: int) -> str:
        """Return a length in the text: an argument if it is to serve others too."""
        if not self.symbolic:
            return str(value)
        name = f"n{sum(each.what == 'number' for each in self.arguments.values())}"
        self.arguments["number", name] = Argument(name, "number", None, 0, "int64" if value > FAR else "int32", value)
        return name

    # calls

    def direct_calls(self, number: int, members: list[_Part], begin: int) -> list[str]:
        """Return the branch of each task: a condition, and the call."""
        found = []
        for each in members:
            args = [f"t - {self.number(begin)}" if begin else "t", self.number(each.size)]
            args += [self.actual(key) for key in each.body.slots.keys]
            begin += each.tile.count
            found.append(f"{self.number(begin)}:{self.name}_{number}({', '.join(args)})")
        return found

    def table_call(self, number: int, members: list[_Part], begin: int) -> list[str]:
        """Return the branch of tasks of one kind, whose addresses and sizes are in the table."""
        keys = [each.body.slots.keys for each in members]
        first = keys[0]
        self.arguments.setdefault("table", Argument("table", "table", None, 0, "int64"))
        own = [k for k, key in enumerate(first) if key[0] != "scalar"]
        width = 2 + len(own)
        rows = len(self.table)
        at = begin
        counts = {each.tile.count for each in members}
        sizes = {each.size for each in members}
        for each, slots in zip(members, keys, strict=True):
            self.table += [at, each.size, *[self.argument_of("", *slots[k]) for k in own]]
            at += each.tile.count
        lines = []
        if len(counts) == 1 and not self.symbolic:
            [count] = counts
            lines.append(
                f"row = table + {rows} + ((t - {begin}) // {count}) * {width}"
                if begin
                else f"row = table + {rows} + (t // {count}) * {width}"
            )
        else:
            places = len(self.table)
            for k, each in enumerate(members):
                self.table += [rows + k * width] * each.tile.count
            lines.append(f"row = table + tl.load(table + {places} + t - {self.number(begin) if begin else 0})")
        loaded = len(sizes) > 1 or self.symbolic
        size = "(tl.load(row + 1)).to(tl.int32)" if loaded else str(members[0].size)
        if loaded and not self.symbolic and all(each % 16 == 0 for each in sizes):
            size = f"tl.multiple_of({size}, 16)"
        args = ["t - tl.load(row).to(tl.int32)", size]
        names: dict[int, str] = {}
        for place, k in enumerate(own):
            what, node, each_number = first[k]
            storage = self.storage(node) if what == "array" else self.space_for("", node, each_number).storage
            kind = TYPES[storage][1] if storage != "bool" else "tl.int1"
            text = f"tl.load(row + {2 + place}).to(tl.pointer_type({kind}))"
            aligned = all(_aligned(slots[k][1]) for slots in keys)
            names[k] = f"tl.multiple_of({text}, 16)" if aligned else text
        args += [names[k] if k in names else self.actual(first[k]) for k in range(len(first))]
        lines.append(f"{self.name}_{number}({', '.join(args)})")
        return [f"{self.number(at)}:" + "\n".join(lines)]

    def main(self, phases: list[list[str]], tiles: list[int]) -> str:
        lines: list[str] = []
        several = len(phases) > 1
        for phase, branches in enumerate(phases):
            if phase:
                lines.append("    grid_barrier(barrier)")
            for work in self.launch.scalars.get(phase, []):
                lines += self.scalar(work)
            if not branches:
                continue
            pad = "    "
            if several:
                lines.append(f"    for t in range(tl.program_id(0), {self.number(tiles[phase])}, tl.num_programs(0)):")
                pad = "        "
            else:
                lines.append("    t = tl.program_id(0)")
            for k, branch in enumerate(branches):
                end, _, call = branch.partition(":")
                last = k == len(branches) - 1
                inner = pad if len(branches) == 1 else pad + "    "
                if len(branches) > 1:
                    lines.append(f"{pad}else:" if last else f"{pad}{'el' if k else ''}if t < {end}:")
                lines += [inner + each for each in call.split("\n")]
        if several:
            self.arguments["barrier"] = Argument("barrier", "barrier", None, 0, "int64")
        names = [each.name for each in self.arguments.values()]
        return "\n".join(["@triton.jit", f"def {self.name}({', '.join(names)}):", *lines]) + "\n"

    def scalar(self, work: Work) -> list[str]:
        """Return the lines that merge partial results of one value, and store it if it is asked for."""
        body = Body(
            Task(0, "rows", 1),
            self.reach[id(work.node)],
            lambda _: False,
            {},
            self.storage,
            Tile(1, 1, True, 1, 1, 1, 4),
        )
        name = f"s{list(self.scalars).index(id(work.node))}"
        body.count = 0
        found = self.merge(id(work.node))(body, "0", "")
        rename = {
            parameter: self.actual(key)
            for key, parameter in zip(body.slots.keys, body.slots.names.values(), strict=True)
        }
        lines = []
        for line in body.lines:
            for parameter, actual in rename.items():
                line = line.replace(f"({parameter} +", f"({actual} +")
            lines.append(_local(line, name))
        lines.append(f"    {name} = {_local(found, name)}")
        if id(work.node) in self.stored:
            pointer = self.argument("array", work.node).name
            lines.append("    none = tl.zeros([1, 1], tl.int32)")
            lines.append(f"    tl.store({pointer} + none, {name}, mask=(tl.program_id(0) + none) == 0)")
        return lines


def _local(line: str, name: str) -> str:
    """Return a line with values named apart from those of others."""
    import re

    return re.sub(r"\bv(\d+)\b", rf"{name}_v\1", line)


def _aligned(node: Expr) -> bool:
    return node.data.aligned if isinstance(node.data, Spec) else True


_HEAD = f"""import triton
import triton.language as tl
from workbench.fusion.gpu.device import {", ".join(HELPERS)}"""
