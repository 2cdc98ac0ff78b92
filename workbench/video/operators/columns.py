"""Columns with missing values: Kleene logic, comparison, arithmetic, and columns that are filled only where asked.

A column holds one value for each row; `valid` says where the value is known. Text is held as NumPy's fixed-width text,
whatever is neither number nor text as Python objects.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from workbench.video.language.tree import UserProperty
from workbench.video.tracks import Bools, Ints

__all__ = [
    "TIME_TOLERANCE",
    "AskedColumn",
    "CallResults",
    "Column",
    "PixelCalls",
    "PixelProperty",
    "PropertyColumns",
    "all_of",
    "any_of",
    "arithmetic",
    "choose",
    "compare",
    "contains",
    "negation",
    "plain",
    "truth",
    "typed",
]

#: Times and durations that differ by less are equal (seconds).
TIME_TOLERANCE = 1e-6

#: Longer texts are held as Python objects, since fixed-width text costs its longest on every row.
_LONGEST_TEXT = 64

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """One value for each row.

    Parameters
    ----------
    values : ndarray, shape (n,) or (n, k)
        bool, int64, float64, text or object; (n, k) for points and boxes. What stands at missing rows means nothing,
        except that conditions hold False there.
    valid : ndarray of bool, shape (n,)
        Where the value is known.
    """

    values: NDArray[Any]
    valid: Bools

    def __len__(self) -> int:
        return len(self.valid)

    @property
    def true(self) -> Bools:
        """Where a condition is true (not false, not missing)."""
        return np.asarray(self.values & self.valid)

    @property
    def false(self) -> Bools:
        """Where a condition is false."""
        return np.asarray(~self.values & self.valid)

    def take(self, rows: Ints) -> Column:
        """Return the column at these rows."""
        return Column(self.values[rows], self.valid[rows])

    @classmethod
    def constant(cls, value: Any, count: int) -> Column:
        """Return `count` times the same value; None is missing."""
        if value is None or value != value:
            return cls(np.zeros(count), np.zeros(count, bool))
        kind = np.array(value).dtype if isinstance(value, (bool, int, float, str)) else np.dtype(object)
        values = np.empty(count, kind)
        values[:] = value
        return cls(values, np.ones(count, bool))

    @classmethod
    def known(cls, values: NDArray[Any]) -> Column:
        """Return a column of which every value is known."""
        return cls(values, np.ones(len(values), bool))

    @classmethod
    def condition(cls, true: Bools, valid: Bools | None = None) -> Column:
        """Return a condition from where it is true and where it is known (None: everywhere)."""
        return cls(true, np.ones(len(true), bool)) if valid is None else cls(true & valid, valid)

    def python(self, rows: Iterable[int] | None = None) -> list[Any]:
        """Return plain Python values, None where missing."""
        column = self if rows is None else self.take(np.asarray(rows, np.int64))
        values: list[Any] = list(column.values) if column.values.ndim > 1 else column.values.tolist()
        return [value if known else None for value, known in zip(values, column.valid.tolist(), strict=True)]


# ------------------------------------------------------------------------------------------------- three-valued logic


def negation(column: Column) -> Column:
    """Return Kleene's `not`."""
    return Column(column.false, column.valid)


def all_of(left: Column, right: Column) -> Column:
    """Return Kleene's `and`: false if either is false, else missing if either is missing."""
    true = left.true & right.true
    return Column(true, true | left.false | right.false)


def any_of(left: Column, right: Column) -> Column:
    """Return Kleene's `or`: true if either is true, else missing if either is missing."""
    true = left.true | right.true
    return Column(true, true | (left.false & right.false))


# ---------------------------------------------------------------------------------------------------- row operations


def _is_number(column: Column) -> bool:
    return column.values.dtype.kind in "bif" and column.values.ndim == 1


def compare(op: str, left: Column, right: Column, tolerance: float = 0.0) -> Column:
    """Compare two columns row by row; missing where either is missing, or where Python cannot compare the values.

    Parameters
    ----------
    op : str
        One of `== != < <= > >=`.
    tolerance : float
        Numbers that differ by no more are equal (times: 1e-6).
    """
    valid = left.valid & right.valid
    if _is_number(left) and _is_number(right):
        a, b = left.values.astype(float), right.values.astype(float)
        if not tolerance:
            return Column.condition(_COMPARISONS[op](a, b), valid)
        with np.errstate(invalid="ignore"):
            equal = (a == b) | (np.abs(a - b) <= tolerance)
        if op in ("==", "!="):
            return Column.condition(equal == (op == "=="), valid)
        strict = _COMPARISONS[op[0]](a, b) & ~equal
        return Column.condition(strict | equal if op.endswith("=") else strict, valid)
    if left.values.dtype.kind == right.values.dtype.kind == "U":
        return Column.condition(np.asarray(_COMPARISONS[op](left.values, right.values), bool), valid)
    return _each(_COMPARISONS[op], left, right)


def _each(function: Callable[[Any, Any], Any], left: Column, right: Column) -> Column:
    true, valid = np.zeros(len(left), bool), left.valid & right.valid
    rows = np.flatnonzero(valid)
    pairs = zip(rows.tolist(), left.python(rows), right.python(rows), strict=True)
    for row, a, b in pairs:
        try:
            true[row] = bool(function(a, b))
        except (TypeError, ValueError):
            valid[row] = False
    return Column.condition(true, valid)


def contains(item: Column, collection: Sequence[Any]) -> Column:
    """Return where the item is equal to one of the collection; missing where the item is missing."""
    found = Column.condition(np.zeros(len(item), bool), item.valid)
    for value in collection:
        same = compare("==", item, Column.constant(value, len(item)))
        found = Column(found.values | same.true, found.valid)
    return found


def truth(column: Column) -> Column:
    """Return a value as a condition: its truth in Python."""
    if column.values.dtype.kind == "b":
        return Column.condition(column.values, column.valid)
    if column.values.dtype.kind in "if" and column.values.ndim == 1:
        return Column.condition(column.values != 0, column.valid)
    if column.values.dtype.kind == "U":
        return Column.condition(column.values != "", column.valid)
    return _each(lambda value, _: bool(value), column, column)


def arithmetic(op: str, left: Column, right: Column) -> Column:
    """Return `left op right` as floats (op one of `+ - * / min max`).

    `x / 0`, a NaN and what is no number are missing.
    """
    a, from_left = _as_floats(left)
    b, from_right = _as_floats(right)
    valid = from_left & from_right
    with np.errstate(all="ignore"):
        if op == "/":
            valid = valid & (b != 0)
            values = a / np.where(b == 0, 1.0, b)
        else:
            functions = {"+": np.add, "-": np.subtract, "*": np.multiply, "min": np.minimum, "max": np.maximum}
            values = functions[op](a, b)
    return Column(values, valid & ~np.isnan(values))


def _as_floats(column: Column) -> tuple[NDArray[np.float64], Bools]:
    if _is_number(column):
        return column.values.astype(float), column.valid
    values, valid = np.zeros(len(column)), np.zeros(len(column), bool)
    if column.values.dtype.kind == "O":
        for row, value in enumerate(column.python()):
            if isinstance(value, (bool, int, float)):
                values[row], valid[row] = value, True
    return values, valid


def choose(condition: Column, then: Column, otherwise: Column) -> Column:
    """Return `then` where the condition is true and `otherwise` where it is false; missing where it is missing."""
    true = condition.true
    valid = (true & then.valid) | (condition.false & otherwise.valid)
    if (_is_number(then) and _is_number(otherwise)) or then.values.dtype.kind == otherwise.values.dtype.kind == "U":
        return Column(np.where(true, then.values, otherwise.values), valid)
    values = np.empty(len(true), object)
    for row, pair in enumerate(zip(then.python(), otherwise.python(), strict=True)):
        values[row] = pair[0 if true[row] else 1]
    return typed(values, valid)


def typed(values: NDArray[np.object_], valid: Bools) -> Column:
    """Return objects as the narrowest of bool, int64, float64, text and object that holds all known ones."""
    known = values[valid]
    kinds = set(map(type, known.tolist()))
    dtype: Any = object
    if kinds <= {bool}:
        dtype = bool if kinds else float
    elif kinds <= {int} and all(abs(value) < 2**63 for value in known):
        dtype = np.int64
    elif kinds <= {bool, int, float}:
        dtype = np.float64
    elif kinds == {str} and max(map(len, known)) <= _LONGEST_TEXT:
        dtype = np.array(known.tolist()).dtype
    if dtype is object:
        return Column(values, valid)
    narrow = np.zeros(len(values), dtype)
    narrow[valid] = known
    return Column(narrow, valid)


# --------------------------------------------------------------------------------------------- columns filled on demand


_PLAIN: dict[type, Callable[[Any], Any]] = {int: int, float: float, str: str.__str__}


def plain(value: Any) -> Any:
    """Return what a property gave as a plain Python value; None and NaN become None."""
    if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0):
        value = value.item()
    if type(value) not in (bool, int, float, str):
        # subclasses of the plain types (an enumeration's member, say) compare and store as these
        value = next((cast(value) for kind, cast in _PLAIN.items() if isinstance(value, kind)), value)
    return None if isinstance(value, float) and value != value else value


@dataclass
class AskedColumn:
    """The values of a property of one's own: "not computed" and "computed, missing" differ.

    Parameters
    ----------
    values : ndarray of object, shape (n,)
    valid, asked : ndarray of bool, shape (n,)
        Where the value is known; where it was asked for.
    """

    values: NDArray[np.object_]
    valid: Bools
    asked: Bools
    _typed: Column | None = field(default=None, repr=False)

    @classmethod
    def empty(cls, count: int) -> AskedColumn:
        """Return a column of which nothing was asked yet."""
        return cls(np.empty(count, object), np.zeros(count, bool), np.zeros(count, bool))

    def fill(self, rows: Ints, values: Sequence[Any]) -> None:
        """Put values at rows and mark these as asked; None and NaN are missing."""
        for row, value in zip(rows.tolist(), map(plain, values), strict=True):
            self.values[row] = value
            self.valid[row] = value is not None
        self.asked[rows] = True
        self._typed = None

    def fill_same(self, rows: Ints | slice, value: Any) -> None:
        """Put one value at all these rows."""
        value = plain(value)
        if isinstance(value, (list, tuple, np.ndarray, dict)):
            count = len(self.values[rows])
            cell = np.empty(count, object)
            cell[:] = [value] * count
            value = cell
        self.values[rows] = value
        self.valid[rows] = value is not None
        self.asked[rows] = True
        self._typed = None

    def column(self) -> Column:
        """Return the values as a typed column; rows not asked count as missing."""
        if self._typed is None:
            self._typed = typed(self.values, self.valid)
        return self._typed

    def copy(self) -> AskedColumn:
        """Return a column of its own with the same values."""
        return AskedColumn(self.values.copy(), self.valid.copy(), self.asked.copy())

    def objects(self) -> Column:
        """Return the values as Python objects, as they were given."""
        return Column(self.values, self.valid)


class PropertyColumns:
    """The property columns of one video's tracks, by (type, property).

    Filled by evaluation. To serve a later evaluation of the same tracks, take `items()` after one and `put()` them
    before the next: only what was not asked is then computed.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._columns: dict[tuple[str, str], AskedColumn] = {}

    def get(self, type_name: str, name: str) -> AskedColumn:
        """Return the column of this property, made empty on first use."""
        return self._columns.setdefault((type_name, name), AskedColumn.empty(self.count))

    def put(self, type_name: str, name: str, rows: Ints, values: Sequence[Any]) -> None:
        """Put known results (None: missing) at rows, so that they are not computed again."""
        self.get(type_name, name).fill(np.asarray(rows, np.int64), values)

    def items(self) -> list[tuple[str, str, Ints, list[Any]]]:
        """Return (type, property, asked rows, values there with None for missing) of each column."""
        return [
            (type_name, name, rows, [column.values[row] if column.valid[row] else None for row in rows])
            for (type_name, name), column in sorted(self._columns.items())
            if len(rows := np.flatnonzero(column.asked))
        ]


# ------------------------------------------------------------------------------------------------------- pixel calls


@dataclass(frozen=True, slots=True)
class PixelProperty:
    """A property that a model computes from crops: `color`, `kind`.

    `type_name` is `Vehicle`, `Person` or `Object`: what the crop is taken to show.
    """

    name: str
    type_name: str
    once: bool = True
    batch: int | None = None
    version: str = ""


class CallResults(NamedTuple):
    """What calls gave: one value each (None: missing), and (call, error, traceback) of those that failed."""

    values: list[Any]
    failed: list[tuple[int, str, str]]


class PixelCalls(Protocol):
    """Whatever can run property calls that need crops."""

    def __call__(
        self, prop: UserProperty | PixelProperty, calls: list[Ints], arguments: dict[str, list[Any]]
    ) -> CallResults:
        """Run one call for each item of `calls`.

        Parameters
        ----------
        prop : UserProperty or PixelProperty
        calls : list of ndarray of int64
            The rows of the tracks whose crops make each call; -1 stands for a crop that is missing (None).
        arguments : dict
            For each other argument by name, its value in each call.
        """
        ...
