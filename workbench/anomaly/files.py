"""Tables in files: Parquet by Arrow, CSV by Polars without date parsing."""

from __future__ import annotations

import glob
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.data import Data
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PathData", "looks_like_path"]

_PARQUET = (".parquet", ".pq", ".parq")
_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")


def looks_like_path(text: str) -> bool:
    """Return whether text is meant as a path: it ends like a table's file, has a separator, or is there."""
    return text.lower().endswith(_PARQUET + _CSV) or "/" in text or os.sep in text or os.path.exists(text)


class PathData(Data):
    """Files of one form, read column by column, in the order of their names."""

    kind = "path"

    def __init__(self, source: Any, name: str | None) -> None:
        self.files = _files(source)
        first = os.path.basename(self.files[0])
        super().__init__(source, name or (first if len(self.files) == 1 else os.path.basename(os.fspath(source))))
        self.form = "parquet" if first.lower().endswith(_PARQUET) else "csv"

    def _scan(self) -> Any:
        import polars as pl

        if self.form == "parquet":
            return pl.scan_parquet(self.files)
        tabs = ".tsv" in self.files[0].lower()
        return pl.scan_csv(self.files, separator="\t" if tabs else ",", try_parse_dates=False)

    def _read_schema(self) -> list[tuple[str, pa.DataType]]:
        if self.form == "parquet":
            import pyarrow.parquet as pq

            return [(field.name, field.type) for field in pq.read_schema(self.files[0])]
        empty = self._scan().collect_schema().to_frame()
        return [(field.name, field.type) for field in empty.to_arrow().schema]

    def _read(self, names: list[str]) -> pa.Table:
        if self.form == "parquet":
            import pyarrow.parquet as pq

            texts = [name for name in names if pa.types.is_string(self.schema[name])]
            return pa.concat_tables([pq.read_table(file, columns=names, read_dictionary=texts) for file in self.files])
        return self._scan().select(names).collect().to_arrow()

    def _count(self) -> int:
        if self._loaded:
            return len(next(iter(self._loaded.values())))
        import polars as pl

        return int(self._scan().select(pl.len()).collect().item())

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return sum(os.path.getsize(file) for file in self.files)

    def take(self, rows: np.ndarray) -> pd.DataFrame:
        """Return these rows with a RangeIndex."""
        import polars as pl

        return self._scan().select(pl.all().gather(pl.Series(rows))).collect().to_arrow().to_pandas()


def _files(source: Any) -> list[str]:
    if isinstance(source, (list, tuple)):
        return [file for item in source for file in _files(item)]
    text = os.path.expanduser(os.fspath(source))
    if os.path.isfile(text):
        return [text]
    if os.path.isdir(text):
        found = sorted(glob.glob(os.path.join(glob.escape(text), "*")))
    else:
        found = sorted(glob.glob(text))
    found = [file for file in found if file.lower().endswith(_PARQUET + _CSV)]
    if not found:
        raise WorkbenchError(f'No file "{source}".', "Give a path or glob to Parquet, CSV or gzipped CSV.")
    return found
