"""The plan of a question: Read, Encode, Score, Label, Collect, Count, Rank, with estimates and then actuals."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from workbench.engine.plan import Node, Plan

if TYPE_CHECKING:
    from workbench.anomaly.frames import Data
    from workbench.anomaly.language import Request

__all__ = ["Actuals", "filled", "in_tasks", "planned"]

#: bytes of a file above which it is read in tasks, a part at a time
LARGE = 1 << 30

#: nanoseconds a row, as measured on one core at 2.1 GHz: what estimates are made of
READ_NS = {"path": 200.0, "duckdb": 30.0, "dask": 100.0, "polars": 1.0, "arrow": 1.0, "pandas": 1.0}
ENCODE_NS = {"text": 12.0, "integer": 4.0, "float": 25.0, "category": 3.0}
SCORE_NS = {"mad": 19.0, "zscore": 10.0, "percentile": 10.0, "mcd": 30.0, "rcov": 25.0}
LABEL_NS, COUNT_NS, CANDIDATE_US = 1.5, 4.0, 4.0
#: a compiled search costs this much whatever the number of rows, in ms
SEARCH_MS = 3.0
#: candidates a pair of columns, as found on the data of the benchmarks
CANDIDATES = 12.0


def in_tasks(data: Data) -> bool:
    """Whether the rows are read in tasks of the session: Dask frames, and files too large for one process."""
    return data.kind == "dask" or (data.kind == "path" and data.size > LARGE)


def planned(data: Data, request: Request, *, tasks: bool = False) -> Plan:
    """Return the plan of a question with its estimates; nothing is read for it.

    Parameters
    ----------
    data : Data
    request : Request
    tasks : bool
        Whether the rows are read in tasks.
    """
    rows = None if data.kind == "dask" else float(data.n_rows)
    names = [name for name, _ in request.by]
    share = request.top * (2 if request.score == "percentile" and request.tail == "both" else 1)
    marked = None if rows is None or _marked_by(request) else share * rows
    on_disk = data.kind == "path" or hasattr(data, "files")  # tables in memory would be converted to be measured
    node = Node("Read", _read(data), est_rows=rows, est_bytes=float(data.size) if on_disk else None,
                est_ms=_ms(rows, READ_NS.get(data.kind, 1.0)))  # fmt: skip
    cost = sum(ENCODE_NS[_kind(data, name)] for name in names)
    node = Node("Encode", ", ".join(names), est_rows=rows, est_bytes=None if rows is None else rows * len(names),
                est_ms=_ms(rows, cost), children=(node,))  # fmt: skip
    if not _marked_by(request):
        node = Node("Score", _score(request), est_rows=rows, est_ms=_ms(rows, SCORE_NS.get(str(request.score), 30.0)),
                    children=(node,))  # fmt: skip
    node = Node("Label", _label(request), est_rows=rows, est_ms=_ms(rows, LABEL_NS), children=(node,))
    node = Node("Collect", "outlier rows", est_rows=marked, est_ms=_ms(rows, LABEL_NS), children=(node,))
    orders = min(request.max_combo, max(1, len(names)))
    pairs = len(names) * (len(names) - 1) / 2 if orders > 1 else 0
    candidates = pairs * CANDIDATES
    counting = SEARCH_MS + candidates * CANDIDATE_US / 1e3
    node = Node(
        "Count",
        f"1 to {orders} columns" if orders > 1 else "1 column",
        est_rows=candidates,
        est_ms=None if rows is None else counting + len(names) * COUNT_NS * rows / 1e6,
        children=(node,),
    )
    return Plan(Node("Rank", f"by {request.compare}", est_ms=1.0, children=(node,)), notes=tuple(_notes(tasks)))


@dataclass
class Actuals:
    """What each operator really did.

    Attributes
    ----------
    figures : dict
        Operator -> fields of its `Node`.
    notes : list of str
        What was decided on the way.
    """

    figures: dict[str, dict[str, Any]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.perf_counter)

    @contextmanager
    def step(self, op: str, **figures: Any) -> Iterator[None]:
        """Time a block as a part of operator `op`."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self.add(op, ms=(time.perf_counter() - begin) * 1e3)
            self.set(op, **figures)

    def add(self, op: str, **figures: float) -> None:
        """Add to figures of an operator."""
        known = self.figures.setdefault(op, {})
        for name, value in figures.items():
            known[name] = known.get(name, 0.0) + value

    def set(self, op: str, **figures: Any) -> None:
        """Set figures of an operator."""
        self.figures.setdefault(op, {}).update(figures)

    def note(self, text: str) -> None:
        """Say what was decided."""
        if text not in self.notes:
            self.notes.append(text)

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.perf_counter() - self.began


def filled(plan: Plan, actuals: Actuals) -> Plan:
    """Return the plan with what was counted and timed beside the estimates."""

    def fill(node: Node) -> Node:
        children = tuple(fill(child) for child in node.children)
        return replace(node, children=children, **actuals.figures.get(node.op, {}))

    return replace(plan, root=fill(plan.root), notes=(*plan.notes, *actuals.notes))


# ----------------------------------------------------------------------------------------------------------- private


def _ms(rows: float | None, ns: float) -> float | None:
    return None if rows is None else rows * ns / 1e6


def _read(data: Data) -> str:
    return data.name if data.kind in ("path", "duckdb") else f"{data.name} ({data.kind})"


def _kind(data: Data, name: str) -> str:
    text = str(data.schema.get(name))
    if text.startswith("dictionary"):
        return "category"
    if text.startswith(("float", "double", "half", "decimal")):
        return "float"
    return "integer" if text.startswith(("int", "uint", "bool", "date", "time")) else "text"


def _marked_by(request: Request) -> bool:
    return request.where is not None or request.labels is not None or request.compare == "mean_deviation"


def _score(request: Request) -> str:
    score = request.score
    name = score if isinstance(score, str) else getattr(score, "__name__", None) or type(score).__name__.lower()
    if request.cube is not None:
        name = "cube"
    return f"{name} of {', '.join(request.metrics)}" if request.metrics else str(name)


def _label(request: Request) -> str:
    if request.where is not None:
        return f"where {request.where}"
    if request.labels is not None:
        return f"labels {request.labels}" if isinstance(request.labels, str) else "labels"
    if request.compare == "mean_deviation":
        return "every row"
    if request.threshold is not None:
        return f"score > {request.threshold:g}"
    tails = {"both": "both tails", "high": "high tail", "low": "low tail"}
    return f"top {100 * request.top:g} %, {tails[request.tail]}"


def _notes(tasks: bool) -> Iterator[str]:
    if tasks:
        yield "read in tasks, a part at a time; three rounds, and small things travel"
    else:
        yield "in this process"
