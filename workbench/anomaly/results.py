"""`Explanations`: what the outliers share, as a ranked table, and the ways on from each line of it."""

from __future__ import annotations

import json
import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import present
from workbench.anomaly.drill import access
from workbench.anomaly.table import conditions_at, frame_of
from workbench.engine.errors import WorkbenchError
from workbench.engine.result import Result

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.answer import Answer, RowsAccess
    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.score import Cutoff
    from workbench.engine.plan import Plan

__all__ = ["Explanations"]


class Explanations(Result):
    """Combinations of values that are found far more often among the outliers, best first.

    `i` is everywhere the rank from 0.

    Parameters
    ----------
    answer : Answer
        What was computed.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.partial = answer.partial

    # --------------------------------------------------------------------------------------------------------- table

    def to_pandas(self, q_value: bool = False) -> pd.DataFrame:
        """Return the ranked table.

        Parameters
        ----------
        q_value : bool
            Add the false discovery rate (Benjamini and Hochberg) over all candidates that were counted.

        Returns
        -------
        DataFrame
            A column for each `by` column, `<NA>` where it has no part; `support`, `ratio`, `ratio_low`, `ratio_high`,
            `outlier_count`, `total_count`, `combo_size`. After SQL the columns of `SELECT *` over DIFF.
        """
        if q_value:
            return frame_of(self._answer, q_value=True)
        return self._table.copy()

    def __len__(self) -> int:
        return len(self._answer.order)

    @property
    def sets(self) -> list[dict[str, Any]]:
        """The explanations, exact: `{column: value}`; null is None, a range a `pandas.Interval`."""
        return [dict(self._conditions(rank)) for rank in range(len(self))]

    @property
    def compare(self) -> str:
        """Name of the compare metric: what `ratio` is."""
        return self._answer.compare

    @property
    def by(self) -> list[str]:
        """Names of the columns that explain."""
        return list(self._answer.by)

    @property
    def metric(self) -> str | list[str] | None:
        """The metric column, or columns."""
        metric = self._answer.metric
        return list(metric) if isinstance(metric, tuple) else metric

    @property
    def n_rows(self) -> int | float:
        """N: rows used (weights, where rows are weighted)."""
        return _plain(self._answer.n_rows)

    @property
    def n_outliers(self) -> int | float:
        """O: outliers among them."""
        return _plain(self._answer.n_outliers)

    @property
    def n_left_out(self) -> int:
        """Rows left out, as they have no metric."""
        return int(self._answer.n_left_out)

    @property
    def cutoff(self) -> Cutoff:
        """`low`, `high` in the metric's units, and `score`; NaN where there is none."""
        if self._answer.cutoff is not None:
            return self._answer.cutoff
        from workbench.anomaly.score import Cutoff

        return Cutoff(math.nan, math.nan, math.nan)

    @property
    def notes(self) -> list[str]:
        """All that has to be said: rows left out, columns put in ranges, a search stopped early."""
        return list(self._answer.notes)

    @property
    def spec(self) -> dict[str, Any]:
        """The call as JSON can hold it: `wb.outliers(data, **r.spec)` asks again."""
        return dict(self._answer.spec)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self._answer.seconds

    @property
    def dependencies(self) -> pd.DataFrame:
        """Functional dependencies among the `by` columns: each value of `determinant` has one of `dependent`."""
        import pandas as pd

        names = self._answer.by
        pairs = [(names[first], names[second]) for first, second in self._answer.found.dependencies]
        return pd.DataFrame(pairs, columns=["determinant", "dependent"]).astype("string")

    # ------------------------------------------------------------------------------------------------- ways on from it

    @property
    def outliers(self) -> Any:
        """The outlier rows in input order: all source columns and `score`; a Dask frame for Dask input."""
        return self._rows.outliers()

    def filter(self, i: int) -> Any:
        """Return what the input's own filter takes.

        Parameters
        ----------
        i : int
            The rank from 0.

        Returns
        -------
        Series, Expr, Expression or str
            A bool Series for pandas and Dask, a Polars or Arrow expression, SQL text for DuckDB and paths.
        """
        conditions, answer = self._conditions(i), self._answer
        if answer.native is not None:
            return answer.native(conditions)
        if answer.rows is None:
            return self.sql(i)
        return present.native(answer.rows, conditions, self._missing())

    def sql(self, i: int) -> str:
        """Return the condition of an explanation as SQL text."""
        return present.sql(self._answer.rows, self._conditions(i), self._missing())

    def code(self, i: int) -> str:
        """Return the condition of an explanation as pandas text for `df`."""
        return present.code(self._answer.rows, self._conditions(i), self._missing())

    def rows(self, i: int, limit: int | None = None) -> pd.DataFrame:
        """Return the rows that an explanation matches, in input order.

        Parameters
        ----------
        i : int
            The rank from 0.
        limit : int, optional
            The first rows only.

        Returns
        -------
        DataFrame
            All source columns, `outlier` (bool) and `score` (float64); names that are taken get `_`.
        """
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, (int, np.integer)) or limit < 0):
            raise WorkbenchError(f"limit is {limit!r}; it is a number of rows.", "Example: limit=20")
        return self._rows.rows(self._conditions(i), None if limit is None else int(limit))

    def histogram(self, i: int | None = None) -> pd.DataFrame:
        """Return how the metric is spread: `left, right, rows, outliers, selected`.

        Parameters
        ----------
        i : int, optional
            The explanation whose rows are counted in `selected`; none by default.

        Returns
        -------
        DataFrame
            60 bins of equal width between the 0.1 % and the 99.9 % point; the outer ones are open. No rows where
            nothing was measured.
        """
        return self._rows.histogram(None if i is None else self._conditions(i))

    def within(self, i: int) -> Explanations:
        """Ask again on the rows that an explanation matches, with no least support."""
        return self._again(i, True, {"min_support": 0.0})

    def without(self, i: int) -> Explanations:
        """Ask again on all other rows."""
        return self._again(i, False, {})

    # ------------------------------------------------------------------------------------------------------- display

    def to_json(self) -> str:
        """Return spec, sets, figures and notes as JSON text; ranges are text, infinite figures `"inf"`."""
        cutoff, frame = self.cutoff, frame_of(self._answer)
        names = list(frame.columns[len(self._answer.by) :])
        found = {
            "spec": self.spec,
            "metric": self.metric,
            "by": self.by,
            "compare": self.compare,
            "n_rows": self.n_rows,
            "n_outliers": self.n_outliers,
            "n_left_out": self.n_left_out,
            "cutoff": {"low": cutoff.low, "high": cutoff.high, "score": cutoff.score},
            "partial": bool(self.partial),
            "notes": self.notes,
            "explanations": [
                {"set": self.sets[rank], **dict(zip(names, values, strict=True))}
                for rank, values in enumerate(frame[names].itertuples(index=False, name=None))
            ],
        }
        return json.dumps(_json(found), ensure_ascii=False, allow_nan=False)

    def view_data(self) -> dict[str, Any]:
        """Return the blocks that the notebook, the report and the text form are drawn from."""
        from workbench.anomaly.view import blocks

        if self._blocks is None:
            self._blocks = blocks(self._answer)
        return {"title": "outliers", "blocks": self._blocks}

    def preview_data(self) -> dict[str, Any]:
        """Return the blocks shown while the run goes on: no rows are read for them."""
        from workbench.anomaly.view import preview

        return {"title": "outliers", "blocks": preview(self._answer)}

    def __repr__(self) -> str:
        from workbench.anomaly.text import headline

        try:
            return headline(self._answer)
        except Exception:  # a half-made result must not break a debugger
            return "<Explanations>"

    def __str__(self) -> str:
        from workbench.anomaly.view import text

        return text(self._answer)

    # ------------------------------------------------------------------------------------------------------- private

    _blocks: list[dict[str, Any]] | None = None

    def _plan(self) -> Plan | None:
        return self._answer.plan

    @cached_property
    def _table(self) -> pd.DataFrame:
        return frame_of(self._answer)

    @cached_property
    def _rows(self) -> RowsAccess:
        return access(self._answer)

    def _rank(self, i: Any) -> int:
        """Return a rank that there is."""
        if isinstance(i, bool) or not isinstance(i, (int, np.integer)):
            raise WorkbenchError(f"i is {i!r}; it is the rank of an explanation, from 0.", "Example: r.rows(0)")
        if not 0 <= i < len(self):
            from workbench.anomaly.text import counted

            hint = f"Ranks go from 0 to {len(self) - 1}." if len(self) else "Nothing was found."
            there = f"there {'is' if len(self) == 1 else 'are'} {counted(len(self), 'explanation')}"
            raise WorkbenchError(f"No explanation {i}: {there}.", hint)
        return int(i)

    def _conditions(self, i: Any) -> Conditions:
        return conditions_at(self._answer, self._rank(i))

    def _missing(self) -> list[str]:
        from workbench.anomaly.text import missing_metrics

        return missing_metrics(self._answer)

    def _again(self, i: int, keep: bool, changes: dict[str, Any]) -> Explanations:
        conditions = self._conditions(i)
        if self._answer.rerun is None:
            raise WorkbenchError("This answer cannot be asked again.", "Filter the table by r.filter(i) and ask anew.")
        return self._answer.rerun(conditions, keep, changes)


def _plain(n: float) -> int | float:
    """Return a count as Python's own number."""
    return n.item() if isinstance(n, np.generic) else n


def _json(value: Any) -> Any:
    """Return a value as JSON can hold it without losing what it says."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_json(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else "inf" if value > 0 else "-inf"
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if hasattr(value, "left") and hasattr(value, "closed"):
        return f"[{_number(value.left)}, {_number(value.right)}{']' if value.closed == 'both' else ')'}"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _number(value: Any) -> str:
    value = float(value)
    return str(int(value)) if math.isfinite(value) and value == int(value) and abs(value) < 1e15 else repr(value)
