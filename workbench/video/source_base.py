"""What a source of frames is: the class that video files, arrays and sources of one's own share."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError, one_line

__all__ = [
    "Damage", "Source", "VideoInfo", "checked_indices", "checked_source", "damage_ranges", "mean_rate", "uneven",
]  # fmt: skip

Image = NDArray[np.uint8]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

#: Frames between two wanted ones that a source without random access reads over rather than asking anew.
_READ_OVER = 16


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video without decoding it.

    Attributes
    ----------
    video : str
        The source as its user wrote it.
    width, height : int
        px of the upright picture.
    fps : float
        Frames per second, on average.
    frames : int
    duration : float
        Seconds, the last frame's own time on screen included.
    codec : str
        FFmpeg's name of the codec, `"array"` for arrays.
    variable_rate : bool
        Whether frames are unevenly spaced.
    """

    video: str
    width: int
    height: int
    fps: float
    frames: int
    duration: float
    codec: str = ""
    variable_rate: bool = False


@dataclass(frozen=True)
class Damage:
    """A part that cannot be decoded: frames `first` to `last`, seconds `start` to `end`."""

    first: int
    last: int
    start: float
    end: float


class Source:
    """Something with frames. A source of one's own has `info` and `read`; all else follows from these.

    It must be picklable (it travels to the workers) and give the same frames each time. Its frames are evenly spaced
    at `info().fps`, unless `info().variable_rate`: then the times are taken from one pass of `read`.
    """

    #: The source as its user wrote it: the `video` column.
    name: str = ""
    #: The detector that suits it, if it says so.
    hint: str | None = None

    def info(self) -> VideoInfo:
        """Return size, rate and length."""
        raise NotImplementedError(f"{type(self).__name__} lacks info()")

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds from the first frame, BGR picture) of frames `start <= index < stop`."""
        raise NotImplementedError(f"{type(self).__name__} lacks read()")

    def times(self) -> Floats:
        """Return seconds from the first frame's timestamp for each frame, in presentation order."""
        known: Floats | None = self.__dict__.get("_times")
        if known is None:
            info = self.info()
            if info.variable_rate:
                known = np.array([time for _index, time, _image in self.read(0, info.frames)], np.float64)
                known -= known[0] if len(known) else 0.0
            else:
                known = np.arange(info.frames) / info.fps
            self.__dict__["_times"] = known
        return known

    def keyframes(self) -> Ints:
        """Return the frames at which reading may start without decoding others first, ascending."""
        return np.arange(self.info().frames, dtype=np.int64)

    def video_id(self) -> str:
        """Return what stands for the content in cache keys: 64 hex digits.

        A source of one's own is known only by being the same object (copies that travel included), since its frames
        could come from anywhere. Override this to have its results kept across sessions.
        """
        if "_token" not in self.__dict__:
            self.__dict__["_token"] = hashlib.sha256(uuid.uuid4().bytes).hexdigest()
        token: str = self.__dict__["_token"]
        return token

    def frames_at(self, indices: Ints | Sequence[int], *, threads: int = 1) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds, uint8 BGR (height, width, 3)) of these frames, in order, one at a time.

        Parameters
        ----------
        indices : int64 (n,)
            Ascending. Frames that cannot be decoded are left out, and listed in `damage`.
        threads : int
            Threads for decoding, where that is a choice.
        """
        wanted = checked_indices(indices, self.info().frames, self.name or type(self).__name__)
        times = self.times()
        for run in np.split(wanted, np.flatnonzero(np.diff(wanted) > _READ_OVER) + 1) if len(wanted) else ():
            keep = {int(index) for index in run}
            missing = set(keep)
            for given in self.read(int(run[0]), int(run[-1]) + 1):
                index, _time, image = self._checked_frame(given)
                if index in keep:
                    missing.discard(index)
                    yield index, float(times[index]), self._checked_image(image)
            self.add_damage(missing)

    @property
    def damage(self) -> list[Damage]:
        """Parts met so far that cannot be decoded, in order of time, each with its frames and seconds."""
        return damage_ranges(self.damaged_frames, self.times())

    @property
    def damaged_frames(self) -> list[int]:
        """Frames met so far that cannot be decoded, ascending."""
        return sorted(self.__dict__.get("_damaged", ()))

    def add_damage(self, frames: Iterable[int]) -> None:
        """Note frames that cannot be decoded (a worker's findings, say)."""
        self.__dict__.setdefault("_damaged", set()).update(int(frame) for frame in frames)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _checked_frame(self, given: Any) -> tuple[int, float, Any]:
        if isinstance(given, tuple) and len(given) == 3 and isinstance(given[0], (int, np.integer)):
            return given
        told = f"a tuple of {len(given)}" if isinstance(given, tuple) else type(given).__name__
        raise WorkbenchError(
            f"{self.name or type(self).__name__}.read() gave {told}, not (frame, time, image).",
            "Yield the frame's number from 0, its seconds, and a BGR image.",
        )

    def _checked_image(self, image: Any) -> Image:
        info = self.info()
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (info.height, info.width, 3):
            return image
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise WorkbenchError(
            f"{self.name or type(self).__name__}.read() gave {found}, not uint8 ({info.height}, {info.width}, 3).",
            "Yield (frame, time, image) with BGR images of the size that info() tells.",
        )


def checked_source(source: Source) -> Source:
    """Return a source of one's own that has what it takes.

    Raises
    ------
    WorkbenchError
        If it lacks `info` or `read`, or `info` fails or tells something else than a size, a rate and a length.
    """
    kind = type(source)
    if kind.__module__.partition(".")[0] == "workbench":
        return source
    for name, told in (("info", "info() -> VideoInfo."), ("read", "read(start, stop) -> (frame, time, image) ...")):
        if getattr(kind, name) is getattr(Source, name):
            raise WorkbenchError(f"{kind.__name__} lacks {name}().", f"A source of one's own has {told}")
    if not source.name:
        source.name = kind.__name__
    example = "Return VideoInfo(name, width, height, fps, frames, duration)."
    try:
        info = source.info()
    except WorkbenchError:
        raise
    except Exception as error:
        raise WorkbenchError(f"{kind.__name__}.info() failed ({one_line(error)}).", example) from error
    if not isinstance(info, VideoInfo):
        raise WorkbenchError(f"{kind.__name__}.info() gave {type(info).__name__}, not VideoInfo.", example)
    for name, least in (("width", 1), ("height", 1), ("frames", 0)):
        value = getattr(info, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise WorkbenchError(
                f"{kind.__name__}.info() gave {name} {value!r}, not a whole number of at least {least}.", example
            )
    if not isinstance(info.fps, (int, float, np.number)) or not np.isfinite(info.fps) or info.fps <= 0:
        raise WorkbenchError(f"{kind.__name__}.info() gave fps {info.fps!r}, not a number above 0.", example)
    return source


def uneven(times: Floats) -> bool:
    """Return whether frames are unevenly spaced: a step off the mean one by over 10 % and over 1 ms."""
    if len(times) < 3:
        return False
    steps = np.diff(times)
    mean = float(times[-1] - times[0]) / len(steps)
    return bool(np.max(np.abs(steps - mean)) > max(0.1 * mean, 1.001e-3))


def mean_rate(times: Floats, otherwise: float) -> float:
    """Return frames per second over all frames, or `otherwise` where there are fewer than two."""
    return (len(times) - 1) / float(times[-1] - times[0]) if len(times) > 1 else otherwise


def damage_ranges(frames: Sequence[int], times: Floats) -> list[Damage]:
    """Join frames that cannot be decoded into parts."""
    if not len(frames):
        return []
    wanted = np.unique(np.asarray(frames, np.int64))
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.04
    ends = np.append(times[1:], times[-1] + step)
    runs = np.split(wanted, np.flatnonzero(np.diff(wanted) > 1) + 1)
    return [Damage(int(run[0]), int(run[-1]), float(times[run[0]]), float(ends[run[-1]])) for run in runs]


def checked_indices(indices: Ints | Sequence[int], count: int, name: str) -> Ints:
    """Return frame indices as an array; they must be among `count` frames and ascend."""
    wanted = np.asarray(indices, np.int64)
    if len(wanted) and (wanted[0] < 0 or wanted[-1] >= count or np.any(np.diff(wanted) <= 0)):
        raise WorkbenchError(
            f"{name} has frames 0 to {count - 1}; those asked for must be among them, ascending.",
            "Sort the frame numbers and drop doubles.",
        )
    return wanted
