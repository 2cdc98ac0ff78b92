"""Boxes as arrays: overlap, suppression, fitting a picture into a network's input."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import Floats, Image

__all__ = ["iou_matrix", "letterbox", "nms", "select"]

EMPTY: Floats = np.empty((0, 6))


def iou_matrix(left: Floats, right: Floats) -> Floats:
    """Return the intersection over union of each box of `left` (n, 4) with each of `right` (m, 4): (n, m).

    A pair without any area overlaps by 0.
    """
    # One array a coordinate: (n, m, 2) arrays, whose last axis is 2 long, take more than twice as long.
    x1, y1, x2, y2 = (np.ascontiguousarray(side)[:, None] for side in left[:, :4].T)
    other_x1, other_y1, other_x2, other_y2 = np.ascontiguousarray(right[:, :4].T)
    shared = np.maximum(np.minimum(x2, other_x2) - np.maximum(x1, other_x1), 0.0)
    shared *= np.maximum(np.minimum(y2, other_y2) - np.maximum(y1, other_y1), 0.0)
    union = (x2 - x1) * (y2 - y1) + (other_x2 - other_x1) * (other_y2 - other_y1) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def nms(boxes: Floats, scores: Floats, iou: float) -> NDArray[np.int64]:
    """Return the indices of the boxes kept by greedy non-maximum suppression, by falling score (ties: lower index).

    Parameters
    ----------
    boxes : ndarray (n, 4)
    scores : ndarray (n,)
    iou : float
        A box that overlaps a kept one by more than this is dropped.
    """
    order = np.argsort(-scores, kind="stable")
    if len(order) < 2:
        return order
    clash = iou_matrix(boxes[order], boxes[order]) > iou
    alive = np.ones(len(order), bool)
    for index in range(len(order) - 1):
        if alive[index]:
            alive[index + 1 :] &= ~clash[index, index + 1 :]
    return order[alive]


def select(boxes: Floats, scores: Floats, labels: NDArray[np.int64], iou: float) -> Floats:
    """Suppress within each label and return (k, 6) rows by falling score: x1 y1 x2 y2 score label.

    Boxes that are not finite, or have no width or height, are dropped first.
    """
    sound = np.isfinite(boxes).all(axis=1) & (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    boxes, scores, labels = boxes[sound], scores[sound], labels[sound]
    if not len(boxes):
        return EMPTY.copy()
    # One pass for all labels: boxes of different labels are moved apart, so they never overlap.
    apart = (boxes.max() - boxes.min() + 1.0) * labels[:, None]
    kept = nms(boxes + apart, scores, iou)
    return np.column_stack((boxes[kept], scores[kept], labels[kept].astype(np.float64)))


def letterbox(image: Image, width: int, height: int, pad: int = 114) -> tuple[Image, float]:
    """Scale an image to fit the upper left of a width x height picture; return that and the scale.

    Coordinates in the result divided by the scale are coordinates in `image`.
    """
    import cv2

    rows, columns = image.shape[:2]
    scale = min(width / columns, height / rows)
    new_width, new_height = max(1, int(columns * scale)), max(1, int(rows * scale))
    canvas = np.empty((height, width, 3), np.uint8)
    canvas[new_height:], canvas[:new_height, new_width:] = pad, pad
    if (new_width, new_height) == (columns, rows):
        canvas[:rows, :columns] = image
    else:
        cv2.resize(image, (new_width, new_height), dst=canvas[:new_height, :new_width], interpolation=cv2.INTER_LINEAR)
    return canvas, scale
