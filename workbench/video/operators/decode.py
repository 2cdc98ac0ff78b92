"""Frames of a video file by their index: exact wherever reading starts, and never more than one frame in memory."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.video.operators.packets import PacketTable, open_video, packets_of

__all__ = ["decode_frames"]

Image = NDArray[np.uint8]

#: Reading on is cheaper than seeking when the next start lies nearer than this many frames.
_SKIP = 24
#: Frames that may be shown before one they depend on (H.264 and HEVC allow 16).
_LEAN = 16


class _Damaged(Exception):
    """Several decoder threads met a damaged packet."""


def decode_frames(
    path: Path, name: str, table: PacketTable, indices: NDArray[np.int64], *, threads: int = 1
) -> Iterator[tuple[int, Image | None]]:
    """Decode the frames with these indices.

    Decoding starts at the last keyframe at or before a wanted frame, so the pixels do not depend on where it starts.
    A frame is damaged if the decoder gives none or marks it as corrupt; if that is a keyframe, everything up to the
    next one is lost, since it would only be guessed from what was decoded before.

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
        Decoder threads. Damaged places are always decoded by one, so that the answer is the same for any number.

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
        self.seekable = table.seekable

    def close(self) -> None:
        if self.container is not None:
            self.container.close()
            self.container = None

    def run(self, wanted: NDArray[np.int64]) -> Iterator[tuple[int, Image | None]]:
        starts = self.table.starts
        position = 0
        while position < len(wanted):
            group = int(np.searchsorted(starts, wanted[position], side="right")) - 1
            first = int(starts[group]) if group >= 0 else 0
            # Read on until a wanted frame lies behind a start that is worth jumping to.
            gaps = np.flatnonzero(np.diff(wanted[position:]) > _SKIP) + position + 1
            stop = next((int(at) for at in gaps if self._start_of(wanted[at]) > wanted[at - 1] + _SKIP), len(wanted))
            yield from self._span(wanted[position:stop], first)
            position = stop

    def _start_of(self, index: int | np.int64) -> int:
        group = int(np.searchsorted(self.table.starts, index, side="right")) - 1
        return int(self.table.starts[group]) if group >= 0 else 0

    def _span(self, wanted: NDArray[np.int64], first: int) -> Iterator[tuple[int, Image | None]]:
        """Yield `wanted`, decoding from the keyframe `first` on."""
        position = 0
        lost_until = -1  # frames before this belong to a group without its keyframe
        expected_start = int(np.searchsorted(self.table.starts, first))
        starts = self.table.starts
        frames = self._decoded(first)
        with contextlib.closing(frames):
            for index, frame in frames:
                if index < first:
                    continue  # leading pictures of an open group need the group before
                while expected_start < len(starts) and starts[expected_start] <= index:
                    here = int(starts[expected_start])
                    if here < index or frame.is_corrupt:
                        after = expected_start + 1
                        lost_until = int(starts[after]) if after < len(starts) else len(self.table)
                    expected_start += 1
                while position < len(wanted) and wanted[position] < index:
                    yield int(wanted[position]), None
                    position += 1
                if position < len(wanted) and wanted[position] == index:
                    intact = index >= lost_until and not frame.is_corrupt
                    yield index, self._picture(frame) if intact else None
                    position += 1
                if position == len(wanted):
                    return
        for index in wanted[position:]:
            yield int(index), None

    def _decoded(self, first: int) -> Generator[tuple[int, Any], None, None]:
        """Yield (frame index, decoded frame) from the keyframe `first` on, ascending."""
        import av

        packets, context = self._packets(int(self.table.shown[first]) if len(self.table) else 0)
        # A damaged frame is shown after frames that were guessed from it, and several threads guess differently from
        # one: so with several, nothing goes out before the frames that it could lean on have come in whole.
        held: deque[tuple[int, Any]] = deque()
        delay = _LEAN if self.threads > 1 else 0
        last = -1
        for number, packet in packets:
            if packet is not None:
                packet.opaque = number
            try:
                frames = context.decode(packet)
            except av.error.EOFError:
                break
            except av.error.FFmpegError:
                if self.threads > 1:
                    raise _Damaged from None
                continue
            for frame in frames:
                index = int(self.table.frame[frame.opaque]) if frame.opaque is not None else -1
                if frame.is_corrupt and self.threads > 1 and index >= first:
                    raise _Damaged
                if index > last:
                    last = index
                    held.append((index, frame))
            while len(held) > delay:
                yield held.popleft()
        yield from held

    def _packets(self, start: int) -> tuple[Iterator[tuple[int, Any]], Any]:
        """Return the packets from number `start` on with their numbers, and a fresh decoder for them."""
        for try_seek in (True, False):
            self.close()
            self.container, stream = open_video(self.path, self.name)
            context = stream.codec_context
            context.thread_count = self.threads
            context.thread_type = "AUTO" if self.threads > 1 else "SLICE"
            context.copy_opaque = True
            if start == 0 or not try_seek or not self.seekable:
                return self._counted(stream, start), context
            found = self._sought(stream, start)
            if found is not None:
                return found, context
        raise AssertionError("unreachable")

    def _counted(self, stream: Any, start: int) -> Iterator[tuple[int, Any]]:
        for number, packet in enumerate(packets_of(self.container, stream)):
            if number >= start:
                yield number, packet
        yield -1, None

    def _sought(self, stream: Any, start: int) -> Iterator[tuple[int, Any]] | None:
        """Seek, and tell the packets by their decoding times; None if the file does not let itself be sought in."""
        import av

        table = self.table
        try:
            self.container.seek(int(table.dts[start]), stream=stream, backward=True)
        except av.error.FFmpegError:
            return None
        packets = packets_of(self.container, stream)
        for packet in packets:
            number = self._number(packet)
            if number is None:
                continue
            if number > start:
                return None
            if number == start:
                return self._numbered(packet, number, packets)
        return None

    def _numbered(self, packet: Any, number: int, packets: Iterator[Any]) -> Iterator[tuple[int, Any]]:
        yield number, packet
        for packet in packets:
            found = self._number(packet)
            if found is not None:
                yield found, packet
        yield -1, None

    def _number(self, packet: Any) -> int | None:
        if packet.dts is None:
            return None
        number = int(np.searchsorted(self.table.dts, packet.dts))
        return number if number < len(self.table.dts) and self.table.dts[number] == packet.dts else None

    def _picture(self, frame: Any) -> Image:
        table = self.table
        size = {} if (frame.width, frame.height) == (table.width, table.height) else {
            "width": table.width, "height": table.height
        }  # fmt: skip
        image: Image = frame.to_ndarray(format="bgr24", **size)
        transpose, rows, columns = table.turn
        if transpose:
            image = image.transpose(1, 0, 2)
        if rows:
            image = image[::-1]
        if columns:
            image = image[:, ::-1]
        return np.ascontiguousarray(image)
