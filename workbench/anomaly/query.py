"""The table that a SELECT yields, read once, so that every row behind an answer stays the one that was counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.anomaly.data import Data

__all__ = ["selected"]


def selected(sql: str, tables: Mapping[str, Any], *, name: str | None = None) -> Data:
    """Run a script and return the table of its last statement.

    Parameters
    ----------
    sql : str
        DuckDB's SQL, with DIFF and scoring functions.
    tables : mapping of str to any accepted data
        Looked at only as far as the SQL names them.
    name : str, optional
        What messages call the result.

    Raises
    ------
    WorkbenchError
        For a mistake in the SQL.
    """
    from workbench.anomaly.frames import read
    from workbench.anomaly.sql import parse
    from workbench.anomaly.sql_run import ScriptWork
    from workbench.anomaly.sql_scores import rewrite
    from workbench.anomaly.sql_tree import Statement

    script = parse(sql)
    work = ScriptWork(script, tables)
    only = script.statements[0] if len(script.statements) == 1 else None
    if isinstance(only, Statement) and not only.diffs and only.outfile is None:
        # As Arrow: whole numbers and dates stay what they are.
        found: Any = work.tables.table(rewrite(script.text[only.start : only.end]))
    else:
        found = work()
    return read(found, name=name)
