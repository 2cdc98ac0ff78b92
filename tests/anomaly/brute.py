"""The reference: all sets of values of each outlier row, counted one by one. Knows nothing of workbench."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from math import fsum, inf, nan, sqrt
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One explanation."""

    values: dict[str, Any]  # of its columns; None is null
    support: float
    ratio: float
    o: float
    t: float


def metric_of_counts(compare: str, o: float, t: float, O: float, N: float) -> float:  # noqa: E741
    if compare == "risk_ratio":
        if o == 0 or t == 0 or N - t == 0:
            return 0.0
        return inf if O - o == 0 else (o / t) / ((O - o) / (N - t))
    if compare == "global_ratio":
        return 0.0 if t == 0 or O == 0 else (o / t) / (O / N)
    if compare == "prevalence_ratio":
        return 0.0 if o == 0 else (o / (t - o if t != o else 1)) / (O / (N - O if N != O else 1))
    assert compare == "prevalence_difference"
    return 0.0 if O == 0 or O == N else o / O - (t - o) / (N - O)


def brute(
    rows: Sequence[dict[str, Any]],  # of the `by` columns, in their order
    outliers: Sequence[float],  # how much of each row is an outlier: bools, or expected weights
    *,
    compare: str = "risk_ratio",
    min_support: float = 0.01,
    min_ratio: float = 3.0,
    max_combo: int = 3,
    minimal: bool = True,
    weights: Sequence[float] | None = None,
    metric: Sequence[float] | None = None,
) -> list[Line]:
    """Return the answers in rank order."""
    names = list(rows[0]) if rows else []
    heavy: Sequence[float] = [1] * len(rows) if weights is None else weights
    marked: Sequence[float] = heavy if compare == "mean_deviation" else [float(each) for each in outliers]

    def subsets(row: dict[str, Any]) -> Iterator[frozenset[tuple[str, Any]]]:
        for size in range(1, max_combo + 1):
            yield from map(frozenset, combinations(row.items(), size))

    wanted = {each for row, o in zip(rows, marked, strict=True) if o > 0 for each in subsets(row)}
    members = defaultdict(list)
    for i, row in enumerate(rows):
        for each in subsets(row):
            if each in wanted:
                members[each].append(i)

    def outside(which: Sequence[int]) -> list[float]:
        return [heavy[i] - marked[i] for i in which]

    def mean(which: Sequence[int], shares: Sequence[float]) -> float:
        assert metric is not None
        held = fsum(shares)
        return fsum(share * metric[i] for i, share in zip(which, shares, strict=True)) / held if held else nan

    everyone = range(len(rows))
    O, N = fsum(marked), fsum(heavy)  # noqa: E741
    if compare == "mean_deviation":
        centre = mean(everyone, heavy)
        assert metric is not None
        std = sqrt(fsum(w * (x - centre) ** 2 for w, x in zip(heavy, metric, strict=True)) / N) if N else 0.0

    def measured(which: list[int]) -> tuple[float, float, float, float]:
        o, t = fsum(marked[i] for i in which), fsum(heavy[i] for i in which)
        support = o / O
        if compare == "mean_shift":
            out, inn = mean(which, [marked[i] for i in which]), mean(which, outside(which))
            support = min(support, (t - o) / (N - O)) if N - O else nan
            ratio = (inf if out > 0 else nan) if inn == 0 else out / inn
        elif compare == "mean_deviation":
            ratio = abs(mean(which, [heavy[i] for i in which]) - centre) / std if std else 0.0
        else:
            ratio = metric_of_counts(compare, o, t, O, N)
        return support, ratio, o, t

    passing = {}
    for each in wanted:
        support, ratio, o, t = measured(members[each])
        if support >= min_support and ratio >= min_ratio:
            passing[each] = support, ratio, o, t

    def is_minimal(each: frozenset[tuple[str, Any]]) -> bool:
        return not any(
            frozenset(part) in passing for size in range(1, len(each)) for part in combinations(each, size)
        )  # fmt: skip

    def rank(line: Line) -> tuple[Any, ...]:
        places = [names.index(name) for name in line.values]
        values = [(value is not None, value) if value is not None else (False, 0) for value in line.values.values()]
        return -line.ratio, -line.support, len(places), places, values

    lines = [
        Line(dict(sorted(each, key=lambda pair: names.index(pair[0]))), *figures)
        for each, figures in passing.items()
        if not minimal or is_minimal(each)
    ]
    return sorted(lines, key=rank)
