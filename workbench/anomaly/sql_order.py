"""The rank as the last sort key of statements around a DIFF: rows and ties keep the order of the explanations."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from workbench.anomaly.sql_tokens import Standing, Token, clauses, quoted, tokenize

__all__ = ["before_limit", "rank_ordered"]

_SET_OPERATIONS = ("UNION", "EXCEPT", "INTERSECT")


def before_limit(sql: str, keys: str) -> str:
    """Put ORDER BY before LIMIT or OFFSET, or at the end."""
    tokens = tokenize(sql)
    standing = clauses(tokens)
    for token, where in zip(tokens, standing, strict=True):
        if where.depth == 0 and token.is_word("LIMIT", "OFFSET") and where.clause == token.value:
            return f"{sql[: token.start]}{keys}{sql[token.start :]}"
    return sql + keys


def rank_ordered(sql: str, names: Collection[str]) -> list[str]:
    """Return variants of a statement that sort by rank too, those with more such keys first.

    Parameters
    ----------
    sql : str
        A statement in which DIFFs are named tables: `"table" AS "name"`.
    names : collection of str
        These names; `name.rowid` is the rank.

    Returns
    -------
    list of str
        DuckDB refuses those in which rows have no rank any more, as after GROUP BY.
    """
    tokens = tokenize(sql)[:-1]
    if not tokens or not tokens[0].is_word("SELECT", "WITH", "FROM"):
        return []
    standing = clauses(tokens)
    outer: list[tuple[int, str]] = []
    inner: list[tuple[int, str]] = []
    for level in _levels(tokens):
        edit = _edit(tokens, standing, level, names)
        if edit is not None:
            (outer if standing[level[0]].depth == 0 else inner).append(edit)
    variants = [[*outer, *inner], outer, inner]
    distinct = [edits for i, edits in enumerate(variants) if edits and edits not in variants[:i]]
    return [_edited(sql, edits) for edits in distinct]


# ----------------------------------------------------------------------------------------------------------- private


def _levels(tokens: Sequence[Token]) -> Iterator[list[int]]:
    """Yield the tokens of each pair of parentheses, and those outside all, without what is in further ones."""
    stack: list[list[int]] = [[]]
    for index, token in enumerate(tokens):
        if token.is_mark(")") and len(stack) > 1:
            yield stack.pop()
        stack[-1].append(index)
        if token.is_mark("("):
            stack.append([])
    while stack:
        yield stack.pop()


def _edit(
    tokens: Sequence[Token], standing: Sequence[Standing], level: Sequence[int], names: Collection[str]
) -> tuple[int, str] | None:
    """Return where a select gets a sort key, and the text; None if it needs none or cannot have one."""
    if not level:
        return None
    begins = [i for i in level if tokens[i].is_word(standing[i].clause) and standing[i].clause]
    if any(tokens[i].is_word(*_SET_OPERATIONS) for i in begins):
        return None
    named = (
        tokens[i].name
        for i in level
        if standing[i].clause == "FROM" and tokens[i].kind == "quoted" and tokens[i - 1].is_word("AS")
    )
    name = next((name for name in named if name in names), None)
    if name is None:
        return None
    rank = f"{quoted(name)}.rowid"
    order = [i for i in level if standing[i].clause == "ORDER"]
    if order:
        every = len(order) > 2 and tokens[order[2]].is_word("ALL")
        return None if every else (tokens[order[-1]].end, f", {rank}")
    last = [i for i in level if standing[i].clause in ("LIMIT", "OFFSET")]
    if standing[level[0]].depth > 0:
        return None  # a table is read in its order
    place = tokens[last[0]].start if last else tokens[level[-1]].end
    return place, f" ORDER BY {rank} "


def _edited(sql: str, edits: Sequence[tuple[int, str]]) -> str:
    parts, at = [], 0
    for place, text in sorted(edits):
        parts += [sql[at:place], text]
        at = place
    return "".join([*parts, sql[at:]])
