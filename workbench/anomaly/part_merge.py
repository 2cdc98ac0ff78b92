"""What the parts of a table told, put together: dictionaries, codes, totals and dependencies of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.dictionaries import code_type
from workbench.anomaly.encode import Codes, merge_values

if TYPE_CHECKING:
    from workbench.anomaly.part_tasks import Collected, Column

__all__ = ["joined", "merged"]


def merged(
    columns: Sequence[Column], collected: Sequence[Collected]
) -> tuple[list[Codes], list[np.ndarray | None], list[tuple[int, int]]]:
    """Return the outliers of all parts under one dictionary a column.

    Returns
    -------
    list of Codes
        Of the outlier rows, part after part.
    list of int64 arrays or None
        Rows of each code; None where a part had too many values to tell all of theirs.
    list of (int, int)
        Columns (determinant, dependent) of which the first tells the second in all rows.
    """
    codes, totals, recodes = [], [], []
    for c, column in enumerate(columns):
        values, recode = _dictionary(column, [part.values[c] for part in collected])
        recodes.append(recode)
        codes.append(_codes(column, values, recode, [part.codes[c] for part in collected]))
        total: np.ndarray | None = np.zeros(len(values), np.int64)
        for part, new in zip(collected, recode, strict=True):
            counts = part.totals[c]
            if counts is None:
                total = None
                break
            np.add.at(total, new, counts)  # type: ignore[arg-type]
        totals.append(total)
    return codes, totals, _dependencies(_told(collected), recodes, [column.card for column in codes])


def joined(columns: Sequence[Column], parts: Sequence[Sequence[Codes]]) -> list[Codes]:
    """Return the codes of all rows of all parts under one dictionary a column."""
    found = []
    for c, column in enumerate(columns):
        values, recode = _dictionary(column, [part[c].values for part in parts])
        found.append(_codes(column, values, recode, [part[c].codes for part in parts]))
    return found


def _codes(column: Column, values: Any, recode: Sequence[np.ndarray], parts: Sequence[np.ndarray]) -> Codes:
    new = [np.empty(0, np.int64), *(told[codes] for told, codes in zip(recode, parts, strict=True))]
    return Codes(column.name, np.concatenate(new).astype(code_type(max(1, len(values)))), values, column.edges)


def _dictionary(column: Column, parts: Sequence[Any]) -> tuple[Any, list[np.ndarray]]:
    """Return the values of a column, and for each part the code of each of its codes."""
    if column.edges is None:
        return merge_values(list(parts))
    # Ranges have the same codes in all parts; null, where there is any, is the last.
    return max(parts, key=len), [np.arange(len(values)) for values in parts]


def _told(collected: Sequence[Collected]) -> dict[tuple[int, int], list[np.ndarray]]:
    """Return what is told in every part, for the pairs of columns where it is."""
    parts = [part for part in collected if part.used]
    pairs = set(parts[0].told) if parts else set()
    for part in parts[1:]:
        pairs &= set(part.told)
    return {pair: [part.told.get(pair, np.empty(0, np.int64)) for part in collected] for pair in sorted(pairs)}


def _dependencies(
    told: dict[tuple[int, int], list[np.ndarray]], recodes: Sequence[Sequence[np.ndarray]], cards: Sequence[int]
) -> list[tuple[int, int]]:
    """Return the pairs for which all parts tell the same."""
    found = []
    for (a, b), parts in told.items():
        known = np.full(cards[a], -1, np.int64)
        for part, new_a, new_b in zip(parts, recodes[a], recodes[b], strict=True):
            held = np.flatnonzero(part >= 0)
            keys, values = new_a[held], new_b[part[held]]
            fresh = known[keys] < 0
            known[keys[fresh]] = values[fresh]
            if (known[keys] != values).any():
                break
        else:
            found.append((a, b))
    return found
