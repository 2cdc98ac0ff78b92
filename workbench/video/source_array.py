"""Frames in memory as a source."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.source_base import Floats, Image, Source, VideoInfo, mean_rate, uneven

__all__ = ["ArraySource", "from_array"]

#: Arrays up to this size travel with the tasks; larger ones are kept in the store and mapped by the workers.
_INLINE_BYTES = 8 << 20


class ArraySource(Source):
    """Frames in memory: see `from_array`."""

    def __init__(self, frames: Image, times: Floats, fps: float, name: str) -> None:
        self.frames, self.name, self.fps = frames, name, fps
        self._seconds = times

    def info(self) -> VideoInfo:
        """Return size, rate and length."""
        count, height, width = self.frames.shape[:3]
        steps = np.diff(self._seconds)
        duration = float(self._seconds[-1] + (np.median(steps) if len(steps) else 1 / self.fps)) if count else 0.0
        return VideoInfo(self.name, width, height, self.fps, count, duration, "array", uneven(self._seconds))

    def times(self) -> Floats:
        """Return the frames' times in seconds."""
        return self._seconds

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds, picture)."""
        for index in range(max(0, start), min(stop, len(self.frames))):
            yield index, float(self._seconds[index]), np.array(self.frames[index])

    def video_id(self) -> str:
        """Return the sha256 of shape, times and pixels; worked out each time, since arrays can be written to."""
        digest = hashlib.sha256(repr(self.frames.shape).encode())
        digest.update(np.ascontiguousarray(self._seconds).tobytes())
        for frame in self.frames:
            digest.update(np.ascontiguousarray(frame).data)
        return digest.hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        if self.frames.nbytes > _INLINE_BYTES:
            state["frames"] = None
            state["_file"] = str(self._kept())
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if state["frames"] is None:
            self.frames = np.load(state["_file"], mmap_mode="r")

    def _kept(self) -> Path:
        from workbench.engine.store import store

        key = hashlib.sha256(b"array" + self.video_id().encode()).hexdigest()
        path = store().get_file(key)
        if path is None:
            data = io.BytesIO()
            np.save(data, self.frames)
            store().put_file(key, data.getvalue(), suffix=".npy", kind="array", cost_s=3600.0)
            path = store().get_file(key)
        if path is None:
            raise WorkbenchError(
                f"{self.name} does not fit into the store.",
                "Free disk space, raise the store's limit, or write a video.",
            )
        return path


def from_array(frames: Any, *, fps: float | None = None, times: Any = None, name: str = "array") -> Source:
    """Make a source of frames in memory.

    Parameters
    ----------
    frames : uint8 (n, height, width, 3)
        BGR pictures, origin top left.
    fps : float, optional
        Frames per second, for evenly spaced frames.
    times : float64 (n,), optional
        Seconds of each frame, ascending; counted from the first.
    name : str
        What the `video` column says.

    Returns
    -------
    Source

    Raises
    ------
    WorkbenchError
        For another shape or type, times that do not grow, or neither `fps` nor `times`.
    """
    try:
        pictures = np.asarray(frames)
    except ValueError:
        raise WorkbenchError(
            "from_array needs pictures of one size.",
            "Resize them, or cut them to the smallest: frame[:height, :width].",
        ) from None
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or 0 in pictures.shape[1:]:
        raise WorkbenchError(
            f"from_array needs uint8 frames of shape (n, height, width, 3), got {pictures.dtype} {pictures.shape}.",
            "Stack BGR pictures: np.stack([...]).astype('uint8').",
        )
    if (fps is None) == (times is None):
        raise WorkbenchError("from_array needs fps or times, one of them.", "Write fps=25, or times=[0, 0.04, ...].")
    if times is None:
        if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not np.isfinite(fps) or fps <= 0:
            raise WorkbenchError(f"fps must be a number above 0, got {fps!r}.", "Write fps=25.")
        return ArraySource(pictures, np.arange(len(pictures)) / float(fps), float(fps), name)
    seconds = np.asarray(times, np.float64)
    if seconds.shape != (len(pictures),) or not np.isfinite(seconds).all() or np.any(np.diff(seconds) <= 0):
        raise WorkbenchError(
            f"times must be {len(pictures)} growing numbers of seconds, one for each frame.",
            "Sort the frames by time and drop doubles.",
        )
    seconds = seconds - seconds[0] if len(seconds) else seconds
    return ArraySource(pictures, seconds, mean_rate(seconds, 25.0), name)
