"""The test of frames against the empty scene."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.video.operators.skip import WINDOW, background_of, small_picture

SIZE = (192, 108)


def picture(*, car: int | None = None, light: int = 0, seed: int = 0) -> np.ndarray:
    image = np.clip(np.random.default_rng(seed).normal(100 + light, 2, (108, 192, 3)), 0, 255).astype(np.uint8)
    if car is not None:
        image[40:56, car : car + 24] = 180
    return image


def made(pictures: list[np.ndarray], times: list[float], regions=None, until: float = 10.0):
    return background_of([small_picture(image) for image in pictures], np.array(times), until, regions, SIZE)


def test_an_object_is_far_from_the_empty_scene_and_noise_is_near() -> None:
    empty = made([picture(car=8 * n, seed=n) for n in range(20)], list(range(20)))
    assert small_picture(picture()).shape == (54, 96, 3)
    assert empty.score(small_picture(picture(seed=99)), 3.0) < 5
    assert empty.score(small_picture(picture(car=80, seed=98)), 3.0) > 60


def test_what_stands_still_for_a_while_does_not_vanish() -> None:
    empty = made([picture(car=80 if n < 8 else None, seed=n) for n in range(20)], list(range(20)))
    assert empty.score(small_picture(picture(car=80, seed=99)), 3.0) > 60


def test_outside_of_the_regions_nothing_counts() -> None:
    left = [((0.0, 0.0), (90.0, 0.0), (90.0, 108.0), (0.0, 108.0))]
    empty = made([picture(seed=n) for n in range(12)], list(range(12)), left)
    assert empty.score(small_picture(picture(car=130, seed=99)), 3.0) < 5
    assert empty.score(small_picture(picture(car=50, seed=99)), 3.0) > 60
    # one place or two beyond the border still does: there the rest of an object is, whose foot is inside
    assert empty.score(small_picture(picture(car=84, seed=99)), 3.0) > 60


def test_each_window_has_a_scene_of_its_own() -> None:
    times = [*range(0, 300, 10), *range(300, 600, 10)]
    empty = made([picture(light=0 if t < 300 else 60, seed=t) for t in times], times, until=600.0)
    assert sorted(empty.pictures) == [0, 1, 2]
    assert empty.score(small_picture(picture(light=60, seed=999)), WINDOW + 5) < 5
    assert empty.score(small_picture(picture(light=60, seed=999)), 5) > 50
    # before the first and after the last, the nearest
    assert empty.score(small_picture(picture(light=60, seed=999)), 9 * WINDOW) < 5


def test_tiny_pictures_are_not_made_larger() -> None:
    tiny = np.zeros((4, 6, 3), np.uint8)
    assert small_picture(tiny).shape == (4, 6, 3)
    empty = background_of([tiny] * 3, np.arange(3.0), 1.0, None, (6, 4))
    assert empty.score(tiny, 0.0) == 0.0
    assert empty.score(tiny + 9, 0.0) == 9.0


@pytest.mark.parametrize("long", [96, 1920])
def test_small_pictures_are_means(long: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (long // 2, long, 3), dtype=np.uint8)
    small = small_picture(image)
    step = long // 96
    expected = image.reshape(48, step, 96, step, 3).mean(axis=(1, 3))
    assert np.abs(small - expected).max() <= 0.51
