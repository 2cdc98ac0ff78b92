from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import dictionary, loading
from workbench.anomaly.dictionary import Dictionary, narrow
from workbench.engine.errors import WorkbenchError

TEXTS = st.lists(st.one_of(st.none(), st.sampled_from(["", "NULL", "a", "b", "é", "c"])), max_size=12)


def given_back(kept: Dictionary, codes: np.ndarray) -> list[Any]:
    return [kept.values[code] for code in codes]


def as_dictionary(values: list[Any], order: int) -> pa.DictionaryArray:
    entries = sorted({value for value in values if value is not None}, reverse=bool(order % 2))
    entries = ["unused", *entries] if order > 1 else entries
    indices = [None if value is None else entries.index(value) for value in values]
    return pa.DictionaryArray.from_arrays(pa.array(indices, pa.int8()), pa.array(entries, pa.string()))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(TEXTS, st.integers(0, 4)), max_size=8), st.booleans())
def test_codes_mean_the_same_in_all_panes(panes: list[tuple[list[Any], int]], compiled: bool) -> None:
    kept, met = Dictionary("a"), []
    before = loading.kernels.loaded
    try:
        if compiled:
            from workbench.anomaly import kernels, stream_kernels

            stream_kernels.recode.load()
            loading.kernels.loaded = kernels
        for values, form in panes:
            array = pa.array(values, pa.string()) if form == 4 else as_dictionary(values, form)
            codes = kept.encode(pa.chunked_array([array]))
            met.append((values, codes.copy()))
            if kept.counts is not None:
                assert kept.counts.tolist() == np.bincount(codes, minlength=kept.card).tolist()
    finally:
        loading.kernels.loaded = before
    for values, codes in met:  # also those of long ago
        assert given_back(kept, codes) == values
    assert set(kept.values) == {value for values, _ in met for value in values}  # an entry that never occurs has none
    again = Dictionary.from_state(kept.state())
    for values, codes in met:
        assert again.encode(pa.array(values, pa.string())).tolist() == codes.tolist()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.one_of(st.integers(-3, 3), st.floats(-2, 2).map(lambda x: round(2 * x) / 2)), max_size=9)))
def test_whole_numbers_are_the_same_value_in_every_type(panes: list[list[float]]) -> None:
    kept, met = Dictionary("a"), []
    kept.started = True  # never in ranges
    for number, values in enumerate(panes):
        whole = all(value == int(value) for value in values)
        kind = pa.float64() if not whole else [pa.int64(), pa.float64(), pa.int8(), pa.float32()][number % 4]
        met.append((values, kept.encode(pa.array(values, kind)).copy()))
    for values, codes in met:
        assert given_back(kept, codes) == values
    assert len(set(kept.values)) == kept.card


def test_a_column_with_two_kinds_of_values_is_text_and_keeps_its_codes() -> None:
    kept = Dictionary("a")
    one = kept.encode(pa.array([3, None, 12])).tolist()
    assert kept.encode(pa.array([None, None])).tolist() == [one[1]] * 2  # no value: still numbers
    assert kept.values == [None, 3, 12] and not kept.text
    assert kept.encode(pa.array(["12", "x", None])).tolist() == [one[2], 3, one[1]]
    assert kept.values == [None, "3", "12", "x"] and kept.text
    again = Dictionary.from_state(kept.state())
    assert again.encode(pa.array([3.0, 12.0])).tolist() == [one[0], one[2]]
    assert again.encode(pa.array([dt.date(2026, 1, 1), None])).tolist() == [4, one[1]]
    assert again.column().values.to_pylist() == [None, "3", "12", "x", "2026-01-01"]


def test_true_and_one_are_two_values_until_they_meet() -> None:
    kept = Dictionary("a")
    assert given_back(kept, kept.encode(pa.array([True, False]))) == [True, False]
    assert given_back(kept, kept.encode(pa.array([1, 0]))) == ["1", "0"]


def test_ranges_stay_those_of_the_first_pane() -> None:
    kept = Dictionary("d", 4)
    first = kept.encode(pa.array(np.arange(100.0)))
    assert kept.card == 4 and np.bincount(first).tolist() == [25] * 4
    assert kept.encode(pa.array([-5.0, 1e9, None])).tolist() == [0, 3, 4]
    assert kept.column(np.array([3], np.uint8)).python(3).closed == "both"
    with pytest.raises(WorkbenchError, match='"d" was put in ranges of numbers, and is text now'):
        kept.encode(pa.array(["x"]))
    assert kept.encode(pa.array([30])).tolist() == [1]


def test_numbers_that_are_first_few_are_never_put_in_ranges() -> None:
    kept = Dictionary("d")
    kept.encode(pa.array([0.5, 1.5]))
    codes = kept.encode(pa.array(np.arange(100) / 7))
    assert kept.edges is None and given_back(kept, codes) == (np.arange(100) / 7).tolist()


def test_only_values_that_occur_are_in_a_column() -> None:
    kept = Dictionary("a")
    kept.encode(pa.array(["x", "y", "z"]))
    codes = kept.encode(pa.array(["z", "x", "z"]))
    column = kept.column(codes)
    assert column.values.to_pylist() == ["x", "z"] and column.codes.tolist() == [1, 0, 1]
    assert kept.occurring(codes).tolist() == [0, 2]
    assert kept.column(card=2).values.to_pylist() == ["x", "y"]


def test_codes_are_as_narrow_as_they_can_be() -> None:
    kept = Dictionary("a")
    assert kept.encode(pa.array([f"{i}" for i in range(256)])).dtype == np.uint8
    assert kept.encode(pa.array(["one more"])).dtype == np.uint16
    assert narrow(np.array([1], np.uint32), 1 << 16).dtype == np.uint16
    assert dictionary._NONE == 2**32 - 1
