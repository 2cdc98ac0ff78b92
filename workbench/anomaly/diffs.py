"""`wb.diff`: what is different between two tables, in SQL or from two frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.engine.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.results import Explanations

__all__ = ["diff", "start_diff", "start_diff_tables"]

_OPTIONS = ("on", "min_support", "min_ratio", "max_combo", "compare")


class _Missing:
    def __repr__(self) -> str:
        return "<none>"


_MISSING: Any = _Missing()


def diff(sql: Any = _MISSING, inliers: Any = _MISSING, /, **keywords: Any) -> Explanations | pd.DataFrame:
    """Say what sets two tables apart: `diff(sql, **tables)` or `diff(outliers, inliers, on=...)`.

    Parameters
    ----------
    sql : str
        Statements of DuckDB's SQL, in which a FROM item may be a DIFF. The keywords are its tables: pandas, Polars,
        Arrow or Dask frames, DuckDB relations, or paths to Parquet or CSV.
    outliers, inliers : any accepted data
        With two tables: those whose rows are to be explained, and those they are compared with.
    on : list of str or "*", optional
        With two tables: columns to explain with; `"*"` takes the text, category and bool columns of both.
    min_support, min_ratio, max_combo, compare : optional
        With two tables: as for `outliers`, with its defaults 0.01, 3.0, 3 and "risk_ratio".

    Returns
    -------
    Explanations or DataFrame
        Explanations for two tables, and where the last statement is `SELECT *` over one DIFF with at most WHERE,
        ORDER BY and LIMIT; else a pandas DataFrame.

    Raises
    ------
    WorkbenchError
        For a mistake in the SQL, the arguments or the data.
    Stopped
        A KeyboardInterrupt, if interrupted; `.result` holds the explanations found until then.

    Examples
    --------
    `wb.diff("SELECT * FROM DIFF (SPLIT flights WHERE arr_delay > 180) ON carrier, dest", flights=df)`

    `wb.diff(df[df.late], df[~df.late], on=["carrier", "dest"])`
    """
    from workbench.anomaly.api import waited

    # They may also be named: only what comes first tells SQL's tables from options.
    if sql is _MISSING:
        sql = keywords.pop("sql" if "sql" in keywords else "outliers_df", _MISSING)
    if inliers is _MISSING and not isinstance(sql, str):
        inliers = keywords.pop("inliers_df", _MISSING)
    if inliers is not _MISSING and sql is not _MISSING:
        unknown = [name for name in keywords if name not in _OPTIONS]
        if unknown:
            raise WorkbenchError(f'diff of two tables has no option "{unknown[0]}".', f"Options: {', '.join(_OPTIONS)}")
        return waited(start_diff_tables(sql, inliers, **keywords))
    if not isinstance(sql, str):
        raise WorkbenchError(
            f"diff needs SQL or two tables; got {'neither' if sql is _MISSING else f'one {type(sql).__name__}'}.",
            'wb.diff("SELECT * FROM DIFF …", t=df) or wb.diff(outliers, inliers, on=["a"])',
        )
    return waited(start_diff(sql, keywords))


def start_diff(sql: str, tables: Mapping[str, Any]) -> Run[Any]:
    """Read a script and start it.

    Parameters
    ----------
    sql : str
    tables : mapping of str to any accepted data
        Looked at only as far as the SQL names them.

    Returns
    -------
    Run
        Of an `Explanations` or a DataFrame. Mistakes of grammar are raised here, all others by the run.
    """
    from workbench.anomaly.sql import parse
    from workbench.anomaly.sql_run import ScriptWork

    work = ScriptWork(parse(sql), tables)
    return Run.start(work, kind="diff", title=" ".join(sql.split())[:80], unit="orders")


def start_diff_tables(
    outliers: Any,
    inliers: Any,
    *,
    on: Any = "*",
    min_support: Any = 0.01,
    min_ratio: Any = 3.0,
    max_combo: Any = 3,
    compare: Any = "risk_ratio",
) -> Run[Explanations]:
    """Start the comparison of two tables; the parameters are those of `diff`."""
    from workbench.anomaly import compare as metrics
    from workbench.anomaly.checks import check_known
    from workbench.anomaly.diff_answer import answer_diff
    from workbench.anomaly.diff_rules import MEANS, Rules
    from workbench.anomaly.diff_source import Sides
    from workbench.anomaly.frames import read
    from workbench.anomaly.sql_tables import Tables

    first, second = read(outliers, name="the first table"), read(inliers, name="the second table")
    check_known("compare metric", compare, tuple(metrics.NAMES))
    if compare in MEANS:
        raise WorkbenchError(
            f"{compare} averages a column, and none is given.",
            f"In SQL: DIFF a, b ON … COMPARE BY {compare}(AVG(column)).",
        )
    notes: tuple[str, ...] = ()
    ratio = metrics.default_min_ratio(compare, min_ratio)
    if ratio != min_ratio:
        notes = (f"min ratio is {ratio:g}: {compare} is between -1 and 1.",)
    names = _names(on)
    spec = {"on": on if isinstance(on, str) else list(names or ()), "min_support": min_support, "min_ratio": min_ratio}
    spec |= {"max_combo": max_combo, "compare": compare}
    rules = Rules(names, ratio, min_support, max_combo, compare, spec=spec, notes=notes).checked()
    tables = Tables({})
    tables.add("first", first)
    tables.add("second", second)
    sides = Sides(tables, ("first", "second"), (first.name, second.name))

    def native(conditions: Conditions) -> Any:
        return first.native(conditions)

    def work(run: Run[Explanations]) -> Explanations:
        try:
            return answer_diff(sides, rules, run=run, native=native)
        finally:
            tables.release()

    return Run.start(work, kind="diff", title=f"{first.name} against {second.name}"[:80], unit="orders")


def _names(on: Any) -> tuple[str, ...] | None:
    """Return the columns of ON; None for `"*"`."""
    if isinstance(on, str):
        return None if on == "*" else (on,)
    try:
        names = tuple(str(name) for name in on)
    except TypeError:
        names = ()
    if not names:
        raise WorkbenchError("on names no column.", 'Give a list of columns, or "*".')
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise WorkbenchError(f'"{twice}" stands twice in on.', "Name each column once.")
    return names
