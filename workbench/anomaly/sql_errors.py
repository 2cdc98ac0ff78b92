"""DuckDB's errors in two lines: what is wrong, and how to put it right."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from workbench.anomaly.data import columns_hint
from workbench.anomaly.sql_formulas import TEXT_ERROR
from workbench.anomaly.sql_scores import HIDDEN
from workbench.anomaly.sql_tokens import tokenize
from workbench.engine.errors import WorkbenchError, did_you_mean

if TYPE_CHECKING:
    from workbench.anomaly.sql_tables import Tables

__all__ = ["told", "told_errors"]

_COLUMN = re.compile(r'Referenced column "(.+?)" (?:was )?not found|Table "[^"]*" does not have a column named "(.+?)"')
_FUNCTION = re.compile(r"Function with name (\S+) does not exist!(?:\s*Did you mean \"(.+?)\")?")
_SYNTAX = re.compile(r'syntax error at or near "(.*?)"|syntax error at (end of input)')
_FILE = re.compile(r'Cannot access file "(.+?)"')
_TYPE = re.compile(r"Unimplemented type for cast \((.+) -> (.+)\) when casting from source column (.+)")

#: DuckDB's own words for the kind of error, at its beginning
_KIND = re.compile(r"^(?:[A-Z][A-Za-z-]*(?: [A-Z][A-Za-z-]*)? )?(?:Error|Exception): ")


def told(error: Exception, sql: str, tables: Tables) -> WorkbenchError:
    """Return what is raised in place of DuckDB's error.

    Parameters
    ----------
    error : duckdb.Error
    sql : str
        The statement that it is about.
    tables : Tables
        What SQL could see.
    """
    text = str(error).split("\n\nLINE ")[0].strip()
    if found := _COLUMN.search(text):
        return _no_column(found[1] or found[2], sql, tables)
    if TEXT_ERROR in text:
        return WorkbenchError(text.partition(TEXT_ERROR)[2].splitlines()[0], "Use it in --by instead.")
    if found := _FUNCTION.search(text):
        near = f'Did you mean "{found[2]}"?' if found[2] else "See duckdb.org/docs for the functions that there are."
        return WorkbenchError(f'No function "{found[1]}".', near)
    if found := _SYNTAX.search(text):
        near = f'near "{found[1]}"' if found[1] else "at the end"
        return WorkbenchError(f"The SQL has a syntax error {near}.", "Everything but DIFF is DuckDB's SQL.")
    if found := _FILE.search(text):
        hint = f"Name it in FROM, such as FROM '{found[1]}', or IMPORT it."
        return WorkbenchError(f'"{found[1]}" cannot be read or written here.', hint)
    if found := _TYPE.search(text):
        first, second, column = found[1], found[2], found[3].split("\n")[0]
        return WorkbenchError(
            f'"{column}" has no common type: {first} on one side, {second} on the other.',
            f"Cast one of them, such as {column}::VARCHAR.",
        )
    lines = _KIND.sub("", text).splitlines() or [type(error).__name__]
    message, _, hint = lines[0].strip().partition(". ")
    hint = hint or " ".join(line.strip() for line in lines[1:2]) or "Everything but DIFF is DuckDB's SQL."
    return WorkbenchError(message.rstrip(".!") + ".", hint)


@contextmanager
def told_errors(sql: str, tables: Tables) -> Iterator[None]:
    """Turn DuckDB's errors within a block into what is told."""
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        raise told(error, sql, tables) from error


def _no_column(name: str, sql: str, tables: Tables) -> WorkbenchError:
    tokens = tokenize(sql)
    written = {token.name.casefold() for token in tokens if token.is_name}
    named: dict[str, list[str]] = {table: list(data.schema) for table, data in tables.known.items()}
    named |= tables.answers
    named = {table: known for table, known in named.items() if table.casefold() in written}
    columns = dict.fromkeys(column for known in named.values() for column in known)
    where = "the tables"
    if len(named) == 1:
        (table,) = named
        where = "the DIFF" if table in tables.answers else table
    text = any(token.kind == "quoted" and token.value == name for token in tokens) and not name.startswith(HIDDEN)
    hint = columns_hint(name, columns) if columns else ""
    if text and did_you_mean(name, columns) is None:
        hint = f"Text goes in single quotes: '{name}'. {hint}".strip()
    return WorkbenchError(f'No column "{name}" in {where}.', hint or "Name a column of the FROM clause.")
