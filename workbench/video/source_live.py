"""Live sources: cameras, network streams, files that still grow, and frames that one's own code makes.

Whatever arrives is kept without loss in files of one micro-batch each, so that properties, thumbnails and clips see the
same pictures as the detector did. The files go with the source.
"""

from __future__ import annotations

import collections
import os
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import numpy as np

from workbench.engine.errors import WorkbenchError, one_line
from workbench.engine.units import as_seconds
from workbench.video.source_base import Floats, Image, Ints, Source, VideoInfo, checked_indices, mean_rate, uneven
from workbench.video.source_feed import Feed, Lost, feed_of

__all__ = ["Batch", "LiveSource", "live"]

#: seconds between attempts to reopen a lost stream: each twice the one before
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
#: a stream that is opened again sends at most so much once more, s; timestamps further back are of another count
_RESENT = 60.0
#: batches that may wait before frames are dropped
_WAITING = 2
#: pictures kept on disk for properties and clips, bytes
_MOST_KEPT = 8 << 30


def live(source: Any, *, batch: str = "2s", late: Literal["drop", "keep"] = "drop") -> Source:
    """Follow a camera, a stream, or a file that still grows.

    Parameters
    ----------
    source : str, path, Source or iterable
        `"camera:0"`, an address (`rtsp://`, `http://`, `udp://` and so on), a file, a source of one's own (read until
        its `read` ends), or an iterable of `(seconds, BGR picture)` or `(frame, seconds, BGR picture)`.
    batch : str
        How much is looked at together.
    late : "drop" or "keep"
        What happens to frames when more than two batches wait; those dropped are counted in `notes`. Files and frames
        of one's own wait for us and lose nothing, unless a source of one's own has the attribute `realtime = True`.

    Returns
    -------
    Source

    Raises
    ------
    WorkbenchError
        For something that cannot be followed.
    """
    seconds = as_seconds(batch, "batch", clock=False)
    if seconds <= 0:
        raise WorkbenchError(f"batch must be longer than 0 s, got {batch}.", 'Write batch="2s".')
    if late not in ("drop", "keep"):
        raise WorkbenchError(f"late is 'drop' or 'keep', got {late!r}.", "Use late='keep' to lose no frame.")
    if isinstance(source, LiveSource):
        source = source.feed
    feed = source if isinstance(source, Feed) else feed_of(source)
    return LiveSource(feed, seconds, late)


@dataclass
class Batch:
    """Frames that are looked at together: `first <= index < first + len(times)`."""

    first: int
    times: Floats
    images: list[Image] | None = field(repr=False)  # None: to be read back
    file: str = ""


class LiveSource(Source):
    """A source that goes on: see `live`. Its frames are those that have come so far."""

    def __init__(self, feed: Feed, batch: float, late: str) -> None:
        self.feed, self.batch, self.late = feed, batch, late
        self.name, self.hint = feed.name, feed.hint
        #: how often the stream was lost, frames that nobody looked at, and batches whose pictures are gone
        self.losses, self.dropped, self.forgotten = 0, 0, 0
        #: for each time that the stream came back: seconds of the last frame before it was lost, and of the next
        self.gaps: list[tuple[float, float]] = []
        #: while the stream is lost: seconds of the last frame that came
        self.lost_at: float | None = None
        self._known: list[Batch] = []
        self._seconds = np.empty(0)
        self._shape = (0, 0, 0.0)
        self._recent: Batch | None = None
        self._lock = threading.Lock()
        self._peeked: tuple[_Either, Iterator[tuple[Fraction, Image]], tuple[Fraction, Image] | None] | None = None
        self._folder = ""
        self._bytes: collections.deque[int] = collections.deque()

    # ------------------------------------------------------------------------------------------------- as any source

    def info(self) -> VideoInfo:
        """Return size and rate, for which the stream is opened, and how much has come so far."""
        if not self._shape[0]:
            self._look()
        width, height, rate = self._shape
        seconds = self.times()
        step = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 1 / rate
        duration = float(seconds[-1]) + step if len(seconds) else 0.0
        fps = mean_rate(seconds, rate)
        return VideoInfo(self.name, width, height, fps, len(seconds), duration, "live", uneven(seconds))

    def times(self) -> Floats:
        """Return the times of the frames that have come so far, s from the first."""
        return self._seconds

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds, picture) of frames that have come."""
        yield from self.frames_at(np.arange(max(0, start), min(stop, len(self._seconds)), dtype=np.int64))

    def frames_at(self, indices: Ints | Sequence[int], *, threads: int = 1) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds, picture) of frames that have come: from memory, else from their file."""
        with self._lock:
            known, recent = list(self._known), self._recent
        seconds = self._seconds
        wanted = checked_indices(indices, len(seconds), self.name)
        first = np.array([part.first for part in known], np.int64)
        owner = np.searchsorted(first, wanted, side="right") - 1
        for number in dict.fromkeys(owner.tolist()):
            part, mine = known[number], wanted[owner == number].tolist()
            seen = set()
            if recent is not None and recent.first == part.first and recent.images is not None:
                pictures: Iterable[Image] = recent.images
            else:
                pictures = _read_back(part.file)
            keep = set(mine)
            for index, image in enumerate(pictures, start=part.first):
                if index in keep:
                    seen.add(index)
                    yield index, float(seconds[index]), image
            self.add_damage(keep - seen)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for name in ("feed", "_lock", "_peeked", "_recent"):
            state[name] = None
        state["_known"] = [Batch(part.first, np.empty(0), None, part.file) for part in self._known]
        self.video_id()  # copies are the same source
        state["_token"] = self.__dict__["_token"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def kept_from(self) -> float:
        """Return the time from which on pictures are on disk, s."""
        return float(self._seconds[self._known[self.forgotten].first]) if len(self._seconds) else 0.0

    # -------------------------------------------------------------------------------------------------- as it comes

    def batches(self, stop: threading.Event) -> Iterator[Batch]:
        """Yield what comes, a batch at a time, until the source ends or `stop` is set.

        A thread of its own reads on meanwhile. When more than two batches wait, `late` decides: the oldest is dropped,
        or its pictures wait on disk. Files and frames of one's own are made to wait instead.
        """
        waiting: collections.deque[Batch] = collections.deque()
        changed, ended = threading.Condition(), threading.Event()
        failure: list[BaseException] = []
        halt = threading.Event()

        def take(part: Batch) -> None:
            with changed:
                while len(waiting) >= _WAITING and not self.feed.realtime and not (stop.is_set() or halt.is_set()):
                    changed.wait(0.1)
                if halt.is_set():
                    return  # nobody takes any more: that is no drop
                waiting.append(part)
                while len(waiting) > _WAITING and self.feed.realtime and self.late == "drop":
                    self.dropped += len(waiting.popleft().times)
                for late in list(waiting)[_WAITING:]:
                    late.images = None
                changed.notify_all()

        def reader() -> None:
            try:
                for part in self._grouped(_Either(stop, halt)):
                    self._keep(part)
                    take(part)
            except BaseException as error:
                failure.append(error)
            finally:
                ended.set()
                with changed:
                    changed.notify_all()

        thread = threading.Thread(target=reader, name="workbench-live", daemon=True)
        thread.start()
        try:
            while True:
                with changed:
                    while not waiting and not ended.is_set():
                        changed.wait(0.1)
                    part = waiting.popleft() if waiting else None
                    changed.notify_all()
                if part is None:
                    if failure:
                        raise failure[0]
                    return
                with self._lock:
                    self._recent = part
                yield part
                if stop.is_set():
                    return
        finally:
            halt.set()
            thread.join(5.0)
            with self._lock:
                self._recent = None  # some hundred MB of pictures, which are on disk

    def _grouped(self, stop: _Either) -> Iterator[Batch]:
        """Yield batches; what ends them is raised after the last."""
        first = len(self._seconds)
        seconds: list[float] = []
        images: list[Image] = []
        failure: Exception | None = None
        arrivals = self._arrivals(stop)
        while True:
            try:
                item = next(arrivals, _END)
            except Exception as error:
                item, failure = _END, error
            if not isinstance(item, tuple) or (seconds and item[0] - seconds[0] >= self.batch - 1e-6):
                if seconds:
                    yield Batch(first, np.array(seconds), images)
                first, seconds, images = first + len(seconds), [], []
            if item is _END:
                break
            if isinstance(item, tuple):
                seconds.append(item[0])
                images.append(item[1])
        if failure is not None:
            raise failure

    def _arrivals(self, stop: _Either) -> Iterator[tuple[float, Image] | None]:
        """Yield (seconds, picture), reopening what is lost; None where the stream was lost."""
        clock, pause = _Clock(self.feed.realtime), _FIRST_PAUSE
        while not stop.is_set():
            try:
                for stamp, image in self._pictures(stop):
                    seconds = clock.place(stamp)
                    if seconds is not None:
                        pause = _FIRST_PAUSE
                        if self.lost_at is not None:
                            if self.lost_at >= 0:  # else nothing had come before
                                self.gaps.append((self.lost_at, seconds))
                            self.lost_at = None
                        yield seconds, image
                if stop.is_set() or self.feed.ends:
                    return
            except Lost:
                pass
            if self.lost_at is None:  # else it has not come back since: the same loss
                self.losses += 1
                self.lost_at = clock.seconds
            yield None
            clock.lost()
            stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _pictures(self, stop: _Either) -> Iterator[tuple[Fraction, Image]]:
        """Yield the feed's frames, beginning with the one that `info` looked at."""
        if self._peeked is not None:
            asked, frames, first = self._peeked
            asked.events, self._peeked = stop.events, None
            if first is not None:
                yield first
            yield from frames
        else:
            yield from self.feed.pictures(stop)

    def _look(self) -> None:
        stop = _Either()
        frames = self.feed.pictures(stop)
        try:
            first = next(frames, None)
        except Lost as error:
            raise WorkbenchError(
                f"{self.name} cannot be opened ({one_line(error)}).", "Check the address, and that it is sending."
            ) from error
        if first is None and not self.feed.ends:
            raise WorkbenchError(
                f"{self.name} ended before its first picture.", "Check the address, and that it is sending."
            )
        self._peeked = stop, frames, first
        height, width = first[1].shape[:2] if first is not None else (1, 1)
        self._shape = width, height, self.feed.rate

    # ------------------------------------------------------------------------------------------------------- on disk

    def _keep(self, part: Batch) -> None:
        """Write a batch's pictures to its file, and count its frames among those that have come."""
        if not self._folder:
            from workbench.engine.store import store

            root = Path(store().root) / "live"
            root.mkdir(parents=True, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix="live-", dir=root)
            weakref.finalize(self, shutil.rmtree, self._folder, True)
        assert part.images is not None
        part.file = os.path.join(self._folder, f"{part.first:010d}.mkv")
        _write_down(part.file, part.images)
        self._bytes.append(os.path.getsize(part.file))
        with self._lock:
            # Its pictures belong to whoever processes it: here only the file is remembered.
            self._known.append(Batch(part.first, part.times, None, part.file))
            self._seconds = np.concatenate((self._seconds, part.times))
        while sum(self._bytes) > _MOST_KEPT and len(self._bytes) > 1:
            self._bytes.popleft()
            oldest = self._known[self.forgotten]
            self.forgotten += 1
            Path(oldest.file).unlink(missing_ok=True)


_END = object()


class _Either:
    """Set as soon as any of its events is."""

    def __init__(self, *events: threading.Event) -> None:
        self.events = events

    def is_set(self) -> bool:
        return any(event.is_set() for event in self.events)

    def wait(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not self.is_set() and (left := until - time.monotonic()) > 0:
            time.sleep(min(0.05, left))
        return self.is_set()


class _Clock:
    """Gives arriving timestamps their place in time, also after the stream was lost; what came before gets none.

    Where a stream counts anew, what was missed took as long as the clock on the wall says.
    """

    def __init__(self, realtime: bool = True) -> None:
        self._realtime = realtime
        self._zero: Fraction | None = None
        self._begin = self._last = Fraction(0)
        self._arrived = 0.0
        self._reopened = False
        #: seconds of the last frame that was given a place
        self.seconds = -1.0

    def lost(self) -> None:
        self._reopened = self._zero is not None

    def place(self, stamp: Fraction) -> float | None:
        now = time.monotonic()
        if self._zero is None:
            self._zero = self._begin = stamp
        elif self._anew(stamp, now - self._arrived):
            self._begin = stamp
            self._zero = stamp - Fraction(self.seconds + max(now - self._arrived, 1e-3))
        self._reopened = False
        seconds = float(stamp - self._zero)
        if seconds <= self.seconds:
            return None  # sent a second time
        self._last, self.seconds, self._arrived = stamp, seconds, now
        return seconds

    def _anew(self, stamp: Fraction, silence: float) -> bool:
        """Return whether a timestamp is of another count than the last one, which came so many seconds ago."""
        if self._reopened and stamp <= self._last and stamp <= self._begin + 1:
            return True  # from its beginning
        if not self._realtime:
            return False
        ahead = stamp - self._last
        return ahead < -_RESENT or (self._reopened and ahead > silence + _RESENT)


def _write_down(path: str, images: Sequence[Image]) -> None:
    import av

    height, width = images[0].shape[:2]
    partial = f"{path}.part"
    with av.open(partial, "w", format="matroska") as container:
        # RGB and no quantisation: the very pictures come back.
        stream: Any = container.add_stream("libx264rgb", rate=25, options={"preset": "ultrafast", "qp": "0"})
        stream.width, stream.height, stream.pix_fmt = width, height, "bgr24"
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    os.replace(partial, path)


def _read_back(path: str) -> Iterator[Image]:
    import av

    try:
        with av.open(path) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="bgr24")
    except OSError:  # FFmpeg's errors are such too
        return
