"""Runs in TensorBoard event files, read without TensorBoard: TFRecord frames, and what of each event is a scalar.

A frame is a length (uint64), the masked CRC32C of it, the data and the masked CRC32C of that. `Event`: 1 wall_time,
2 step, 5 summary; `Summary`: 1 value; `Value`: 1 tag, 2 simple_value, 8 tensor; `Tensor`: 1 dtype, 4 content, 5 float,
6 double.
"""

from __future__ import annotations

import datetime as dt
import struct
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from workbench.engine.errors import WorkbenchError
from workbench.tta.importers.common import (
    checked_goal,
    existing,
    forward,
    imported,
    no_metric,
    one_target,
    recipe_of,
    run_id,
)
from workbench.tta.record import Record, points_table

__all__ = ["crc32c", "frames", "masked", "tensorboard_records"]

_MASK = 0xA282EAD8
_FLOAT, _DOUBLE = 1, 2
#: bytes of a frame from which its checksum is left out, if it holds nothing that is read
_LONG = 1 << 16


class Scalar(NamedTuple):
    """One value of a tag."""

    wall_time: float
    step: int
    value: float


class Damaged(Exception):
    """A frame or message that is not what it should be."""


def tensorboard_records(
    folder: str | Path, target: dict[str, float], *, goal: str = "max", metric: str | None = None
) -> list[Record]:
    """Return a record per folder with event files, by path; those without the tag are left out.

    The parameters are those of `read_tensorboard`.
    """
    name, least = one_target(target)
    checked_goal(goal)
    tag = name if metric is None else metric
    root = existing(folder, "a folder of event files")
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*tfevents*") if file.is_file())
    if not files:
        raise WorkbenchError(f"No event file in {root}.", "Give a folder with files named events.out.tfevents.*.")
    base = root.parent if root.is_file() else root
    runs: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        runs[file.parent.relative_to(base).as_posix()].append(file)
    recipe = recipe_of(root)
    made: list[Record] = []
    tags: set[str] = set()
    for part, of_run in sorted(runs.items()):
        scalars, first, notes = _scalars(of_run)
        tags |= set(scalars)
        if tag in scalars:
            made.append(_record(scalars, tag, first, notes, id=run_id(recipe, part), name=recipe, metric=name,
                                target=least, goal=goal))  # fmt: skip
    if not made:
        raise no_metric(tag, tags)
    told = [note for record in made for note in record.warnings]
    if told:
        import warnings

        from workbench.tta.problems import TTAWarning

        hint = (
            "What stands before it was read."
            if len(told) == 1
            else f"{len(told)} files are damaged; the rest was read."
        )
        warnings.warn(TTAWarning(told[0], hint), stacklevel=3)
    return made


def _record(scalars: dict[str, list[Scalar]], tag: str, first: float, notes: list[str], **fields: Any) -> Record:
    judged = scalars[tag]

    def points() -> Any:
        rows: list[dict[str, Any]] = []
        for other, listed in scalars.items():
            if other != tag:
                wall = forward(np.array([scalar.wall_time - first for scalar in listed])).tolist()
                rows += [
                    {"step": scalar.step, "metric": other, "wall_s": time, "value": scalar.value}
                    for scalar, time in zip(listed, wall, strict=True)
                ]
        return points_table(rows)

    return imported(
        steps=[scalar.step for scalar in judged],
        values=[scalar.value for scalar in judged],
        wall=forward(np.array([scalar.wall_time - first for scalar in judged])),
        points=points,
        started=dt.datetime.fromtimestamp(first, dt.UTC),
        warnings=tuple(notes),
        **fields,
    )


def _scalars(files: list[Path]) -> tuple[dict[str, list[Scalar]], float, list[str]]:
    """Return the scalars of a run by tag, the first time in it, and what is damaged."""
    scalars: dict[str, list[Scalar]] = defaultdict(list)
    first: float | None = None
    notes: list[str] = []
    for file in files:
        read = 0
        try:
            for data, stated in frames(file.read_bytes()):
                wall_time, step, found = _event(data)
                # the checksum takes time in Python: long frames without a scalar (images, graphs) go without
                if (found or len(data) < _LONG) and masked(crc32c(data)) != stated:
                    raise Damaged("wrong checksum")
                read += 1
                first = wall_time if first is None else min(first, wall_time)
                for tag, value in found:
                    scalars[tag].append(Scalar(wall_time, step, value))
        except Damaged as error:
            if not read and error.args[0] != "cut off":
                raise WorkbenchError(
                    f"{file.name} is no TensorBoard event file: {error.args[0]} in its first record.",
                    "Give a folder with files named events.out.tfevents.*.",
                ) from None
            notes.append(f"{file.name}: record {read + 1} is damaged ({error.args[0]}).")
    return scalars, first if first is not None else 0.0, notes


def frames(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield the data of each TFRecord frame, and the masked CRC32C that it states."""
    place = 0
    while place < len(data):
        if place + 12 > len(data):
            raise Damaged("cut off")
        size, check = struct.unpack_from("<QI", data, place)
        if masked(crc32c(data[place : place + 8])) != check:
            raise Damaged("wrong checksum")
        end = place + 12 + size
        if end + 4 > len(data):
            raise Damaged("cut off")
        yield data[place + 12 : end], struct.unpack_from("<I", data, end)[0]
        place = end + 4


def _polynomial() -> tuple[int, ...]:
    made = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        made.append(byte)
    return tuple(made)


_TABLE = _polynomial()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of bytes."""
    crc, entries = 0xFFFFFFFF, _TABLE
    for byte in data:
        crc = entries[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked(crc: int) -> int:
    """Return a CRC as TFRecord stores it."""
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _event(data: bytes) -> tuple[float, int, list[tuple[str, float]]]:
    wall_time, step = 0.0, 0
    found: list[tuple[str, float]] = []
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            wall_time = _one("<d", value)
        elif number == 2 and isinstance(value, int):
            step = value - (1 << 64) if value >> 63 else value
        elif number == 5 and isinstance(value, bytes):
            for inner, summary in _fields(value):
                if inner == 1 and isinstance(summary, bytes) and (scalar := _value(summary)) is not None:
                    found.append(scalar)
    return wall_time, step, found


def _value(data: bytes) -> tuple[str, float] | None:
    tag, scalar = "", None
    for number, value in _fields(data):
        if number == 1 and isinstance(value, bytes):
            tag = value.decode("utf-8", errors="replace")
        elif number == 2 and isinstance(value, bytes):
            scalar = _one("<f", value)
        elif number == 8 and isinstance(value, bytes):
            scalar = _tensor(value)
    return None if scalar is None else (tag, scalar)


def _tensor(data: bytes) -> float | None:
    """Return the number in a tensor of one float or double; other tensors are no scalars."""
    kind, numbers = 0, np.empty(0)
    dtypes = {_FLOAT: "<f4", _DOUBLE: "<f8"}
    for number, value in _fields(data):
        if number == 1 and isinstance(value, int):
            kind = value
        elif number in (4, 5, 6) and isinstance(value, bytes):
            dtype = dtypes.get(kind if number == 4 else number - 4)
            if dtype is None or len(value) % int(dtype[-1]):
                return None
            numbers = np.concatenate([numbers, np.frombuffer(value, dtype).astype(np.float64)])
    return float(numbers[0]) if kind in dtypes and len(numbers) == 1 else None


def _one(form: str, value: bytes) -> float:
    if len(value) != struct.calcsize(form):
        raise Damaged("broken event")
    return float(struct.unpack(form, value)[0])


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field of a protobuf message: an int of a varint, bytes of all else."""
    place = 0
    while place < len(data):
        key, place = _varint(data, place)
        kind = key & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield key >> 3, value
            continue
        if kind == 2:
            size, place = _varint(data, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise Damaged("broken event")
        if place + size > len(data):
            raise Damaged("broken event")
        yield key >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise Damaged("broken event")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, place
