"""Lookups: where each key stands on a side that has no key twice, told by a table over the range of its keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir

if TYPE_CHECKING:
    from workbench.fusion.capture.columns import Column
    from workbench.fusion.expr import Expr

__all__ = ["lookup"]

#: entries of a table for each key in it, and at least: what is larger would not stay in the cache
ROOM, LEAST = 8, 1 << 16
#: entries of a table of several keys, of whose combinations few may be there
WIDEST = 1 << 20


def lookup(pairs: Sequence[tuple[Column, Column]]) -> tuple[Expr, bool] | None:
    """Return for each row of some columns where its keys stand in others (-1 if nowhere), and whether all are sure to.

    None if the others are not columns that stand in a frame, have the same keys twice, or have keys too far apart.

    Parameters
    ----------
    pairs : sequence of (Column, Column)
        Of one frame, and of the one that is looked into.
    """
    digits = []
    for mine, theirs in pairs:
        found = _digit(mine, theirs)
        if found is None:
            return None
        digits.append(found)
    span, rows = math.prod([each.span for each in digits]), len(digits[0].keys)
    if span > max(ROOM * rows, LEAST if len(digits) == 1 else WIDEST):
        return None
    keys: Any = 0
    for each in digits:
        keys = keys * each.span + each.keys
    table = _places(keys, span)
    if table is None:
        return None
    inside: Expr | None
    if len(digits) == 1 and digits[0].through is not None:  # one look in place of two
        at, inside, sure = digits[0].codes, None, digits[0].sure
        table = np.append(table, np.int64(-1))[digits[0].through]
    else:
        at, inside = _mixed(digits)
        sure = inside is None
    if sure and bool((table >= 0).all()):
        same = len(table) == span and bool((table == np.arange(span)).all())
        return (at if same and at.dtype == np.int64 else ir.gather(ir.leaf(table), at)), True
    if inside is not None:
        at = ir.select(inside, at, ir.const(-1))
    return ir.gather(ir.leaf(table), at, fill=-1), False


@dataclass(frozen=True)
class _Digit:
    """A key as a number below `span`.

    Attributes
    ----------
    keys : ndarray
        Of the side that is looked into.
    codes : Expr
        Of the other side: whole numbers, of which `least` is 0, or codes of words that `through` makes numbers of.
    through : ndarray or None
        -1 where a word does not stand on the side that is looked into; so it is where a code is -1.
    sure : bool
        Whether none of the other side is sure to be outside.
    """

    keys: np.ndarray
    span: int
    codes: Expr
    through: np.ndarray | None
    sure: bool

    def number(self) -> tuple[Expr, Expr | None]:
        """Return the number of the other side's key, and where it is one that is in range, None if everywhere."""
        at = self.codes if self.through is None else ir.gather(ir.leaf(self.through), self.codes, fill=-1)
        if self.sure:
            return at, None
        least = ir.map_("greater_equal", at, ir.const(0))
        if self.through is not None:
            return at, least
        return at, ir.map_("logical_and", least, ir.map_("less", at, ir.leaf(np.array(self.span))))


def _mixed(digits: Sequence[_Digit]) -> tuple[Expr, Expr | None]:
    """Return one number of several, and where all of them are in range."""
    total, there = digits[0].number()
    for each in digits[1:]:
        more, inside = each.number()
        total = ir.map_("add", ir.map_("multiply", total, ir.leaf(np.array(each.span))), more)
        if inside is not None:
            there = inside if there is None else ir.map_("logical_and", there, inside)
    return total, there


def _digit(mine: Column, theirs: Column) -> _Digit | None:
    if mine.dtype != theirs.dtype or not theirs.as_it_stands():
        return None
    if theirs.text:
        return _of_words(mine, theirs)
    if not theirs.plain or theirs.dtype.kind not in "biu" or theirs.dtype == np.uint64:
        return None
    source = theirs.source
    assert source is not None
    keys = source.leaf().data
    if not len(keys):
        return None
    low, high = source.extent()
    at = mine.expr if mine.expr.dtype == np.int64 else ir.cast(mine.expr, np.int64)
    if low:
        at = ir.map_("subtract", at, ir.leaf(np.array(low)))
    return _Digit(keys.astype(np.int64) - low, high - low + 1, at, None, _within(mine, low, high))


def _of_words(mine: Column, theirs: Column) -> _Digit | None:
    """Return the same of strings: codes of one side's words. A missing string equals a missing string."""
    first, second = mine.coded(), theirs.coded()
    if first is None or second is None or theirs.source is None or theirs.source.missing_words():
        return None
    import pandas as pd

    (codes, words), (leaf, their_words) = first, second
    if not len(words):
        return None
    known = pd.Index(their_words.values).get_indexer(pd.Index(words.values)).astype(np.int64)
    source = mine.source
    there = source is not None and not mine.gaps and not source.missing_words()
    return _Digit(leaf.data.astype(np.int64), len(their_words), codes, known, there and bool((known >= 0).all()))


def _places(keys: Any, span: int) -> Any:
    """Return for each number below a bound where it stands among the keys, -1 if nowhere; None if one stands twice."""
    table = np.full(span, -1, np.int64)
    table[keys] = np.arange(len(keys))
    return None if np.count_nonzero(table >= 0) < len(keys) else table


def _within(column: Column, low: int, high: int) -> bool:
    """Return whether all integers of a column are sure to be in a range."""
    source = column.source
    if source is None or column.picked or column.gaps or not len(source.leaf().data):
        return False
    least, most = source.extent()
    return low <= least and most <= high
