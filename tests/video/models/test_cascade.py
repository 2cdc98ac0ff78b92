"""A detector behind tests, and one that is shown smaller pictures."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from workbench.video.models.builtin import builtin_spec
from workbench.video.models.cascade import Gate, cascade_spec, scalable, smaller
from workbench.video.models.proxies import Proxy
from workbench.video.models.registry import resolve
from workbench.video.operators.skip import Background
from workbench.video.plan.canary import Cascade, Skip

SHOWN: list[tuple[int, int]] = []


def corner(images: list[np.ndarray]) -> list[pd.DataFrame]:
    """Find the bright rectangle of a picture."""
    answers = []
    for image in images:
        SHOWN.append(image.shape[:2])
        y, x = np.nonzero(image[:, :, 1] > 128)
        rows = [(x.min(), y.min(), x.max() + 1, y.max() + 1, "car", 0.9)] if len(x) else []
        answers.append(pd.DataFrame(rows, columns=["x1", "y1", "x2", "y2", "label", "score"]))
    return answers


def picture(left: int | None = 8) -> np.ndarray:
    image = np.zeros((48, 96, 3), np.uint8)
    if left is not None:
        image[16:32, left : left + 24] = 255
    return image


def run(spec: Any, images: list[np.ndarray], frames: list[int] | None = None) -> tuple[list[np.ndarray], Any]:
    SHOWN.clear()
    loaded = spec.load(1)
    session = loaded.open(None)
    numbers = list(range(len(images))) if frames is None else frames
    found = session(images, numbers, [float(number) for number in numbers])
    return [[[*row[:5].tolist(), loaded.labels[int(row[5])]] for row in rows] for rows in found], session


CAR = [8.0, 16.0, 32.0, 32.0, 0.9, "car"]


def test_frames_that_fail_a_test_are_empty_and_never_shown() -> None:
    inner = resolve(corner)
    bright = Proxy("bright", None, "1", lambda images: [float(image.mean()) for image in images])
    gate = Gate(inner, Cascade((Skip("bright", 5.0),)), proxies=(bright,))
    found, session = run(cascade_spec(gate), [picture(), picture(None), picture()])
    assert found == [[CAR], [], [CAR]]
    assert session.skipped == 1
    assert len(SHOWN) == 2


def test_the_background_is_a_test_too_and_all_must_be_passed() -> None:
    background = Background({0: np.zeros((48, 96, 3), np.uint8)}, np.ones((48, 96), bool))
    asked: list[int] = []
    late = Proxy("late", None, "1", lambda images: [asked.append(1) or float(image[0, 0, 0]) for image in images])
    cascade = Cascade((Skip("background", 20.0), Skip("late", 1.0)))
    spec = cascade_spec(Gate(resolve(corner), cascade, background, (late,)))
    marked = picture()
    marked[0, 0, 0] = 3
    found, session = run(spec, [picture(None), picture(), marked])
    assert found == [[], [], [CAR]]
    assert session.skipped == 2
    assert len(asked) == 2  # what fails the first test is not asked the second


def test_a_frame_that_a_test_fails_on_is_shown() -> None:
    def broken(images: list[np.ndarray]) -> list[float]:
        raise ValueError("no")

    nan = Proxy("nan", None, "1", lambda images: [float("nan")] * len(images))
    for proxy in (Proxy("broken", None, "1", broken), nan):
        gate = Gate(resolve(corner), Cascade((Skip(proxy.name, 1.0),)), proxies=(proxy,))
        assert run(cascade_spec(gate), [picture()])[0] == [[CAR]]


def test_what_the_canary_knows_is_not_looked_at_again() -> None:
    known = {7: (np.array([[1.0, 2.0, 3.0, 4.0, 0.5]]), ("truck",)), 8: (np.empty((0, 5)), ())}
    spec = cascade_spec(Gate(resolve(corner), Cascade(every=2), known=known))
    found, session = run(spec, [picture()] * 3, [6, 7, 8])
    assert found == [[CAR], [[1.0, 2.0, 3.0, 4.0, 0.5, "truck"]], []]
    assert session.skipped == 0
    assert len(SHOWN) == 1


def test_labels_that_are_met_late_keep_their_numbers() -> None:
    def names(images: list[np.ndarray]) -> list[pd.DataFrame]:
        return [
            pd.DataFrame({"x1": [0.0], "y1": [0.0], "x2": [9.0], "y2": [9.0], "label": [f"kind {image[0, 0, 0]}"]})
            for image in images
        ]

    known = {0: (np.array([[1.0, 2.0, 3.0, 4.0, 0.5]]), ("kind 5",))}
    spec = cascade_spec(Gate(resolve(names), Cascade(), known=known))
    images = [np.full((4, 4, 3), value, np.uint8) for value in (9, 3, 5, 3)]
    assert [rows[0][5] for rows in run(spec, images)[0]] == ["kind 5", "kind 3", "kind 5", "kind 3"]


@pytest.mark.parametrize("scale", [0.75, 0.5])
def test_a_callable_is_shown_smaller_pictures_and_its_boxes_are_those_of_the_full_ones(scale: float) -> None:
    found, _ = run(smaller(resolve(corner), scale), [picture(), picture(None)])
    assert {(height / 48, width / 96) for height, width in SHOWN} == {(scale, scale)}
    assert found[0][0][:4] == pytest.approx(CAR[:4], abs=1 / scale)
    assert found[1] == []


def test_smaller_detectors_are_others_in_every_key() -> None:
    spec, yolox = resolve(corner), builtin_spec("yolox-nano")
    assert smaller(spec, 1.0) == spec
    assert len({spec.version, smaller(spec, 0.75).version, smaller(spec, 0.5).version}) == 3
    assert [smaller(yolox, scale).size for scale in (0.75, 0.5)] == [320, 192]
    assert smaller(yolox, 0.5).version != yolox.version
    assert [scalable(builtin_spec(name)) for name in ("yolox-nano", "nanodet", "motion", "hog-person")] == [
        True, False, False, True,
    ]  # fmt: skip
    assert scalable(spec)


def test_what_changes_an_answer_changes_the_version() -> None:
    inner = resolve(corner)
    background = Background({0: np.zeros((4, 4, 3), np.uint8)}, np.ones((4, 4), bool))
    proxy = Proxy("p", None, "1", len)
    gates = [
        Gate(inner, Cascade((Skip("background", 4.0),)), background),
        Gate(inner, Cascade((Skip("background", 5.0),)), background),
        Gate(inner, Cascade((Skip("background", 4.0),)), replace(background, mask=np.zeros((4, 4), bool))),
        Gate(inner, Cascade((Skip("background", 4.0),)), background, known={1: (np.empty((0, 5)), ())}),
        Gate(inner, Cascade((Skip("p", 4.0),)), None, (proxy,)),
        Gate(inner, Cascade((Skip("p", 4.0),)), None, (replace(proxy, version="2"),)),
        Gate(smaller(inner, 0.5), Cascade((Skip("background", 4.0),), 0.5), background),
    ]
    versions = [cascade_spec(gate).version for gate in gates]
    assert len(set(versions)) == len(gates)
    assert versions == [cascade_spec(gate).version for gate in gates]
    assert inner.version not in versions


def test_what_has_no_version_is_not_kept() -> None:
    inner, proxy = resolve(corner), Proxy("p", None, "", len)
    assert cascade_spec(Gate(inner, Cascade())).cacheable
    assert not cascade_spec(Gate(inner, Cascade((Skip("p", 1.0),)), proxies=(proxy,))).cacheable
    assert not cascade_spec(Gate(replace(inner, cacheable=False), Cascade())).cacheable


def test_it_travels_with_the_functions_that_it_runs() -> None:
    proxy = Proxy("corner", None, "1", corner)
    spec = cascade_spec(Gate(smaller(resolve(corner), 0.5), Cascade((Skip("corner", 1.0),), 0.5), proxies=(proxy,)))
    assert spec.functions == (corner, corner)
    assert pickle.loads(pickle.dumps(spec)).version == spec.version
