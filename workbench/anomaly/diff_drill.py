"""The rows behind an explanation of a DIFF, fetched by SQL: the first side's before the second's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.anomaly.diff_source import FLAG, DiffData
from workbench.anomaly.drill import LocalRows
from workbench.anomaly.sql_scores import HIDDEN
from workbench.anomaly.sql_tokens import quoted, tokenize
from workbench.anomaly.table import free_name

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.answer import Answer
    from workbench.anomaly.conditions import Conditions

__all__ = ["DiffRows"]


class DiffRows(LocalRows):
    """Rows that stand in no one table. What was read for the answer serves for histograms; rows are asked anew."""

    def __init__(self, answer: Answer, data: DiffData) -> None:
        super().__init__(answer)
        self.diff = data
        self._source: str | None = None

    def outliers(self) -> pd.DataFrame:
        """Return the first side's rows: all columns, and `score`."""
        return self._asked(f"WHERE {quoted(FLAG)}", outlier=False)

    def rows(self, conditions: Conditions, limit: int | None = None) -> pd.DataFrame:
        """Return the rows that match: all columns, `outlier` and `score`."""
        ends = "" if limit is None else f" LIMIT {max(0, limit)}"
        return self._asked(f"WHERE {self._where(conditions)}{ends}")

    def drill(self, many: Sequence[Conditions], limit: int) -> list[tuple[pd.DataFrame, pd.DataFrame]]:
        """Return the first rows and the histogram of each."""
        return [(self.rows(conditions, limit), self.histogram(conditions)) for conditions in many]

    # ------------------------------------------------------------------------------------------------------- private

    def _where(self, conditions: Conditions) -> str:
        parts = [f"({self.diff.sql(conditions)})"]
        parts += [f"{quoted(name)} IS NOT NULL AND NOT isnan({quoted(name)}::DOUBLE)" for name in self._metrics()]
        return " AND ".join(parts)

    def _metrics(self) -> list[str]:
        return [self.answer.metric] if isinstance(self.answer.metric, str) else []

    def _asked(self, rest: str, outlier: bool = True) -> pd.DataFrame:
        from workbench.anomaly.memory import arrow_to_pandas

        tables = self.diff.sides.tables
        table = tables.table(f"SELECT * FROM {self._from()} {rest}")
        flags = np.asarray(table.column(FLAG).to_numpy(), dtype=bool)
        frame = arrow_to_pandas(table.drop_columns([FLAG]))
        if outlier:
            frame[free_name("outlier", frame.columns)] = flags
        frame[free_name("score", frame.columns)] = np.full(len(frame), np.nan)
        return frame

    def _from(self) -> str:
        """Return the FROM item with all rows; what is dear to make is made once."""
        if self._source is None:
            sides = self.diff.sides
            query = sides.whole(sides.rows())
            if _dear(query):
                name = quoted(f"{HIDDEN}rows_{id(self)}")
                sides.tables.table(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
                self._source = name
            else:
                self._source = f"({query})"
        return self._source


def _dear(query: str) -> bool:
    """Return whether asking again costs more than a look at each row: sorts, groups, subqueries with names."""
    tokens = tokenize(query)
    if any(token.is_word("JOIN") for token in tokens):
        return False  # the joined rows are not to be written
    return any(token.is_word("OVER", "GROUP", "DISTINCT", "ORDER", "WITH", "LIMIT", "SAMPLE") for token in tokens)
