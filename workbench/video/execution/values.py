"""Kept values of properties that read pixels: one for each call, found again by what the call saw.

A call is known by the frames and boxes of its crops and by its other arguments, so that a changed condition, range or
tracker finds every value whose pixels are the same. "Not computed" (no entry) and "computed, missing" (an entry with
the value None) differ. A failed call is kept with its error, so that a rerun tells the same.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import store as artefacts

__all__ = ["Entry", "ValueCache", "call_keys", "values_key"]

#: seconds between two writes of a file that grows
_PAUSE = 5.0
_LAYOUT = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What a call gave: a value, or an error with its traceback."""

    value: Any = None
    error: str | None = None
    traceback: str = ""


def call_keys(
    frames: NDArray[np.int64],
    boxes: NDArray[np.float64],
    calls: Sequence[NDArray[np.int64]],
    arguments: dict[str, list[Any]],
) -> list[bytes]:
    """Return what each call is known by.

    Parameters
    ----------
    frames, boxes : int64 (n,), float64 (n, 4)
        Frame and box of each row.
    calls : sequence of int64 arrays
        The rows of each call.
    arguments : dict
        For each further argument its value in each call.
    """
    # One row more, of NaN, for crops that are missing (-1).
    rows = np.full((len(frames) + 1, 5), np.nan)
    rows[:-1, 0], rows[:-1, 1:] = frames, boxes
    if not arguments and all(len(call) == 1 for call in calls):
        # The common case, one crop a call, without hashing: the row's own bytes.
        picked = rows[np.concatenate(calls)] if calls else rows[:0]
        data, width = picked.tobytes(), rows.shape[1] * 8
        return [data[at : at + width] for at in range(0, len(data), width)]
    names = sorted(arguments)
    keys = []
    for index, call in enumerate(calls):
        digest = hashlib.blake2b(rows[call].tobytes(), digest_size=20)
        for name in names:
            digest.update(artefacts.key(name, _plain(arguments[name][index])).encode())
        keys.append(digest.digest())
    return keys


class ValueCache:
    """The values of one property of one video.

    Parameters
    ----------
    base : str or None
        The key of the file; None keeps values for this run only.
    fresh : bool
        Whether to begin without what the file holds.
    """

    def __init__(self, base: str | None, *, fresh: bool = False) -> None:
        self.base = base
        self.seconds = 0.0
        self._written = time.monotonic()
        self._dirty = False
        self._entries: dict[bytes, Entry] = {} if base is None or fresh else _load(base)

    def get(self, key: bytes) -> Entry | None:
        """Return what is known of a call, or None if it was never made."""
        return self._entries.get(key)

    def put(self, key: bytes, entry: Entry) -> None:
        """Keep what a call gave."""
        self._entries[key] = entry
        self._dirty = True

    def flush(self, *, now: bool = True) -> None:
        """Write the file if something is new; with `now=False` only if the last write was some seconds ago."""
        if self.base is None or not self._dirty or not (now or time.monotonic() - self._written > _PAUSE):
            return
        artefacts.store().put_arrays(self.base, _pack(self._entries), kind="property", cost_s=self.seconds)
        self._dirty, self._written = False, time.monotonic()

    def __len__(self) -> int:
        return len(self._entries)


def values_key(*parts: Any) -> str:
    """Return the key of a property's file."""
    return artefacts.key("values", _LAYOUT, *parts)


def _plain(value: Any) -> Any:
    """Turn an argument into what the store can hash; what it cannot is pickled."""
    if value is None or isinstance(value, (str, bytes, bool, int, float, np.ndarray)):
        if isinstance(value, np.ndarray) and value.dtype == object:
            return [_plain(item) for item in value.tolist()]
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    import cloudpickle

    return bytes(cloudpickle.dumps(value, protocol=5))


def _pack(entries: dict[bytes, Entry]) -> dict[str, NDArray[Any]]:
    """Lay entries out as arrays: lengths and bytes of the keys, then one JSON text for plain values, one pickle else.

    The file lies in the reader's own store, which is why a pickle is read back at all.
    """
    import cloudpickle  # a class of the notebook goes by value, since a worker's copy of it is another one

    keys = list(entries)
    plain: list[Any] = []
    others: list[Any] = []
    kinds = np.zeros(len(keys), dtype=np.uint8)
    for index, entry in enumerate(entries.values()):
        if entry.error is not None:
            kinds[index] = 2
            plain.append([entry.error, entry.traceback])
        elif entry.value is None or type(entry.value) in (bool, int, float, str):
            plain.append(entry.value)
        else:
            kinds[index] = 1
            others.append(entry.value)
    return {
        "lengths": np.array([len(key) for key in keys], dtype=np.int64),
        "keys": np.frombuffer(b"".join(keys), dtype=np.uint8),
        "kinds": kinds,
        "plain": np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8),
        "others": np.frombuffer(cloudpickle.dumps(others, protocol=5), dtype=np.uint8),
    }


def _load(base: str) -> dict[bytes, Entry]:
    arrays = artefacts.store().get_arrays(base)
    if arrays is None:
        return {}
    data = arrays["keys"].tobytes()
    ends = np.cumsum(arrays["lengths"])
    keys = [data[end - length : end] for end, length in zip(ends.tolist(), arrays["lengths"].tolist(), strict=True)]
    plain = iter(json.loads(arrays["plain"].tobytes()))
    try:
        others = iter(pickle.loads(arrays["others"].tobytes()))
    except Exception:
        # A class that exists no more: what was made of it is computed anew.
        return {}
    entries: dict[bytes, Entry] = {}
    for key, kind in zip(keys, arrays["kinds"].tolist(), strict=True):
        if kind == 2:
            error, trace = next(plain)
            entries[key] = Entry(None, error, trace)
        else:
            entries[key] = Entry(next(others) if kind == 1 else next(plain))
    return entries
