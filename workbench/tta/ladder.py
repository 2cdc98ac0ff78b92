"""`ladder`: which of several changes makes a recipe faster, one change at a time and over all orders of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.engine.plan import Plan

__all__ = ["ladder", "shapley"]

#: factors up to which all sets of them are trained: sixteen recipes
MOST = 4

_COLUMNS = {"factor": "str", "seconds_ratio": "float64", "shapley": "float64"}
Factors = frozenset[str]


def ladder(
    train: Callable[..., Any],
    base: Mapping[str, Any],
    changed: Mapping[str, Any],
    *,
    seeds: Iterable[int] = range(3),
    target: dict[str, float],
    name: str | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Say what each change from one configuration to another brings in time to accuracy.

    Parameters
    ----------
    train : callable
        `train(tracker, seed, **config)`, as for `repeat`.
    base, changed : mapping
        Two configurations with the same keys. A key whose value differs is a factor; factors come in the order of
        `changed`.
    seeds : iterable of int
        Of each configuration.
    target : dict
        One metric and its value.
    name : str, optional
        Of the recipes, with what has changed after it; default the function's name.
    **options
        Further arguments of `repeat` and `Tracker`.

    Returns
    -------
    DataFrame
        `factor str, seconds_ratio, shapley float64`, a row per factor. `seconds_ratio` is the time before over the time
        after the factor is changed, those above it being changed already: the ratios multiply to the whole. `shapley`
        is the logarithm of such a ratio, averaged over all orders of the factors (up to 4, else NaN): the values sum to
        the logarithm of the whole, `attrs["ratio"]`. `attrs["plan"]` says what was trained, `attrs["missing"]` what is
        missing.

    Raises
    ------
    WorkbenchError
        For configurations without a difference or with different keys, and as `repeat`.

    Notes
    -----
    The time of a configuration is the expected time to a success: the time that all its runs took over the number that
    reached the target. It is the mean time to accuracy where all do, and NaN where none does.
    """
    import pandas as pd

    from workbench.tta.repeat import repeat

    factors = _factors(base, changed)
    called = name or getattr(train, "__name__", "") or type(train).__name__
    seeds = list(seeds)
    sets = _sets(factors)
    seconds: dict[Factors, float] = {}
    missing: list[str] = []
    for chosen in sets:
        config = {key: changed[key] if key in chosen else base[key] for key in base}
        recipe = _name(called, factors, chosen, changed)
        runs = repeat(_Configured(train, config), seeds, target=target, name=recipe, **options)
        missing += [f"{recipe}: {text}" for text in runs.missing]
        seconds[chosen] = _expected(runs)
    ratios = []
    for rung, factor in enumerate(factors):
        before = frozenset(factors[:rung])
        ratios.append(_ratio(seconds[before], seconds[before | {factor}]))
    frame = pd.DataFrame(
        {"factor": list(factors), "seconds_ratio": ratios, "shapley": shapley(factors, seconds)}, columns=list(_COLUMNS)
    ).astype(_COLUMNS)
    frame.attrs["ratio"] = _ratio(seconds[frozenset()], seconds[frozenset(factors)])
    frame.attrs["plan"] = str(_plan(called, factors, sets, len(seeds)))
    frame.attrs["missing"] = missing
    return frame


def shapley(factors: Sequence[str], seconds: Mapping[Factors, float]) -> list[float]:
    """Return what each factor brings, averaged over all orders in which the factors may be changed.

    Parameters
    ----------
    factors : sequence of str
    seconds : mapping of frozenset of str to float
        Time of each set of factors that are changed; all sets of up to 4 factors.

    Returns
    -------
    list of float
        Mean of log(time before / time after); NaN without the times of all sets.
    """
    n = len(factors)
    if len(seconds) < 2**n:
        return [math.nan] * n
    found = []
    for factor in factors:
        others = [other for other in factors if other != factor]
        total = 0.0
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for chosen in map(frozenset, itertools.combinations(others, size)):
                ratio = _ratio(seconds[chosen], seconds[chosen | {factor}])
                total += weight * (math.log(ratio) if ratio > 0 else math.nan)
        found.append(total)
    return found


# --------------------------------------------------------------------------------------------------------- private


class _Configured:
    """`train` with a configuration, as `repeat` calls it."""

    def __init__(self, train: Callable[..., Any], config: dict[str, Any]) -> None:
        self.train, self.config = train, config

    def __call__(self, tracker: Any, seed: int) -> Any:
        return self.train(tracker, seed, **self.config)


def _factors(base: Mapping[str, Any], changed: Mapping[str, Any]) -> tuple[str, ...]:
    for one in (base, changed):
        if not isinstance(one, Mapping) or not all(isinstance(key, str) for key in one):
            raise WorkbenchError("base and changed are dicts of arguments of train.", 'Write {"lr": 0.1}.')
    if set(base) != set(changed):
        odd = ", ".join(sorted(set(base) ^ set(changed)))
        raise WorkbenchError(f"base and changed have different keys: {odd}.", "Give each key in both.")
    factors = tuple(key for key in changed if not _same(base[key], changed[key]))
    if not factors:
        raise WorkbenchError("base and changed are the same.", "Change a value.")
    return factors


def _same(a: Any, b: Any) -> bool:
    try:
        return a is b or bool(a == b)
    except Exception:  # arrays and the like
        return False


def _sets(factors: Sequence[str]) -> list[Factors]:
    """Return the sets of factors to train, from none to all: all sets, or of many factors the rungs."""
    if len(factors) > MOST:
        return [frozenset(factors[:rung]) for rung in range(len(factors) + 1)]
    return [frozenset(some) for size in range(len(factors) + 1) for some in itertools.combinations(factors, size)]


def _name(called: str, factors: Sequence[str], chosen: Factors, changed: Mapping[str, Any]) -> str:
    parts = [f"{factor}={_short(changed[factor])}" for factor in factors if factor in chosen]
    return f"{called} {', '.join(parts)}" if parts else f"{called} base"


def _short(value: Any) -> str:
    text = " ".join(str(getattr(value, "__name__", value)).split())
    return text if len(text) <= 24 else f"{text[:24]}..."


def _expected(runs: Any) -> float:
    summary = runs.summary()
    seconds = float(summary["expected_seconds"].iloc[0]) if len(summary) else math.nan
    return seconds if math.isfinite(seconds) else math.nan


def _ratio(before: float, after: float) -> float:
    return before / after if after > 0 else math.nan


def _plan(called: str, factors: Sequence[str], sets: Sequence[Factors], seeds: int) -> Plan:
    from workbench.engine.plan import Node, Plan

    recipes = Node("repeat", f"{len(sets)} configurations of {called}", est_rows=float(len(sets) * seeds))
    root = Node("ladder", ", ".join(factors), est_rows=float(len(factors)), children=(recipes,))
    notes = () if len(factors) <= MOST else (f"over {MOST} factors there is no Shapley value, only the rungs",)
    return Plan(root, notes=notes)
