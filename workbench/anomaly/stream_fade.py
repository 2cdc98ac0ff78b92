"""A stream without a window: every row is labelled once, as it comes, and its weight fades from pane to pane."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.anomaly import compare, remarks
from workbench.anomaly.data import as_float64
from workbench.anomaly.dictionary import Dictionary
from workbench.anomaly.execution import Question
from workbench.anomaly.explain import Found, Rules, search
from workbench.anomaly.marking import chosen, usable
from workbench.anomaly.memory import ArrowData
from workbench.anomaly.plan import Actuals
from workbench.anomaly.sets import Sets
from workbench.anomaly.stream_counts import FadingCounts
from workbench.anomaly.stream_found import found_of
from workbench.anomaly.stream_guard import uninterrupted
from workbench.anomaly.stream_marks import Follower
from workbench.anomaly.stream_result import PaneExplanations
from workbench.anomaly.stream_sparks import Parts, Sparks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.language import Request
    from workbench.anomaly.panes import Pane
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.score import Cutoff

__all__ = ["FadeState"]


class _Searched(NamedTuple):
    """Sets with their values, and what puts them together."""

    parts: Callable[[], Parts]
    found: Callable[[], tuple[Found, NDArray[np.int64]]]


@dataclass(eq=False)
class _Labelled:
    """A pane: codes of the rows used, how many rows have each code (where known), and which are outliers."""

    number: int
    codes: list[NDArray[Any]]
    values: list[NDArray[np.int64] | None]
    flags: NDArray[np.bool_]
    used: NDArray[np.bool_] | None = None
    cutoff: Cutoff | None = None
    notes: list[str] = field(default_factory=list)


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
        self._labelled: _Labelled | None = None  # a pane that is counted, and waits for its answer

    def close(self, pane: Pane, notes: Sequence[str]) -> tuple[Explanations, NDArray[np.bool_], Cutoff | None]:
        """Label a pane, count it, and explain what is live.

        Returns
        -------
        Explanations
        bool (n,)
            Which rows of the pane are outliers.
        Cutoff, optional
        """
        data, actuals, request = ArrowData(pane.table, self.name), Actuals(), self.request
        labelled, searched = self._searched_after(pane, data, actuals)
        said, cutoff, used, flags = [*notes, *labelled.notes], labelled.cutoff, labelled.used, labelled.flags
        if not self.counts.outlier_sum:
            said += self._nothing(data)
        extra = {
            "rows": None, "name": self.name, "cutoff": cutoff, "weighted": bool(self.decay),
            "n_left_out": 0 if used is None else int(len(used) - np.count_nonzero(used)),
            "marked_by": request.where or "",
        }  # fmt: skip
        self.sparks = sparks = self.sparks.after(searched.parts)
        seconds = actuals.seconds
        known = [(each, each.card) for each in self.dictionaries]

        def explanations() -> Explanations:
            found, since = searched.found()
            more = {**extra, "since": since, "sparks": sparks.of(found.answers)}
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
        known = counts.tracker.search(counts)
        outliers, rows, first = counts.true(counts.outlier_sum), counts.N, counts.panes[0].number
        if known is None or (outliers and not known.chosen[: known.bounds[1]].any()):  # a new one tells what is nearest
            found, since = self._anew()
        elif (known.since[known.chosen] <= first).all():
            return _Searched(known.parts, lambda: found_of(known, outliers, rows))
        else:
            found, since = found_of(known, outliers, rows)
        young = np.flatnonzero(since > first)
        if len(young):
            found, since = self._recounted(found, since, young, *counts.outliers())
        answers = found.answers
        return _Searched(lambda: [(answers.columns, answers.codes, answers.value)], lambda: (found, since))

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

    def keep(self, pane: Pane) -> None:
        """Go on after a pane: it has been counted in `close`."""
        self._labelled = None

    def _searched_after(self, pane: Pane, data: ArrowData, actuals: Actuals) -> tuple[_Labelled, _Searched]:
        """Label and count a pane, once (one whose answer failed comes again), and search."""
        labelled = self._labelled
        if labelled is not None and labelled.number == pane.number:
            with actuals.step("Count"), uninterrupted():
                return labelled, self._searched()
        before = self.follower.mark()
        try:
            labelled = self._label(pane, data, actuals)
            with uninterrupted():
                with actuals.step("Collect", rows=float(np.count_nonzero(labelled.flags))):
                    self.counts.add(
                        pane.number, labelled.codes, [each.card for each in self.dictionaries], labelled.flags,
                        labelled.values,
                    )  # fmt: skip
                    self._labelled = labelled
                with actuals.step("Count"):
                    return labelled, self._searched()
        except BaseException:
            if self._labelled is not labelled or labelled is None:
                self.follower.back(before)
            raise

    def _label(self, pane: Pane, data: ArrowData, actuals: Actuals) -> _Labelled:
        """Encode a pane and mark its outliers."""
        request = self.request
        with actuals.step("Encode", rows=float(data.n_rows)):
            codes = [each.encode(pane.table.column(each.name)) for each in self.dictionaries]
            values: list[NDArray[np.int64] | None] = [each.counts for each in self.dictionaries]
        with actuals.step("Score", rows=float(data.n_rows)):
            if request.where is not None:
                return _Labelled(pane.number, codes, values, np.asarray(data.where(request.where), bool))
            columns = [as_float64(pane.table.column(name)) for name in request.metrics]
            used = usable(columns)
            x = chosen(columns[0] if len(columns) == 1 else np.column_stack(columns), used)
            if self.counts.number >= 0:
                self.follower.end_pane(pane.number - self.counts.number)
            flags, cutoff, notes = np.zeros(0, bool), None, []
            if used is not None:
                notes.append(remarks.left_out(len(used) - len(x), len(used), request.metrics))
                codes, values = [chosen(each, used) for each in codes], [None] * len(codes)
            if len(x):
                flags, cutoff, more = self.follower.label(x)
                notes += more
        return _Labelled(pane.number, codes, values, flags, used, cutoff, notes)

    def _nothing(self, data: ArrowData) -> list[str]:
        """Return the note of a stream without an outlier so far, where the score has not said it."""
        request = self.request
        if request.where is not None:
            from workbench.anomaly.marking import extreme

            return [remarks.no_row_satisfies(request.where, extreme(data, request.where))]
        if not self.counts.N:
            return [remarks.no_metric(request.metrics)]
        if len(self.counts.panes) == 1:
            return []
        return ["No row has been above the cutoff so far, so there is nothing to explain."]

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
