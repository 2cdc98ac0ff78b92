"""The figures: their boxes are tight, their colours are what they are called."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.video.models.colour import colour_words
from workbench.video.street import sprites
from workbench.video.street.script import COLOURS

ROAD = (108, 110, 112)


def pasted(sprite: sprites.Sprite, ground: tuple[int, int, int] = ROAD) -> np.ndarray:
    """The figure on flat ground, cut out along its box."""
    image = np.full((*sprite.alpha.shape[:2], 3), ground, np.float32)
    image = image * (1 - sprite.alpha) + sprite.color
    (x, y), (x1, y1, x2, y2) = sprite.anchor, sprite.box
    return image[y + y1 : y + y2, x + x1 : x + x2].astype(np.uint8)


@pytest.mark.parametrize("color", COLOURS)
@pytest.mark.parametrize("style", range(3))
def test_a_car_has_the_colour_it_is_called_by(color: str, style: int) -> None:
    for length, view in ((124, "right"), (112, "left")):
        assert colour_words(pasted(sprites.car(length, color, style, 0.0, view))) == color


@pytest.mark.parametrize("view", ["right", "left", "front", "back"])
@pytest.mark.parametrize("color", ["yellow", "red", "green", "blue", "black"])
def test_a_shirt_has_the_colour_it_is_called_by(color: str, view: str) -> None:
    crop = pasted(sprites.person(92, color, 0, 0.0, 0.0, 0.0, view, False), (176, 180, 182))
    assert colour_words(crop, part="torso") == color


@pytest.mark.parametrize("phase", [0.0, 0.125, 0.25, 0.6])
@pytest.mark.parametrize("view", ["right", "left", "front"])
def test_boxes_are_tight(phase: float, view: str) -> None:
    sprite = sprites.person(92, "red", 2, phase, 1.0, 0.0, view, False)
    (x, y), (x1, y1, x2, y2) = sprite.anchor, sprite.box
    inside = sprite.alpha[:, :, 0] > 0.5
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == pytest.approx(
        (x + x1, y + y1, x + x2, y + y2), abs=1
    )
    assert y2 - y1 == pytest.approx(92, abs=2)
    assert abs(y2) <= 2  # stands on the foot line
    assert abs((x1 + x2) / 2) < 5


def test_mirrored_figures_are_mirror_images() -> None:
    right, left = (sprites.car(112, "blue", 1, 0.0, view) for view in ("right", "left"))
    np.testing.assert_array_equal(right.alpha, left.alpha[:, ::-1])
    assert right.box[2] == -left.box[0]


def test_what_is_carried_is_not_part_of_the_person() -> None:
    with_case = sprites.person(92, "red", 0, 0.0, 0.0, 1.0, "left", True)
    without = sprites.person(92, "red", 0, 0.0, 0.0, 1.0, "left", False)
    assert with_case.box == without.box
    assert with_case.alpha.sum() > without.alpha.sum() + 300
