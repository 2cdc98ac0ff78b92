"""Codes of columns: dense, by type, the same whatever made them; ranges; what is kept."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import content, encode_kernels, frames, kept, ranges
from workbench.anomaly.encode import Codes, encode_array, merge_values
from workbench.anomaly.loading import LARGE, coders
from workbench.engine.errors import WorkbenchError


@pytest.fixture(params=["compiled", "arrow"])
def coder(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Encode once with the kernels and once with Arrow alone."""
    use(request.param, monkeypatch)
    return request.param


def use(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if which == "compiled":
        encode_kernels.load()
    monkeypatch.setattr(coders, "loaded", encode_kernels if which == "compiled" else None)
    monkeypatch.setattr(coders, "failed", which == "arrow")


def decoded(codes: Codes) -> list[Any]:
    return [codes.values[int(code)].as_py() for code in codes.codes]


def check(codes: Codes, expected: list[Any]) -> None:
    """Hold codes against the values of the rows: each code occurs, is of its value, and ascends with it."""
    assert decoded(codes) == expected
    assert [type(value) for value in decoded(codes)] == [type(value) for value in expected]
    assert codes.card == len({(type(value), value) for value in expected})
    assert set(codes.codes.tolist()) == set(range(codes.card))
    assert codes.codes.dtype == (np.uint8 if codes.card <= 256 else np.uint16 if codes.card <= 65536 else np.uint32)
    held = codes.values.to_pylist()
    known = [value for value in held if value is not None]
    if codes.card <= 65536:
        assert held == [None] * (None in held) + sorted(known, key=lambda v: v.encode() if isinstance(v, str) else v)


TEXT = st.text(max_size=40) | st.sampled_from(
    ["", "NULL", "null", "None", "nan", "1", "true", "ab\0", "ab", "ß", "日本語", "🙂"]
)


@given(st.lists(TEXT | st.none(), max_size=60), st.integers(0, 5), st.sampled_from(["string", "large", "view"]))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("which", [pytest.param("compiled", marks=pytest.mark.slow), "arrow"])
def test_text_is_encoded_exactly(which: str, values: list[str | None], skip: int, kind: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use(which, patch)
        kinds = {"string": pa.string(), "large": pa.large_string(), "view": pa.string_view()}
        array = pa.array(["skipped"] * skip + values, pa.string()).cast(kinds[kind]).slice(skip)
        check(encode_array("x", array), values)


@given(st.lists(st.lists(TEXT | st.none(), max_size=20), max_size=6))
@settings(max_examples=40, deadline=None)
@pytest.mark.parametrize("which", ["compiled", "arrow"])
def test_chunks_and_dictionaries_give_what_one_array_gives(which: str, chunks: list[list[str | None]]) -> None:
    values = [value for chunk in chunks for value in chunk]
    with pytest.MonkeyPatch.context() as patch:
        use(which, patch)
        plain = encode_array("x", pa.array(values, pa.string()))
        chunked = encode_array("x", pa.chunked_array([pa.array(chunk, pa.string()) for chunk in chunks], pa.string()))
        parts = [pa.array([*chunk, "unused"], pa.string()).dictionary_encode()[:-1] for chunk in chunks]
        indexed = encode_array("x", pa.chunked_array(parts, pa.dictionary(pa.int32(), pa.string())))
        for other in (chunked, indexed):
            assert decoded(other) == decoded(plain) == values
            assert other.values.to_pylist() == plain.values.to_pylist()
            assert np.array_equal(other.codes, plain.codes)


def test_long_text_that_differs_in_one_byte_is_told_apart(coder: str) -> None:
    base = "x" * 40
    values = [base[:at] + "y" + base[at + 1 :] for at in range(40)] + ["x" * size for size in range(40)] + [base]
    check(encode_array("x", pa.array(values)), values)


def test_many_values_grow_the_table(coder: str) -> None:
    values = [f"user-{number}" for number in range(30_000)] * 2
    check(encode_array("x", pa.array(values)), values)


def test_c21_a_million_distinct_values_keep_their_order_of_rows(coder: str) -> None:
    numbers = np.random.default_rng(0).permutation(1_000_000)
    codes = encode_array("x", pa.array(numbers).cast(pa.string()))
    assert codes.card == 1_000_000 and codes.codes.dtype == np.uint32
    assert np.array_equal(codes.values.cast(pa.int64()).to_numpy()[codes.codes], numbers)


def test_c22_null_and_empty_text_and_the_word_null_are_three_values(coder: str) -> None:
    codes = encode_array("x", pa.array(["", None, "NULL", None, "", "null"]))
    assert [codes.python(code) for code in range(codes.card)] == [None, "", "NULL", "null"]
    assert codes.codes.tolist() == [1, 0, 2, 0, 1, 3]


def test_c22_nan_in_a_float_column_is_null(coder: str) -> None:
    codes = encode_array("x", pa.array([1.0, float("nan"), 2.0, None]))
    assert [codes.python(code) for code in range(codes.card)] == [None, 1, 2]
    assert codes.codes.tolist() == [1, 0, 2, 0]
    only = encode_array("x", pa.array([float("nan"), None], pa.float64()))
    assert only.card == 1 and only.python(0) is None


def test_c22_values_of_different_types_never_meet(coder: str) -> None:
    one = [encode_array("x", pa.array(values)).python(0) for values in ([1], ["1"], [True], [1.5])]
    assert [type(value) for value in one] == [int, str, bool, float]


INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 300) | st.sampled_from([-(2**63), 2**63 - 1])


@given(st.lists(INTEGERS | st.none(), max_size=60))
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("which", ["compiled", "arrow"])
def test_integers_are_encoded_exactly(which: str, values: list[int | None]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        use(which, patch)
        check(encode_array("x", pa.array(values, pa.int64())), values)


@pytest.mark.parametrize(
    "kind", [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]
)
def test_integers_of_any_width(coder: str, kind: pa.DataType) -> None:
    values = [3, None, 120, 3, 0, 7]
    codes = encode_array("x", pa.array(values, kind))
    check(codes, values)
    assert codes.values.type == pa.int64()


def test_integers_beyond_int64(coder: str) -> None:
    values = [2**64 - 1, 2**63, 5, None, 5]
    check(encode_array("x", pa.array(values, pa.uint64())), values)


FLOATS = st.floats(allow_nan=True) | st.sampled_from([0.0, -0.0, 1.0, 2.0, 1e300, float("inf"), 2.0**53])


@given(st.lists(FLOATS | st.none(), max_size=20))
@settings(max_examples=60, deadline=None)
def test_few_floats_are_values_and_whole_ones_integers(values: list[float | None]) -> None:
    clean = [None if value is None or value != value else value + 0.0 for value in values]
    codes = encode_array("x", pa.array(values, pa.float64()))
    held = [value for value in clean if value is not None]
    whole = all(np.isfinite(value) and value == int(value) and abs(value) < 2.0**53 for value in held)
    check(codes, [value if value is None else int(value) if whole else value for value in clean])


TIMES = [dt.datetime(2013, 1, 1, 5), None, dt.datetime(2013, 1, 1, 5), dt.datetime(1969, 7, 20, 20, 17, 40)]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (TIMES, pa.timestamp("us")),
        (TIMES, pa.timestamp("s")),
        ([dt.date(2020, 2, 29), None, dt.date(1999, 1, 1)], pa.date32()),
        ([dt.date(2020, 2, 29), None, dt.date(1999, 1, 1)], pa.date64()),
        ([dt.time(1, 2, 3), None, dt.time(0)], pa.time64("us")),
        ([dt.timedelta(hours=1), None, dt.timedelta(0)], pa.duration("us")),
        ([True, None, False, True], pa.bool_()),
        ([True, True], pa.bool_()),
        ([None, None], pa.string()),
        ([], pa.string()),
        ([], pa.int64()),
        ([], pa.float64()),
    ],
)
def test_other_types(coder: str, values: list[Any], kind: pa.DataType) -> None:
    codes = encode_array("x", pa.array(values, kind))
    check(codes, values)
    if values and not all(value is None for value in values):
        assert codes.values.type == kind


def test_a_column_of_nulls_has_one_value(coder: str) -> None:
    codes = encode_array("x", pa.nulls(3))
    assert codes.card == 1 and codes.python(0) is None and codes.codes.tolist() == [0, 0, 0]


def test_decimals_are_numbers(coder: str) -> None:
    values = [decimal.Decimal("1.50"), None, decimal.Decimal("2.25")]
    assert decoded(encode_array("x", pa.array(values))) == [1.5, None, 2.25]
    assert decoded(encode_array("x", pa.array([decimal.Decimal(3), None]))) == [3, None]
    large = [2**60 + 1, 2**60 + 2]
    assert decoded(encode_array("x", pa.array(map(decimal.Decimal, large), pa.decimal128(38, 0)))) == large


@pytest.mark.parametrize(
    ("values", "words"),
    [([[1], [2]], "lists"), ([{"a": 1}], "structs")],
)
def test_nested_types_are_an_error(values: list[Any], words: str) -> None:
    with pytest.raises(WorkbenchError) as error:
        encode_array("tags", pa.array(values))
    assert error.value.message == f'"tags" holds {words}; a column of by must hold plain values.'


def test_categories_are_dense_and_by_value(coder: str) -> None:
    column = pd.Series(["b", None, "a", "b"], dtype=pd.CategoricalDtype(["z", "b", "y", "a"], ordered=True))
    check(encode_array("x", pa.array(column)), ["b", None, "a", "b"])
    numbers = pd.Series([3.0, None, 1.0], dtype=pd.CategoricalDtype([3.0, 2.0, 1.0]))
    check(encode_array("x", pa.array(numbers)), [3, None, 1])


def test_polars_categories_are_dense_although_their_pool_is_shared(coder: str) -> None:
    pl.Series([f"other-{number}" for number in range(1000)]).cast(pl.Categorical)
    frame = pl.DataFrame({"x": pl.Series(["q", None, "p", "q"], dtype=pl.Categorical)})
    check(encode_array("x", frames.read(frame).encodable("x")), ["q", None, "p", "q"])
    named = pl.DataFrame({"x": pl.Series(["q", None, "p", "q"], dtype=pl.Enum(["q", "unused", "p"]))})
    check(encode_array("x", frames.read(named).encodable("x")), ["q", None, "p", "q"])
    nothing = pl.DataFrame({"x": pl.Series([None, None], dtype=pl.Categorical)})
    check(encode_array("x", frames.read(nothing).encodable("x")), [None, None])


# ranges


def test_c21_float_columns_with_fractions_become_ten_ranges(coder: str) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, 1003)
    codes = encode_array("x", pa.array(np.where(rng.random(1003) < 0.1, np.nan, values)))
    held = np.sort(values[~np.isin(np.arange(1003), np.flatnonzero(codes.codes == codes.card - 1))])
    n = len(held)
    assert codes.edges is not None and codes.distinct == n and codes.card == 11
    assert codes.edges.tolist() == [held[j * n // 10] for j in range(10)] + [held[-1]]
    counts = np.bincount(codes.codes)[:-1]
    assert counts.max() - counts.min() <= 2 and counts.sum() == n
    assert codes.python(codes.card - 1) is None


def test_c21_twenty_numbers_stay_values_and_twenty_one_become_ranges() -> None:
    for few in (20, 21):
        codes = encode_array("x", pa.array(np.tile(np.arange(few) + 0.5, 30)))
        assert (codes.edges is not None) == (few == 21)
    sorted_column = np.repeat([0.5, 1.5], 200_000)
    many = np.concatenate([sorted_column, np.arange(30) / 7])
    assert encode_array("x", pa.array(sorted_column)).card == 2
    assert encode_array("x", pa.array(many)).edges is not None


def test_c21_whole_numbers_are_never_ranges_unless_asked(coder: str) -> None:
    numbers = np.arange(5000.0)
    assert encode_array("x", pa.array(numbers)).card == 5000
    codes = encode_array("x", pa.array(np.arange(1000)), bins=10)
    assert codes.values.to_pylist() == [f"[{100 * j}, {100 * j + 100})" for j in range(9)] + ["[900, 999]"]
    assert codes.python(0) == pd.Interval(0, 100, closed="left")
    assert codes.python(9) == pd.Interval(900, 999, closed="both")
    assert codes.distinct is None


@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.integers(1, 40), st.booleans())
@settings(max_examples=60, deadline=None)
def test_ranges_by_the_rule(values: list[int], bins: int, real: bool) -> None:
    array = np.array(values, float if real else int)
    codes = encode_array("x", pa.array(array), bins=bins)
    ordered = sorted(values)
    expected = sorted({*(ordered[j * len(values) // bins] for j in range(bins)), ordered[-1]})
    if len(expected) == 1:
        expected *= 2
    assert codes.edges is not None and codes.edges.tolist() == expected
    for value, code in zip(values, codes.codes.tolist(), strict=True):
        assert value in codes.python(code)


def test_ranges_of_given_edges_take_in_all_numbers() -> None:
    edges = np.array([0.0, 1.0, 2.0])
    codes = encode_array("x", pa.array([-5.0, 0.5, 1.0, 99.0, None, np.inf]), edges=edges)
    assert codes.codes.tolist() == [0, 0, 1, 1, 2, 1]
    assert codes.values.to_pylist() == ["[0, 1)", "[1, 2]", None]


def test_many_ranges_with_null(coder: str) -> None:
    values = np.append(np.arange(1000.0), np.nan)
    codes = encode_array("x", pa.array(values), bins=255)
    assert codes.card == 256 and codes.codes.dtype == np.uint8 and codes.codes[-1] == 255
    wide = encode_array("x", pa.array(values), bins=256)
    assert wide.card == 257 and wide.codes.dtype == np.uint16 and wide.codes[-1] == 256


def test_infinite_numbers_have_their_ranges() -> None:
    values = np.append(np.arange(40) / 3, [np.inf, -np.inf])
    codes = encode_array("x", pa.array(values))
    assert codes.edges is not None and codes.edges[0] == -np.inf and codes.edges[-1] == np.inf
    assert codes.codes[-1] == 0 and codes.codes[-2] == codes.card - 1


@given(st.lists(st.lists(FLOATS, max_size=30), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_facts_of_parts_add_up(parts: list[list[float]]) -> None:
    arrays = [np.array(part, float) for part in parts]
    found = ranges.facts_of(arrays[0])
    for array in arrays[1:]:
        found = found.merge(ranges.facts_of(array))
    whole = ranges.facts_of(np.concatenate(arrays))
    assert (found.n, found.whole, found.ranged) == (whole.n, whole.whole, whole.ranged)
    assert (found.few is None) == (whole.few is None)
    assert found.few is None or found.few.tolist() == whole.few.tolist()


# parts of one column


@given(st.lists(st.lists(st.sampled_from(["a", "b", "", None, "NULL", "ü"]), max_size=9), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_merged_dictionaries_give_the_codes_of_the_whole(parts: list[list[str | None]]) -> None:
    encoded = [encode_array("x", pa.array(part, pa.string())) for part in parts]
    values, maps = merge_values([part.values for part in encoded])
    whole = encode_array("x", pa.array([value for part in parts for value in part], pa.string()))
    codes = [new[part.codes] for part, new in zip(encoded, maps, strict=True)]
    assert values.to_pylist() == whole.values.to_pylist()
    assert np.concatenate(codes).tolist() == whole.codes.tolist()


def test_a_part_that_happens_to_be_whole_merges_with_fractions() -> None:
    parts = [encode_array("x", pa.array(part)).values for part in ([1.0, 2.0], [1.5, 2.0], [None, 1.0])]
    values, maps = merge_values(parts)
    assert values.to_pylist() == [None, 1.0, 1.5, 2.0]
    assert [new.tolist() for new in maps] == [[1, 3], [2, 3], [0, 1]]


# what is kept


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of columns as they are encoded; what was kept is forgotten."""
    kept.clear()
    found: list[str] = []
    original = kept.encode_array

    def encoded(name: str, *rest: Any) -> Codes:
        found.append(name)
        return original(name, *rest)

    monkeypatch.setattr(kept, "encode_array", encoded)
    return found


def test_a_second_question_encodes_nothing(coder: str, counted: list[str]) -> None:
    df = pd.DataFrame({"a": ["x", "y"] * 50, "b": ["x", "y"] * 50, "n": range(100)})
    first = [frames.encode(frames.read(df), name) for name in df]
    again = [frames.encode(frames.read(df), name) for name in df]
    assert counted == ["a", "n"]  # b holds what a holds
    assert [codes.name for codes in again] == ["a", "b", "n"]
    assert all(one.codes is other.codes for one, other in zip(first, again, strict=True))
    frames.encode(frames.read(df), "n", 5)
    assert counted == ["a", "n", "n"]


def test_a_frame_changed_in_place_is_encoded_anew(coder: str, counted: list[str]) -> None:
    numbers = np.arange(100) % 7
    df = pd.DataFrame({"t": ["x", "y"] * 50, "n": numbers.copy(), "f": numbers + 0.5})
    for name in df:
        frames.encode(frames.read(df), name)
    df.loc[3, "t"], df.loc[3, "n"], df.loc[3, "f"] = "z", 99, 0.25
    assert frames.encode(frames.read(df), "t").python(2) == "z"
    assert 99 in decoded(frames.encode(frames.read(df), "n"))
    assert 0.25 in decoded(frames.encode(frames.read(df), "f"))
    assert counted == ["t", "n", "f"] * 2
    held = np.arange(50)
    table = pa.table({"n": pa.array(held)})
    before = frames.encode(frames.read(table), "n").values.to_pylist()
    held[0] = 1000  # the table's own memory
    assert frames.encode(frames.read(table), "n").values.to_pylist() == [*before[1:], 1000]


def test_what_is_kept_is_bounded(counted: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "LIMIT", 3000)
    tables = [pa.table({"n": np.arange(start, start + 20).repeat(50)}) for start in range(6)]
    for table in tables:
        frames.encode(frames.read(table), "n")
    assert sum(codes.nbytes for codes in kept._held.values()) <= 3000
    frames.encode(frames.read(tables[-1]), "n")
    assert len(counted) == 6
    frames.encode(frames.read(tables[0]), "n")
    assert len(counted) == 7


DIGESTED = st.sampled_from([pa.int32(), pa.string(), pa.large_string(), pa.string_view(), pa.bool_(), pa.float64()])


@given(st.lists(st.sampled_from([0, 1, 2, None]), min_size=1, max_size=20), st.data(), DIGESTED)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("which", ["compiled", "arrow"])
def test_digests_tell_contents_apart(which: str, values: list[int | None], data: Any, kind: pa.DataType) -> None:
    other = data.draw(st.lists(st.sampled_from([0, 1, 2, None]), min_size=len(values), max_size=len(values)))

    def array(numbers: list[int | None]) -> pa.Array:
        made = pa.array(numbers, pa.int32())
        return made.cast(pa.string()).cast(kind) if kind == pa.string_view() else made.cast(kind)

    with pytest.MonkeyPatch.context() as patch:
        use(which, patch)
        one, two = array(values), array(other)
        assert content.digest(one) == content.digest(array(values))
        if one.to_pylist() != two.to_pylist():
            assert content.digest(one) != content.digest(two)
            assert content.digest(one.dictionary_encode() if kind != pa.string_view() else one) != content.digest(two)


def test_the_hash_of_memory_is_xxh64() -> None:
    for text, expected in [
        (b"", 0xEF46DB3751D8E999),
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ]:
        memory = np.frombuffer(text or b"\0", np.uint8)
        assert encode_kernels.memory_hash(memory.ctypes.data, len(text), 0) == expected


def test_kernels_are_not_loaded_for_small_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coders, "loaded", None)
    monkeypatch.setattr(coders, "failed", False)
    monkeypatch.setattr(coders, "thread", None)
    assert coders(0) is None and coders(10_000) is None and coders.thread is None
    assert coders(LARGE) is encode_kernels


def test_without_numba_arrow_does_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coders, "loaded", None)
    monkeypatch.setattr(coders, "thread", None)

    def fails() -> None:
        raise RuntimeError("no compiler")

    monkeypatch.setattr(encode_kernels, "load", fails)
    assert coders(LARGE) is None and coders.failed
    check(encode_array("x", pa.array(["b", "a"])), ["b", "a"])
