"""The table of an answer: one row an explanation in rank order, with counts, the compare metric and its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.values import pandas_column

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.answer import Answer
    from workbench.anomaly.conditions import Conditions

__all__ = ["codes_at", "conditions_at", "frame_of", "free_name", "intervals", "q_values"]


def frame_of(answer: Answer, q_value: bool = False) -> pd.DataFrame:
    """Return the table; its columns and dtypes are there without rows too.

    Parameters
    ----------
    answer : Answer
    q_value : bool
        Add the false discovery rate over all candidates counted.
    """
    import pandas as pd

    sets, order = answer.found.answers, np.asarray(answer.order, dtype=np.int64)
    table = codes_at(answer)
    columns: dict[str, Any] = {
        codes.name: pandas_column(codes, table[:, place]) for place, codes in enumerate(answer.columns)
    }
    taken = set(columns)

    def add(name: str, values: Any) -> None:
        name = free_name(name, taken)
        taken.add(name)
        columns[name] = values

    counts = np.float64 if answer.weighted else np.int64
    o, t = (np.asarray(part)[order].astype(counts) for part in (sets.o, sets.t))
    value = np.asarray(sets.value)[order].astype(np.float64)
    add("support", np.asarray(sets.support)[order].astype(np.float64))
    if answer.sql_table:
        add(answer.compare, value)
    else:
        low, high = intervals(answer)
        add("ratio", value)
        add("ratio_low", low)
        add("ratio_high", high)
    add("outlier_count", o)
    add("total_count", t)
    if not answer.sql_table:
        add("combo_size", (table >= 0).sum(axis=1, dtype=np.int64))
    if q_value:
        add("q_value", q_values(answer))
    if answer.since is not None:
        add("since", np.asarray(answer.since)[order].astype(np.int64))
    return pd.DataFrame(columns, index=pd.RangeIndex(len(order)))


def codes_at(answer: Answer) -> np.ndarray:
    """Return the code of each column in each explanation, by rank: int64 (m, columns), -1 where it has no part."""
    order, sets = np.asarray(answer.order, dtype=np.int64), answer.found.answers
    table = np.full((len(order), len(answer.columns)), -1, dtype=np.int64)
    if len(order):
        where, codes = np.asarray(sets.columns)[order], np.asarray(sets.codes)[order]
        rows, slots = np.nonzero(where >= 0)
        table[rows, where[rows, slots]] = codes[rows, slots]
    return table


def conditions_at(answer: Answer, rank: int) -> Conditions:
    """Return the conditions of an explanation, exact: null is None, a range is a `pandas.Interval`."""
    sets, place = answer.found.answers, int(answer.order[rank])
    pairs = zip(sets.columns[place], sets.codes[place], strict=True)
    return tuple(
        (answer.columns[column].name, answer.columns[column].python(int(code))) for column, code in pairs if column >= 0
    )


def intervals(answer: Answer) -> tuple[np.ndarray, np.ndarray]:
    """Return the 95 % intervals by rank; NaN where none is defined."""
    from workbench.anomaly import compare

    sets, order, found = answer.found.answers, np.asarray(answer.order, dtype=np.int64), answer.found
    if not len(order):
        return np.empty(0), np.empty(0)
    out, inside = getattr(found, "moments_out", None), getattr(found, "moments_in", None)
    if answer.compare == "mean_shift" and out is not None and inside is not None:
        (n1, m1, v1), (n2, m2, v2) = (tuple(np.asarray(part)[order] for part in moments) for moments in (out, inside))
        low, high = compare.mean_shift_interval((n1, m1, v1), (n2, m2, v2))
    elif answer.compare in ("mean_shift", "mean_deviation"):
        low = high = np.full(len(order), np.nan)
    else:
        o, t = np.asarray(sets.o)[order], np.asarray(sets.t)[order]
        low, high = compare.interval(answer.compare, o, t, answer.n_outliers, answer.n_rows)
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def q_values(answer: Answer) -> np.ndarray:
    """Return the false discovery rate of each explanation, by rank, over all candidates that were counted."""
    from workbench.anomaly import compare

    found, order = answer.found, np.asarray(answer.order, dtype=np.int64)
    if not len(order):
        return np.empty(0)
    # Equal counts have equal p-values, and most small sets have.
    counts, place = np.unique(np.stack([found.tested_o, found.tested_t]), axis=1, return_inverse=True)
    p = np.asarray(compare.p_values(counts[0], counts[1], answer.n_outliers, answer.n_rows))[place.reshape(-1)]
    q = np.asarray(compare.q_values(p), dtype=np.float64)
    return q[np.asarray(found.tested_index, dtype=np.int64)[order]]


def free_name(name: str, taken: Any) -> str:
    """Return the name with `_` added until no column has it."""
    while name in taken:
        name += "_"
    return name
