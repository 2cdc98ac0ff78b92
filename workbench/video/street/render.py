"""The street's frames and its truth: figures over the backdrop, with shadows and noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.street import sprites
from workbench.video.street.backdrop import backdrop
from workbench.video.street.script import FPS, HEIGHT, WIDTH, Actor, Pose, visible

__all__ = ["encode", "frames", "truth_rows"]

Image = NDArray[np.uint8]

_NOISE = 2.0  # standard deviation, in levels of brightness
_STEPS = 16  # phases of a step that are drawn
_BIAS = 12  # noise is kept as bytes around this


def figure(actor: Actor, pose: Pose) -> sprites.Sprite:
    """Return the picture of an actor in a pose."""
    phase = round(pose.phase * _STEPS) % _STEPS / _STEPS
    if actor.label == "car":
        return sprites.car(actor.size[0], actor.color, actor.style, round(pose.phase * 10) % 2 / 10, pose.view)
    if actor.label == "suitcase":
        return sprites.suitcase(*actor.size)
    stride, lean = round(pose.stride * 3) / 3, round(pose.lean * 6) / 6
    return sprites.person(
        actor.size[1], actor.color, actor.style, phase if stride else 0.0, stride, lean, pose.view, pose.carries
    )


def truth_rows(actors: Sequence[Actor]) -> list[tuple[int, int, str, str, int, int, int, int]]:
    """Return frame, id, label, colour and box of each figure that is there, by id and frame.

    A figure is there while a quarter of its box is in the picture and, in the doorway, while it is half opaque. Boxes
    are tight, and clipped to the picture.
    """
    rows = []
    for actor in actors:
        for frame, pose in sorted(actor.poses.items()):
            sprite = figure(actor, pose)
            x, y = round(pose.x), round(pose.y)
            box = np.array([x, y, x, y]) + sprite.box
            if pose.alpha < 0.5 or not visible(box, (box[2] - box[0], box[3] - box[1])):
                continue
            x1, y1, x2, y2 = np.clip(box, 0, (WIDTH, HEIGHT, WIDTH, HEIGHT))
            rows.append((frame, actor.id, actor.label, actor.color, int(x1), int(y1), int(x2), int(y2)))
    return rows


def frames(actors: Sequence[Actor], count: int, seed: int) -> Iterator[Image]:
    """Yield `count` frames as planes Y, U, V below one another: uint8 (648, 768)."""
    import cv2

    rng = np.random.default_rng([seed, 417])
    bank = _noise(rng)
    empty = backdrop()
    on_stage: dict[int, list[tuple[float, int, Actor]]] = {}
    for actor in actors:
        for frame, pose in actor.poses.items():
            on_stage.setdefault(frame, []).append((pose.y, actor.id, actor))
    offsets = rng.integers(0, _MARGIN, (count, 2))
    still = cv2.cvtColor(empty, cv2.COLOR_BGR2YUV_I420)
    for frame in range(count):
        present = sorted(on_stage.get(frame, ()), key=lambda item: item[:2])
        if present:
            image = empty.copy()
            for _y, _id, actor in present:
                _shadow(image, actor, actor.poses[frame])
            for _y, _id, actor in present:
                _paste(image, figure(actor, actor.poses[frame]), actor.poses[frame])
            planes = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
        else:
            planes = still.copy()
        dy, dx = (int(value) for value in offsets[frame])
        grain = bank[dy : dy + planes.shape[0], dx : dx + WIDTH]
        cv2.subtract(cv2.add(planes, grain), _BIAS, dst=planes)
        yield planes


def encode(path: Any, actors: Sequence[Actor], count: int, seed: int) -> None:
    """Write the frames as H.264 with one thread, so that the file is the same on any number of cores."""
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream(
            "libx264", rate=FPS, options={"preset": "ultrafast", "qp": "25", "g": "100"}
        )
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        # OpenCV converts by BT.601 with limited range.
        stream.codec_context.colorspace, stream.codec_context.color_range = 5, 1
        for number, planes in enumerate(frames(actors, count, seed)):
            picture = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            picture.pts = number
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


_MARGIN = 64


def _noise(rng: np.random.Generator) -> Image:
    shape = (HEIGHT * 3 // 2 + _MARGIN, WIDTH + _MARGIN)
    grain = rng.standard_normal(shape, np.float32) * np.float32(_NOISE)
    return np.clip(np.rint(grain) + _BIAS, 0, 2 * _BIAS).astype(np.uint8)


def _paste(image: Image, sprite: sprites.Sprite, pose: Pose) -> None:
    height, width = sprite.alpha.shape[:2]
    x, y = round(pose.x) - sprite.anchor[0], round(pose.y) - sprite.anchor[1]
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + width, WIDTH), min(y + height, HEIGHT)
    if x1 >= x2 or y1 >= y2:
        return
    part = (slice(y1 - y, y2 - y), slice(x1 - x, x2 - x))
    color, alpha = sprite.color[part], sprite.alpha[part]
    if pose.alpha < 1:
        color, alpha = color * np.float32(pose.alpha), alpha * np.float32(pose.alpha)
    place = image[y1:y2, x1:x2]
    place[:] = place * (1 - alpha) + color


def _shadow(image: Image, actor: Actor, pose: Pose) -> None:
    """Darken the ground softly below a figure, a little to the right: the sun is behind on the left."""
    wide = {"car": 0.53 * actor.size[0], "suitcase": 18.0}.get(actor.label, 0.24 * actor.size[1])
    high = {"car": 8.0, "suitcase": 3.2}.get(actor.label, 4.2)
    mask = _soft(round(wide), round(high), 0.36 if actor.label == "car" else 0.3)
    rows, columns = mask.shape[:2]
    lift = 3 if actor.label == "car" else 1
    x, y = round(pose.x) - columns // 2 + (0 if actor.label == "car" else 3), round(pose.y) - rows // 2 - lift
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + columns, WIDTH), min(y + rows, HEIGHT)
    if x1 >= x2 or y1 >= y2:
        return
    place = image[y1:y2, x1:x2]
    place[:] = place * (1 - mask[y1 - y : y2 - y, x1 - x : x2 - x] * np.float32(pose.alpha))


@lru_cache(maxsize=32)
def _soft(wide: int, high: int, strength: float) -> NDArray[np.float32]:
    import cv2

    mask = np.zeros((2 * high + 17, 2 * wide + 25), np.float32)
    center = (mask.shape[1] // 2, mask.shape[0] // 2)
    cv2.ellipse(mask, center, (wide, high), 0, 0, 360, strength, cv2.FILLED)
    return cv2.GaussianBlur(mask, (0, 0), sigmaX=3.0, sigmaY=1.8)[:, :, None].astype(np.float32)
