"""What is counted and summed for each compare metric, and the figures of sets that come of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly import compare
from workbench.anomaly.counting import Counts, Rows, RowsElsewhere, rows_of
from workbench.anomaly.exact import ExactSum, exact_sum
from workbench.anomaly.lattice import Lattice
from workbench.anomaly.numbers import Number
from workbench.anomaly.sets import Counter, Moments, Rules, Sets

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Figures", "figures_of"]

Check = Callable[[], None] | None

#: float sums in any order are nearer to the exact one than this share, and a unit in the last place a row: what is
#: below by more need not be summed exactly
SLACK = 1e-9


def figures_of(
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
    kernels: Any = None,
) -> Figures:
    """Return what is counted for a question; arguments as of `explain.search`."""
    if rules.compare in compare.MEAN_NAMES and metric is None:
        raise ValueError(f"{rules.compare} needs a metric")
    if counter is not None and rules.compare in compare.MEAN_NAMES:
        raise ValueError("a counter counts rows: no means")
    kind: type[Figures] = {"mean_shift": Shift, "mean_deviation": Deviation}.get(rules.compare, Figures)
    marked = flags.view(bool) if flags.dtype == np.uint8 else flags.astype(bool, copy=False)
    heavy = weights
    if weights is not None or outlier_weights is not None:
        heavy = np.ones(len(marked)) if weights is None else np.asarray(weights, np.float64)
        if outlier_weights is None:
            outlier_weights = np.where(marked, heavy, 0.0)
    return kind(columns, cards, marked, rules, heavy, outlier_weights, metric, std, counter, kernels)


class Figures:
    """Counts of rows, or sums of weights.

    Attributes
    ----------
    rows, outliers : Rows
        All rows, and those that count as outliers.
    O, N : int or float
        Of these, as many or as heavy.
    need : float
        The least count of outliers that is enough support; of weights, a little less.
    carried : float64 array, optional
        The outliers' weights.
    """

    def __init__(
        self,
        columns: Sequence[NDArray],
        cards: Sequence[int],
        marked: NDArray[np.bool_],
        rules: Rules,
        weights: NDArray[np.float64] | None,
        outlier_weights: NDArray[np.float64] | None,
        metric: NDArray[np.float64] | None,
        std: NDArray[np.float64] | None,
        counter: Counter | None,
        kernels: Any,
    ) -> None:
        self.rules, self.marked, self.weights, self.metric, self.std = rules, marked, weights, metric, std
        self.kernels, self.cards = kernels, cards
        self.weighted = weights is not None
        self.outlier_weights = outlier_weights
        self.prepare()
        #: the rows that count as outliers; None stands for all
        self.chosen = self.members()
        self.rows = rows_of(columns, cards, kernels, self.numbers())
        mine = [self.of_outliers(codes) for codes in self.rows.columns]
        self.outliers = rows_of(mine, cards, kernels, self.outlier_numbers())
        self.carried: NDArray[np.float64] | None = None
        self.O: int | float = len(marked) if self.chosen is None else len(self.chosen)
        self.N: int | float = len(marked)
        if self.weights is not None:
            self.carried = self.of_outliers(self.share())
            self.O, self.N = exact_sum(self.carried), exact_sum(self.weights)
        if counter is not None:
            self.N, self.rows = counter.N, RowsElsewhere(self.rows.columns, cards, counter, self.weighted)
        self.need = self._need()
        #: the outliers with no number but their weight: what candidates are counted on
        self.plain = self.outliers
        if not self.apart or len(self.outliers.numbers) > self.weighted:
            weight = [] if self.carried is None else [Number(self.carried)]
            self.plain = rows_of(self.outliers.columns, cards, kernels, weight)

    # what each compare metric says otherwise

    def prepare(self) -> None:
        """Reckon what holds for all rows."""

    def share(self) -> NDArray[np.float64]:
        """Return how much of each row is an outlier."""
        assert self.outlier_weights is not None
        return self.outlier_weights

    def members(self) -> NDArray[np.int64] | None:
        """Return the rows that count as outliers."""
        return np.flatnonzero(self.share() > 0 if self.weighted else self.marked)

    def outlier_numbers(self) -> list[Number]:
        """Return what is summed over outliers."""
        return [Number(self.of_outliers(self.share()))] if self.weighted else []

    def numbers(self) -> list[Number]:
        """Return what is summed over all rows."""
        return [Number(self.weights)] if self.weights is not None else []

    def finish(self, columns: NDArray, codes: NDArray, outliers: Counts | None, rows: Counts) -> tuple[Sets, NDArray]:
        """Return sets with their figures, and which of them are supported."""
        assert outliers is not None
        o, t = (outliers[1][0], rows[1][0]) if self.weighted else (outliers[0], rows[0])
        value = np.asarray(compare.value(self.rules.compare, o, t, self.O, self.N))
        support = self.support(o)
        return Sets(columns, codes, o, t, value, support), np.ones(len(o), bool)

    def moments(self, answers: Sets, check: Check) -> tuple[Moments, Moments] | None:
        """Return count, mean and variance of the metric over outliers and inliers of each answer."""
        return None

    #: whether outliers are counted apart from all rows
    apart = True

    # what is common to all

    def of_outliers(self, x: NDArray) -> NDArray:
        """Return the entries of the rows that count as outliers."""
        return x if self.chosen is None else x[self.chosen]

    def support(self, o: NDArray) -> NDArray[np.float64]:
        """Return the share of outliers."""
        return np.asarray(o / self.O if self.O else np.zeros(len(o)), np.float64)

    def singles(self, check: Check) -> tuple[Sets, NDArray[np.bool_]]:
        """Return the single values with enough outliers, their figures, and which are supported."""
        columns, codes, o = self.outliers.frequent(self.need, self.carried)
        outliers: Counts | None = None
        if self.apart:
            exact = self.outliers.values(columns, codes, check) if self.outliers.numbers else (o.astype(np.int64), [])
            columns, codes, outliers = self._enough(columns, codes, exact)
        sets, supported = self.finish(
            columns[:, None], codes[:, None], outliers, self.rows.values(columns, codes, check)
        )
        return self._kept(sets, supported)[:2]

    def nearest(self, check: Check) -> Sets | None:
        """Return the value with the most outliers where none has enough; None where there are no outliers."""
        best: tuple[float, int, int] | None = None
        for c, card in enumerate(self.cards if self.outliers.n else ()):
            o = np.bincount(self.outliers.columns[c], self.carried, minlength=card)
            if best is None or o.max() > best[0]:
                best = o.max(), c, int(o.argmax())
        if best is None or not best[0] > 0:
            return None
        columns, codes = np.array([best[1]], np.int32), np.array([best[2]])
        outliers = self.outliers.values(columns, codes, check) if self.apart else None
        return self.finish(columns[:, None], codes[:, None], outliers, self.rows.values(columns, codes, check))[0]

    def larger(
        self, lattice: Lattice, sets: NDArray[np.int32], o: NDArray[np.float64], check: Check
    ) -> tuple[Sets, NDArray[np.bool_], NDArray[np.int64]]:
        """Return larger sets likewise, and which ones of those given they are.

        Parameters
        ----------
        lattice : Lattice
            What items are.
        sets : int32 array (m, k)
            Items of each set.
        o : float64 array (m,)
            Outliers in each; of weights, nearly.
        """
        every = np.arange(len(sets))
        outliers: Counts | None = None
        if self.apart:
            outliers = self.outliers.count(lattice, sets, check) if self.outliers.numbers else (o.astype(np.int64), [])
            every, sets, outliers = self._enough(every, sets, outliers)
        rows = self.rows.count(lattice, sets, check)
        found, supported = self.finish(lattice.columns[sets], lattice.codes[sets], outliers, rows)
        found, supported, kept = self._kept(found, supported)
        return found, supported, every[kept]

    def _enough(self, one: NDArray, other: NDArray, outliers: Counts) -> tuple[NDArray, NDArray, Counts]:
        """Keep what has enough support by exact sums."""
        if not self.weighted:
            return one, other, outliers
        counts, sums = outliers
        kept = self._passes(sums[0])
        return one[kept], other[kept], (counts[kept], [each[kept] for each in sums])

    def _kept(self, sets: Sets, supported: NDArray[np.bool_]) -> tuple[Sets, NDArray[np.bool_], NDArray[np.int64]]:
        kept = np.arange(len(sets))
        if self.weighted and not self.apart:
            kept = np.flatnonzero(self._passes(sets.o))
            return sets.take(kept), supported[kept], kept
        return sets, supported, kept

    def _passes(self, o: NDArray) -> NDArray[np.bool_]:
        return np.asarray((o > 0) & (self.support(o) >= self.rules.min_support))

    def _need(self) -> float:
        least = self.rules.min_support * self.O
        if self.weighted:
            return max(float(np.nextafter(0.0, 1.0)), least * (1 - SLACK - 2.0**-52 * self.outliers.n))
        if not self.O:
            return 1.0
        count = max(1, int(least) - 1)
        while count / self.O < self.rules.min_support:
            count += 1
        return float(count)


class Shift(Figures):
    """Means of a number over outliers and inliers."""

    def prepare(self) -> None:
        """Reckon how much of each row is an inlier."""
        assert self.metric is not None
        self.outside = self.weights - self.share() if self.weights is not None else None

    def outlier_numbers(self) -> list[Number]:
        """Return weight and weighted metric."""
        assert self.metric is not None
        share = self.of_outliers(self.share()) if self.weighted else None
        return [*super().outlier_numbers(), Number(_times(share, self.of_outliers(self.metric)))]

    def numbers(self) -> list[Number]:
        """Return weight, inliers' weight and their weighted metric."""
        metric, marked, outside = self.metric, self.marked, self.outside
        assert metric is not None
        if outside is None:
            return [Number(lambda rows: np.where(marked[rows], 0.0, metric[rows]), len(metric))]
        shares = Number(lambda rows: _times(outside[rows], metric[rows]), len(metric))
        return [*super().numbers(), Number(outside), shares]

    def finish(self, columns: NDArray, codes: NDArray, outliers: Counts | None, rows: Counts) -> tuple[Sets, NDArray]:
        """Return sets whose value is the quotient of means."""
        assert outliers is not None
        o, t, held, outside, inside_sum, outside_sum = self._parts(outliers, rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.asarray(compare.mean_shift(inside_sum / held, outside_sum / outside))
            others = np.asarray((t - o) / np.float64(self.N - self.O))
        support = np.minimum(self.support(o), others)
        return Sets(columns, codes, o, t, value, support), support >= self.rules.min_support

    def _parts(self, outliers: Counts, rows: Counts) -> tuple[NDArray, ...]:
        if self.weighted:
            return outliers[1][0], rows[1][0], outliers[1][0], rows[1][1], outliers[1][1], rows[1][2]
        return outliers[0], rows[0], outliers[0], rows[0] - outliers[0], outliers[1][0], rows[1][0]

    def moments(self, answers: Sets, check: Check) -> tuple[Moments, Moments]:
        """Return them from sums of squares around the mean of all rows, which is exact."""
        metric, std, marked, outside = self.metric, self.std, self.marked, self.outside
        assert metric is not None
        total = ExactSum().add(metric)
        centre = total.value(max(1, total.count - total.plus - total.minus), finite=True)

        def square(x: NDArray[np.float64], std: NDArray[np.float64] | None) -> NDArray[np.float64]:
            return _away(x, centre) ** 2 if std is None else _away(x, centre) ** 2 + std * std

        def moments_of(
            rows: Rows,
            weigh: Callable[[slice], NDArray[np.float64]],
            x: NDArray[np.float64],
            std: NDArray[np.float64] | None,
        ) -> Moments:
            numbers = [
                Number(weigh, rows.n),
                Number(lambda at: _times(weigh(at), x[at]), rows.n),
                Number(lambda at: weigh(at) * _away(x[at], centre), rows.n),
                Number(lambda at: weigh(at) * square(x[at], None if std is None else std[at]), rows.n),
            ]
            summed = rows_of(rows.columns, self.cards, self.kernels, numbers)
            held, whole, first, second = _sums_of(summed, answers, check)
            with np.errstate(divide="ignore", invalid="ignore"):
                mean = whole / held
                variance = np.maximum(second / held - (first / held) ** 2, 0.0)
            return held, mean, np.where(np.isfinite(mean), variance, np.nan)

        carried = self.carried
        inside = moments_of(
            self.outliers,
            lambda at: np.ones(len(range(*at.indices(self.outliers.n)))) if carried is None else carried[at],
            self.of_outliers(metric),
            None if std is None else self.of_outliers(std),
        )
        rest = moments_of(
            self.rows, lambda at: np.where(marked[at], 0.0, 1.0) if outside is None else outside[at], metric, std
        )
        return inside, rest


class Deviation(Figures):
    """Means of a number over sets, beside that over all rows: every row counts, and there are no outliers."""

    apart = False

    def prepare(self) -> None:
        """Reckon mean and deviation of all rows."""
        assert self.metric is not None
        metric, std, weights = self.metric, self.std, self.weights
        n = len(metric)
        held = float(n) if weights is None else exact_sum(weights)

        def weighed(at: slice, x: NDArray[np.float64]) -> NDArray[np.float64]:
            return _times(None if weights is None else weights[at], x)

        def square(at: slice) -> NDArray[np.float64]:
            away = (metric[at] - self.mean) ** 2
            return weighed(at, away if std is None else away + std[at] * std[at])

        with np.errstate(divide="ignore", invalid="ignore"):
            self.mean = np.float64(Number(lambda at: weighed(at, metric[at]), n).sum()) / held if held else np.nan
            finite = bool(np.isfinite(self.mean))
            self.deviation = np.sqrt(Number(square, n).sum() / held) if finite else np.nan

    def share(self) -> NDArray[np.float64]:
        """Return the weights."""
        assert self.weights is not None
        return self.weights

    def members(self) -> NDArray[np.int64] | None:
        """Return all rows that weigh something."""
        return np.flatnonzero(self.share() > 0) if self.weighted else None

    def outlier_numbers(self) -> list[Number]:
        """Return nothing: all is summed over all rows."""
        return []

    def numbers(self) -> list[Number]:
        """Return weight and weighted metric."""
        metric, weights = self.metric, self.weights
        assert metric is not None
        if weights is None:
            return [Number(metric)]
        return [*super().numbers(), Number(lambda at: _times(weights[at], metric[at]), len(metric))]

    def finish(self, columns: NDArray, codes: NDArray, outliers: Counts | None, rows: Counts) -> tuple[Sets, NDArray]:
        """Return sets whose value is the distance of means in deviations."""
        t = rows[1][0] if self.weighted else rows[0]
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.asarray(compare.mean_deviation(rows[1][-1] / t, self.mean, self.deviation))
        return Sets(columns, codes, t, t, value, self.support(t)), np.ones(len(t), bool)


def _away(x: NDArray[np.float64], centre: float) -> NDArray[np.float64]:
    """Return the distances from a centre; 0 of what is infinite."""
    return np.where(np.isfinite(x), x, centre) - centre


def _times(weights: NDArray[np.float64] | None, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the products; what weighs nothing is 0 even where it is infinite."""
    if weights is None:
        return x
    with np.errstate(invalid="ignore"):
        return np.where(weights == 0.0, 0.0, weights * x)


def _sums_of(rows: Rows, answers: Sets, check: Check) -> list[NDArray[np.float64]]:
    """Return the sums of the rows' numbers over each of some sets."""
    sums = [np.zeros(len(answers)) for _ in rows.numbers]
    width = len(rows.columns)
    sizes = answers.sizes
    for k in np.unique(sizes).tolist():
        mine = np.flatnonzero(sizes == k)
        columns, codes = answers.columns[mine, :k], answers.codes[mine, :k]
        pairs, items = np.unique(
            np.stack([columns.ravel().astype(np.int64), codes.ravel()], axis=1), axis=0, return_inverse=True
        )
        lattice = Lattice(pairs[:, 0].astype(np.int32), pairs[:, 1].copy(), width)
        _, found = rows.count(lattice, items.reshape(columns.shape).astype(np.int32), check)
        for total, each in zip(sums, found, strict=True):
            total[mine] = each
    return sums
