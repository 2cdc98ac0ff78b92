"""What a result knows of each video that it searched, and whether it is the whole answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workbench.video.source import Source, VideoInfo

if TYPE_CHECKING:
    from workbench.video.result.result import VideoResult

__all__ = ["PartialFlag", "VideoFacts"]


@dataclass(frozen=True)
class VideoFacts:
    """What a result knows of one video that it searched.

    Attributes
    ----------
    source : Source
    info : VideoInfo
    wanted : (float, float)
        The range that was asked for, s.
    searched, skipped : list of (start, end)
        What was searched, and what could not be, s.
    frames, cached : int
        Processed frames, and how many of them came from the store.
    """

    source: Source
    info: VideoInfo
    wanted: tuple[float, float]
    searched: list[tuple[float, float]] = field(default_factory=list)
    skipped: list[tuple[float, float]] = field(default_factory=list)
    frames: int = 0
    cached: int = 0

    @property
    def seconds(self) -> float:
        """Seconds of the video that were searched."""
        return sum(end - start for start, end in self.searched)


class PartialFlag(int):
    """True for the answer of an unfinished run; called, it gives what is known now."""

    _result: VideoResult

    @classmethod
    def of(cls, result: VideoResult, value: bool) -> PartialFlag:
        """Return the flag of a result."""
        flag = cls(value)
        flag._result = result
        return flag

    def __call__(self) -> VideoResult:
        """Return a finished `VideoResult` of what is known now."""
        return self._result._known_now()

    def __repr__(self) -> str:
        return repr(bool(self))
