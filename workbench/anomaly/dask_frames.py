"""Dask frames as parts that tasks load; nothing of the rows is brought here but what is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import Data, Part
from workbench.anomaly.memory import pandas_type, series_to_arrow
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.conditions import Conditions

__all__ = ["DaskData"]

T = TypeVar("T")

#: seconds that a lost partition is waited for
PATIENCE = 120.0


@dataclass(frozen=True, eq=False)
class FramePart(Part):
    """One partition: as an expression that reads it, its graph, or where the cluster holds it.

    Attributes
    ----------
    recipe : Expression, Graph or Held
        Picklable; gives the partition as a pandas frame.
    kinds : tuple of (name, Arrow type)
        Of all columns; a partition without a value in a column could not tell its type.
    """

    recipe: Any
    kinds: tuple[tuple[str, pa.DataType], ...]

    def load(self, columns: Iterable[str]) -> pa.Table:
        """Return these columns of the partition."""
        names, kinds = list(columns), dict(self.kinds)
        frame = self.recipe(names)
        found = {}
        for name in names:
            column = series_to_arrow(frame[name], name)
            wanted = kinds[name]
            if column.type != wanted and not (pa.types.is_dictionary(column.type) or pa.types.is_null(wanted)):
                column = column.cast(wanted.value_type if pa.types.is_dictionary(wanted) else wanted)
            found[name] = column
        return pa.table(found)

    def at_once(self, columns: Iterable[str]) -> Part:
        """Return the partition with these columns in memory: its tasks run once."""
        names = list(columns)
        return LoadedPart(self.index, self.rows, self, self.load(names)) if len(names) > 1 else self


@dataclass(frozen=True, eq=False)
class LoadedPart(Part):
    """A partition of which some columns are in memory."""

    source: Part
    table: pa.Table

    def load(self, columns: Iterable[str]) -> pa.Table:
        """Return these columns of the partition."""
        names = list(columns)
        held = set(self.table.column_names)
        return self.table.select(names) if held.issuperset(names) else self.source.load(names)


@dataclass(frozen=True, eq=False)
class Expression:
    """A partition as an expression small enough to travel: only the columns asked for are read."""

    frame: Any

    def __call__(self, names: list[str]) -> pd.DataFrame:
        """Return these columns as a pandas frame."""
        return self.frame[names].compute(scheduler="synchronous")


@dataclass(frozen=True, eq=False)
class Graph:
    """A partition as the tasks that make it."""

    tasks: dict[Any, Any]
    key: Any

    def __call__(self, names: list[str]) -> pd.DataFrame:
        """Return these columns as a pandas frame."""
        import dask

        return dask.get(self.tasks, self.key)[names]


@dataclass(frozen=True)
class Held:
    """A partition that the cluster holds in memory, by its key: a future cannot be sent within other things."""

    key: Any

    def __call__(self, names: list[str]) -> pd.DataFrame:
        """Return these columns as a pandas frame."""
        from distributed import get_worker, worker_client

        try:
            held = get_worker().data
        except ValueError:  # not in a task
            from workbench.engine import session

            return _fetched(session.session(), self.key)[names]
        if self.key in held:
            return held[self.key][names]
        with worker_client() as client:  # leaves its thread to others, should the partition have to be made again
            return _fetched(client, self.key)[names]


class DaskData(Data):
    """A Dask DataFrame; its rows are counted when they are first asked for."""

    kind = "dask"

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        meta = self.source._meta_nonempty
        return [(str(label), _type(meta.iloc[:, position])) for position, label in enumerate(meta.columns)]

    def _read(self, names: list[str]) -> pa.Table:
        return pa.concat_tables(self._each(_Loaded(tuple(names))), promote_options="permissive")

    def _count(self) -> int:
        return sum(self._counts)

    @cached_property
    def _counts(self) -> list[int]:
        return self._each(_Counted(next(iter(self.schema))))

    @property
    def size(self) -> int:
        """0: unknown."""
        return 0

    def key(self) -> str:
        """Return Dask's own name of the frame, which tells what it is made of."""
        return str(self.source._name)

    def distinct(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many different values columns have; null is one of them."""
        from workbench.anomaly.encode import merge_values

        names = list(names)
        found = self._each(_Distinct(tuple(names)))
        return {name: len(merge_values([part[position] for part in found])[0]) for position, name in enumerate(names)}

    def where(self, sql: str) -> np.ndarray:
        """Return which rows satisfy a DuckDB condition; NULL is False."""
        from workbench.anomaly.predicate import checked_columns

        names = checked_columns(self, sql) or [next(iter(self.schema))]
        return np.concatenate(self._each(_Satisfied(tuple(names), sql, self.name)))

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        rows = np.asarray(rows, dtype=np.int64)
        starts = np.cumsum([0, *self._counts])
        group = np.searchsorted(starts, rows, side="right") - 1
        inside = [rows[group == part] - starts[part] for part in range(len(self._counts))]
        found = self._each(_Taken(tuple(self.schema), inside))
        back = np.argsort(np.argsort(group, kind="stable"), kind="stable")
        return pa.concat_tables(found, promote_options="permissive").take(pa.array(back)).to_pandas()

    def native(self, conditions: Conditions) -> Any:
        """Return a bool Series of Dask."""
        from workbench.anomaly.conditions import to_series

        return to_series(self.source, conditions)

    def partitions(self) -> list[Part]:
        """Return the partitions, each picklable by itself."""
        return list(self._parts)

    @cached_property
    def _parts(self) -> list[FramePart]:
        frame, kinds = self.source, tuple(self.schema.items())
        if _travels(frame):
            recipes: list[Any] = [Expression(frame.partitions[index]) for index in range(frame.npartitions)]
        else:
            recipes, self._alive = _recipes(frame)
        return [FramePart(index, None, recipe, kinds) for index, recipe in enumerate(recipes)]

    def _each(self, function: Callable[[Part], T]) -> list[T]:
        """Call a function on every partition in tasks; return the answers in their order."""
        from workbench.engine import tasks

        found = tasks.stream(function, self._parts, key=f"outliers-{type(function).__name__.strip('_').lower()}")
        return [outcome.unwrap() for outcome in tasks.ordered(found)]


def _type(values: pd.Series) -> pa.DataType:
    try:
        return pandas_type(values, str(values.name))
    except WorkbenchError:  # objects of which Dask knows nothing
        return pa.null()


def _travels(frame: Any) -> bool:
    """Return whether a partition's expression can be sent: it holds no rows, and needs no other partition."""
    from dask.dataframe.dask_expr import _expr

    return all(
        isinstance(part, _expr.Blockwise) and not any(_holds_rows(operand) for operand in part.operands)
        for part in frame.expr.walk()
    )


def _holds_rows(operand: Any) -> bool:
    return type(operand).__name__ in ("_BackendData", "DataFrame", "Series", "Table")


def _recipes(frame: Any) -> tuple[list[Any], Any]:
    """Return what makes each partition of a frame whose expression cannot be sent, and what must live as long."""
    from dask.core import flatten
    from dask.optimization import cull
    from distributed import wait

    from workbench.engine import session

    if not all(_alone(part) for part in frame.expr.walk()):
        frame = session.session().persist(frame)  # joined or shuffled: every part would do it all again
    done = frame.optimize()
    graph = done.__dask_graph__()
    keys = list(flatten(done.__dask_keys__()))
    culled = [cull(graph, [key])[0] for key in keys]
    if any(_future_of(task) is not None for tasks in culled for task in tasks.values()):
        futures = session.session().compute([done.partitions[index] for index in range(len(keys))])
        wait(futures)
        return [Held(future.key) for future in futures], futures
    return [Graph(dict(tasks), key) for tasks, key in zip(culled, keys, strict=True)], None


def _alone(part: Any) -> bool:
    from dask.dataframe.dask_expr import _expr, io

    return isinstance(part, (_expr.Blockwise, io.FromGraph))


def _future_of(task: Any) -> Any:
    from distributed import Future

    value = getattr(task, "value", task)
    return value if isinstance(value, Future) else None


def _fetched(client: Any, key: Any) -> Any:
    """Bring what the cluster holds under a key; waits while a lost one is made again."""
    import time

    # The scheduler is asked itself: to a worker's client, a key that it did not submit stays pending for ever.
    begin = time.monotonic()
    while True:
        answer = client.sync(client.scheduler.gather, keys=[key])
        if answer["status"] == "OK":
            return answer["data"][key]
        if time.monotonic() - begin > PATIENCE:
            raise WorkbenchError("A partition is no longer held by the cluster.", "Persist the frame again.")
        time.sleep(0.2)


# ------------------------------------------------------------------------------------------------------ on a worker


@dataclass(frozen=True)
class _Loaded:
    names: tuple[str, ...]

    def __call__(self, part: Part) -> pa.Table:
        return part.load(self.names)


@dataclass(frozen=True)
class _Counted:
    name: str

    def __call__(self, part: Part) -> int:
        return part.load([self.name]).num_rows


@dataclass(frozen=True)
class _Distinct:
    names: tuple[str, ...]

    def __call__(self, part: Part) -> list[pa.Array]:
        from workbench.anomaly.encode import encode_array

        table = part.load(self.names)
        return [encode_array(name, table.column(name)).values for name in self.names]


@dataclass(frozen=True)
class _Satisfied:
    names: tuple[str, ...]
    sql: str
    name: str

    def __call__(self, part: Part) -> np.ndarray:
        from workbench.anomaly.predicate import rows_of

        return rows_of(part.load(self.names), self.sql, self.name)


@dataclass(frozen=True, eq=False)
class _Taken:
    names: tuple[str, ...]
    rows: list[np.ndarray]

    def __call__(self, part: Part) -> pa.Table:
        return part.load(self.names).take(pa.array(self.rows[part.index], pa.int64()))
