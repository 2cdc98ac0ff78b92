"""Tiny videos and cheap detectors for the tests of execution and result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from workbench.video.operators.encode import write_video

WIDTH, HEIGHT, FPS = 128, 96, 10.0
#: (label, first frame, last frame, x and y at the first frame, step in x, width, height, colour BGR)
THINGS = (
    ("car", 5, 90, 4, 60, 1.2, 24, 12, (40, 40, 220)),
    ("person", 20, 170, 20, 10, 0.5, 8, 20, (220, 220, 220)),
    ("car", 100, 190, 100, 76, -1.0, 24, 12, (220, 60, 40)),
    ("person", 60, 240, 90, 20, 0.0, 8, 20, (60, 200, 60)),
    ("car", 200, 290, 4, 60, 1.1, 24, 12, (40, 40, 220)),
)


def frames(count: int = 300) -> np.ndarray:
    """Return pictures of the scene: uint8 (count, 96, 128, 3), BGR."""
    pictures = np.zeros((count, HEIGHT, WIDTH, 3), np.uint8)
    for _label, first, last, x, y, step, width, height, colour in THINGS:
        for frame in range(first, min(last + 1, count)):
            left = round(x + step * (frame - first))
            pictures[frame, y : y + height, max(0, left) : max(0, left + width)] = colour
    return pictures


def write_scene(path: Path, count: int = 300) -> Path:
    """Write the scene as H.264 with keyframes about every 60 frames."""
    return write_video(path, iter(frames(count)), fps=FPS, width=WIDTH, height=HEIGHT, options={"g": "60"})


def truth(count: int = 300) -> pd.DataFrame:
    """Return the scene's boxes as a table of given boxes with ids."""
    rows = [
        (frame, number, label, 1.0, left, y, left + width, y + height)
        for number, (label, first, last, x, y, step, width, height, _) in enumerate(THINGS, start=1)
        for frame in range(first, min(last + 1, count))
        for left in [float(round(x + step * (frame - first)))]
    ]
    return pd.DataFrame(rows, columns=["frame", "id", "label", "score", "x1", "y1", "x2", "y2"])


def bright_boxes(image: np.ndarray) -> pd.DataFrame:
    """Find the bright rectangles of a picture; wide ones are cars."""
    import cv2

    mask = (image.max(axis=2) > 110).astype(np.uint8)
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    rows = [
        (float(x), float(y), float(x + w), float(y + h), "car" if w > h else "person", 0.9)
        for x, y, w, h, area in stats[1:].tolist()
        if area >= 20
    ]
    return pd.DataFrame(rows, columns=["x1", "y1", "x2", "y2", "label", "score"])


def counting_detector(folder: Path) -> Callable[[list[Any]], list[pd.DataFrame]]:
    """Return a detector that leaves a file in `folder` for each call, which says how many pictures it saw."""
    where = str(folder)

    def bright(images: list[Any]) -> list[pd.DataFrame]:
        import uuid

        (Path(where) / uuid.uuid4().hex).write_text(str(len(images)))
        return [bright_boxes(image) for image in images]

    return bright


def counted(folder: Path) -> int:
    """Return how many pictures the counting detector saw, and begin anew."""
    total = 0
    for file in folder.iterdir():
        total += int(file.read_text())
        file.unlink()
    return total
