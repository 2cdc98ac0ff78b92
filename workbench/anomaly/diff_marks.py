"""The rows of a DIFF in codes, with the flag of the first side, weights and metric."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from workbench.anomaly import remarks
from workbench.anomaly.data import Data, as_float64
from workbench.anomaly.diff_rules import Rules
from workbench.anomaly.diff_source import DiffData, Sides
from workbench.anomaly.encode import encode_array
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.frames import Codes

__all__ = ["Marks", "check_weights", "read_marks"]


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


def read_marks(sides: Sides, rules: Rules, on: tuple[str, ...]) -> tuple[Data, Marks]:
    """Read the columns of ON, the metric and the flags.

    Returns
    -------
    Data
        Where the rows behind an explanation come from.
    Marks
    """
    from workbench.anomaly.join_diff import read_joined

    joined = read_joined(sides, rules, on)
    if joined is not None:
        return joined
    table = _table_of(sides)
    extra = [name for name in (rules.weight, rules.mean) if name is not None]
    if table is not None:
        flags = sides.tables.table(sides.whole(sides.rows([]))).column(0).to_numpy()
        if len(flags) != table.n_rows:
            raise WorkbenchError(
                "The condition of SPLIT has no answer for each row, as an aggregate has none.",
                f"For a figure over all rows write (SELECT avg(x) FROM {sides.items[0].strip()}).",
            )
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
