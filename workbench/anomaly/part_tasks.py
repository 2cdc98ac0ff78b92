"""What workers do with one part of a table: pure functions that read it, mark its rows and count in it."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.dask_parts import is_kept, kept, metric_rows, used_rows
from workbench.anomaly.passes import Survey, survey
from workbench.engine.errors import WorkbenchWarning

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import pyarrow as pa

    from workbench.anomaly.data import Part
    from workbench.anomaly.ranges import FloatFacts
    from workbench.anomaly.scorers import Model
    from workbench.anomaly.store_keys import Stored

__all__ = [
    "CollectPart",
    "Collected",
    "Column",
    "CountPart",
    "LookAtPart",
    "Looked",
    "Marks",
]

#: a dictionary of more values than this does not travel, but for the values that outliers have
TRAVELS = 1 << 16
#: distinct numbers of a float column that travel to be counted
COUNTED = 1 << 16


@dataclass(frozen=True, eq=False)
class Column:
    """A `by` column as workers encode it.

    Attributes
    ----------
    name : str
    edges : array, optional
        Of ranges.
    """

    name: str
    edges: np.ndarray | None = None

    @property
    def key(self) -> tuple[str, bytes | None]:
        """What tells it from the same column in other ranges."""
        return self.name, None if self.edges is None else self.edges.tobytes()


@dataclass(frozen=True, eq=False)
class Marks:
    """How rows are marked.

    Attributes
    ----------
    metrics : tuple of str
        Rows without one of them are left out.
    model : Model, optional
        A fitted score.
    where : (str, tuple of str, str), optional
        A condition on each row by itself, the columns that it names, and what it may call the table.
    label : (str, pyarrow.Array), optional
        A column of labels, and those that mark an outlier.
    """

    metrics: tuple[str, ...] = ()
    model: Model | None = None
    where: tuple[str, tuple[str, ...], str] | None = None
    label: tuple[str, pa.Array] | None = None


# ---------------------------------------------------------------------------------------------------- the first look


@dataclass(eq=False)
class Looked:
    """What the first look at a part tells.

    Attributes
    ----------
    rows : int
    metric : Survey, optional
        Of the rows with every metric.
    numbers : dict
        Of float columns and columns to be put in ranges: facts, a survey, and the distinct numbers where these are few.
    labels : pyarrow.Array, optional
        The different labels.
    """

    rows: int
    metric: Survey | None = None
    numbers: dict[str, tuple[FloatFacts, Survey, np.ndarray | None]] = field(default_factory=dict)
    labels: pa.Array | None = None


@dataclass(frozen=True)
class LookAtPart:
    """Look at a part for the first time.

    Attributes
    ----------
    metrics : tuple of str
        To be scored.
    numbers : tuple of str
        Columns that may become ranges.
    label : str, optional
        The column of labels.
    first : str
        Any column: rows are counted by it where nothing else is asked.
    """

    token: str
    metrics: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    label: str | None = None
    first: str = ""

    def __call__(self, item: tuple[Any, ...]) -> Looked:
        """Return what there is."""
        from workbench.anomaly.ranges import facts_of

        part = item[0]
        found = Looked(0)
        if self.metrics:
            x = metric_rows(part, self.token, self.metrics)
            used = used_rows(x)
            found.rows, found.metric = len(x), survey(x if used is None else x[used])
        for name in self.numbers:
            values = metric_rows(part, self.token, (name,))
            missing = used_rows(values)
            held = values if missing is None else values[missing]
            facts = facts_of(held)
            distinct = facts.few if facts.few is not None else np.unique(held + 0.0)
            found.rows = len(values)
            found.numbers[name] = facts, survey(held), distinct if len(distinct) <= COUNTED else None
        if self.label is not None:
            import pyarrow.compute as pc

            column = part.load([self.label]).column(self.label)
            found.rows, found.labels = len(column), pc.unique(column)
        if not (self.metrics or self.numbers or self.label):
            found.rows = part.rows if part.rows is not None else int(part.load([self.first]).num_rows)
        return found


# ----------------------------------------------------------------------------------------------------------- marking


def marked(part: Part, token: str | None, marks: Marks, given: Any) -> tuple[np.ndarray | None, np.ndarray]:
    """Return which rows of a part are used (None: all), and which of the used ones are outliers.

    Parameters
    ----------
    given : Model, packed bits or None
        What only this part needs: its own scores, or its own marks.
    """
    used, x = None, None
    if marks.metrics:
        x = metric_rows(part, token, marks.metrics)
        used = used_rows(x)
    if isinstance(given, tuple):  # packed bits of all rows, and how many these are
        bits, rows = given
        flags = np.unpackbits(bits, count=rows).astype(bool)
    elif marks.where is not None:
        from workbench.anomaly.predicate import rows_of as satisfying

        condition, names, name = marks.where
        flags = satisfying(part.load(names), condition, name)
    elif marks.label is not None:
        flags = _labelled(part, *marks.label)
    else:
        model = given if given is not None else marks.model
        assert x is not None
        assert model is not None
        return used, np.asarray(model.flags(x if used is None else x[used]), dtype=bool)
    return used, flags if used is None else flags[used]


def _labelled(part: Part, name: str, values: pa.Array) -> np.ndarray:
    import pyarrow.compute as pc

    column = part.load([name]).column(name)
    if len(values) == 0:
        return np.zeros(len(column), bool)
    return pc.is_in(column, value_set=values, skip_nulls=True).to_numpy()


# ------------------------------------------------------------------------------------------------------------- codes


def part_codes(part: Part, token: str, column: Column) -> Stored:
    """Return the codes of a part's rows: those the worker or the store still has, or encoded now."""
    from workbench.anomaly.store_keys import stored_codes

    made: list[Stored] = []

    def make() -> Stored:
        made.append(stored_codes(part, column.name, column.edges))
        return made[0]

    found = kept(_codes_key(part, token, column), make, lambda stored: stored.codes.nbytes)
    return made[0] if made else replace(found, hit=True)


def all_codes(part: Part, token: str, columns: Sequence[Column]) -> list[Stored]:
    """Return the codes of several columns of a part, whose rows are read once for all that the worker has not."""
    part = part.at_once([column.name for column in columns if not is_kept(_codes_key(part, token, column))])
    return [part_codes(part, token, column) for column in columns]


def _codes_key(part: Part, token: str, column: Column) -> Hashable:
    return token, part.index, "codes", column.key


@dataclass(eq=False)
class Collected:
    """The outliers of a part.

    Attributes
    ----------
    rows, used, outliers : int
    codes : list of integer arrays
        Of each column, codes of the outlier rows.
    values : list of pyarrow.Array
        What these stand for.
    totals : list of int64 arrays or None
        Used rows of each code; None where the dictionary was too large to travel.
    told : dict
        (determinant, dependent) -> for each code of the first its code of the second (-1: none): where it is told.
    hits : int
        Columns whose codes the store had.
    warnings : list of (message, hint)
        What the store had to say on the worker, where nobody would read it.
    """

    rows: int
    used: int
    outliers: int
    codes: list[np.ndarray] = field(default_factory=list)
    values: list[pa.Array] = field(default_factory=list)
    totals: list[np.ndarray | None] = field(default_factory=list)
    told: dict[tuple[int, int], np.ndarray] = field(default_factory=dict)
    hits: int = 0
    warnings: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class CollectPart:
    """Mark the rows of a part and collect its outliers."""

    token: str
    marks: Marks
    columns: tuple[Column, ...]

    def __call__(self, item: tuple[Any, ...]) -> Collected:
        """Return the outliers."""
        from workbench.anomaly.dependencies import dependencies

        part, given = item[:2]
        used, flags = marked(part, self.token, self.marks, given)
        outliers = np.flatnonzero(flags)
        with warnings.catch_warnings(record=True) as issued:
            warnings.simplefilter("always", WorkbenchWarning)
            stored = all_codes(part, self.token, self.columns)
        local = [each.codes for each in stored]
        codes = [column.codes if used is None else column.codes[used] for column in local]
        found = Collected(len(flags) if used is None else len(used), len(flags), len(outliers))
        found.hits = sum(each.hit for each in stored)
        found.warnings = [
            (each.message.message, each.message.hint) for each in issued if isinstance(each.message, WorkbenchWarning)
        ]
        small = [column.card <= TRAVELS for column in local]
        for column, code, travels in zip(local, codes, small, strict=True):
            chosen, values, totals = code[outliers], column.values, None
            if travels:
                totals = np.bincount(code, minlength=column.card).astype(np.int64)
            else:
                present, chosen = np.unique(chosen, return_inverse=True)
                values = values.take(present)
            found.codes.append(chosen)
            found.values.append(values)
            found.totals.append(totals)
        for a, b in dependencies(codes, [column.card for column in local]):
            if small[a] and small[b]:
                told = np.full(local[a].card, -1, np.int64)
                told[codes[a]] = codes[b]
                found.told[a, b] = told
        return found


# ------------------------------------------------------------------------------------------------------------- count


@dataclass(frozen=True, eq=False)
class CountPart:
    """Count in a part the rows that have all values of a set, for many sets.

    Attributes
    ----------
    sets_columns, sets_places : int arrays (m, k)
        Columns of each set, and where its values stand in `values`; -1 pads.
    values : tuple of pyarrow.Array
        Of each column, the values that occur in the sets.
    rows : int
        Of all parts.
    """

    token: str
    marks: Marks
    columns: tuple[Column, ...]
    sets_columns: np.ndarray
    sets_places: np.ndarray
    values: tuple[pa.Array, ...]
    rows: int = 0

    def __call__(self, item: tuple[Any, ...]) -> np.ndarray:
        """Return the rows of each set, int64 (m,)."""
        from workbench.anomaly.set_counts import count_sets

        part = item[0]
        used = None
        if self.marks.metrics:
            used = used_rows(metric_rows(part, self.token, self.marks.metrics))
        wanted = [c for c in range(len(self.columns)) if len(self.values[c])]
        codes: list[np.ndarray] = [np.empty(0, np.uint8)] * len(self.columns)
        cards = [1] * len(self.columns)
        # Of each column one more place, for -1: values that this part does not have.
        local = [np.full(len(values) + 1, -1, np.int64) for values in self.values]
        rows = 0
        for c in wanted:
            column = part_codes(part, self.token, self.columns[c]).codes
            codes[c] = column.codes if used is None else column.codes[used]
            cards[c] = column.card
            local[c][:-1] = places_of(self.values[c], column.values)
            rows = len(codes[c])
        for c in range(len(self.columns)):
            if not len(codes[c]):
                codes[c] = np.zeros(rows, np.uint8)
        sets = np.full(self.sets_places.shape, -1, np.int64)
        for c in wanted:
            here = self.sets_columns == c
            sets[here] = local[c][self.sets_places[here]]
        total = np.zeros(len(sets), np.int64)
        known = ~((sets < 0) & (self.sets_columns >= 0)).any(axis=1)
        if known.any() and rows:
            total[known] = count_sets(codes, cards, self.sets_columns[known], sets[known], rows_in_all=self.rows)
        return total


def places_of(wanted: pa.Array, values: pa.Array) -> np.ndarray:
    """Return where each wanted value stands among others, -1 if it is not there; null is a value."""
    import pyarrow.compute as pc

    if not len(values):
        return np.full(len(wanted), -1, np.int64)
    if values.type != wanted.type:
        values = values.cast(wanted.type)
    return pc.index_in(wanted, value_set=values).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
