"""The SQL in a magic's cell or option: notebook values bound in it, its comments, and the tables that it names.

A value is never parsed as SQL: it stands in the text as one literal. Nothing is replaced inside SQL strings, quoted
identifiers or comments.
"""

from __future__ import annotations

import datetime
import decimal
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.notebook.magics.line import _DOTTED, Scope

__all__ = ["Bound", "bind", "columns", "is_table", "literal", "tables", "words"]

_PIECE = re.compile(
    rf"""
      (?P<text>[eE]'(?:\\.|''|[^'\\])*' | '(?:''|[^'])*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:""|[^"])*")
    | (?P<comment>--[^\n]* | /\*.*?\*/)
    | (?P<hash>^[ \t]*\#[^\n]*)
    | \{{(?P<braces>{_DOTTED})\}} | \$(?P<dollar>{_DOTTED})
    | (?P<word>\w+)
    """,
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)

#: first part of the module -> names of the classes that are tables
_TABLES = {
    "pandas": ("DataFrame",),
    "polars": ("DataFrame", "LazyFrame"),
    "pyarrow": ("Table", "RecordBatch"),
    "dask": ("DataFrame",),
    "dask_expr": ("DataFrame",),
    "duckdb": ("DuckDBPyRelation",),
    "_duckdb": ("DuckDBPyRelation",),
}


@dataclass(frozen=True)
class Bound:
    """SQL that holds no reference any more, and the tables that it may name."""

    text: str
    tables: dict[str, Any] = field(default_factory=dict)


def bind(text: str, scope: Scope) -> Bound:
    """Put the values of `{name}` and `$name` into SQL as literals; lines that start with `#` become blank.

    Raises
    ------
    WorkbenchError
        For a name that is not there, or a value that SQL cannot hold.
    """
    given: dict[str, Any] = {}

    def replace(found: re.Match[str]) -> str:
        if found["hash"] is not None:
            return ""
        name = found["braces"] or found["dollar"]
        if not name:
            return found[0]
        value = scope.lookup(name)
        if is_table(value):
            given[name] = value
            return _identifier(name)
        return literal(value, name)

    made = _PIECE.sub(replace, text)
    return Bound(made, {**tables(scope.flat), **given})


def words(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the words of SQL and its quoted identifiers, with whether they are quoted; no strings or comments."""
    for found in _PIECE.finditer(text):
        if found["word"] is not None:
            yield found["word"], False
        elif found["quoted"] is not None:
            yield found["quoted"][1:-1].replace('""', '"'), True


def literal(value: Any, name: str = "") -> str:
    """Return a value as SQL writes it: number, text, bool, None, date, time stamp, or a list of these for `IN`."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return "NULL"
    if hasattr(value, "tolist") and not isinstance(value, (str, bytes)):
        value = value.tolist()  # NumPy's scalars and arrays, columns of pandas
    elif hasattr(value, "to_list"):
        value = value.to_list()
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, (int, decimal.Decimal)):
        return f"({value})" if value < 0 else str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            return f"'{value}'::DOUBLE"
        return f"({value!r})" if value < 0 else repr(value)
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, datetime.datetime):
        return f"{'TIMESTAMPTZ' if value.tzinfo else 'TIMESTAMP'} '{value.isoformat(sep=' ')}'"
    if isinstance(value, datetime.date):
        return f"DATE '{value.isoformat()}'"
    if isinstance(value, (list, tuple, set, frozenset)):
        items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else value
        return f"({', '.join(literal(item, name) for item in items) or 'NULL'})"
    shown = f'"{name}"' if name else "The value"
    kind = type(value).__name__
    raise WorkbenchError(
        f"{shown} is {'an' if kind[0] in 'aeiouAEIO' else 'a'} {kind}, which SQL cannot hold.",
        "Use a number, text, bool, None, a date, or a list of these.",
    )


# -------------------------------------------------------------------------------------------------------------- tables


def is_table(value: Any) -> bool:
    """Whether a value can stand after FROM; nothing is imported to find out."""
    kind = type(value)
    for base in kind.__mro__:
        known = _TABLES.get(base.__module__.partition(".")[0])
        if known is not None and base.__name__ in known:
            return True
    return _is_result(value)


def tables(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables among the notebook's variables."""
    return {name: value for name, value in list(namespace.items()) if not name.startswith("_") and is_table(value)}


def columns(value: Any) -> list[str]:
    """Return a table's column names as far as they are known without reading anything."""
    names: Any
    if _is_result(value):
        names = getattr(getattr(value, "frame", None), "columns", ())
    elif type(value).__name__ == "LazyFrame":
        names = ()  # its schema may have to be read
    elif hasattr(value, "column_names"):
        names = value.column_names
    else:
        names = getattr(value, "columns", ())
    return [name for name in names if isinstance(name, str)]


def _is_result(value: Any) -> bool:
    from workbench.engine.result import Result

    return isinstance(value, Result)


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
