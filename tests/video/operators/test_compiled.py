"""Simple functions as array code: the same bits as plain calls, and plain calls wherever there is a doubt."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.video.operators.scenes import walk
from workbench.video.language.compile import compile_query
from workbench.video.operators import compiled, properties, stacked
from workbench.video.operators.columns import plain
from workbench.video.operators.compiled import Value, at_once
from workbench.video.operators.evaluate import evaluate

LIMIT, NAMES = 3.5, ["red"]
#: how many examples hypothesis draws
EXAMPLES = 60


def one(self: Any, a: Any, b: Any) -> Any:
    return a * 2 + b / 3 - LIMIT


def two(self: Any, a: Any, b: Any) -> Any:
    """Choose between two numbers."""
    c = abs(a - b)
    if c > 1 and not b < 0:
        return float(c)
    return max(a, b) if a > b else -min(a, b, LIMIT)


def three(self: Any, a: Any, b: Any) -> Any:
    return a / b if b != 0 else None


def four(self: Any, a: Any, b: Any) -> Any:
    if not -5 < a <= 5:
        return None
    return math.sqrt(abs(a)) + np.hypot(a, b)


def five(self: Any, a: Any, b: Any) -> Any:
    return round(a) > int(b) or a == b


def six(self: Any, n: Any, a: Any) -> Any:
    return n * 3 - 1 if n > 2 else n


def seven(self: Any, n: Any, a: Any) -> Any:
    return n / 7 + bool(a)


SINGLE: list[Callable[..., Any]] = [one, two, three, four, five, six]


def w_ends(self: Any, s: Any) -> Any:
    return float(abs(s[-1] - s[0]))


def w_mean(self: Any, s: Any) -> Any:
    return s.mean()


def w_std(self: Any, s: Any) -> Any:
    middle = np.mean(s)
    return float(s.std() + (abs(s - middle)).max())


def w_sum(self: Any, s: Any) -> Any:
    return sum(s) / len(s) + s.sum()


def w_steps(self: Any, s: Any) -> Any:
    return np.diff(s).max() if len(s) > 1 else 0.0


def w_share(self: Any, s: Any) -> Any:
    return float((s[1:] > s[:-1]).mean()) if len(s) > 1 else 0.0


def w_any(self: Any, s: Any) -> Any:
    return bool((s > 2).any()) and bool(np.all(s < 1e9))


def w_min(self: Any, s: Any) -> Any:
    return max(s) - min(s)


WINDOWS: list[Callable[..., Any]] = [w_ends, w_mean, w_std, w_sum, w_steps, w_share, w_any, w_min]


def bits(value: Any) -> Any:
    return struct.pack("d", value) if type(value) is float and value != 0 else (type(value), value)


def called(function: Callable[..., Any], rows: list[tuple[Any, ...]]) -> list[Any]:
    return [plain(function(None, *row)) for row in rows]


numbers = st.floats(-1e6, 1e6) | st.sampled_from([0.0, 1.0, -1.0, 0.5, 2.5, LIMIT])


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.tuples(numbers, numbers), min_size=1, max_size=80), st.sampled_from([one, two, three, four, five]))
def test_single_rows_give_the_bits_of_plain_calls(rows: list[tuple[float, float]], function: Any) -> None:
    a, b = (np.array(column) for column in zip(*rows, strict=True))
    mine = at_once(function, {"a": Value(a), "b": Value(b)}, len(rows), lambda i: function(None, *rows[i]))
    if mine is None:  # -min(a, b, LIMIT) of a whole number, say: never wrong, only slower
        assert function is not one
        return
    assert list(map(bits, mine)) == list(map(bits, called(function, rows)))


@pytest.mark.parametrize("function", [one, two, three, four, five, six])
def test_these_functions_have_an_array_form(function: Any) -> None:
    rng = np.random.default_rng(3)
    first: Any = rng.integers(0, 9, 200) if function is six else rng.normal(0, 4, 200)
    second = rng.normal(0, 4, 200)
    rows = list(zip(first.tolist(), second.tolist(), strict=True))
    names = ("n", "a") if function is six else ("a", "b")
    given_ = dict(zip(names, map(Value, (first, second)), strict=True))
    mine = at_once(function, given_, 200, lambda i: function(None, *rows[i]))
    assert mine is not None
    assert list(map(bits, mine)) == list(map(bits, called(function, rows)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.integers(1, 300), st.integers(0, 2**32 - 1), st.sampled_from(WINDOWS))
def test_windows_give_the_bits_of_plain_calls(length: int, seed: int, function: Any) -> None:
    rng = np.random.default_rng(seed)
    column = rng.normal(0, 1, 40 + length) * 10.0 ** rng.integers(-6, 6, 40 + length)
    index = np.arange(40)[:, None] + np.arange(length)
    rows = [(column[start : start + length].copy(),) for start in range(40)]
    mine = at_once(function, {"s": Value(column[index], window=True)}, 40, lambda i: function(None, *rows[i]))
    assert mine is not None
    assert list(map(bits, mine)) == list(map(bits, called(function, rows)))


def test_points() -> None:
    def drift(self: Any, c: Any) -> Any:
        return float(abs(c[-1][0] - c[0][0])) + (c[1:] - c[0])[-1][1]

    points = np.random.default_rng(1).normal(0, 50, (90, 2))
    index = np.arange(80)[:, None] + np.arange(10)
    rows = [(points[start : start + 10].copy(),) for start in range(80)]
    value = Value(points[index], window=True, point=True)
    mine = at_once(drift, {"c": value}, 80, lambda i: drift(None, *rows[i]))
    assert mine == called(drift, rows)


def other_kinds(self: Any, a: Any) -> Any:
    return int(a) if a > 0 else a


def raises(self: Any, a: Any) -> Any:
    return 1 / (a - a)


def loops(self: Any, a: Any) -> Any:
    total = 0.0
    for _ in range(3):
        total += a
    return total


def reads(self: Any, a: Any) -> Any:
    return NAMES[0] == a


def power(self: Any, a: Any) -> Any:
    return a**2


def sine(self: Any, a: Any) -> Any:
    return math.sin(a)


def with_default(self: Any, a: Any, LIMIT: float = 9.0) -> Any:
    return a + LIMIT


def late(self: Any, a: Any) -> Any:
    if a > 0:
        b = a
    return b


@pytest.mark.parametrize("function", [other_kinds, raises, loops, reads, power, sine, with_default, late, len])
def test_what_is_left_to_plain_calls(function: Any) -> None:
    a = np.random.default_rng(0).normal(0, 3, 100)
    assert at_once(function, {"a": Value(a)}, 100, lambda i: function(None, float(a[i]))) is None


def test_one_call_that_gives_another_value_is_enough() -> None:
    assert at_once(one, {"a": Value(np.ones(99)), "b": Value(np.ones(99))}, 99, lambda i: 5.0) is None


QUERY = """
class Walker(Person):
    @prop(window="1s")
    def pace(self, speed):
        return float(speed.mean())
    @prop(window="5frames")
    def jerk(self, pace):
        return float(abs(pace[-1] - pace[0]))
    @prop
    def slim(self, height, width):
        return height / width if width > 0 else None
class Q(Query):
    p: Walker
    where = p.slim > 0.1 and (p.jerk > 0.01 or p.pace < 40)
    select = max(p.jerk), mean(p.pace), p.slim
"""


def test_a_query_gives_the_same_and_makes_few_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    steps = np.cumsum(rng.normal(1, 6, (3, 240, 2)), axis=1) + 200
    tracks = walk({who + 1: [tuple(foot) for foot in steps[who]] for who in range(3)})
    query = compile_query(QUERY).__compiled__

    def answer() -> tuple[Any, dict[str, int], Any]:
        found = evaluate(query, tracks, video="v")
        values = {(k, n): (rows.tolist(), list(map(bits, v))) for k, n, rows, v in found.columns.items()}
        return found.spans, found.properties.calls, values

    made: list[tuple[str, int]] = []
    run = properties.Properties._run
    monkeypatch.setattr(
        properties.Properties,
        "_run",
        lambda self, prop, *rest: (made.append((prop.name, len(rest[-1]))), run(self, prop, *rest))[1],
    )
    spans, calls, values = answer()
    assert made == [("jerk", 30)]  # windows in which there is no pace yet
    monkeypatch.setattr(stacked, "_possible", lambda prop, count: False)
    plain_spans, plain_calls, plain_values = answer()
    assert {name for name, count in made if count > 500} == {"jerk", "pace", "slim"}
    assert values == plain_values
    assert calls == plain_calls
    assert np.array_equal(spans.start, plain_spans.start) and len(spans.start) > 0


def test_the_least_number_of_calls() -> None:
    assert compiled.LEAST > compiled._CHECKED
