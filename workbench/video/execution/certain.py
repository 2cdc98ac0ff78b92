"""Which events can no longer change, so that a run with `limit` may end before the video does."""

from __future__ import annotations

import pandas as pd

from workbench.video.execution.job import VideoJob
from workbench.video.language.tree import CompiledQuery, Every
from workbench.video.models.base import DetectorSpec

__all__ = ["certain_events", "is_simple"]


def is_simple(query: CompiledQuery, spec: DetectorSpec) -> bool:
    """Return whether the first events can be told before the end of the video.

    They can if an event follows from its own track alone: with one variable, no scale fitted to all persons, no label
    that is settled only at the end, and no buckets of time that later frames would add.
    """
    return (
        len(query.variables) == 1
        and (query.scale is None or query.scale.mode != "person")
        and not spec.suitcases
        and not any(isinstance(key, Every) for key in query.group)
    )


def certain_events(events: pd.DataFrame, job: VideoJob) -> int:
    """Return how many of the first events are certain.

    A track that has not ended may still gain events at any time since its first box (its label may change, a vote over
    its crops may turn), and so may a track that is not confirmed yet. An event that starts before all of these belongs
    to a track that has ended, and no event can come before it any more.
    """
    if job.complete:
        return len(events)
    if job.fold is None:
        return 0
    since = job.fold.open_since()
    horizon = job.next_time if since is None else min(since, job.next_time)
    return int((events["start"] < horizon).sum())
