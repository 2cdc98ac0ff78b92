"""Crops are decoded once for all properties that are shown them, and nothing that one does to them reaches the next."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import scenes
from workbench.video import Source, VideoInfo
from workbench.video.execution import kept_crops
from workbench.video.execution.kept_crops import KeptCrops

pytestmark = pytest.mark.usefixtures("cluster")

TWO = """
class Mine(Car):
    @prop(once=True)
    def red(self, image):
        found = float(image[:, :, 2].mean())
        image[:] = 0
        return found
    @prop(once=True)
    def blue(self, image):
        found = float(image[:, :, 0].mean())
        image[:] = 255
        return found
class Both(Query):
    car: Mine
    where = car.red > 10 and car.blue > 10
    select = car.id, car.red, car.blue
"""


class Told(Source):
    """A clip that tells, by a file each, which frames were read."""

    name = "told"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def info(self) -> VideoInfo:
        return VideoInfo(self.name, scenes.WIDTH, scenes.HEIGHT, scenes.FPS, 120, 120 / scenes.FPS)

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, np.ndarray]]:
        pictures = scenes.frames(120)
        for index in range(start, stop):
            (self.folder / f"{index}-{uuid.uuid4().hex}").touch()
            yield index, index / scenes.FPS, pictures[index]

    def frames_at(self, indices: object, **options: object) -> Iterator[tuple[int, float, np.ndarray]]:
        for index in np.asarray(indices).tolist():
            yield from self.read(index, index + 1)


def read(folder: Path) -> list[int]:
    frames = sorted(int(file.name.partition("-")[0]) for file in folder.iterdir())
    for file in folder.iterdir():
        file.unlink()
    return frames


def test_what_one_property_was_shown_is_not_decoded_again(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = wb.vquery(Told(seen), TWO, detector=scenes.truth(120), fresh=True)
    frames = read(seen)
    assert len(frames) == len(set(frames)) > 0
    assert len(shared) == 2
    # without room each decodes for itself, and answers the same
    monkeypatch.setattr(kept_crops, "_MOST", 0)
    alone = wb.vquery(Told(seen), TWO, detector=scenes.truth(120), fresh=True)
    assert sorted(frames * 2) == read(seen)
    for name in ("events", "objects", "frames", "errors"):
        pd.testing.assert_frame_equal(shared.table(name), alone.table(name), check_exact=True)
    assert not len(shared.errors)
    # one property alone has nobody to keep them for
    one = TWO.replace("car.red > 10 and ", "").replace("car.red, ", "")
    assert len(wb.vquery(Told(seen), one, detector=scenes.truth(120), fresh=True)) == 2
    assert sorted(frames) == read(seen)


def test_the_oldest_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_crops, "_MOST", 250)
    kept = KeptCrops()
    frames, boxes = np.array([1, 1, 2]), np.array([[0, 0, 5, 5], [0, 0, 5, 6], [0, 0, 5, 5]], np.float64)
    images = {at: np.full((5, 5, 4), at, np.uint8) for at in range(3)}
    kept.keep(frames, boxes, images)
    assert sorted(kept.known(frames, boxes)) == [1, 2]
    kept.keep(frames, boxes, images)  # those that are there count once
    assert sorted(kept.known(frames, boxes)) == [0, 2]
    known = kept.known(frames[::-1], boxes[::-1])
    assert {at: int(image[0, 0, 0]) for at, image in known.items()} == {0: 2, 2: 0}
