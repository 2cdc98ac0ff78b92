"""A stream without a window: every row is labelled once, as it comes, and its weight fades from pane to pane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.anomaly import compare, remarks
from workbench.anomaly.dictionary import Dictionary
from workbench.anomaly.execution import Question
from workbench.anomaly.explain import Found, Rules, search
from workbench.anomaly.frames import read
from workbench.anomaly.marking import chosen, usable
from workbench.anomaly.plan import Actuals
from workbench.anomaly.sets import Sets
from workbench.anomaly.stream_counts import FadingCounts
from workbench.anomaly.stream_marks import Follower
from workbench.anomaly.stream_result import PaneExplanations
from workbench.anomaly.stream_search import Level, found_of
from workbench.anomaly.stream_sparks import Sparks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.language import Request
    from workbench.anomaly.panes import Pane
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.score import Cutoff

__all__ = ["FadeState"]


class _Searched(NamedTuple):
    """Sets with their values, and what puts them together."""

    levels: Sequence[Level | Sets]
    found: Callable[[], tuple[Found, NDArray[np.int64]]]


class FadeState:
    """Model, samples, dictionaries and counts.

    Parameters
    ----------
    request : Request
        The question, as checked on the first rows.
    decay : float
        Share of the weights that is forgotten at each pane end.
    reservoir : int
        Rows in a sample.
    memory : int
        Bytes for counts and codes.
    name : str
        What messages call the table.
    """

    def __init__(self, request: Request, decay: float, reservoir: int, memory: int, name: str) -> None:
        self.request, self.decay, self.name = request, decay, name
        self.dictionaries = [Dictionary(column, bins) for column, bins in request.by]
        self.follower = Follower(request, decay, reservoir)
        self.rules = Rules(
            request.compare, request.min_support, request.min_ratio, request.max_combo, request.minimal,
            request.max_candidates,
        )  # fmt: skip
        self.counts = FadingCounts(len(request.by), decay, memory, self.rules)
        self.sparks = Sparks()

    def close(self, pane: Pane, notes: Sequence[str]) -> tuple[Explanations, NDArray[np.bool_], Cutoff | None]:
        """Label a pane, count it, and explain what is live.

        Returns
        -------
        Explanations
        bool (n,)
            Which rows of the pane are outliers.
        Cutoff, optional
        """
        data, actuals, request = read(pane.table, name=self.name), Actuals(), self.request
        said = list(notes)
        # first what may fail: a dictionary that knows more values than it needs has not gone wrong
        with actuals.step("Encode", rows=float(data.n_rows)):
            codes = [each.encode(pane.table.column(each.name)) for each in self.dictionaries]
        if self.counts.number >= 0:
            self.follower.end_pane(pane.number - self.counts.number)
        used: NDArray[np.bool_] | None = None
        cutoff: Cutoff | None = None
        with actuals.step("Score", rows=float(data.n_rows)):
            if request.where is not None:
                flags = np.asarray(data.where(request.where), bool)
            else:
                columns = [data.numbers(name) for name in request.metrics]
                used = usable(columns)
                x = chosen(columns[0] if len(columns) == 1 else np.column_stack(columns), used)
                if used is not None:
                    left_out = int(len(used) - np.count_nonzero(used))
                    said.append(remarks.left_out(left_out, len(used), request.metrics))
                flags = np.zeros(0, bool)
                if len(x):
                    flags, cutoff, more = self.follower.label(x)
                    said += more
        codes = [chosen(each, used) for each in codes]
        with actuals.step("Collect", rows=float(np.count_nonzero(flags))):
            self.counts.add(pane.number, codes, [each.card for each in self.dictionaries], flags)
        with actuals.step("Count"):
            searched = self._searched()
        extra = {
            "rows": None, "name": self.name, "cutoff": cutoff, "weighted": bool(self.decay),
            "n_left_out": 0 if used is None else int(len(used) - np.count_nonzero(used)),
            "marked_by": request.where or "",
        }  # fmt: skip
        sparks = self.sparks.after([(each.columns, each.codes, each.value) for each in searched.levels])
        seconds = actuals.seconds
        known = [(each, each.card) for each in self.dictionaries]

        def explanations() -> Explanations:
            found, since = searched.found()
            more = {**extra, "since": since, "sparks": sparks(found.answers)}
            question = Question(data, replace(request, notes=()), actuals, None, None, said, more)
            made = question.explanations([each.column(card=card) for each, card in known], found)
            made._answer.seconds = seconds  # not those until somebody looked
            return made

        result = PaneExplanations(explanations)
        whole = flags
        if used is not None:
            whole = np.zeros(len(used), bool)
            whole[used] = flags
        return result, whole, cutoff

    def _searched(self) -> _Searched:
        """Search; the findings are put together when they are looked at, where they can wait."""
        counts = self.counts
        assert counts.tracker is not None
        levels = counts.tracker.search(counts)
        outliers, rows, first = counts.true(counts.outlier_sum), counts.N, counts.panes[0].number
        if levels is None or (not len(levels[0].o) and outliers):  # a new search tells what is nearest
            found, since = self._anew()
        elif all((each.since <= first).all() for each in levels):
            return _Searched(levels, lambda: found_of(levels, outliers, rows))
        else:
            found, since = found_of(levels, outliers, rows)
        young = np.flatnonzero(since > first)
        if len(young):
            found, since = self._recounted(found, since, young, *counts.outliers())
        return _Searched([found.answers], lambda: (found, since))

    def _anew(self) -> tuple[Found, NDArray[np.int64]]:
        counts = self.counts
        columns, weights, panes = counts.outliers()
        found = search(columns, counts.cards, np.ones(len(panes), bool), self.rules, weights=weights, counter=counts)
        return found, counts.since(found.answers.columns, found.answers.codes)

    def _recounted(
        self,
        found: Found,
        since: NDArray[np.int64],
        young: NDArray[np.int64],
        columns: list[NDArray[Any]],
        weights: NDArray[np.float64] | None,
        panes: NDArray[np.int64],
    ) -> tuple[Found, NDArray[np.int64]]:
        """Give sets whose older rows are gone the figures of the panes from `since` on; drop those that fail then."""
        answers, request = found.answers, self.request
        o, value, support = answers.o.copy(), answers.value.copy(), answers.support.copy()
        for row in young.tolist():
            later = panes >= since[row]
            inside = later.copy()
            for c, code in zip(answers.columns[row].tolist(), answers.codes[row].tolist(), strict=True):
                if c >= 0:
                    inside &= columns[c] == code
            whole, part = (
                (np.count_nonzero(later), np.count_nonzero(inside))
                if weights is None
                else (weights[later].sum(), weights[inside].sum())
            )
            o[row] = part
            value[row] = compare.value(request.compare, part, answers.t[row], whole, self.counts.rows_since(since[row]))
            support[row] = part / whole if whole else 0.0
        kept = np.flatnonzero((value >= request.min_ratio) & (support >= request.min_support) & (o > 0))
        sets = Sets(answers.columns, answers.codes, o, answers.t, value, support).take(kept)
        return replace(found, answers=sets, tested_index=found.tested_index[kept]), since[kept]

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as arrays and plain data."""
        return {
            "dictionaries": self.dictionaries, "follower": self.follower.state(), "counts": self.counts.state(),
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        self.dictionaries = state["dictionaries"]
        self.follower.restore(state["follower"])
        self.counts = FadingCounts.from_state(state["counts"], self.rules)
