"""The explanation search: which sets of values occur far more often among outliers than elsewhere.

Candidates are enumerated on the outlier rows alone, level by level; only what is supported there is counted on all
rows. A set that passes is an answer, and with `minimal` no part of a larger one; the others stay open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.anomaly import loading
from workbench.anomaly.candidates import Candidates
from workbench.anomaly.dependencies import dependencies
from workbench.anomaly.figures import figures_of
from workbench.anomaly.lattice import Lattice
from workbench.anomaly.sets import Counter, Found, Moments, Rules, Sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Counter", "Found", "Moments", "Rules", "Sets", "search"]


def search(
    columns: Sequence[NDArray],
    cards: Sequence[int],
    flags: NDArray,
    rules: Rules,
    *,
    weights: NDArray[np.float64] | None = None,
    outlier_weights: NDArray[np.float64] | None = None,
    metric: NDArray[np.float64] | None = None,
    std: NDArray[np.float64] | None = None,
    counter: Counter | None = None,
    progress: Callable[[int, Found], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Found:
    """Return all sets of values that pass.

    Parameters
    ----------
    columns : sequence of uint8, uint16 or uint32 arrays (n,)
        Codes of each column, 0 to its card - 1.
    cards : sequence of int
        How many codes each column has.
    flags : bool or uint8 array (n,)
        Which rows are outliers; not looked at by `mean_deviation`.
    rules : Rules
        What passes.
    weights, outlier_weights : float64 arrays (n,), optional
        How heavy each row is, and how much of that is an outlier; without the second, all of each outlier.
    metric : float64 array (n,), optional
        For the compare metrics of means; no NaN.
    std : float64 array (n,), optional
        Of rows that stand for many: standard deviation of the metric within each.
    counter : Counter, optional
        Where totals come from if `columns` are those of the outlier rows only, all flagged.
    progress : callable, optional
        Told `(order, found)` after each order, with what has been found until then.
    check : callable, optional
        Called between columns, pairs of columns and stretches of rows; what it raises ends the search.

    Returns
    -------
    Found
        The answers in the order of the search; `ranking.rank` puts them in order.
    """
    state = _Search(columns, cards, flags, rules, weights, outlier_weights, metric, std, counter, check)
    for k in range(1, min(rules.max_combo, len(columns)) + 1):
        if not state.order(k):
            break
        if progress is not None:
            progress(k, state.found())
    return state.result()


class _Search:
    """One search: what is known after the orders done so far."""

    def __init__(
        self,
        columns: Sequence[NDArray],
        cards: Sequence[int],
        flags: NDArray,
        rules: Rules,
        weights: NDArray[np.float64] | None,
        outlier_weights: NDArray[np.float64] | None,
        metric: NDArray[np.float64] | None,
        std: NDArray[np.float64] | None,
        counter: Counter | None,
        check: Callable[[], None] | None,
    ) -> None:
        self.rules, self.check = rules, check
        self.figures = figures_of(
            columns,
            cards,
            flags,
            rules,
            weights=weights,
            outlier_weights=outlier_weights,
            metric=metric,
            std=std,
            counter=counter,
            kernels=loading.kernels(len(flags)),
        )
        self.answers: list[Sets] = []
        self.tested: list[tuple[NDArray, NDArray]] = []
        self.counted = self.passed = 0
        self.index: list[NDArray[np.int64]] = []
        self.candidates: list[int] = []
        self.finished = 0
        self.stopped: str | None = None
        self.best: Sets | None = None
        self.dependencies = (
            dependencies(self.figures.rows.columns, cards, check) if counter is None else list(counter.dependencies)
        )
        self.skip = np.zeros((len(cards), len(cards)), bool)
        if rules.minimal:
            for a, b in self.dependencies:
                self.skip[a, b] = self.skip[b, a] = True

    def order(self, k: int) -> bool:
        """Find the answers of k values; return whether there may be more."""
        figures = self.figures
        if k == 1:
            sets, supported = figures.singles(self.check)
            if self._too_many(k, len(sets)):
                return False
            still = self._settle(sets, supported)
            if not len(sets):
                self.best = figures.nearest(self.check)
            self.lattice = Lattice(sets.columns[still, 0], sets.codes[still, 0], len(figures.cards))
            self.supported = Candidates(
                self.lattice, figures.plain, figures.need, self.skip, figures.carried, self.rules.max_candidates
            )
        else:
            parents, items, o, total = self.supported.extend(self.check)
            if total > self.rules.max_candidates and self._too_many(k, total):
                return False
            sets, supported, kept = figures.larger(self.lattice, self.lattice.sets(parents, items), o, self.check)
            self._too_many(k, len(sets))
            still = self._settle(sets, supported)
            self.lattice.add(parents[kept[still]], items[kept[still]])
        self.finished = k
        return len(still) > 0

    def _too_many(self, k: int, total: int) -> bool:
        self.candidates.append(total)
        if total <= self.rules.max_candidates:
            return False
        done = f"{k - 1} column" + ("s" if k != 2 else "")
        self.stopped = (
            f"{total:,} {_NUMBERS[k] if k < len(_NUMBERS) else k}-column candidates; stopped at {done}. "
            "Raise --max-candidates or --min-support."
        )
        return True

    def _settle(self, sets: Sets, supported: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Take the answers out of the sets counted; return the positions of those that stay open."""
        passing = supported & (sets.value >= self.rules.min_ratio)
        answers = passing.nonzero()[0]
        self.index.append(answers + self.counted)
        self.counted += len(sets)
        self.tested.append((sets.o, sets.t))
        self.answers.append(sets.take(answers))
        missed = (supported & ~passing).nonzero()[0]
        self.passed += len(answers)
        if not self.passed:
            self._look_closer(sets, missed)
        return missed if self.rules.minimal else supported.nonzero()[0]

    def _look_closer(self, sets: Sets, missed: NDArray[np.int64]) -> None:
        """Keep the best set that missed: the highest value, then the most support, then what was found first."""
        value = sets.value[missed]
        if not len(missed) or np.isnan(top := np.fmax.reduce(value)):
            return
        best = missed[value == top]
        best = best[[np.argmax(sets.support[best])]]
        before = self.best
        if before is None or (top, sets.support[best[0]]) > (before.value[0], before.support[0]):
            self.best = sets.take(best)

    def found(self) -> Found:
        """Return what is known so far."""
        count = np.float64 if self.figures.weighted else np.int64
        return Found(
            Sets.concat(self.answers) if self.answers else Sets.empty(self.figures.weighted),
            self.figures.O,
            self.figures.N,
            np.concatenate([o for o, _ in self.tested] or [np.empty(0, count)]),
            np.concatenate([t for _, t in self.tested] or [np.empty(0, count)]),
            np.concatenate(self.index or [np.empty(0, np.int64)]),
            None if self.passed else self.best,
            list(self.candidates),
            self.finished,
            self.stopped,
            self.dependencies,
        )

    def result(self) -> Found:
        """Return what is known at the end."""
        found = self.found()
        moments = self.figures.moments(found.answers, self.check)
        if moments is not None:
            found.moments_out, found.moments_in = moments
        return found


_NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
