"""Explanations that cover exactly the same rows, to be shown as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.answer import Answer

__all__ = ["folds"]

#: rows that are compared before all are
_HEAD = 1 << 16


def folds(answer: Answer, table: NDArray[np.int64]) -> dict[int, list[int]]:
    """Return the ranks that are shown, each with those of the same rows below it.

    Parameters
    ----------
    answer : Answer
    table : int64 (m, columns)
        Codes by rank, -1 where a column has no part.

    Returns
    -------
    dict
        Rank to ranks, both ascending. Without the codes of the rows nothing is folded.
    """
    found: dict[int, list[int]] = {}
    groups: dict[tuple[float, float], list[int]] = {}
    sets = answer.found.answers
    codes = [column.codes for column in answer.columns]
    n = max((len(part) for part in codes), default=0)
    whole = n > 0 and all(len(part) == n for part in codes)
    head = [part[:_HEAD] for part in codes]
    heads: dict[int, NDArray[np.uint8]] = {}
    masks: dict[int, NDArray[np.uint8]] = {}

    def same(one: int, two: int) -> bool:
        # Almost all sets of other rows differ among the first: the others need not be looked at.
        if n > _HEAD and not np.array_equal(_mask(head, table, heads, one), _mask(head, table, heads, two)):
            return False
        return bool(np.array_equal(_mask(codes, table, masks, one), _mask(codes, table, masks, two)))

    for rank in range(len(table)):
        place = int(answer.order[rank])
        # Only sets with equal counts can have the same rows.
        alike = groups.setdefault((float(sets.o[place]), float(sets.t[place])), [])
        first = next((other for other in alike if whole and same(other, rank)), None)
        if first is None:
            alike.append(rank)
            found[rank] = []
        else:
            found[first].append(rank)
    return found


def _mask(
    codes: list[np.ndarray], table: NDArray[np.int64], masks: dict[int, NDArray[np.uint8]], rank: int
) -> NDArray[np.uint8]:
    if rank not in masks:
        found: NDArray[np.bool_] | None = None
        for place, code in enumerate(table[rank]):
            if code >= 0:
                part = codes[place] == code
                found = part if found is None else found & part
        assert found is not None
        masks[rank] = np.packbits(found)
    return masks[rank]
