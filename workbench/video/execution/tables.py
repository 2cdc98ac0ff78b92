"""The tables of `detect` and `tracks`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from workbench.engine.run import Run
from workbench.video.execution.cache import Detections
from workbench.video.execution.job import VideoJob
from workbench.video.models.base import LEAST_SCORE

__all__ = ["detect_table", "track_table"]


def detect_table(job: VideoJob, run: Run[Any], labels: Sequence[str] | None, threshold: float | None) -> pd.DataFrame:
    """Return the detections of a video as the public table (see `workbench.video.detect`)."""
    parts: list[Detections] = []
    least = job.spec.threshold if threshold is None else max(float(threshold), LEAST_SCORE)
    run.update(stage="detect")
    for part in job.detections(run):
        parts.append(part.found)
        run.update(done=job.passed, skipped=job.cached)
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


def track_table(job: VideoJob, run: Run[Any], labels: Sequence[str] | None, interpolate: bool) -> pd.DataFrame:
    """Return the tracks of a video as the public table (see `workbench.video.tracks`)."""
    run.update(stage="track" if job.spec.kind == "given" else "detect")
    for _ in job.advance(run):
        run.update(done=job.passed, skipped=job.cached)
    job.check()
    table = job.tracks().to_pandas(job.source.name)
    keep = np.ones(len(table), bool)
    if labels is not None:
        keep &= table["label"].isin(list(labels)).to_numpy()
    if not interpolate:
        keep &= ~table["interpolated"].to_numpy()
    return table[keep].reset_index(drop=True)
