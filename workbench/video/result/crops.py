"""The best pictures of a result's objects: thumbnails and the contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from workbench.engine import store as artefacts
from workbench.video.source import Source

__all__ = ["sheet", "thumbnails"]

#: pictures on a contact sheet at most
MOST = 24
_VERSION = "2"
_CELL = (112, 96)


def thumbnails(source: Source, objects: pd.DataFrame, height: int) -> list[NDArray[np.uint8]]:
    """Return the best crop of each object of one video, BGR, scaled to `height` lines.

    Parameters
    ----------
    source : Source
    objects : DataFrame
        Rows of `.objects`: `best_frame`, `x1 y1 x2 y2`.
    height : int
        Lines of each picture.
    """
    import cv2

    from workbench.video.operators.crops import crop_images

    frames, boxes = _places(objects)
    scaled = []
    for crop in crop_images(source, frames, boxes):
        if not crop.size:
            # The frame cannot be decoded: a grey picture stands for it.
            crop = np.full((height, height, 3), 128, np.uint8)
        width = max(1, round(crop.shape[1] * height / crop.shape[0]))
        scaled.append(cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA))
    return scaled


def sheet(parts: Sequence[tuple[Source, pd.DataFrame]]) -> bytes:
    """Return one JPEG of the objects' best crops, at most 24, with their label and id below; kept in the store.

    Parameters
    ----------
    parts : sequence of (Source, DataFrame)
        For each video rows of `.objects`.
    """
    from workbench.video.operators.crops import crop_images
    from workbench.video.operators.encode import contact_sheet

    shown, room = [], MOST
    for source, objects in parts:
        shown.append((source, objects.iloc[:room]))
        room -= len(shown[-1][1])
    captions = [
        f"{label} {number}" for _, rows in shown for label, number in zip(rows["label"], rows["id"], strict=True)
    ]
    if not captions:
        return b""
    name = artefacts.key("sheet", _VERSION, [(source.video_id(), *_places(rows)) for source, rows in shown], captions)
    kept = artefacts.store().get_file(name)
    if kept is not None:
        return Path(kept).read_bytes()
    crops: list[NDArray[np.uint8]] = []
    for source, rows in shown:
        frames, boxes = _places(rows)
        for crop in crop_images(source, frames, boxes):
            crops.append(crop if crop.size else np.full((8, 8, 3), 128, np.uint8))
    picture = contact_sheet(crops, captions, cell=_CELL)
    artefacts.store().put_file(name, picture, suffix=".jpg", kind="thumbnails", cost_s=0.02 * len(crops))
    return picture


def _places(objects: pd.DataFrame) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    return (
        objects["best_frame"].to_numpy(np.int64),
        objects[["x1", "y1", "x2", "y2"]].to_numpy(np.float64),
    )
