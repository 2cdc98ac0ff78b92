"""What stands still in the street: houses, a shop, a yard, the pavement and the road."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.street.script import HEIGHT, WIDTH, YARD

__all__ = ["backdrop"]

Image = NDArray[np.uint8]

_SCALE = 2
_SUN = (0.94, 0.98, 1.0)


@lru_cache(maxsize=2)
def backdrop() -> Image:
    """Return the empty street, uint8 (432, 768, 3), BGR; the same for each seed."""
    import cv2

    rng = np.random.default_rng(7)
    canvas = np.zeros((HEIGHT * _SCALE, WIDTH * _SCALE, 3), np.uint8)
    _sky(canvas)
    _far_houses(canvas, rng)
    _yard(canvas, rng)
    _house(canvas, rng)
    _shop(canvas)
    _pavement(canvas)
    _road(canvas)
    _furniture(canvas, rng)
    small = cv2.resize(canvas, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
    small += _texture(rng)
    return np.clip(small * np.array(_SUN, np.float32), 6, 244).astype(np.uint8)


def _rect(canvas: Image, x1: float, y1: float, x2: float, y2: float, color: tuple[int, ...]) -> None:
    import cv2

    corners = [round(value * _SCALE) for value in (x1, y1, x2, y2)]
    cv2.rectangle(canvas, (corners[0], corners[1]), (corners[2] - 1, corners[3] - 1), color, cv2.FILLED)


def _poly(canvas: Image, points: Any, color: tuple[int, ...]) -> None:
    import cv2

    corners = np.round(np.asarray(points, np.float64) * _SCALE * 16).astype(np.int32)
    cv2.fillPoly(canvas, [corners], color, cv2.LINE_AA, 4)


def _line(canvas: Image, a: tuple[float, float], b: tuple[float, float], color: tuple[int, ...], wide: float) -> None:
    import cv2

    start, end = ((round(x * _SCALE), round(y * _SCALE)) for x, y in (a, b))
    cv2.line(canvas, start, end, color, max(1, round(wide * _SCALE)), cv2.LINE_AA)


def _disc(canvas: Image, x: float, y: float, rx: float, ry: float, color: tuple[int, ...]) -> None:
    turns = np.linspace(0, 2 * np.pi, 48)
    _poly(canvas, np.column_stack((x + rx * np.cos(turns), y + ry * np.sin(turns))), color)


def _sky(canvas: Image) -> None:
    share = np.linspace(0, 1, 120 * _SCALE)[:, None]
    top, low = np.array([224, 190, 148]), np.array([236, 226, 212])
    canvas[: 120 * _SCALE] = (top * (1 - share) + low * share)[:, None, :].astype(np.uint8)


def _far_houses(canvas: Image, rng: np.random.Generator) -> None:
    x = 470.0
    while x < WIDTH:
        wide, top = float(rng.uniform(46, 80)), float(rng.uniform(22, 56))
        tone = int(rng.integers(158, 190))
        _rect(canvas, x, top, x + wide, 120, (tone + 8, tone, tone - 8))
        for wx in np.arange(x + 7, x + wide - 8, 13):
            for wy in np.arange(top + 8, 100, 15):
                _rect(canvas, wx, wy, wx + 6, wy + 8, (tone - 34, tone - 36, tone - 40))
        x += wide


def _yard(canvas: Image, rng: np.random.Generator) -> None:
    _rect(canvas, 470, 112, WIDTH, 206, (96, 148, 112))  # lawn around the yard
    _rect(canvas, 470, 84, WIDTH, 118, (134, 164, 192))  # brick wall behind it
    for row in range(7):
        y = 84 + row * 5
        _line(canvas, (470, y), (WIDTH, y), (156, 182, 204), 0.6)
        for x in range(470 + (row % 2) * 7, WIDTH, 14):
            _line(canvas, (x, y), (x, y + 5), (156, 182, 204), 0.6)
    _rect(canvas, 470, 81, WIDTH, 86, (178, 190, 198))
    (x1, y1), (x2, _a), (x3, y3), (x4, _b) = YARD
    _poly(canvas, ((x1, y1), (WIDTH, y1), (WIDTH, y3 + 4), (x4 - 2, y3 + 4)), (150, 166, 176))
    _poly(canvas, ((x1, y1), (x2, y1), (x3, y3), (x4, y3)), (166, 184, 196))
    for share in np.linspace(0, 1, 9):
        top, low = x1 + (x2 - x1) * share, x4 + (x3 - x4) * share
        _line(canvas, (top, y1), (low, y3), (154, 170, 182), 0.7)
    for y in (125, 135, 147):
        share = (y - y1) / (y3 - y1)
        _line(canvas, (x1 + (x4 - x1) * share, y), (x2 + (x3 - x2) * share, y), (154, 170, 182), 0.7)
    for (a, b), (c, d) in zip(YARD, (*YARD[1:], YARD[0]), strict=True):
        _line(canvas, (a, b), (c, d), (214, 222, 226), 1.4)
    for x in range(474, 512, 9):  # shrubs beside the house
        radius = float(rng.uniform(9, 13))
        _disc(canvas, x, 160 - radius * 0.6, radius, radius, (52, int(rng.integers(98, 124)), 66))


def _house(canvas: Image, rng: np.random.Generator) -> None:
    _rect(canvas, 0, 0, 470, 196, (176, 196, 208))
    _rect(canvas, 0, 100, 470, 108, (196, 210, 218))  # a moulding between the floors
    _rect(canvas, 462, 0, 470, 196, (150, 170, 184))
    for number, x in enumerate((26, 104, 178, 280, 350, 416)):
        for top, low in ((10, 46), (58, 94)):
            _window(canvas, x, top, 34, low - top, lit=(number * 3 + top) % 7 == 0, rng=rng)
    for x in (22, 100, 350, 410):
        _window(canvas, x, 122, 44, 46, lit=x == 100, rng=rng)
    _rect(canvas, 0, 186, 470, 196, (158, 174, 184))  # plinth


def _window(
    canvas: Image, x: float, y: float, wide: float, high: float, *, lit: bool, rng: np.random.Generator
) -> None:
    _rect(canvas, x - 3, y - 3, x + wide + 3, y + high + 3, (222, 230, 234))
    _rect(canvas, x, y, x + wide, y + high, (150, 178, 196) if lit else (112, 96, 82))
    shine = float(rng.uniform(0.2, 0.5))
    _poly(canvas, ((x + wide * shine, y), (x + wide * (shine + 0.28), y), (x + wide * shine, y + high),
                   (x + wide * (shine - 0.2), y + high)), (176, 190, 202) if lit else (136, 122, 110))  # fmt: skip
    _rect(canvas, x + wide / 2 - 1, y, x + wide / 2 + 1, y + high, (222, 230, 234))
    _rect(canvas, x - 5, y + high + 2, x + wide + 5, y + high + 6, (204, 214, 220))


def _shop(canvas: Image) -> None:
    _rect(canvas, 168, 112, 334, 196, (124, 112, 72))  # front
    _rect(canvas, 174, 132, 220, 180, (128, 116, 104))
    _poly(canvas, ((186, 132), (202, 132), (190, 180), (176, 180)), (152, 142, 130))
    _rect(canvas, 280, 132, 328, 180, (128, 116, 104))
    _poly(canvas, ((294, 132), (312, 132), (300, 180), (284, 180)), (152, 142, 130))
    for x in (180, 196, 286, 302):  # goods in the windows
        _rect(canvas, x, 166, x + 11, 180, (96, 120, 176))
        _rect(canvas, x + 4, 158, x + 10, 166, (120, 150, 110))
    _rect(canvas, 228, 96 + 30, 272, 196, (70, 58, 46))
    _rect(canvas, 232, 130, 268, 196, (150, 196, 218))  # the open door, light inside
    _rect(canvas, 232, 130, 268, 140, (176, 214, 230))
    _rect(canvas, 240, 150, 246, 178, (128, 176, 202))
    _rect(canvas, 254, 146, 262, 178, (128, 176, 202))
    _rect(canvas, 266, 132, 272, 196, (92, 110, 128))
    for number in range(12):  # awning
        left = 164 + number * 14.5
        color = (226, 232, 236) if number % 2 else (72, 118, 56)
        _poly(canvas, ((left + 3, 106), (left + 17.5, 106), (left + 14.5, 124), (left, 124)), color)
        _disc(canvas, left + 7.2, 124, 7.2, 4, color)
    _rect(canvas, 206, 88, 296, 104, (60, 48, 40))
    _write(canvas, "MARKET", 222, 100, 0.42, (226, 236, 240))


def _write(canvas: Image, text: str, x: float, y: float, size: float, color: tuple[int, ...]) -> None:
    import cv2

    place = (round(x * _SCALE), round(y * _SCALE))
    cv2.putText(canvas, text, place, cv2.FONT_HERSHEY_DUPLEX, size * _SCALE, color, _SCALE - 1, cv2.LINE_AA)


def _pavement(canvas: Image) -> None:
    _rect(canvas, 0, 196, WIDTH, 266, (178, 186, 190))
    for y in (206, 222, 242):
        _line(canvas, (0, y), (WIDTH, y), (158, 166, 172), 0.8)
    for x in np.arange(-240, WIDTH + 240, 46):  # joints run to a point far above
        _line(canvas, (384 + (x - 384) * 0.9, 196), (384 + (x - 384) * 1.06, 266), (158, 166, 172), 0.8)
    _rect(canvas, 226, 196, 274, 202, (196, 202, 206))  # step
    _rect(canvas, 0, 196, 470, 199, (150, 158, 164))  # shade along the house
    _rect(canvas, 0, 264, WIDTH, 270, (206, 212, 216))
    _rect(canvas, 0, 270, WIDTH, 278, (132, 138, 142))  # kerb


def _road(canvas: Image) -> None:
    _rect(canvas, 0, 278, WIDTH, HEIGHT, (112, 110, 108))
    for y, tone in ((300, 107), (322, 108), (374, 107), (396, 108)):  # wheel tracks
        _rect(canvas, 0, y, WIDTH, y + 9, (tone, tone - 2, tone - 4))
    _rect(canvas, 0, 278, WIDTH, 283, (100, 99, 98))
    for x in np.arange(-20, WIDTH, 78):
        _poly(canvas, ((x, 350), (x + 40, 350), (x + 41, 354), (x + 0.5, 354)), (206, 212, 214))
    _rect(canvas, 0, 426, WIDTH, 429, (200, 206, 208))
    _disc(canvas, 610, 317, 15, 4, (98, 97, 96))  # manhole


def _furniture(canvas: Image, rng: np.random.Generator) -> None:
    _tree(canvas, 494, 240, rng)
    for x in (142,):  # a lamp post before the house
        _rect(canvas, x - 1.6, 40, x + 1.6, 206, (70, 68, 64))
        _rect(canvas, x - 4, 198, x + 4, 207, (60, 58, 56))
        _line(canvas, (x, 42), (x + 22, 36), (70, 68, 64), 2.2)
        _poly(canvas, ((x + 16, 33), (x + 34, 35), (x + 34, 39), (x + 16, 40)), (84, 82, 80))
    _rect(canvas, 660, 201, 706, 204, (66, 96, 128))  # bench
    _rect(canvas, 660, 194, 706, 197, (66, 96, 128))
    for leg in (665, 698):
        _rect(canvas, leg, 194, leg + 3, 212, (60, 60, 60))


def _tree(canvas: Image, x: float, foot: float, rng: np.random.Generator) -> None:
    _disc(canvas, x, foot - 24, 13, 3.4, (120, 128, 132))
    _poly(canvas, ((x - 4, foot - 24), (x - 2.6, 70), (x + 2.6, 70), (x + 4, foot - 24)), (58, 76, 96))
    for tone, spread, count in ((0.8, 34, 46), (1.0, 28, 40), (1.18, 20, 26)):
        for _leaf in range(count):
            angle, far = float(rng.uniform(0, 2 * np.pi)), float(np.sqrt(rng.uniform(0, 1))) * spread
            radius = float(rng.uniform(5, 9))
            shift = 6 * (1 - tone)
            _disc(canvas, x + far * np.cos(angle) + shift, 52 + 0.82 * far * np.sin(angle) + shift, radius, radius,
                  (int(52 * tone), int(112 * tone), int(70 * tone)))  # fmt: skip


def _texture(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return a grain that is coarse on the road, fine elsewhere, so that no surface is quite flat."""
    import cv2

    fine = rng.normal(0, 3.0, (HEIGHT, WIDTH)).astype(np.float32)
    coarse = cv2.GaussianBlur(rng.normal(0, 60.0, (HEIGHT, WIDTH)).astype(np.float32), (0, 0), 9)
    grain = cv2.GaussianBlur(fine, (0, 0), 0.7) + 0.8 * coarse
    grain[278:] += rng.normal(0, 4.0, (HEIGHT - 278, WIDTH)).astype(np.float32)
    grain[:84, 470:] *= 0.25
    return grain[:, :, None] * np.ones(3, np.float32)
