"""A live source at work: micro-batches are detected as they come, and the fold goes on from one to the next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError, one_line
from workbench.engine.run import Run
from workbench.engine.units import format_clock
from workbench.video.execution.cache import DetectionCache, TrackCache
from workbench.video.execution.chunks import Chunk
from workbench.video.execution.fold import VideoFold
from workbench.video.execution.job import VideoJob
from workbench.video.execution.options import TOLERANCE
from workbench.video.execution.wave import DetectTask, FoundChunk, detect_chunk
from workbench.video.models.base import model_threads
from workbench.video.result.facts import VideoFacts
from workbench.video.source_live import LiveSource
from workbench.video.tracks import Tracks

__all__ = ["LiveJob"]

#: losses whose time is told
_CLOCKS = 5


class LiveJob(VideoJob):
    """The work on one live source; nothing of it is kept for later runs. The parameters are those of `VideoJob`."""

    live = True

    def _open(self) -> None:
        assert isinstance(self.source, LiveSource)
        self.stream = self.source
        self.info = self.source.info()
        self.times: NDArray[np.float64] = np.empty(0)
        self.frames = np.empty(0, np.int64)
        self.video_id = self.source.video_id()
        self.chunks = []
        self.detection_key = None
        self.track_cache, self.detection_cache = TrackCache(None), DetectionCache(None)
        self._over = False
        self._told: tuple[str, str] | None = None

    @property
    def complete(self) -> bool:
        """Whether the source, or the range that was asked for, has ended."""
        return self._over

    @property
    def next_time(self) -> float:
        """A time that the next frame will not be before."""
        return float("inf") if self._over else float(self.times[-1]) if len(self.times) else 0.0

    @property
    def tracks_key(self) -> str | None:
        """None: a source that goes on is never the same twice."""
        return None

    def advance(self, run: Run[Any] | None) -> Iterator[FoundChunk | None]:
        """Work through the batches as they come; yield after each."""
        assert run is not None
        fold: VideoFold | None = None
        batches = self.stream.batches(run.cancelled)
        try:
            for batch in batches:
                seen = len(self.times)
                self.times = self.stream.times()[: batch.first + len(batch.times)]
                if batch.first > seen:
                    self._missed(self._wanted(seen, batch.first))
                frames = self._wanted(batch.first, len(self.times))
                self._retell()
                if len(frames):
                    if fold is None:
                        fold = self._begun(frames)
                    else:
                        fold.extend(frames, self.times[frames])
                    yield self._folded(fold, frames)
                if self.options.end is not None and batch.times[-1] >= self.options.end - TOLERANCE:
                    break
        except WorkbenchError:
            raise
        except Exception as error:
            # A person's own source or iterable broke: what came before stands.
            if fold is None:
                raise WorkbenchError(
                    f"{self.source.name} gave no frame ({one_line(error)}).", "Try its read() by itself."
                ) from error
            self.notes.add(f"{self.source.name} ended with an error ({one_line(error)}).", "What came before stands.")
        finally:
            # Also where the run was stopped, or has enough: nothing follows, and the thread that reads ends now.
            batches.close()  # type: ignore[attr-defined]
            self.info = self.source.info()
            self._over = True
            if fold is not None:
                fold.settle()
                self._tracks = self._given() if self.given_tracks else fold.tracks()

    def tracks(self) -> Tracks:
        """Return the tracks known now; may be called from another thread."""
        if self._tracks is None and self.given_tracks and self.passed:
            return self._given()
        return super().tracks()

    def kept_ahead(self) -> int:
        """Nothing is."""
        return 0

    def facts(self) -> VideoFacts:
        """Return what was searched: nothing of the time in which the stream was lost."""
        facts, holes = super().facts(), self._holes()
        return replace(facts, searched=_without(facts.searched, holes), skipped=sorted([*facts.skipped, *holes]))

    def announce(self) -> None:
        """Say what was lost on the way."""
        super().announce()
        name, stream = self.source.name, self.stream
        if stream.dropped:
            self.notes.add(
                f"{name}: {stream.dropped} of {len(stream.times())} frames came too fast and were dropped.",
                "Use every=2, a quicker detector, or live(..., late='keep').",
            )
        self._retell()
        if stream.forgotten:
            self.notes.add(
                f"{name}: the pictures before {format_clock(stream.kept_from())} are not kept.",
                "Clips and thumbnails of that time show none.",
            )

    # ------------------------------------------------------------------------------------------------------ private

    def _holes(self) -> list[tuple[float, float]]:
        """Return when the stream was lost and nothing of it came later, s."""
        times = self.times
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        until = times[-1] if len(times) else -1.0
        return [
            (before + step, after)
            for before, after in list(self.stream.gaps)
            if after - before > 1.5 * step and after <= until
        ]

    def _told_losses(self) -> tuple[str, str] | None:
        """Return what is to be said of losses."""
        name, stream, holes = self.source.name, self.stream, self._holes()
        if not stream.losses:
            return None
        hint = "What it showed meanwhile came later; nothing is missing."
        if holes:
            clocks = [f"{format_clock(round(start, 1))}-{format_clock(round(end, 1))}" for start, end in holes]
            more = f" and {len(clocks) - _CLOCKS} more" if len(clocks) > _CLOCKS else ""
            missing = sum(end - start for start, end in holes)
            hint = f"{missing:.1f} s are missing ({', '.join(clocks[:_CLOCKS])}{more})."
        if (since := stream.lost_at) is not None:
            before = f" Before, {hint}" if holes else ""
            return f"{name} was lost at {format_clock(max(0.0, round(since, 1)))}.", f"It has not come back.{before}"
        times = "once" if stream.losses == 1 else f"{stream.losses} times"
        return f"{name} was lost {times} and reopened.", hint

    def _retell(self) -> None:
        """Say of losses what holds now, in place of what was said."""
        if (told := self._told_losses()) != self._told:
            if self._told is not None:
                self.notes.drop(*self._told)
            if told is not None:
                self.notes.add(*told)
            self._told = told

    def _wanted(self, first: int, stop: int) -> NDArray[np.int64]:
        frames, times = np.arange(first, stop, dtype=np.int64), self.times[first:stop]
        keep = frames % self.options.every == 0
        if self.options.start is not None:
            keep &= times >= self.options.start - TOLERANCE
        if self.options.end is not None:
            keep &= times < self.options.end - TOLERANCE
        return frames[keep]

    def _next_chunk(self, frames: NDArray[np.int64]) -> Chunk:
        chunk = Chunk(len(self.chunks), len(self.frames), len(self.frames) + len(frames))
        self.frames = np.concatenate((self.frames, frames))
        self.chunks.append(chunk)
        return chunk

    def _missed(self, frames: NDArray[np.int64]) -> None:
        """Pass over frames that were dropped: they were not searched."""
        self._passed(self._next_chunk(frames), frames[:0], 0)

    def _begun(self, frames: NDArray[np.int64]) -> VideoFold:
        width, height = self.info.width, self.info.height
        self.fold = VideoFold(self.spec, frames, self.times[frames], width, height, self.track_cache)
        return self.fold

    def _folded(self, fold: VideoFold, frames: NDArray[np.int64]) -> FoundChunk:
        """Detect on the frames of a batch, here, and fold them."""
        chunk = self._next_chunk(frames)
        began = time.perf_counter()
        if self.spec.kind == "given":
            part = next(self._given_wave([chunk], None))
        else:
            task = DetectTask(self.source, self.spec, frames, model_threads())
            found, failures, damaged, decoding, _ = detect_chunk(task)
            seconds = time.perf_counter() - began
            part = FoundChunk(chunk, found, 0, seconds, failures, damaged, decode_seconds=decoding)
        began = time.perf_counter()
        fold.step(frames, part.found, part.seconds)
        self.fold_seconds += time.perf_counter() - began
        self._took(part)
        self.info = self.source.info()
        return part


def _without(spans: Sequence[tuple[float, float]], holes: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return ranges of time less others, both in order."""
    left = []
    for start, end in spans:
        for begin, over in holes:
            if start < begin < end:
                left.append((start, begin))
            if begin < end and over > start:
                start = over
        if start < end:
            left.append((start, end))
    return left
