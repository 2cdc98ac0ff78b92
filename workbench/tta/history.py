"""The record of earlier runs: read as `Runs`, and as what projections are made of."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest
from workbench.tta.clock import Timeline, clock_seconds
from workbench.tta.crossings import crossing
from workbench.tta.projection import pace
from workbench.tta.record import STATES
from workbench.tta.store import Store, open_store

if TYPE_CHECKING:
    from workbench.tta.runs import Runs

__all__ = ["earlier", "runs"]

#: states of runs that came to an end: the others are listed and not counted
_COUNTED = ("finished", "reached", "budget", "hopeless", "failed")


def runs(
    recipe: str | None = None,
    *,
    task: str | None = None,
    state: str | Sequence[str] | None = None,
    store: str | os.PathLike[str] | Store | None = None,
) -> Runs:
    """Return the runs that were tracked, in the order started.

    Parameters
    ----------
    recipe, task : str, optional
        Those of one recipe, of one task.
    state : str or sequence of str, optional
        Those in this state: `running`, `reached`, `finished`, `interrupted`, `budget`, `hopeless`, `failed`, `lost`. A
        run whose process is gone is `lost`.
    store : path, optional
        Folder of the database; default `WORKBENCH_HOME/tta`.

    Returns
    -------
    Runs
        Empty if there are none. Attempts of which one went on with the other are one run.

    Raises
    ------
    WorkbenchError
        For an unknown state, and for a database that is locked, damaged, or of a newer version.
    """
    from workbench.tta.run import Run
    from workbench.tta.runs import Runs

    for one in [state] if isinstance(state, str) else state or ():
        if one not in STATES:
            raise WorkbenchError(f"No state {one}.", suggest(str(one), STATES, f"Known: {', '.join(STATES)}."))
    return Runs(Run(record) for record in open_store(store).records(recipe, task=task, state=state))


def earlier(
    store: Store,
    recipe: str,
    metric: str,
    target: float,
    goal: str = "max",
    schedule: str | None = None,
    steps: int | None = None,
    *,
    clock: str | None = None,
) -> list[tuple[int | None, int | None, float]]:
    """Return what a projection needs of the earlier runs of a recipe that came to an end.

    Parameters
    ----------
    store : Store
    recipe, metric, target, goal, schedule, steps
        All the same as theirs.
    clock : str, optional
        Of the pace; default each run's own.

    Returns
    -------
    list of (crossing, last, pace)
        Step of the first crossing or None; step of the last evaluation or None if there was none; seconds per step over
        the last fifth of the steps, NaN if there are not two evaluations.
    """
    from workbench.tta import reading

    where = (
        "recipe.name = ? AND recipe.metric = ? AND recipe.target = ? AND recipe.goal = ? AND recipe.schedule IS ? "
        "AND recipe.steps IS ?"
    )
    with store.reading() as connection:
        if connection is None:
            return []
        found = reading.attempts(connection, where, (recipe, metric, float(target), goal, schedule, steps))
        chains = [chain for chain in reading.chains(found) if chain[-1].state in _COUNTED]
        logs = reading.logs(connection, chains)
    return [
        _told(log, metric, target, goal, clock or str(chain[-1].facts["clock"]))
        for chain, log in zip(chains, logs, strict=True)
    ]


def _told(log: Any, metric: str, target: float, goal: str, clock: str) -> tuple[int | None, int | None, float]:
    rows = [row for row in log.evals if row[3] == metric]
    if not rows:
        return None, None, math.nan
    steps = np.array([row[1] for row in rows], np.float64)
    values = np.array([math.nan if row[4] is None else row[4] for row in rows], np.float64)
    at = crossing(values, target, goal)
    seconds = clock_seconds(Timeline(log.spans), [row[6] for row in rows], clock)
    return None if at is None else int(steps[at]), int(steps[-1]), pace([int(step) for step in steps], seconds.tolist())
