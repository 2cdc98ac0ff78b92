"""Background subtraction: independent frames, windows, and the four cars of the clip."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.models.mirror import mirrored, needs_mirror
from workbench.video.models.colour import colour_words
from workbench.video.models.motion import WINDOW, Background, Motion, sample_frames
from workbench.video.models.registry import resolve
from workbench.video.operators.detect import detect_frames, per_frame
from workbench.video.operators.track import fold_for
from workbench.video.tracks import Frames, Tracks

HEIGHT, WIDTH, FPS = 135, 240, 5


class Scene:
    """A grey yard in which a box moves; a bag lies there for 20 of 60 s; the exposure falls in between."""

    name = "scene"

    def __init__(self, seconds: float = 60.0) -> None:
        self.count = int(seconds * FPS)

    def video_id(self) -> str:
        return f"scene of {self.count}"

    def times(self) -> np.ndarray:
        return np.arange(self.count) / FPS

    def keyframes(self) -> np.ndarray:
        return np.arange(0, self.count, 50)

    def frame(self, index: int) -> np.ndarray:
        random = np.random.default_rng(index)
        picture = np.full((HEIGHT, WIDTH, 3), 120.0)
        picture[:, ::12] = 160
        time = index / FPS
        if 10 <= time < 14:
            left = int(20 + (time - 10) * 40)
            picture[40:80, left : left + 15] = (30, 30, 200)
        if 20 <= time < 40:
            picture[100:112, 100:112] = 20
        if 50 <= time < 55:
            picture *= 0.7
        return np.clip(picture + random.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)

    def frames_at(self, indices: Sequence[int]) -> Iterator[tuple[int, float, Any]]:
        for index in indices:
            yield int(index), index / FPS, self.frame(int(index))


@pytest.fixture(scope="module")
def session() -> Any:
    return Motion(270).open(Scene())


def boxes(session: Any, frames: Sequence[int]) -> list[np.ndarray]:
    scene = Scene()
    found: list[np.ndarray] = session([scene.frame(f) for f in frames], frames, [f / FPS for f in frames])
    return found


def test_what_moves_is_found_and_the_rest_is_quiet(session: Any) -> None:
    (empty, moving, dim) = boxes(session, [5, 60, 260])
    assert len(empty) == len(dim) == 0
    ((x1, y1, x2, y2, score, label),) = moving.tolist()
    np.testing.assert_allclose((x1, y1, x2, y2), (100, 40, 115, 80), atol=3)
    assert (score, label) == (0.9, 0)


def test_a_bag_left_for_less_than_half_the_window_stays_foreground(session: Any) -> None:
    for frame in (105, 150, 198):
        ((x1, y1, x2, y2, _, label),) = boxes(session, [frame])[0].tolist()
        np.testing.assert_allclose((x1, y1, x2, y2), (100, 100, 112, 112), atol=3)
        assert label == 3


@pytest.mark.slow
@given(st.lists(st.integers(0, 299), min_size=1, max_size=12))
@settings(max_examples=10, deadline=None)
def test_a_frame_does_not_depend_on_those_before_it(frames: list[int]) -> None:
    fresh = [boxes(Motion(270).open(Scene(60)), [frame])[0] for frame in frames[:2]]
    for left, right in zip(fresh, boxes(_SHARED, frames)[:2], strict=True):
        np.testing.assert_array_equal(left, right)


_SHARED = Motion(270).open(Scene())


def test_a_frozen_background_stays_as_it_is() -> None:
    scene = Scene()
    background = Background([scene.frame(index) for index in range(0, 300, 10)])
    first = background.foreground(scene.frame(60))
    for index in range(100):
        background.foreground(scene.frame(index))
    np.testing.assert_array_equal(background.foreground(scene.frame(60)), first)


def test_samples_are_spread_and_prefer_keyframes() -> None:
    times = np.arange(20_000) / 25  # 800 s: two windows and a part
    keyframes = np.arange(0, 20_000, 250)
    samples = sample_frames(times, keyframes, 0)
    assert len(samples) == 48
    assert np.diff(times[samples]).max() < 3 * WINDOW / 48
    assert np.isin(samples, keyframes).sum() == 30  # all there are in 300 s
    third = sample_frames(times, keyframes, 2)
    assert times[third].min() >= 600
    assert len(sample_frames(times, keyframes, 3)) == 0
    assert sample_frames(times[:20], keyframes, 0).tolist() == list(range(20))


def test_very_small_and_odd_pictures() -> None:
    class Tiny(Scene):
        def frame(self, index: int) -> np.ndarray:
            return np.zeros((3, 5, 3), np.uint8)

    tiny = Tiny(2.0)
    (rows,) = Motion(270).open(tiny)([tiny.frame(0)], [0], [0.0])
    assert rows.shape == (0, 6)


@pytest.fixture(scope="module")
def cars() -> tuple[Any, Tracks]:
    from workbench.video.source import open_sources

    (source,) = open_sources(str(mirrored("clips/intel_car-detection.mp4")))
    info = source.info()
    spec = resolve("motion")
    found = detect_frames(spec.load(1), source, np.arange(info.frames))
    frames = Frames(found.frames, found.times)
    fold = fold_for(spec, frames.dt)
    fold.step(found.frames, found.times, per_frame(found.table, found.frames))
    return source, fold.tracks(frames, info.width, info.height)


@pytest.mark.slow
@needs_mirror
def test_the_four_cars(cars: tuple[Any, Tracks]) -> None:
    from workbench.video.operators.crops import crop_images

    source, tracks = cars
    truth = json.loads(mirrored("truth/intel_car-detection.count.json").read_text())
    assert len(tracks.ids) == truth["count"] == 4
    for one, car in zip(tracks.ids.tolist(), truth["vehicles"], strict=True):
        mine = np.flatnonzero(tracks.id == one)
        assert abs(int(tracks.frame[mine[0]]) - car["first"]) <= truth["frame_bounds_tolerance"]
        assert abs(int(tracks.frame[mine[-1]]) - car["last"]) <= truth["frame_bounds_tolerance"]
        words = [colour_words(crop) for crop in crop_images(source, tracks.frame[mine], tracks.box[mine])]
        most = max(sorted(set(words)), key=words.count)
        assert most in {"silver": ("gray", "white")}.get(car["color"], (car["color"],))
