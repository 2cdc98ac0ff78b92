"""Boxes that a person brings along as a table, with or without ids, and MOT files read as such a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.models.base import DetectionSession, DetectorSpec, Floats, Image
from workbench.video.tracks import Frames, Tracks

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GivenBoxes", "given_spec", "nothing_spec", "read_mot"]

_NEEDED = ("frame", "x1", "y1", "x2", "y2")
_HINT = "Columns: frame, x1, y1, x2, y2[, label, score, id]."


class GivenBoxes:
    """A checked table of boxes; no model runs.

    Parameters
    ----------
    table : DataFrame
        `frame` (int, 0-based), `x1 y1 x2 y2`, and optionally `label` ("object"), `score` (1.0), `id` (int) and `video`.

    Raises
    ------
    WorkbenchError
        For a column that is missing or unreadable, a box without width or height, an id twice in a frame.
    """

    #: no picture is looked at, so none need be decoded
    needs_pixels = False
    batch = 1024

    def __init__(self, table: pd.DataFrame) -> None:
        for column in _NEEDED:
            if column not in table.columns:
                raise WorkbenchError(f"The table of boxes lacks '{column}'.", _HINT)
        self.frame = _whole(table, "frame")
        if (self.frame < 0).any():
            raise WorkbenchError(f"The table of boxes has frame {self.frame.min()}.", "Frames count from 0.")
        self.box = np.column_stack([_numbers(table, column) for column in _NEEDED[1:]])
        flat = ~((self.box[:, 2] > self.box[:, 0]) & (self.box[:, 3] > self.box[:, 1]))
        if flat.any():
            where = int(self.frame[flat][0])
            raise WorkbenchError(
                f"The table of boxes has a box without width or height in frame {where}.",
                "x1, y1 is the upper left corner and x2, y2 the lower right.",
            )
        count = len(table)
        names = _texts(table, "label") if "label" in table else np.full(count, "object", object)
        self.labels: tuple[str, ...] = tuple(sorted(set(names)))
        self.label = np.array([self.labels.index(name) for name in names], np.int64)
        self.score = _numbers(table, "score", missing=True) if "score" in table else np.ones(count)
        self.id = _whole(table, "id") if "id" in table else None
        self.video = _texts(table, "video") if "video" in table else None
        if self.id is not None:
            self._check_ids(self.id)
        self._order = np.lexsort((self.label, self.box[:, 1], self.box[:, 0], -self.score, self.frame))

    def _check_ids(self, ids: np.ndarray) -> None:
        videos = np.zeros(len(ids), np.int64) if self.video is None else np.unique(self.video, return_inverse=True)[1]
        order = np.lexsort((ids, self.frame, videos))
        keys = np.column_stack((videos, self.frame, ids))[order]
        again = np.flatnonzero((keys[1:] == keys[:-1]).all(axis=1))
        if len(again):
            _, frame, twice = keys[again[0]]
            raise WorkbenchError(f"The table of boxes has id {twice} twice in frame {frame}.", _HINT)

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def has_ids(self) -> bool:
        """Whether the tracks are given too."""
        return self.id is not None

    def left_out(self, video: str, count: int) -> str:
        """Return what of the table cannot be used with a video of `count` frames, as a note; "" if nothing is.

        Rows of other videos are left out on purpose, unless there are no others.
        """
        mine = self._of(video)
        if len(self) and not mine.any():
            return f"The table of boxes has no rows for {Path(video).name}."
        beyond = int(np.count_nonzero(self.frame[mine] >= count))
        if not beyond:
            return ""
        return f"The table of boxes has {beyond} boxes beyond the {count} frames of {Path(video).name}."

    def _of(self, video: str) -> np.ndarray:
        """Return a mask of the rows of a video: by the name the person wrote, or the file's name."""
        if self.video is None:
            return np.ones(len(self), bool)
        mine = self.video == video
        return mine if mine.any() else np.array([Path(name).name == Path(video).name for name in self.video], bool)

    def open(self, source: Any = None) -> DetectionSession:
        """Return a session that looks up the boxes of the source's frames."""
        mine = self._of(getattr(source, "name", "")) if source is not None else np.ones(len(self), bool)
        order = self._order[mine[self._order]]
        frames = self.frame[order]
        score = np.where(np.isnan(self.score), 1.0, self.score)
        rows = np.column_stack((self.box, score, self.label.astype(np.float64)))[order]

        def look_up(images: Sequence[Image], wanted: Sequence[int], times: Sequence[float]) -> list[Floats]:
            starts = np.searchsorted(frames, wanted, side="left")
            stops = np.searchsorted(frames, wanted, side="right")
            return [rows[start:stop] for start, stop in zip(starts, stops, strict=True)]

        return look_up

    def tracks(self, frames: Frames, width: int, height: int, video: str = "") -> Tracks:
        """Return the given tracks as they are: ids and labels kept, gaps not filled.

        Parameters
        ----------
        frames : Frames
            The processed frames; boxes of other frames are left out.
        width, height : int
            Of the picture, px.
        video : str
            Rows of other videos are left out.
        """
        if self.id is None:
            raise ValueError("this table of boxes has no ids")
        keep = np.flatnonzero(self._of(video) & np.isin(self.frame, frames.frame))
        keep = keep[np.lexsort((self.frame[keep], self.id[keep]))]
        frame = self.frame[keep]
        return Tracks(
            frames, width, height, self.labels, self.id[keep], frame, frames.time[frames.position(frame)],
            self.label[keep], self.score[keep], self.box[keep], np.isnan(self.score[keep]),
        )  # fmt: skip


def _texts(table: pd.DataFrame, column: str) -> np.ndarray:
    if table[column].isna().any():
        raise WorkbenchError(f"The table of boxes has a missing '{column}'.", _HINT)
    return np.array([str(value) for value in table[column]], object)


def _numbers(table: pd.DataFrame, column: str, *, missing: bool = False) -> np.ndarray:
    try:
        values = table[column].to_numpy(np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        raise WorkbenchError(f"The table of boxes has a '{column}' that is not a number.", _HINT) from None
    if not (np.isfinite(values) | (missing & np.isnan(values))).all():
        raise WorkbenchError(f"The table of boxes has a missing '{column}'.", _HINT)
    return values


def _whole(table: pd.DataFrame, column: str) -> np.ndarray:
    values = _numbers(table, column)
    if (values != np.round(values)).any():
        raise WorkbenchError(f"The table of boxes has a '{column}' that is not a whole number.", _HINT)
    return values.astype(np.int64)


def given_spec(table: Any) -> DetectorSpec:
    """Return the detector that gives the boxes of a table."""
    from workbench.engine.store import key

    frame = table if hasattr(table, "columns") and hasattr(table, "loc") else table.to_pandas()
    boxes = GivenBoxes(frame)
    parts = [boxes.frame, boxes.box, boxes.label, boxes.score, list(boxes.labels)]
    parts += [boxes.id] if boxes.id is not None else []
    parts += [[str(name) for name in boxes.video]] if boxes.video is not None else []
    return DetectorSpec(
        name="given boxes",
        labels=boxes.labels,
        version=f"given/1/{key(*parts)}",
        build=_load_given,
        size=0,
        threshold=-np.inf,
        # A person's boxes are taken at their word: each may start and continue a track, whatever its score.
        tracking=(-np.inf, -np.inf, -np.inf),
        batch=boxes.batch,
        provider="given",
        kind="given",
        payload=boxes,
    )


def nothing_spec() -> DetectorSpec:
    """Return the detector for questions about the frame itself: it finds nothing, and looks at nothing."""
    import pandas as pd

    return given_spec(pd.DataFrame({name: pd.Series(dtype="float64") for name in (*_NEEDED, "id")}))


def _load_given(spec: DetectorSpec, threads: int) -> GivenBoxes:
    boxes: GivenBoxes = spec.payload
    return boxes


def read_mot(path: str | Path, *, label: str = "person") -> pd.DataFrame:
    """Read a text file in the format of MOTChallenge as a table of boxes, usable as `detector=`.

    Parameters
    ----------
    path : str or Path
        Lines `frame,id,x,y,width,height,score,...`; frame 1 of the file is frame 0 here.
    label : str
        Given to all boxes.

    Returns
    -------
    DataFrame
        `frame`, `id` (left out if the file has -1 throughout: detections without tracks), `label`, `score`,
        `x1 y1 x2 y2`, sorted by frame and id. All lines are kept; MOTChallenge marks what is not to be considered
        with score 0.

    Raises
    ------
    WorkbenchError
        If the file is missing or not of that format.
    """
    import pandas as pd

    place = Path(path)
    if not place.is_file():
        raise WorkbenchError(f"There is no file {place}.", "Check the path.")
    try:
        lines = pd.read_csv(
            place, header=None, comment="#", skip_blank_lines=True, sep=r"\s*[,;\s]\s*", engine="python"
        )
        values = lines.iloc[:, : min(7, lines.shape[1])].to_numpy(np.float64)
    except pd.errors.EmptyDataError:
        values = np.empty((0, 7))
    except (ValueError, UnicodeDecodeError):
        values = np.empty((0, 0))
    if values.shape[1] < 6 or not np.isfinite(values[:, :6]).all():
        raise WorkbenchError(f"{place.name} is not in MOT format.", "Lines are frame,id,x,y,width,height,score,...")
    score = values[:, 6] if values.shape[1] > 6 else np.ones(len(values))
    truth = bool((values[:, 1] >= 0).all())
    table = pd.DataFrame(
        {
            "frame": values[:, 0].astype(np.int64) - 1,
            "id": values[:, 1].astype(np.int64),
            "label": pd.Series([label] * len(values), dtype="str"),
            "score": score,
            "x1": values[:, 2],
            "y1": values[:, 3],
            "x2": values[:, 2] + values[:, 4],
            "y2": values[:, 3] + values[:, 5],
        }
    ).sort_values(["frame", "id"], kind="stable", ignore_index=True)
    return table if truth else table.drop(columns="id")
