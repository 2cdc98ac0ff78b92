"""Files too large for one process: read in tasks, a row group or a block of lines at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import Data, Part

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PartedFiles"]


class PartedFiles(Data):
    """The files of a path, as a table in parts; a condition on them is SQL text.

    Parameters
    ----------
    files : Data
        The same files as a table of this process; nothing of it is read but what is asked for here.
    """

    kind = "dask"

    def __init__(self, files: Data) -> None:
        super().__init__(files.source, files.name)
        self.files = files
        self._parts: list[Part] | None = None
        self._key: str | None = None

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        return list(self.files.schema.items())

    def _read(self, names: list[str]) -> pa.Table:
        return pa.table({name: self.files.column(name) for name in names})

    def _count(self) -> int:
        return self.files.n_rows

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        return self.files.take(rows)

    def partitions(self) -> list[Part]:
        """Return the row groups or blocks of lines."""
        if self._parts is None:
            self._parts = self.files.partitions()
        return list(self._parts)

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.files.size

    def key(self) -> str:
        """Return a hash of the files' content, as it was when it was first asked for."""
        if self._key is None:
            self._key = self.files.key()
        return self._key

    def distinct(self, names: Iterable[str]) -> dict[str, int]:
        """Return how many different values columns have; null is one of them."""
        from workbench.anomaly.dask_parts import Parts
        from workbench.anomaly.encode import merge_values
        from workbench.anomaly.part_reads import DistinctPart

        names = tuple(names)
        found = Parts(self.partitions()).all(DistinctPart(names), "distinct")
        return {name: len(merge_values([part[at] for part in found])[0]) for at, name in enumerate(names)}

    def frame(self) -> Any:
        """Return the files as a Dask DataFrame, a partition a part."""
        import dask.dataframe as dd

        names, parts = tuple(self.schema), self.partitions()
        empty = parts[0].load(names).slice(0, 0) if parts else pa.schema(list(self.schema.items())).empty_table()
        return dd.from_map(Loaded(names), parts, meta=empty.to_pandas())


class Loaded:
    """Loads a part as a pandas frame: what a worker does."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names

    def __call__(self, part: Part) -> pd.DataFrame:
        """Return the part."""
        return part.load(self.names).to_pandas()
