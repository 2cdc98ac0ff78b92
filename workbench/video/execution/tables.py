"""The tables of `detect` and `tracks`: one video after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.engine.errors import WorkbenchError
from workbench.engine.run import Run
from workbench.video.execution.cache import Detections
from workbench.video.execution.job import VideoJob
from workbench.video.models.base import LEAST_SCORE
from workbench.video.operators.merge import joined_tables

__all__ = ["detect_table", "track_table"]


def detect_table(
    jobs: Sequence[VideoJob], run: Run[Any], labels: Sequence[str] | None, threshold: float | None
) -> pd.DataFrame:
    """Return the detections of videos as the public table (see `workbench.video.detect`)."""
    return _one_after_another(jobs, run, lambda job: _detections(job, run, jobs, labels, threshold))


def track_table(
    jobs: Sequence[VideoJob], run: Run[Any], labels: Sequence[str] | None, interpolate: bool
) -> pd.DataFrame:
    """Return the tracks of videos as the public table (see `workbench.video.tracks`)."""
    return _one_after_another(jobs, run, lambda job: _tracks(job, run, jobs, labels, interpolate))


# ----------------------------------------------------------------------------------------------------------- private


def _one_after_another(
    jobs: Sequence[VideoJob], run: Run[Any], table: Callable[[VideoJob], pd.DataFrame]
) -> pd.DataFrame:
    found, errors = [], []
    for job in jobs:
        try:
            found.append(table(job))
        except WorkbenchError as error:
            job.notes.add(error.message, error.hint)
            errors.append(error)
        if run.cancelled.is_set():
            break
    if not found:
        raise errors[0]
    return joined_tables(found)


def _report(jobs: Sequence[VideoJob], run: Run[Any]) -> None:
    run.update(done=sum(job.passed for job in jobs), skipped=sum(job.cached for job in jobs))


def _detections(
    job: VideoJob, run: Run[Any], jobs: Sequence[VideoJob], labels: Sequence[str] | None, threshold: float | None
) -> pd.DataFrame:
    parts: list[Detections] = []
    least = job.spec.threshold if threshold is None else max(float(threshold), LEAST_SCORE)
    run.update(stage="detect")
    for part in job.detections(run):
        parts.append(part.found)
        _report(jobs, run)
    job.check()
    frame = np.concatenate([np.empty(0, np.int64), *(part.frame for part in parts)])
    label = np.concatenate([np.empty(0, np.str_), *(part.label for part in parts)])
    score = np.concatenate([np.empty(0), *(part.score for part in parts)])
    box = np.concatenate([np.empty((0, 4)), *(part.box for part in parts)])
    keep = score >= least
    if labels is not None:
        keep &= np.isin(label, list(labels))
    frame, label, score, box = frame[keep], label[keep], score[keep], box[keep]
    order = np.lexsort((box[:, 1], box[:, 0], -score, frame))
    return pd.DataFrame(
        {
            "video": pd.Series([job.source.name] * len(order), dtype="str"),
            "frame": frame[order],
            "time": job.times[frame[order]],
            "label": pd.Series(label[order].astype(object), dtype="str"),
            "score": score[order],
            **{name: box[order, column] for column, name in enumerate(("x1", "y1", "x2", "y2"))},
        }
    )


def _tracks(
    job: VideoJob, run: Run[Any], jobs: Sequence[VideoJob], labels: Sequence[str] | None, interpolate: bool
) -> pd.DataFrame:
    run.update(stage="track" if job.spec.kind == "given" else "detect")
    for _ in job.advance(run):
        _report(jobs, run)
    job.check()
    table = job.tracks().to_pandas(job.source.name)
    keep = np.ones(len(table), bool)
    if labels is not None:
        keep &= table["label"].isin(list(labels)).to_numpy()
    if not interpolate:
        keep &= ~table["interpolated"].to_numpy()
    return table[keep].reset_index(drop=True)
