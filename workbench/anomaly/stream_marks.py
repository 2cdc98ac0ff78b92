"""Which rows of a pane are outliers, by a score that follows the stream: a model and a cutoff from fading samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.marking import nothing_beyond
from workbench.anomaly.passes import ArrayPasses, Identity
from workbench.anomaly.reservoir import Reservoir
from workbench.anomaly.score import fit
from workbench.anomaly.scorers import LARGEST, Cutoff, DistanceModel, PercentileModel, Scored

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.language import Request

__all__ = ["Follower"]

#: The sample of scores fades as if so many panes ended at once. Right after a shift scores are large: were they to stay
#: as long as the rows do, they would hold the cutoff up (two half-lives after a shift of 3 MAD 0.05 % of the rows were
#: outliers in place of 1 %; with 4 times 0.8 to 1.3 %, with 8 times 0.9 to 1.1 %).
SCORES_FADE = 8


class Follower:
    """Fits the score to a sample of the rows so far, and labels each row once, as it comes.

    In the first pane model and cutoff come from all its rows. From then on the rows of a pane enter a sample of
    metrics, centre and scale are fitted to that; their scores enter a sample of scores, the cutoff is its quantile.

    Parameters
    ----------
    request : Request
    decay : float
        Share of the samples' weights that is forgotten at each pane end.
    size : int
        Rows in a sample.
    """

    def __init__(self, request: Request, decay: float, size: int) -> None:
        self.request = request
        width = len(request.metrics)
        self.metrics = Reservoir(size, width, request.seed, decay)
        self.scores = Reservoir(size, 1, request.seed + 1, 1.0 - (1.0 - decay) ** SCORES_FADE)
        self.started = False

    def label(self, x: NDArray[np.float64]) -> tuple[NDArray[np.bool_], Cutoff, tuple[str, ...]]:
        """Take the metrics of a pane's rows, (n,) or (n, p) and without NaN, and say which are outliers.

        Returns
        -------
        bool (n,)
        Cutoff
        tuple of str
            Notes.
        """
        begins = not self.started
        flags, cutoff, scored, passes = self._labelled(x)
        notes = scored.notes
        if begins and not flags.any():
            notes = (*notes, nothing_beyond(self.request, passes, scored))
        return flags, cutoff, notes

    def _labelled(self, x: NDArray[np.float64]) -> tuple[NDArray[np.bool_], Cutoff, Scored, ArrayPasses]:
        self.metrics.add(x)
        sample = x if not self.started else self._shaped(self.metrics.values, x)
        self.started = True
        request = self.request
        given: dict[str, Any] = {
            "score": request.score, "top": request.top, "tail": request.tail, "threshold": request.threshold,
            "seed": request.seed, "metrics": request.metrics,
        }  # fmt: skip
        if callable(request.score):
            return self._of_function(x, given)
        passes = ArrayPasses(sample)
        if len(self.scores) and request.threshold is None and request.score in ("mad", "zscore"):
            given["threshold"] = math.inf  # the cutoff will be a quantile of the scores
        scored = fit(passes, **given)
        scores = scored.model.score(x) if not isinstance(scored.model, PercentileModel) else None
        if scores is None or request.threshold is not None:  # the cutoff stands on the metric itself, or is given
            return np.asarray(scored.model.flags(x)), scored.cutoff, scored, passes
        first = len(self.scores) == 0
        self.scores.add(scores)
        if first:
            return np.asarray(scored.model.flags(x)), scored.cutoff, scored, passes
        cut = ArrayPasses(self.scores.values[:, 0]).quantiles(Identity(), [1.0 - request.top])[0]
        low = high = math.nan
        if isinstance(scored.model, DistanceModel):
            reach = cut * scored.model.scale if scored.model.scale > 0 else 0.0
            low = scored.model.center - reach if request.tail != "high" else -math.inf
            high = scored.model.center + reach if request.tail != "low" else math.inf
        return scores > min(cut, LARGEST), Cutoff(low, high, cut), scored, passes

    def mark(self) -> Any:
        """Return what `back` needs to undo all that comes."""
        return self.started, self.metrics.mark(), self.scores.mark()

    def back(self, mark: Any) -> None:
        """Be as at a mark."""
        self.started = mark[0]
        self.metrics.back(mark[1])
        self.scores.back(mark[2])

    def end_pane(self, panes: int = 1) -> None:
        """Let the samples fade."""
        for _ in range(min(panes, 10_000)):
            self.metrics.end_pane()
            self.scores.end_pane()

    def _of_function(
        self, x: NDArray[np.float64], given: dict[str, Any]
    ) -> tuple[NDArray[np.bool_], Cutoff, Scored, ArrayPasses]:
        passes = ArrayPasses(x)
        scored = fit(passes, **given)
        scores = np.asarray(scored.model.score(x), np.float64)
        first = len(self.scores) == 0
        self.scores.add(np.where(np.isnan(scores), -math.inf, scores))
        if first or self.request.threshold is not None:
            return np.asarray(scored.model.flags(x)), scored.cutoff, scored, passes
        cut = ArrayPasses(self.scores.values[:, 0]).quantiles(Identity(), [1.0 - self.request.top])[0]
        with np.errstate(invalid="ignore"):
            return scores > min(cut, LARGEST), Cutoff(math.nan, math.nan, cut), scored, passes

    def _shaped(self, sample: NDArray[np.float64], like: NDArray[np.float64]) -> NDArray[np.float64]:
        return sample[:, 0] if like.ndim == 1 else sample

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {"metrics": self.metrics.state(), "scores": self.scores.state(), "started": self.started}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        self.metrics = Reservoir.from_state(state["metrics"])
        self.scores = Reservoir.from_state(state["scores"])
        self.started = bool(state["started"])
