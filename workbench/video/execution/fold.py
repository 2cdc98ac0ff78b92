"""The ordered fold: chunks of detections, one after another, become tracks; its state is kept on the way."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.execution.cache import Detections, FoldRecord, TrackCache
from workbench.video.models.base import DetectorSpec
from workbench.video.operators.track import fold_for
from workbench.video.tracks import Frames, Tracks

__all__ = ["VideoFold"]

#: seconds between two checkpoints
_PAUSE = 2.0


class VideoFold:
    """The tracker at work on one video, chunk after chunk, in the process that owns the run.

    Parameters
    ----------
    spec : DetectorSpec
        Whose labels, scores and tracker are used.
    frames, times : int64 (n,), float64 (n,)
        All frames that shall be processed, and their times in seconds.
    width, height : int
        Of the picture, px.
    cache : TrackCache
    """

    def __init__(
        self,
        spec: DetectorSpec,
        frames: NDArray[np.int64],
        times: NDArray[np.float64],
        width: int,
        height: int,
        cache: TrackCache,
    ) -> None:
        self.spec, self.cache = spec, cache
        self.width, self.height = width, height
        self._frames, self._times = frames, times
        # The whole plan's step, not that of the frames seen so far: it must not depend on how far the fold is.
        self._dt = Frames(frames, times).dt
        self._fold = fold_for(spec, self._dt)
        self._done: list[NDArray[np.int64]] = []
        self._lock = threading.Lock()
        self.record = FoldRecord()
        self._saved_rows = 0
        self._saved = time.monotonic()
        #: False once a part of the video is missing: what follows is not what a sound run would keep
        self.sound = True

    def extend(self, frames: NDArray[np.int64], times: NDArray[np.float64]) -> None:
        """Say which frames follow, with their times in seconds: those of a live source are not known before."""
        with self._lock:
            self._frames = np.concatenate((self._frames, frames))
            self._times = np.concatenate((self._times, times))

    def settle(self) -> None:
        """Say that no more frames follow: their step is that of all of them."""
        self._dt = Frames(self._frames, self._times).dt

    @property
    def chunks(self) -> int:
        """Number of chunks folded."""
        return len(self.record.chain)

    def resume(self, done: list[NDArray[np.int64]]) -> int:
        """Take up the state of an earlier run.

        Parameters
        ----------
        done : list of int64 arrays
            For each chunk its frames, all of which an earlier run must have processed.

        Returns
        -------
        int
            Number of chunks that need not be folded again.
        """
        record = self.cache.record()
        states = self.cache.states(record)
        if not states:
            return 0
        try:
            self._fold.restore(states)
        except (ValueError, KeyError):
            # States of two runs that met in the store: from the start again, which costs little.
            self._fold = fold_for(self.spec, self._dt)
            return 0
        count = record.checkpoints[-1]
        self.record = FoldRecord(record.chain[:count], record.checkpoints, False, record.seconds)
        self._done = done[:count]
        self._saved_rows = len(self._fold)
        return count

    def step(self, frames: NDArray[np.int64], found: Detections, seconds: float) -> None:
        """Fold the next chunk.

        Parameters
        ----------
        frames : int64 (n,)
            The chunk's frames; those not in `found.done` count as unprocessed.
        found : Detections
        seconds : float
            What the detections took.
        """
        begin = time.perf_counter()
        names, index = np.unique(found.label, return_inverse=True)
        first = np.argsort([np.argmax(index == position) for position in range(len(names))], kind="stable")
        known = np.empty(len(names), np.int64)
        with self._lock:
            # In order of appearance, which does not depend on how the chunk was computed.
            known[first] = self._fold.add_labels([str(names[position]) for position in first])
            rows = np.column_stack((found.box, found.score, known[index].astype(np.float64)))
            cuts = np.searchsorted(found.frame, found.done[1:])
            parts: list[NDArray[np.float64]] = list(np.split(rows, cuts)) if len(found.done) else []
            times = self._times[np.searchsorted(self._frames, found.done)]
            self._fold.step(found.done.tolist(), times.tolist(), parts)
            self._done.append(found.done)
        previous = self.record.chain[-1] if self.record.chain else ""
        self.record.chain.append(self.cache.link(previous, found))
        self.record.seconds += seconds + time.perf_counter() - begin
        self.sound &= len(found.done) == len(frames)
        if self.sound and time.monotonic() - self._saved > _PAUSE:
            self.save()

    def save(self) -> None:
        """Keep the state, so that a later run goes on from here."""
        if not self.sound or not self.record.chain or self.record.checkpoints[-1:] == [self.chunks]:
            return
        with self._lock:
            state, rows = self._fold.state(self._saved_rows), len(self._fold)
        self.cache.write_state(self.record.chain[-1], state, self.record.seconds)
        self.record.checkpoints.append(self.chunks)
        self._saved_rows, self._saved = rows, time.monotonic()
        self.cache.write_record(self.record)

    def finish(self) -> Tracks:
        """Return the tracks of all chunks, and keep them."""
        tracks = self.tracks()
        if self.sound and self.record.chain:
            self.record.complete = True
            self.cache.write_tracks(self.record.chain[-1], tracks, self.record.seconds)
            self.cache.write_record(self.record)
        return tracks

    def tracks(self) -> Tracks:
        """Return the tracks confirmed so far; may be called from another thread."""
        with self._lock:
            return self._fold.tracks(self.frames(), self.width, self.height)

    def frames(self) -> Frames:
        """Return the frames processed so far."""
        done = np.concatenate([np.empty(0, np.int64), *self._done])
        return Frames(done, self._times[np.searchsorted(self._frames, done)], self._dt)

    def open_since(self) -> float | None:
        """Return the time of the first box of any track that may still grow or change its label; None: none is open.

        Unknown (minus infinity) for trackers that do not tell.
        """
        with self._lock:
            state: dict[str, Any] = self._fold.state(len(self._fold))
        first = state.get("active_first")
        if first is None:
            return float("-inf")
        if not len(first):
            return None
        return float(self._times[np.searchsorted(self._frames, int(first[:, 0].min()))])
