"""Dictionaries: strings as codes, made once for the data they stand in."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Words", "encoded"]

#: by the identity of Arrow data, which nobody can write to: its codes and dictionary, gone when it goes
_known: dict[int, tuple[weakref.ref[Any], tuple[np.ndarray, Words] | None]] = {}


class Words:
    """The dictionary of a column of strings: pandas strings, missing ones among them if an operation made them so.

    Parameters
    ----------
    values : pandas.Series
        Of dtype `str`, without an index of its own.
    distinct : bool
        Whether no two are equal and none is missing.
    """

    __slots__ = ("_codes", "_ranks", "distinct", "values")

    def __init__(self, values: pd.Series, distinct: bool) -> None:
        self.values, self.distinct = values, distinct
        self._codes: tuple[np.ndarray, Words] | None = None
        self._ranks: tuple[np.ndarray, Words] | None = None

    def __len__(self) -> int:
        return len(self.values)

    def unified(self) -> tuple[np.ndarray, Words]:
        """Return for each word the number of the first equal to it (-1 if missing), and the distinct words."""
        if self._codes is None:
            import pandas as pd

            codes, found = pd.factorize(self.values)
            words = Words(pd.Series(found, dtype=self.values.dtype), True)
            self._codes = codes.astype(np.int32), words
        return self._codes

    def ranked(self) -> tuple[np.ndarray, Words]:
        """Return for each word its rank among the distinct ones (-1 if missing), and these in ascending order."""
        if self._ranks is None:
            first, distinct = self.unified()
            order = distinct.values.sort_values(kind="stable").index.to_numpy()
            rank = np.empty(len(order) + 1, np.int32)
            rank[order], rank[-1] = np.arange(len(order), dtype=np.int32), -1
            self._ranks = rank[first], Words(distinct.values.iloc[order].reset_index(drop=True), True)
        return self._ranks


def encoded(array: Any) -> tuple[np.ndarray, Words] | None:
    """Return codes (int32, -1 missing) and dictionary of pandas strings, words in order of first appearance.

    None if strings repeat so seldom that a dictionary would not be smaller. What is found for Arrow data is kept as
    long as these, so that a table that is wrapped again is not looked through again.
    """
    data = getattr(array, "_pa_array", None)
    if data is None:
        return _encode(array) if _repeats(array) else None
    number = id(data)
    known = _known.get(number)
    if known is None or known[0]() is not data:
        found = _encode(array) if _repeats(array) else None
        known = _known[number] = weakref.ref(data, lambda _: _known.pop(number, None)), found
    return known[1]


def _repeats(array: Any) -> bool:
    """Return whether strings repeat, by 4,096 of them: some hundred of these then stand twice."""
    count = len(array)
    if count <= 4096:
        return True
    some = array.take(np.linspace(0, count - 1, 4096).astype(np.int64))
    import pandas as pd

    return len(pd.unique(some)) <= 3800


def _encode(array: Any) -> tuple[np.ndarray, Words]:
    import pandas as pd

    codes, words = pd.factorize(array)
    return codes.astype(np.int32), Words(pd.Series(words, dtype=array.dtype), True)
