"""Names, and the values that a notebook may hold."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench.engine.units import Dimension, Quantity
from workbench.video.language import vocabulary
from workbench.video.language.parse import parse_cell
from workbench.video.language.scope import MISSING, Scope, as_collection, as_scalar, root


@pytest.mark.parametrize(
    ("value", "scalar"),
    [
        (5, 5), (2.5, 2.5), (True, True), ("a", "a"), (None, None), (np.int32(7), 7), (np.float32(0.5), 0.5),
        (np.bool_(True), True), (np.str_("x"), "x"), (np.array(3), 3), (Decimal("1.5"), 1.5), (Fraction(1, 2), 0.5),
        (dt.timedelta(minutes=1), Quantity(60.0, Dimension(s=1), "60s")),
        (np.datetime64("2024-01-01"), MISSING), (b"x", MISSING), ([1], MISSING), (object(), MISSING), (1j, MISSING),
        (dt.date(2024, 1, 1), MISSING), (len, MISSING),
    ],
)  # fmt: skip
def test_scalars(value: Any, scalar: Any) -> None:
    found = as_scalar(value)
    assert found is scalar if scalar is MISSING or scalar is None else found == scalar
    assert type(found) is type(scalar)


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ([1, 2, 1], (1, 2)), ((), ()), ({2, 1}, (1, 2)), (frozenset("ba"), ("a", "b")), ({"a": 1}, ("a",)),
        (range(2), (0, 1)), (np.array([1.5, np.nan]), (1.5,)), (pd.Series(["a", None]), ("a",)),
        (pa.array([1, None]), (1,)),
        (pd.Index([1, 2]), (1, 2)), (pd.Categorical(["a", "b"]), ("a", "b")), ((x for x in (1, 2)), (1, 2)),
        ("text", None), (b"x", None), (5, None), ([[1]], None), ([object()], None), (pd.DataFrame({"a": [1]}), None),
        (np.zeros((2, 2)), None), (vocabulary.lasts, None), (vocabulary.Car, None), (dt, None),
    ],
)  # fmt: skip
def test_collections(value: Any, parts: tuple[Any, ...] | None) -> None:
    assert as_collection(value) == parts


def scope(text: str, *layers: dict[str, Any]) -> tuple[Scope, Any]:
    cell = parse_cell(text)
    return Scope(cell, layers), cell.module.body[0].value  # type: ignore[attr-defined]


def test_the_nearest_layer_answers() -> None:
    found, node = scope("a", {"a": 1}, {"a": 2})
    assert found.find(node) == 1
    assert found.get("nothing") is MISSING
    assert found.get("Car") is vocabulary.Car
    assert {"a", "Car"} <= found.names()


def test_paths() -> None:
    names = {"args": SimpleNamespace(path=SimpleNamespace(name="x")), "v": vocabulary}
    for text, value in [("args.path.name", "x"), ("args.no", MISSING), ("no.path", MISSING), ("v.Car", vocabulary.Car)]:
        found, node = scope(text, names)
        assert found.find(node) is value or found.find(node) == value


def test_words_under_other_names() -> None:
    names = {"stays": vocabulary.lasts, "Area": vocabulary.Region, "count": 5, "mark": vocabulary.prop}
    for text, word in [("stays", "lasts"), ("Area", "Region"), ("count", "count"), ("mark", "prop"), ("other", "")]:
        found, node = scope(text, names)
        assert found.word(node) == word


def test_roots() -> None:
    _, node = scope("a.b(c).d[0].e")
    assert getattr(root(node), "id", "") == "a"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5", -5), ("2 * (3 + limit) / 4 - 1", 3.0), ("(1, 'a', None)", (1, "a", None)), ("[1, [2]]", [1, [2]]),
        ("{1, 2}", {1, 2}), ("{'a': limit}", {"a": 5}),
        ("Region.rect(0, 0, limit, 5)", vocabulary.Region.rect(0, 0, 5, 5)),
        ("Line((0, 0), (limit, 1), sides=('a', 'b'))", vocabulary.Line((0, 0), (5, 1), sides=("a", "b"))),
        ("Region(*corners)", vocabulary.Region((0, 0), (1, 0), (1, 1))),
    ],
)  # fmt: skip
def test_values_of_a_cell(text: str, value: Any) -> None:
    found, node = scope(text, {"limit": 5, "corners": [(0, 0), (1, 0), (1, 1)]})
    assert found.evaluate(node) == value
