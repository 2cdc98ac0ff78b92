"""The question of workload W, asked of NumPy, DuckDB, pandas and Polars: each with all their own work.

Each peer makes MAD and cutoff (quantile rule h = p(n + 1)), labels, counts and minimal answers, and gives
{frozenset of (column, code)}: (o, t, risk ratio).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.outliers_workload import COLUMNS, METRIC

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    from numpy.typing import NDArray

__all__ = ["Answers", "by_duckdb", "by_numpy", "by_pandas", "by_polars", "coded"]

TOP, MIN_RATIO, MAX_COMBO = 0.01, 3.0, 3

Key = frozenset[tuple[int, Any]]
Answers = dict[Key, tuple[int, int, float]]

#: the columns of all sets of one to three columns: 41
GROUPS = [each for size in range(1, MAX_COMBO + 1) for each in combinations(range(len(COLUMNS)), size)]


def _ranks(n: int) -> tuple[int, int, float]:
    """Return the two 0-based ranks around the cutoff, and how far it is from the first to the second."""
    h = min(max((1 - TOP) * (n + 1), 1.0), float(n))
    low = int(h) - 1
    return low, min(low + 1, n - 1), h - int(h)


def _between(a: float, b: float, part: float) -> float:
    return a if a == b else a + (b - a) * part


def _halves(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the median and the values from the upper middle on: to part at one rank is quicker than at two."""
    parted = np.partition(x, len(x) // 2)
    upper = float(parted[len(x) // 2])
    lower = upper if len(x) % 2 else float(parted[: len(x) // 2].max())
    return (lower + upper) / 2, parted[len(x) // 2 :]


def _labels(x: NDArray[np.float64]) -> tuple[NDArray[np.bool_], float]:
    """Return the outlier flags and MAD of an array, by partitions."""
    median, _ = _halves(x)
    r = np.abs(x - median)
    mad, upper = _halves(r)
    low, high, part = _ranks(len(r))
    rest = np.partition(upper, low - len(r) // 2)[low - len(r) // 2 :]
    cut = _between(float(rest[0]), float(rest[1:].min()) if high > low else float(rest[0]), part)
    return r > cut, mad


def _ratio(o: NDArray, t: NDArray, O: int, N: int) -> NDArray[np.float64]:  # noqa: E741
    o, t = o.astype(np.float64), t.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(o == O, np.inf, (o / t) / ((O - o) / (N - t)))
    return np.where((o == 0) | (t == N), 0.0, ratio)


def _least(support: float, O: int) -> int:  # noqa: E741
    """Return the smallest count whose share of the outliers reaches the support."""
    count = max(1, int(support * O) - 1)
    while count / O < support:
        count += 1
    return count


def _minimal(passing: Answers) -> Answers:
    """Drop each set that has a passing part."""
    return {
        key: figures
        for key, figures in passing.items()
        if not any(frozenset(part) in passing for size in range(1, len(key)) for part in combinations(key, size))
    }


def coded(answers: Answers) -> Answers:
    """Return answers with codes in place of the text `v3_17`."""
    return {
        frozenset((column, int(str(value).split("_")[1])) for column, value in key): figures
        for key, figures in answers.items()
    }


# ----------------------------------------------------------------------------------------------------------- NumPy


def by_numpy(codes: list[NDArray], cards: Iterable[int], x: NDArray[np.float64], support: float) -> Answers:
    """Packed int64 keys: candidates are pruned on the outlier rows, totals come from `bincount` over all rows.

    Only values that are supported and do not pass go on, so the tables stay small; the rows of a triple are first
    narrowed to those in one of its candidates' pairs.
    """
    flags, _ = _labels(x)
    rows = np.flatnonzero(flags)
    N, O = len(x), len(rows)  # noqa: E741
    least = _least(support, O)
    answers: Answers = {}
    open_codes, numbers, outlier = [], [], []
    for column, (code, card) in enumerate(zip(codes, cards, strict=True)):
        t, o = np.bincount(code, minlength=card), np.bincount(code[rows], minlength=card)
        ratio, supported = _ratio(o, t, O, N), o >= least
        for value in np.flatnonzero(supported & (ratio >= MIN_RATIO)):
            answers[frozenset({(column, int(value))})] = int(o[value]), int(t[value]), float(ratio[value])
        open_codes.append(np.flatnonzero(supported & (ratio < MIN_RATIO)))
        number = np.zeros(card, np.int64)
        number[open_codes[-1]] = np.arange(1, len(open_codes[-1]) + 1)
        numbers.append(number)
        outlier.append(number[code[rows]])
    sizes = [len(each) + 1 for each in open_codes]
    packed: dict[int, NDArray[np.int64]] = {}

    def everywhere(column: int) -> NDArray[np.int64]:
        if column not in packed:
            packed[column] = numbers[column].take(codes[column])
        return packed[column]

    def pair_keys(a: int, b: int) -> NDArray[np.int64]:
        key = everywhere(a) * sizes[b]
        key += everywhere(b)
        return key

    def settle(columns: tuple[int, ...], cells: NDArray[np.int64], o: NDArray, t: NDArray) -> NDArray[np.bool_]:
        ratio = _ratio(o, t, O, N)
        places = np.unravel_index(cells, [sizes[c] for c in columns])
        for i in np.flatnonzero(ratio >= MIN_RATIO):
            key = frozenset((c, int(open_codes[c][place[i] - 1])) for c, place in zip(columns, places, strict=True))
            answers[key] = int(o[i]), int(t[i]), float(ratio[i])
        return ratio < MIN_RATIO

    still: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for a, b in combinations(range(len(codes)), 2):
        size = sizes[a] * sizes[b]
        counts = np.bincount(outlier[a] * sizes[b] + outlier[b], minlength=size).reshape(sizes[a], sizes[b])
        counts[0, :] = counts[:, 0] = 0
        cells = np.flatnonzero(counts.ravel() >= least)
        still[a, b] = np.zeros((sizes[a], sizes[b]), bool)
        if len(cells):
            total = np.bincount(pair_keys(a, b), minlength=size)
            left = settle((a, b), cells, counts.ravel()[cells], total[cells])
            still[a, b].ravel()[cells[left]] = True
    for a, b, c in combinations(range(len(codes)), 3):
        pairs = np.flatnonzero(still[a, b].ravel())
        if not len(pairs):
            continue
        number = np.zeros(sizes[a] * sizes[b], np.int64)
        number[pairs] = np.arange(1, len(pairs) + 1)
        key = number[outlier[a] * sizes[b] + outlier[b]] * sizes[c] + outlier[c]
        counts = np.bincount(key, minlength=(len(pairs) + 1) * sizes[c])
        cells = np.flatnonzero(counts >= least)
        pair, third = np.divmod(cells, sizes[c])
        cells = cells[(pair > 0) & (third > 0)]
        pair, third = np.divmod(cells, sizes[c])
        first, second = np.divmod(pairs[pair - 1], sizes[b])
        kept = still[a, c][first, third] & still[b, c][second, third]
        cells, pair, third, first, second = cells[kept], pair[kept], third[kept], first[kept], second[kept]
        if not len(cells):
            continue
        wanted = np.zeros(sizes[a] * sizes[b], np.int64)
        used, place = np.unique(pair, return_inverse=True)
        wanted[pairs[used - 1]] = np.arange(1, len(used) + 1)
        inside = wanted.take(pair_keys(a, b))
        narrow = np.flatnonzero(inside)
        total = np.bincount(inside[narrow] * sizes[c] + everywhere(c)[narrow], minlength=(len(used) + 1) * sizes[c])
        whole = (first * sizes[b] + second) * sizes[c] + third
        settle((a, b, c), whole, counts[cells], total[(place + 1) * sizes[c] + third])
    return answers


# ---------------------------------------------------------------------------------------------------- data frames


def _passing(
    tables: Iterable[tuple[tuple[int, ...], list[Any], NDArray, NDArray]],
    support: float,
    O: int,  # noqa: E741
    N: int,
) -> Answers:
    """Return the minimal passing sets of (columns, values by column, o, t)."""
    passing: Answers = {}
    for columns, values, o, t in tables:
        ratio = _ratio(o, t, O, N)
        for i in np.flatnonzero((o / O >= support) & (ratio >= MIN_RATIO)):
            key = frozenset((c, column[i]) for c, column in zip(columns, values, strict=True))
            passing[key] = int(o[i]), int(t[i]), float(ratio[i])
    return _minimal(passing)


def by_pandas(frame: pd.DataFrame, support: float) -> Answers:
    """41 groupbys on categoricals."""
    flags, _ = _labels(frame[METRIC].to_numpy())
    marked = frame[list(COLUMNS)].assign(out=flags)
    O, N = int(flags.sum()), len(flags)  # noqa: E741

    def tables() -> Iterable[tuple[tuple[int, ...], list[Any], NDArray, NDArray]]:
        for columns in GROUPS:
            names = [COLUMNS[c] for c in columns]
            counted = marked.groupby(names, observed=True, sort=False)["out"].agg(["sum", "count"])
            counted = counted[counted["sum"] / O >= support].reset_index()
            yield columns, [counted[n].tolist() for n in names], *(counted[k].to_numpy() for k in ("sum", "count"))

    return _passing(tables(), support, O, N)


def by_polars(frame: pl.DataFrame, support: float) -> Answers:
    """41 group_bys on Categorical, as one lazy query: the streaming engine takes half the time of 41 eager ones."""
    import polars as pl

    x = pl.col(METRIC)
    r = frame.select((x - x.median()).abs().alias("r"))["r"]
    mad = r.median()
    assert mad is not None
    N = frame.height
    low, high, part = _ranks(N)
    ordered = r.sort()
    cut = _between(ordered[low], ordered[high], part)
    marked = frame.select(*COLUMNS, out=r > cut)
    O = int(marked["out"].sum())  # noqa: E741

    all_counted = pl.collect_all(
        [
            marked.lazy()
            .group_by([COLUMNS[c] for c in columns])
            .agg(o=pl.col("out").sum(), t=pl.len())
            .filter(pl.col("o") / O >= support)
            for columns in GROUPS
        ],
        engine="streaming",
    )

    def tables() -> Iterable[tuple[tuple[int, ...], list[Any], NDArray, NDArray]]:
        for columns, counted in zip(GROUPS, all_counted, strict=True):
            values = [counted[COLUMNS[c]].to_list() for c in columns]
            yield columns, values, *(counted[k].to_numpy().astype(np.int64) for k in ("o", "t"))

    return _passing(tables(), support, O, N)


def by_duckdb(connection: Any, support: float) -> Answers:
    """One statement with 41 GROUPING SETS over the text table `w`."""

    def one(sql: str) -> Any:
        return connection.execute(sql).fetchall()[0]

    N, median = one(f"SELECT count(*), median({METRIC}) FROM w")
    distance = f"abs({METRIC} - {median!r}::DOUBLE)"
    (_mad,) = one(f"SELECT median({distance}) FROM w")
    low, high, part = _ranks(N)
    # The two smallest of the largest rows: ranks low and low + 1.
    smallest = connection.execute(
        f"SELECT r FROM (SELECT {distance} r FROM w ORDER BY r DESC LIMIT {N - low}) ORDER BY r LIMIT {high - low + 1}"
    ).fetchall()
    cut = _between(smallest[0][0], smallest[-1][0], part)
    (O,) = one(f"SELECT count(*) FROM w WHERE {distance} > {cut!r}::DOUBLE")  # noqa: E741
    sets = ", ".join("(" + ", ".join(COLUMNS[c] for c in columns) + ")" for columns in GROUPS)
    names = ", ".join(COLUMNS)
    counted = connection.sql(
        f"SELECT {names}, grouping({names}) AS g, count(*) AS t, count(*) FILTER ({distance} > {cut!r}::DOUBLE) AS o "
        f"FROM w GROUP BY GROUPING SETS ({sets}) HAVING o / {O} >= {support!r}::DOUBLE"
    ).to_arrow_table()
    g, o, t = (counted[name].to_numpy() for name in ("g", "o", "t"))
    values = [counted[name].to_pylist() for name in COLUMNS]

    def tables() -> Iterable[tuple[tuple[int, ...], list[Any], NDArray, NDArray]]:
        for columns in GROUPS:
            mask = sum(1 << (len(COLUMNS) - 1 - c) for c in range(len(COLUMNS)) if c not in columns)
            rows = np.flatnonzero(g == mask)
            yield columns, [[values[c][i] for i in rows] for c in columns], o[rows], t[rows]

    return _passing(tables(), support, O, N)
