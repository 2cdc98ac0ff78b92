"""How many rows are on both sides of a DIFF whose sides read one table."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.anomaly.diff_source import Sides
from workbench.anomaly.sql_tokens import Standing, Token, clauses, closing, tokenize

__all__ = ["overlap"]


def overlap(sides: Sides) -> int:
    """Return the number of rows that both sides take from the same FROM clause; 0 where that cannot be said.

    It can be said where each side is a table, or a select with at most a WHERE.
    """
    if sides.condition is not None:
        return 0
    first, second = (_side(item) for item in sides.items)
    if first is None or second is None or first.source_key != second.source_key:
        return 0
    conditions = [f"(\n{side.condition}\n)" for side in (first, second) if side.condition]
    if sides.only is not None:
        conditions.append(f"({sides.only})")
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    from workbench.anomaly.join_diff import count_sql

    found = sides.tables.table(count_sql(sides, f"(SELECT * FROM {first.source}{where})"))
    return int(found.column("n")[0].as_py())


@dataclass(frozen=True)
class _Side:
    source: str
    condition: str
    source_key: tuple[str, ...]


def _side(item: str) -> _Side | None:
    """Return FROM clause and condition of a side, or None where it does more than that."""
    tokens = tokenize(item)[:-1]
    while tokens and tokens[0].is_mark("(") and closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    if not tokens:
        return None
    if not tokens[0].is_word("SELECT", "FROM"):
        return None if tokens[0].is_word("WITH", "VALUES") else _made(item, tokens, [])
    standing = clauses(tokens)
    top = [i for i in range(len(tokens)) if standing[i].depth == 0]
    words = [tokens[i].value for i in top if tokens[i].is_word(standing[i].clause) and standing[i].clause]
    if words[words[:1] == ["SELECT"] :] not in (["FROM"], ["FROM", "WHERE"]):
        return None
    chosen = [tokens[i] for i in top if standing[i].clause == "SELECT"]
    if any(token.is_word("DISTINCT") or token.is_mark("(") for token in chosen):
        return None  # may give fewer rows than its FROM: DISTINCT, aggregates
    source = [tokens[i] for i in range(len(tokens)) if _within(i, top, standing, "FROM")][1:]
    where = [tokens[i] for i in range(len(tokens)) if _within(i, top, standing, "WHERE")][1:]
    return _made(item, source, where)


def _within(index: int, top: list[int], standing: list[Standing], clause: str) -> bool:
    """Return whether a token stands in a clause of the outer select, at any depth."""
    outer = max((i for i in top if i <= index), default=None)
    return outer is not None and standing[outer].clause == clause


def _made(item: str, source: list[Token], where: list[Token]) -> _Side:
    condition = item[where[0].start : where[-1].end] if where else ""
    text = item[source[0].start : source[-1].end]
    return _Side(text, condition, tuple(token.value.upper() for token in source))
