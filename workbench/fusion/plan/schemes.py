"""How the values of a kernel reach their users in it, and so which vertices one kernel of a device can compute.

local: one to one, in registers. warp: one to many along a short row. regional: one to many along a row that fits what a
block, or a core, keeps close. global: to anyone, behind a barrier. Kernels that know nothing of each other are packed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from workbench.fusion.expr import Dim
from workbench.fusion.plan.grouping import begun, joins
from workbench.fusion.plan.kernels import Partition, Vertex
from workbench.fusion.plan.model import DeviceModel

__all__ = ["SCHEMES", "WARP", "Built", "Loops", "Schemes", "Stitches", "schemes_of"]

#: narrowest first
SCHEMES = ("local", "warp", "regional", "global")
#: elements of a row that one warp reduces
WARP = 512


@dataclass(eq=False)
class Built:
    """A kernel that a device can run.

    Attributes
    ----------
    stages : dict of int to int
        Vertex -> which of the kernel's loops computes it.
    inner : dict of int to bool
        Vertex -> whether it is computed for each element, not once a row.
    schemes : dict of int to str
        Vertex that is used in the kernel -> how its value reaches its users.
    rows : int
        Leading dimensions that are rows.
    kept_bytes : float
        Of shared memory, or of tile buffers.
    """

    stages: dict[int, int] = field(default_factory=dict)
    inner: dict[int, bool] = field(default_factory=dict)
    schemes: dict[int, str] = field(default_factory=dict)
    rows: int = 0
    kept_bytes: float = 0.0

    @property
    def scheme(self) -> str:
        """The widest scheme inside."""
        return max(self.schemes.values(), key=SCHEMES.index, default="local")

    @property
    def barriers(self) -> int:
        """How often all of the kernel waits for all of it."""
        return len({self.stages[number] for number, scheme in self.schemes.items() if scheme == "global"})


class Schemes(Protocol):
    """The rules of a device."""

    def built(self, vertices: Sequence[Vertex], parts: Partition) -> Built | None:
        """Return the kernel that computes vertices, ascending; None if there is none."""


class Loops:
    """A CPU: loops over one space, whose later stages see the reductions of earlier ones."""

    def built(self, vertices: Sequence[Vertex], parts: Partition) -> Built | None:
        """Return the kernel of loops that computes vertices; None if their loops do not fit together."""
        if vertices[0].root is None:
            return Built({vertices[0].number: 0}, {vertices[0].number: True}) if len(vertices) == 1 else None
        group = begun(vertices[0])
        if not all(joins(vertex, group, parts) for vertex in vertices[1:]):
            return None
        found = Built(rows=group.rows or 0)
        inside = {each.number: root for each, root in zip(vertices, group.roots, strict=True)}
        for vertex in vertices:
            root = inside[vertex.number]
            found.stages[vertex.number], found.inner[vertex.number] = root.stage, root.inner
            for need in vertex.needs:
                made = inside.get(need)
                if made is not None:
                    found.schemes[need] = "local" if made.kind == "scan" else "regional" if made.rows else "global"
        return found


class Stitches:
    """A GPU: phases over tiles, with shared memory within a block and barriers across the grid.

    Parameters
    ----------
    model : DeviceModel
    length : callable
        Gives the number that a length is taken for.
    """

    def __init__(self, model: DeviceModel, length: Callable[[Dim], float]) -> None:
        self.model, self.length = model, length

    def built(self, vertices: Sequence[Vertex], parts: Partition) -> Built | None:
        """Return the stitched kernel that computes vertices; None if some of them are kernels of their own."""
        if len(vertices) > 1 and any(_alone(each) for each in vertices):
            return None
        found = Built()
        inside = {each.number: each for each in vertices}
        row_bytes: dict[int, float] = {}
        for vertex in vertices:
            stage = 0
            for need in vertex.needs:
                if need not in inside:
                    continue
                scheme = self.reaches(inside[need], vertex)
                known = found.schemes.get(need, "local")
                found.schemes[need] = max(scheme, known, key=SCHEMES.index)
                stage = max(stage, found.stages[need] + (scheme != "local"))
                if found.schemes[need] == "regional":
                    row_bytes[need] = self.row(inside[need]) * inside[need].node.dtype.itemsize
            found.stages[vertex.number], found.inner[vertex.number] = stage, True
            if vertex.root is not None:
                found.rows = max(found.rows, vertex.root.rows)
        limit = self.model.limits.shared_bytes
        regional = {number: size for number, size in row_bytes.items() if found.schemes[number] == "regional"}
        while sum(regional.values()) > limit:
            largest = max(regional, key=lambda number: (regional[number], -number))
            found.schemes[largest] = "global"
            del regional[largest]
        found.kept_bytes = sum(regional.values())
        return found

    def row(self, vertex: Vertex) -> float:
        """Return the elements of a row of what a vertex reduces."""
        root = vertex.root
        assert root is not None
        return math.prod([self.length(d) for d in root.space[root.rows :]])

    def reaches(self, made: Vertex, user: Vertex) -> str:
        """Return the narrowest scheme by which a value reaches a user."""
        root, own = made.root, user.root
        assert root is not None
        assert own is not None
        if id(made.node) in user.through:
            return "global"
        if root.kind == "store":
            return "local" if own.space == root.space else "global"
        if root.kind not in ("reduce", "scan") or not root.rows or own.space[: root.rows] != root.space[: root.rows]:
            return "global"
        row = self.row(made)
        if root.kind == "reduce" and row <= WARP:
            return "warp"
        return "regional" if row * made.node.dtype.itemsize <= self.model.limits.shared_bytes else "global"


def _alone(vertex: Vertex) -> bool:
    return vertex.root is None or vertex.root.kind in ("group", "scatter", "concat")


def schemes_of(model: DeviceModel, length: Callable[[Dim], float]) -> Schemes:
    """Return the rules of a device."""
    return Loops() if model.device == "cpu" else Stitches(model, length)
