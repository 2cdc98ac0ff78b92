"""What is seen of finished runs: words, chart with its figures, warnings and notes, tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from workbench.tta.live_state import earlier_series, series_of, state_of
from workbench.tta.texts import runs_told, words

if TYPE_CHECKING:
    import pandas as pd

    from workbench.tta.record import Record
    from workbench.tta.run import Run
    from workbench.tta.runs import Runs

__all__ = ["environment_table", "run_view", "runs_view"]

#: columns of `Runs.summary` and `Runs.table` that are shown; those in which nothing is known are not
_RECIPES = (
    "recipe", "threshold", "n", "reached", "reach_low", "reach_high", "mean", "mean_low", "mean_high", "median", "cv",
    "cv_low", "cv_high", "expected_seconds", "steps_mean", "cpu_mean", "cost_mean", "energy_mean",
)  # fmt: skip
_RUNS = (
    "recipe", "seed", "attempt", "state", "reached", "seconds", "confirmed_seconds", "steps", "cpu_seconds", "cost_usd",
    "energy_j", "best", "final", "stable", "gap", "contended",
)  # fmt: skip
_LINES = 6  # of words above the chart
_DRAWN = 60  # runs in one chart
_LONG = 300  # characters of a value in the environment's table


def run_view(run: Run) -> dict[str, Any]:
    """Return the blocks of a run: its words, chart and figures, warnings, notes, crossings and environment."""
    record = run.record
    first, *rest = words(run)
    blocks: list[dict[str, Any]] = [{"kind": "summary", "text": first}]
    if len(run.curve()):
        # The summary above has the title; the other words say what the figures do, so they are for the text form.
        state = {**state_of(run, earlier=run.earlier), "title": "", "status": ""}
        del state["notes"]
        blocks.append({"kind": "curve", "state": state, "text": "\n".join(rest), "alt": first})
    else:
        blocks += [_note(line) for line in rest]
    blocks += [_note(line, "warning") for line in record.warnings]
    blocks += [_note(line) for line in record.notes]
    if len(run.curve()):
        blocks.append({"kind": "table", "name": "crossings", "frame": run.crossings})
    if record.environment:
        blocks.append({"kind": "table", "name": "environment", "frame": environment_table([record]), "text": False})
    return {"blocks": blocks}


def runs_view(runs: Runs) -> dict[str, Any]:
    """Return the blocks of several runs: a line and a summary row for each recipe, their curves, and a row for each."""
    lines = [line for line in runs_told(runs).split("\n") if line]
    if len(lines) > _LINES:
        lines[_LINES - 1 :] = [f"and {len(lines) - _LINES + 1} more, in the table below"]
    blocks: list[dict[str, Any]] = [{"kind": "summary", "text": line} for line in lines]
    drawn = [run for run in runs if len(run.curve())]
    if drawn and len({run.metric for run in drawn}) == 1 and len({run.clock for run in drawn}) == 1:
        blocks.append({"kind": "curve", "state": _together(drawn), "text": "", "alt": _alt(drawn)})
    said = dict.fromkeys(line for run in runs for line in run.warnings)
    blocks += [_note(line, "warning") for line in said]
    blocks.append({"kind": "table", "name": "recipes", "frame": _told(runs.summary(), _RECIPES)})
    blocks.append({"kind": "table", "name": "runs", "frame": _told(runs.table, _RUNS)})
    return {"blocks": blocks}


def environment_table(records: Iterable[Record]) -> pd.DataFrame:
    """Return what is known of where runs took place, `name str, value str`; equal ones once."""
    import pandas as pd

    rows: dict[tuple[str, str], None] = {}
    for record in records:
        rows |= dict.fromkeys((name, _plain(value)) for name, value in _flat(record.environment))
    names = {
        "name": pd.Series([name for name, _ in rows], dtype="str"),
        "value": pd.Series([value for _, value in rows], dtype="str"),
    }
    return pd.DataFrame(names)


def _told(frame: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Return the columns in which something is known, and tells rows apart where it is always the same."""
    same = {"recipe", "attempt", "contended"}
    kept = [
        name for name in columns
        if frame[name].notna().any() and not (name in same and len(frame) > 1 and frame[name].nunique() == 1)
    ]  # fmt: skip
    return frame[kept]


def _together(runs: list[Run]) -> dict[str, Any]:
    """Return the state of one chart for several runs: lines in colour up to eight, grey beyond."""
    records = [run.record for run in runs]
    first = records[0]
    if len(records) <= 8:
        series = [{name: value for name, value in series_of(one).items() if name in _LINE} for one in records]
    else:
        series = earlier_series(records, replace(first, id=""), _DRAWN)
    targets = {one.target for one in records}
    ends = [one["x"][-1] for one in series if one["x"] and one["x"][-1] > 0]
    return {
        "x_log": bool(ends) and max(ends) > _WIDE * min(ends),
        "series": series, "x_label": f"time on the {first.clock} clock", "x_unit": "s", "y_label": first.metric,
        "target": targets.pop() if len(targets) == 1 else None, "band": None, "marks": [],
    }  # fmt: skip


_WIDE = 50  # times the shortest run: beyond that their times stand on a logarithmic axis
_LINE = ("name", "x", "y", "labels")


def _alt(runs: list[Run]) -> str:
    return f"{runs[0].metric} against time of {len(runs)} run{'' if len(runs) == 1 else 's'}"


def _note(text: str, level: str = "info") -> dict[str, Any]:
    return {"kind": "note", "level": level, "text": text}


def _flat(environment: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in environment.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= _LONG else text[: _LONG - 1] + "…"
