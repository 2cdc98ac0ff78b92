"""One video of a run: its chunks, detections and tracks, and what of it was searched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import store as artefacts
from workbench.engine.errors import WorkbenchError
from workbench.engine.run import Run
from workbench.engine.units import format_clock
from workbench.video.execution.cache import DetectionCache, Detections, TrackCache
from workbench.video.execution.chunks import LATER, Chunk, plan_chunks
from workbench.video.execution.fold import VideoFold
from workbench.video.execution.notes import Notes
from workbench.video.execution.options import Options, processed_frames
from workbench.video.execution.wave import FoundChunk, detections
from workbench.video.models.base import DetectorSpec, model_threads
from workbench.video.operators.track import tracker_version
from workbench.video.result.facts import VideoFacts
from workbench.video.source import Source
from workbench.video.tracks import Frames, Tracks

__all__ = ["VideoJob", "detection_key", "spans"]


def detection_key(video_id: str, spec: DetectorSpec) -> str | None:
    """Return what detections are kept under; None if nothing tells one version of the detector from the next."""
    if not spec.cacheable or spec.kind == "given":
        return None
    return artefacts.key("detections of", video_id, spec.version, spec.size, spec.provider, spec.window)


class VideoJob:
    """The work on one video.

    Parameters
    ----------
    source : Source
    spec : DetectorSpec
    options : Options
    notes : Notes
        Where fallbacks and failures are announced.
    """

    #: whether frames still come, so that nobody knows how many there will be
    live = False

    def __init__(self, source: Source, spec: DetectorSpec, options: Options, notes: Notes) -> None:
        self.source, self.spec, self.options, self.notes = source, spec, options, notes
        self._open()
        self.fold: VideoFold | None = None
        #: frames that are behind us, processed or not
        self.passed = 0
        self.cached = 0
        #: on all workers together; decoding is a part of detection
        self.detect_seconds = 0.0
        self.decode_seconds = 0.0
        self.fold_seconds = 0.0
        #: frames whose tracks an earlier run had folded
        self.resumed = 0
        self.detected_rows = 0
        #: frames that a test before the detector took for empty
        self.skipped = 0
        self.tracks_from_store = False
        self._tracks: Tracks | None = None
        self._done: list[NDArray[np.int64]] = []
        self._failures: list[tuple[int, str]] = []
        self._damaged_chunks: list[int] = []
        self._lost_chunks: list[tuple[int, str]] = []
        if spec.kind == "given" and not self.live and (left := spec.payload.left_out(source.name, len(self.times))):
            notes.add(left, "Its columns frame and video say which frame of which video a box is on.")

    def _open(self) -> None:
        source, spec, options = self.source, self.spec, self.options
        self.info = source.info()
        self.times = source.times()
        self.frames = processed_frames(self.times, options)
        self.video_id = source.video_id()
        self.chunks = plan_chunks(self.frames, source.keyframes())
        self.detection_key = detection_key(self.video_id, spec)
        self.track_cache = TrackCache(self._fold_key())
        self.detection_cache = DetectionCache(self.detection_key)

    @property
    def given_tracks(self) -> bool:
        """Whether the tracks are given, so that there is nothing to detect and nothing to fold."""
        return self.spec.kind == "given" and bool(self.spec.payload.has_ids)

    @property
    def complete(self) -> bool:
        """Whether all frames are behind us."""
        return self.passed >= len(self.frames)

    @property
    def next_time(self) -> float:
        """Time of the first frame not yet looked at; the video's end when there is none."""
        return float(self.times[self.frames[self.passed]]) if not self.complete else float("inf")

    @property
    def tracks_key(self) -> str | None:
        """What the finished tracks follow from; None while they are not finished, or a part is missing."""
        if not self.complete or not len(self.frames):
            return None
        if self.given_tracks:
            bounds = [self.options.every, int(self.frames[0]), int(self.frames[-1])]
            return artefacts.key("given tracks", self.video_id, self.spec.version, self.source.name, bounds)
        chain = self.track_cache.record().chain if self.fold is None else self.fold.record.chain
        unknown = self.spec.kind != "given" and self.detection_key is None
        if unknown or not chain or (self.fold is not None and not self.fold.sound):
            return None
        return artefacts.key("folded tracks", self.video_id, self._tracker(), chain[-1])

    def advance(self, run: Run[Any] | None) -> Iterator[FoundChunk | None]:
        """Work through the video; yield after each chunk that was folded (None: everything came at once)."""
        if self.given_tracks or self._load_tracks():
            if self.given_tracks:
                self._tracks = self._given()
            self.passed = len(self.frames)
            yield None
            return
        fold = self.fold = VideoFold(
            self.spec, self.frames, self.times[self.frames], self.info.width, self.info.height, self.track_cache
        )
        chunks = list(self.chunks)
        if not self.options.fresh:
            resumed = fold.resume([self.frames[chunk.start : chunk.stop] for chunk in chunks])
            for chunk in chunks[:resumed]:
                self._passed(chunk, self.frames[chunk.start : chunk.stop], len(chunk))
            del chunks[:resumed]
            self.resumed = self.passed
            if resumed:
                yield None
        try:
            for part in self._wave(chunks, run):
                began = time.perf_counter()
                fold.step(self.frames[part.chunk.start : part.chunk.stop], part.found, part.seconds)
                self.fold_seconds += time.perf_counter() - began
                self._took(part)
                yield part
        finally:
            fold.save()
        if self.complete:
            began = time.perf_counter()
            self._tracks = fold.finish()
            self.fold_seconds += time.perf_counter() - began

    def detections(self, run: Run[Any] | None) -> Iterator[FoundChunk]:
        """Detect on all frames, without tracking; yield the chunks in order."""
        for part in self._wave(list(self.chunks), run):
            self._took(part)
            yield part

    def tracks(self) -> Tracks:
        """Return the tracks known now; may be called from another thread."""
        if self._tracks is not None:
            return self._tracks
        if self.fold is None:
            return self._none()
        return self.fold.tracks()

    def kept_ahead(self) -> int:
        """Return how many of the frames not yet looked at are in the store."""
        return 0 if self.options.fresh else len(self.detection_cache.read(self.frames[self.passed :]).done)

    def facts(self) -> VideoFacts:
        """Return what was searched."""
        done = np.concatenate([np.empty(0, np.int64), *self._done])
        if self._tracks is not None and self.fold is None:
            done = self._tracks.frames.frame
        skipped = np.setdiff1d(self.frames[: self.passed], done)
        wanted = (
            self.options.start or 0.0,
            min(self.info.duration, self.options.end if self.options.end is not None else np.inf),
        )
        return VideoFacts(
            self.source,
            self.info,
            wanted,
            spans(done, self.frames, self.times),
            spans(skipped, self.frames, self.times),
            len(done),
            self.cached,
        )

    def announce(self) -> None:
        """Say what could not be searched."""
        name, total = self.source.name, len(self.chunks)
        if self._lost_chunks:
            numbers = [number for number, _ in self._lost_chunks]
            self.notes.add(
                f"{name}: {len(numbers)} of {total} parts failed ({self._clock(numbers)}): {self._lost_chunks[0][1]}.",
                "The rest was searched.",
            )
        cut = self._cut_off()
        if self._damaged_chunks or cut is not None:
            numbers = self._damaged_chunks
            count, clock = len(numbers), self._clock(numbers) if numbers else ""
            if cut is not None:
                gone, start, end = cut
                count, total = count + gone, total + gone
                clock = f"{clock.partition('-')[0] or format_clock(start)}-{format_clock(end)}"
            self.notes.add(f"{name}: {count} of {total} parts cannot be decoded ({clock}).", "The rest was searched.")
        if self._failures:
            frames = sorted({frame for frame, _ in self._failures})
            self.notes.add(
                f"{name}: {self.spec.name} failed on {len(frames)} of {self.passed} frames ({self._failures[0][1]}).",
                f"Those frames were not searched; the first is frame {frames[0]}.",
            )

    def check(self) -> None:
        """Raise if all frames are behind us and the detector failed on every one: that is no answer.

        Raises
        ------
        WorkbenchError
            With what the detector raised.
        """
        if not self.complete or any(len(done) for done in self._done):
            return
        if self._failures:
            raise WorkbenchError(
                f"{self.spec.name} failed on each of {len(self._failures)} frames of {self.source.name} "
                f"({self._failures[0][1]}).",
                "Nothing was searched. wb.video.read_frame() gives a picture to try the detector on.",
            )
        if self._lost_chunks:
            raise WorkbenchError(
                f"No part of {self.source.name} could be searched: {self._lost_chunks[0][1]}.",
                f"Each worker must find the video and be able to run {self.spec.name}."
                if type(self.source).__module__.partition(".")[0] == "workbench"
                else f"read() of {type(self.source).__name__} runs on the workers; try wb.video.read_frame(source, 0).",
            )

    # ------------------------------------------------------------------------------------------------------ private

    def _fold_key(self) -> str | None:
        if self.detection_key is None or not len(self.frames):
            return None
        bounds = [self.options.every, int(self.frames[0]), int(self.frames[-1])]
        return artefacts.key("tracks of", self.detection_key, self._tracker(), bounds)

    def _tracker(self) -> list[Any]:
        return [tracker_version(self.spec), self.spec.together, self.spec.suitcases]

    def _load_tracks(self) -> bool:
        if self.options.fresh:
            return False
        record = self.track_cache.record()
        if not record.complete or len(record.chain) != len(self.chunks):
            return False
        self._tracks = self.track_cache.tracks(record.chain[-1]) if record.chain else None
        if self._tracks is None:
            return False
        self.tracks_from_store = True
        self.cached = len(self.frames)
        return True

    def _given(self) -> Tracks:
        frames = Frames(self.frames, self.times[self.frames])
        tracks: Tracks = self.spec.payload.tracks(frames, self.info.width, self.info.height, self.source.name)
        return tracks

    def _none(self) -> Tracks:
        from workbench.video.tracks import empty_tracks

        nothing = Frames(np.empty(0, np.int64), np.empty(0))
        return empty_tracks(nothing, self.info.width, self.info.height, self.spec.labels)

    def _wave(self, chunks: list[Chunk], run: Run[Any] | None) -> Iterator[FoundChunk]:
        if self.spec.kind == "given":
            return self._given_wave(chunks, run)
        return detections(
            self.source, self.spec, self.frames, chunks, self.detection_cache, run=run, threads=model_threads(),
            fresh=self.options.fresh,
        )  # fmt: skip

    def _given_wave(self, chunks: list[Chunk], run: Run[Any] | None) -> Iterator[FoundChunk]:
        look_up = self.spec.load(1).open(self.source)
        names = np.array([*self.spec.labels, ""], dtype=np.str_)
        for chunk in chunks:
            if run is not None and run.cancelled.is_set():
                return
            frames = self.frames[chunk.start : chunk.stop]
            parts = look_up([], frames.tolist(), self.times[frames].tolist())
            rows = np.concatenate([np.empty((0, 6)), *parts])
            frame = np.repeat(frames, [len(part) for part in parts])
            label = names[rows[:, 5].astype(np.int64)]
            yield FoundChunk(chunk, Detections(frames, frame, label, rows[:, 4], rows[:, :4]))

    def _passed(self, chunk: Chunk, done: NDArray[np.int64], cached: int) -> None:
        self._done.append(done)
        self.passed = chunk.stop
        self.cached += cached

    def _took(self, part: FoundChunk) -> None:
        self._passed(part.chunk, part.found.done, part.cached)
        self.detect_seconds += part.seconds
        self.decode_seconds += part.decode_seconds
        self.detected_rows += len(part.found)
        self.skipped += part.skipped
        self._failures += part.failures
        if part.damaged:
            self.source.add_damage(part.damaged)
            self._damaged_chunks.append(part.chunk.index)
        if part.error:
            self._lost_chunks.append((part.chunk.index, part.error))

    def _clock(self, numbers: list[int]) -> str:
        first, last = self.chunks[numbers[0]], self.chunks[numbers[-1]]
        start = self.times[self.frames[first.start]]
        end = self.info.duration if self.options.end is None else min(self.info.duration, self.options.end)
        if last.stop < len(self.frames):
            end = float(self.times[self.frames[last.stop]])
        return f"{format_clock(float(start))}-{format_clock(end)}"

    def _cut_off(self) -> tuple[int, float, float] | None:
        """Return parts, start and end of what the file's header promises beyond the last frame, if it was asked for."""
        known = len(self.times)
        for part in self.source.damage:
            if part.first >= known and (self.options.end is None or self.options.end > part.start):
                return -(-(part.last - part.first + 1) // (LATER * self.options.every)), part.start, part.end
        return None


def spans(
    chosen: NDArray[np.int64], frames: NDArray[np.int64], times: NDArray[np.float64]
) -> list[tuple[float, float]]:
    """Return the ranges of time that chosen frames cover, each up to the next processed frame (see `Frames.span`)."""
    if not len(chosen):
        return []
    all_frames = Frames(frames, times[frames])
    at = all_frames.position(chosen)
    cuts = np.flatnonzero(np.diff(at) > 1) + 1
    found = []
    for run in np.split(at, cuts):
        last = int(run[-1])
        found.append((float(all_frames.time[run[0]]), float(all_frames.time[last] + all_frames.span[last])))
    return found
