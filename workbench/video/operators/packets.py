"""The packet table of a video file: what is in it, in which order it is shown, and when; nothing is decoded."""

from __future__ import annotations

import hashlib
import itertools
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine.errors import WorkbenchError

__all__ = ["PacketTable", "open_video", "packets_of", "scan", "turn_of", "unreadable"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Part of the store's keys; grows when the table or the way it is made changes.
VERSION = 1
#: Stands for a missing timestamp.
NO_TIME = np.iinfo(np.int64).min
#: FFmpeg "plays" plain text and old text-mode art as video; nobody means that.
_TEXT_FORMATS = {"tty", "bin", "xbin", "adf", "idf", "txd"}
#: AVFMT_FLAG_GENPTS: presentation times that a container leaves out are worked out from decoding times.
_FILL_IN_PTS = 1
_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class PacketTable:
    """Packets in file order, and the frames they make in presentation order.

    Attributes
    ----------
    pts, dts : int64 (packets,)
        Timestamps in units of `time_base`; `NO_TIME` where the file has none.
    size : int64 (packets,)
        Bytes.
    keyframe : bool (packets,)
        Whether decoding can start here.
    shown : int64 (frames,)
        For each frame in presentation order, the number of its packet.
    times : float64 (frames,)
        Seconds from the first frame's timestamp.
    width, height : int
        Size of the stored picture in px, before it is turned.
    turn : tuple of bool
        (transpose, flip rows, flip columns), in this order, that bring the picture upright.
    expected : int
        Frames that the file's header promises (0: it says nothing); more than there are when the file is cut off.
    """

    pts: Ints
    dts: Ints
    size: Ints
    keyframe: Bools
    shown: Ints
    times: Floats
    width: int
    height: int
    codec: str
    rate: float
    turn: tuple[bool, bool, bool] = (False, False, False)
    expected: int = 0
    #: the frame that each packet makes; -1: none
    frame: Ints = field(init=False, repr=False)
    #: frames at which decoding can start, ascending
    starts: Ints = field(init=False, repr=False)

    def __post_init__(self) -> None:
        frame = np.full(len(self.pts), -1, np.int64)
        frame[self.shown] = np.arange(len(self.shown))
        object.__setattr__(self, "frame", frame)
        object.__setattr__(self, "starts", np.flatnonzero(self.keyframe[self.shown]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.shown)

    @cached_property
    def stamps(self) -> Ints:
        """A timestamp that tells each packet from all others, (packets,); empty if the file has none such."""
        for column in (self.pts, self.dts):
            if len(column) and not np.any(column == NO_TIME) and len(np.unique(column)) == len(column):
                return column
        return np.empty(0, np.int64)

    @cached_property
    def by_stamp(self) -> Ints:
        """Packet numbers in the order of `stamps`."""
        return np.argsort(self.stamps)

    @property
    def stamped_by_pts(self) -> bool:
        """Whether `stamps` are presentation times."""
        return self.stamps is self.pts

    def number(self, stamp: int | None) -> int | None:
        """Return the number of the packet with this timestamp."""
        if stamp is None:
            return None
        place = int(np.searchsorted(self.stamps, stamp, sorter=self.by_stamp))
        if place == len(self.stamps) or self.stamps[self.by_stamp[place]] != stamp:
            return None
        return int(self.by_stamp[place])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the table as plain arrays for the store."""
        return {
            "pts": self.pts, "dts": self.dts, "size": self.size, "keyframe": self.keyframe, "shown": self.shown,
            "times": self.times, "shape": np.array([self.width, self.height, self.expected, *self.turn], np.int64),
            "rate": np.array([self.rate]), "codec": np.frombuffer(self.codec.encode(), np.uint8),
        }  # fmt: skip

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> PacketTable:
        """Rebuild a table from `arrays`."""
        width, height, expected, transpose, rows, columns = (int(value) for value in arrays["shape"])
        return cls(
            arrays["pts"], arrays["dts"], arrays["size"], arrays["keyframe"].astype(bool), arrays["shown"],
            arrays["times"], width, height, arrays["codec"].astype(np.uint8).tobytes().decode(),
            float(arrays["rate"][0]), (bool(transpose), bool(rows), bool(columns)), expected,
        )  # fmt: skip

    def digest(self, path: Path) -> str:
        """Return the video id of the file: sha256 of its size, its first and last MiB, and the packet table."""
        size = path.stat().st_size
        digest = hashlib.sha256(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            digest.update(file.read(_MEBIBYTE))
            file.seek(max(0, size - _MEBIBYTE))
            digest.update(file.read(_MEBIBYTE))
        for column in (self.pts, self.size, self.keyframe):
            digest.update(np.ascontiguousarray(column).astype("<i8").tobytes())
        return digest.hexdigest()


def unreadable(name: str) -> WorkbenchError:
    """Return the error for a file that holds no video which can be decoded."""
    return WorkbenchError(f"{name} is not a video that can be read.", "Convert it to MP4 (H.264) or check the path.")


def open_video(path: Path, name: str) -> tuple[Any, Any]:
    """Open a file and find its video.

    Returns
    -------
    tuple
        PyAV's container and its first video stream (cover pictures do not count).

    Raises
    ------
    WorkbenchError
        If there is nothing to decode in it.
    """
    import av

    try:
        # "file:" keeps names such as "a:b.mp4" from being read as protocols, and the list keeps playlists off the net.
        container = av.open(
            f"file:{path}", metadata_errors="replace", options={"protocol_whitelist": "file,crypto,data"}
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise unreadable(name) from error
    stream = next(
        (item for item in container.streams.video if not item.disposition & type(item.disposition).attached_pic), None
    )
    if stream is None or stream.codec_context is None or container.format.name in _TEXT_FORMATS:
        container.close()
        raise unreadable(name)
    container.flags |= _FILL_IN_PTS
    return container, stream


def packets_of(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the stream's packets in file order, going on after damaged places; the closing empty packet is left out."""
    import av

    for _attempt in range(1000):  # a place where the demuxer gives up is passed by asking again
        try:
            for packet in container.demux(stream):
                if packet.size or packet.dts is not None or packet.pts is not None:
                    yield packet
            return
        except av.error.EOFError:
            return
        except av.error.FFmpegError:
            continue


def scan(path: Path, name: str) -> PacketTable:
    """Read the packet table of a file.

    Raises
    ------
    WorkbenchError
        If the file holds no video.
    """
    container, stream = open_video(path, name)
    try:
        codec = stream.codec_context.codec.canonical_name
        rows = array("q")  # hours of video have millions of packets
        for packet in packets_of(container, stream):
            rows.extend(
                (
                    NO_TIME if packet.pts is None else packet.pts,
                    NO_TIME if packet.dts is None else packet.dts,
                    packet.size,
                    packet.is_keyframe,
                    _hidden(packet, codec),
                )
            )
        table = np.array(rows, np.int64).reshape(-1, 5)
        kind = container.format.name
        if kind.startswith("mov"):
            # A parser takes the mark from a keyframe whose bytes are damaged; the container's own index keeps it.
            marked = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
            table[np.isin(table[:, 1], np.array(marked, np.int64)), 3] = 1
        # AVI knows decoding times only: where frames are reordered, presentation times are guesses.
        guessed = kind == "avi" and bool(stream.codec_context.has_b_frames)
        base = stream.time_base or Fraction(1, 90000)
        rate = float(stream.average_rate or stream.guessed_rate or stream.base_rate or 25)
        width, height, expected = stream.codec_context.width, stream.codec_context.height, stream.frames
        elementary = container.duration is None and kind in ("h264", "hevc", "mpegvideo", "m4v")
    finally:
        container.close()
    pts, dts, size, key, hidden = (np.ascontiguousarray(column) for column in table.T)
    visible = np.flatnonzero((hidden == 0) & (size > 0)).astype(np.int64)
    if not len(visible) and (elementary or not width or not height):
        raise unreadable(name)
    first_look = _first_frame(path, name)
    if first_look is None and len(visible):
        raise unreadable(name)
    shown_pts = pts[visible]
    missing = bool(np.any(shown_pts == NO_TIME)) or len(np.unique(shown_pts)) < len(visible)
    if len(visible) and (missing or guessed):
        shown, stamps = _decoded_order(path, name)
        # Guessed times are the right ones in the wrong order.
        shown_pts = stamps if missing else np.sort(pts[shown])
    else:
        order = np.argsort(shown_pts, kind="stable")
        shown, shown_pts = visible[order], shown_pts[order]
    if first_look is not None:
        width, height, turn = first_look
    else:
        turn = (False, False, False)
    return PacketTable(
        pts, dts, size, key.astype(bool), shown, _times(shown_pts, base, rate), width, height, codec, rate, turn,
        len(shown) + expected - len(pts) if expected > len(pts) else 0,
    )  # fmt: skip


def _hidden(packet: Any, codec: str) -> bool:
    if packet.is_discard:  # before the start of an edit list: decoded, never shown
        return True
    # VP8 keeps its reference-only frames in packets of their own: bit 4 of the header says whether one is shown.
    return codec == "vp8" and packet.size > 0 and not bytes(packet)[0] >> 4 & 1


def _first_frame(path: Path, name: str) -> tuple[int, int, tuple[bool, bool, bool]] | None:
    """Return size and orientation by the first frame that decodes, or None if none does."""
    import av

    container, stream = open_video(path, name)
    with container:
        context = stream.codec_context
        context.thread_count, context.thread_type = 1, "SLICE"
        for packet in itertools.chain(packets_of(container, stream), [None]):
            try:
                for frame in context.decode(packet):
                    return frame.width, frame.height, turn_of(frame)
            except av.error.FFmpegError:
                continue
    return None


def turn_of(frame: Any) -> tuple[bool, bool, bool]:
    """Read the display matrix: how to bring the stored picture upright, in quarter turns and mirrorings."""
    data = next((item for item in list(frame.side_data) if item.type.name == "DISPLAYMATRIX"), None)
    if data is None:
        return False, False, False
    a, b, _u, c, d = (int(value) for value in np.frombuffer(bytes(data), "<i4")[:5])
    # x' = a x + c y, y' = b x + d y, in 16.16 fixed point: the larger pair says whether the axes swap.
    if abs(b) + abs(c) > abs(a) + abs(d):
        return True, b < 0, c < 0
    return False, d < 0, a < 0


def _decoded_order(path: Path, name: str) -> tuple[Ints, Ints]:
    """Find the presentation order by decoding: for files whose timestamps are missing or doubled."""
    import av

    container, stream = open_video(path, name)
    numbers: list[int] = []
    stamps: list[int] = []
    with container:
        context = stream.codec_context
        context.thread_count, context.thread_type, context.copy_opaque = 1, "SLICE", True

        def feed(packet: Any) -> None:
            try:
                frames = context.decode(packet)
            except av.error.FFmpegError:
                return
            for frame in frames:
                if frame.opaque is not None:
                    numbers.append(frame.opaque[0])
                    stamps.append(NO_TIME if frame.pts is None else frame.pts)

        for number, packet in enumerate(packets_of(container, stream)):
            packet.opaque = (number,)  # an object of its own: see `decode`
            feed(packet)
        feed(None)
    _first, keep = np.unique(np.array(numbers, np.int64), return_index=True)
    keep = np.sort(keep)
    return np.array(numbers, np.int64)[keep], np.array(stamps, np.int64)[keep]


def _times(pts: Ints, base: Fraction, rate: float) -> Floats:
    """Turn timestamps in presentation order into seconds from the first; what does not grow is filled in evenly."""
    count = len(pts)
    if not count:
        return np.empty(0)
    good = pts != NO_TIME
    if good.all() and (count == 1 or np.all(np.diff(pts) > 0)):
        return (pts - pts[0]) * base.numerator / base.denominator
    # Keep the stamps that grow; the others lie evenly between them, and after the last at the nominal rate.
    kept: list[int] = []
    for index in np.flatnonzero(good):
        if not kept or pts[index] > pts[kept[-1]]:
            kept.append(int(index))
    if not kept:
        return np.arange(count) / rate
    known = pts[kept] * float(base)
    times = np.interp(np.arange(count), kept, known)
    step = 1 / rate
    times[kept[-1] :] = known[-1] + step * np.arange(count - kept[-1])
    times[: kept[0]] = known[0] - step * np.arange(kept[0], 0, -1)
    return times - times[0]
