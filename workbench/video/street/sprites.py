"""The figures of the street: people, cars and a suitcase, drawn three times too large and scaled down."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sprite", "car", "person", "suitcase"]

Image = NDArray[np.uint8]
Floats = NDArray[np.float64]

#: Drawn this many times too large.
SCALE = 3
#: Colours of bodies and clothes, BGR: far from one another in hue or brightness.
PAINT = {
    "white": (236, 238, 240), "gray": (150, 148, 146), "yellow": (22, 196, 246), "red": (36, 28, 206),
    "green": (58, 148, 38), "blue": (196, 84, 24), "black": (30, 28, 27),
}  # fmt: skip
_SKIN = ((150, 182, 224), (104, 142, 196), (66, 94, 142), (132, 168, 214), (82, 116, 168), (160, 190, 232))
_HAIR = ((32, 42, 58), (24, 24, 28), (30, 30, 32), (70, 110, 160), (40, 60, 96), (110, 112, 116))
_TROUSERS = ((84, 56, 34), (50, 46, 44), (34, 40, 48), (60, 42, 34), (92, 64, 40), (44, 42, 56))
_SHOE = (36, 38, 44)


@dataclass(frozen=True, eq=False)
class Sprite:
    """A picture with transparency, and where it stands.

    Attributes
    ----------
    color : float32 (height, width, 3)
        BGR, already multiplied by `alpha`.
    alpha : float32 (height, width, 1)
    anchor : (int, int)
        Column and row of the middle of the foot line.
    box : (int, int, int, int)
        Tight x1, y1, x2, y2 of what is more than half opaque, from the anchor; of a person without what is carried.
    """

    color: NDArray[np.float32]
    alpha: NDArray[np.float32]
    anchor: tuple[int, int]
    box: tuple[int, int, int, int]


class _Canvas:
    """A large canvas with the anchor at its origin, y up, units of px of the final picture."""

    def __init__(self, left: float, right: float, up: float, down: float = 3.0) -> None:
        self.left, self.up = int(np.ceil(left)), int(np.ceil(up))
        width, height = self.left + int(np.ceil(right)), self.up + int(np.ceil(down))
        self.image = np.zeros((height * SCALE, width * SCALE, 4), np.uint8)
        self.body: NDArray[np.uint8] | None = None  # the mask that the box is taken from, where it is not all

    def polygon(self, points: Floats | Sequence[tuple[float, float]], color: tuple[int, ...]) -> None:
        import cv2

        corners = (np.asarray(points, np.float64) * (1, -1) + (self.left, self.up)) * (SCALE * 16)
        cv2.fillPoly(self.image, [np.rint(corners).astype(np.int32)], (*color, 255), cv2.LINE_8, 4)

    def limb(self, points: list[tuple[float, float]], widths: tuple[float, ...], color: tuple[int, ...]) -> None:
        """Draw a chain of tapering segments with round joints."""
        for k in range(len(points) - 1):
            (ax, ay), (bx, by), wa, wb = points[k], points[k + 1], widths[k], widths[k + 1]
            length = math.hypot(bx - ax, by - ay) or 1.0
            x, y = (ay - by) / length, (bx - ax) / length
            self.polygon(
                ((ax + x * wa, ay + y * wa), (bx + x * wb, by + y * wb), (bx - x * wb, by - y * wb),
                 (ax - x * wa, ay - y * wa)), color
            )  # fmt: skip
        for point, width in zip(points, widths, strict=True):
            self.ellipse(point, (width, width), color)

    def ellipse(
        self, center: tuple[float, float], axes: tuple[float, float], color: tuple[int, ...],
        arc: tuple[float, float] = (0, 360),
    ) -> None:  # fmt: skip
        """Draw an ellipse, or the part of it between two angles and their chord."""
        import cv2

        if arc != (0, 360):
            turns = np.radians(np.linspace(arc[0], arc[1], 24))
            self.polygon(np.array(center) + np.column_stack((axes[0] * np.cos(turns), axes[1] * np.sin(turns))), color)
            return
        unit = SCALE * 16
        middle = (round((center[0] + self.left) * unit), round((self.up - center[1]) * unit))
        radii = (max(1, round(axes[0] * unit)), max(1, round(axes[1] * unit)))
        cv2.ellipse(self.image, middle, radii, 0, 0, 360, (*color, 255), cv2.FILLED, cv2.LINE_8, 4)

    def keep_body(self) -> None:
        """Take the box from what is drawn so far."""
        self.body = self.image[:, :, 3].copy()

    def sprite(self, *, flip: bool, light: float = 0.16) -> Sprite:
        """Shade from the upper left, scale down, and find the tight box."""
        import cv2

        image = self.image if self.body is None else np.dstack((self.image, self.body))
        size = (image.shape[1] // SCALE, image.shape[0] // SCALE)
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        left = self.left
        if flip:
            small, left = small[:, ::-1], size[0] - self.left
        alpha, inside = small[:, :, 3:4] / np.float32(255), small[:, :, -1] > 127
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        across = (np.arange(size[0], dtype=np.float32) - columns[0]) / max(1, columns[-1] - columns[0])
        down = (np.arange(size[1], dtype=np.float32) - rows[0]) / max(1, rows[-1] - rows[0])
        shade = 1 + light * (0.5 - across[None, :]) * 0.8 + light * (0.45 - down[:, None])
        color = np.minimum(small[:, :, :3] * shade[:, :, None].astype(np.float32), 250 * alpha)
        box = (columns[0] - left, rows[0] - self.up, columns[-1] + 1 - left, rows[-1] + 1 - self.up)
        return Sprite(color, alpha, (left, self.up), tuple(int(side) for side in box))  # type: ignore[arg-type]


def _shade(color: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    blue, green, red = (int(min(255, max(0, channel * factor))) for channel in color)
    return blue, green, red


# ------------------------------------------------------------------------------------------------------------ people


@lru_cache(maxsize=4096)
def person(
    height: int, color: str, style: int, phase: float, stride: float, lean: float, view: str, carries: bool
) -> Sprite:
    """Draw a person of `height` px with a shirt of `color`, at a phase (0..1) of a step."""
    unit = float(height)
    canvas = _Canvas(0.46 * unit, 0.46 * unit, 1.06 * unit)
    if view in ("left", "right"):
        _from_the_side(canvas, unit, color, style, phase, stride, lean, carries)
    else:
        _from_ahead(canvas, unit, color, style, phase, stride, view == "back")
    return canvas.sprite(flip=view == "left")


def _from_the_side(
    canvas: _Canvas, unit: float, color: str, style: int, phase: float, stride: float, lean: float, carries: bool
) -> None:
    shirt, trousers, skin, hair = PAINT[color], _TROUSERS[style], _SKIN[style], _HAIR[style]
    thigh, shin, swing = 0.245 * unit, 0.245 * unit, np.radians(27) * stride
    turn = 2 * np.pi * phase
    bob = 0.012 * unit * np.cos(2 * turn) * stride
    crouch = 0.06 * unit * lean
    tilt = np.radians(24) * lean + np.radians(3) * stride
    legs = []
    for side in (0.0, np.pi):
        angle = swing * np.sin(turn + side)
        lift = 0.9 * stride * max(0.0, float(np.cos(turn + side))) + 0.55 * lean
        hip = (0.0, thigh + shin - 0.02 * unit + bob - crouch)
        knee_at = angle + 0.35 * lift
        knee = (hip[0] + thigh * np.sin(knee_at), hip[1] - thigh * np.cos(knee_at))
        ankle_at = angle - 0.75 * lift
        ankle = (knee[0] + shin * np.sin(ankle_at), knee[1] - shin * np.cos(ankle_at))
        legs.append((hip, knee, (ankle[0], max(ankle[1], 0.028 * unit))))
    hip = legs[0][0]
    shoulder = (hip[0] + 0.31 * unit * np.sin(tilt), hip[1] + 0.31 * unit * np.cos(tilt))

    def arm(side: float, tone: float) -> tuple[float, float]:
        angle = -0.8 * swing * np.sin(turn + side) - 0.1
        if side == 0.0 and (carries or lean > 0):
            angle = -0.08 - 0.75 * lean  # the hand with the suitcase: behind
        elbow = (shoulder[0] + 0.155 * unit * np.sin(angle), shoulder[1] - 0.03 * unit - 0.155 * unit * np.cos(angle))
        bend = angle + (0.32 if side or not (carries or lean > 0) else 0.0)
        hand = (elbow[0] + 0.15 * unit * np.sin(bend), elbow[1] - 0.15 * unit * np.cos(bend))
        canvas.limb([(shoulder[0], shoulder[1] - 0.03 * unit), elbow], (0.036 * unit, 0.03 * unit), _shade(shirt, tone))
        canvas.limb([elbow, hand], (0.028 * unit, 0.021 * unit), _shade(skin, tone))
        canvas.ellipse(hand, (0.026 * unit, 0.026 * unit), _shade(skin, tone))
        return hand

    def leg(points: tuple[tuple[float, float], ...], tone: float) -> None:
        canvas.limb(list(points), (0.062 * unit, 0.046 * unit, 0.034 * unit), _shade(trousers, tone))
        x, y = points[2]
        canvas.ellipse((x + 0.035 * unit, y - 0.004 * unit), (0.068 * unit, 0.026 * unit), _shade(_SHOE, tone))

    arm(np.pi, 0.72)
    leg(legs[1], 0.72)
    leg(legs[0], 1.0)
    across = np.array((np.cos(tilt), -np.sin(tilt)))
    up = np.array((np.sin(tilt), np.cos(tilt)))
    base = np.array(hip)
    outline = [(-0.076, -0.03), (-0.086, 0.12), (-0.098, 0.24), (-0.074, 0.315), (0.02, 0.338), (0.084, 0.29),
               (0.102, 0.2), (0.088, 0.08), (0.08, -0.03)]  # fmt: skip
    canvas.polygon(_smooth(np.array([base + unit * (x * across + y * up) for x, y in outline])), shirt)
    neck = base + unit * (0.015 * across + 0.335 * up)
    head = base + unit * (0.03 * across + 0.425 * up)
    canvas.limb([(float(neck[0]), float(neck[1])), (float(head[0]), float(head[1]))], (0.03 * unit, 0.03 * unit), skin)
    center = (float(head[0]), float(head[1]))
    canvas.ellipse(center, (0.062 * unit, 0.074 * unit), skin)
    canvas.ellipse((center[0] + 0.06 * unit, center[1] - 0.008 * unit), (0.013 * unit, 0.013 * unit), skin)
    canvas.ellipse((center[0] - 0.008 * unit, center[1] + 0.014 * unit), (0.066 * unit, 0.072 * unit), hair, (52, 238))
    if style % 3 == 1:  # longer hair
        canvas.ellipse((center[0] - 0.045 * unit, center[1] - 0.035 * unit), (0.034 * unit, 0.075 * unit), hair)
    hand = arm(0.0, 0.9)
    if carries:
        canvas.keep_body()  # the box is the person's own: what is carried is not part of it
        down = lean**2
        x = (1 - down) * (hand[0] - 0.02 * unit) - down * 22
        bottom = (1 - down) * max(2.0, hand[1] - 32)
        _case(canvas, (x, bottom), 27, 27)


def _from_ahead(canvas: _Canvas, unit: float, color: str, style: int, phase: float, stride: float, back: bool) -> None:
    shirt, trousers, skin, hair = PAINT[color], _TROUSERS[style], _SKIN[style], _HAIR[style]
    turn = 2 * np.pi * phase
    for side in (-1, 1):
        lift = 0.055 * unit * stride * max(0.0, float(np.sin(turn) * side))
        swing = 0.022 * unit * stride * float(np.sin(turn)) * side
        x = 0.052 * unit * side
        canvas.limb(
            [(x, 0.47 * unit), (x * 1.05, 0.25 * unit + lift * 0.6), (x, 0.03 * unit + lift)],
            (0.058 * unit, 0.046 * unit, 0.034 * unit), _shade(trousers, 0.86 if side > 0 else 1.0),
        )  # fmt: skip
        canvas.ellipse((x * 1.1, 0.022 * unit + lift), (0.042 * unit, 0.026 * unit), _SHOE)
        elbow = (0.142 * unit * side, 0.6 * unit + swing)
        hand = (0.138 * unit * side, 0.46 * unit - swing)
        canvas.limb([(0.115 * unit * side, 0.765 * unit), elbow], (0.036 * unit, 0.03 * unit), _shade(shirt, 0.86))
        canvas.limb([elbow, hand], (0.027 * unit, 0.022 * unit), skin)
    outline = [(-0.095, 0.45), (-0.098, 0.6), (-0.128, 0.74), (-0.1, 0.8), (0, 0.825), (0.1, 0.8), (0.128, 0.74),
               (0.098, 0.6), (0.095, 0.45)]  # fmt: skip
    canvas.polygon(_smooth(np.array(outline) * unit), shirt)
    canvas.limb([(0, 0.81 * unit), (0, 0.88 * unit)], (0.032 * unit, 0.03 * unit), _shade(skin, 0.9))
    canvas.ellipse((0, 0.905 * unit), (0.062 * unit, 0.074 * unit), hair if back else skin)
    canvas.ellipse((0, 0.918 * unit), (0.066 * unit, 0.066 * unit), hair, (0, 360) if back else (18, 162))


# -------------------------------------------------------------------------------------------------------------- cars

#: Outline of a car's body from the rear bumper over the top to the front bumper, as shares of length and of height.
_FRONT = ((0.62, 0.88), (0.7, 0.655), (0.86, 0.575), (0.965, 0.48), (0.998, 0.36), (0.995, 0.2))
_SALOON = ((0.004, 0.2), (0.0, 0.38), (0.012, 0.54), (0.06, 0.6), (0.16, 0.64), (0.235, 0.86), (0.3, 0.97),
           (0.42, 1.0), (0.54, 0.98), *_FRONT)  # fmt: skip
_HATCH = ((0.004, 0.2), (0.0, 0.4), (0.012, 0.56), (0.05, 0.64), (0.1, 0.74), (0.165, 0.9), (0.25, 0.985),
          (0.4, 1.0), (0.53, 0.985), *_FRONT)  # fmt: skip
_ESTATE = ((0.004, 0.2), (0.0, 0.42), (0.01, 0.58), (0.035, 0.7), (0.075, 0.86), (0.13, 0.965), (0.26, 1.0),
           (0.42, 1.0), (0.54, 0.98), *_FRONT)  # fmt: skip
_GLASS, _TYRE, _RIM = (44, 41, 38), (30, 30, 32), (176, 176, 174)


@lru_cache(maxsize=1024)
def car(length: int, color: str, style: int, phase: float, view: str) -> Sprite:
    """Draw a car of `length` px from the side, its wheels turned to a phase (0..1)."""
    long, high = float(length), 0.385 * length
    paint = PAINT[color]
    canvas = _Canvas(0.52 * long, 0.52 * long, 1.08 * high)

    def at(x: float, y: float) -> tuple[float, float]:
        return (x - 0.5) * long, y * high

    def shape(points: tuple[tuple[float, float], ...]) -> Floats:
        return np.array([at(x, y) for x, y in points])

    outline = (_SALOON, _HATCH, _ESTATE)[style]
    canvas.polygon(shape(((0.05, 0.12), (0.05, 0.3), (0.95, 0.3), (0.95, 0.12))), (26, 26, 28))  # below the sills
    body = np.vstack((_smooth(shape(outline), closed=False), shape(((0.95, 0.15), (0.05, 0.15)))))
    canvas.polygon(body, paint)
    # A lighter shoulder and a darker flank give the side some roundness.
    canvas.polygon(shape(((0.012, 0.5), (0.03, 0.585), (0.87, 0.56), (0.96, 0.47))), _shade(paint, 1.1))
    canvas.polygon(shape(((0.003, 0.2), (0.003, 0.3), (0.996, 0.3), (0.994, 0.2), (0.95, 0.15), (0.05, 0.15))),
                   _shade(paint, 0.78))  # fmt: skip
    rear = {0: ((0.2, 0.66), (0.262, 0.85), (0.32, 0.925), (0.425, 0.94), (0.425, 0.66)),
            1: ((0.12, 0.68), (0.19, 0.88), (0.26, 0.925), (0.425, 0.94), (0.425, 0.66)),
            2: ((0.07, 0.7), (0.11, 0.87), (0.15, 0.92), (0.425, 0.94), (0.425, 0.66))}[style]  # fmt: skip
    canvas.polygon(shape(rear), _GLASS)
    canvas.polygon(shape(((0.447, 0.66), (0.447, 0.94), (0.53, 0.925), (0.59, 0.85), (0.66, 0.66))), _GLASS)
    canvas.polygon(shape(((0.5, 0.66), (0.545, 0.915), (0.57, 0.885), (0.54, 0.66))), (74, 70, 66))  # a reflection
    for x in (0.435, 0.225 if style else 0.24):  # gaps of the doors, and their handles
        canvas.polygon(shape(((x, 0.22), (x, 0.66), (x + 0.006, 0.66), (x + 0.006, 0.22))), _shade(paint, 0.62))
    for x in (0.36, 0.455):
        canvas.polygon(shape(((x, 0.545), (x, 0.575), (x + 0.04, 0.575), (x + 0.04, 0.545))), _shade(paint, 0.6))
    canvas.polygon(shape(((0.93, 0.42), (0.9, 0.53), (0.955, 0.485), (0.985, 0.43))), (214, 236, 244))  # headlight
    canvas.polygon(shape(((0.004, 0.44), (0.012, 0.55), (0.045, 0.575), (0.04, 0.44))), (44, 40, 128))  # tail light
    for x in (0.195, 0.8):
        _wheel(canvas, at(x, 0.0)[0], 0.098 * long, phase, paint)
    return canvas.sprite(flip=view == "left", light=0.14)


def _wheel(canvas: _Canvas, x: float, radius: float, phase: float, paint: tuple[int, int, int]) -> None:
    center = (x, radius)
    canvas.ellipse((x, radius + 0.6), (radius * 1.16, radius * 1.16), _shade(paint, 0.34), (0, 180))
    canvas.ellipse(center, (radius, radius), _TYRE)
    canvas.ellipse(center, (radius * 0.63, radius * 0.63), _RIM)
    for spoke in range(5):
        angle = -2 * np.pi * (phase + spoke / 5)
        tip = (x + 0.6 * radius * np.cos(angle), radius + 0.6 * radius * np.sin(angle))
        canvas.limb([center, tip], (0.1 * radius, 0.05 * radius), (92, 92, 92))
    canvas.ellipse(center, (radius * 0.17, radius * 0.17), (70, 70, 70))


# ---------------------------------------------------------------------------------------------------------- suitcase


@lru_cache(maxsize=8)
def suitcase(width: int, height: int) -> Sprite:
    """Draw the suitcase."""
    canvas = _Canvas(width, width, 1.5 * height)
    _case(canvas, (0.0, 0.0), width, height)
    return canvas.sprite(flip=False)


def _case(canvas: _Canvas, foot: tuple[float, float], width: int, height: int) -> None:
    x, y = foot
    wide, high = width / 2, 0.84 * height
    paint = PAINT["blue"]
    canvas.limb([(x - 0.3 * wide, y + high - 1), (x - 0.3 * wide, y + height - 1.2), (x + 0.3 * wide, y + height - 1.2),
                 (x + 0.3 * wide, y + high - 1)], (1.3, 1.3, 1.3, 1.3), (40, 40, 44))  # fmt: skip
    corner = [(-1, 0.1), (-0.94, 0.03), (0.94, 0.03), (1, 0.1), (1, 0.9), (0.92, 1), (-0.92, 1), (-1, 0.9)]
    canvas.polygon([(x + wide * a, y + high * b) for a, b in corner], paint)
    for share in (-0.5, 0.5):
        edges = [(share - 0.07, 0.06), (share + 0.07, 0.06), (share + 0.07, 0.97), (share - 0.07, 0.97)]
        canvas.polygon([(x + wide * a, y + high * b) for a, b in edges], _shade(paint, 0.68))
    edges = [(-0.94, 0.86), (0.94, 0.86), (0.9, 0.96), (-0.9, 0.96)]
    canvas.polygon([(x + wide * a, y + high * b) for a, b in edges], _shade(paint, 1.25))
    for share in (-0.75, 0.75):
        canvas.ellipse((x + wide * share, y + 1.1), (1.5, 1.4), (34, 34, 36))


def _smooth(points: Floats, *, closed: bool = True, steps: int = 8) -> Floats:
    """Return a Catmull-Rom curve through the points."""
    around = np.vstack((points[-1:], points, points[:2])) if closed else np.vstack((points[:1], points, points[-1:]))
    spans = len(around) - 3
    share = np.arange(steps)[None, :, None] / steps
    a, b, c, d = (around[offset : offset + spans, None, :] for offset in range(4))
    curve = 0.5 * (
        2 * b + (c - a) * share + (2 * a - 5 * b + 4 * c - d) * share**2 + (3 * b - a - 3 * c + d) * share**3
    )
    found = curve.reshape(-1, 2)
    return found if closed else np.vstack((found, points[-1:]))
