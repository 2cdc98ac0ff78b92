"""`report`: runs, how their recipes compare, and how sure that is, as one HTML file that needs no network."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from workbench.engine import render
from workbench.engine.errors import WorkbenchError
from workbench.tta.record import record_of
from workbench.tta.run import Run
from workbench.tta.runs import Runs

__all__ = ["report"]

#: of a target in percent: what is added to it for the table over thresholds; in fractions a hundredth of that
_AROUND = (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0)
#: of a target that is to be undercut: what it is multiplied by
_ABOVE = (2.0, 1.5, 1.2, 1.0, 0.9, 0.8)


def report(runs: Any, path: str | os.PathLike[str], *, title: str | None = None) -> Path:
    """Write runs as one HTML file: words, curves, comparison, sensitivity, environments. Nothing in it is fetched.

    Parameters
    ----------
    runs : Runs, Run, or a sequence of these
        Further results (a `Comparison`, a `Profile`, a DataFrame) are shown as they are.
    path : path
        The file; it is replaced.
    title : str, optional

    Returns
    -------
    Path

    Raises
    ------
    WorkbenchError
        There is nothing to report, or the file cannot be written.
    """
    items = list(runs) if isinstance(runs, Iterable) and not _shown(runs) else [runs]
    if not items or not all(_shown(item) for item in items):
        raise WorkbenchError("There is nothing to report.", "Pass runs: wb.tta.report(runs, 'report.html').")
    groups = [Runs([item]) if isinstance(item, Run) else item for item in items if isinstance(item, (Run, Runs))]
    every = [run for group in groups for run in group]
    names = list(dict.fromkeys(run.name for run in every))
    parts: list[Any] = []
    for item in items:
        parts += [f"## {_called(item)}", item]
    parts += _compared(groups) + _over_thresholds(every) + _environments(every)
    return render.write_page(parts, path, title or f"Time to accuracy: {', '.join(names[:3]) or 'results'}")


def _shown(item: Any) -> bool:
    return hasattr(item, "view_data") or hasattr(item, "iloc")


def _called(item: Any) -> str:
    if isinstance(item, Run):
        return _escape(item.name + (f", seed {item.seed}" if item.seed is not None else ""))
    if isinstance(item, Runs):
        names = list(dict.fromkeys(run.name for run in item))
        return _escape(names[0] if len(names) == 1 else f"{len(names)} recipes" if names else "Runs")
    return _escape(type(item).__name__ if not hasattr(item, "iloc") else "Table")


def _compared(groups: Sequence[Runs]) -> list[Any]:
    """Return the comparison of the recipes, or why there is none."""
    import warnings

    from workbench.tta.comparison import compare
    from workbench.tta.problems import TTAWarning

    if len(groups) < 2 or not all(len(group) for group in groups):
        return []
    try:
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always", TTAWarning)
            found = compare(*groups)
    except WorkbenchError as error:
        return ["## Comparison", _note([*error.lines()])]
    return ["## Comparison", found, *[_note([str(one.message)]) for one in said]]


def _over_thresholds(runs: Sequence[Run]) -> list[Any]:
    """Return how the fastest changes with the threshold, where all runs have one target."""
    from workbench.tta.ranking import sensitivity

    targets = {(run.metric, run.goal, run.threshold) for run in runs}
    if len(runs) < 2 or len(targets) != 1:
        return []
    ((_, goal, target),) = targets
    if goal == "max":
        unit = 1.0 if target > 1 else 0.01
        levels = [round(target + unit * step, 10) for step in _AROUND]
        levels = [level for level in levels if level <= 100 * unit]
    else:
        levels = [round(target * factor, 10) for factor in _ABOVE]
    try:
        table = sensitivity(list(runs), levels)
    except WorkbenchError as error:
        return ["## Sensitivity", _note(error.lines())]
    words = "Who is first, and how far the order agrees with that at the target (tau), as the threshold moves."
    return ["## Sensitivity", words, table]


def _environments(runs: Sequence[Run]) -> list[Any]:
    """Return what is known of where the runs took place: what is the same for all, and what is not."""
    from workbench.tta.view import environment_table

    records = [record_of(run) for run in runs]
    if len(records) < 2 or not any(record.environment for record in records):
        return []
    table = environment_table(records)
    differ = table[table["name"].duplicated(keep=False)]
    same = table.drop(differ.index).reset_index(drop=True)
    parts: list[Any] = ["## Environments"]
    if len(differ):
        parts += ["What is not the same in all runs:", differ.reset_index(drop=True)]
    return [*parts, "The same in all runs, or known of some only:", same] if len(same) else parts


def _note(lines: Sequence[str]) -> str:
    return "\n\n".join(_escape(line) for line in "\n".join(lines).splitlines())


def _escape(text: str) -> str:
    """Return text that Markdown shows as it is."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!<>|~$&" else c for c in text)
