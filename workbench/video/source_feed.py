"""Where live frames come from: a stream or growing file read by FFmpeg, a source of one's own, an iterable."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from workbench.engine.errors import WorkbenchError, one_line
from workbench.video.source_base import Image, Source

__all__ = ["LIVE", "Feed", "FileFeed", "IterableFeed", "Lost", "SourceFeed", "StreamFeed", "feed_of"]

#: Addresses that are live by themselves.
LIVE = ("camera:", "rtsp:", "rtsps:", "rtmp:", "rtp:", "udp:", "srt:", "mms:")
_ADDRESSES = (*LIVE, "http:", "https:", "tcp:")
#: Seconds that a stream may send nothing before it counts as lost.
_SILENCE = 10.0
#: Seconds between two looks at a file that has not grown.
_LOOK = 0.05


class Lost(OSError):
    """The stream broke off, or cannot be opened; it may come back."""


class Stop(Protocol):
    """Something that may be set, and waited for."""

    def is_set(self) -> bool: ...

    def wait(self, seconds: float) -> bool: ...


class Feed:
    """Frames as they come.

    Attributes
    ----------
    name : str
    hint : str or None
        The detector that suits it.
    rate : float
        Frames per second, nominal.
    realtime : bool
        Whether frames come when they come, whether somebody takes them or not.
    ends : bool
        Whether the end of `pictures` is the end of the source; else it is a loss.
    """

    name: str = "live"
    hint: str | None = None
    rate: float = 25.0
    realtime: bool = False
    ends: bool = True

    def pictures(self, stop: Stop) -> Iterator[tuple[Fraction, Image]]:
        """Yield (timestamp in seconds, BGR picture); the timestamps' zero is anybody's.

        Raises
        ------
        Lost
            If the stream breaks off.
        """
        raise NotImplementedError


class StreamFeed(Feed):
    """An address or a camera."""

    realtime, ends = True, False

    def __init__(self, address: str) -> None:
        self.name = address

    def pictures(self, stop: Stop) -> Iterator[tuple[Fraction, Image]]:
        import av

        place, kind, options = self.name, None, {}
        if place.startswith("camera:"):
            number = place.partition(":")[2] or "0"
            kind = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}.get(sys.platform, "v4l2")
            place = f"/dev/video{number}" if kind == "v4l2" else number
        elif place.startswith("rtsp"):
            options["rtsp_transport"] = "tcp"  # pictures in one piece rather than early
        try:
            container = av.open(place, format=kind, options=options, timeout=_SILENCE)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            raise Lost(one_line(error)) from error
        with container:
            yield from _decoded(container, self, stop)


class FileFeed(Feed):
    """A file that may still grow: its end is waited for."""

    ends = False

    def __init__(self, path: str, name: str) -> None:
        self.path, self.name = path, name

    def pictures(self, stop: Stop) -> Iterator[tuple[Fraction, Image]]:
        import av

        if not _may_grow(self.path):
            from workbench.video.source_file import VideoSource

            self.ends = True
            yield from SourceFeed(VideoSource(self.path, self.name)).pictures(stop)
            return
        with open(self.path, "rb") as file:
            try:
                container = av.open(_Tail(file, stop), metadata_errors="replace")
            except (av.error.FFmpegError, OSError, ValueError) as error:
                if stop.is_set():
                    return
                raise Lost(one_line(error)) from error
            with container:
                yield from _decoded(container, self, stop)


class SourceFeed(Feed):
    """A source of one's own; `read` may wait for frames to come."""

    def __init__(self, source: Source) -> None:
        self.source, self.name, self.hint = source, source.name or type(source).__name__, source.hint
        self.realtime = bool(getattr(source, "realtime", False))
        info = source.info()
        self.rate, self._uneven, self._next = info.fps, info.variable_rate, 0

    def pictures(self, stop: Stop) -> Iterator[tuple[Fraction, Image]]:
        try:
            for index, seconds, image in self.source.read(self._next, self._stop()):
                if index < self._next:
                    continue
                self._next = index + 1
                yield Fraction(seconds if self._uneven else index / self.rate), image
                if stop.is_set():
                    return
        except OSError as error:
            raise Lost(one_line(error)) from error

    def _stop(self) -> int:
        frames = self.source.info().frames
        return frames if frames > 0 else sys.maxsize


class IterableFeed(Feed):
    """An iterable of (seconds, picture) or (frame, seconds, picture)."""

    def __init__(self, items: Iterable[Any]) -> None:
        self._items, self._known = iter(items), False

    def pictures(self, stop: Stop) -> Iterator[tuple[Fraction, Image]]:
        for item in self._items:
            if not isinstance(item, tuple) or len(item) not in (2, 3):
                raise WorkbenchError(
                    f"A live iterable gave {type(item).__name__}, not (seconds, picture).",
                    "Yield (seconds, BGR picture), or (frame, seconds, BGR picture).",
                )
            seconds, image = item[-2:]
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                raise WorkbenchError(
                    "A live iterable gave a picture that is not uint8 (height, width, 3).", "Yield BGR pictures."
                )
            yield Fraction(float(seconds)), image
            if stop.is_set():
                return


def feed_of(source: Any) -> Feed:
    """Return the feed of what can be written for a live source."""
    if isinstance(source, Source):
        return SourceFeed(source)
    made = getattr(source, "source", None)
    if callable(made) and isinstance(found := made(), Source):
        return SourceFeed(found)
    if isinstance(source, (str, os.PathLike)):
        text = os.fspath(source)
        path = os.path.expanduser(text)
        if os.path.isfile(path):
            return FileFeed(path, text)
        if text.lower().startswith(_ADDRESSES):
            return StreamFeed(text)
        from workbench.video.source import open_sources

        found_sources = open_sources(source)
        if len(found_sources) != 1:
            raise WorkbenchError(f"live() follows one source, got {len(found_sources)}.", "Start a query for each.")
        only = found_sources[0]
        path_of = getattr(only, "path", None)
        return FileFeed(str(path_of), only.name) if isinstance(path_of, Path) else SourceFeed(only)
    if isinstance(source, Iterable) and not isinstance(source, np.ndarray):
        return IterableFeed(source)
    raise WorkbenchError(
        f"{type(source).__name__} cannot be followed.", "Pass an address, a path, a Source or an iterable of pictures."
    )


# ----------------------------------------------------------------------------------------------------------- private


class _Tail:
    """A file whose end is not the end, until somebody says stop."""

    def __init__(self, file: Any, stop: Stop) -> None:
        self._file, self._stop = file, stop

    def read(self, count: int) -> bytes:
        while True:
            data: bytes = self._file.read(count)
            if data or self._stop.is_set():
                return data
            self._stop.wait(_LOOK)


def _may_grow(path: str) -> bool:
    """Return whether a file can be read while it is written: an MP4 only in fragments, else its index comes last."""
    with open(path, "rb") as file:
        while len(head := file.read(8)) == 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            if file.tell() == 8 and kind not in (b"ftyp", b"styp", b"moov"):
                return True  # no MP4
            if kind == b"moov":
                return b"mvex" in file.read(size - 8)
            if kind == b"mdat" or size < 8:
                return False
            file.seek(size - 8, os.SEEK_CUR)
    return True


def _decoded(container: Any, feed: Feed, stop: Stop) -> Iterator[tuple[Fraction, Image]]:
    """Yield the frames of an open container; what cannot be decoded is left out."""
    import av
    from av.video.reformatter import VideoReformatter

    from workbench.video.operators.packets import turn_of

    if not container.streams.video:
        raise Lost("there is no video in it")
    stream = container.streams.video[0]
    stream.codec_context.thread_count, stream.codec_context.thread_type = 1, "SLICE"
    feed.rate = float(stream.average_rate or stream.guessed_rate or feed.rate)
    converter, base = VideoReformatter(), stream.time_base or Fraction(1, 90_000)
    turn = None
    packets = container.demux(stream)
    while not stop.is_set():
        try:
            packet = next(packets, None)
        except (av.error.FFmpegError, OSError) as error:
            raise Lost(one_line(error)) from error
        if packet is None:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        for frame in frames:
            if frame.is_corrupt or frame.pts is None:
                continue
            turn = turn_of(frame) if turn is None else turn
            image: Any = converter.reformat(frame, format="bgr24").to_ndarray()
            transpose, rows, columns = turn
            image = image.transpose(1, 0, 2) if transpose else image
            image = image[:: -1 if rows else 1, :: -1 if columns else 1]
            yield frame.pts * base, np.ascontiguousarray(image)
