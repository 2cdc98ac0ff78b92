"""Generated videos that everyone has, with the truth about them."""

from __future__ import annotations

import itertools
import os
import re
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from workbench.engine.errors import WorkbenchError, suggest
from workbench.video.street import script

if TYPE_CHECKING:
    from workbench.video.language.shapes import Line, Region
    from workbench.video.source_base import Source

__all__ = ["Sample", "named", "street"]

#: Part of the store's keys; grows when the picture or its truth changes.
VERSION = 1
_NAME = re.compile(r"sample:([a-z_]+)(?:\((\d+)\))?\Z")


class Sample:
    """A generated video and the truth about it; path-like, and usable wherever a source is.

    The video is made when it is first asked for, in a few seconds, and then kept in the store.

    Attributes
    ----------
    name : str
        What the `video` column says, and what may be written for it.
    seed : int
    detector : str
        The detector that suits it.
    """

    detector = "motion"

    def __init__(self, seed: int, seconds: float = script.SECONDS) -> None:
        self.seed, self.seconds = seed, seconds
        self.name = f"sample:street({seed})" if seed else "sample:street"

    @property
    def path(self) -> Path:
        """The video file: H.264, 768x432, 25 frames per second."""
        return _file(self.seed, self.seconds)

    @property
    def truth(self) -> pd.DataFrame:
        """Who is where: `frame time id label color x1 y1 x2 y2`, by frame and id; usable as `detector=`.

        Labels are person, car and suitcase; `color` is a car's paint, a person's shirt. A figure is listed while a
        quarter of it is in the picture; boxes are tight, in px, clipped to the picture.
        """
        return _truth(self.seed, self.seconds).copy()

    @property
    def events(self) -> pd.DataFrame:
        """What happens: `kind` (`bag_left`, `red_car`, `crossing`), `id`, `start`, `end` in seconds, by start.

        `bag_left` lasts from putting it down until it is taken or the video ends, `red_car` as long as the car is
        there, and `crossing` is the frame at which a person's foot is first found beyond the door line.
        """
        return _events(self.truth, round(self.seconds * script.FPS))

    @property
    def regions(self) -> dict[str, Region]:
        """The regions of the scene: `yard` and `road`."""
        from workbench.video.language.shapes import Region

        return {"yard": Region(*script.YARD), "road": Region(*script.ROAD)}

    @property
    def lines(self) -> dict[str, Line]:
        """The line of the scene: `door`, with the sides shop and street."""
        from workbench.video.language.shapes import Line

        return {"door": Line(*script.DOOR, sides=script.DOOR_SIDES)}

    def source(self) -> Source:
        """Return the video as a source that knows its detector."""
        from workbench.video.source_file import VideoSource

        return VideoSource(self.path, self.name, hint=self.detector)

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"<Sample {self.name}: {self.seconds:g} s, 768x432>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sample) and (self.seed, self.seconds) == (other.seed, other.seconds)

    def __hash__(self) -> int:
        return hash(("street", self.seed, self.seconds))


def street(seed: int = 0) -> Sample:
    """Return a minute of a generated street.

    A road with a car of each of seven colours, a pavement with a shop, a yard. Six people: one stays in the yard for
    half a minute, one passes by, one comes out of the shop and two go in, one puts down a suitcase and leaves; then
    nobody is there for a quarter of a minute.

    Parameters
    ----------
    seed : int
        From 0: varies colours, clothes, speeds and moments; the same seed gives the same video.
    """
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise WorkbenchError(f"seed must be a whole number from 0, got {seed!r}.", "Write samples.street(0).")
    return Sample(int(seed))


def named(text: str) -> Sample:
    """Return the sample that `"sample:street"` or `"sample:street(3)"` names."""
    found = _NAME.match(text)
    if found is None or found[1] not in _SAMPLES:
        known = [f"sample:{name}" for name in _SAMPLES]
        raise WorkbenchError(f"No sample is named '{text}'.", suggest(text, known, f"There is '{known[0]}'."))
    return _SAMPLES[found[1]](int(found[2] or 0))


_SAMPLES: dict[str, Callable[[int], Sample]] = {"street": street}


def _file(seed: int, seconds: float) -> Path:
    """Return the video of a seed: from the store, else made and kept there."""
    from workbench.engine.store import key, store

    where = key("sample street", VERSION, seed, float(seconds))
    kept = store().get_file(where)
    if kept is not None:
        return kept
    from workbench.video.street.render import encode

    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "street.mp4"
        encode(made, script.script(seed, seconds), round(seconds * script.FPS), seed)
        kept = store().put_file(where, made, suffix=".mp4", kind="sample", cost_s=time.perf_counter() - began)
        return kept if kept is not None else _beside_the_store(seed, made.read_bytes())


@lru_cache(maxsize=8)
def _beside_the_store(seed: int, data: bytes) -> Path:
    """Keep a video for this process where the store cannot (a full disk, say)."""
    import atexit
    import shutil

    folder = Path(tempfile.mkdtemp(prefix="workbench-sample-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = folder / f"street-{seed}.mp4"
    path.write_bytes(data)
    return path


@lru_cache(maxsize=8)
def _truth(seed: int, seconds: float) -> pd.DataFrame:
    from workbench.engine.store import key, store

    where = key("sample street truth", VERSION, seed, float(seconds))
    table = store().get_table(where)
    if table is None:
        import pyarrow as pa

        from workbench.video.street.render import truth_rows

        began = time.perf_counter()
        rows = sorted(truth_rows(script.script(seed, seconds)))
        columns: list[Any] = list(zip(*rows, strict=True)) if rows else [()] * 8
        frame = np.array(columns[0], np.int64)
        table = pa.table(
            {
                "frame": frame,
                "time": frame / script.FPS,
                "id": pa.array(columns[1], pa.int64()),
                "label": pa.array(columns[2], pa.string()),
                "color": pa.array(columns[3], pa.string()),
                **{name: pa.array(columns[4 + side], pa.float64()) for side, name in enumerate(_CORNERS)},
            }
        )
        store().put_table(where, table, kind="sample", cost_s=time.perf_counter() - began)
    found: pd.DataFrame = table.to_pandas()
    return found.astype({"label": "str", "color": "str"})


_CORNERS = ("x1", "y1", "x2", "y2")


def _events(truth: pd.DataFrame, count: int) -> pd.DataFrame:
    rows: list[tuple[float, float, str, int]] = []
    for (number, label), track in truth.groupby(["id", "label"], sort=True):
        first, last = float(track["time"].iloc[0]), int(track["frame"].iloc[-1])
        span = (first, (last + 1) / script.FPS)
        if label == "suitcase":
            rows.append((*span, "bag_left", int(number)))
        elif label == "car" and track["color"].iloc[0] == "red":
            rows.append((*span, "red_car", int(number)))
        elif label == "person":
            rows += [(at / script.FPS, (at + 1) / script.FPS, "crossing", int(number)) for at in _crossings(track)]
    rows.sort()
    return pd.DataFrame(
        {
            "kind": pd.Series([row[2] for row in rows], dtype="str"),
            "id": pd.Series([row[3] for row in rows], dtype="int64"),
            "start": pd.Series([row[0] for row in rows], dtype="float64"),
            "end": pd.Series([row[1] for row in rows], dtype="float64"),
        }
    )


def _crossings(track: pd.DataFrame) -> list[int]:
    """Return the frames at which a track's foot is first found, by the usual margin, on the door line's other side."""
    (x1, y), (x2, _y) = script.DOOR  # the line is level, so a foot's distance from it is a difference of heights
    margin = np.maximum(2.0, 0.02 * (track["y2"] - track["y1"])).to_numpy()
    x, away = ((track["x1"] + track["x2"]) / 2).to_numpy(), track["y2"].to_numpy() - y
    frames = track["frame"].to_numpy()
    decided = np.flatnonzero(np.abs(away) >= margin)
    found = []
    for before, after in itertools.pairwise(decided):
        if (away[before] < 0) != (away[after] < 0):
            share = away[before] / (away[before] - away[after])
            if x1 <= x[before] + share * (x[after] - x[before]) <= x2:
                found.append(int(frames[after]))
    return found
