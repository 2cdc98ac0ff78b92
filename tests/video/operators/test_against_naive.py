"""The engine's tables equal the reference's on random tracks and queries, in every way of evaluating."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.video.operators.drawn import QueryDraw, draw_tracks
from tests.video.operators.drawn_several import SeveralDraw
from tests.video.operators.naive import Reference
from workbench.video.language import tree
from workbench.video.operators.answer import answer_tables, empty_tables
from workbench.video.operators.calls import call_property, crops_as_argument
from workbench.video.operators.columns import CallResults, PixelProperty, PropertyColumns
from workbench.video.operators.evaluate import evaluate, needs_scene
from workbench.video.plan.logical import plan_query
from workbench.video.tracks import Tracks, with_scene

#: `WORKBENCH_TEST_QUERIES` is the number of random queries in each block, `WORKBENCH_TEST_SEED` where their seeds begin
QUERIES = os.environ.get("WORKBENCH_TEST_QUERIES")
FIRST = int(os.environ.get("WORKBENCH_TEST_SEED", "0"))


def seeds(block: int, count: int) -> range:
    """Return the seeds of a block of that many queries, or of as many as are asked for."""
    count = int(QUERIES or count)
    return range(FIRST + count * block, FIRST + count * (block + 1))


def crop(number: int, frame: int) -> Any:
    """A crop that shows which object and frame it is of."""
    return np.array([number, frame])


def model(name: str, image: Any) -> str | None:
    """What a model of ours says of a crop."""
    words = ("red", "red", "blue", None, "red", "gray") if name == "color" else ("car", "van", "bus")
    return words[int(image[0] * 7 + image[1] // 4) % len(words)]


class Pixels:
    """Runs calls on such crops, and counts them."""

    def __init__(self, tracks: Tracks) -> None:
        self.tracks = tracks
        self.seen: list[tuple[str, tuple[int, ...]]] = []

    def __call__(self, prop: Any, calls: list[Any], arguments: dict[str, list[Any]]) -> CallResults:
        # a window without any crop is told from another by its other arguments only
        self.seen += [(prop.name, tuple(rows.tolist())) for rows in calls if (rows >= 0).any()]
        crops = [
            [None if row < 0 else crop(int(self.tracks.id[row]), int(self.tracks.frame[row])) for row in rows]
            for rows in calls
        ]
        if isinstance(prop, PixelProperty):
            return CallResults([model(prop.name, images[0]) for images in crops], [])
        name = "images" if "images" in prop.arguments else "image"
        given = {**arguments, name: [crops_as_argument(prop, images) for images in crops]}
        return call_property(prop, given, len(calls))


def plain(value: Any) -> Any:
    if value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return None
    return value


def same(ours: Any, theirs: Any) -> bool:
    ours, theirs = plain(ours), plain(theirs)
    if isinstance(ours, float) and isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        return ours == pytest.approx(theirs, rel=1e-9, abs=1e-9)
    return bool(ours == theirs)


def assert_equal(table: pd.DataFrame, expected: list[dict[str, Any]], what: str) -> None:
    assert len(table) == len(expected), f"{what}: {len(table)} rows, not {len(expected)}"
    if not expected:
        return
    assert list(table.columns) == list(expected[0]), what
    columns = {name: table[name].tolist() for name in table.columns}
    for number, row in enumerate(expected):
        for name, value in row.items():
            assert same(columns[name][number], value), f"{what}[{number}].{name}: {columns[name][number]} != {value}"


def check(seed: int, ids: int, frames: int) -> None:
    rng = random.Random(seed)
    tracks = draw_tracks(rng, ids, frames)
    query = QueryDraw(rng).query()
    for _ in range(4):
        # most random queries find nothing: a few draws more make answers worth comparing
        if len(evaluate(query, tracks, Pixels(tracks))):
            break
        query = QueryDraw(rng).query()
    reference = Reference(
        query, tracks, "v.mp4", lambda track, row: crop(track.id, row.frame), model
    )  # fmt: skip
    expected = reference.tables()
    lazy = Pixels(tracks)
    found = evaluate(query, tracks, lazy, video="v.mp4")
    tables = answer_tables(query, found, tracks, "v.mp4")
    for name, rows in expected.items():
        assert_equal(tables[name], rows, name)
    assert len(lazy.seen) == len(set(lazy.seen)), "a call was made twice"
    errors = set(zip(*(tables["errors"][name] for name in ("property", "id", "frame", "error")), strict=True))
    assert errors <= reference.errors, (errors - reference.errors, reference.errors)
    if not len(found):
        assert found.nearest[0].startswith("No events.")
    if seed % 8 == 0:
        check_variants(rng, query, tracks, tables, lazy, found)


def check_several(seed: int, ids: int, frames: int) -> int:
    """The same of several variables; return the number of events."""
    rng = random.Random(seed)
    tracks = draw_tracks(rng, ids, frames)
    query = SeveralDraw(rng).query()
    for _ in range(6):
        ready = prepared(query, tracks)
        if len(evaluate(query, ready, Pixels(ready))):
            break
        query = SeveralDraw(rng).query()
    tracks = prepared(query, tracks)
    reference = Reference(query, tracks, "v.mp4", lambda track, row: crop(track.id, row.frame), model)
    expected = reference.tables()
    found = evaluate(query, tracks, Pixels(tracks), video="v.mp4")
    tables = answer_tables(query, found, tracks, "v.mp4")
    for name, rows in expected.items():
        assert_equal(tables[name], rows, name)
    errors = set(zip(*(tables["errors"][name] for name in ("property", "id", "frame", "error")), strict=True))
    assert errors <= reference.errors, (errors - reference.errors, reference.errors)
    if not len(found):
        assert found.nearest[0].startswith("No events.")
    shown = plan_query(query)
    shown.to_plan()
    for options in ({"naive": True}, {"conjuncts": shown.conjuncts}):
        other = answer_tables(query, evaluate(query, tracks, Pixels(tracks), video="v.mp4", **options), tracks, "v.mp4")
        for name in ("events", "objects", "frames", "groups"):
            assert tables[name].equals(other[name]), name
            assert tables[name].attrs == other[name].attrs
    columns = {name: list(table.columns) for name, table in empty_tables(query).items()}
    assert columns == {name: list(table.columns) for name, table in tables.items()}
    return len(found)


def prepared(query: tree.CompiledQuery, tracks: Tracks) -> Tracks:
    return with_scene(tracks) if needs_scene(query) else tracks


def check_variants(
    rng: random.Random, query: Any, tracks: Tracks, tables: dict[str, pd.DataFrame], lazy: Pixels, found: Any
) -> None:
    """Asking for everything, other orders and kept columns change nothing; no answer has the same columns."""
    assert {name: list(table.columns) for name, table in empty_tables(query).items()} == {
        name: list(table.columns) for name, table in tables.items()
    }

    everything = Pixels(tracks)
    full = answer_tables(query, evaluate(query, tracks, everything, naive=True, video="v.mp4"), tracks, "v.mp4")
    assert set(lazy.seen) <= set(everything.seen)
    again = PropertyColumns(len(tracks))
    for type_name, name, rows, values in found.columns.items():
        again.put(type_name, name, rows, values)
    shuffled = list(query.where.operands) if isinstance(query.where, tree.And) else [query.where]
    rng.shuffle(shuffled)
    fresh = Pixels(tracks)
    kept = evaluate(query, tracks, fresh, conjuncts=shuffled, columns=again, video="v.mp4")
    other = answer_tables(query, kept, tracks, "v.mp4")
    assert not set(fresh.seen) & set(lazy.seen)
    for name in ("events", "objects", "frames", "groups"):
        for variant in (full, other):
            assert tables[name].equals(variant[name]), name
            assert tables[name].attrs == variant[name].attrs


@pytest.mark.slow
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32), st.integers(0, 5), st.integers(1, 50))
def test_tables_equal_the_reference(seed: int, ids: int, frames: int) -> None:
    check(seed, ids, frames)


@pytest.mark.slow
@pytest.mark.parametrize("block", range(4))
def test_queries_of_one_variable_equal_the_reference(block: int) -> None:
    rng = random.Random(FIRST + block)
    for seed in seeds(block, 250):
        check(seed, rng.randrange(6), rng.randrange(1, 51))


@pytest.mark.parametrize("block", range(4))
def test_queries_of_several_variables_equal_the_reference(block: int) -> None:
    events = 0
    for seed in seeds(block, 15):
        rng = random.Random(seed)
        events += check_several(seed, rng.randrange(1, 6), rng.randrange(1, 31))
    assert events
