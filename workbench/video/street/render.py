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

    A figure is there from the first to the last frame at which a quarter of its box is in the picture and, in the
    doorway, it is half opaque. Boxes are tight, and clipped to the picture.
    """
    rows = []
    for actor in actors:
        boxes, there = {}, []
        for frame, pose in sorted(actor.poses.items()):
            x, y = round(pose.x), round(pose.y)
            boxes[frame] = box = np.array([x, y, x, y], np.int64) + np.array(figure(actor, pose).box, np.int64)
            if pose.alpha >= 0.5 and visible(box, (box[2] - box[0], box[3] - box[1])):
                there.append(frame)
        for frame in range(there[0], there[-1] + 1) if there else ():
            x1, y1, x2, y2 = (int(side) for side in np.clip(boxes[frame], 0, (WIDTH, HEIGHT, WIDTH, HEIGHT)))
            if x1 < x2 and y1 < y2:
                rows.append((frame, actor.id, actor.label, actor.color, x1, y1, x2, y2))
    return rows


def frames(actors: Sequence[Actor], count: int, seed: int) -> Iterator[Image]:
    """Yield `count` frames as planes Y, U, V below one another: uint8 (648, 768)."""
    import cv2

    rng = np.random.default_rng([seed, 417])
    bank = _noise(rng)
    still = cv2.cvtColor(backdrop(), cv2.COLOR_BGR2YUV_I420)
    on_stage: dict[int, list[tuple[float, int, Actor]]] = {}
    for actor in actors:
        for frame, pose in actor.poses.items():
            on_stage.setdefault(frame, []).append((pose.y, actor.id, actor))
    offsets = rng.integers(0, _MARGIN, (count, 2))
    for frame in range(count):
        present = sorted(on_stage.get(frame, ()), key=lambda item: item[:2])
        planes = still.copy()
        for _y, _id, actor in present:
            _shadow(planes, actor, actor.poses[frame])
        for _y, _id, actor in present:
            _paste(planes, figure(actor, actor.poses[frame]), actor.poses[frame])
        dy, dx = (int(value) for value in offsets[frame])
        grain = bank[dy : dy + planes.shape[0], dx : dx + WIDTH]
        cv2.subtract(cv2.add(planes, grain), _BIAS, dst=planes)
        yield planes


def encode(path: Any, actors: Sequence[Actor], count: int, seed: int) -> None:
    """Write the frames as H.264 with one thread, so that the file is the same on any number of cores."""
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "qp": "25", "g": "100"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        # By BT.601 with limited range, as OpenCV converts.
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


def _paste(planes: Image, sprite: sprites.Sprite, pose: Pose) -> None:
    """Lay a figure over the planes of a frame."""
    x, y = round(pose.x) - sprite.anchor[0], round(pose.y) - sprite.anchor[1]
    parts = _planes(sprite, x % 2, y % 2)
    x, y = x - x % 2, y - y % 2
    luma, chroma = HEIGHT, HEIGHT // 4
    views = (planes[:luma], planes[luma : luma + chroma].reshape(HEIGHT // 2, WIDTH // 2),
             planes[luma + chroma :].reshape(HEIGHT // 2, WIDTH // 2))  # fmt: skip
    fade = np.float32(pose.alpha)
    for view, (color, alpha), step in zip(views, parts, (1, 2, 2), strict=True):
        found = _overlap(view, color.shape, x // step, y // step)
        if found is None:
            continue
        place, part = found
        if pose.alpha < 1:
            place[:] = place * (1 - alpha[part] * fade) + color[part] * fade
        else:
            place[:] = place * (1 - alpha[part]) + color[part]


def _overlap(view: Image, shape: tuple[int, ...], x: int, y: int) -> tuple[Image, tuple[slice, slice]] | None:
    """Return the part of a plane that something at (x, y) covers, and which part of it does; None outside."""
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + shape[1], view.shape[1]), min(y + shape[0], view.shape[0])
    if x1 >= x2 or y1 >= y2:
        return None
    return view[y1:y2, x1:x2], (slice(y1 - y, y2 - y), slice(x1 - x, x2 - x))


@lru_cache(maxsize=4096)
def _planes(sprite: sprites.Sprite, x: int, y: int) -> tuple[tuple[NDArray[np.float32], NDArray[np.float32]], ...]:
    """Return a figure as planes Y, U, V (already multiplied by opacity) with opacities, shifted by (x, y) of 0 or 1."""
    height, width = sprite.alpha.shape[:2]
    room = ((y, (height + y) % 2), (x, (width + x) % 2), (0, 0))
    blue, green, red = np.moveaxis(np.pad(sprite.color, room), 2, 0)
    alpha = np.pad(sprite.alpha, room)[:, :, 0]

    def halved(plane: NDArray[np.float32]) -> NDArray[np.float32]:
        return (plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]) / np.float32(4)

    # BT.601 with limited range, as OpenCV converts the backdrop.
    luma = 0.257 * red + 0.504 * green + 0.098 * blue + 16 * alpha
    u = halved(-0.148 * red - 0.291 * green + 0.439 * blue + 128 * alpha)
    v = halved(0.439 * red - 0.368 * green - 0.071 * blue + 128 * alpha)
    small = halved(alpha)
    return tuple((plane.astype(np.float32), share) for plane, share in ((luma, alpha), (u, small), (v, small)))


def _shadow(planes: Image, actor: Actor, pose: Pose) -> None:
    """Darken the ground softly below a figure, a little to the right: the sun is behind on the left."""
    wide = {"car": 0.53 * actor.size[0], "suitcase": 18.0}.get(actor.label, 0.24 * actor.size[1])
    high = {"car": 8.0, "suitcase": 3.2}.get(actor.label, 4.2)
    mask = _soft(round(wide), round(high), 0.36 if actor.label == "car" else 0.3)
    lift, aside = (3, 0) if actor.label == "car" else (1, 3)
    corner = round(pose.x) - mask.shape[1] // 2 + aside, round(pose.y) - mask.shape[0] // 2 - lift
    found = _overlap(planes[:HEIGHT], mask.shape, *corner)
    if found is not None:
        place, part = found
        place[:] = place - (place - np.float32(16)) * mask[part] * np.float32(pose.alpha)


@lru_cache(maxsize=32)
def _soft(wide: int, high: int, strength: float) -> NDArray[np.float32]:
    import cv2

    mask = np.zeros((2 * high + 17, 2 * wide + 25), np.float32)
    center = (mask.shape[1] // 2, mask.shape[0] // 2)
    cv2.ellipse(mask, center, (wide, high), 0, 0, 360, strength, cv2.FILLED)
    return cv2.GaussianBlur(mask, (0, 0), sigmaX=3.0, sigmaY=1.8).astype(np.float32)
