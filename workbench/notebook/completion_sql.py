"""Completion where a magic names tables and columns: values of `--by` and its like, and SQL bodies.

All answers come from names that are already known: the columns of the notebook's own tables.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from workbench.notebook.magics import sql
from workbench.notebook.magics.base import MagicSpec
from workbench.notebook.magics.outliers import COMPARES

__all__ = ["complete_column", "complete_sql", "table_columns"]

#: text, kind
Found = tuple[str, str]

_NUMERIC = frozenset(["metric", "count", "mean", "std", "threshold"])
KEYWORDS = (
    "SELECT", "FROM", "WHERE", "GROUP BY", "HAVING", "ORDER BY", "LIMIT", "JOIN", "LEFT JOIN", "NATURAL JOIN", "USING",
    "ON", "AS", "AND", "OR", "NOT", "IN", "IS NULL", "IS NOT NULL", "BETWEEN", "LIKE", "DISTINCT", "UNION ALL", "WITH",
    "CASE", "WHEN", "THEN", "ELSE", "END", "DESC", "ASC", "VALUES", "NULL", "TRUE", "FALSE",
)  # fmt: skip
DIFF = (
    "DIFF", "SPLIT", "WITH MIN RATIO", "MIN RATIO", "MIN SUPPORT", "COMPARE BY", "MAX COMBO", "INTO OUTFILE",
    "IMPORT FROM CSV FILE",
)  # fmt: skip
FUNCTIONS = ("COUNT(*)", "SUM", "AVG", "MIN", "MAX", "percentile", "normalize", "mad_score", "zscore")
#: what an answer of DIFF has besides the columns that explain
FIGURES = ("support", "outlier_count", "total_count")


def table_columns(spec: MagicSpec, words: Iterable[str], body: str, namespace: Mapping[str, Any]) -> list[Any]:
    """Return the tables that a magic's columns are those of: the one it names, and those of its SQL."""
    if spec.name not in ("outliers", "diff"):
        return []
    named = {word.strip("{}$").casefold() for word in words} | {word.casefold() for word, _ in sql.words(body)}
    return [table for name, table in sql.tables(namespace).items() if name.casefold() in named]


def complete_column(name: str, before: str, tables: list[Any], others: Iterable[Found] = ()) -> tuple[list[Found], str]:
    """Complete the value of an option that takes columns.

    Parameters
    ----------
    name : str
        Of the option.
    before : str
        What stands between the option and the cursor.
    tables : list
        Where columns may come from.
    others : iterable of (text, kind)
        What fits too.

    Returns
    -------
    list of (text, kind), str
        What fits, and the text that it replaces.
    """
    quoted = before.count('"') % 2 == 1
    mark = '"' if quoted else r"[\s,(=<>]"
    found = re.search(rf"(?:^|{mark})([^\"]*)\Z" if quoted else rf"(?:^|{mark})([^\s,(=<>\"]*)\Z", before)
    word = found[1] if found else ""
    names = dict.fromkeys(column for table in tables for column in _columns(table, name in _NUMERIC))
    fitting = [column for column in names if column.casefold().startswith(word.casefold())]
    texts = [f'{column}"' if quoted else _quoted(column) for column in fitting]
    listed = [(text, "column") for text in texts]
    if name == "by" and "*".startswith(word) and not quoted:
        listed.append(("*", "value"))
    return [*listed, *(() if quoted else others)], word


def complete_sql(
    spec: MagicSpec, body: str, until: str, namespace: Mapping[str, Any], words: Iterable[str] = ()
) -> tuple[list[Found], str]:
    """Complete a place in an SQL body.

    Parameters
    ----------
    spec : MagicSpec
    body, until : str
        The whole body, and its part before the cursor.
    namespace : mapping
    words : iterable of str
        Of the magic's line.

    Returns
    -------
    list of (text, kind), str
    """
    quote = _open_quote(until)
    if quote == "'":
        return [], ""
    tables = sql.tables(namespace)
    used = table_columns(spec, words if spec.name == "outliers" else (), body, namespace)
    columns = list(dict.fromkeys(column for table in used for column in sql.columns(table)))
    if quote == '"':
        word = until.rpartition('"')[2]
        return [(f'{name}"', "column") for name in columns if name.startswith(word)], word
    if found := re.search(r"\b(\w+)\.(\w*)\Z", until):
        owner = _owner(found[1], body, tables)
        own = sql.columns(owner) if owner is not None else columns
        return [(_quoted(name), "column") for name in own if name.casefold().startswith(found[2].casefold())], found[2]
    found = re.search(r"(\w*)\Z", until)
    word = found[1] if found else ""
    start = until[: len(until) - len(word)]
    lists: list[tuple[Iterable[str], str]] = []
    if re.search(r"\b(FROM|JOIN|SPLIT)\s+\Z", start, re.I) or re.search(r"\bDIFF\s*\(?\s*\Z", start, re.I):
        lists = [(tables, "table"), (["DIFF", "SPLIT", "SELECT"], "keyword")]
    elif re.search(r"\bCOMPARE\s+BY\s+\Z", start, re.I):
        lists = [(COMPARES, "function")]
    elif word:
        figures = (*FIGURES, *COMPARES) if spec.name == "diff" else ()
        names = [_quoted(name) for name in columns]
        lists = [(names, "column"), (figures, "column"), (tables, "table"), (FUNCTIONS, "function")]
        lists.append(((*KEYWORDS, *DIFF) if spec.name == "diff" else KEYWORDS, "keyword"))
    elif re.search(r"(\bON|\bBY|,)\s+\Z", start, re.I):
        lists = [([_quoted(name) for name in columns], "column")]
    listed = []
    for texts, kind in lists:
        for text in texts:
            if text.strip('"').casefold().startswith(word.casefold()):
                listed.append((text.lower() if word.islower() and kind == "keyword" else text, kind))
    return list(dict(listed).items()), word


def _columns(table: Any, numeric: bool) -> list[str]:
    names = sql.columns(table)
    kinds = getattr(table, "dtypes", None)
    if not numeric or kinds is None or not hasattr(kinds, "items"):
        return names
    return [str(name) for name, kind in kinds.items() if name in names and getattr(kind, "kind", "O") in "iuf"]


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\W\d]\w*", name) else '"' + name.replace('"', '""') + '"'


def _open_quote(until: str) -> str:
    """Return the quote that is open at the end of a piece of SQL; empty if none is."""
    quote = ""
    for char in re.sub(r"--[^\n]*|^[ \t]*#[^\n]*", "", until, flags=re.M):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
    return quote


def _owner(name: str, body: str, tables: Mapping[str, Any]) -> Any:
    """Return the table of a name or alias."""
    alias = re.search(rf"\b(\w+)\s+(?:AS\s+)?{re.escape(name)}\b", body, re.I)
    for known in (name, alias[1] if alias else ""):
        for table, value in tables.items():
            if table.casefold() == known.casefold():
                return value
    return None
