"""The answer of one DIFF: columns chosen, rows read and marked, combinations searched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import checks, remarks
from workbench.anomaly.by_columns import check_plain, chosen_by, range_note
from workbench.anomaly.data import Data, as_float64, is_number, kind_name
from workbench.anomaly.diff_source import DiffData, Sides
from workbench.anomaly.encode import encode_array
from workbench.anomaly.plan import Actuals
from workbench.engine.errors import WorkbenchError
from workbench.engine.plan import Node, Plan

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.answer import Answer
    from workbench.anomaly.conditions import Conditions
    from workbench.anomaly.frames import Codes
    from workbench.anomaly.results import Explanations
    from workbench.engine.run import Run

__all__ = ["Rules", "answer_diff"]

MEANS = ("mean_shift", "mean_deviation")


@dataclass(frozen=True)
class Rules:
    """What a DIFF asks for.

    Attributes
    ----------
    on : tuple of str, or None for `*`
    min_ratio, min_support : float
    max_combo : int
    compare : str
    weight : str, optional
        The column of SUM.
    mean : str, optional
        The column of AVG.
    spec : dict
        The call, for `.spec`.
    notes : tuple of str
        What was decided for the reader.
    """

    on: tuple[str, ...] | None
    min_ratio: float
    min_support: float
    max_combo: int
    compare: str
    weight: str | None = None
    mean: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def checked(self) -> Rules:
        """Return the rules; raise for a limit out of its range."""
        return replace(
            self,
            min_support=checks.check_support(self.min_support),
            min_ratio=checks.check_min_ratio(self.min_ratio, self.compare),
            max_combo=checks.check_count("max_combo", self.max_combo, "a number of columns", 1, 3),
        )


@dataclass(eq=False)
class Marks:
    """The rows of a DIFF that count.

    Attributes
    ----------
    columns : list of Codes
        One code a row.
    flags : bool (n,)
        Rows of the first side.
    used : bool (rows of the source,), optional
        Which rows of the source these are; None: all.
    weights : float64 (n,), optional
        Rows that each stands for, or the sums of SUM.
    metric, std : float64 (n,), optional
        The second is 0: rows that stand for many are all alike.
    whole : bool
        Whether weights are counts of rows.
    """

    columns: list[Codes]
    flags: NDArray[np.bool_]
    used: NDArray[np.bool_] | None = None
    weights: NDArray[np.float64] | None = None
    metric: NDArray[np.float64] | None = None
    std: NDArray[np.float64] | None = None
    whole: bool = False
    left_out: int = 0
    notes: list[str] = field(default_factory=list)


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
    rules, on, more = _columns(sides, rules, fail)
    notes += more
    with actuals.step("Read"):
        data, marks = _read(sides, rules, on)
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


# ------------------------------------------------------------------------------------------------------------ columns


def _columns(
    sides: Sides, rules: Rules, fail: Callable[[str, str, str], WorkbenchError] | None
) -> tuple[Rules, tuple[str, ...], list[str]]:
    """Return the rules with columns as the sides write them, the columns of ON, and notes."""
    from workbench.anomaly.diff_source import condition_columns

    def column(name: str) -> str:
        return sides.column(name, lambda m, h: fail(name, m, h) if fail else WorkbenchError(m, h))

    named = {part: column(name) for part in ("weight", "mean") if (name := getattr(rules, part)) is not None}
    rules = replace(rules, **named)  # type: ignore[arg-type]
    for name in named.values():
        for schema in sides.schemas:
            kind = next(kind for known, kind in schema.items() if known.casefold() == name.casefold())
            if not is_number(kind):
                raise WorkbenchError(
                    f'"{name}" is {kind_name(kind)}; a metric must be a number.', "Use it in --by instead."
                )
    if rules.on is not None:
        on = tuple(column(name) for name in rules.on)
        for schema in sides.schemas:
            for name in on:
                check_plain(name, next(kind for known, kind in schema.items() if known.casefold() == name.casefold()))
        return rules, on, []
    common = sides.common()
    if not common:
        raise WorkbenchError(
            "The two sides have no column in common.",
            f"Columns: {', '.join(sides.schemas[0])}; and {', '.join(sides.schemas[1])}",
        )
    texts = [sides.condition] if sides.condition is not None else list(sides.items)
    conditions = condition_columns(texts, common, where=sides.condition is None)
    data = _Common(sides, " and ".join(sides.names), list(common))
    by, notes = chosen_by(data, list(named.values()), conditions)
    differ = sides.differences()
    return rules, tuple(name for name, _ in by), [*([differ] if differ else []), *notes]


class _Common(DiffData):
    """The rows of a DIFF with the columns that both sides have."""

    def __init__(self, sides: Sides, name: str, columns: Sequence[str]) -> None:
        super().__init__(sides, name)
        self.columns = columns

    def _read_schema(self) -> list[tuple[str, Any]]:
        found = self.sides.tables.schema(self.sides.whole(self.sides.rows(self.columns)))
        return [(name, kind) for name, kind in found.items() if name in self.columns]


# --------------------------------------------------------------------------------------------------------------- rows


def _read(sides: Sides, rules: Rules, on: tuple[str, ...]) -> tuple[Data, Marks]:
    """Read the columns of ON, the metric and the flags."""
    from workbench.anomaly.join_diff import read_joined

    joined = read_joined(sides, rules, on)
    if joined is not None:
        return joined
    table = _table_of(sides)
    extra = [name for name in (rules.weight, rules.mean) if name is not None]
    if table is not None:
        flags = sides.tables.table(sides.whole(sides.rows([]))).column(0).to_numpy()
        marks = _marked(table, rules, on, np.asarray(flags, dtype=bool))
        return table, marks
    data = DiffData(sides, " and ".join(sides.names))
    data.load(dict.fromkeys([*on, *extra]))
    return data, _marked(data, rules, on, data.flags)


def _marked(data: Data, rules: Rules, on: tuple[str, ...], flags: NDArray[np.bool_]) -> Marks:
    columns = [_coded(data, name) for name in on]
    marks = Marks(columns, flags)
    for name in (rules.weight, rules.mean):
        if name is None:
            continue
        values = as_float64(data.column(name)) if isinstance(data, DiffData) else data.numbers(name)
        missing = np.isnan(values)
        if missing.any():
            marks.used = ~missing
            marks.left_out = int(missing.sum())
            marks.notes.append(remarks.left_out(marks.left_out, len(values), [name]))
            values = values[marks.used]
            marks.flags = flags[marks.used]
            marks.columns = [replace(column, codes=column.codes[marks.used]) for column in columns]
        if name == rules.weight:
            check_weights(name, values)
            marks.weights = values
        else:
            marks.metric = values
    return marks


def check_weights(name: str, values: NDArray[np.float64]) -> None:
    """Raise for weights that cannot stand for rows."""
    bad = values[~(values >= 0) | np.isinf(values)]
    if len(bad):
        raise WorkbenchError(
            f'"{name}" holds {remarks.number(float(bad.min()))}; SUM takes weights of 0 or more.',
            f"Leave such rows out: WHERE {name} >= 0.",
        )


def _coded(data: Data, name: str) -> Codes:
    if isinstance(data, DiffData):
        return encode_array(name, data.column(name))
    from workbench.anomaly.frames import encode

    return encode(data, name)


def _table_of(sides: Sides) -> Data | None:
    """Return the table that a SPLIT splits, where that is one that was passed: its columns need not go through SQL."""
    if sides.condition is None or sides.only is not None or sides.scope:
        return None
    from workbench.anomaly.sql_tokens import tokenize

    tokens = tokenize(sides.items[0])
    if len(tokens) != 2 or not (tokens[0].is_name or tokens[0].kind == "text"):
        return None
    found = sides.tables.known.get(tokens[0].name if tokens[0].is_name else tokens[0].value)
    return found if found is not None and found.kind != "dask" else None


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
