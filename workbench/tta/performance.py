"""Performance profiles over workloads (Dolan and More 2002), with the exact score under the curve."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.errors import WorkbenchError, suggest
from workbench.engine.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

__all__ = ["Profile", "median_of_minimum", "performance_ratios", "profile", "profile_score"]

_NEEDED = ("submission", "workload", "seconds")
_COLUMNS = ("submission", "workload", "study", "trial", "seconds")


def performance_ratios(times: ArrayLike, max_tau: float = 4.0) -> Floats:
    """Return each time over the least time of its workload.

    Parameters
    ----------
    times : array-like of float, (submissions, workloads)
        inf is a miss.
    max_tau : float
        A larger ratio is inf.

    Returns
    -------
    ndarray of float64, (submissions, workloads)
        Of a workload that nobody reaches, inf. A time of 0 has ratio 1, and then every other one inf.
    """
    t = np.asarray(times, dtype=np.float64)
    if not t.size:
        return np.full(t.shape, np.inf)
    best = t.min(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(t == best, 1.0, t / best)
    ratios[~np.isfinite(t)] = np.inf
    ratios[ratios > max_tau] = np.inf
    return ratios


def profile_score(ratios: ArrayLike, max_tau: float = 4.0) -> Floats:
    """Return the area under each submission's profile from 1 to `max_tau`, over the largest there can be.

    Parameters
    ----------
    ratios : array-like of float, (submissions, workloads)
        inf is a miss.
    max_tau : float

    Returns
    -------
    ndarray of float64, (submissions,)
        The mean over workloads of `max(0, (max_tau - r) / (max_tau - 1))`: the integral of a step function needs no
        grid. NaN without workloads.
    """
    r = np.asarray(ratios, dtype=np.float64)
    if not r.shape[1]:
        return np.full(len(r), np.nan)
    return np.maximum(0.0, (max_tau - r) / (max_tau - 1)).mean(axis=1)


def median_of_minimum(study: ArrayLike, seconds: ArrayLike) -> float:
    """Return the median over studies of the least time of their trials.

    Parameters
    ----------
    study : array-like, (trials,)
        The study of each trial.
    seconds : array-like of float, (trials,)
        inf is a miss.

    Returns
    -------
    float
        inf where a median study missed.
    """
    t = np.asarray(seconds, dtype=np.float64)
    names, place = np.unique(np.asarray(study), return_inverse=True)
    least = np.full(len(names), np.inf)
    np.minimum.at(least, place, t)
    ordered = np.sort(least)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2) if len(ordered) else math.inf


class Profile(Result):
    """Submissions compared over workloads.

    Attributes
    ----------
    ratios : DataFrame
        Index `submission`, a column per workload: time over the best time; inf is a miss.
    curves : DataFrame
        `submission str, tau float64, rho float64`: the share of workloads within `tau` times the best, at each step.
    scores : DataFrame
        `submission str, score float64`, best first.
    max_tau : float
    """

    def __init__(self, ratios: pd.DataFrame, max_tau: float) -> None:
        import pandas as pd

        self.ratios, self.max_tau = ratios, max_tau
        table = ratios.to_numpy(dtype=np.float64)
        names = [str(name) for name in ratios.index]
        scores = profile_score(table, max_tau)
        order = sorted(range(len(names)), key=lambda i: (-scores[i] if scores[i] == scores[i] else 0.0, names[i]))
        self.scores = pd.DataFrame(
            {"submission": [names[i] for i in order], "score": [float(scores[i]) for i in order]}
        ).astype({"submission": "str", "score": "float64"})
        taus = np.unique(np.concatenate([[1.0, max_tau], table[np.isfinite(table)]]))
        share = max(1, table.shape[1])
        rho = np.array([(table[i][:, None] <= taus).sum(axis=0) / share for i in order]).reshape(len(order), len(taus))
        self.curves = pd.DataFrame(
            {
                "submission": np.repeat([names[i] for i in order], len(taus)),
                "tau": np.tile(taus, len(order)),
                "rho": rho.ravel(),
            }
        ).astype({"submission": "str", "tau": "float64", "rho": "float64"})

    def to_pandas(self) -> pd.DataFrame:
        """Return the scores, best first."""
        return self.scores

    def view_data(self) -> dict[str, Any]:
        """Return the scores, the curves and the ratios."""
        series = []
        for name in self.scores["submission"]:
            own = self.curves[self.curves["submission"] == name]
            # two points a step: a profile rises at a tau and is level between
            tau, rho = own["tau"].to_numpy(), own["rho"].to_numpy()
            series.append(
                {"name": name, "x": np.repeat(tau, 2)[1:].tolist(), "y": np.repeat(rho, 2)[:-1].tolist()},
            )
        state = {
            "series": series, "x_label": "time over the best (tau)", "y_label": "share of workloads", "target": None,
            "band": None, "marks": [],
        }  # fmt: skip
        ratios = self.ratios.rename_axis("submission").reset_index()
        return {
            "title": "profile",
            "blocks": [
                {"kind": "summary", "text": self._said()},
                {"kind": "table", "name": "Scores", "frame": self.scores},
                {"kind": "curve", "state": state, "alt": f"Performance profiles of {len(series)} submissions"},
                {"kind": "table", "name": "Ratios", "frame": ratios},
            ],
        }

    def __repr__(self) -> str:
        try:
            return f"<Profile: {self._said()}>"
        except Exception:  # a half-made result must not break a debugger
            return "<Profile>"

    def _said(self) -> str:
        count, workloads = len(self.scores), self.ratios.shape[1]
        text = f"{count} submission{'' if count == 1 else 's'}, {workloads} workload{'' if workloads == 1 else 's'}"
        if not count or not workloads:
            return text
        best = self.scores.iloc[0]
        return f"{text}; best {best['submission']}, score {best['score']:.3f} (ratios up to {self.max_tau:g})"


def profile(times: Any, *, max_tau: float = 4.0) -> Profile:
    """Compare submissions over several workloads.

    Parameters
    ----------
    times : dict or DataFrame
        `{submission: {workload: seconds}}`, or columns `submission, workload, study, trial, seconds` (`study` and
        `trial` may be left out). NaN, None, inf and what is not listed are misses.
    max_tau : float
        Ratios above it count as misses.

    Returns
    -------
    Profile

    Raises
    ------
    WorkbenchError
        For missing columns, times below 0, and a `max_tau` that is not above 1.

    Notes
    -----
    A submission's time for a workload is the median over studies of the minimum over trials.
    """
    import pandas as pd

    if isinstance(max_tau, bool) or not isinstance(max_tau, (int, float)) or not 1 < max_tau < math.inf:
        raise WorkbenchError(f"max_tau is {max_tau!r}; it is a ratio above 1.", "Example: max_tau=4.0")
    table = _long(times)
    submissions, workloads = list(dict.fromkeys(table["submission"])), list(dict.fromkeys(table["workload"]))
    if isinstance(times, Mapping):
        submissions = [str(name) for name in times]  # also those that list no workload
    seconds = np.full((len(submissions), len(workloads)), np.inf)
    for (name, workload), own in table.groupby(["submission", "workload"], sort=False):
        cell = submissions.index(name), workloads.index(workload)
        seconds[cell] = median_of_minimum(own["study"].to_numpy(), own["seconds"].to_numpy())
    ratios = pd.DataFrame(performance_ratios(seconds, max_tau), columns=workloads)
    ratios.index = pd.Index(submissions, name="submission", dtype="str")
    return Profile(ratios, float(max_tau))


# --------------------------------------------------------------------------------------------------------- private


def _long(times: Any) -> pd.DataFrame:
    """Return a row per trial, with misses as inf."""
    import pandas as pd

    if isinstance(times, Mapping):
        rows = []
        for name, own in times.items():
            if not isinstance(own, Mapping):
                raise WorkbenchError(
                    f"times[{name!r}] is {type(own).__name__}, not {{workload: seconds}}.",
                    'Example: {"a": {"CIFAR10": 9.4}}',
                )
            rows += [(str(name), str(workload), 0, seconds) for workload, seconds in own.items()]
        table = pd.DataFrame(rows, columns=["submission", "workload", "study", "seconds"])
    elif isinstance(times, pd.DataFrame):
        for column in _NEEDED:
            if column not in times.columns:
                hint = suggest(column, [str(name) for name in times.columns], f"Columns: {', '.join(_COLUMNS)}.")
                raise WorkbenchError(f"times has no column {column}.", hint)
        table = times[["submission", "workload"]].astype("str").assign(seconds=times["seconds"])
        table["study"] = times["study"].to_numpy() if "study" in times.columns else 0
    else:
        raise WorkbenchError(
            f"times is {type(times).__name__}; it is a dict of dicts or a DataFrame.",
            'Example: {"a": {"CIFAR10": 9.4}}',
        )
    seconds = pd.to_numeric(table["seconds"], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    wrong = table["seconds"].notna().to_numpy() & np.isnan(seconds)
    if wrong.any() or (seconds < 0).any():
        value = table["seconds"].to_numpy()[int(np.flatnonzero(wrong | (seconds < 0))[0])]
        value = value.item() if isinstance(value, np.generic) else value
        raise WorkbenchError(f"times has {value!r}; times are seconds from 0.", "A miss is None, NaN or inf.")
    return table.assign(seconds=np.where(np.isnan(seconds), np.inf, seconds))
