"""Which events can no longer change, so that a run with `limit` may end before the video does.

At any moment there is a time before which everything is settled: the first box of any track that may still grow or
change its label, or the first frame not yet looked at. All that happens in frames before it is final, and a track that
began before it has ended.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from workbench.video.execution.job import VideoJob
from workbench.video.language import tree
from workbench.video.language.tree import CompiledQuery, Every, Node
from workbench.video.models.base import DetectorSpec
from workbench.video.operators.intervals import JOIN

__all__ = ["certain_events", "lookahead"]


def lookahead(query: CompiledQuery, spec: DetectorSpec) -> float | None:
    """Return how long before the settled time an event must have ended to be certain, in seconds.

    Returns
    -------
    float or None
        0: an event follows from its own tracks alone, so that it is certain as soon as it starts before the settled
        time. More than 0: what others do in the same frames counts too, so that it must have ended by then. None:
        nothing is certain before the end of the video: a scale fitted to all persons, labels settled at the end,
        buckets of time that later frames add, events that begin before all of their objects are seen, or that wait
        for something not to happen.
    """
    if (query.scale is not None and query.scale.mode == "person") or spec.suitcases:
        return None
    if any(isinstance(key, Every) for key in query.group):
        return None
    names = frozenset(variable.name for variable in query.variables)
    others = any(isinstance(node, (tree.Quantified, tree.Total)) for node in query.where.walk())
    whole_frame = not names or any(variable.type.name == "Scene" for variable in query.variables)
    if not others and not whole_frame:
        return 0.0 if _starts_with_all(query.where, names) else None
    slack = JOIN
    for node in query.where.walk():
        if isinstance(node, tree.Lasts):
            slack += node.duration + node.gap
        elif isinstance(node, tree.Turns):
            slack += node.over
        elif isinstance(node, tree.Interval):
            return None
    return slack


def certain_events(events: pd.DataFrame, job: VideoJob, slack: float | None) -> int:
    """Return how many of the first events are certain.

    Parameters
    ----------
    events : DataFrame
        Those known now, in order.
    job : VideoJob
    slack : float or None
        What `lookahead` says of the query.
    """
    if job.complete:
        return len(events)
    if job.fold is None or job.given_tracks or slack is None:
        return 0
    since = job.fold.open_since()
    settled = job.next_time if since is None else min(since, job.next_time)
    if slack == 0.0:
        # No event can come before these any more: one of tracks that are still open starts later.
        return int((events["start"] < settled).sum())
    final = events["end"].to_numpy() + slack < settled
    # One that may yet grow was there before those after it: only what stands before it is certain.
    return len(final) if final.all() else int(np.argmin(final))


def _starts_with_all(node: Node, names: frozenset[str]) -> bool:
    """Return whether each span of a node starts when all of these variables' objects have been seen."""
    if not names <= node.variables():
        return False
    match node:
        case tree.And(operands=operands) if node.kind == "interval":
            # An intersection starts when its last operand does.
            return all(_starts_with_all(operand, operand.variables()) for operand in operands)
        case tree.Or(operands=operands) if node.kind == "interval":
            return all(_starts_with_all(operand, names) for operand in operands)
        case tree.Lasts(operand=operand):
            return _starts_with_all(operand, names)
        case tree.Sequence(steps=(first, *_)) | tree.Before(first=first) | tree.During(inner=first):
            return _starts_with_all(first, names)
        case tree.Turns():
            return True
        case tree.Inner(hidden=hidden, where=where):
            return not hidden and _starts_with_all(where, names)
    return not isinstance(node, tree.Interval)
