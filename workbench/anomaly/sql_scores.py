"""Scoring functions in SQL: `percentile(c)`, `normalize(c)`, `mad_score(c)` and `zscore(c)`, rewritten for DuckDB.

A select that calls them gets, in place of its FROM clause, a subquery with one more column for each call. So they see
all rows of FROM, before WHERE, and the rows keep their order::

    SELECT * FROM t WHERE percentile(c) > 0.99
    SELECT * EXCLUDE (s) FROM (SELECT *, rank() OVER (ORDER BY c) / count(c) ... AS s FROM t ...) AS t WHERE s > 0.99
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from workbench.anomaly.sql_formulas import FORMULAS, as_number
from workbench.anomaly.sql_tokens import Standing, Token, clauses, closing, error_at, quoted, tokenize

__all__ = ["FUNCTIONS", "HIDDEN", "rewrite"]

FUNCTIONS = ("PERCENTILE", "NORMALIZE", "MAD_SCORE", "ZSCORE")

#: what names of our own begin with
HIDDEN = "__workbench_"

_SET_OPERATIONS = ("UNION", "EXCEPT", "INTERSECT")
_STAR_MODIFIERS = ("EXCLUDE", "EXCEPT", "REPLACE", "RENAME")


#: makes an error of an offset, a message (to be completed with the place) and a hint
Fail = Callable[[int, str, str], Exception]


def rewrite(sql: str, fail: Fail | None = None) -> str:
    """Return a statement with its scoring functions written as DuckDB's own; the same text if it calls none.

    Parameters
    ----------
    sql : str
    fail : callable, optional
        `fail(offset, message, hint)` makes the error for a mistake; by default with the place in `sql`.

    Raises
    ------
    WorkbenchError
        For a call without FROM, within FROM, or with other than one argument.
    """
    if not re.search("|".join(FUNCTIONS), sql, re.IGNORECASE):
        return sql
    number = 0
    text = sql
    query = _Query(sql, fail or (lambda offset, message, hint: error_at(text, offset, message, hint)))
    query.check()
    while True:
        calls = query.calls()
        if not calls:
            return query.sql
        core = query.core(calls[0])
        mine = [call for call in calls if query.core(call).key == core.key]
        sql, number = _Rewriting(query, core, mine, number).done()
        query = _Query(sql, query.fail)


@dataclass
class _Core:
    """One SELECT, without those inside it or beside it in a set operation. Numbers are token indices."""

    start: int
    end: int
    level: list[int]
    select: int | None
    items: tuple[int, int] | None
    tables: tuple[int, int] | None

    @property
    def key(self) -> tuple[int, int]:
        return self.start, self.end


class _Query:
    """A statement in tokens, with what encloses each."""

    def __init__(self, sql: str, fail: Fail) -> None:
        self.sql, self.fail = sql, fail
        self.tokens: list[Token] = tokenize(sql)
        self.standing: list[Standing] = clauses(self.tokens)
        self.parents = _parents(self.tokens)

    def check(self) -> None:
        """Raise for a call that cannot be rewritten."""
        for index in range(len(self.tokens)):
            if self._is_call(index):
                if closing(self.tokens, index + 1) is None:
                    token = self.tokens[index]
                    raise self.fail(self.tokens[index + 1].start, "The parenthesis ( is not closed", _hint(token))
                self.argument(index)
                self.core(index)

    def calls(self) -> list[int]:
        """Return the calls that hold no other call, in order."""
        found = []
        for index in range(len(self.tokens)):
            if not self._is_call(index):
                continue
            close = closing(self.tokens, index + 1)
            assert close is not None
            if not any(self._is_call(inner) for inner in range(index + 2, close)):
                found.append(index)
        return found

    def _is_call(self, index: int) -> bool:
        token = self.tokens[index]
        if not (token.is_word(*FUNCTIONS) and self.tokens[index + 1].is_mark("(")):
            return False
        return not (index and self.tokens[index - 1].is_mark("."))

    def argument(self, call: int) -> str:
        """Return the text of a call's one argument."""
        token, close = self.tokens[call], closing(self.tokens, call + 1)
        assert close is not None
        inside = range(call + 2, close)
        commas = [i for i in inside if self.parents[i] == call + 1 and self.tokens[i].is_mark(",")]
        if not inside or commas:
            place = self.tokens[commas[0] if commas else close].start
            raise self.fail(place, f"{token.text.lower()} takes one column", _hint(token))
        return self.sql[self.tokens[inside[0]].start : self.tokens[inside[-1]].end]

    def core(self, call: int) -> _Core:
        """Return the SELECT that a call belongs to."""
        parent = self.parents[call]
        while True:
            end = len(self.tokens) - 1 if parent < 0 else closing(self.tokens, parent) or len(self.tokens) - 1
            level = [i for i in range(parent + 1, end) if self.parents[i] == parent]
            if any(self._starts(i, "SELECT", "FROM") for i in level):
                break
            if parent < 0:
                raise self._without_from(call)
            parent = self.parents[parent]
        before = [i for i in level if i < call and self._starts(i, *_SET_OPERATIONS)]
        after = [i for i in level if i > call and self._starts(i, *_SET_OPERATIONS)]
        start = before[-1] + 1 if before else parent + 1
        while before and self.tokens[start].is_word("ALL", "BY", "NAME", "DISTINCT"):
            start += 1
        end = after[0] if after else end
        level = [i for i in level if start <= i < end]
        tables = self._clause(level, end, "FROM")
        if tables is None:
            raise self._without_from(call)
        if tables[0] <= call < tables[1]:
            name = self.tokens[call].text.lower()
            hint = f"Score in a subquery: FROM (SELECT *, {name}(c) AS score FROM t)."
            raise self.fail(self.tokens[call].start, f"{name} cannot stand within FROM", hint)
        select = next((i for i in level if self._starts(i, "SELECT")), None)
        return _Core(start, end, level, select, self._clause(level, end, "SELECT"), tables)

    def _starts(self, index: int, *words: str) -> bool:
        """Return whether a clause begins at the token."""
        return self.tokens[index].is_word(*words) and self.standing[index].clause == self.tokens[index].value

    def _clause(self, level: list[int], end: int, word: str) -> tuple[int, int] | None:
        """Return the tokens of a clause without its word: first, and one past the last."""
        first = next((i for i in level if self._starts(i, word)), None)
        if first is None:
            return None
        last = next((i for i in level if i > first and self.standing[i].clause != word), end)
        return first + 1, last

    def _without_from(self, call: int) -> Exception:
        token = self.tokens[call]
        message = f"{token.text.lower()} needs the rows of a FROM"
        return self.fail(token.start, message, f"SELECT {token.text.lower()}(c) FROM t")


@dataclass
class _Edits:
    """Replacements in a text, made all at once."""

    sql: str
    made: list[tuple[int, int, str]] = field(default_factory=list)

    def replace(self, start: int, end: int, text: str) -> None:
        self.made.append((start, end, text))

    def done(self) -> str:
        parts, at = [], 0
        for start, end, text in sorted(self.made, key=lambda edit: edit[:2]):
            parts += [self.sql[at:start], text]
            at = end
        return "".join([*parts, self.sql[at:]])


class _Rewriting:
    """The rewriting of one SELECT."""

    def __init__(self, query: _Query, core: _Core, calls: list[int], number: int) -> None:
        self.query, self.core, self.calls = query, core, calls
        self.number = number
        self.joined = False
        self.edits = _Edits(query.sql)

    def done(self) -> tuple[str, int]:
        """Return the new text, and the last number used in names."""
        scores: dict[tuple[str, str], int] = {}
        replaced: dict[int, str] = {}
        for call in self.calls:
            key = self.query.tokens[call].value, self.query.argument(call)
            if key not in scores:
                self.number += 1
                scores[key] = self.number
            replaced[call] = quoted(f"{HIDDEN}s{scores[key]}")
        self.number += 1
        hidden = [quoted(f"{HIDDEN}s{number}") for number in scores.values()]
        hidden += self.wrap(scores)
        for call, name in replaced.items():
            close = closing(self.query.tokens, call + 1)
            assert close is not None
            self.edits.replace(self.query.tokens[call].start, self.query.tokens[close].end, name)
        self.stars(hidden)
        self.name_items()
        return self.edits.done(), self.number

    def wrap(self, scores: dict[tuple[str, str], int]) -> list[str]:
        """Put the FROM clause into a subquery that has the scores; return the further columns it has."""
        assert self.core.tables is not None
        tokens, (first, last) = self.query.tokens, self.core.tables
        start, end = tokens[first].start, tokens[last - 1].end
        text = self.query.sql[start:end]
        names = _aliases(tokens, self.query.standing, first, last)
        more: list[str] = []
        alias = f" AS {quoted(names[0])}" if len(names) == 1 and names[0] else ""
        if len(names) > 1 or any(tokens[i].is_word("JOIN") for i in self.core.level if first <= i < last):
            self.joined = True
            # A column `a` that holds the row of `a` lets `a.x` be said outside the subquery too.
            alias = f" AS {quoted(f'{HIDDEN}f{self.number}')}"
            asked = self.qualifiers(first, last)
            more = [quoted(name) for name in names if name and name.casefold() in asked]
        inner = quoted(f"{HIDDEN}f{self.number}")
        inputs, ctes, columns, order = [], [], [], False
        for (function, argument), number in scores.items():
            x = quoted(f"{HIDDEN}x{number}")
            inputs.append(f"{as_number(argument)} AS {x}")
            more_ctes, expression = FORMULAS[function](inner, x, f"{HIDDEN}m{number}")
            ctes += more_ctes
            columns.append(f"{expression} AS {quoted(f'{HIDDEN}s{number}')}")
            order = order or function == "PERCENTILE"
        row = quoted(f"{HIDDEN}n{self.number}")
        held = ", ".join(["*", *more, f"row_number() OVER () AS {row}", *inputs])
        body = ", ".join([f"{inner} AS MATERIALIZED (SELECT {held} FROM {text}\n)", *ctes])
        gone = ", ".join([row, *(quoted(f"{HIDDEN}x{number}") for number in scores.values())])
        chosen = f"SELECT * EXCLUDE ({gone}), {', '.join(columns)} FROM {inner}"
        if order:  # a window leaves its rows in its own order
            chosen += f" ORDER BY {row}"
        lead = "SELECT * " if self.core.select is None else ""
        if lead:
            offset = tokens[first - 1].start
            hidden = ", ".join([*(quoted(f"{HIDDEN}s{number}") for number in scores.values()), *more])
            self.edits.replace(offset, offset, f"SELECT * EXCLUDE ({hidden}) ")
        self.edits.replace(start, end, f"(WITH {body} {chosen}){alias}")
        return more

    def qualifiers(self, first: int, last: int) -> set[str]:
        """Return the names before a dot, outside the FROM clause."""
        tokens = self.query.tokens
        outside = (i for i in range(self.core.start, self.core.end) if not first <= i < last)
        return {tokens[i].name.casefold() for i in outside if tokens[i].is_name and tokens[i + 1].is_mark(".")}

    def stars(self, hidden: list[str]) -> None:
        """Keep what was added out of `*`."""
        if self.core.items is None:
            return
        tokens, (first, last) = self.query.tokens, self.core.items
        names = ", ".join(hidden)
        for i in range(first, last):
            if not tokens[i].is_mark("*"):
                continue
            after = tokens[i + 1]
            top = i in self.core.level and (i + 1 == last or after.is_mark(",") or after.is_word(*_STAR_MODIFIERS))
            in_columns = tokens[i - 1].is_mark("(") and tokens[i - 2].is_word("COLUMNS")
            if not (top or in_columns) or (tokens[i - 1].is_mark(".") and self.joined):
                continue
            if not after.is_word("EXCLUDE", "EXCEPT"):
                self.edits.replace(tokens[i].end, tokens[i].end, f" EXCLUDE ({names})")
            elif tokens[i + 2].is_mark("("):
                self.edits.replace(tokens[i + 2].end, tokens[i + 2].end, f"{names}, ")
            else:
                column = tokens[i + 2]
                self.edits.replace(column.start, column.end, f"({names}, {column.text})")

    def name_items(self) -> None:
        """Give items of the select list that hold a call, and have no alias, the name they are written with."""
        if self.core.items is None:
            return
        tokens, (first, last) = self.query.tokens, self.core.items
        bounds = [first - 1, *(i for i in self.core.level if first <= i < last and tokens[i].is_mark(",")), last]
        for before, after in pairwise(bounds):
            item = range(before + 1, after)
            if item and tokens[item[0]].is_word("DISTINCT", "ALL"):
                item = item[1:]
            if not any(call in item for call in self.calls) or self.has_alias(item):
                continue
            text = self.query.sql[tokens[item[0]].start : tokens[item[-1]].end]
            end = tokens[item[-1]].end
            self.edits.replace(end, end, f" AS {quoted(' '.join(text.split()))}")

    def has_alias(self, item: range) -> bool:
        tokens = self.query.tokens
        if len(item) < 2:
            return False
        last, previous = tokens[item[-1]], tokens[item[-2]]
        if tokens[item[0]].is_name and tokens[item[1]].is_mark(":"):
            return True
        if previous.is_word("AS"):
            return True
        operand = previous.is_mark(")") or previous.is_mark("]") or previous.kind in ("number", "text", "quoted")
        operand = operand or previous.is_name or previous.is_word("END", "NULL", "TRUE", "FALSE")
        return last.is_name and operand and not previous.is_mark(".")


def _aliases(tokens: list[Token], standing: list[Standing], first: int, last: int) -> list[str]:
    """Return the names that the items of a FROM clause have outside it, "" for one without."""
    found = []
    skip = first
    for i in range(first, last):
        if i < skip or not standing[i].item or tokens[i].is_word("LATERAL"):
            continue
        at, name = i, ""
        if tokens[i].is_mark("("):
            inside = next((t for t in tokens[i:last] if not t.is_mark("(")), tokens[i])
            if not inside.is_word("SELECT", "WITH", "FROM", "VALUES"):
                continue  # a join in parentheses: its items follow
            at = (closing(tokens, i) or i) + 1
        else:
            name = tokens[at].name if tokens[at].kind != "text" else ""
            at += 1
            while at < last and tokens[at].is_mark("."):
                name = tokens[at + 1].name
                at += 2
            if at < last and tokens[at].is_mark("("):
                at = (closing(tokens, at) or at) + 1
        skip = at
        if at < last and tokens[at].is_word("AS"):
            name = tokens[at + 1].name
        elif at < last and tokens[at].is_name:
            name = tokens[at].name
        found.append(name)
    return found


def _parents(tokens: list[Token]) -> list[int]:
    """Return for each token the index of the parenthesis around it, -1 for none."""
    found, stack = [], [-1]
    for index, token in enumerate(tokens):
        if token.is_mark(")") and len(stack) > 1:
            stack.pop()
        found.append(stack[-1])
        if token.is_mark("("):
            stack.append(index)
    return found


def _hint(token: Token) -> str:
    return f"Write {token.text.lower()}(c)."
