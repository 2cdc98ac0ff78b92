"""How a video is cut into chunks of processed frames: the unit of work, of priority and of resuming.

The plan depends on the video, `every`, `start` and `end` alone, never on the number of workers or on what is cached, so
that every run of the same question cuts in the same places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["LATER", "Chunk", "plan_chunks"]

#: processed frames of the first chunks, so that a first answer comes soon, and of all others
FIRST, LATER = (16, 32, 64, 64), 128


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive processed frames: positions `start <= p < stop` among all processed frames."""

    index: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start


def plan_chunks(
    frames: NDArray[np.int64],
    keyframes: NDArray[np.int64],
    *,
    first: tuple[int, ...] = FIRST,
    later: int = LATER,
) -> list[Chunk]:
    """Cut processed frames into chunks, at keyframes where one is near.

    Parameters
    ----------
    frames : int64 (n,)
        Source indices of the processed frames, ascending.
    keyframes : int64 (k,)
        Source indices of the keyframes, ascending.
    first, later : tuple of int, int
        Nominal lengths of the first chunks and of all others. Near the end chunks become shorter, down to a half:
        the longer the last one, the longer all workers but one have nothing to do.

    Returns
    -------
    list of Chunk
        In order, without gap or overlap. A border moves to the keyframe nearest to it, the earlier of two that are
        equally near: by at most a quarter of the chunk's length in the first chunks, which are to be quick; by at most
        a whole length in the others (but none becomes shorter than a quarter), since all frames from the keyframe
        before a chunk are decoded in vain: with a keyframe every 250 frames, half as much again.
    """
    total = len(frames)
    # A chunk that starts at the first processed frame at or after a keyframe decodes nothing in vain.
    starts = np.unique(np.searchsorted(frames, keyframes, side="left"))
    chunks: list[Chunk] = []
    begin = 0
    while begin < total:
        nominal = first[len(chunks)] if len(chunks) < len(first) else _length(total - begin, later)
        end = begin + nominal
        if end < total:
            reach = nominal // 4 if len(chunks) < len(first) else nominal
            end = _nearest(starts, end, reach, above=begin + nominal // 4, below=total)
        # A last chunk of a few frames costs more than it brings.
        if total - end < nominal // 4:
            end = total
        chunks.append(Chunk(len(chunks), begin, min(end, total)))
        begin = end
    return chunks


def _length(left: int, later: int) -> int:
    """Return the nominal length of the next chunk: half of what is left when that is little."""
    return min(later, max(left // 2, later // 2, 1))


def _nearest(starts: NDArray[np.int64], border: int, reach: int, *, above: int, below: int) -> int:
    low = int(np.searchsorted(starts, border - reach, side="left"))
    high = int(np.searchsorted(starts, border + reach, side="right"))
    near = [int(position) for position in starts[low:high] if above < position < below]
    return min(near, key=lambda position: (abs(position - border), position), default=border)
