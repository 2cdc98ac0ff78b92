"""Columns as dense codes: what the search counts with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly.by_columns import check_plain
from workbench.anomaly.data import plain

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["Codes", "encode", "encode_array", "merge_values"]

#: float columns with more distinct values than this become ranges
FEW = 20

#: how many ranges, where none are asked for
BINS = 10


@dataclass(frozen=True, eq=False)
class Codes:
    """One encoded `by` column.

    Attributes
    ----------
    name : str
    codes : array of uint8, uint16 or uint32, (n,)
        Code of each row, 0 to `card` - 1. Codes ascend with the values, null first (ranges: null last).
    values : pyarrow.Array, (card,)
        The value of each code; at most one is null. Ranges are text: `[100, 200)`.
    edges : array, optional
        Of ranges only: code j is `[edges[j], edges[j + 1])`, the last one closed.
    distinct : int, optional
        Of ranges that nobody asked for: how many different numbers there are.
    """

    name: str
    codes: np.ndarray
    values: pa.Array
    edges: np.ndarray | None = None
    distinct: int | None = None

    @property
    def card(self) -> int:
        """Number of codes."""
        return len(self.values)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.codes.nbytes + self.values.nbytes

    def python(self, code: int) -> Any:
        """Return the value of a code: None, str, int, float, bool, date, datetime or `pandas.Interval`."""
        value = self.values[code].as_py()
        if self.edges is None or value is None:
            return value
        import pandas as pd

        last = code == len(self.edges) - 2
        return pd.Interval(self.edges[code].item(), self.edges[code + 1].item(), "both" if last else "left")


def encode(data: Data, name: str, bins: int | None = None) -> Codes:
    """Return a column's codes; kept in the process, by content, for the next question."""
    return encode_array(name, data.column(name), bins)


def encode_array(
    name: str, array: pa.ChunkedArray | pa.Array, bins: int | None = None, edges: np.ndarray | None = None
) -> Codes:
    """Return codes of an Arrow array.

    Parameters
    ----------
    name : str
    array : Arrow array
    bins : int, optional
        Equal-count ranges, as asked; whole floats, text and integers are values otherwise.
    edges : array, optional
        Ranges with these edges, such as those of a stream's first pane; values beyond fall into the outer ranges.
    """
    array = _one_chunk(_normal(name, array))
    if edges is not None:
        return _ranged(name, array, np.asarray(edges))
    if bins is not None:
        return _ranged(name, array, range_edges(array, bins))
    if pa.types.is_floating(array.type):
        array = _whole(array)
        if pa.types.is_floating(array.type) and (distinct := pc.count_distinct(array).as_py()) > FEW:
            return replace(_ranged(name, array, range_edges(array, BINS)), distinct=distinct)
    return _valued(name, array)


def merge_values(parts: list[pa.Array]) -> tuple[pa.Array, list[np.ndarray]]:
    """Return one sorted dictionary of several, null first, and for each part the new code of each old one."""
    kinds = {part.type for part in parts if not pa.types.is_null(part.type)}
    kind = kinds.pop() if len(kinds) == 1 else (pa.float64() if kinds else pa.null())
    cast = [part.cast(kind) for part in parts]
    merged = _sorted(pc.unique(pa.chunked_array(cast, kind)))
    return merged, [_find(part, merged) for part in cast]


def range_edges(array: pa.Array, bins: int) -> np.ndarray:
    """Return the edges of equal-count ranges: sorted[⌊j n / bins⌋] for j = 0 … bins - 1, then the maximum."""
    values = array.drop_null().to_numpy(zero_copy_only=False)
    n = len(values)
    if not n:
        return np.empty(0, values.dtype)
    ranks = np.unique([j * n // bins for j in range(bins)] + [n - 1])
    return _distinct(np.partition(values, ranks)[ranks])


def range_text(edges: np.ndarray) -> list[str]:
    """Return `[100, 200)`, …, `[900, 1000]`."""
    shown = [_number(edge) for edge in edges.tolist()]
    last = len(shown) - 2
    return [f"[{low}, {high}{']' if j == last else ')'}" for j, (low, high) in enumerate(pairwise(shown))]


def _distinct(edges: np.ndarray) -> np.ndarray:
    edges = np.unique(edges)
    return edges if len(edges) > 1 else np.repeat(edges, 2)


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, int) or (value.is_integer() and abs(value) < 1e15) else repr(value)


def _one_chunk(array: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(array, pa.Array):
        return array
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    if array.num_chunks == 1:
        return array.chunk(0)
    return pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)


def _normal(name: str, array: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Bring a column to a type that codes are made of."""
    kind = plain(array.type)
    check_plain(name, kind)
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64(), safe=False)
    if pa.types.is_floating(kind):
        return array.cast(pa.float64())
    if pa.types.is_null(kind):
        return array.cast(pa.string())
    if kind == pa.string_view():
        return array.cast(pa.large_string())
    return array


def _whole(array: pa.Array) -> pa.Array:
    """Return floats with NaN as null; as int64 where all are whole."""
    values = array.to_numpy(zero_copy_only=False)
    missing = np.isnan(values)
    held = values[~missing] if missing.any() else values
    whole = bool(np.all(held == np.floor(held)) and np.all(np.abs(held) < 2**53)) if len(held) else True
    with np.errstate(invalid="ignore"):
        converted = values.astype(np.int64) if whole else values + 0.0  # -0.0 is 0.0
    return pa.array(converted, mask=missing if missing.any() else None)


def _ranged(name: str, array: pa.Array, edges: np.ndarray) -> Codes:
    if pa.types.is_floating(array.type):
        values = array.to_numpy(zero_copy_only=False)
        missing = np.isnan(values)
    else:
        missing = array.is_null().to_numpy(zero_copy_only=False)
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
    codes = np.searchsorted(edges[1:-1], values, side="right")
    texts: list[str | None] = list(range_text(edges))
    if missing.any():
        codes[missing] = len(texts)
        texts.append(None)
    return Codes(name, codes.astype(code_type(len(texts))), pa.array(texts, pa.string()), edges)


def _valued(name: str, array: pa.Array) -> Codes:
    found = array if pa.types.is_dictionary(array.type) else array.dictionary_encode(null_encoding="encode")
    values = found.dictionary
    indices = found.indices
    if indices.null_count:  # null as a value of its own
        values = pa.concat_arrays([values, pa.nulls(1, values.type)])
        indices = indices.fill_null(len(values) - 1)
    raw = indices.to_numpy(zero_copy_only=False)
    used = np.flatnonzero(np.bincount(raw, minlength=len(values)))
    merged = _sorted(pc.unique(values.take(pa.array(used))))
    recode = np.zeros(len(values), code_type(len(merged)))
    recode[used] = _find(values.take(pa.array(used)), merged)
    return Codes(name, recode[raw], merged)


def code_type(card: int) -> Any:
    """Return the smallest unsigned type that holds codes below `card`."""
    return np.uint8 if card <= 2**8 else np.uint16 if card <= 2**16 else np.uint32


def _sorted(values: pa.Array) -> pa.Array:
    order = pc.sort_indices(values)  # nulls last
    if values.null_count:
        order = pa.concat_arrays([order[-1:], order[:-1]])
    return values.take(order)


def _find(values: pa.Array, merged: pa.Array) -> np.ndarray:
    return pc.index_in(values, value_set=merged).to_numpy(zero_copy_only=False)
