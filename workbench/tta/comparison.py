"""`compare`: is one recipe faster than another, by how much, and how sure is that?"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.engine.result import Result
from workbench.tta.agreement import check_clocks, check_evaluation, check_targets, named_groups
from workbench.tta.outcomes import Outcomes, counted, outcomes, summary_frame, summary_row
from workbench.tta.statistics import (
    detectable_ratio,
    holm,
    logrank,
    mann_whitney,
    pooled_cv,
    ratio_of_means,
    ratio_of_medians,
    welch,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Comparison", "compare"]

#: p-value under which a difference is called one
LEVEL = 0.05
#: runs under which intervals are wide
_FEW = 10


class Comparison(Result):
    """Recipes compared at one threshold.

    Attributes
    ----------
    tests : DataFrame
        `a str, b str, test str (welch, mann_whitney, logrank), statistic, p_value, p_holm float64, primary bool`.
    table : DataFrame
        A summary row for each recipe, as `Runs.summary` gives.
    ratios : DataFrame
        All pairs: `a, b str, ratio, ratio_low, ratio_high, detectable float64`.
    ratio, ratio_low, ratio_high : float
        a's time over b's, of the first pair: above 1, b is faster.
    verdict : str
        A line for each pair.
    notes : list of str
        What has to be known of it.
    unit : str
    """

    def __init__(self, groups: Sequence[Outcomes], table: pd.DataFrame, notes: Sequence[str] = ()) -> None:
        import pandas as pd

        self._groups = tuple(groups)
        self.unit = groups[0].unit
        self.table = table
        pairs = list(itertools.combinations(groups, 2))
        tests = [row for a, b in pairs for row in _tests(a, b)]
        for primary in (True, False):  # one family of each: the test that decides, and the one beside it
            family = [row for row in tests if row["primary"] is primary]
            for row, p in zip(family, holm([row["p_value"] for row in family]), strict=True):
                row["p_holm"] = float(p)
        self.tests = pd.DataFrame(tests, columns=list(_TESTS)).astype(_TESTS)
        ratios = [_ratio(a, b) for a, b in pairs]
        self.ratios = pd.DataFrame(ratios, columns=list(_RATIOS)).astype(_RATIOS)
        decided = [row for row in tests if row["primary"]]
        self.verdict = "\n".join(
            _verdict(*pair, test, ratio, len(pairs)) for pair, test, ratio in zip(pairs, decided, ratios, strict=True)
        )
        self.notes = list(notes)

    @property
    def ratio(self) -> float:
        """Time of the first over that of the second: means, or Kaplan-Meier medians where a run missed."""
        return float(self.ratios["ratio"].iloc[0])

    @property
    def ratio_low(self) -> float:
        """Lower end of its 95 % interval."""
        return float(self.ratios["ratio_low"].iloc[0])

    @property
    def ratio_high(self) -> float:
        """Upper end of its 95 % interval."""
        return float(self.ratios["ratio_high"].iloc[0])

    def to_pandas(self) -> pd.DataFrame:
        """Return the summary rows of the recipes."""
        return self.table

    def view_data(self) -> dict[str, Any]:
        """Return the verdict, how many reached by when, and the tables."""
        blocks: list[dict[str, Any]] = [{"kind": "summary", "text": line} for line in self.verdict.splitlines()]
        blocks += [{"kind": "note", "level": "info", "text": note} for note in self.notes]
        blocks += [
            {"kind": "curve", "state": self._reach(), "alt": "Share of runs that reached, against time"},
            {"kind": "table", "name": "Ratios", "frame": self.ratios},
            {"kind": "table", "name": "Tests", "frame": self.tests},
            {"kind": "table", "name": "Recipes", "frame": self.table[list(_SHOWN)]},
        ]
        return {"title": "compare", "blocks": blocks}

    def __repr__(self) -> str:
        try:
            return "\n".join([self.verdict, *(f"note: {note}" for note in self.notes)])
        except Exception:  # a half-made result must not break a debugger
            return "<Comparison>"

    def _reach(self) -> dict[str, Any]:
        """Return the state of the curve block: the share expected to have reached by each time (Kaplan-Meier)."""
        from workbench.tta.survival import reach_curve

        series = []
        for group in self._groups:
            times, shares = reach_curve(group.times, group.reached)
            series.append({"name": group.name, "x": times.tolist(), "y": shares.tolist()})
        label = {"seconds": "seconds", "steps": "steps", "cpu_seconds": "CPU seconds"}[self.unit]
        return {
            "series": series, "x_label": label, "y_label": "share reached", "target": None, "band": None, "marks": [],
        }  # fmt: skip


def compare(
    a: Any,
    b: Any,
    *others: Any,
    at: float | None = None,
    metric: str | None = None,
    confirm: int = 1,
    clock: str | None = None,
    unit: str = "seconds",
    allow_different: bool = False,
) -> Comparison:
    """Compare the times of recipes to a threshold.

    Parameters
    ----------
    a, b, *others : Runs or Run
        A recipe's runs each.
    at : float, optional
        The threshold; the runs' target by default.
    metric, clock : str, optional
        The runs' own by default.
    confirm : int
        Evaluations in a row that must meet it.
    unit : {"seconds", "steps", "cpu_seconds"}
    allow_different : bool
        Compare runs also if they were judged on different sets or timed on different clocks.

    Returns
    -------
    Comparison

    Raises
    ------
    WorkbenchError
        For runs of different targets, metrics, clocks or evaluation sets.

    Warns
    -----
    TTAWarning
        Where a side has under 2 runs, and so no test is possible.

    Notes
    -----
    If a counted run of a pair did not reach, the log-rank test decides, and the ratio is that of Kaplan-Meier medians;
    otherwise Welch's test and the ratio of means. Mann-Whitney stands beside it, with misses as infinity. Holm's
    correction is over all pairs. The log-rank statistic is above 0 where a reaches sooner.
    """
    groups = named_groups([a, b, *others])
    ended = {name: counted(runs) for name, runs in groups.items()}
    check_targets(ended, at, metric)
    notes = []
    for check in _checks(ended, metric, clock, unit):
        try:
            check()
        except WorkbenchError as error:
            if not allow_different:
                raise
            notes.append(error.message)
    found = [
        outcomes(name, runs, at, metric=metric, confirm=confirm, clock=clock, unit=unit) for name, runs in ended.items()
    ]
    _warn_of_few(found)
    table = summary_frame(summary_row(each, metric=metric, confirm=confirm, clock=clock) for each in found)
    left_out = sum(len(runs) - len(ended[name]) for name, runs in groups.items())
    if left_out:
        notes.append(f"{left_out} run{'' if left_out == 1 else 's'} still running, interrupted or lost: not counted.")
    if any(2 <= each.n < _FEW for each in found):
        notes.append(f"Under {_FEW} runs intervals are wide.")
    if table["contended"].any() and unit == "seconds":
        notes.append('Other work ran beside: wall times are noisy. Judge by unit="steps" or unit="cpu_seconds".')
    for name in table.loc[table["warmup_outlier"], "recipe"]:
        notes.append(f"The first run of {name} in its process was slow: a warm-up, counted all the same.")
    return Comparison(found, table, notes)


# --------------------------------------------------------------------------------------------------------- private

_TESTS = {
    "a": "str",
    "b": "str",
    "test": "str",
    "statistic": "float64",
    "p_value": "float64",
    "p_holm": "float64",
    "primary": "bool",
}
_RATIOS = {
    "a": "str",
    "b": "str",
    "ratio": "float64",
    "ratio_low": "float64",
    "ratio_high": "float64",
    "detectable": "float64",
}
_SHOWN = (
    "recipe", "threshold", "n", "reached", "reach_low", "reach_high", "mean", "mean_low", "mean_high", "median", "cv",
    "cv_low", "cv_high", "expected_seconds",
)  # fmt: skip
_WORDS = {"welch": "Welch", "logrank": "log-rank", "mann_whitney": "Mann-Whitney"}


def _checks(groups: dict[str, list[Any]], metric: str | None, clock: str | None, unit: str) -> list[Any]:
    found: list[Any] = [lambda: check_evaluation(groups, metric)]
    if clock is None and unit == "seconds":
        found.append(lambda: check_clocks(groups, "allow_different=True to compare anyway"))
    return found


def _tests(a: Outcomes, b: Outcomes) -> list[dict[str, Any]]:
    """Return the test that decides, and Mann-Whitney beside it."""
    if a.censored or b.censored:
        first = "logrank", logrank(a.times, a.reached, b.times, b.reached)
    else:
        first = "welch", welch(a.times, b.times)
    rows = []
    for primary, (test, found) in ((True, first), (False, ("mann_whitney", mann_whitney(a.ranks, b.ranks)))):
        rows.append({"a": a.name, "b": b.name, "test": test, **found._asdict(), "primary": primary})
    return rows


def _ratio(a: Outcomes, b: Outcomes) -> dict[str, Any]:
    if a.censored or b.censored:
        ratio, ends = ratio_of_medians(a.times, a.reached, b.times, b.reached)
    else:
        ratio, ends = ratio_of_means(a.times, b.times)
    detectable = detectable_ratio(a.n, b.n, pooled_cv(a.hits, b.hits))
    return {
        "a": a.name, "b": b.name, "ratio": ratio, "ratio_low": ends.low, "ratio_high": ends.high,
        "detectable": detectable,
    }  # fmt: skip


def _warn_of_few(groups: Sequence[Outcomes]) -> None:
    from workbench.tta.problems import TTAWarning

    few = [each for each in groups if each.n < 2]
    if not few:
        return
    sizes = {each.n for each in groups}
    count = f"{few[0].n} run{'' if few[0].n == 1 else 's'}"
    who = f"{count} per side" if len(sizes) == 1 else f"{count} of {few[0].name}"
    percent = 100 * (detectable_ratio(5, 5, 0.1) - 1)
    warning = TTAWarning(
        f"{who}: no test is possible.", f"5 seeds detect about {percent:.0f} % at CV 10 %; use wb.tta.repeat."
    )
    warnings.warn(warning, stacklevel=3)


def _verdict(a: Outcomes, b: Outcomes, test: dict[str, Any], ratio: dict[str, Any], pairs: int) -> str:
    """Return one line: which is faster, by how much and how sure, or that it cannot be told."""
    p = test["p_holm"]
    figures = []
    if not math.isnan(ratio["ratio"]):
        text = f"ratio {ratio['ratio']:.2f}"
        if not math.isnan(ratio["ratio_low"]):
            text += f" ({ratio['ratio_low']:.2f} to {ratio['ratio_high']:.2f})"
        figures.append(text)
    if not math.isnan(p):
        figures.append(f"{_WORDS[test['test']]} p {_p(p)}{' (Holm)' if pairs > 1 else ''}")
    if a.censored or b.censored:
        figures.append(f"{int(a.reached.sum())} of {a.n} against {int(b.reached.sum())} of {b.n} reached")
    told = ", ".join(figures)
    if math.isnan(p):
        return f"Cannot tell {a.name} from {b.name}: {_why(a, b)}{'; ' + told if told else ''}."
    if p >= LEVEL:
        room = ratio["detectable"]
        power = f"; {a.n} and {b.n} runs detect about {100 * (room - 1):.0f} %" if room > 1 else ""
        return f"No difference shown between {a.name} and {b.name}: {told}{power}."
    # Of Welch's t and the log-rank's sum, one grows with a's times and the other with how soon a reaches.
    sooner = test["statistic"] > 0 if test["test"] == "logrank" else test["statistic"] < 0
    fast, slow = (a.name, b.name) if sooner else (b.name, a.name)
    how = "needs fewer steps than" if a.unit == "steps" else "is faster than"
    return f"{fast} {how} {slow}: {told}."


def _why(a: Outcomes, b: Outcomes) -> str:
    if min(a.n, b.n) < 2:
        return "a test needs 2 runs per side"
    return "no run reached" if not a.reached.any() and not b.reached.any() else "the times have no spread to test by"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
