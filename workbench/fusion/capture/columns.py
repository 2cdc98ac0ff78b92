"""Columns: how a pandas array is computed with, and how it is made again from what was computed.

Numbers and booleans are themselves; times are int64 with NaT; masked dtypes carry a second array of what is there;
strings are codes into a dictionary. Whatever is none of these is carried along by position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.words import Words, encoded
from workbench.fusion.ops import supported

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.capture.domains import Domain
    from workbench.fusion.expr import Expr

__all__ = ["NAT", "Column", "Source", "Words", "is_bool", "plain", "storage"]

_BOOL = np.dtype(bool)

#: a missing time
NAT = np.iinfo(np.int64).min


def storage(dtype: Any) -> np.dtype | None:
    """Return the dtype in which values of a pandas dtype are computed with, None if they are only carried along."""
    if isinstance(dtype, np.dtype):
        if dtype.kind in "mM":
            return np.dtype(np.int64)
        return dtype if supported(dtype) else None
    inner = getattr(dtype, "numpy_dtype", None)
    if inner is not None and type(dtype).__name__ not in ("StringDtype", "ArrowDtype"):  # Int64, Float64, boolean
        return np.dtype(inner) if supported(np.dtype(inner)) else None
    return None


def is_bool(dtype: Any) -> bool:
    """Return whether a dtype is of truth values, with missing ones or without."""
    return dtype == _BOOL if isinstance(dtype, np.dtype) else getattr(dtype, "name", "") == "boolean"


def plain(dtype: Any) -> bool:
    """Return whether a column of this dtype is a NumPy array of numbers or booleans."""
    return isinstance(dtype, np.dtype) and supported(dtype)


class Source:
    """A column that a frame holds, as others borrow it.

    The Series is kept, not its array alone: pandas then copies before anyone writes into it.
    """

    __slots__ = ("_extent", "_leaf", "_valid", "_words", "array", "home", "name", "note", "series")

    def __init__(self, series: pd.Series, home: Domain, name: str = "") -> None:
        self.series, self.home, self.name = series, home, name
        self.array: Any = series.array
        if type(self.array).__name__ == "NumpyExtensionArray":
            self.array = self.array._ndarray
        #: of a column that pandas made: what is told of it
        self.note: Any = None
        self._leaf: Expr | None = None
        self._valid: Expr | None = None
        self._words: tuple[Expr, Words] | None = None
        self._extent: tuple[int, int] | None = None

    def moved(self, home: Domain) -> Source:
        """Return it as it stands in a frame whose rows are equal."""
        found = Source(self.series, home, self.name)
        found.note = self.note
        found._leaf, found._valid, found._words = self._leaf, self._valid, self._words
        found._extent = self._extent
        return found

    def leaf(self) -> Expr:
        """Return the leaf of its numbers."""
        if self._leaf is None:
            array = self.array
            if isinstance(array, np.ndarray):
                found = array
            elif hasattr(array, "_mask"):
                found = array._data
            else:
                found = array._ndarray
            if found.dtype.kind in "mM":
                found = found.view(np.int64)
            self._leaf = ir.leaf(found, self.name)
            self._leaf.call = self.note
        return self._leaf

    def valid(self) -> Expr | None:
        """Return the leaf of what is there, None if everything is."""
        if self._valid is None and hasattr(self.array, "_mask") and self.array._mask.any():
            self._valid = ir.leaf(~self.array._mask, f"{self.name} is there")
        return self._valid

    def missing_words(self) -> bool:
        """Return whether a string is missing."""
        data = getattr(self.array, "_pa_array", None)
        return bool(self.array.isna().any() if data is None else data.null_count)

    def missing_times(self) -> bool:
        """Return whether a time is missing."""
        return bool((self.leaf().data == NAT).any())

    def extent(self) -> tuple[int, int]:
        """Return the least and the greatest of its integers, of which there is one at least."""
        if self._extent is None:
            data = self.leaf().data
            self._extent = int(data.min()), int(data.max())
        return self._extent

    def words(self) -> tuple[Expr, Words] | None:
        """Return codes and dictionary of a column of strings, None if a dictionary would not be smaller."""
        if self._words is None and len(self.array):
            found = encoded(self.array)
            if found is None:
                return None
            codes, words = found
            self._words = ir.leaf(codes, self.name), words
            self._words[0].call = self.note
        return self._words


class Column:
    """Values over the rows of a domain.

    Parameters
    ----------
    dtype : numpy.dtype or ExtensionDtype
        As pandas gives it.
    domain : Domain
    expr : Expr, optional
        Its values in the form they are computed with; of strings the codes.
    valid : Expr, optional
        Where a masked column is not missing; None if nowhere.
    words : Words, optional
        Of strings.
    source : Source, optional
        Of a column that is as it stands in a frame: its array, at home or below.
    """

    __slots__ = ("_expr", "domain", "dtype", "gaps", "picked", "source", "valid_", "words")

    def __init__(
        self,
        dtype: Any,
        domain: Domain,
        expr: Expr | None = None,
        *,
        valid: Expr | None = None,
        words: Words | None = None,
        source: Source | None = None,
        picked: bool = False,
        gaps: bool = False,
    ) -> None:
        #: whether `expr` is positions in the source's array
        self.picked = picked
        #: whether rows may be missing that are there in the source: a join found nothing for them
        self.gaps = gaps
        self.dtype, self.domain, self._expr = dtype, domain, expr
        self.valid_, self.words, self.source = valid, words, source

    @classmethod
    def of(cls, series: pd.Series, domain: Domain) -> Column:
        """Return the column of a Series that is there."""
        return cls(series.dtype, domain, source=Source(series, domain, str(series.name)))

    @property
    def plain(self) -> bool:
        """Whether it is numbers or booleans without missing values but NaN."""
        return plain(self.dtype)

    @property
    def computes(self) -> bool:
        """Whether its values can be computed with."""
        return (self._expr is not None and not self.picked) or (
            not self.picked and self.source is not None and storage(self.dtype) is not None
        )

    @property
    def text(self) -> bool:
        """Whether it is strings of the default dtype."""
        return not isinstance(self.dtype, np.dtype) and self.dtype == "str" and str(self.dtype) == "str"

    @property
    def time(self) -> bool:
        """Whether it is datetime64 or timedelta64."""
        return isinstance(self.dtype, np.dtype) and self.dtype.kind in "mM"

    @property
    def masked(self) -> bool:
        """Whether missing values are told apart by a mask."""
        return not isinstance(self.dtype, np.dtype) and storage(self.dtype) is not None

    @property
    def expr(self) -> Expr:
        """Its values, in the form they are computed with."""
        if self._expr is None:
            assert self.source is not None
            self._expr = self.domain.lift(self.source.leaf(), self.source.home, fill=missing(self.dtype))
        return self._expr

    @property
    def valid(self) -> Expr | None:
        """Where a masked column is not missing; None if nowhere is."""
        if self.valid_ is None and self.source is not None and self.masked:
            found = self.source.valid()
            if found is not None:
                self.valid_ = self.domain.lift(found, self.source.home, fill=False)
        return self.valid_

    def coded(self) -> tuple[Expr, Words] | None:
        """Return codes (int32, -1 missing) and dictionary of strings; None if there is no dictionary."""
        if self.words is not None:
            return self.expr, self.words
        if not self.text or self.source is None:
            return None
        found = self.source.words()
        if found is None:
            return None
        if self.picked:
            return ir.gather(found[0], self.expr, fill=-1), found[1]
        return self.domain.lift(found[0], self.source.home, fill=-1), found[1]

    def on(self, domain: Domain) -> Column:
        """Return it over rows that were made of its own."""
        if domain is self.domain:
            return self
        if self.picked:
            places = domain.lift(self.expr, self.domain, fill=-1)
            return Column(self.dtype, domain, places, source=self.source, picked=True, gaps=self.gaps)
        if self.source is not None:
            return Column(self.dtype, domain, source=self.source, gaps=self.gaps)
        valid = None if self.valid_ is None else domain.lift(self.valid_, self.domain, fill=False)
        expr = domain.lift(self.expr, self.domain, fill=-1 if self.words is not None else missing(self.dtype))
        return Column(self.dtype, domain, expr, valid=valid, words=self.words, gaps=self.gaps)

    def as_it_stands(self) -> bool:
        """Return whether its rows are those of the frame that it stands in, so that nothing is computed."""
        return self.source is not None and not self.picked and self.domain.unmoved(self.source.home)

    def carried(self) -> bool:
        """Return whether its values are taken from the frame they stand in by position, and not computed."""
        return self.source is not None and (self.picked or storage(self.dtype) is None)

    def exprs(self) -> list[Expr]:
        """Return what has to be computed for its values."""
        if self.as_it_stands():
            return []
        if self.carried():
            assert self.source is not None
            return [self.expr if self.picked else self.domain.places(self.source.home)]
        valid = self.valid
        return [self.expr] if valid is None else [self.expr, valid]

    def build(self, values: Sequence[Any]) -> Any:
        """Return the pandas array, or ndarray, or a Series under other labels, from what was computed."""
        import pandas as pd

        if self.source is not None and not values:
            return self.source.series
        found = values[0]
        if self.carried():
            assert self.source is not None
            return pd.api.extensions.take(self.source.array, found, allow_fill=True)
        if self._expr is not None and self._expr.kind in ("Leaf", "View", "Broadcast"):
            found = found.copy()  # a result of its own, that may be written to
        if self.words is not None:
            return pd.api.extensions.take(self.words.values.array, found, allow_fill=True)
        if self.time:
            return found.view(self.dtype)
        if self.masked:
            there = values[1] if len(values) > 1 else np.ones(len(found), bool)
            return self.dtype.construct_array_type()(found, ~there)
        return found


def missing(dtype: Any) -> Any:
    """Return what stands for a missing value in the form that values are computed with."""
    if not isinstance(dtype, np.dtype):
        return False if storage(dtype) == np.dtype(bool) else 0
    if dtype.kind == "f":
        return np.nan
    return NAT if dtype.kind in "mM" else 0
