"""The codes of a stream's column: a dictionary that only ever grows, so that a code means the same in all panes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.dictionaries import code_type, merged
from workbench.anomaly.encode import Codes, encode_array, plain_values

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dictionary", "narrow"]

#: stands for the code of an entry that has not been met yet
_NONE = np.uint32(0xFFFFFFFF)


class Dictionary:
    """The values of a column met so far.

    Parameters
    ----------
    name : str
    bins : int, optional
        Ranges, as asked. The first pane fixes their edges; a column that is not put in ranges then never is.
    """

    def __init__(self, name: str, bins: int | None = None) -> None:
        self.name, self.bins = name, bins
        self.edges: NDArray[Any] | None = None
        self.known: dict[Any, int] = {}
        self.values: list[Any] = []
        self.started = False
        self._last: tuple[pa.Array, NDArray[np.uint32]] | None = None
        #: of the last chunk of a dictionary column: its dictionary, that as plain values, and the code of each entry
        self._met: tuple[pa.Array, pa.Array, NDArray[np.uint32]] | None = None

    @property
    def card(self) -> int:
        """Number of codes."""
        return len(self.values)

    def encode(self, array: pa.ChunkedArray | pa.Array) -> NDArray[Any]:
        """Return the code of each row, uint8, uint16 or uint32 (n,) as the number of codes needs; new values get the
        next codes.
        """
        if self.bins is None and self.edges is None and pa.types.is_dictionary(array.type) and self.started:
            chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
            parts = [self._indexed(chunk) for chunk in chunks]
            if len(parts) == 1:
                return narrow(parts[0], self.card)
            return narrow(np.concatenate(parts) if parts else np.empty(0, np.uint32), self.card)
        if not self.started:
            part = encode_array(self.name, array, self.bins)
            self.edges, self.started = part.edges, True
        elif self.edges is not None:
            part = encode_array(self.name, array, self.bins, self.edges)
        else:
            part = self._plain(array)
        if self._last is None or not self._last[0].equals(part.values):
            recode = np.array([self._code(value) for value in part.values.to_pylist()], np.uint32)
            self._last = part.values, recode
        return narrow(self._last[1], self.card).take(part.codes)

    def column(self, codes: NDArray[Any] | None = None, card: int | None = None) -> Codes:
        """Return the column as the search and the result take it; codes that do not occur are left out.

        Parameters
        ----------
        codes : unsigned integers (n,), optional
            None: no rows, and all values.
        card : int, optional
            Of all values only so many: those that there were at some time before.
        """
        if codes is None:
            return Codes(self.name, np.empty(0, np.uint32), self._array(self.values[:card]), self.edges)
        occurs = np.bincount(codes, minlength=self.card) > 0
        kept = np.flatnonzero(occurs)
        if self.edges is not None:  # the place of a range among the edges is its code
            return Codes(self.name, narrow(codes, self.card), self._array(self.values), self.edges)
        recode = np.zeros(self.card, np.uint32)
        recode[kept] = np.arange(len(kept))
        return Codes(self.name, narrow(recode[codes], len(kept)), self._array([self.values[c] for c in kept]))

    def restore(self, edges: NDArray[Any] | None, values: list[Any], started: bool) -> None:
        """Take up the edges and values that another one had."""
        self.edges, self.values, self.started = edges, values, started
        self.known = {(isinstance(value, bool), value): code for code, value in enumerate(values)}

    # ----------------------------------------------------------------------------------------------------- private

    def _indexed(self, chunk: pa.DictionaryArray) -> NDArray[np.uint32]:
        """Return the code of each row of a dictionary array; only entries that occur get codes."""
        dictionary = chunk.dictionary
        if self._met is None or not self._met[0].equals(dictionary):
            self._met = dictionary, plain_values(dictionary), np.full(len(dictionary) + 1, _NONE, np.uint32)
        _, values, recode = self._met
        indices = chunk.indices
        if indices.null_count:
            indices = indices.cast(pa.int64()).fill_null(len(values))
        rows = indices.to_numpy(zero_copy_only=False)
        codes = recode.take(rows, mode="clip")
        if not len(codes) or codes.max() != _NONE:
            return codes
        entries = np.unique(rows[codes == _NONE])
        found = values.take(pa.array(entries[entries < len(values)]))
        if entries[-1] == len(values):
            found = pa.concat_arrays([found, pa.nulls(1, found.type)])
        ordered, places = merged([found])  # codes ascend with the values, as those of other columns do
        recode[entries] = np.array([self._code(value) for value in ordered.to_pylist()], np.uint32)[places]
        return recode.take(rows, mode="clip")

    def _plain(self, array: pa.ChunkedArray | pa.Array) -> Codes:
        """Encode numbers as they are, also where batch would put them in ranges: the first pane has decided."""
        part = encode_array(self.name, array)
        if part.edges is None:
            return part
        encoded = (array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])).combine_chunks()
        found = encoded.dictionary_encode("encode")
        return Codes(self.name, found.indices.to_numpy(zero_copy_only=False).astype(np.uint32), found.dictionary)

    def _code(self, value: Any) -> int:
        if self.edges is not None and not self.values:
            self._ranges()
        if isinstance(value, float) and value != value:
            value = None
        key = (isinstance(value, bool), value)  # True and 1 are two values
        code = self.known.get(key)
        if code is None:
            code = self.known[key] = len(self.values)
            self.values.append(value)
        return code

    def _ranges(self) -> None:
        """Give every range its code before any of them is met."""
        from workbench.anomaly.ranges import range_text

        assert self.edges is not None
        for text in range_text(self.edges):
            self.known[False, text] = len(self.values)
            self.values.append(text)

    def _array(self, values: list[Any]) -> pa.Array:
        kinds = {type(value) for value in values if value is not None}
        if kinds == {int, float}:
            return pa.array([None if value is None else float(value) for value in values], pa.float64())
        if len(kinds) > 1:
            return pa.array([None if value is None else str(value) for value in values], pa.string())
        return pa.array(values, pa.string() if not kinds else None)


def narrow(codes: NDArray[Any], card: int) -> NDArray[Any]:
    """Return codes in the smallest type that holds all below `card`."""
    return codes.astype(code_type(card), copy=False)
