"""Kleene truth tables, and comparison and arithmetic with missing values."""

from __future__ import annotations

import enum
import itertools
import math
from typing import Any

import numpy as np
import pytest

from workbench.video.operators.columns import (
    AskedColumn,
    Column,
    PropertyColumns,
    all_of,
    any_of,
    arithmetic,
    choose,
    compare,
    contains,
    negation,
    plain,
    truth,
    typed,
)

STATES = (True, False, None)


def column(*values: Any) -> Column:
    cells = np.empty(len(values), object)
    cells[:] = values
    return typed(cells, np.array([value is not None for value in values], bool))


def condition(*states: bool | None) -> Column:
    return Column.condition(np.array([s is True for s in states]), np.array([s is not None for s in states]))


def kleene(function: Any, *states: bool | None) -> bool | None:
    """The truth table by its meaning: what holds whichever value the missing ones have."""
    outcomes = {
        function(*filled)
        for filled in itertools.product(*[(state,) if state is not None else (True, False) for state in states])
    }
    return outcomes.pop() if len(outcomes) == 1 else None


@pytest.mark.parametrize(("ours", "python"), [(all_of, lambda a, b: a and b), (any_of, lambda a, b: a or b)])
def test_truth_tables_of_and_and_or(ours: Any, python: Any) -> None:
    pairs = list(itertools.product(STATES, STATES))
    left, right = (condition(*side) for side in zip(*pairs, strict=True))
    assert ours(left, right).python() == [kleene(python, a, b) for a, b in pairs]


def test_truth_table_of_not() -> None:
    assert negation(condition(*STATES)).python() == [False, True, None]


def test_conditions_are_false_where_missing() -> None:
    for result in (all_of(condition(None), condition(True)), any_of(condition(None), condition(False))):
        assert not result.values[0]
        assert not result.valid[0]


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_comparison_is_pythons_and_missing_with_missing(op: str) -> None:
    values = (1, 2.5, -3, 0, 10**6, None)
    pairs = list(itertools.product(values, values))
    left, right = (column(*side) for side in zip(*pairs, strict=True))
    expected = [None if a is None or b is None else eval(f"{a!r} {op} {b!r}") for a, b in pairs]
    assert compare(op, left, right).python() == expected


def test_text_compares_with_text_and_not_with_numbers() -> None:
    assert compare("==", column("red", "blue", None), column("red", "red", "red")).python() == [True, False, None]
    assert compare("<", column("a", "b"), column("b", "a")).python() == [True, False]
    assert compare("==", column("5", "x"), column(5, 5)).python() == [False, False]
    assert compare("<", column("5", 7), column(6, 8)).python() == [None, True]


def test_times_compare_with_tolerance() -> None:
    left, right = column(1.0, 1.0, 1.0, 1.0), column(1.0 + 5e-7, 1.0 - 5e-7, 1.00001, 0.99999)
    assert compare("==", left, right, 1e-6).python() == [True, True, False, False]
    assert compare("<", left, right, 1e-6).python() == [False, False, True, False]
    assert compare("<=", left, right, 1e-6).python() == [True, True, True, False]
    assert compare(">=", left, right, 1e-6).python() == [True, True, False, True]
    assert compare("!=", left, right, 1e-6).python() == [False, False, True, True]
    assert compare("<", left, right).python() == [True, False, True, False]
    infinite = column(math.inf, math.inf)
    assert compare("==", infinite, column(math.inf, 1.0), 1e-6).python() == [True, False]


def test_in() -> None:
    assert contains(column("red", "green", None), ("red", "blue")).python() == [True, False, None]
    assert contains(column(1, 2.5), (2.5, "x")).python() == [False, True]
    assert contains(column("a"), ()).python() == [False]


def test_arithmetic_with_missing_zero_and_overflow() -> None:
    assert arithmetic("/", column(1.0, 1.0, None, 0.0), column(0.0, 4.0, 1.0, 0.0)).python() == [None, 0.25, None, None]
    assert arithmetic("+", column(1, None), column(2, 2)).python() == [3.0, None]
    assert arithmetic("-", column(math.inf), column(math.inf)).python() == [None]
    assert arithmetic("*", column(1e308), column(10)).python() == [math.inf]
    assert arithmetic("+", column("a", "b"), column(1, 2)).python() == [None, None]
    assert arithmetic("max", column(1, 5), column(3, 2)).python() == [3.0, 5.0]


def test_choose_is_missing_where_its_condition_is() -> None:
    result = choose(condition(True, False, None, True), column(1, 1, 1, None), column(2, 2, 2, 2))
    assert result.python() == [1, 2, None, None]
    assert choose(condition(True, False), column("a", "a"), column(2, 2)).python() == ["a", 2]


def test_truth_of_values() -> None:
    assert truth(column(0, 2, None)).python() == [False, True, None]
    assert truth(column("", "x")).python() == [False, True]
    assert truth(column([], [1])).python() == [False, True]


class Size(enum.IntEnum):
    SMALL = 1


def test_what_properties_give_becomes_plain() -> None:
    given = (
        np.float32(0.5),
        np.int64(3),
        np.bool_(True),
        np.str_("x"),
        float("nan"),
        np.nan,
        None,
        Size.SMALL,
        np.array(2.0),
    )
    assert [plain(value) for value in given] == [0.5, 3, True, "x", None, None, None, 1, 2.0]
    assert [type(plain(value)) for value in given[:4]] == [float, int, bool, str]


def test_columns_take_the_narrowest_type() -> None:
    assert column(True, None).values.dtype == bool
    assert column(1, 2).values.dtype == np.int64
    assert column(1, 2.5, True).values.dtype == np.float64
    assert column("a", None, "bcd").values.dtype.kind == "U"
    assert column("a" * 1000).values.dtype == object
    assert column("a", 1).values.dtype == object
    assert column(10**30, 1).values.dtype == np.float64
    assert column((1, 2), None).values.dtype == object


def test_not_computed_and_missing_differ() -> None:
    asked = AskedColumn.empty(4)
    asked.fill(np.array([1, 2]), [5, None])
    assert asked.asked.tolist() == [False, True, True, False]
    assert asked.column().python() == [None, 5, None, None]
    asked.fill_same(np.array([0]), [1, 2])
    assert asked.values[0] == [1, 2]
    columns = PropertyColumns(4)
    columns.put("Car", "plate", np.array([0, 3]), ["x", None])
    [(type_name, name, rows, values)] = columns.items()
    assert (type_name, name, rows.tolist(), values) == ("Car", "plate", [0, 3], ["x", None])
