"""The vector evaluation of a compiled query over the tracks of one video.

Conditions are evaluated over all rows of a space at once, costly properties only at rows that can still matter: rows
that cheaper operands of an `and` have left, inside spans that can still be long enough. The answer does not depend on
that: `naive=True` asks for everything everywhere and gives the same tables.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from workbench.video.language import tree
from workbench.video.language.tree import CompiledQuery, Node
from workbench.video.operators.bind import rows_of_type
from workbench.video.operators.columns import PixelCalls, PropertyColumns
from workbench.video.operators.evaluator import Evaluator, NodeStats
from workbench.video.operators.intervals import JOIN, Spans
from workbench.video.operators.occurrences import Occurrences
from workbench.video.operators.properties import Properties, is_costly
from workbench.video.operators.temporal import Temporal
from workbench.video.tracks import Bools, Floats, Ints, Tracks

__all__ = ["Evaluation", "Evaluator", "NodeStats", "evaluate", "needs_scene"]


@dataclass
class Evaluation:
    """What a query found in the tracks of one video.

    Events are in the order of the table: by start, end, and ids in variable order.

    Parameters
    ----------
    tracks : Tracks
    found : Occurrences
        The spans are the events, in their order.
    properties : Properties
        Columns, and failed calls.
    stats : dict
        For each node of the condition, `NodeStats`.
    ongoing : ndarray of bool, shape (events,)
        Which events more frames may prolong.
    nearest : tuple of (str, str)
        Without events: what came closest, and how many objects passed each part of the condition.
    """

    query: CompiledQuery
    tracks: Tracks
    found: Occurrences
    properties: Properties
    stats: dict[Node, NodeStats]
    ongoing: Bools
    nearest: tuple[str, str] = ("", "")
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.spans)

    @property
    def spans(self) -> Spans:
        """The events; `first` and `last` are positions in the processed frames."""
        return self.found.spans

    @property
    def ids(self) -> Ints:
        """The tracks of each event, shape (events, variables)."""
        return self.found.ids[self.spans.binding]

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
        return self.tracks.frames.frame[self.spans.first]

    @property
    def frame_end(self) -> Ints:
        """Last true frame of each event."""
        return self.tracks.frames.frame[self.spans.last]

    @cached_property
    def matched(self) -> tuple[Ints, Ints]:
        """(event, position) of each matched frame of each event, in order."""
        base = self.found.base
        keys = self.spans.binding * base
        low = np.searchsorted(self.found.matched, keys + self.spans.first, side="left")
        count = np.searchsorted(self.found.matched, keys + self.spans.last, side="right") - low
        event = np.repeat(np.arange(len(self)), count)
        place = np.arange(len(event)) - np.repeat(np.cumsum(count) - count, count) + low[event]
        return event, self.found.matched[place] % base

    @property
    def columns(self) -> PropertyColumns:
        """The costly property columns, for a later evaluation of the same tracks."""
        return self.properties.columns

    @property
    def errors(self) -> pd.DataFrame:
        """Failed property calls: `property video id frame error traceback`."""
        return self.properties.errors()

    def first(self, count: int) -> Evaluation:
        """Return the first events only."""
        spans = self.spans.take(np.arange(min(count, len(self))))
        return replace(self, found=replace(self.found, spans=spans), ongoing=self.ongoing[:count])


def needs_scene(query: CompiledQuery) -> bool:
    """Return whether a query asks about the whole frame, so that its tracks need `tracks.with_scene`."""
    return any(kind.is_a("Scene") for kind in query.types().values())


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
    tracks : Tracks
        With the scene, if the query needs it.
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
        If the query needs crops and there are none, or its scale cannot be found.
    """
    began = time.perf_counter()
    properties = Properties(tracks, query, pixels, columns, video)
    where = query.where
    if conjuncts is not None and len(conjuncts) > 1:
        where = tree.And(operands=tuple(conjuncts))
    elif conjuncts:
        where = conjuncts[0]
    temporal = Temporal(properties, query.variables, where, query.types(), naive, conjuncts is not None)
    if naive:
        _ask_everything(query, properties)
    found = temporal.answer()
    spans = found.spans
    order = np.lexsort((*found.ids[spans.binding].T[::-1], spans.end, spans.start))
    spans = spans.take(order[:limit])
    still_open = np.zeros(len(spans), bool)
    if ongoing and len(tracks.frames):
        now = float(tracks.frames.time[-1] + tracks.frames.span[-1])
        still_open = now - spans.end <= max([JOIN, *(n.gap for n in where.walk() if isinstance(n, tree.Lasts))])
    answer = Evaluation(query, tracks, replace(found, spans=spans), properties, temporal.stats, still_open)
    if not len(spans):
        from workbench.video.operators.nearest import nearest_miss

        answer.nearest = nearest_miss(query, temporal)
    answer.seconds = time.perf_counter() - began
    return answer


def _ask_everything(query: CompiledQuery, properties: Properties) -> None:
    """Ask for every costly property that the query names at all rows of its type."""
    types = query.types()
    for node in query.nodes():
        if isinstance(node, tree.Property) and node.var and is_costly(types[node.var], node.name):
            kind = types[node.var]
            properties.column(kind, node.name, rows_of_type(properties.tracks, kind))
