"""Frames of a video file by their index: exact wherever reading starts, and never more than one frame in memory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.operators.packets import NO_TIME, PacketTable, open_video, packets_of

__all__ = ["decode_frames"]

Image = NDArray[np.uint8]

#: Reading on is cheaper than seeking when the next start lies nearer than this many frames.
_SKIP = 24
#: Frames that may be shown before one they depend on (H.264 and HEVC allow 16).
_LEAN = 16


class _Damaged(Exception):
    """A damaged place in the group of pictures that begins with frame `start`."""

    def __init__(self, start: int) -> None:
        super().__init__(start)
        self.start = start


def decode_frames(
    path: Path, name: str, table: PacketTable, indices: NDArray[np.int64], *, threads: int = 1
) -> Iterator[tuple[int, Image | None]]:
    """Decode the frames with these indices.

    Decoding starts at the last keyframe at or before a wanted frame, so the pixels do not depend on where it starts.
    A frame is damaged if the decoder gives none or marks it as corrupt; if that is a keyframe, everything up to the
    next one is lost. What follows other damage is what the decoder makes of the rest of the group: such a group is
    decoded by itself and by one thread, since what decoders guess depends on what they saw before.

    Parameters
    ----------
    path : Path
    name : str
        What messages call the file.
    table : PacketTable
        Its packet table.
    indices : int64 (n,)
        Wanted frames, ascending, each once.
    threads : int
        Decoder threads; the answer is the same for any number.

    Yields
    ------
    tuple of int and (uint8 (height, width, 3) or None)
        Frame index and upright BGR picture; None where it cannot be decoded. In the order of `indices`.
    """
    wanted = np.asarray(indices, np.int64)
    done = 0
    while done < len(wanted):
        reader = _Reader(path, name, table, threads)
        try:
            for index, image in reader.run(wanted[done:]):
                done += 1
                yield index, image
        except _Damaged:
            threads = 1
        finally:
            reader.close()


class _Reader:
    """One open file, read forward."""

    def __init__(self, path: Path, name: str, table: PacketTable, threads: int) -> None:
        self.path, self.name, self.table, self.threads = path, name, table, threads
        self.container: Any = None
        self.converter: Any = None

    def close(self) -> None:
        if self.container is not None:
            self.container.close()
            self.container = None

    def run(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Image | None]]:
        position = 0
        while position < len(wanted):
            # Read on until a wanted frame lies behind a start that is worth jumping to.
            gaps = np.flatnonzero(np.diff(wanted[position:]) > _SKIP) + position + 1
            stop = next((int(at) for at in gaps if self._start(wanted[at]) > wanted[at - 1] + _SKIP), len(wanted))
            yield from self._span(wanted[position:stop], self._start(wanted[position]))
            position = stop

    def _start(self, index: int | np.int64) -> int:
        """Return the keyframe that decoding of a frame starts at; 0 before the first."""
        group = int(np.searchsorted(self.table.starts, index, side="right")) - 1
        return int(self.table.starts[group]) if group >= 0 else 0

    def _span(self, wanted: NDArray[np.int64], first: int) -> Iterator[tuple[int, Image | None]]:
        """Yield `wanted`, decoding from the keyframe `first` on."""
        position = 0
        starts = self.table.starts
        group = int(np.searchsorted(starts, first))  # the next group whose keyframe has not been met
        lost_until = -1  # frames before this belong to a group without its keyframe
        with contextlib.closing(self._decoded(first)) as frames:
            try:
                for index, frame in frames:
                    while group < len(starts) and starts[group] <= index:
                        if starts[group] < index or frame.is_corrupt:
                            lost_until = int(starts[group + 1]) if group + 1 < len(starts) else len(self.table)
                        group += 1
                    while position < len(wanted) and wanted[position] < index:
                        yield int(wanted[position]), None
                        position += 1
                    if position < len(wanted) and wanted[position] == index:
                        intact = index >= lost_until and not frame.is_corrupt
                        yield index, self._picture(frame) if intact else None
                        position += 1
                    if position == len(wanted):
                        return
            except _Damaged as place:
                while position < len(wanted) and wanted[position] < place.start:
                    yield int(wanted[position]), None
                    position += 1
                raise
        for index in wanted[position:]:
            yield int(index), None

    def _decoded(self, first: int) -> Generator[tuple[int, Any], None, None]:
        """Yield (frame index, decoded frame) from the keyframe `first` on, ascending."""
        import av

        start = int(self.table.shown[first]) if len(self.table) else 0
        packets, context = self._packets(start if self.table.keyframe[start] else 0)
        # A damaged frame is shown after frames that were guessed from it: nothing goes out before the frames that it
        # could lean on have come in whole.
        held: deque[tuple[int, Any]] = deque()
        last, place = first - 1, -1  # leading pictures of an open group need the group before: left out
        for number, packet in packets:
            if packet is not None:
                # An object of its own for each packet: PyAV knows it by its address, and forgets it for all readers of
                # this process as soon as one of them is done with it. Small numbers are one object for all.
                packet.opaque = (number,)
            try:
                frames = context.decode(packet)
            except av.error.EOFError:
                break
            except av.error.FFmpegError:
                place = self._group(number)
                frames = []
            for frame in frames:
                index = self._index(frame)
                if frame.is_corrupt and index >= first:
                    place = max(place, self._start(index))
                if index > last:
                    last = index
                    held.append((index, frame))
            if place > first or (place >= 0 and self.threads > 1):
                held.extend(self._drained(context, last))
                yield from ((index, frame) for index, frame in held if index < place)
                raise _Damaged(place)
            while len(held) > (_LEAN if self.threads > 1 else min(_LEAN, 1 + int(context.reorder_depth))):
                yield held.popleft()
        yield from held

    def _index(self, frame: Any) -> int:
        """Return the index of a decoded frame; -1 if nobody knows."""
        return int(self.table.frame[frame.opaque[0]]) if frame.opaque is not None else -1

    def _group(self, number: int) -> int:
        """Return the frame that begins the group of packet `number`."""
        keys = np.flatnonzero(self.table.keyframe[: max(0, number + 1)])
        return max(0, int(self.table.frame[keys[-1]])) if len(keys) else 0

    def _drained(self, context: Any, last: int) -> Iterator[tuple[int, Any]]:
        """Yield what the decoder still holds, ascending."""
        import av

        with contextlib.suppress(av.error.FFmpegError):
            for frame in context.decode(None):
                index = self._index(frame)
                if index > last:
                    last = index
                    yield index, frame

    def _packets(self, start: int) -> tuple[Iterator[tuple[int, Any]], Any]:
        """Return the packets from number `start` on with their numbers, and a fresh decoder for them."""
        keys = np.flatnonzero(self.table.keyframe[: start + 1])
        # Where a seek lands too late, or in the middle of a packet, the keyframes before are tried, then the beginning.
        for back in (1, 2, 4) if start > 0 and len(self.table.stamps) else ():
            if back <= len(keys):
                context, stream = self._opened()
                found = self._sought(stream, int(keys[-back]), start)
                if found is not None:
                    return found, context
        context, stream = self._opened()
        return self._counted(stream, start), context

    def _opened(self) -> tuple[Any, Any]:
        self.close()
        self.container, stream = open_video(self.path, self.name)
        context = stream.codec_context
        context.thread_count = self.threads
        context.thread_type = "AUTO" if self.threads > 1 else "SLICE"
        context.copy_opaque = True
        return context, stream

    def _counted(self, stream: Any, start: int) -> Iterator[tuple[int, Any]]:
        for number, packet in enumerate(packets_of(self.container, stream)):
            if number >= start:
                yield number, packet
        yield -1, None

    def _sought(self, stream: Any, target: int, start: int) -> Iterator[tuple[int, Any]] | None:
        """Seek, and tell the packets by their timestamps; None if packet `start` is not met in one piece."""
        import av

        table = self.table
        times = [int(column[target]) for column in (table.pts, table.dts) if column[target] != NO_TIME]
        try:
            self.container.seek(min(times), stream=stream, backward=True)
        except av.error.FFmpegError:
            return None
        packets = packets_of(self.container, stream)
        for packet in packets:
            number = self._number(packet)
            if number == start:
                return self._numbered(packet, number, packets) if packet.size == table.size[start] else None
            if number is not None and number > start:
                return None
        return None

    def _numbered(self, packet: Any, number: int, packets: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        yield number, packet
        for packet in packets:
            found = self._number(packet)
            if found is not None:
                yield found, packet
        yield -1, None

    def _number(self, packet: Any) -> int | None:
        return self.table.number(packet.pts if self.table.stamped_by_pts else packet.dts)

    def _picture(self, frame: Any) -> Image:
        table = self.table
        size = {} if (frame.width, frame.height) == (table.width, table.height) else {
            "width": table.width, "height": table.height
        }  # fmt: skip
        if self.converter is None:
            from av.video.reformatter import VideoReformatter

            # One for all frames: a frame's own would set up its tables anew each time, a third of the cost of decoding.
            self.converter = VideoReformatter()
        image: Image = self.converter.reformat(frame, format="bgr24", **size).to_ndarray()
        transpose, rows, columns = table.turn
        if transpose:
            image = image.transpose(1, 0, 2)
        if rows:
            image = image[::-1]
        if columns:
            image = image[:, ::-1]
        return np.ascontiguousarray(image)
