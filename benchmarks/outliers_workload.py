"""Workload W: six columns of Zipf-like codes, a metric, and four planted reasons for outliers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["CARDS", "COLUMNS", "METRIC", "Workload", "workload", "write_parquet"]

CARDS = (10, 20, 50, 100, 300, 1000)
COLUMNS = tuple(f"a{i}" for i in range(len(CARDS)))
METRIC = "x"
#: rows that are drawn at a time in large tables
CHUNK = 1_000_000


def workload_w(n: int, seed: int = 7) -> tuple[list[NDArray], list[int], NDArray[np.float64]]:
    """Return codes, cardinalities and metric, word for word as the design defines them."""
    rng = np.random.default_rng(seed)
    cards = list(CARDS)
    codes = []
    for c in cards:
        p = 1 / np.arange(1, c + 1) ** 0.8
        codes.append(rng.choice(c, n, p=p / p.sum()))
    x = rng.normal(100, 10, n)
    out = np.zeros(n, bool)

    def plant(mask: NDArray[np.bool_], share: float) -> None:
        rows = np.flatnonzero(mask)
        out[rng.choice(rows, min(int(share * n), int(0.9 * len(rows))), replace=False)] = True

    plant(codes[5] == 20, 0.002)
    plant((codes[3] == 7) & (codes[1] == 3), 0.002)
    plant((codes[0] == 1) & (codes[1] == 2) & (codes[2] == 1), 0.002)
    plant(np.ones(n, bool), 0.01 - out.mean())
    x[out] = rng.normal(300, 30, out.sum())
    return codes, cards, x.round(4)


@dataclass
class Workload:
    """W as each contestant wants it; codes are of the smallest unsigned type."""

    codes: list[NDArray]
    x: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def nbytes(self) -> int:
        """Bytes of the encoded columns and the metric."""
        return sum(each.nbytes for each in self.codes) + self.x.nbytes

    @property
    def names(self) -> list[list[str]]:
        """The text of each code."""
        return [[f"v{i}_{code}" for code in range(card)] for i, card in enumerate(CARDS)]

    def dictionaries(self) -> pa.Table:
        """Return an Arrow table with dictionary columns."""
        import pyarrow as pa

        columns = {
            name: pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int16)), pa.array(text))
            for name, codes, text in zip(COLUMNS, self.codes, self.names, strict=True)
        }
        return pa.table({**columns, METRIC: self.x})

    def strings(self) -> pa.Table:
        """Return an Arrow table with text columns."""
        import pyarrow as pa

        table = self.dictionaries()
        return table.cast(pa.schema([(name, pa.string()) for name in COLUMNS] + [(METRIC, pa.float64())]))

    def pandas(self) -> pd.DataFrame:
        """Return a pandas frame with categorical columns."""
        import pandas as pd

        columns = {
            name: pd.Categorical.from_codes(codes.astype(np.int16), text)
            for name, codes, text in zip(COLUMNS, self.codes, self.names, strict=True)
        }
        return pd.DataFrame({**columns, METRIC: self.x})

    def polars(self) -> pl.DataFrame:
        """Return a Polars frame with Categorical columns."""
        import polars as pl

        frame: pl.DataFrame = pl.from_arrow(self.strings())  # type: ignore[assignment]
        return frame.with_columns(pl.col(name).cast(pl.Categorical) for name in COLUMNS)


def workload(n: int) -> Workload:
    """Return W; above a million rows it is drawn in chunks, each with a seed of its own."""
    types = [np.uint8 if card <= 256 else np.uint16 for card in CARDS]
    out = Workload([np.empty(n, kind) for kind in types], np.empty(n))
    for start in range(0, n, CHUNK):
        codes, _, x = workload_w(min(CHUNK, n - start), 7 + start // CHUNK)
        for whole, part in zip(out.codes, codes, strict=True):
            whole[start : start + len(x)] = part
        out.x[start : start + len(x)] = x
    return out


def write_parquet(n: int, path: Path) -> Path:
    """Write W as a Parquet file of text columns, chunk by chunk; a row group is a million rows."""
    import pyarrow.parquet as pq

    writer: Any = None
    for start in range(0, n, CHUNK):
        codes, _, x = workload_w(min(CHUNK, n - start), 7 + start // CHUNK)
        part = Workload(codes, x).strings()
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part, row_group_size=CHUNK)
    if writer is not None:
        writer.close()
    return path
