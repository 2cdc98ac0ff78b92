"""The explanation search: which sets of values occur far more often among outliers than elsewhere.

Candidates are enumerated on the outlier rows alone, level by level; only what is supported there is counted on all
rows. A set that passes is an answer, and with `minimal` no part of a larger one; the others stay open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.anomaly import candidates, compare, loading
from workbench.anomaly.counting import rows_of
from workbench.anomaly.dependencies import dependencies
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
        Which rows are outliers.
    rules : Rules
        What passes.
    """
    state = _Search(columns, cards, flags, rules, check)
    for k in range(1, min(rules.max_combo, len(columns)) + 1):
        if check is not None:
            check()
        if not state.order(k):
            break
        if progress is not None:
            progress(k, state.found())
    return state.found()


class _Search:
    """One search: what is known after the orders done so far."""

    def __init__(
        self,
        columns: Sequence[NDArray],
        cards: Sequence[int],
        flags: NDArray,
        rules: Rules,
        check: Callable[[], None] | None,
    ) -> None:
        self.rules, self.check = rules, check
        self.kernels = loading.kernels(len(flags))
        self.rows = rows_of(columns, cards, self.kernels)
        chosen = np.flatnonzero(flags.view(bool) if flags.dtype == np.uint8 else flags)
        self.outliers = rows_of([codes[chosen] for codes in self.rows.columns], cards, self.kernels)
        self.O, self.N = len(chosen), len(flags)
        self.answers: list[Sets] = []
        self.tested: list[Sets] = []
        self.index: list[NDArray[np.int64]] = []
        self.candidates: list[int] = []
        self.finished = 0
        self.stopped: str | None = None
        self.best: Sets | None = None
        self.dependencies = dependencies(columns, cards)
        self.skip = np.zeros((len(columns), len(columns)), bool)
        if rules.minimal:
            for a, b in self.dependencies:
                self.skip[a, b] = self.skip[b, a] = True

    def order(self, k: int) -> bool:
        """Find the answers of k values; return whether there may be more."""
        if k == 1:
            sets = self._singles()
            if self._too_many(k, len(sets)):
                return False
            still = self._settle(sets)
            self.lattice = Lattice(sets.columns[still, 0], sets.codes[still, 0], len(self.rows.cards))
            self.items = candidates.items_of(self.lattice, self.outliers.columns, self.outliers.cards)
        else:
            parents, items, found, total = candidates.extend(
                self.lattice,
                self.items,
                self.need,
                self.skip,
                limit=self.rules.max_candidates,
                kernels=self.kernels,
                check=self.check,
            )
            if self._too_many(k, total):
                return False
            chosen = self.lattice.sets(parents, items)
            t = self.rows.count(self.lattice, chosen, self.check)
            sets = self._figures(self.lattice.columns[chosen], self.lattice.codes[chosen], found.astype(np.int64), t)
            still = self._settle(sets)
            self.lattice.add(parents[still], items[still])
        self.finished = k
        return len(still) > 0

    def _singles(self) -> Sets:
        found = [self.outliers.histogram(c) for c in range(len(self.rows.cards))]
        good = [np.flatnonzero(o >= self.need) for o in found]
        position = np.repeat(np.arange(len(good), dtype=np.int32), [len(codes) for codes in good])
        codes = np.concatenate(good)
        o = np.concatenate([o[codes] for o, codes in zip(found, good, strict=True)])
        return self._figures(position[:, None], codes[:, None], o, self.rows.values(position, codes, self.check))

    @property
    def need(self) -> int:
        """The least count of outliers that is a support of `min_support` or more."""
        if not self.O:
            return 1
        least = max(1, int(self.rules.min_support * self.O) - 1)
        while least / self.O < self.rules.min_support:
            least += 1
        return least

    def _figures(self, columns: NDArray, codes: NDArray, o: NDArray, t: NDArray) -> Sets:
        value = np.asarray(compare.value(self.rules.compare, o, t, self.O, self.N))
        return Sets(columns, codes, o, t, value, o / max(self.O, 1))

    def _too_many(self, k: int, total: int) -> bool:
        self.candidates.append(total)
        if total <= self.rules.max_candidates:
            return False
        done = f"{k - 1} column" + ("s" if k != 2 else "")
        self.stopped = (
            f"{total:,} {_NUMBERS.get(k, str(k))}-column candidates; stopped at {done}. "
            "Raise --max-candidates or --min-support."
        )
        return True

    def _settle(self, sets: Sets) -> NDArray[np.int64]:
        """Take the answers out of the sets counted; return the positions of those that stay open."""
        passing = sets.value >= self.rules.min_ratio
        before = sum(len(part) for part in self.tested)
        self.tested.append(sets)
        self.answers.append(sets.take(passing))
        self.index.append(np.flatnonzero(passing) + before)
        missed = np.flatnonzero(~passing)
        if len(missed):
            order = np.lexsort((-sets.support[missed], -sets.value[missed]))
            best = sets.take(missed[order[:1]])
            if self.best is None or (best.value[0], best.support[0]) > (self.best.value[0], self.best.support[0]):
                self.best = best
        return missed if self.rules.minimal else np.arange(len(sets))

    def found(self) -> Found:
        """Return what is known so far."""
        return Found(
            Sets.concat(self.answers),
            self.O,
            self.N,
            np.concatenate([part.o for part in self.tested] or [np.empty(0, np.int64)]),
            np.concatenate([part.t for part in self.tested] or [np.empty(0, np.int64)]),
            np.concatenate(self.index or [np.empty(0, np.int64)]),
            self.best,
            list(self.candidates),
            self.finished,
            self.stopped,
            self.dependencies,
        )


_NUMBERS = {
    1: "one",
    2: "two",
    3: "three",
    4: "four",
    5: "five",
    6: "six",
    7: "seven",
    8: "eight",
    9: "nine",
    10: "ten",
    11: "eleven",
    12: "twelve",
}
