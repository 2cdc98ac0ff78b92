"""The codes of a stream's column: a dictionary that only ever grows, so that a code means the same in all panes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from workbench.anomaly import loading
from workbench.anomaly.compiled import address
from workbench.anomaly.dictionaries import code_type, merged
from workbench.anomaly.encode import Codes, encode_array, plain_values
from workbench.anomaly.stream_tables import kind_of, text_of
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Dictionary", "narrow"]

#: stands for the code of an entry that has not been met yet
_NONE = np.uint32(0xFFFFFFFF)


class _Recoded(NamedTuple):
    """Codes of rows, the entries of a dictionary that occur in them, and how often each does."""

    codes: NDArray[Any]
    entries: NDArray[np.int64]
    many: NDArray[Any]


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
        #: what kind of values it holds; with a second kind it becomes text
        self.kind: str | None = None
        self.text = False
        self._type: pa.DataType | None = None  # of the last rows
        #: of the last chunk: the code of each entry, room to count entries in, and where both lie
        self._addresses: tuple[Any, int, Any, int] = None, 0, None, 0
        #: how many of the last rows have each code, where that is known
        self.counts: NDArray[np.int64] | None = None
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

        A column of numbers that then brings text (or times, or any two kinds) is text from then on: so are the values
        it has had, which keep their codes.
        """
        self.counts = None
        if array.type is not self._type:
            self._meet(kind_of(array.type))
            self._type = array.type
        if self.bins is None and self.edges is None and pa.types.is_dictionary(array.type) and self.started:
            chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
            parts = [self._indexed(chunk) for chunk in chunks]
            if len(parts) == 1:
                return narrow(parts[0], self.card)
            self.counts = None
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
        kept = self.occurring(codes)
        if self.edges is not None:  # the place of a range among the edges is its code
            return Codes(self.name, narrow(codes, self.card), self._array(self.values), self.edges)
        recode = np.zeros(self.card, np.uint32)
        recode[kept] = np.arange(len(kept))
        return Codes(self.name, narrow(recode[codes], len(kept)), self._array([self.values[c] for c in kept]))

    def occurring(self, codes: NDArray[Any]) -> NDArray[np.int64]:
        """Return which codes occur, ascending; of ranges all: what those of `column(codes)` stand for."""
        if self.edges is not None:
            return np.arange(self.card)
        return np.flatnonzero(np.bincount(codes, minlength=self.card) > 0)

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {
            "name": self.name, "bins": self.bins, "edges": self.edges, "values": self.values, "started": self.started,
            "kind": self.kind, "text": self.text,
        }  # fmt: skip

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Dictionary:
        """Return the dictionary that gave a state."""
        made = cls(state["name"], state["bins"])
        made.edges, made.values, made.started = state["edges"], state["values"], state["started"]
        made.kind, made.text = state["kind"], state["text"]
        made._index()
        return made

    # ----------------------------------------------------------------------------------------------------- private

    def _index(self) -> None:
        self.known = {(isinstance(value, bool), value): code for code, value in enumerate(self.values)}

    def _meet(self, kind: str | None) -> None:
        """Take note of the kind of values that come."""
        if kind is None or kind == self.kind or self.text:
            return
        if self.edges is not None and kind != "number":
            raise WorkbenchError(
                f'"{self.name}" was put in ranges of numbers, and is {kind} now.', "Convert it, or leave it out of by."
            )
        if self.kind is not None:
            self.text = True
            self.values = [text_of(value) for value in self.values]
            self._index()
        self.kind = kind

    def _indexed(self, chunk: pa.DictionaryArray) -> NDArray[np.uint32]:
        """Return the code of each row of a dictionary array; only entries that occur get codes."""
        dictionary = chunk.dictionary
        if self._met is None or not self._met[0].equals(dictionary):
            self._met = dictionary, plain_values(dictionary), np.full(len(dictionary) + 1, _NONE, np.uint32)
        _, values, recode = self._met
        indices = chunk.indices
        if indices.null_count:
            indices = indices.cast(pa.int32()).fill_null(len(values))
        rows = indices.to_numpy(zero_copy_only=False)
        found = self._recoded(rows, recode)
        entries = found.entries[recode[found.entries] == _NONE]
        if len(entries):
            self._learn(entries, values, recode)
            found = self._recoded(rows, recode)
        self.counts = np.bincount(recode[found.entries], found.many, minlength=self.card).astype(np.int64)
        return found.codes

    def _recoded(self, rows: NDArray[Any], recode: NDArray[np.uint32]) -> _Recoded:
        if rows.dtype.itemsize < 8 and loading.kernels(0) is not None:
            from workbench.anomaly import stream_kernels

            if stream_kernels.ready(stream_kernels.recode):
                codes = np.empty(len(rows), code_type(self.card))
                if self._addresses[0] is not recode:
                    room = np.zeros(len(recode), np.int32)
                    self._addresses = recode, address(recode), room, address(room)
                _, table, many, counts = self._addresses
                many[:] = 0
                stream_kernels.recode(
                    address(rows), rows.itemsize, len(rows), table, len(recode) - 1, address(codes), codes.itemsize,
                    counts,
                )  # fmt: skip
                entries = many.nonzero()[0]
                return _Recoded(codes, entries, many[entries])
        many = np.bincount(rows, minlength=len(recode))
        entries = many.nonzero()[0]
        return _Recoded(recode.take(rows, mode="clip"), entries, many[entries])

    def _learn(self, entries: NDArray[np.int64], values: pa.Array, recode: NDArray[np.uint32]) -> None:
        """Give codes to entries of a dictionary that are met for the first time."""
        found = values.take(pa.array(entries[entries < len(values)]))
        if entries[-1] == len(values):
            found = pa.concat_arrays([found, pa.nulls(1, found.type)])
        ordered, places = merged([found])  # codes ascend with the values, as those of other columns do
        recode[entries] = np.array([self._code(value) for value in ordered.to_pylist()], np.uint32)[places]

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
        if self.text:
            value = text_of(value)
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
