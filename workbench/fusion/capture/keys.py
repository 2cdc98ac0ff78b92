"""Columns as keys: numbers whose order and equality are those of the values, for sorting, grouping and joining."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import NAT, Column
from workbench.fusion.capture.words import Words

if TYPE_CHECKING:
    from workbench.fusion.capture.domains import Domain
    from workbench.fusion.expr import Expr

__all__ = ["Key", "group_keys", "key_of", "sort_keys", "unified"]


@dataclass(frozen=True)
class Key:
    """A column as a key.

    Attributes
    ----------
    expr : Expr
        Numbers that are equal where values are, and ascend as they do.
    words : Words or None
        What codes stand for, in ascending order.
    column : Column
    missing : Expr or None
        Where the key is missing, if NaN does not say so.
    """

    expr: Expr
    words: Words | None
    column: Column
    missing: Expr | None

    def back(self, expr: Expr, domain: Domain) -> Column:
        """Return keys that were computed, such as those of groups, as a column of values."""
        return Column(self.column.dtype, domain, expr, words=self.words)


def key_of(column: Column, ordered: bool = True) -> Key | None:
    """Return a column as a key; None if pandas has to compare its values.

    Parameters
    ----------
    ordered : bool
        Whether the order of keys counts, and not their equality alone.
    """
    if column.text:
        return _of_words(column, ordered)
    if column.time:
        sure = column.source is not None and not column.gaps and not column.source.missing_times()
        missing = None if sure else ir.map_("equal", column.expr, ir.const(NAT, np.int64))
        return Key(column.expr, None, column, missing)
    if column.plain:
        return Key(column.expr, None, column, None)
    return None


def _of_words(column: Column, ordered: bool) -> Key | None:
    coded = column.coded()
    if coded is None:
        return None
    codes, words = coded
    expr = codes
    source = column.source
    sure = source is not None and not column.gaps and not source.missing_words()
    if ordered or not words.distinct:
        table, words = words.ranked() if ordered else words.unified()
        sure = sure and not bool((table < 0).any())
        if not len(table):
            table = np.full(1, -1, np.int32)
        expr = ir.gather(ir.leaf(table), codes, fill=-1)
    return Key(expr, words, column, None if sure else ir.map_("less", expr, ir.const(0)))


def sort_keys(columns: Sequence[Column], ascending: Sequence[bool]) -> list[Expr] | None:
    """Return keys for a stable sort that puts missing values last; None if pandas has to sort."""
    found = []
    for column, up in zip(columns, ascending, strict=True):
        key = key_of(column)
        if key is None:
            return None
        expr = key.expr
        if key.missing is not None and up:  # the least number; last in descending order by itself
            expr = ir.select(key.missing, ir.const(np.iinfo(expr.dtype).max, expr.dtype), expr)
        found.append(expr)
    return found


def group_keys(columns: Sequence[Column], sort: bool, dropna: bool) -> tuple[list[Key], Expr | None] | None:
    """Return keys of groups, and the mask of rows to keep first where a key that is missing would not drop itself."""
    found, keep = [], None
    for column in columns:
        key = key_of(column, ordered=sort)
        if key is None:
            return None
        missing = key.missing
        if missing is None and dropna and column.plain and column.dtype.kind == "f":
            missing = ir.map_("isnan", key.expr)
        if missing is not None:
            if not dropna:
                return None
            there = ir.map_("logical_not", missing)
            keep = there if keep is None else ir.map_("logical_and", keep, there)
        found.append(key)
    return found, keep


def unified(left: Column, right: Column, ordered: bool = False) -> tuple[Expr, Expr, Words | None] | None:
    """Return two columns as keys that are equal where their values are, and what codes of strings stand for.

    None if pandas has to compare.

    Parameters
    ----------
    ordered : bool
        Whether keys have to ascend as values do; a missing string is then the last.
    """
    if left.dtype != right.dtype:
        return None
    if not left.text:
        mine, theirs = key_of(left), key_of(right)
        return None if mine is None or theirs is None else (mine.expr, theirs.expr, None)
    first, second = left.coded(), right.coded()
    if first is None or second is None:
        return None
    import pandas as pd

    (mine_codes, mine_words), (their_codes, their_words) = first, second
    both = Words(pd.concat([mine_words.values, their_words.values], ignore_index=True), False)
    codes, words = both.ranked() if ordered else both.unified()
    codes = codes.astype(np.int64)
    if ordered:
        codes[codes < 0] = len(words)
    missing = len(words) if ordered else -1
    tables = codes[: len(mine_words)], codes[len(mine_words) :]
    return _looked(tables[0], mine_codes, missing), _looked(tables[1], their_codes, missing), words


def _looked(table: Any, codes: Expr, missing: int) -> Expr:
    if not len(table):
        table = np.full(1, missing, np.int64)
    return ir.gather(ir.leaf(table), codes, fill=missing)
