"""The file formats of the store: Arrow IPC for tables, NumPy's npz for arrays."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

__all__ = ["read_arrays", "read_table", "write_arrays", "write_table"]


def write_table(path: Path, table: pa.Table) -> None:
    """Write an Arrow table with its schema and metadata, compressed by LZ4."""
    import pyarrow as pa

    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, options=options) as writer:
        writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    """Read what `write_table` wrote, whole into memory, as the file may be evicted."""
    import pyarrow as pa

    return pa.ipc.open_file(pa.BufferReader(path.read_bytes())).read_all()


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write named arrays.

    Raises
    ------
    TypeError
        For an array of Python objects: those would need pickle.
    """
    import numpy as np

    for name, array in arrays.items():
        if np.asarray(array).dtype.hasobject:
            raise TypeError(f"array {name!r} holds Python objects")
    # Under numbers, so that an array may have any name.
    numbered: dict[str, Any] = {f"a{i}": array for i, array in enumerate(arrays.values())}
    names = np.frombuffer(json.dumps(list(arrays)).encode(), dtype=np.uint8)
    with path.open("wb") as file:
        np.savez(file, names=names, **numbered)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `write_arrays` wrote; nothing is unpickled."""
    import numpy as np

    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
        names = json.loads(file["names"].tobytes())
        return {name: file[f"a{i}"] for i, name in enumerate(names)}
