"""Video files as sources: their packet table is read once, kept in the store, and shared by all that open the file."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.video.operators import packets as packet_tables
from workbench.video.operators.decode import decode_frames
from workbench.video.operators.packets import PacketTable
from workbench.video.source_base import (
    Damage,
    Floats,
    Image,
    Ints,
    Source,
    VideoInfo,
    checked_indices,
    damage_ranges,
    mean_rate,
    uneven,
)

__all__ = ["VideoSource"]

#: Tables of this many files stay in memory (a table of an hour is about 4 MB).
_REMEMBERED = 32
_tables: OrderedDict[tuple[Any, ...], tuple[PacketTable, str]] = OrderedDict()
_lock = threading.Lock()


class VideoSource(Source):
    """A video file.

    Parameters
    ----------
    path : path-like
    name : str, optional
        The source as its user wrote it; by default the path.
    hint : str, optional
        The detector that suits it.
    threads : int
        Decoder threads; one leaves the other cores to other workers.
    """

    def __init__(
        self, path: str | os.PathLike[str], name: str = "", *, hint: str | None = None, threads: int = 1
    ) -> None:
        self.path = Path(path).absolute()
        self.name = name or os.fspath(path)
        self.hint = hint
        self.threads = threads

    @property
    def table(self) -> PacketTable:
        """The packet table of the file as it is now."""
        return _remembered(self.path, self.name)[0]

    def info(self) -> VideoInfo:
        """Return size, rate and length, from the packet table."""
        table = self.table
        times = table.times
        step = float(np.median(np.diff(times))) if len(times) > 1 else 1 / table.rate
        width, height = (table.height, table.width) if table.turn[0] else (table.width, table.height)
        varies, rate = uneven(times), mean_rate(times, table.rate)
        if not varies and abs(rate - table.rate) < 1e-3 * rate:
            rate = table.rate  # the nominal rate, where the timestamps are but rounded
        return VideoInfo(
            self.name, width, height, rate, len(times), float(times[-1] + step) if len(times) else 0.0, table.codec,
            varies,
        )  # fmt: skip

    def times(self) -> Floats:
        """Return seconds from the first frame's timestamp, from the packet table."""
        return self.table.times

    def keyframes(self) -> Ints:
        """Return the frames at which decoding can start."""
        return self.table.starts

    def video_id(self) -> str:
        """Return the sha256 of the file's size, first and last MiB and packet table: the same wherever it lies."""
        return _remembered(self.path, self.name)[1]

    def read(self, start: int, stop: int) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds, picture) of a range."""
        yield from self.frames_at(np.arange(max(0, start), min(stop, len(self.table)), dtype=np.int64))

    def frames_at(
        self, indices: Ints | Sequence[int], *, threads: int | None = None
    ) -> Iterator[tuple[int, float, Image]]:
        """Yield (frame index, seconds, picture) of these frames; what cannot be decoded goes to `damage`."""
        table = self.table
        wanted = checked_indices(indices, len(table), self.name)
        for index, image in decode_frames(self.path, self.name, table, wanted, threads=threads or self.threads):
            if image is None:
                self.add_damage([index])
            else:
                yield index, float(table.times[index]), image

    @property
    def damage(self) -> list[Damage]:
        """Parts met so far that cannot be decoded, and the end that the file's header promises but a cut took away."""
        table = self.table
        found = damage_ranges(self.damaged_frames, table.times)
        if table.expected > len(table):
            info = self.info()
            end = info.duration + (table.expected - len(table)) / info.fps
            found.append(Damage(len(table), table.expected - 1, info.duration, end))
        return found


def _remembered(path: Path, name: str) -> tuple[PacketTable, str]:
    """Return a file's packet table and video id: from memory, else from the store, else from the file."""
    try:
        status = path.stat()
    except OSError as error:
        raise WorkbenchError(f"No video matches '{name}'.", f"Looked in {path.parent}.") from error
    known = (str(path), status.st_size, status.st_mtime_ns, status.st_ino, packet_tables.VERSION)
    with _lock:
        if known in _tables:
            _tables.move_to_end(known)
            return _tables[known]
    found = _stored(path, name, known)
    with _lock:
        _tables[known] = found
        while len(_tables) > _REMEMBERED:
            _tables.popitem(last=False)
    return found


def _stored(path: Path, name: str, known: tuple[Any, ...]) -> tuple[PacketTable, str]:
    from workbench.engine.store import key, store

    where = key("video packets", *known)
    arrays = store().get_arrays(where)
    if arrays is not None:
        digest = arrays.pop("digest").astype(np.uint8).tobytes().decode()
        return PacketTable.from_arrays(arrays), digest
    began = time.perf_counter()
    table = packet_tables.scan(path, name)
    digest = table.digest(path)
    columns = {**table.arrays(), "digest": np.frombuffer(digest.encode(), np.uint8)}
    store().put_arrays(where, columns, kind="packets", cost_s=time.perf_counter() - began)
    return table, digest
