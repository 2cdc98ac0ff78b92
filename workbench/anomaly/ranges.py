"""Numbers in equal-count ranges: edges, their text, and the range of each row."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = [
    "BINS",
    "FEW",
    "FloatFacts",
    "edges_at",
    "facts_of",
    "range_codes",
    "range_edges",
    "range_ranks",
    "range_text",
]

#: float columns with more distinct values than this become ranges, if not all are whole
FEW = 20

#: how many ranges, where none are asked for
BINS = 10

#: with more edges than this, a binary search is cheaper than comparing with each
_COMPARED = 24

#: rows compared at a time: they stay in the first-level cache
_BLOCK = 4096

#: whole numbers that a float64 tells apart
_EXACT = 2.0**53


@dataclass(frozen=True, eq=False)
class FloatFacts:
    """What decides whether a float column is whole numbers, few values or ranges; adds up over parts of the rows.

    Attributes
    ----------
    n : int
        Numbers, without NaN.
    whole : bool
        Whether all are whole numbers that an int64 holds.
    few : float64 array or None
        The distinct numbers, sorted; None for more than `FEW`.
    """

    n: int
    whole: bool
    few: np.ndarray | None

    @property
    def ranged(self) -> bool:
        """Whether the column becomes ranges unasked."""
        return not self.whole and self.few is None

    def merge(self, other: FloatFacts) -> FloatFacts:
        """Return the facts of both parts together."""
        few = None if self.few is None or other.few is None else np.union1d(self.few, other.few)
        if few is not None and len(few) > FEW:
            few = None
        return FloatFacts(self.n + other.n, self.whole and other.whole, few)


def facts_of(values: np.ndarray) -> FloatFacts:
    """Return the facts of float64 numbers; NaN is no number."""
    if len(values) and np.isnan(values.min()):
        values = values[~np.isnan(values)]
    few: np.ndarray | None = np.unique(values[: 16 * _BLOCK] + 0.0)  # -0.0 is 0.0
    assert few is not None
    whole = bool(np.all(few == np.floor(few)) and np.all(np.abs(few) < _EXACT))
    if len(few) <= FEW and len(values) > 16 * _BLOCK:
        # The first rows may be few numbers only because they are sorted.
        rest = [np.unique(part + 0.0) for part in np.array_split(values[16 * _BLOCK :], 1 + len(values) // (1 << 20))]
        few = np.unique(np.concatenate([few, *rest]))
        whole = bool(np.all(few == np.floor(few)) and np.all(np.abs(few) < _EXACT))
    elif whole and len(values) > 16 * _BLOCK:
        whole = bool(np.all(values == np.floor(values)) and np.all(np.abs(values) < _EXACT))
    return FloatFacts(len(values), whole, few if len(few) <= FEW else None)


def range_ranks(n: int, bins: int) -> list[int]:
    """Return the 0-based ranks whose values are the edges: ⌊j n / bins⌋ for j = 0 … bins - 1, and the last."""
    if bins >= n:  # every rank: no more of them are counted out than there are numbers
        return list(range(n))
    return sorted({*(j * n // bins for j in range(bins)), n - 1})


def edges_at(values: np.ndarray) -> np.ndarray:
    """Return the edges, given the numbers at `range_ranks`: duplicates merged, at least one range."""
    edges = np.unique(values)
    return edges if len(edges) != 1 else np.repeat(edges, 2)


def range_edges(values: np.ndarray, bins: int) -> tuple[np.ndarray, int]:
    """Return the edges of equal-count ranges, and how many different numbers there are; no NaN among `values`."""
    ordered = np.sort(values)  # vectorised: cheaper than partitioning at many ranks
    if not len(ordered):
        return np.empty(0, values.dtype), 0
    if ordered.dtype.kind == "f":
        ordered += 0.0
    distinct = 1 + int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    return edges_at(ordered[range_ranks(len(ordered), bins)]), distinct


def range_codes(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the range of each number, (n,) unsigned; numbers beyond the edges fall into the outer ranges."""
    inner = edges[1:-1]
    if len(inner) > _COMPARED:
        return np.searchsorted(inner, values, side="right").astype(np.uint32)
    codes = np.zeros(len(values), np.uint8)
    for start in range(0, len(values), _BLOCK):
        block, found = values[start : start + _BLOCK], codes[start : start + _BLOCK]
        for edge in inner:
            found += block >= edge
    return codes


def range_text(edges: np.ndarray) -> list[str]:
    """Return `[100, 200)`, …, `[900, 1000]`: the numbers in full, so that no two ranges read alike."""
    shown = [_number(edge) for edge in edges.tolist()]
    last = len(shown) - 2
    return [f"[{low}, {high}{']' if j == last else ')'}" for j, (low, high) in enumerate(pairwise(shown))]


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15) else repr(value)
