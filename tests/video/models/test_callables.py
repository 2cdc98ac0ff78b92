"""Python callables as detectors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video.models.callables import CallableDetector

IMAGES = [np.zeros((4, 4, 3), np.uint8)] * 5


def answer(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"x1": [0.0, 1.0], "y1": 0.0, "x2": 4.0, "y2": 4.0} | columns)


def test_it_gets_batches_and_rows_come_by_falling_score() -> None:
    sizes = []

    def detect(images: list) -> list[pd.DataFrame]:
        sizes.append(len(images))
        return [answer(score=[0.3, 0.6], label=["cat", "dog"]) for _ in images]

    found = CallableDetector(detect, ("dog", "cat"), 2).open()(IMAGES, range(5), range(5))
    assert sizes == [2, 2, 1]
    assert found[0].tolist() == [[1, 0, 4, 4, 0.6, 0], [0, 0, 4, 4, 0.3, 1]]


def test_labels_may_be_open() -> None:
    detector = CallableDetector(lambda images: [answer(label=["b", "a"])] * len(images), (), 8)
    assert detector.open()(IMAGES[:1], [0], [0])[0][:, 5].tolist() == [0, 1]
    assert detector.labels == ("b", "a")
    plain = CallableDetector(lambda images: [answer()] * len(images), (), 8)
    assert plain.open()(IMAGES[:1], [0], [0])[0][:, 4].tolist() == [1.0, 1.0]
    assert plain.labels == ("object",)


def test_rows_that_are_no_boxes_or_score_too_little_are_dropped() -> None:
    table = answer(x2=[4.0, 1.0], score=[0.05, 1.0])
    assert CallableDetector(lambda images: [table], (), 8).open()(IMAGES[:1], [0], [0])[0].shape == (0, 6)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda images: [], "The detector returned 0 tables for 1 images."),
        (lambda images: None, "The detector returned NoneType for 1 images."),
        (lambda images: [answer().drop(columns="y2")], "The detector's boxes lack 'y2'."),
        (lambda images: [answer(label="cow")], "The detector found 'cow', which is not among its labels."),
    ],
)
def test_wrong_answers_say_what_is_wrong(made: object, message: str) -> None:
    with pytest.raises(WorkbenchError) as raised:
        CallableDetector(made, ("cat",), 8).open()(IMAGES[:1], [0], [0])  # type: ignore[arg-type]
    assert raised.value.message == message
    assert raised.value.hint
