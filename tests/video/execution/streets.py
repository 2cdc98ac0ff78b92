"""A generated street, a detector that counts what it is shown, and questions about it under `accuracy`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import workbench as wb
from workbench.video.source import Source, from_array

FRAMES, WIDTH, HEIGHT = 700, 64, 48
TABLES = ("events", "objects", "frames", "groups", "errors")
CARS = """
class Cars(Query):
    car: Car
    where = car.score > 0.5
    select = car.id, start, end
"""
MOVING = CARS.replace("car.score > 0.5", "car.speed > '1px/s'")


def street(first: int = 0, frames: int = FRAMES, every: int = 100) -> np.ndarray:
    """Return a street on which a car crosses in 60 of each `every` frames; uint8 (frames, 48, 64, 3)."""
    pictures = np.full((frames, HEIGHT, WIDTH, 3), 90, np.uint8)
    pictures += np.random.default_rng(first).integers(0, 5, (frames, HEIGHT, WIDTH, 1), dtype=np.uint8)
    for frame in range(frames):
        at, lane = (frame + first) % every, (frame + first) // every % 2
        if at < 60:
            pictures[frame, 8 + 20 * lane : 18 + 20 * lane, max(0, at - 6) : at + 14] = 220
    return pictures


def source(first: int = 0, name: str = "street", **options: Any) -> Source:
    return from_array(street(first, **options), fps=25.0, name=name)


class Detector:
    """Finds what is bright, the surer the more pixels it has, and counts the pictures that it is shown."""

    def __init__(self, folder: Path, sure: float) -> None:
        self.folder, self.sure = folder, sure

    def __call__(self, images: list[np.ndarray]) -> list[pd.DataFrame]:
        import os
        import uuid

        import cv2

        (self.folder / f"{os.getpid()}-{uuid.uuid4().hex}-{len(images)}").touch()
        answers = []
        for image in images:
            _, _, stats, _ = cv2.connectedComponentsWithStats((image[:, :, 1] > 150).astype(np.uint8))
            rows = [
                (float(x), float(y), float(x + w), float(y + h), "car", min(0.95, area / self.sure))
                for x, y, w, h, area in stats[1:].tolist()
            ]
            answers.append(pd.DataFrame(rows, columns=["x1", "y1", "x2", "y2", "label", "score"]))
        return answers


def ask(*args: Any, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return wb.vquery(*args, **options)


def assert_same(left: Any, right: Any) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(left.table(name), right.table(name))
