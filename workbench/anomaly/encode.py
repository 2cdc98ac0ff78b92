"""Columns as dense codes: what the search counts with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from workbench.anomaly import dictionaries, ranges
from workbench.anomaly.by_columns import check_plain
from workbench.anomaly.data import as_float64, plain
from workbench.anomaly.dictionaries import code_type

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["Codes", "encode", "encode_array", "merge_values"]

#: integers that span no more than this are shifted, not hashed
SHIFTED = 1 << 16


@dataclass(frozen=True, eq=False)
class Codes:
    """One encoded `by` column.

    Attributes
    ----------
    name : str
    codes : array of uint8, uint16 or uint32, (n,)
        Code of each row, 0 to `card` - 1; each occurs. Up to 65,536 values they ascend with the values, null first;
        above, in the order in which values first occur, null first. Of ranges null is the last.
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
    """Return a column's codes; kept in the process, by content, for the next question.

    Parameters
    ----------
    data : Data
    name : str
    bins : int, optional
        Equal-count ranges, as asked.
    """
    from workbench.anomaly.kept import kept_codes

    return kept_codes(data, name, bins)


def encode_array(
    name: str, array: pa.ChunkedArray | pa.Array, bins: int | None = None, edges: np.ndarray | None = None
) -> Codes:
    """Return codes of an Arrow array.

    Parameters
    ----------
    name : str
    array : Arrow array
        Text, numbers, bool, times or a dictionary of these; NaN is null.
    bins : int, optional
        Equal-count ranges, as asked. Unasked, float columns become 10 ranges if they hold a fraction and more than 20
        different numbers.
    edges : array, optional
        Ranges with these edges, such as those of a stream's first pane; numbers beyond fall into the outer ranges.

    Returns
    -------
    Codes

    Raises
    ------
    WorkbenchError
        For a nested type.
    """
    kind = array.type
    check_plain(name, kind)
    held = plain(kind)
    if bins is not None or edges is not None:
        return _ranged(name, array, bins or ranges.BINS, edges)
    if kind != held and not pa.types.is_dictionary(kind):  # run-end encoded, or an extension's storage
        array, kind = _cast(array, held), held
    if pa.types.is_decimal(kind):
        array = _decimals(array)
        kind = array.type
    if pa.types.is_floating(kind):
        return _floats(name, array)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_temporal(kind):
        return _integers(name, *_as_integers(array), kind)
    return Codes(name, *dictionaries.assembled(dictionaries.parts_of(array), len(array)))


def merge_values(parts: list[pa.Array]) -> tuple[pa.Array, list[np.ndarray]]:
    """Return one dictionary of several, null first, and for each part the new code of each old one.

    Up to 65,536 values it is sorted; above, values stand in the order of the parts. Either way it does not depend on
    how rows were divided, as long as parts are given in the order of the rows.

    Parameters
    ----------
    parts : list of pyarrow.Array
        Values of `Codes` of one column; integers and floats may be mixed, since a part may happen to be whole.
    """
    kinds = {part.type for part in parts if len(part) > part.null_count}
    if len(kinds) > 1:
        numeric = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
        kinds = {pa.float64() if numeric else pa.large_string()}
    kind = kinds.pop() if kinds else parts[0].type
    merged, recode = dictionaries.merged([part if part.type == kind else part.cast(kind) for part in parts])
    return merged, np.split(recode, np.cumsum([len(part) for part in parts])[:-1])


# ---------------------------------------------------------------------------------------------------------- numbers


def _ranged(name: str, array: pa.ChunkedArray | pa.Array, bins: int, edges: np.ndarray | None) -> Codes:
    if pa.types.is_integer(plain(array.type)):
        values, missing = _as_integers(_cast(array, plain(array.type)))
    else:
        values = as_float64(array)
        missing = _nans(values)
    if edges is None:
        edges, _ = ranges.range_edges(values if missing is None else values[~missing], bins)
    return _in_ranges(name, values, missing, edges)


def _in_ranges(name: str, values: np.ndarray, missing: np.ndarray | None, edges: np.ndarray) -> Codes:
    texts: list[str | None] = list(ranges.range_text(edges))
    codes = ranges.range_codes(values, edges)
    if missing is not None:
        codes = codes if len(texts) < 1 << 8 else codes.astype(np.uint32)
        codes[missing] = len(texts)
        texts.append(None)
    return Codes(name, codes.astype(code_type(len(texts)), copy=False), pa.array(texts, pa.string()), edges)


def _floats(name: str, array: pa.ChunkedArray | pa.Array) -> Codes:
    values = as_float64(array)
    facts = ranges.facts_of(values)
    missing = _nans(values) if facts.n < len(values) else None
    if facts.ranged:
        edges, distinct = ranges.range_edges(values if missing is None else values[~missing], ranges.BINS)
        return replace(_in_ranges(name, values, missing, edges), distinct=distinct)
    if facts.whole:
        held = values if missing is None else np.where(missing, 0.0, values)
        return _integers(name, held.astype(np.int64), missing, pa.int64())
    assert facts.few is not None  # few numbers, some with a fraction: each is a value
    codes = np.searchsorted(facts.few, values).astype(np.uint8)
    found = pa.array(facts.few)
    if missing is not None:
        codes += 1
        codes[missing] = 0
        found = pa.concat_arrays([pa.nulls(1, pa.float64()), found])
    return Codes(name, codes, found)


def plain_values(values: pa.Array) -> pa.Array:
    """Return a dictionary's values in the types that columns of plain values give."""
    kind = values.type
    if pa.types.is_decimal(kind):
        values = _decimals(values)
    if pa.types.is_floating(values.type):
        numbers = as_float64(values)
        facts = ranges.facts_of(numbers)
        missing = np.isnan(numbers)
        if facts.whole:
            return pa.array(np.where(missing, 0.0, numbers).astype(np.int64), mask=missing)
        return pa.array(numbers + 0.0, mask=missing)
    if pa.types.is_integer(kind):
        return _typed(values, kind)
    return values.cast(pa.large_string()) if kind == pa.string_view() else values


def _nans(values: np.ndarray) -> np.ndarray | None:
    missing = np.isnan(values)
    return missing if missing.any() else None


def _decimals(array: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    if array.type.scale <= 0:
        try:
            return array.cast(pa.int64())
        except pa.ArrowInvalid:  # beyond 64 bits
            pass
    return array.cast(pa.float64(), safe=False)


def _as_integers(array: pa.ChunkedArray | pa.Array) -> tuple[np.ndarray, np.ndarray | None]:
    """Return integers, bools or times as NumPy integers, and where they are null."""
    kind = array.type
    if pa.types.is_boolean(kind):
        array = array.cast(pa.uint8())
    elif pa.types.is_temporal(kind):
        array = array.cast(pa.int64() if kind.bit_width == 64 else pa.int32())
    missing = None
    if array.null_count:
        missing = _numpy(array.is_null())
        array = array.fill_null(pa.scalar(0, array.type))
    return _numpy(array), missing


def _integers(name: str, values: np.ndarray, missing: np.ndarray | None, kind: pa.DataType) -> Codes:
    """Encode integers that may stand for values of another type: shifted where they span little, else hashed."""
    held = values if missing is None else values[~missing]
    low, high = (int(held.min()), int(held.max())) if len(held) else (0, -1)
    span = high - low + 1
    if span > max(SHIFTED, min(len(values), 1 << 24)):
        raw, found = dictionaries.hashed(values, missing)
        return Codes(name, *dictionaries.assembled([dictionaries.Numbered(raw, _typed(found, kind))], len(values)))
    if missing is not None:
        values = np.where(missing, np.asarray(low, values.dtype), values)
    wide = values.dtype if values.dtype.itemsize == 8 else np.dtype(np.int64)
    shifted = np.subtract(values, np.asarray(low, wide), dtype=wide).astype(code_type(span))
    shifted, used = dictionaries.compacted(shifted, span, missing)
    found = pa.array(used + low if low + span < 2**63 else used.astype(np.uint64) + np.uint64(low))
    return Codes(name, shifted, _with_null(_typed(found, kind), missing is not None))


def _typed(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return integers as the values that they stand for; integers of any size as int64, if they fit."""
    if pa.types.is_boolean(kind):
        return values.cast(pa.bool_())
    if pa.types.is_temporal(kind):
        return values.cast(pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
    if pa.types.is_uint64(values.type) and not len(
        values.filter(pc.greater(values, pa.scalar(2**63 - 1, pa.uint64())))
    ):
        return values.cast(pa.int64())
    return values if pa.types.is_uint64(values.type) else values.cast(pa.int64())


def _with_null(values: pa.Array, null: bool) -> pa.Array:
    return pa.concat_arrays([pa.nulls(1, values.type), values]) if null else values


def _cast(array: Any, kind: pa.DataType) -> Any:
    if array.type == kind:
        return array
    if pa.types.is_run_end_encoded(array.type):
        return pc.run_end_decode(array)
    if isinstance(array.type, pa.BaseExtensionType):
        if isinstance(array, pa.ChunkedArray):
            return pa.chunked_array([chunk.storage for chunk in array.chunks], kind)
        return array.storage
    return array.cast(kind)


def _numpy(array: pa.ChunkedArray | pa.Array) -> np.ndarray:
    return array.to_numpy() if isinstance(array, pa.ChunkedArray) else array.to_numpy(zero_copy_only=False)
