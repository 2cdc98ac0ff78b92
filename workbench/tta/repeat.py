"""`repeat`: a recipe over seeds, each a task on the session's workers, each its own run."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from workbench.engine import session as engine_session
from workbench.engine.errors import Stopped
from workbench.engine.run import Run as Work
from workbench.tta.outcomes import COUNTED
from workbench.tta.problems import TTAWarning
from workbench.tta.repeat_arguments import recipe_of, seeds_of, whole
from workbench.tta.repeat_driver import GRACE, Driver
from workbench.tta.repeat_plan import counted

if TYPE_CHECKING:
    from workbench.tta.runs import Runs

__all__ = ["repeat"]

_SEE = "All are in .missing; what they logged is in wb.tta.runs()."

_FAILED = "They count as not reached; the notes of each run say why."

#: different warnings of trackers that are told again
MOST_TOLD = 5


def repeat(
    train: Callable[[Any, int], Any],
    seeds: Iterable[int] = range(5),
    *,
    target: dict[str, float],
    name: str | None = None,
    session: Any = None,
    concurrent: int | None = None,
    threads: int | None = None,
    retries: int = 2,
    wait: bool = True,
    **tracker: Any,
) -> Any:
    """Train a recipe once for each seed, on the workers of the session.

    Parameters
    ----------
    train : callable
        `train(tracker, seed)`, called inside an open tracker with `random`, NumPy and torch seeded. It may be defined
        in the notebook.
    seeds : iterable of int
        Each its own run.
    target : dict
        One metric and its value, such as `{"top1": 97}`.
    name : str, optional
        Of the recipe; default the function's name.
    session : distributed.Client, cluster or address, optional
        Where to train; default the session of this process.
    concurrent : int, optional
        Seeds at once; default the number of workers. Use 1 for quiet wall times.
    threads : int, optional
        For torch and BLAS in each run; default cores // concurrent, at least 1.
    retries : int
        How often a seed is begun again after its worker died.
    wait : bool
        False returns at once, with the engine's `Run`; its `result()` is the `Runs`, its `partial()` those so far.
    **tracker
        Further arguments of `Tracker`.

    Returns
    -------
    Runs or engine Run
        A run per seed, in the order of `seeds`. A seed that failed is there in state `failed`; seeds without an end are
        named in `missing`, with the reason, and what they logged is in the history.

    Raises
    ------
    WorkbenchError
        For a seed that appears twice, and what else is wrong with the arguments.
    Stopped
        A KeyboardInterrupt, if interrupted; `.result` holds the seeds that were finished.
    """
    if session is not None:
        engine_session.connect(session)
    from workbench.tta.store import open_store

    recipe = recipe_of(train, target, name, threads, retries, tracker)
    store = open_store(tracker.get("store"))
    recipe.folder = str(store.folder)
    at_once = None if concurrent is None else whole(concurrent, "concurrent", 1)
    driver = Driver(recipe, seeds_of(seeds), at_once, store)
    work: Work[Runs] = Work.start(
        driver, kind="repeat", title=f"{driver.recipe.name}, {counted(len(driver.seeds))}"[:80], unit="seeds",
        total=float(len(driver.seeds)),
    )  # fmt: skip
    if not wait:
        return work
    runs = _waited(work)
    _tell(runs)
    return runs


# ------------------------------------------------------------------------------------------------------------ waiting


def _waited(work: Work[Runs]) -> Runs:
    """Wait for the seeds; an interrupt stops them and is raised again with those that were finished."""
    try:
        return work.result()
    except KeyboardInterrupt:
        work.cancel()
        with contextlib.suppress(KeyboardInterrupt):  # a second interrupt ends the waiting
            work.wait(GRACE + 1.0)
        ended = work.state in ("cancelled", "finished") and work.wait(0)
        runs = work.result(timeout=0) if ended else work.partial()
        done = sum(run.state in COUNTED for run in runs or ())
        total = int(work.progress.total or 0)
        raise Stopped(
            f"Stopped: {done} of {counted(total)} finished.", "The exception's .result holds them.", result=runs
        ) from None


def _tell(runs: Runs) -> None:
    """Warn of what is missing, and of what trackers on the workers have warned of, each once."""
    if runs.missing:
        warnings.warn(TTAWarning(f"Not all seeds came to an end: {runs.missing[0]}", _SEE), stacklevel=3)
    failed = [run for run in runs if run.state == "failed"]
    if failed:
        why = failed[0].notes[-1] if failed[0].notes else "failed"
        count = f"{len(failed)} of {counted(len(runs))} failed"
        warnings.warn(TTAWarning(f"{count}; seed {failed[0].seed} {why.removesuffix('.')}.", _FAILED), stacklevel=3)
    told = dict.fromkeys(text for run in runs for text in run.warnings)
    for text in list(told)[:MOST_TOLD]:
        warnings.warn(TTAWarning(text), stacklevel=3)
