"""Files that a script names: IMPORT FROM CSV FILE reads one, INTO OUTFILE writes one."""

from __future__ import annotations

import csv
import gzip
import os
import re
import tempfile
from typing import TYPE_CHECKING, Any

from workbench.anomaly.data import columns_hint
from workbench.anomaly.sql_tokens import quoted, text_literal
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from workbench.anomaly.sql_tree import Import, Outfile

__all__ = ["read_import", "write_outfile"]

#: what may stand between fields, in the order of trying
_SEPARATORS = (",", "\t", ";", "|")


def read_import(statement: Import) -> pa.Table:
    """Return the table of an IMPORT: the columns asked for, by name where the file has a header, else by position.

    An empty field is null; a quoted empty one is text.

    Raises
    ------
    WorkbenchError
        If there is no such file or column, or a value is not of the column's type.
    """
    path = os.path.expanduser(statement.path)
    if not os.path.isfile(path):
        raise WorkbenchError(f'No file "{statement.path}".', f"Paths start from {os.getcwd()}.")
    if not statement.columns:
        from workbench.anomaly.frames import read

        data = read(path)
        import pyarrow as pa

        return pa.table({name: data.column(name) for name in data.schema})
    return _read_columns(path, statement)


def write_outfile(frame: pd.DataFrame, outfile: Outfile) -> None:
    """Write a table with a header; a file that is there is replaced once the new one is whole.

    Null is an empty field, empty text a quoted one. Numbers are written so that they read as the same again.
    """
    path = os.path.expanduser(outfile.path)
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise WorkbenchError(f'No folder for "{outfile.path}".', f"Make {folder} first.")
    ends = (outfile.fields, outfile.lines, '"', "\n", "\r")
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=f".{os.path.basename(path)}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(outfile.fields.join(_field(str(name), ends) for name in frame.columns) + outfile.lines)
            for row in frame.itertuples(index=False, name=None):
                file.write(outfile.fields.join(_field(value, ends) for value in row) + outfile.lines)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


# ----------------------------------------------------------------------------------------------------------- private


def _read_columns(path: str, statement: Import) -> pa.Table:
    import duckdb

    from workbench.anomaly.memory import duck_table

    names = [name for name, _ in statement.columns]
    with duckdb.connect() as connection:
        # This one file, and nothing else.
        connection.execute(f"SET allowed_paths = [{text_literal(path)}]")
        connection.execute("SET enable_external_access = false")
        separator, columns, header = _layout(path, names, statement)
        source = (
            f"read_csv({text_literal(path)}, auto_detect = false, delim = {text_literal(separator)}, quote = '\"', "
            f"escape = '\"', header = {str(header).lower()}, nullstr = '', allow_quoted_nulls = false, columns = "
            f"{{{', '.join(f'{text_literal(column)}: {chr(39)}VARCHAR{chr(39)}' for column in columns)}}})"
        )
        places = {column.casefold(): column for column in reversed(columns)}
        chosen = [
            f"{quoted(places[name.casefold()] if header else columns[place])}::{kind} AS {quoted(name)}"
            for place, (name, kind) in enumerate(statement.columns)
        ]
        try:
            return duck_table(connection.sql(f"SELECT {', '.join(chosen)} FROM {source}"))
        except duckdb.Error as error:
            raise _failed(statement, error) from error


def _failed(statement: Import, error: Exception) -> WorkbenchError:
    """Return the error for a value that is not of its column's type, or a line that is no row."""
    text = str(error)
    hint = "Check the types: IMPORT FROM CSV FILE 'f' INTO t (a INTEGER, b VARCHAR)"
    name, line = os.path.basename(statement.path), re.search(r"Line: (\d+)", text)
    if found := re.search(r"Could not convert string ['\"](.*?)['\"] to '?(\w+)", text):
        column = re.search(r'column "(.+?)"|source column (\S+)', text)
        where = f' in column "{column[1] or column[2]}"' if column else ""
        at = f" on line {line[1]}" if line else ""
        return WorkbenchError(f'"{name}" has "{found[1]}"{where}{at}, which is no {found[2]}.', hint)
    first = text.splitlines()[0].partition("Error: ")[2].rstrip(". ")
    return WorkbenchError(f'"{name}" could not be imported: {first}.', hint)


def _layout(path: str, names: list[str], statement: Import) -> tuple[str, list[str], bool]:
    """Return the separator, the file's columns, and whether its first line names them."""
    lines = {separator: _first_row(path, separator) for separator in _SEPARATORS}
    wanted = [name.casefold() for name in names]
    for separator, found in lines.items():
        if set(wanted) <= {value.casefold() for value in found}:
            return separator, _distinct(found), True
    separator, first = max(lines.items(), key=lambda line: len(line[1]))
    if len(first) == len(names) and not {value.casefold() for value in first} & set(wanted):
        return separator, _distinct([f"column{place}" for place in range(len(first))]), False
    missing = next(name for name in names if name.casefold() not in {value.casefold() for value in first})
    raise WorkbenchError(f'No column "{missing}" in {statement.path}.', columns_hint(missing, first))


def _first_row(path: str, separator: str) -> list[str]:
    opened = gzip.open if path.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file, delimiter=separator), [])


def _distinct(names: list[str]) -> list[str]:
    """Return names of which none is empty or there twice."""
    found: list[str] = []
    for place, name in enumerate(names):
        name = name or f"column{place}"
        while name.casefold() in (known.casefold() for known in found):
            name += "_"
        found.append(name)
    return found


def _field(value: Any, ends: tuple[str, ...]) -> str:
    """Write one value."""
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return ""
    if isinstance(value, bool) or type(value).__name__ == "bool":
        return "true" if value else "false"
    if hasattr(value, "isoformat"):
        return value.isoformat(sep=" ") if hasattr(value, "hour") and hasattr(value, "year") else value.isoformat()
    text = repr(float(value)) if isinstance(value, float) else str(value)
    if text == "" or any(end in text for end in ends):
        return '"' + text.replace('"', '""') + '"'
    return text


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
