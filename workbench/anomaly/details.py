"""The drill-down of the first explanations, ready for a page without a kernel: rows, histogram, filters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from workbench.anomaly import drawing, present
from workbench.anomaly import text as words
from workbench.anomaly.drill import access
from workbench.anomaly.table import conditions_at
from workbench.engine import ranked

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.answer import Answer, RowsAccess
    from workbench.anomaly.score import Cutoff

__all__ = ["details", "overview"]

#: explanations with details, rows and columns of each, and characters of all details together
DETAILS, ROWS, COLUMNS, MOST = 10, 10, 14, 200_000
#: bytes and rows of a source elsewhere above which it is not read once more just to be shown
LARGE, LONG = 2**28, 5_000_000
_CUT = 80


def details(answer: Answer, state: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the blocks below the first rows of a `ranked` state, by the row's number as text.

    Parameters
    ----------
    answer : Answer
    state : dict
        As `view.ranked_state` gives it.
    """
    rows = _readable(answer)
    ranks = [int(row[0]) - 1 for row in state["rows"][:DETAILS]]
    behind: list[Any] = [None] * len(ranks)
    if rows is not None:
        chosen = [conditions_at(answer, rank) for rank in ranks]
        at_once = getattr(rows, "drill", None)
        behind = at_once(chosen, ROWS) if at_once else [(rows.rows(one, ROWS), rows.histogram(one)) for one in chosen]
    found: dict[str, list[dict[str, Any]]] = {}
    left = MOST
    for index, (rank, part) in enumerate(zip(ranks, behind, strict=True)):
        blocks = _blocks(answer, part, rank, ranked.chips(ranked.pairs(state["rows"][index][1])))
        size = len(json.dumps(blocks, ensure_ascii=False))
        if size > left:
            # The filters are always there: they are how a reader gets at all the rest.
            blocks = [block for block in blocks if block["kind"] == "code"]
            size = len(json.dumps(blocks, ensure_ascii=False))
            if size > left:
                break
        left -= size
        found[str(index)] = blocks
    return found


def overview(answer: Answer) -> list[dict[str, Any]]:
    """Return the histogram of what is measured, the first explanation overlaid; nothing where nothing is measured."""
    rows = _readable(answer)
    if rows is None:
        return []
    first = conditions_at(answer, 0) if len(answer.order) else None
    frame = rows.histogram(first)
    if not len(frame) or not float(frame["rows"].sum()):
        return []
    selected = ranked.chips(_pairs(answer, 0)) if first is not None else ""
    name, cutoff, on_score = _measured(answer)
    svg, alt = drawing.histogram(frame, name, cutoff, selected=selected, on_score=on_score)
    # The header and the table say all of it in text.
    return [{"kind": "svg", "svg": svg, "alt": alt, "text": ""}]


def _blocks(answer: Answer, behind: Any, rank: int, name: str) -> list[dict[str, Any]]:
    conditions, missing = conditions_at(answer, rank), words.missing_metrics(answer)
    found: list[dict[str, Any]] = []
    if behind is not None:
        frame, histogram = behind
        if len(histogram) and float(histogram["selected"].sum()):
            measured, cutoff, on_score = _measured(answer)
            svg, alt = drawing.in_out(histogram, measured, cutoff, name, on_score)
            found.append({"kind": "svg", "svg": svg, "alt": alt})
        total = float(answer.found.answers.t[int(answer.order[rank])])
        found.append(_table(answer, frame, None if answer.weighted else int(total), dict(conditions)))
    found.append({"kind": "code", "language": "sql", "text": present.sql(answer.rows, conditions, missing)})
    found.append({"kind": "code", "language": "pandas", "text": present.code(answer.rows, conditions, missing)})
    return found


def _measured(answer: Answer) -> tuple[str, Cutoff | None, bool]:
    """Return what the histogram is about, its cutoff, and whether that is one of the score."""
    name = words.measured_name(answer)
    counted = getattr(answer.access, "measured_name", name)
    if counted != name:  # rows elsewhere have the metric, but not what was made of it here
        return counted, None, False
    return name, answer.cutoff, words.on_score(answer) and name == "score"


def _table(answer: Answer, frame: pd.DataFrame, total: int | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return rows as a block of plain data: outlier and score, the metric, what explains, then the other columns."""
    names = list(frame.columns)
    metric = answer.metric
    metrics = [metric] if isinstance(metric, str) else list(metric or ())
    own = names[-2:]
    front = [name for name in [*own, *metrics, *chosen, *answer.by] if name in names]
    kept = list(dict.fromkeys([*front, *names]))[: max(COLUMNS, len(own) + len(metrics) + len(chosen))]
    left_out = len(names) - len(kept)
    if own[-1] in kept and not frame[own[-1]].notna().any():
        kept.remove(own[-1])  # nothing was scored
    rows = [[_plain(value) for value in row] for row in frame[kept].itertuples(index=False, name=None)]
    block = {"kind": "table", "name": "rows", "columns": [str(name) for name in kept], "rows": rows}
    return block | {"total": len(rows) if total is None else total, "left_out": left_out}


def _pairs(answer: Answer, rank: int) -> list[list[Any]]:
    from workbench.anomaly.view import chips_at

    return chips_at(answer, rank)


def _readable(answer: Answer) -> RowsAccess | None:
    """Return the rows where they can be had without another long pass over the source."""
    if answer.access is None and answer.rows is None and answer.marked is None:
        return None
    if answer.marked is not None and (answer.rows is None or answer.rows.size > LARGE or answer.n_rows > LONG):
        return None
    return access(answer)


def _plain(value: Any) -> Any:
    """Return a cell as JSON can hold it: a number, or text that is not too long."""
    import numpy as np

    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int)):
        return str(value).lower() if isinstance(value, bool) else value
    if isinstance(value, float):
        return value if value - value == 0 else None if value != value else "inf" if value > 0 else "-inf"
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    text = str(value)
    return text if len(text) <= _CUT else f"{text[: _CUT - 1]}…"
