"""What workers read of a part for the client: codes of all rows, columns as they are, values, times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.anomaly.dask_parts import metric_rows, used_rows
from workbench.anomaly.part_tasks import Column, all_codes

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.anomaly.encode import Codes

__all__ = ["DistinctPart", "GatherPart", "TimesPart"]


@dataclass(frozen=True, eq=False)
class GatherPart:
    """Encode a part for a search in the client's process: codes of all rows, and some columns as they are."""

    token: str
    columns: tuple[Column, ...]
    plain: tuple[str, ...]

    def __call__(self, item: tuple[Any, ...]) -> tuple[list[Codes], pa.Table]:
        """Return the codes and the plain columns."""
        part = item[0]
        stored = all_codes(part, self.token, self.columns)
        return [each.codes for each in stored], part.load(list(self.plain))


@dataclass(frozen=True)
class DistinctPart:
    """Find the different values of columns."""

    names: tuple[str, ...]

    def __call__(self, item: tuple[Any, ...]) -> list[pa.Array]:
        """Return the values of each column."""
        from workbench.anomaly.encode import encode_array

        table = item[0].load(list(self.names))
        return [encode_array(name, table.column(name)).values for name in self.names]


@dataclass(frozen=True)
class TimesPart:
    """Read the times of the rows that have every metric."""

    token: str
    metrics: tuple[str, ...]
    name: str

    def __call__(self, item: tuple[Any, ...]) -> pa.Array:
        """Return the times."""
        import pyarrow as pa

        part = item[0]
        used = used_rows(metric_rows(part, self.token, self.metrics))
        column = part.load([self.name]).column(self.name)
        column = column if used is None else column.filter(pa.array(used))
        return pa.concat_arrays(column.chunks) if column.num_chunks != 1 else column.chunk(0)
