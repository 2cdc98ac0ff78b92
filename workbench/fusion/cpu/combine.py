"""What chunks and groups of chunks give, as one: in an order that depends on their number alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from workbench.fusion.cpu.layout import Row
from workbench.fusion.cpu.tables import COPIES
from workbench.fusion.loop import PARTS

__all__ = ["GROUPS", "MOST_BYTES", "SIMPLE", "copies", "dtypes", "merge", "tables", "word"]

#: sets of private tables at most
GROUPS = 16
#: bytes of all of them at most, while there is more than one
MOST_BYTES = 64 << 20
#: bytes of a table of which there are several copies: with more keys neighbours seldom have the same, and all copies
#: together would leave the first cache, which costs more than the waiting that they save
_CACHED = 1 << 13

#: what merges values by one function
SIMPLE: dict[str, np.ufunc] = {
    "+": np.add,
    "*": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
    "and": np.logical_and,
    "or": np.logical_or,
}


def dtypes(op: str, dtype: str) -> list[str]:
    """Return the dtypes of the parts of a merge."""
    if op == "moments":
        return ["float64"] * 3
    return [dtype, "int64"] if op in PARTS else [dtype]


def copies(row: Row, size: int) -> int:
    """Return how many copies of tables there are: one where order counts, or where copies leave the cache."""
    return COPIES if not row.ordered and (size + 1) * COPIES * row.dtype.itemsize <= _CACHED else 1


def word(value: Any, dtype: str) -> int:
    """Return a value as it stands in a slot of 8 bytes, as a signed integer."""
    kind = np.dtype(dtype)
    raw = (np.array(value).astype(kind) if kind.kind == "f" else np.array([int(value)], object).astype(kind)).tobytes()
    return int.from_bytes(raw.ljust(8, b"\0"), "little", signed=True)


def column(words: np.ndarray, dtype: str) -> np.ndarray:
    """Return what slots of 8 bytes hold."""
    kind = np.dtype(dtype)
    raw = np.ascontiguousarray(words, np.int64)
    if kind.kind == "b":
        return (raw & 1).astype(bool)
    if kind == np.float32:
        return raw.astype(np.uint32).view(np.float32)
    return raw.view(kind) if kind.itemsize == 8 else raw.astype(kind)


def merge(op: str, dtype: str, records: np.ndarray) -> list[int]:
    """Return the words of the parts of all chunks as one."""
    if len(records) == 1:
        return [int(each) for each in records[0]]
    parts = [column(records[:, k], kind) for k, kind in enumerate(dtypes(op, dtype))]
    with np.errstate(all="ignore"):
        found = _merged(op, dtype, [each[:, None] for each in parts])
    return [word(each[0], kind) for each, kind in zip(found, dtypes(op, dtype), strict=True)]


def tables(op: str, dtype: str, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Return private tables (sets, copies, keys) as one."""
    with np.errstate(all="ignore"):
        if op in SIMPLE:
            found = parts[0]
            inner = SIMPLE[op].reduce(found, axis=1, dtype=found.dtype) if found.shape[1] > 1 else found[:, 0]
            return _merged(op, dtype, [inner])
        return _merged(op, dtype, [each.reshape(each.shape[0] * each.shape[1], each.shape[2]) for each in parts])


def _merged(op: str, dtype: str, parts: list[np.ndarray]) -> list[np.ndarray]:
    """Merge along the first axis."""
    if op in SIMPLE:
        if not len(parts[0]):
            from workbench.fusion.cpu.builders import identity

            return [np.full(parts[0].shape[1:], identity(op, dtype), dtype)]
        flat = np.ascontiguousarray(parts[0].T) if parts[0].shape[1] == 1 else parts[0]
        axis = 1 if parts[0].shape[1] == 1 else 0
        return [SIMPLE[op].reduce(flat, axis=axis, dtype=dtype)]
    if op == "moments":
        return _moments(parts)
    values, places = parts
    if not len(values):
        return [np.zeros(values.shape[1:], dtype), np.full(values.shape[1:], -1, np.int64)]
    best, place = values[0].copy(), places[0].copy()
    for value, at in zip(values[1:], places[1:], strict=True):
        take = (at >= 0) & ((place < 0) | _later(op, value, best))
        best, place = np.where(take, value, best), np.where(take, at, place)
    return [best, place]


def _later(op: str, value: np.ndarray, best: np.ndarray) -> Any:
    """Return where a value that comes later takes the place of the best before."""
    if op == "first":
        return False
    if op == "last":
        return True
    better = value < best if op == "argmin" else value > best
    if value.dtype.kind == "f":
        better = better & ~np.isnan(best) | (np.isnan(value) & ~np.isnan(best))
    return better


def _moments(parts: list[np.ndarray]) -> list[np.ndarray]:
    """Merge count, mean and squared deviations in pairs, pairs of pairs and so on (Chan)."""
    n, mean, spread = parts
    if not len(n):
        return [np.zeros(n.shape[1:])] * 3
    while len(n) > 1:
        odd = len(n) % 2
        a, b = slice(0, len(n) - odd, 2), slice(1, None, 2)
        total = n[a] + n[b]
        share = n[b] / np.where(total == 0, 1.0, total)
        delta = mean[b] - mean[a]
        both = spread[a] + spread[b] + delta * delta * n[a] * share
        none, all_ = n[b] == 0, n[a] == 0
        middle = np.where(none, mean[a], np.where(all_, mean[b], mean[a] + delta * share))
        both = np.where(none, spread[a], np.where(all_, spread[b], both))
        rest = [each[len(each) - odd :] for each in (n, mean, spread)]
        n, mean, spread = [
            np.concatenate([x, y]) if odd else x for x, y in zip((total, middle, both), rest, strict=True)
        ]
    return [n[0], mean[0], spread[0]]
