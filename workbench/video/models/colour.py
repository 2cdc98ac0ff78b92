"""Colour words from pixels, by hue, saturation and brightness: for any object, without weights."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.video.models.base import Image

__all__ = ["COLOURS", "central", "colour_shares", "colour_words"]

#: The words that `color` takes, in the order in which ties are settled.
COLOURS = ("white", "gray", "yellow", "red", "green", "blue", "black")

_BLACK_BELOW = 60  # brightness (0..255) below which a pixel is black, whatever its hue
_WHITE_FROM = 175  # brightness from which a colourless pixel is white
_COLOURLESS_BELOW = 60  # saturation (0..255) below which a pixel has no hue
_HUES = ((20, "red"), (70, "yellow"), (165, "green"), (275, "blue"), (361, "red"))  # degrees, upper ends


def colour_words(image: Image, *, part: str = "middle") -> str:
    """Return the colour of a crop as a word.

    Parameters
    ----------
    image : ndarray (height, width, 3)
        BGR, 0..255.
    part : "middle" or "torso"
        Look at the central half of width and height, or at a person's upper body.

    Returns
    -------
    str
        One of `white gray yellow red green blue black`.
    """
    counts = colour_shares(central(image, part))
    return COLOURS[int(np.argmax(counts))]


def colour_shares(image: Image) -> NDArray[np.float64]:
    """Return the share of the pixels of each word of `COLOURS`, hues weighted up against colourless pixels.

    A red car shows windows, tyres and glare: pixels with a hue tell more than pixels without.
    """
    pixels = image.reshape(-1, 3).astype(np.float64)
    high, low = pixels.max(axis=1), pixels.min(axis=1)
    chroma = high - low
    saturation = np.divide(255 * chroma, high, out=np.zeros_like(high), where=high > 0)
    dark = high < _BLACK_BELOW
    colourless = ~dark & (saturation < _COLOURLESS_BELOW)
    vivid = ~dark & ~colourless
    shares = dict.fromkeys(COLOURS, 0.0)
    shares["black"] = float(dark.sum())
    shares["white"] = float((colourless & (high >= _WHITE_FROM)).sum())
    shares["gray"] = float((colourless & (high < _WHITE_FROM)).sum())
    hue = _hue(pixels[vivid], high[vivid], chroma[vivid])
    start = 0.0
    for end, word in _HUES:
        shares[word] += _HUE_WEIGHT * float(((hue >= start) & (hue < end)).sum())
        start = end
    return np.array([shares[word] for word in COLOURS]) / max(1, len(pixels))


_HUE_WEIGHT = 2.0


def _hue(pixels: NDArray[np.float64], high: NDArray[np.float64], chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    blue, green, red = pixels.T
    step = np.where(
        high == red,
        (green - blue) / chroma,
        np.where(high == green, (blue - red) / chroma + 2, (red - green) / chroma + 4),
    )
    return (60 * step) % 360


def central(image: Image, part: str) -> Image:
    """Return the central half of a crop, or a person's upper body; at least one pixel."""
    height, width = image.shape[:2]
    top, bottom = (0.15, 0.5) if part == "torso" else (0.25, 0.75)
    rows = slice(int(height * top), max(int(height * top) + 1, round(height * bottom)))
    columns = slice(int(width * 0.25), max(int(width * 0.25) + 1, round(width * 0.75)))
    return image[rows, columns]
