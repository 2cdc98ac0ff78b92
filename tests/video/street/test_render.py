"""Frames of the street: figures over the backdrop, in the colours that OpenCV reads back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from workbench.video.street import render, sprites
from workbench.video.street.backdrop import backdrop
from workbench.video.street.script import HEIGHT, WIDTH, Actor, Pose


def one(*actors: Actor) -> np.ndarray:
    (planes,) = render.frames(actors, 1, seed=0)
    assert planes.shape == (HEIGHT * 3 // 2, WIDTH)
    return cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420).astype(int)


@pytest.mark.parametrize("x", [300.0, 301.0])  # chroma is kept for pairs of pixels
@pytest.mark.parametrize("color", ["red", "blue", "yellow"])
def test_colours_survive_the_planes(x: float, color: str) -> None:
    car = Actor(1, "car", color, (124, 48), 0, {0: Pose(x, 414.0)})
    ((_f, _i, _l, _c, x1, y1, x2, y2),) = render.truth_rows([car])
    shown = one(car)[y1:y2, x1:x2]
    sprite = sprites.car(124, color, 0, 0.0, "right")
    wanted = sprite.color[sprite.anchor[1] + sprite.box[1] :, sprite.anchor[0] + sprite.box[0] :]
    whole = sprite.alpha[sprite.anchor[1] + sprite.box[1] :, sprite.anchor[0] + sprite.box[0] :, 0] > 0.99
    wanted, whole = wanted[: y2 - y1, : x2 - x1], whole[: y2 - y1, : x2 - x1]
    assert np.abs(shown - wanted)[whole].mean() < 8


@pytest.mark.parametrize("x", [-70.0, -40.0, 10.0, 760.0, 800.0, 840.0])
def test_figures_are_cut_at_the_edges(x: float) -> None:
    car = Actor(1, "car", "red", (124, 48), 0, {0: Pose(x, 414.0)})
    changed = np.abs(one(car) - one()).max(axis=2) > 40  # the noise of a seed is the same
    rows = render.truth_rows([car])
    if not rows:
        assert changed.mean() < 0.012
        return
    ((_frame, _id, _label, _color, x1, y1, x2, _y2),) = rows
    found_y, found_x = np.nonzero(changed)
    assert 0 <= x1 < x2 <= WIDTH
    assert abs(found_x.min() - x1) <= 3
    assert abs(found_x.max() + 1 - x2) <= 3
    assert abs(found_y.min() - y1) <= 3


def test_truth_goes_from_the_first_to_the_last_frame_in_view() -> None:
    poses = {frame: Pose(-100.0 + 10 * frame, 250.0, alpha=0.2 if frame == 20 else 1.0) for frame in range(40)}
    frames = [row[0] for row in render.truth_rows([Actor(4, "person", "red", (33, 92), 0, poses)])]
    assert frames == list(range(frames[0], 40))
    assert 8 <= frames[0] <= 11


def test_fading_figures_are_there_from_half_opaque_on() -> None:
    poses = {frame: Pose(250.0, 200.0, view="front", alpha=frame / 10) for frame in range(11)}
    assert [row[0] for row in render.truth_rows([Actor(4, "person", "red", (33, 92), 0, poses)])] == list(range(5, 11))


def test_nobody_on_stage_leaves_the_backdrop() -> None:
    (planes,) = render.frames([], 1, seed=3)
    apart = cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420).astype(int) - backdrop()
    assert np.abs(apart).mean() < 5
    assert abs(apart.mean()) < 1
