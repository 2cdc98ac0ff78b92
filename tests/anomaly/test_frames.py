"""Inputs: every kind of table gives the same columns, codes, flags and filters."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import workbench as wb
from workbench.anomaly import file_parts, frames
from workbench.anomaly.conditions import mask
from workbench.anomaly.data import Data
from workbench.anomaly.encode import encode_array
from workbench.engine.errors import WorkbenchError

RNG = np.random.default_rng(5)
N = 400
TABLE = pa.table(
    {
        "text": pa.array(RNG.choice(["a", "it's", 'say "x"', "ünï", "NULL", None], N).tolist()),
        "code": pa.array(RNG.integers(0, 5, N)),
        "two words": pa.array(RNG.choice(["x", "y"], N).tolist()),
        "share": pa.array(RNG.normal(0, 1, N).round(6)),
        "some": pa.array([None if value < 0.3 else round(value) for value in RNG.random(N)], pa.int64()),
        "metric": pa.array(np.where(RNG.random(N) < 0.1, np.nan, RNG.normal(100, 10, N).round(3)), from_pandas=True),
    }
)
BY = [("text", None), ("code", None), ("two words", None), ("share", None), ("share", 4), ("some", None)]


class Converted:
    """Something that another library made, such as the table of a video result."""

    def to_pandas(self) -> pd.DataFrame:
        return TABLE.to_pandas()


def quoted_csv(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    pl.DataFrame(TABLE).write_csv(path)
    return path


def zipped_csv(path: Path) -> Path:
    quoted_csv(path.with_suffix(""))
    path.write_bytes(gzip.compress(path.with_suffix("").read_bytes()))
    return path


def parquet(path: Path) -> Path:
    pq.write_table(TABLE, path, row_group_size=90)
    return path


def split_parquet(folder: Path) -> str:
    for number in range(3):
        pq.write_table(TABLE[number * 150 : number * 150 + 150], folder / f"part-{number}.parquet", row_group_size=40)
    return str(folder / "part-*.parquet")


def split_csv(folder: Path) -> list[Path]:
    paths = [folder / f"part-{number}.csv" for number in range(2)]
    for number, path in enumerate(paths):
        pl.DataFrame(TABLE[number * 200 : number * 200 + 200]).write_csv(path)
    return paths


def relation() -> Any:
    held = TABLE  # noqa: F841  (DuckDB finds it by name)
    return duckdb.sql("FROM held")


def chunked() -> pa.Table:
    return pa.concat_tables([TABLE[start : start + 70] for start in range(0, N, 70)])


def with_views() -> pa.Table:
    kinds = [pa.string_view() if field.type == pa.string() else field.type for field in TABLE.schema]
    return TABLE.cast(pa.schema(list(zip(TABLE.column_names, kinds, strict=True))))


KINDS: dict[str, Callable[[Path], Any]] = {
    "pandas": lambda folder: TABLE.to_pandas(),
    "pandas objects": lambda folder: TABLE.to_pandas().astype({"text": object}),
    "pandas nullable": lambda folder: TABLE.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get),
    "pandas Arrow": lambda folder: TABLE.to_pandas(types_mapper=pd.ArrowDtype),
    "pandas categories": lambda folder: TABLE.to_pandas().astype({"text": "category", "code": "category"}),
    "pandas index": lambda folder: TABLE.to_pandas().set_index(pd.date_range("2020", periods=N)),
    "polars": lambda folder: pl.DataFrame(TABLE),
    "polars lazy": lambda folder: pl.DataFrame(TABLE).lazy(),
    "polars categories": lambda folder: pl.DataFrame(TABLE).with_columns(pl.col("text").cast(pl.Categorical)),
    "arrow": lambda folder: TABLE,
    "arrow chunks": lambda folder: chunked(),
    "arrow views": lambda folder: with_views(),
    "arrow batch": lambda folder: TABLE.to_batches()[0],
    "duckdb": lambda folder: relation(),
    "to_pandas": lambda folder: Converted(),
    "parquet": lambda folder: str(parquet(folder / "t.parquet")),
    "parquet path": lambda folder: parquet(folder / "t.parquet"),
    "parquet glob": lambda folder: split_parquet(folder),
    "parquet folder": lambda folder: os.path.dirname(split_parquet(folder)),
    "csv": lambda folder: str(quoted_csv(folder / "t.csv")),
    "gzipped csv": lambda folder: str(zipped_csv(folder / "t.csv.gz")),
    "csv list": lambda folder: split_csv(folder),
}


@pytest.fixture(params=sorted(KINDS))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return KINDS[request.param](tmp_path)


def expected(name: str, bins: int | None) -> Any:
    return encode_array(name, TABLE.column(name), bins)


def test_c33_every_kind_gives_the_same_codes(source: Any) -> None:
    data = frames.read(source)
    assert list(data.schema) == TABLE.column_names and data.n_rows == N
    for name, bins in BY:
        codes = frames.encode(data, name, bins)
        assert codes.name == name
        assert np.array_equal(codes.codes, expected(name, bins).codes)
        assert codes.values.to_pylist() == expected(name, bins).values.to_pylist()
        assert (codes.edges is None) == (expected(name, bins).edges is None)


def test_c33_every_kind_gives_the_same_numbers_and_rows(source: Any) -> None:
    data = frames.read(source)
    assert np.array_equal(data.numbers("metric"), TABLE.column("metric").to_numpy(), equal_nan=True)
    assert data.numbers("code").tolist() == TABLE.column("code").to_pylist()
    assert np.array_equal(data.numbers("some"), TABLE.column("some").to_numpy(), equal_nan=True)
    rows = np.array([399, 3, 0, 250, 3])
    taken = data.take(rows)
    assert list(taken.columns) == TABLE.column_names and taken.index.equals(pd.RangeIndex(5))
    assert taken["code"].tolist() == TABLE.column("code").take(pa.array(rows)).to_pylist()
    assert [None if pd.isna(value) else value for value in taken["text"]] == [
        TABLE.column("text")[int(row)].as_py() for row in rows
    ]
    assert data.take(np.array([], np.int64)).shape == (0, len(TABLE.column_names))


def test_c33_every_kind_filters_the_same_rows(source: Any) -> None:
    data = frames.read(source)
    for conditions in [
        (("text", None), ("code", 3)),
        (("text", 'say "x"'), ("two words", "y")),
        (("share", expected("share", None).python(2)),),
        (("some", None),),
        (("some", 1), ("text", "it's")),
    ]:
        wanted = mask(frames.read(TABLE), conditions)
        assert wanted.any() and np.array_equal(mask(data, conditions), wanted)
        native = data.native(conditions)
        match data.kind:
            case "pandas":
                frame = source.to_pandas() if isinstance(source, Converted) else source
                found = len(frame[native])
            case "polars":
                found = (
                    pl.DataFrame(TABLE).filter(native).height
                    if isinstance(source, pl.LazyFrame)
                    else source.filter(native).height
                )
            case "arrow":
                whole = isinstance(source, pa.Table) and pa.string_view() not in source.schema.types
                found = (source if whole else TABLE).filter(native).num_rows  # Arrow cannot filter views
            case "duckdb":
                found = len(source.filter(native).fetchall())
            case _:
                assert native == data.sql(conditions)
                held = TABLE  # noqa: F841  (DuckDB finds it by name)
                found = len(duckdb.sql(f"FROM held WHERE {native}").fetchall())
        assert found == wanted.sum()


def test_c07_every_kind_marks_the_same_rows_by_where(source: Any) -> None:
    data = frames.read(source)
    metric = TABLE.column("metric").to_numpy()
    assert np.array_equal(data.where("metric > 110"), np.nan_to_num(metric) > 110)
    text = TABLE.column("text").to_pylist()
    assert data.where("text = 'it''s' OR text IS NULL").tolist() == [value in ("it's", None) for value in text]
    both = [
        a == "x" and b is not None and b > 0
        for a, b in zip(*(TABLE.column(n).to_pylist() for n in ("two words", "some")), strict=True)
    ]
    assert data.where('"two words" = \'x\' AND "some" > 0').tolist() == both
    assert data.where("1 = 1").all() and not data.where("metric > 1e9").any()


def test_c33_parts_hold_all_rows_in_order(source: Any) -> None:
    parts = frames.read(source).partitions()
    assert [part.index for part in parts] == list(range(len(parts)))
    tables = [part.load(["code", "text"]) for part in parts]
    assert all(table.column_names == ["code", "text"] for table in tables)
    assert all(part.rows in (None, table.num_rows) for part, table in zip(parts, tables, strict=True))
    assert [value for table in tables for value in table.column("code").to_pylist()] == TABLE.column("code").to_pylist()
    assert [value for table in tables for value in table.column("text").to_pylist()] == TABLE.column("text").to_pylist()


def test_messages_call_a_file_by_its_name(tmp_path: Path) -> None:
    assert frames.read(parquet(tmp_path / "t.parquet"), name="path").name == "t.parquet"
    assert frames.read(split_parquet(tmp_path / "."), name="path").name == "part-*.parquet"
    assert frames.read(TABLE, name="flights").name == "flights" and frames.read(TABLE).name == "the table"


def test_c33_content_has_a_key(source: Any, tmp_path: Path) -> None:
    data = frames.read(source)
    assert data.key() == frames.read(source).key() and len(data.key()) == 64


def test_a_changed_file_has_another_key(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    before = frames.read(path).key()
    path.write_text("a,b\n1,3\n")
    assert frames.read(path).key() != before


# mistakes


def said(data: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(WorkbenchError) as error:
        frames.read(data, **options)
    return error.value.message, error.value.hint


def test_what_is_no_table() -> None:
    hint = "Give a pandas, Polars, Arrow or Dask frame, a DuckDB relation, or a path to Parquet or CSV."
    assert said([1, 2]) == ("A list is not a table.", hint)
    assert said({"a": [1]}) == ("A dict is not a table.", hint)
    assert said(pd.Series([1])) == ("A Series is not a table.", hint)
    assert said(None) == ("A NoneType is not a table.", hint)
    assert said(pd.DataFrame) == ("A type is not a table.", hint)


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    twice = 'flights has 2 columns named "a".', "Rename them, so that each column has its own name."
    df = pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"])
    assert said(df, name="flights") == twice
    assert said(pd.DataFrame([[1, 2]], columns=[1, "1"]))[0] == 'The table has 2 columns named "1".'
    assert said(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), name="flights") == twice
    path = tmp_path / "flights"
    path.with_suffix(".csv").write_text("a,b,a\n1,2,3\n")
    assert said(path.with_suffix(".csv"))[0] == 'flights.csv has 2 columns named "a".'
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["a", "a"]), path.with_suffix(".parquet"))
    assert said(path.with_suffix(".parquet"))[0] == 'flights.parquet has 2 columns named "a".'


def test_no_columns() -> None:
    assert said(pd.DataFrame()) == ("The table has no columns.", "Give a table with at least one column.")


def test_no_such_column() -> None:
    data = frames.read(pd.DataFrame({"latency": [1], "usage": [2]}), name="flights")
    with pytest.raises(WorkbenchError) as error:
        data.column("lattency")
    assert error.value.lines() == [
        'No column "lattency" in flights.',
        'Did you mean "latency"? Columns: latency, usage',
    ]
    wide = frames.read(pd.DataFrame({f"c{number}": [1] for number in range(40)}))
    with pytest.raises(WorkbenchError) as error:
        wide.check("zzz")
    assert error.value.hint == "Columns: c0, c1, c2, c3, c4, c5, c6, c7, c8, c9, …"


def test_values_of_several_types_in_one_column() -> None:
    data = frames.read(pd.DataFrame({"n": [1, 2], "a": ["x", "y"]}).assign(mixed=pd.Series([1, "1"], dtype=object)))
    assert list(data.schema) == ["n", "a", "mixed"]
    for use in (data.column, data.numbers, lambda name: frames.encode(data, name)):
        with pytest.raises(WorkbenchError) as error:
            use("mixed")
        assert error.value.message == '"mixed" holds values of several types (int, str).'
    assert frames.encode(data, "a").card == 2


def test_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "flights.csv").write_text("a\n1\n")
    assert said(tmp_path / "flihgts.csv") == (f'No file "{tmp_path / "flihgts.csv"}".', 'Did you mean "flights.csv"?')
    assert said(str(tmp_path / "*.parquet"))[1] == "Give a path or glob to Parquet, CSV or gzipped CSV."
    pq.write_table(TABLE, tmp_path / "t.parquet")
    assert said(tmp_path)[0] == f'"{tmp_path}" names both Parquet and CSV files.'


def test_files_that_do_not_fit_together(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "b": [1]}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "2.parquet")
    assert said(tmp_path)[0] == '2.parquet has no column "b", which 1.parquet has.'
    pq.write_table(pa.table({"a": [1], "b": ["x"]}), tmp_path / "2.parquet")
    assert said(tmp_path)[0].startswith(f"The files of {tmp_path.name} differ in the type of a column")


def test_integer_widths_of_files_are_unified(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": pa.array([1], pa.int32())}), tmp_path / "1.parquet")
    pq.write_table(pa.table({"a": pa.array([2**40], pa.int64())}), tmp_path / "2.parquet")
    assert frames.read(tmp_path).column("a").to_pylist() == [1, 2**40]


@pytest.mark.parametrize("name", ["broken.parquet", "empty.csv", "binary.csv"])
def test_damaged_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(
        {"broken.parquet": b"PAR1 no", "empty.csv": b"", "binary.csv": b"\xff\xfe\x00a,\xff\n\xff,\x00"}[name]
    )
    with pytest.raises(WorkbenchError) as error:
        [frames.read(tmp_path / name).column(column) for column in frames.read(tmp_path / name).schema]
    assert error.value.message.startswith(f"{name} cannot be read: ")
    assert error.value.hint == "Check that it is a whole Parquet or CSV file, in UTF-8."


# CSV


def csv(tmp_path: Path, text: str, name: str = "t.csv") -> Data:
    (tmp_path / name).write_text(text)
    return frames.read(tmp_path / name)


def test_csv_dates_and_codes_stay_text(tmp_path: Path) -> None:
    data = csv(tmp_path, "d,when\n12-10-17,2020-01-01\n13-10-17,2020-01-02\n")
    assert data.column("d").to_pylist() == ["12-10-17", "13-10-17"]
    assert data.column("when").to_pylist() == ["2020-01-01", "2020-01-02"]


def test_csv_has_empty_text_the_word_null_and_null(tmp_path: Path) -> None:
    data = csv(tmp_path, 'a,b\n"",1\n,2\nNULL,3\n"x\ny",4\n')
    assert data.column("a").to_pylist() == ["", None, "NULL", "x\ny"]


def test_csv_types_that_change_far_down_are_told_by_all_rows(tmp_path: Path) -> None:
    data = csv(tmp_path, "a,b\n" + "1,2\n" * 12_000 + "x,2\n")
    assert pa.types.is_integer(data.schema["a"])
    assert data.column("a").to_pylist()[-2:] == ["1", "x"]
    again = frames.read(tmp_path / "t.csv")
    with pytest.raises(WorkbenchError) as error:
        again.numbers("a")
    assert error.value.message == '"a" is text; a metric must be a number.'


def test_csv_of_a_header_alone(tmp_path: Path) -> None:
    data = csv(tmp_path, "a,b\n")
    assert data.n_rows == 0 and len(data.numbers("a")) == 0
    assert frames.encode(data, "b").card == 0


@pytest.mark.parametrize("sign", [",", ";", "\t", "|"])
def test_csv_separators(sign: str, tmp_path: Path) -> None:
    data = csv(tmp_path, f"a{sign}b\n1{sign}x\n", "t.tsv" if sign == "\t" else "t.csv")
    assert data.column("b").to_pylist() == ["x"]


@pytest.mark.parametrize("block", [40, 64, 200, 1 << 20])
def test_csv_blocks_never_cut_a_quoted_field(block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_parts, "BLOCK", block)
    values = ["plain", "two\nlines", 'a "quote"', "comma, here", "", "\n\n", '"\n"'] * 20
    frame = pl.DataFrame({"n": range(len(values)), "text": values, "a\nb": values})
    frame.write_csv(tmp_path / "t.csv")
    data = frames.read(tmp_path / "t.csv")
    parts = data.partitions()
    assert len(parts) > 1 or block > 4000
    tables = [part.load(["text", "n"]) for part in parts]
    assert [value for table in tables for value in table.column("n").to_pylist()] == list(range(len(values)))
    assert [value for table in tables for value in table.column("text").to_pylist()] == values


def test_csv_line_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_parts, "BLOCK", 1 << 20)
    (tmp_path / "t.csv").write_text('a,b\n1,"' + "x" * (1 << 21))
    data = frames.read(tmp_path / "t.csv")
    with pytest.raises(WorkbenchError, match=r"line longer than 1 MiB"):
        data.partitions()


def test_only_the_columns_asked_for_are_read_and_all_in_one_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = frames.read(parquet(tmp_path / "t.parquet"))
    read: list[list[str]] = []
    original = data._read
    monkeypatch.setattr(data, "_read", lambda names: (read.append(names), original(names))[1])
    data.want(["metric", "text"])
    assert not read
    data.column("text")
    data.numbers("metric")
    data.column("code")
    assert read == [["text", "metric"], ["code"]]


# names in a cell


def test_read_text_finds_variables_attributes_and_paths(tmp_path: Path) -> None:
    class Result:
        objects = TABLE.to_pandas()

    scope = {"flights": TABLE, "cars": Result(), "_": TABLE, "n": 3}
    assert frames.read_text("flights", scope).name == "flights"
    assert frames.read_text("cars.objects", scope).n_rows == N
    path = parquet(tmp_path / "t.parquet")
    assert frames.read_text(str(path), scope).name == "t.parquet"
    with pytest.raises(WorkbenchError) as error:
        frames.read_text("flihgts", scope)
    assert error.value.lines() == ['No table or DataFrame named "flihgts".', 'Did you mean "flights"?']
    with pytest.raises(WorkbenchError) as error:
        frames.read_text("n", scope)
    assert error.value.message == "A int is not a table."


def test_read_text_finds_tables_registered_with_duckdb() -> None:
    duckdb.register("known_to_duckdb", TABLE)
    try:
        assert frames.read_text("known_to_duckdb", {}).n_rows == N
    finally:
        duckdb.unregister("known_to_duckdb")


def test_a_relation_is_run_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = frames.read(duckdb.sql("SELECT random() AS x, i FROM range(1000) t(i)"))
    assert np.array_equal(data.numbers("x"), data.numbers("x"))
    first = data.numbers("x")[:5].tolist()
    assert data.take(np.arange(5))["x"].tolist() == first
    assert data.where(f"x = {first[0]!r}e0").sum() >= 1


def test_columns_of_the_less_common_types_of_pandas() -> None:
    df = pd.DataFrame(
        {
            "period": pd.period_range("2020-01", periods=4, freq="M").where([True, False, True, True]),
            "cut": pd.cut([1, 5, 9, 2], 3),
            "interval": pd.interval_range(0, 4),
            "sparse": pd.arrays.SparseArray([0, 0, 1, 0]),
            "nullable": pd.array([True, None, False, True], dtype="boolean"),
            "objects": pd.Series([1, None, 2, 3], dtype=object),
            "bytes": [b"a", b"b", b"a", b"b"],
            "delta": pd.to_timedelta([1, 2, 1, 2], unit="h"),
            "day": pd.Series([pd.Timestamp("2020-02-29").date()] * 4),
            "python": pd.Series(["a", None, "b", "a"], dtype=pd.StringDtype("python")),
        }
    )
    data = frames.read(df)
    found = {name: frames.encode(data, name) for name in df}
    assert {name: codes.card for name, codes in found.items()} == {
        "period": 4, "cut": 3, "interval": 4, "sparse": 2, "nullable": 3, "objects": 4, "bytes": 2, "delta": 2,
        "day": 1, "python": 3,
    }  # fmt: skip
    assert [found["period"].python(code) for code in range(4)] == [None, "2020-01", "2020-03", "2020-04"]
    for name, codes in found.items():
        for row in range(4):
            conditions = ((name, codes.python(int(codes.codes[row]))),)
            same = codes.codes == codes.codes[row]
            assert data.native(conditions).tolist() == same.tolist()
            text = eval(data.code(conditions), {"df": df, "pd": pd})
            assert text.fillna(False).astype(bool).tolist() == same.tolist()


def test_columns_that_hold_no_plain_values() -> None:
    data = frames.read(pd.DataFrame({"z": [1j, 2j], "o": [object(), object()], "m": [1, 2]}))
    for name, what in (("z", "complex128"), ("o", "object objects")):
        with pytest.raises(WorkbenchError) as error:
            data.column(name)
        assert error.value.lines() == [
            f'"{name}" holds {what}, which are no plain values.',
            f'Convert it first, such as df["{name}"].astype(str).',
        ]


def test_whole_numbers_and_text_that_arrow_cannot_hold() -> None:
    data = frames.read(pd.DataFrame({"big": pd.Series([10**30, 1]), "cut": pd.Series(["a", "\ud800"], dtype=object)}))
    lines = {
        "big": [
            '"big" holds whole numbers of more than 64 bits.',
            'Convert it first, such as df["big"].astype(float), or .astype(str) for names.',
        ],
        "cut": [
            "\"cut\" holds text that is not valid Unicode: '\\ud800'.",
            'Replace it first, such as df["cut"].str.encode("utf-8", "replace").str.decode("utf-8").',
        ],
    }
    for name, expected in lines.items():
        with pytest.raises(WorkbenchError) as error:
            data.column(name)
        assert error.value.lines() == expected


@pytest.mark.parametrize("kind", ["uint64", "float16"])
@pytest.mark.parametrize("form", [lambda df: df, pl.from_pandas, pa.Table.from_pandas])
def test_numbers_at_the_ends_of_their_kinds_are_filtered(kind: str, form: Any) -> None:
    values = [2**64 - 1, 2**64 - 3, 2**64 - 1] if kind == "uint64" else [0.5, 2.0, 0.5]
    table = form(pd.DataFrame({"x": np.array(values, dtype=kind)}))
    data = frames.read(table)
    for value, count in ((values[0], 2), (values[1], 1)):
        conditions = (("x", value),)
        assert mask(data, conditions).sum() == count
        native = data.native(conditions)
        assert len(table[native] if isinstance(table, pd.DataFrame) else table.filter(native)) == count


def test_a_table_that_has_changed_is_told() -> None:
    df = pd.DataFrame({"m": np.arange(100.0) ** 2, "g": ["a"] * 90 + ["b"] * 10})
    answer = wb.outliers(df, "m", ["g"], top=0.05)
    assert answer.rows(0)["g"].tolist() == ["b"] * 10
    df.loc[100] = [1.0, "a"]
    lines = ["df has changed: it had 100 rows when it was asked, now 101.", "Ask again."]
    for ask in (lambda: answer.rows(0), lambda: answer.outliers, lambda: answer.filter(0), lambda: answer.within(0)):
        with pytest.raises(WorkbenchError) as error:
            ask()
        assert error.value.lines() == lines


def test_files_that_are_no_text_and_no_gzip(tmp_path: Path) -> None:
    whole = gzip.compress(b"m,g\n" + b"1,a\n" * 50_000)
    for name, content, why in (
        ("bytes.csv", bytes(range(256)) * 50, "it is no text"),
        ("wide.csv", "m,g\n1,a\n".encode("utf-16"), "it is text in UTF-16"),
        ("no.csv.gz", b"m,g\n1,a\n", "Not a gzipped file (b'm,')"),
        ("cut.csv.gz", whole[: len(whole) // 2], None),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(WorkbenchError) as error:
            wb.outliers(tmp_path / name, "m", ["g"])
        assert error.value.message.startswith(f"{name} cannot be read: ")
        assert why is None or error.value.message == f"{name} cannot be read: {why}."
        assert error.value.hint == "Check that it is a whole Parquet or CSV file, in UTF-8."


def test_columns_of_the_types_of_duckdb() -> None:
    made = duckdb.sql(
        """SELECT (i % 3)::HUGEINT AS huge, (i % 3 * 1.5)::DECIMAL(9, 2) AS dec, (i % 3)::FLOAT AS single,
        ('2020-01-0' || (i % 3 + 1))::DATE AS day, make_time(i % 3, 0, 0) AS time,
        ('2020-01-0' || (i % 3 + 1))::TIMESTAMPTZ AS moment, ('2020-01-0' || (i % 3 + 1))::TIMESTAMP_NS AS fine,
        ('x' || (i % 3))::BLOB AS blob, CASE WHEN i % 3 = 0 THEN 'a' ELSE 'b' END::ENUM('a', 'b', 'c') AS enum,
        (i % 3)::UBIGINT AS big, i % 2 = 0 AS bool FROM range(60) t(i)"""
    )
    data = frames.read(made)
    for name in data.schema:
        codes = frames.encode(data, name)
        assert codes.card == (2 if name in ("enum", "bool") else 3)
        for code in range(codes.card):
            conditions = ((name, codes.python(code)),)
            assert mask(data, conditions).sum() == (codes.codes == code).sum()
            assert made.filter(data.native(conditions)).to_arrow_table().num_rows == (codes.codes == code).sum()


def test_a_narwhals_frame_is_what_it_wraps() -> None:
    import narwhals

    assert frames.read(narwhals.from_native(pl.DataFrame(TABLE))).kind == "polars"
    assert frames.read(narwhals.from_native(TABLE)).kind == "arrow"


def test_parquet_text_is_read_as_a_dictionary_only_where_the_file_has_one(tmp_path: Path) -> None:
    many = [f"a rather long name of user {number}" for number in range(20_000)]
    table = pa.table({"few": ["x", "y"] * 10_000, "many": many})
    pq.write_table(table, tmp_path / "t.parquet", dictionary_pagesize_limit=10_000)
    data = frames.read(tmp_path / "t.parquet")
    assert pa.types.is_dictionary(data.column("few").type) and pa.types.is_string(data.column("many").type)
    (part,) = data.partitions()
    assert part.load(["many", "few"]).schema.types == [pa.string(), pa.dictionary(pa.int32(), pa.string())]
    assert frames.encode(data, "many").card == 20_000


def test_csv_files_of_one_table_may_differ_in_the_order_of_columns(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("b,a\ny,2\n")
    data = frames.read(tmp_path)
    assert data.column("a").to_pylist() == [1, 2] and data.column("b").to_pylist() == ["x", "y"]
    assert [part.load(["a", "b"]).to_pylist() for part in data.partitions()] == [
        [{"a": 1, "b": "x"}],
        [{"a": 2, "b": "y"}],
    ]
    (tmp_path / "3.csv").write_text("a,c\n1,2\n")
    assert said(tmp_path) == ('3.csv has no column "b", which 1.csv has.', "Give files of one table.")


def test_csv_files_whose_types_differ_are_told_by_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,1\n")
    (tmp_path / "2.csv").write_text("a,b\n2.5,x\n")
    data = frames.read(tmp_path)
    assert data.column("a").to_pylist() == [1.0, 2.5] and data.column("b").to_pylist() == ["1", "x"]
