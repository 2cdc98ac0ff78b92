from __future__ import annotations

import datetime as dt
import enum
import itertools
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import workbench
from workbench.engine.keys import key


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclass
class Point:
    x: float
    y: float


@dataclass
class Vector:
    x: float
    y: float


DIFFERENT = [
    None,
    True,
    False,
    0,
    1,
    1.0,
    0.0,
    -0.0,
    float("nan"),
    float("inf"),
    "1",
    "",
    b"1",
    b"",
    (),
    [],
    {},
    set(),
    (1,),
    [1],
    (1, 2),
    ((1,), 2),
    (1, (2,)),
    ("ab", "c"),
    ("a", "bc"),
    {"a": 1},
    {"a": 2},
    {"b": 1},
    {1: "a"},
    {"a", "b"},
    10**30,
    -(10**30),
    np.arange(4),
    np.arange(4, dtype=np.int32),
    np.arange(4).reshape(2, 2),
    np.arange(4.0),
    np.array(["a", "b"], dtype=object),
    np.array(["a", "b"]),
    np.array(3),
    Point(1, 2),
    Vector(1, 2),
    Point(2, 1),
    Colour.RED,
    Colour.BLUE,
    Path("a/b"),
    dt.datetime(2024, 1, 2),
    dt.date(2024, 1, 2),
    dt.timedelta(seconds=1),
    dt.timedelta(days=1),
    pd.DataFrame({"a": [1, 2]}),
    pd.DataFrame({"b": [1, 2]}),
    pd.DataFrame({"a": [1.0, 2.0]}),
    pd.Series([1, 2]),
    pa.table({"a": [1, 2]}),
]


def test_different_values_have_different_keys() -> None:
    keys = [key(value) for value in DIFFERENT]
    for (first, a), (second, b) in itertools.combinations(enumerate(keys), 2):
        assert a != b, (DIFFERENT[first], DIFFERENT[second])
    assert all(len(found) == 64 and int(found, 16) >= 0 for found in keys)


def test_parts_are_not_run_together() -> None:
    assert len({key("a", "b"), key("ab"), key(("a", "b")), key("a", "b", None)}) == 4


def test_the_order_of_dicts_and_sets_does_not_count() -> None:
    assert key({"a": 1, "b": [2]}) == key({"b": [2], "a": 1})
    assert key({3, 1, 2}) == key({2, 3, 1})


def test_layout_in_memory_does_not_count() -> None:
    array = np.arange(12.0).reshape(3, 4)
    assert key(array) == key(np.asfortranarray(array))
    assert key(array[:, ::2]) == key(array[:, ::2].copy())
    assert key(array) == key(array.astype(">f8"))


def test_numpy_scalars_are_numbers() -> None:
    assert key(np.int64(3)) == key(3)
    assert key(np.float64(3)) == key(3.0)
    assert key(np.bool_(True)) == key(True)


def test_unknown_types_are_refused() -> None:
    with pytest.raises(TypeError, match="a object has no content key"):
        key([object()])


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(plain, plain)
def test_equal_content_equal_key(a: object, b: object) -> None:
    assert (key(a) == key(b)) == (repr(_sorted(a)) == repr(_sorted(b)))


def _sorted(value: object) -> object:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, (list, tuple)):
        return type(value)(_sorted(item) for item in value)
    return value


def test_the_same_in_another_process() -> None:
    code = (
        "import numpy as np; from workbench.engine.store import key;"
        "print(key('a', 1, 2.5, {'x': {1, 'b', 2.5}, 'y': None}, np.arange(3), frozenset({'u', 'v'})))"
    )
    root = str(Path(workbench.__file__).parents[1])
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONPATH": root, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert found == {key("a", 1, 2.5, {"x": {1, "b", 2.5}, "y": None}, np.arange(3), frozenset({"u", "v"}))}
