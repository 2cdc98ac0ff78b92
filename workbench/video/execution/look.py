"""A canary's look at some frames: decoded once, shown to the detector at several sizes and to the proxies."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import tasks
from workbench.engine.errors import one_line
from workbench.engine.run import Run
from workbench.video.execution.cache import Detections
from workbench.video.execution.functions import by_value, sendable
from workbench.video.execution.wave import as_detections
from workbench.video.models.base import DetectorSpec, Floats, Image
from workbench.video.models.proxies import Proxy
from workbench.video.operators.skip import small_picture
from workbench.video.source import Source

__all__ = ["Look", "LookTask", "looks"]

#: frames in one task, all of which are held in memory: at most so many, and so many bytes
_FRAMES, _BYTES = 16, 64 << 20


@dataclass(frozen=True)
class LookTask:
    """What a worker needs: `frames`, and for each share of the full size the detector and those of them to show it."""

    source: Source
    frames: NDArray[np.int64]
    detectors: Mapping[float, tuple[DetectorSpec, NDArray[np.int64]]]
    proxies: tuple[Proxy, ...]
    threads: int


@dataclass
class Look:
    """What was seen.

    Attributes
    ----------
    frames, times : int64 (n,), float64 (n,)
        Those that could be decoded.
    pictures : list of uint8 (h, w, 3)
        Small, for the test against the background.
    found : dict
        Share of the full size -> detections.
    seconds : dict
        The same -> what the detector took, s.
    scores : dict
        Name of a proxy -> a score for each frame.
    failed : dict
        Name of a proxy -> what it raised.
    """

    frames: NDArray[np.int64]
    times: Floats
    pictures: list[Image] = field(repr=False)
    found: dict[float, Detections] = field(default_factory=dict)
    seconds: dict[float, float] = field(default_factory=dict)
    scores: dict[str, Floats] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def looks(
    source: Source,
    frames: NDArray[np.int64],
    detectors: Mapping[float, DetectorSpec],
    known: NDArray[np.int64],
    proxies: Sequence[Proxy],
    *,
    run: Run[Any] | None,
    threads: int,
) -> Iterator[Look]:
    """Yield looks at frames, in order of time.

    Parameters
    ----------
    frames : int64 (n,)
        Ascending.
    detectors : Mapping
        Share of the full size -> detector.
    known : int64 (k,)
        Frames that the full-size one need not be shown.
    proxies : sequence of Proxy
    run : Run, optional
        Its cancelling ends the iteration.
    threads : int
        Of one inference.
    """
    info = source.info()
    length = max(1, min(_FRAMES, _BYTES // (3 * info.width * info.height)))

    def items() -> Iterator[LookTask]:
        for start in range(0, len(frames), length):
            part = frames[start : start + length]
            asked = {
                scale: (spec, np.setdiff1d(part, known) if scale == 1.0 else part) for scale, spec in detectors.items()
            }
            yield LookTask(source, part, asked, tuple(proxies), threads)

    sendable(source)
    with contextlib.ExitStack() as sent:
        own = [function for spec in detectors.values() for function in spec.functions]
        for function in (*own, *(proxy.function for proxy in proxies)):
            sent.enter_context(by_value(function))
        for outcome in tasks.ordered(tasks.stream(look, items(), run=run, key="canary")):
            if outcome.error is None:  # a part that fails three times is no part of the canary
                yield outcome.unwrap()


def look(task: LookTask) -> Look:
    """Decode, detect, score: what a worker does with some frames of a canary."""
    from workbench.video.operators.detect import detect_frames

    shown = list(task.source.frames_at(task.frames))
    held = _Held(task.source, shown)
    seen = Look(
        np.array([frame for frame, _, _ in shown], np.int64),
        np.array([seconds for _, seconds, _ in shown], np.float64),
        [small_picture(image) for _, _, image in shown],
    )
    for scale, (spec, frames) in task.detectors.items():
        wanted = np.intersect1d(frames, seen.frames)
        loaded = spec.load(task.threads)
        began = time.perf_counter()
        seen.found[scale] = as_detections(detect_frames(loaded, held, wanted))
        seen.seconds[scale] = time.perf_counter() - began
    for proxy in task.proxies:
        try:
            scores = [float(proxy.scores([image])[0]) for _, _, image in shown]
        except (Exception, SystemExit) as error:
            seen.failed[proxy.name] = one_line(error)
            scores = [np.nan] * len(shown)
        seen.scores[proxy.name] = np.array(scores, np.float64)
    return seen


class _Held:
    """A source some of whose frames are in memory."""

    def __init__(self, source: Source, shown: list[tuple[int, float, Image]]) -> None:
        self._source = source
        self._shown = {frame: (frame, seconds, image) for frame, seconds, image in shown}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def frames_at(self, indices: Any, **options: Any) -> Iterator[tuple[int, float, Image]]:
        wanted = [int(index) for index in indices]
        if all(index in self._shown for index in wanted):
            return (self._shown[index] for index in wanted)
        return self._source.frames_at(indices, **options)
