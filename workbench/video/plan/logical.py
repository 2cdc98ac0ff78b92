"""The plan of a query: in what order its conjuncts are taken, what each step is expected to cost, and what to change.

Operators: `decode detect track props filter intervals aggregate`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine.plan import Node as Operator
from workbench.engine.plan import Plan
from workbench.video.language.show import show
from workbench.video.language.tree import Aggregate, And, CompiledQuery, Lasts, Node
from workbench.video.plan.advice import advice
from workbench.video.plan.cost import DECODE_MS_PER_PIXEL, ROW_MS, TRACK_MS, Costs, Figures, detect_ms
from workbench.video.plan.rules import order, pushed, reorder, shared, split

if TYPE_CHECKING:
    from workbench.video.source import VideoInfo


@dataclass(frozen=True)
class QueryPlan:
    """How a query will be answered: plain data, comparable, and nothing has run yet.

    Attributes
    ----------
    query : CompiledQuery
    conjuncts : tuple of Node
        The top-level conjuncts in the order to take them; operands inside them are in order too.
    shared : tuple of Node
        Subtrees that occur more than once; they are computed once.
    detector : str
    frames : int
        Frames to process.
    pixels : int
        Pixels of a frame.
    every : int
    naive : bool
        Whether everything is taken as written, with each property at all rows.
    figures : Figures
        What the estimates rest on.
    settled : bool
        Whether the order stays as it is: another one would ask for values that were never computed.
    ordered_by, ordered_at : Figures, int
        If the order was changed in a run: what had been measured, and after how many frames.
    """

    query: CompiledQuery
    conjuncts: tuple[Node, ...]
    shared: tuple[Node, ...] = ()
    detector: str = ""
    frames: int = 0
    pixels: int = 0
    every: int = 1
    naive: bool = False
    figures: Figures = field(default_factory=Figures)
    settled: bool = False
    ordered_by: Figures | None = None
    ordered_at: int = 0

    @property
    def where(self) -> Node:
        """The whole condition, in the order to take it."""
        return self.conjuncts[0] if len(self.conjuncts) == 1 else And(self.conjuncts)

    @property
    def costs(self) -> Costs:
        """What the nodes cost."""
        return Costs(self.query.types(), self.figures)

    @property
    def pushed(self) -> dict[str, tuple[Node, ...]]:
        """For each variable the conjuncts on it alone, which run before objects are bound together."""
        return pushed(self.conjuncts)

    @property
    def properties(self) -> tuple[tuple[str, str], ...]:
        """The (variable, property) pairs that need calls, in the order of need; those of select and group last."""
        costs = self.costs
        roots = (*self.conjuncts, *self.query.select, *self.query.group)
        return tuple(dict.fromkeys(pair for root in roots for pair in costs.costly(root)))

    @property
    def reads_pixels(self) -> bool:
        """Whether any property needs crops."""
        return any(self.costs.reads_pixels(var, name) for var, name in self.properties)

    @property
    def shares_crops(self) -> bool:
        """Whether several properties need crops, often of the same boxes."""
        return sum(self.costs.reads_pixels(var, name) for var, name in self.properties) > 1

    def filters(self) -> dict[str, Node]:
        """Return the detail of each `filter` operator of `to_plan`, with the node of the condition that it tests."""
        return {show(node): node for node in _tests(self.conjuncts)}

    def to_plan(self) -> Plan:
        """Return the operators with their estimates, and advice."""
        root = self._operators()
        return Plan(root, advice(self, root), self._notes())

    # ------------------------------------------------------------------------------------------------- operators

    def _operators(self) -> Operator:
        costs, figures = self.costs, self.figures
        frames = float(self.frames)
        decode = figures.ms.get("decode", DECODE_MS_PER_PIXEL * self.pixels)
        size = f"every {_ordinal(self.every)} frame" if self.every > 1 else ""
        step = Operator("decode", size, est_rows=frames, est_ms=round(decode * frames * self.every, 3))
        if self.detector == "given":
            kinds = self.query.types().values()
            what = "nothing" if kinds and all(kind.is_a("Scene") for kind in kinds) else "given boxes"
            step = Operator("detect", what, est_rows=frames, est_ms=0.0)
        else:
            per_frame = detect_ms(self.detector, figures)
            step = Operator(
                "detect", self.detector, est_rows=frames, est_ms=round(per_frame * frames, 3), children=(step,)
            )
        rows = frames * figures.rows_per_frame
        tracks = rows / figures.rows_per_track
        labels = ", ".join(f"{one.name}: {one.type.name}" for one in self.query.variables)
        step = Operator(
            "track", labels, est_rows=round(rows, 1),
            est_ms=round(figures.ms.get("track", TRACK_MS) * frames, 3), children=(step,),
        )  # fmt: skip
        known: set[tuple[str, str]] = set()
        if self.naive:
            for pair in self.properties:
                step = self._calls(step, costs, pair, rows, tracks)
                known.add(pair)
        for node in _tests(self.conjuncts):
            for pair in costs.costly(node):
                if pair not in known:
                    step = self._calls(step, costs, pair, rows, tracks)
                    known.add(pair)
            share = costs.selectivity(node)
            own = ROW_MS * rows * sum(1 for _ in node.walk())
            rows, tracks = rows * share, tracks * share**0.5  # a track stays if any of its rows does
            step = Operator("filter", show(node), est_rows=round(rows, 1), est_ms=round(own, 3), children=(step,))
        spans = max(rows / figures.rows_per_track, 0.0)
        detail = ", ".join(show(node) for node in self.conjuncts if node.kind == "interval") or "runs of true frames"
        step = Operator("intervals", detail, est_rows=round(spans, 1), est_ms=round(ROW_MS * rows, 3), children=(step,))
        for pair in self.properties:
            if pair not in known:
                step = self._calls(step, costs, pair, rows, tracks)
        if self.query.group or any(isinstance(item, Aggregate) for item in self.query.select):
            items = ", ".join(map(show, self.query.select))
            keys = ", ".join(map(show, self.query.group))
            detail = f"{items} by {keys}" if items and keys else items or f"by {keys}"
            step = Operator(
                "aggregate", detail, est_rows=round(spans, 1), est_ms=round(ROW_MS * spans, 3), children=(step,)
            )
        return step

    def _calls(self, below: Operator, costs: Costs, pair: tuple[str, str], rows: float, tracks: float) -> Operator:
        var, name = pair
        calls = costs.calls(var, name, rows, tracks)
        return Operator(
            "props", f"{var}.{name}", est_rows=round(calls, 1), est_ms=round(costs.call_ms(var, name) * calls, 3),
            children=(below,),
        )  # fmt: skip

    # ---------------------------------------------------------------------------------------------- words about it

    def _notes(self) -> tuple[str, ...]:
        found = [f"shared: {show(node)}" for node in self.shared]
        if self.ordered_at:
            found.append(f"order changed after {self.ordered_at:,} frames, by what they had shown")
        return (*found, "naive: everything as written") if self.naive else tuple(found)


def plan_query(
    compiled: CompiledQuery,
    *,
    info: VideoInfo | None = None,
    detector: str = "",
    frames: int | None = None,
    every: int = 1,
    figures: Figures | dict[str, Any] | None = None,
) -> QueryPlan:
    """Return the plan of a query.

    Parameters
    ----------
    compiled : CompiledQuery
    info : VideoInfo, optional
        Size and length of the video, for the estimates.
    detector : str
        Its name; ``"given"`` for a table of boxes.
    frames : int, optional
        Frames to process; by default all of `info`, divided by `every`.
    every : int
    figures : Figures or dict, optional
        What earlier runs have measured.
    """
    known = figures if isinstance(figures, Figures) else Figures.from_dict(figures)
    costs = Costs(compiled.types(), known)
    conjuncts = order([reorder(node, costs) for node in split(compiled.where)], costs)
    roots = (*conjuncts, *compiled.select, *compiled.group)
    return QueryPlan(
        compiled, conjuncts, shared(roots), detector, _frames(info, frames, every), _pixels(info), every, False, known
    )


def naive_plan(
    compiled: CompiledQuery,
    *,
    info: VideoInfo | None = None,
    detector: str = "",
    frames: int | None = None,
    every: int = 1,
    figures: Figures | dict[str, Any] | None = None,
) -> QueryPlan:
    """Return the plan that takes everything as written: what `plan_query` is measured against."""
    known = figures if isinstance(figures, Figures) else Figures.from_dict(figures)
    size = _frames(info, frames, every)
    return QueryPlan(compiled, split(compiled.where), (), detector, size, _pixels(info), every, True, known)


def _frames(info: VideoInfo | None, frames: int | None, every: int) -> int:
    if frames is not None:
        return frames
    return 0 if info is None else -(-info.frames // every)


def _pixels(info: VideoInfo | None) -> int:
    return 0 if info is None else info.width * info.height


def _tests(conjuncts: tuple[Node, ...]) -> Iterator[Node]:
    """Yield the frame conditions that rows go through, those inside intervals included."""
    for node in conjuncts:
        if node.kind == "condition":
            yield node
        elif isinstance(node, Lasts):
            yield from _tests(split(node.operand))
        elif isinstance(node, And):
            yield from _tests(node.operands)
        # of the others, rows go through either part: neither is a filter by itself


def _ordinal(number: int) -> str:
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
