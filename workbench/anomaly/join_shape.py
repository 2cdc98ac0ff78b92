"""Sides of a DIFF that are joins: which tables, on which columns, with which condition on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from workbench.anomaly.sql_scores import FUNCTIONS
from workbench.anomaly.sql_tokens import Standing, Token, clauses, closing, tokenize

__all__ = ["Join", "Joined", "inner_select", "joins", "read_join"]


@dataclass
class Joined:
    """One table of a join.

    Attributes
    ----------
    text : str
        The table as a FROM item, without its alias.
    alias : str
    using : tuple of str, or None
        Columns of USING by which it is joined to those before it; None for NATURAL and for the first.
    conditions : list of str
        What WHERE says of this table alone.
    """

    text: str
    alias: str
    using: tuple[str, ...] | None = None
    conditions: list[str] = field(default_factory=list)


@dataclass
class Join:
    """Tables joined from left to right, and the conditions of WHERE that are not yet one table's."""

    tables: list[Joined]
    conditions: list[list[Token]]
    item: str

    def text(self, tokens: Sequence[Token]) -> str:
        """Return the text of some tokens."""
        return self.item[tokens[0].start : tokens[-1].end]


def joins(item: str) -> bool:
    """Return whether a FROM item joins tables anywhere in it."""
    tokens = tokenize(item)
    standing = clauses(tokens)
    commas = any(
        token.is_mark(",") and standing[i].clause == "FROM" and standing[i + 1].item for i, token in enumerate(tokens)
    )
    return commas or any(token.is_word("JOIN") for token in tokens)


def read_join(item: str) -> Join | None:
    """Return the parts of `a NATURAL JOIN b`, `(a JOIN b USING (k))`, `(SELECT * FROM a NATURAL JOIN b WHERE c)`.

    None for anything else: outer joins, joins ON a condition, tables that are selects.
    """
    tokens = inner_select(item)
    where: list[Token] = []
    if tokens and tokens[0].is_word("SELECT"):
        standing = clauses(tokens)
        words = _clause_words(tokens, standing)
        if words not in (["SELECT", "FROM"], ["SELECT", "FROM", "WHERE"]) or not tokens[1].is_mark("*"):
            return None
        if not tokens[2].is_word("FROM"):
            return None
        end = next(
            (i for i, t in enumerate(tokens) if standing[i].depth == 0 and _begins(t, standing[i], "WHERE")), None
        )
        where = list(tokens[end + 1 :]) if end is not None else []
        tokens = tokens[3:end]
    tables = _tables(item, tokens)
    if tables is None or len(tables) < 2:
        return None
    conditions = _conjuncts(where)
    return None if conditions is None else Join(tables, conditions, item)


def inner_select(item: str) -> list[Token]:
    """Return the tokens of an item without the parentheses around it, and without the end."""
    tokens = tokenize(item)[:-1]
    while tokens and tokens[0].is_mark("(") and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    return tokens


# ----------------------------------------------------------------------------------------------------------- private


def _begins(token: Token, standing: Standing, word: str) -> bool:
    return token.is_word(word) and standing.clause == word


def _clause_words(tokens: Sequence[Token], standing: Sequence[Standing]) -> list[str]:
    return [
        token.value
        for token, where in zip(tokens, standing, strict=True)
        if where.depth == 0 and where.clause and token.is_word(where.clause)
    ]


def _tables(item: str, tokens: Sequence[Token]) -> list[Joined] | None:
    """Read `table [alias] {[NATURAL] [INNER] JOIN table [alias] [USING (columns)]}`."""
    found: list[Joined] = []
    at = 0
    end = len(tokens)

    def word(*words: str) -> bool:
        nonlocal at
        if at < end and tokens[at].is_word(*words):
            at += 1
            return True
        return False

    while at < end:
        natural = False
        if found:
            natural = word("NATURAL")
            word("INNER")
            if not word("JOIN"):
                return None
        first = at
        if at >= end or not (tokens[at].is_name or tokens[at].kind == "text"):
            return None
        name = tokens[at].name if tokens[at].is_name else ""
        at += 1
        while at + 1 < end and tokens[at].is_mark(".") and tokens[at + 1].is_name:
            name = tokens[at + 1].name
            at += 2
        text = item[tokens[first].start : tokens[at - 1].end]
        if word("AS") or (at < end and tokens[at].is_name):
            if at >= end or not tokens[at].is_name:
                return None
            name = tokens[at].name
            at += 1
        using = None
        if found and not natural:
            if not (word("USING") and at < end and tokens[at].is_mark("(")):
                return None
            close = closing(tokens, at)
            if close is None:
                return None
            inside = tokens[at + 1 : close]
            if not inside or not all(t.is_name for t in inside[::2]) or not all(t.is_mark(",") for t in inside[1::2]):
                return None
            using = tuple(t.name for t in inside[::2])
            at = close + 1
        found.append(Joined(text, name, using))
    return found


def _conjuncts(where: list[Token]) -> list[list[Token]] | None:
    """Return the parts of a condition between its outer ANDs; None where it holds more than plain comparisons."""
    if any(token.is_word("SELECT", "OVER", *FUNCTIONS) for token in where):
        return None
    found: list[list[Token]] = [[]] if where else []
    depth = between = cases = 0
    for token in where:
        depth += token.is_mark("(") - token.is_mark(")")
        cases += token.is_word("CASE") - token.is_word("END")
        if depth == 0 and cases == 0:
            if token.is_word("OR"):
                return [where]
            if token.is_word("BETWEEN"):
                between += 1
            if token.is_word("AND"):
                if between:
                    between -= 1
                else:
                    found.append([])
                    continue
        found[-1].append(token)
    return found if all(found) else None
