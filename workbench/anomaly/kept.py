"""Codes kept in the process by content: the second question on a table encodes nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import replace
from typing import TYPE_CHECKING

from workbench.anomaly.content import digest
from workbench.anomaly.encode import Codes, encode_array

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["LIMIT", "clear", "kept_codes"]

#: bytes of codes and values kept at most
LIMIT = 256 << 20

_held: OrderedDict[Hashable, Codes] = OrderedDict()
_lock = threading.Lock()


def kept_codes(data: Data, name: str, bins: int | None) -> Codes:
    """Return the codes of a column: kept ones if a column of the same content was encoded before."""
    array = data.encodable(name)
    key = (digest(array), bins)
    with _lock:
        found = _held.get(key)
        if found is not None:
            _held.move_to_end(key)
    if found is None:
        found = encode_array(name, array, bins)
        found.codes.flags.writeable = False  # it may be the column's own memory no longer, and others read it
        _keep(key, found)
    return found if found.name == name else replace(found, name=name)


def clear() -> None:
    """Forget all codes."""
    with _lock:
        _held.clear()


def _keep(key: Hashable, codes: Codes) -> None:
    if codes.nbytes > LIMIT // 2:
        return
    with _lock:
        _held[key] = codes
        total = sum(each.nbytes for each in _held.values())
        while total > LIMIT:
            total -= _held.popitem(last=False)[1].nbytes
