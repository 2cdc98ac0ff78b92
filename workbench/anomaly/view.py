"""What an answer looks like: blocks for the notebook, the report and the text form, all of the same facts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import text as words
from workbench.anomaly.same import folds
from workbench.anomaly.table import codes_at, intervals
from workbench.anomaly.values import shown
from workbench.engine import ranked

if TYPE_CHECKING:
    from workbench.anomaly.answer import Answer

__all__ = ["ROWS", "TEXT_ROWS", "blocks", "chips_at", "preview", "ranked_state", "text"]

#: explanations in a state at most
ROWS = 200
#: explanations in text
TEXT_ROWS = 20


def blocks(answer: Answer) -> list[dict[str, Any]]:
    """Return the blocks of `view_data`."""
    from workbench.anomaly.details import details, overview

    found = _head(answer)
    if len(answer.order):
        state = ranked_state(answer)
        found.append({"kind": "ranked", "state": state | {"details": details(answer, state)}})
    found += overview(answer)
    if answer.plan is not None:
        found.append({"kind": "plan", "plan": answer.plan, "text": ""})
    return found


def preview(answer: Answer) -> list[dict[str, Any]]:
    """Return the blocks of `preview_data`."""
    table = [{"kind": "ranked", "state": ranked_state(answer, fold=False)}] if len(answer.order) else []
    return [*_head(answer), *table]


def text(answer: Answer) -> str:
    """Return header, notes and the aligned table."""
    lines = [words.header(answer), *(f"note: {note}" for note in answer.notes)]
    if len(answer.order):
        lines += ranked.lines(ranked_state(answer), TEXT_ROWS)
    return "\n".join(lines)


def ranked_state(answer: Answer, fold: bool = True) -> dict[str, Any]:
    """Return the state of the `ranked` block, without details.

    Parameters
    ----------
    answer : Answer
    fold : bool
        Put explanations of exactly the same rows under the first of them.
    """
    order = np.asarray(answer.order, dtype=np.int64)[:ROWS]
    sets = answer.found.answers
    table = codes_at(answer)[:ROWS]
    low, high = (ends[:ROWS] for ends in intervals(answer))
    label, word = words.ratio_label(answer.compare)
    columns: list[dict[str, Any]] = [
        {"name": "rank", "label": "#", "format": "rank"},
        {"name": "explanation", "label": "Explanation", "format": "chips"},
        {
            "name": "ratio", "label": label, "format": "ratio", "word": word,
            "linear": answer.compare in ("prevalence_difference", "mean_deviation"),
        },
        {"name": "support", "label": "Support", "format": "share", "word": "support"},
        {"name": "counts", "label": "Outliers / rows", "format": "count_of"},
    ]  # fmt: skip
    if answer.compare == "mean_deviation":
        columns[-1] = {"name": "counts", "label": "Rows", "format": "number", "word": "rows"}
    if answer.sparks is not None:
        columns.append({"name": "panes", "label": "By pane", "format": "spark"})
    if answer.since is not None:
        columns.append({"name": "since", "label": "Since pane", "format": "number", "word": "since pane"})
    folded = folds(answer, table) if fold else {rank: [] for rank in range(len(order))}
    rows = []
    for rank, same in folded.items():
        place = order[rank]
        o, t = _count(sets.o[place], answer), _count(sets.t[place], answer)
        row: list[Any] = [
            rank + 1,
            {"chips": _chips(answer, table[rank]), "same": [_chips(answer, table[other]) for other in same]},
            {"value": _figure(sets.value[place]), "low": _figure(low[rank]), "high": _figure(high[rank])},
            float(sets.support[place]),
            t if answer.compare == "mean_deviation" else [o, t],
        ]
        if answer.sparks is not None:
            row.append([_figure(value) for value in answer.sparks[place]])
        if answer.since is not None:
            row.append(int(answer.since[place]))
        rows.append(row)
    return {
        "columns": columns, "rows": rows, "details": {}, "sort": {"column": None, "descending": False},
        "selected": None, "page": 10, "total": len(answer.order) - sum(map(len, folded.values())),
    }  # fmt: skip


def chips_at(answer: Answer, rank: int) -> list[list[Any]]:
    """Return the (column, value as text or None) pairs of an explanation."""
    return _chips(answer, codes_at(answer)[rank])


def _head(answer: Answer) -> list[dict[str, Any]]:
    notes = [{"kind": "note", "level": "info", "text": note} for note in answer.notes]
    return [{"kind": "summary", "text": words.header(answer)}, *notes]


def _chips(answer: Answer, codes: np.ndarray) -> list[list[Any]]:
    return [
        [answer.columns[place].name, shown(answer.columns[place], int(code))]
        for place, code in enumerate(codes)
        if code >= 0
    ]


def _count(value: Any, answer: Answer) -> int | float:
    return float(value) if answer.weighted else int(value)


def _figure(value: Any) -> float | str | None:
    """Return a figure as JSON can hold it."""
    if value is None:
        return None
    value = float(value)
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else "inf" if value > 0 else "-inf"
