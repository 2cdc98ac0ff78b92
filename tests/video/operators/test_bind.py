"""Bindings of several variables: who stands for which, at which frames, and pairs once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.video.operators.scenes import compare, prop, query, still, thing, walk
from workbench.engine.units import Dimension
from workbench.video.language import tree
from workbench.video.operators.answer import answer_tables
from workbench.video.operators.bind import bind
from workbench.video.operators.evaluate import evaluate
from workbench.video.operators.symmetry import symmetric_pairs

PERSON, BAG = thing(name="Person", labels=("person",)), thing(name="Bag", labels=("bag",))


def near(limit: float = 50.0, var: str = "x", other: str = "y") -> tree.Relation:
    return tree.Relation(name="near", var=var, other=other, limit=limit, dimension=Dimension(px=1))


def symmetric(asked: tree.CompiledQuery) -> set[tuple[str, str]]:
    return symmetric_pairs(asked.where, asked.variables)


def test_every_row_of_the_space_is_a_common_frame() -> None:
    rng = np.random.default_rng(0)
    feet = {n: [(100.0, 200.0) if rng.random() < 0.6 else None for _ in range(15)] for n in range(1, 7)}
    labels = {n: "person" if n % 2 else "bag" for n in feet}
    tracks = walk(feet, labels=labels)
    space = bind(tracks, (tree.Variable("x", PERSON), tree.Variable("y", BAG)))
    expected = [
        (a, b, frame)
        for a, b in itertools.product(feet, feet)
        for frame in range(15)
        if labels[a] == "person" and labels[b] == "bag" and feet[a][frame] and feet[b][frame]
    ]
    got = [(*map(int, tracks.id[rows]), int(tracks.frame[rows[0]])) for rows in space.rows]
    assert got == expected
    assert [tuple(space.ids[binding]) for binding in space.binding] == [(a, b) for a, b, _ in expected]


def test_symmetric_pairs_come_once() -> None:
    others = (tree.Variable("y", PERSON),)
    pair = query(near(), kind=PERSON, others=others)
    assert symmetric(pair) == {("x", "y")}
    tracks = walk({1: still(9), 2: still(9), 3: still(9)})
    assert evaluate(pair, tracks).ids.tolist() == [[1, 2], [1, 3], [2, 3]]
    both = tree.And(operands=(near(), tree.Compare(op=">", left=prop("score"), right=prop("score", "y"))))
    assert symmetric(query(both, kind=PERSON, others=others)) == set()
    swapped = tree.And(
        operands=(compare("x1", ">", 5), tree.Compare(op=">", left=prop("x1", "y"), right=tree.Constant(value=5)))
    )
    assert symmetric(query(swapped, kind=PERSON, others=others)) == {("x", "y")}
    equal = tree.Compare(op="==", left=prop("x1"), right=prop("x1", "y"))
    assert symmetric(query(equal, kind=PERSON, others=others)) == {("x", "y")}
    assert symmetric(query(near(), kind=PERSON, others=(tree.Variable("y", BAG),))) == set()


@pytest.mark.parametrize("naive", [False, True])
def test_events_of_pairs(naive: bool) -> None:
    line = [(100 + 10 * i, 200) for i in range(20)]
    tracks = walk({1: line, 2: still(20, x=150), 3: still(20, x=900)}, labels={1: "person", 2: "bag", 3: "bag"})
    where = tree.And(operands=(near(30.0), compare("x1", ">=", 130)))
    asked = query(
        where, tree.Aggregate(name="min", argument=prop("x1")), kind=PERSON, others=(tree.Variable("y", BAG),)
    )
    found = evaluate(asked, tracks, naive=naive)
    tables = answer_tables(asked, found, tracks, "v.mp4")
    events = tables["events"]
    assert events[["x_id", "y_id", "frame_start", "frame_end", "min_x_x1"]].values.tolist() == [[1, 2, 4, 8, 130.0]]
    assert tables["objects"]["type"].tolist() == ["Person", "Bag"]
    frames = tables["frames"]
    assert frames["variable"].tolist() == ["x", "y"] * 5
    assert frames["frame"].tolist() == sorted([*range(4, 9)] * 2)
    assert frames["matched"].all()


def test_relations_and_measures() -> None:
    tracks = walk({1: [(100 + 10 * i, 200) for i in range(12)], 2: still(12, x=250)}, labels={1: "person", 2: "bag"})
    others = (tree.Variable("y", BAG),)

    def frames(node: tree.Node) -> list[int]:
        asked = query(node, kind=PERSON, others=others)
        return answer_tables(asked, evaluate(asked, tracks), tracks, "v")["frames"]["frame"].unique().tolist()

    distance = tree.Measure(name="distance", var="x", other="y")
    assert frames(tree.Compare(op="<=", left=distance, right=tree.Constant(value=60.0))) == [9, 10, 11]
    closing = tree.Measure(name="closing", var="x", other="y")
    assert frames(tree.Compare(op=">", left=closing, right=tree.Constant(value=99.0))) == list(range(5, 12))
    assert frames(tree.Relation(name="left_of", var="x", other="y")) == list(range(12))
    assert frames(tree.Relation(name="right_of", var="x", other="y")) == []


def test_lasts_and_turns_of_pairs() -> None:
    feet = {
        1: [(100 + 10 * i, 200) for i in range(20)],
        2: [(105 + 10 * i, 200) if i < 15 else (600, 20) for i in range(20)],
    }
    tracks = walk(feet, labels={1: "person", 2: "bag"})
    asked = query(tree.Lasts(operand=near(), duration=1.0), kind=PERSON, others=(tree.Variable("y", BAG),))
    found = evaluate(asked, tracks)
    assert (found.frame_start.tolist(), found.frame_end.tolist()) == ([0], [14])
    turns = tree.And(
        operands=(tree.Turns(var="y", side="left", by=20.0), tree.Lasts(operand=near(5000.0), duration=1.0))
    )
    assert len(evaluate(query(turns, kind=PERSON, others=(tree.Variable("y", BAG),)), tracks)) == 1
