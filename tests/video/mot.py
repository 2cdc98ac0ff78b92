"""Scores of tracks against true tracks, by motmetrics at IoU 0.5."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from workbench.video.models.boxes import iou_matrix

BOX = ["x1", "y1", "x2", "y2"]


def mot_scores(truth: pd.DataFrame, found: pd.DataFrame) -> dict[str, float]:
    """Return `idf1`, `mota` and `num_switches` of the people in a table of tracks.

    Both tables have `frame`, `id` and the box; frames without any row in both do not count.
    """
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # motmetrics 1.4 uses names that numpy 2 no longer has.
        patch.setattr(np, "asfarray", lambda values, dtype=float: np.asarray(values, dtype=dtype), raising=False)
        import motmetrics

        met = motmetrics.MOTAccumulator(auto_id=False)
        true_rows, rows = dict(iter(truth.groupby("frame"))), dict(iter(found.groupby("frame")))
        for frame in sorted(true_rows.keys() | rows.keys()):
            true, mine = true_rows.get(frame, truth.iloc[:0]), rows.get(frame, found.iloc[:0])
            distance = 1 - iou_matrix(true[BOX].to_numpy(), mine[BOX].to_numpy())
            distance = np.where(distance > 0.5, np.nan, distance)
            met.update(true["id"].to_numpy(), mine["id"].to_numpy(), distance, frameid=frame)
        names = ["idf1", "mota", "num_switches"]
        row = motmetrics.metrics.create().compute(met, metrics=names, name="all").iloc[0]
        return {name: float(row[name]) for name in names}
