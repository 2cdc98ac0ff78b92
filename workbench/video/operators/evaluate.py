"""The vector evaluation of a compiled query over the tracks of one video.

Conditions are evaluated over all rows of a space at once, costly properties only at rows that can still matter: rows
that cheaper operands of an `and` have left, inside spans that can still be long enough. The answer does not depend on
that: `naive=True` asks for everything everywhere and gives the same tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from workbench.engine.errors import WorkbenchError
from workbench.video.language import tree
from workbench.video.language.tree import CompiledQuery, Node
from workbench.video.operators.bind import Space, bind, rows_of_type
from workbench.video.operators.columns import PixelCalls, PropertyColumns
from workbench.video.operators.evaluator import Evaluator, NodeStats
from workbench.video.operators.intervals import JOIN, Spans
from workbench.video.operators.properties import Properties
from workbench.video.tracks import Bools, Floats, Ints, Tracks

__all__ = ["Evaluation", "Evaluator", "NodeStats", "evaluate"]


@dataclass
class Evaluation:
    """What a query found in the tracks of one video.

    Events are in the order of the table: by start, end, and ids in variable order.

    Parameters
    ----------
    space : Space
        Bindings and their rows.
    spans : Spans
        The events; `first` and `last` are rows of the space.
    matched : ndarray of bool, shape (rows of the space,)
        Where the condition, or the condition of a part of an interval, is true.
    properties : Properties
        Columns, and failed calls.
    stats : dict
        For each node of the condition, `NodeStats`.
    nearest : tuple of (str, str)
        Without events: what came closest, and how many objects passed each part of the condition.
    """

    query: CompiledQuery
    space: Space
    spans: Spans
    matched: Bools
    properties: Properties
    stats: dict[Node, NodeStats]
    ongoing: Bools
    nearest: tuple[str, str] = ("", "")
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def ids(self) -> Ints:
        """The tracks of each event, shape (events, variables)."""
        return self.space.ids[self.spans.binding]

    @property
    def start(self) -> Floats:
        """Start of each event in seconds."""
        return self.spans.start

    @property
    def end(self) -> Floats:
        """End of each event in seconds."""
        return self.spans.end

    @property
    def frame_start(self) -> Ints:
        """First true frame of each event."""
        return self.space.frame[self.spans.first]

    @property
    def frame_end(self) -> Ints:
        """Last true frame of each event."""
        return self.space.frame[self.spans.last]

    @property
    def columns(self) -> PropertyColumns:
        """The costly property columns, for a later evaluation of the same tracks."""
        return self.properties.columns

    @property
    def errors(self) -> pd.DataFrame:
        """Failed property calls: `property video id frame error traceback`."""
        return self.properties.errors()


def evaluate(
    query: CompiledQuery,
    tracks: Tracks,
    pixels: PixelCalls | None = None,
    *,
    conjuncts: Sequence[Node] | None = None,
    naive: bool = False,
    ongoing: bool = False,
    video: str = "",
    columns: PropertyColumns | None = None,
    limit: int | None = None,
) -> Evaluation:
    """Find the events of a query in the tracks of one video.

    Parameters
    ----------
    query : CompiledQuery
        With at least one variable.
    tracks : Tracks
    pixels : PixelCalls, optional
        Runs property calls that need crops.
    conjuncts : sequence of Node, optional
        The operands of the condition's `and` in the order to take them, and inside them all others too; None: cheap
        ones first.
    naive : bool
        Whether every property is asked for at every row of its type, in the order written.
    ongoing : bool
        Whether more frames will follow: events that these may prolong are marked in `Evaluation.ongoing`.
    video : str
        The video's name in the tables.
    columns : PropertyColumns, optional
        Results of an earlier evaluation of the same tracks; filled further.
    limit : int, optional
        Only the first events, in order.

    Raises
    ------
    WorkbenchError
        If the query has no variables, needs crops and there are none, or its scale cannot be found.
    """
    began = time.perf_counter()
    if not query.variables:
        raise WorkbenchError(f"{query.name} has no variables.", 'Add a line "person: Person" to the query.')
    properties = Properties(tracks, query, pixels, columns, video)
    stats: dict[Node, NodeStats] = {}
    where = query.where
    if conjuncts is not None and len(conjuncts) > 1:
        where = tree.And(operands=tuple(conjuncts))
    elif conjuncts:
        where = conjuncts[0]
    options: dict[str, Any] = {"naive": naive, "planned": conjuncts is not None}
    alive: dict[str, Bools] | None = None
    if len(query.variables) > 1 and not naive and where.kind == "condition":
        alive = _one_variable_rows(query, where, tracks, properties, stats, options)
    space = bind(query, tracks, alive)
    evaluator = Evaluator(space, properties, stats=stats, **options)
    if naive:
        evaluator.ask_everything()
    spans, matched = evaluator.spans(where, np.ones(len(space), bool))
    order = np.lexsort((*space.ids[spans.binding].T[::-1], spans.end, spans.start))
    spans = spans.take(order[:limit])
    still_open = np.zeros(len(spans), bool)
    if ongoing and len(tracks.frames):
        now = float(tracks.frames.time[-1] + tracks.frames.span[-1])
        still_open = now - spans.end <= max([JOIN, *(n.gap for n in where.walk() if isinstance(n, tree.Lasts))])
    found = Evaluation(query, space, spans, matched, properties, stats, still_open)
    if not len(spans):
        from workbench.video.operators.nearest import nearest_miss

        found.nearest = nearest_miss(query, evaluator)
    found.seconds = time.perf_counter() - began
    return found


def _one_variable_rows(
    query: CompiledQuery,
    where: Node,
    tracks: Tracks,
    properties: Properties,
    stats: dict[Node, NodeStats],
    options: dict[str, Any],
) -> dict[str, Bools]:
    """Return for each variable the rows at which its own cheap conjuncts are true: the others cannot be in an event."""
    operands = where.operands if isinstance(where, tree.And) else (where,)
    alive = {}
    for variable in query.variables:
        rows = np.flatnonzero(rows_of_type(tracks, variable.type))
        alone = Space(tracks, (variable,), rows[:, None], tracks.owner[rows], tracks.ids[:, None])
        evaluator = Evaluator(alone, properties, stats=stats, **options)
        mask = np.ones(len(alone), bool)
        for operand in operands:
            if operand.variables() == {variable.name} and evaluator.cost(operand) == 0:
                mask &= evaluator.condition(operand, mask).true
        alive[variable.name] = alone.track_mask(variable.name, mask)
    return alive
