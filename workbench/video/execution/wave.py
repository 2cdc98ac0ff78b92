"""Detections, chunk after chunk: from the store where they are kept, else from the workers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import tasks
from workbench.engine.errors import one_line
from workbench.engine.run import Run
from workbench.video.execution.cache import DetectionCache, Detections, no_detections
from workbench.video.execution.chunks import Chunk
from workbench.video.execution.functions import by_value, sendable
from workbench.video.execution.timing import TimedSource
from workbench.video.models.base import DetectorSpec
from workbench.video.source import Source

if TYPE_CHECKING:
    from workbench.video.operators.detect import Detected

__all__ = ["DetectTask", "FoundChunk", "as_detections", "detections"]


@dataclass(frozen=True)
class DetectTask:
    """What a worker needs for one chunk: everything, and nothing that it may change."""

    source: Source
    spec: DetectorSpec
    frames: NDArray[np.int64]
    threads: int


@dataclass
class FoundChunk:
    """A chunk with its detections.

    Attributes
    ----------
    chunk : Chunk
    found : Detections
        `.done` lacks the frames that could not be processed.
    cached : int
        How many of its frames came from the store.
    seconds, decode_seconds : float
        What the workers took, and how much of it went into decoding.
    failures : list of (frame, error)
        Frames on which the detector failed.
    damaged : list of int
        Frames that cannot be decoded.
    error : str
        Why the whole chunk failed, after three tries; empty if it did not.
    skipped : int
        Frames that a test before the detector took for empty.
    """

    chunk: Chunk
    found: Detections
    cached: int = 0
    seconds: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)
    damaged: list[int] = field(default_factory=list)
    error: str = ""
    decode_seconds: float = 0.0
    skipped: int = 0


def detections(
    source: Source,
    spec: DetectorSpec,
    frames: NDArray[np.int64],
    chunks: list[Chunk],
    cache: DetectionCache,
    *,
    run: Run[Any] | None,
    threads: int,
    fresh: bool = False,
) -> Iterator[FoundChunk]:
    """Yield the chunks in order, each as soon as it and all before it are there.

    Parameters
    ----------
    source, spec : Source, DetectorSpec
    frames : int64 (n,)
        All processed frames; chunks hold positions in it.
    chunks : list of Chunk
        Those wanted, in order.
    cache : DetectionCache
        What the workers find is written to it on arrival, in whatever order that is.
    run : Run, optional
        Its cancelling ends the iteration.
    threads : int
        Of one inference on a worker.
    fresh : bool
        Compute what is kept, too.
    """
    rest = list(chunks)
    while rest and not fresh:
        # What is kept at the beginning comes at once, before any worker is asked.
        known = cache.read(frames[rest[0].start : rest[0].stop])
        if len(known.done) < len(rest[0]):
            break
        if _cancelled(run):
            return
        yield _kept(rest.pop(0), known)
    computed: dict[int, tuple[Chunk, Detections]] = {}  # by position among the tasks

    def items() -> Iterator[DetectTask]:
        # Pulled as workers come free, so the store is read just ahead of the work.
        for chunk in rest:
            wanted = frames[chunk.start : chunk.stop]
            known = no_detections() if fresh else cache.read(wanted)
            left = np.setdiff1d(wanted, known.done)
            if len(left):
                computed[len(computed)] = chunk, known
                yield DetectTask(source, spec, left, threads)

    def arrivals() -> Iterator[tasks.Outcome[Any]]:
        sendable(source)
        with contextlib.ExitStack() as sent:
            for function in spec.functions:
                sent.enter_context(by_value(function))
            for outcome in tasks.stream(detect_chunk, items(), run=run, key="detect"):
                if outcome.value is not None:
                    cache.write(outcome.value[0], outcome.seconds)
                yield outcome

    waiting = iter(rest)
    for outcome in tasks.ordered(arrivals()) if rest else ():
        target, known = computed[outcome.index]
        computed[outcome.index] = target, no_detections()
        for chunk in waiting:
            if chunk.index == target.index:
                yield _joined(chunk, known, outcome)
                break
            yield _kept(chunk, cache.read(frames[chunk.start : chunk.stop]))
    for chunk in waiting:
        if _cancelled(run):
            return
        yield _kept(chunk, cache.read(frames[chunk.start : chunk.stop]))


def _cancelled(run: Run[Any] | None) -> bool:
    return run is not None and run.cancelled.is_set()


def detect_chunk(task: DetectTask) -> tuple[Detections, list[tuple[int, str]], list[int], float, int]:
    """Open, decode, infer: what a worker does with a chunk.

    Returns
    -------
    Detections, list of (frame, error), list of int, float, int
        What was found; frames on which the detector failed; frames that cannot be decoded; seconds of decoding; frames
        that a test before the detector took for empty.
    """
    from workbench.video.operators.detect import detect_frames

    source = TimedSource(task.source)
    detected = detect_frames(task.spec.load(task.threads), source, task.frames)
    found = as_detections(detected)
    failed = [frame for frame, _ in detected.failures]
    lost = np.setdiff1d(task.frames, np.concatenate((found.done, failed)).astype(np.int64))
    return found, list(detected.failures), lost.tolist(), source.seconds, detected.skipped


def as_detections(detected: Detected) -> Detections:
    """Return what a detector found as it is kept: labels as text."""
    from workbench.video.operators.detect import table_labels

    table = detected.table
    columns = {name: table.column(name).to_numpy() for name in ("frame", "label", "score", "x1", "y1", "x2", "y2")}
    names = np.array([*table_labels(table), ""], dtype=np.str_)
    return Detections(
        detected.frames,
        columns["frame"].astype(np.int64),
        names[columns["label"]],
        columns["score"].astype(np.float64),
        np.column_stack([columns[name] for name in ("x1", "y1", "x2", "y2")]).astype(np.float64),
    )


def _kept(chunk: Chunk, found: Detections) -> FoundChunk:
    return FoundChunk(chunk, found, cached=len(found.done))


def _joined(chunk: Chunk, known: Detections, outcome: tasks.Outcome[Any]) -> FoundChunk:
    if outcome.error is not None:
        return FoundChunk(chunk, known, cached=len(known.done), error=one_line(outcome.error))
    found, failures, damaged, decoding, skipped = outcome.unwrap()
    return FoundChunk(
        chunk, known.joined(found), len(known.done), outcome.seconds, failures, damaged, decode_seconds=decoding,
        skipped=skipped,
    )  # fmt: skip
