"""Tiny videos for the tests; each frame carries its own number as a pattern that survives encoding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
BITS = 8


def numbered(index: int, width: int = 64, height: int = 48) -> Image:
    """A picture whose upper half says `index` in eight bars (bright: 1), and whose lower half moves."""
    image = np.full((height, width, 3), 40, np.uint8)
    bar = width // BITS
    for bit in range(BITS):
        if index >> bit & 1:
            image[: height // 2, bit * bar : (bit + 1) * bar] = 215
    x = index * 3 % max(1, width - 8)
    image[height * 5 // 8 :, x : x + 8] = (30, 90, 220)
    return image


def number_of(image: Image) -> int:
    """Read the number back."""
    height, width = image.shape[:2]
    bar = width // BITS
    part = image[: height // 2 - 2].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(BITS) if part[bit * bar + 1 : (bit + 1) * bar - 1].mean() > 128)


def clip(
    path: Path,
    frames: int | Iterable[int] = 40,
    *,
    size: tuple[int, int] = (64, 48),
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    pixels: str = "yuv420p",
    fps: int = 25,
    times: Sequence[float] | None = None,
    rotation: int | None = None,
    muxing: dict[str, str] | None = None,
) -> Path:
    """Write a video of numbered frames."""
    import av

    numbers = range(frames) if isinstance(frames, int) else list(frames)
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream: Any = container.add_stream(codec, rate=fps, options={"sc_threshold": "0", **(options or {})})
        stream.width, stream.height, stream.pix_fmt = *size, pixels
        stream.codec_context.thread_count = 1
        if times is not None:
            stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        container.start_encoding()
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(numbered(number, *size), format="bgr24").reformat(format=pixels)
            frame.pts = place if times is None else round(times[place] * 1000)
            frame.time_base = Fraction(1, fps) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def packets(path: Path) -> list[tuple[int, int, int, bool]]:
    """Return pts, place in the file, size and keyframe mark of each packet, in file order."""
    import av

    with av.open(str(path)) as container:
        found = container.demux(container.streams.video[0])
        return [(item.pts, item.pos, item.size, item.is_keyframe) for item in found if item.size]


def spoil(path: Path, numbers: Iterable[int], *, whole: bool = True) -> Path:
    """Overwrite packets (by place in the file order) with noise, all of each or its second half."""
    rng = np.random.default_rng(0)
    data, table = bytearray(path.read_bytes()), packets(path)
    for number in numbers:
        _pts, place, size, _key = table[number]
        first = place if whole else place + size // 2
        data[first : place + size] = bytes(size) if whole else rng.bytes(place + size - first)
    path.write_bytes(bytes(data))
    return path
