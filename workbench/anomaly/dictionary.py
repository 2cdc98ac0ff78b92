"""The codes of a stream's column: a dictionary that only ever grows, so that a code means the same in all panes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.encode import Codes, encode_array

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dictionary"]


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

    @property
    def card(self) -> int:
        """Number of codes."""
        return len(self.values)

    def encode(self, array: pa.ChunkedArray | pa.Array) -> NDArray[np.uint32]:
        """Return the code of each row, uint32 (n,); new values get the next codes."""
        if not self.started:
            part = encode_array(self.name, array, self.bins)
            self.edges, self.started = part.edges, True
        elif self.edges is not None:
            part = encode_array(self.name, array, self.bins, self.edges)
        else:
            part = self._plain(array)
        if self._last is not None and self._last[0].equals(part.values):
            return self._last[1][part.codes]
        recode = np.array([self._code(value) for value in part.values.to_pylist()], np.uint32)
        self._last = part.values, recode
        return recode[part.codes]

    def column(self, codes: NDArray[np.uint32] | None = None) -> Codes:
        """Return the column as the search and the result take it; codes that do not occur are left out.

        Parameters
        ----------
        codes : uint32 (n,), optional
            None: no rows, and all values.
        """
        if codes is None:
            return Codes(self.name, np.empty(0, np.uint32), self._array(self.values), self.edges)
        occurs = np.bincount(codes, minlength=self.card) > 0
        kept = np.flatnonzero(occurs)
        if self.edges is not None:  # the place of a range among the edges is its code
            return Codes(self.name, _narrow(codes, self.card), self._array(self.values), self.edges)
        recode = np.zeros(self.card, np.uint32)
        recode[kept] = np.arange(len(kept))
        return Codes(self.name, _narrow(recode[codes], len(kept)), self._array([self.values[c] for c in kept]))

    def restore(self, edges: NDArray[Any] | None, values: list[Any], started: bool) -> None:
        """Take up the edges and values that another one had."""
        self.edges, self.values, self.started = edges, values, started
        self.known = {(isinstance(value, bool), value): code for code, value in enumerate(values)}

    # ----------------------------------------------------------------------------------------------------- private

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


def _narrow(codes: NDArray[Any], card: int) -> NDArray[Any]:
    return codes.astype(np.uint8 if card <= 1 << 8 else np.uint16 if card <= 1 << 16 else np.uint32)
