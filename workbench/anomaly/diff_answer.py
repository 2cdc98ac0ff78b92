"""The answer of one DIFF: columns chosen, rows read and marked, combinations searched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import remarks
from workbench.anomaly.by_columns import range_note
from workbench.anomaly.data import Data
from workbench.anomaly.diff_marks import Marks, read_marks
from workbench.anomaly.diff_rules import Rules, chosen_columns
from workbench.anomaly.diff_source import DiffData, Sides
from workbench.anomaly.plan import Actuals
from workbench.engine.errors import WorkbenchError
from workbench.engine.plan import Node, Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.answer import Answer
    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.results import Explanations
    from workbench.engine.run import Run

__all__ = ["answer_diff"]


def answer_diff(
    sides: Sides,
    rules: Rules,
    *,
    run: Run[Any] | None = None,
    fail: Callable[[str, str, str], WorkbenchError] | None = None,
    **fields: Any,
) -> Explanations:
    """Answer one DIFF.

    Parameters
    ----------
    sides : Sides
        What it compares.
    rules : Rules
    run : Run, optional
        Told how far the work is, and looked at for cancelling.
    fail : callable, optional
        `fail(column, message, hint)` makes the error for a column of ON, SUM or AVG that there is not.
    **fields
        Fields of `Answer`, such as `sql_table` and `native`.
    """
    actuals = Actuals()
    rules = rules.checked()
    notes = list(rules.notes)
    _stage(run, "read")
    rules, on, more = chosen_columns(sides, rules, fail)
    notes += more
    with actuals.step("Read"):
        data, marks = read_marks(sides, rules, on)
    _stage(run, "encode")
    with actuals.step("Encode", rows=float(len(marks.flags))):
        notes += _overlap(sides)
        question = _Asked(sides, data, rules, marks, actuals, fields, run)
    sides.tables.serve(question)  # the answer asks again for rows
    return question.explanations(notes)


@dataclass(eq=False)
class _Asked:
    """A DIFF with its rows: what the search needs, and what asking again on a part of them does."""

    sides: Sides
    data: Data
    rules: Rules
    marks: Marks
    actuals: Actuals
    fields: dict[str, Any]
    run: Run[Any] | None = None

    def explanations(self, notes: list[str]) -> Explanations:
        from workbench.anomaly.execution import Question, explain_marked

        marks, rules = self.marks, self.rules
        every = rules.compare == "mean_deviation"
        flags = np.ones(len(marks.flags), bool) if every else marks.flags
        request = self._request()
        notes = [*notes, *self._ranges(), *marks.notes, *self._nothing(flags)]
        fields: dict[str, Any] = {
            "n_left_out": marks.left_out,
            "flags": _spread(flags.view(np.int8), marks.used, -1),
            "marked_by": " ".join((self.sides.condition or "").split()) or " against ".join(self.sides.names),
            "spec": rules.spec,
            "rerun": self.again,
            "native": self.data.sql,
        }
        if rules.mean is not None:
            metric = marks.metric
            assert metric is not None
            fields["measured"] = lambda: _spread(metric, marks.used, np.nan)
            fields["measured_name"] = rules.mean
        if marks.weights is not None:
            fields["weights"] = _spread(marks.weights, marks.used, np.nan)
            fields["weighted"] = not marks.whole
        if marks.weights is not None and marks.whole:
            fields["n_rows"], fields["n_outliers"] = int(marks.weights.sum()), int(marks.weights[flags].sum())
        question = Question(self.data, request, self.actuals, self._plan(), None, notes, {**fields, **self.fields})
        found = explain_marked(
            marks.columns, flags, data=self.data, request=request, weights=marks.weights, metric=marks.metric,
            std=marks.std, run=self.run, actuals=self.actuals, question=question,
        )  # fmt: skip
        if isinstance(self.data, DiffData):
            from workbench.anomaly.diff_drill import DiffRows

            answer: Answer = found._answer
            answer.access = DiffRows(answer, self.data)
        return found

    def again(self, conditions: Conditions, keep: bool, changes: dict[str, Any]) -> Explanations:
        """Ask on the rows that match the conditions, or on the others."""
        matching = f"coalesce({self.data.sql(conditions)}, false)"
        only = matching if keep else f"NOT {matching}"
        if self.sides.only is not None:
            only = f"({self.sides.only}) AND {only}"
        on = tuple(column.name for column in self.marks.columns)
        known = {name: value for name, value in changes.items() if name in Rules.__dataclass_fields__}
        rules = replace(self.rules, on=on, notes=(), **known)
        fields = {name: value for name, value in self.fields.items() if name != "native"}
        return answer_diff(replace(self.sides, only=only, _schemas=[]), rules, **fields)

    # ------------------------------------------------------------------------------------------------------- private

    def _request(self) -> Any:
        from workbench.anomaly.language import Request

        rules, names = self.rules, tuple((column.name, None) for column in self.marks.columns)
        return Request(
            metrics=(rules.mean,) if rules.mean is not None else (), by=names, where=self.sides.condition,
            min_support=rules.min_support, min_ratio=rules.min_ratio, compare=rules.compare,
            max_combo=min(rules.max_combo, max(1, len(names))),
        )  # fmt: skip

    def _ranges(self) -> list[str]:
        return [
            range_note(column.name, column.distinct, len(column.edges) - 1)
            for column in self.marks.columns
            if column.distinct is not None and column.edges is not None
        ]

    def _nothing(self, flags: NDArray[np.bool_]) -> list[str]:
        """Return the note where there is nothing to explain."""
        if flags.any():
            if flags.all() and self.rules.compare != "mean_deviation" and self.sides.condition is None:
                return [remarks.no_rows(self.sides.names[1]).replace("explain", "compare with")]
            return []
        if self.sides.condition is None or not self.data.n_rows:
            return [remarks.no_rows(self.sides.names[0])]
        from workbench.anomaly.marking import extreme

        condition = " ".join(self.sides.condition.split())
        return [remarks.no_row_satisfies(condition, extreme(self.data, condition))]

    def _plan(self) -> Plan:
        names = [column.name for column in self.marks.columns]
        rows = float(len(self.marks.flags))
        condition = self.sides.condition
        read = " and ".join(self.sides.names) + ("" if condition is None else f" where {' '.join(condition.split())}")
        node = Node("Read", read, rows=rows, bytes=float(self.data.size))
        node = Node("Encode", ", ".join(names), children=(node,))
        orders = min(self.rules.max_combo, max(1, len(names)))
        node = Node("Count", f"1 to {orders} columns" if orders > 1 else "1 column", children=(node,))
        return Plan(Node("Rank", f"by {self.rules.compare}", children=(node,)))


# ----------------------------------------------------------------------------------------------------------- private


def _overlap(sides: Sides) -> list[str]:
    """Return the note for rows that are on both sides, where both read one table."""
    from workbench.anomaly.diff_overlap import overlap

    count = overlap(sides)
    if not count:
        return []
    rows = "row occurs on both sides; it counts" if count == 1 else "rows occur on both sides; they count"
    return [f"{count:,} {rows} on both."]


def _spread(values: NDArray, used: NDArray[np.bool_] | None, missing: Any) -> NDArray:
    """Return values of the used rows as one a row of the source."""
    if used is None:
        return values
    full = np.full(len(used), missing, values.dtype)
    full[used] = values
    return full


def _stage(run: Run[Any] | None, stage: str) -> None:
    if run is not None:
        run.check()
        run.update(stage=stage)
