"""May these runs be compared? The same target, clock and evaluation set, or an error that says what differs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.tta.outcomes import fact

__all__ = ["check_clocks", "check_evaluation", "check_targets", "named_groups"]

_ANYWAY = "Pass allow_different=True to compare anyway."

Groups = Mapping[str, Sequence[Any]]


def named_groups(given: Iterable[Any]) -> dict[str, list[Any]]:
    """Return the runs of each argument under a name: its recipe, with a number where that repeats.

    Parameters
    ----------
    given : iterable of Run or Runs
    """
    groups: dict[str, list[Any]] = {}
    for place, each in enumerate(given, 1):
        runs = [each] if hasattr(each, "time_to") else _listed(each)
        if not runs:
            raise WorkbenchError(f"Argument {place} holds no runs.", "wb.tta.runs() lists all that there are.")
        recipes = list(dict.fromkeys(str(run.name) for run in runs))
        name = recipes[0]
        if len(recipes) > 1:
            name += f" and {len(recipes) - 1} more"
        number = 2
        plain = name
        while name in groups:
            name, number = f"{plain} ({number})", number + 1
        groups[name] = runs
    return groups


def check_targets(groups: Groups, at: float | None, metric: str | None) -> None:
    """Raise if the runs are judged by different metrics or, without `at`, by different targets."""
    if metric is None:
        _refuse(groups, lambda run: str(run.metric), "have different metrics", "Pass metric=, one that all logged.")
    _refuse(groups, lambda run: str(run.goal), "have different goals", "Only runs of one goal can be compared.")
    if at is None:
        hint = "Pass at=, one threshold for all."
        _refuse(groups, lambda run: f"{float(run.threshold):g}", "have different targets", hint)
    elif isinstance(at, bool) or not isinstance(at, (int, float)) or not math.isfinite(at):
        raise WorkbenchError(f"at is {at!r}; it is a threshold.", "Example: at=94")


def check_clocks(groups: Groups, otherwise: str = "") -> None:
    """Raise if the runs are timed on different clocks.

    Parameters
    ----------
    groups : mapping of str to sequence of Run
    otherwise : str
        What to say beside naming a clock, such as "or allow_different=True to compare anyway".
    """
    recorded = [set(fact(run, "clocks", (run.clock,))) for runs in groups.values() for run in runs]
    common = sorted(set.intersection(*recorded)) if recorded else []
    wanted = [run.clock for runs in groups.values() for run in runs if run.clock in common] or common
    parts = [part for part in (f'clock="{wanted[0]}"' if wanted else "", otherwise) if part]
    hint = f"Pass {', or '.join(parts)}." if parts else "Track both on one clock."
    _refuse(groups, lambda run: str(run.clock), "are timed on different clocks", hint)


def check_evaluation(groups: Groups, metric: str | None) -> None:
    """Raise if the runs were judged on different sets, or on different numbers of samples, as far as that is known."""
    _refuse(
        groups, lambda run: str(fact(run, "eval_hash", "")), "were judged on different sets", _ANYWAY,
        shown=lambda text: f"{text[:4]}…" if len(text) > 4 else text,
    )  # fmt: skip
    _refuse(groups, lambda run: _judged(run, metric), "were judged on different numbers of samples", _ANYWAY)


# --------------------------------------------------------------------------------------------------------- private


def _listed(runs: Any) -> list[Any]:
    try:
        listed = list(runs)
    except TypeError:
        listed = [None]
    if isinstance(runs, (str, bytes)) or any(not hasattr(run, "time_to") for run in listed):
        raise WorkbenchError(
            f"Pass runs to compare, not {type(runs).__name__}.", "Example: wb.tta.compare(wb.tta.runs('a'), run)"
        )
    return listed


def _refuse(groups: Groups, of: Any, what: str, hint: str, shown: Any = str) -> None:
    """Raise if what is known of the runs differs; `""` is unknown."""
    first: tuple[str, str] | None = None
    for name, runs in groups.items():
        for run in runs:
            value = of(run)
            if not value:
                continue
            if first is None:
                first = name, value
            elif value != first[1]:
                who = f"Runs {first[0]} and {name}" if name != first[0] else f"Runs of {name}"
                raise WorkbenchError(f"{who} {what} ({shown(first[1])}, {shown(value)}).", hint)


def _judged(run: Any, metric: str | None) -> str:
    """Return how many samples judge a run, "" if that is not known."""
    count = fact(run, "eval_count")
    if count is None:
        evals = run.evals
        given = evals.loc[evals["metric"] == (metric or run.metric), "n"].dropna()
        count = int(given.max()) if len(given) else None
    return "" if count is None else f"{int(count):,}"
