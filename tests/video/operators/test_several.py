"""Queries about several objects and time as people write them, and what they must find."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.video.operators.scenes import Crops, still, walk
from workbench.video import samples
from workbench.video.language.compile import compile_query
from workbench.video.language.tree import Variable
from workbench.video.models.given import GivenBoxes
from workbench.video.operators.answer import answer_tables
from workbench.video.operators.bind import Near, bind
from workbench.video.operators.evaluate import evaluate, needs_scene
from workbench.video.tracks import Frames, Tracks, with_scene

LEFT_BAG = """
class LeftBag(Query):
    bag: Bag
    owner: Person
    where = sequence(
        lasts(owner.near(bag, "60px"), "1s"),
        lasts(bag.still and not any(p.near(bag, "150px") for p in Person), "5s"), within="60s")
"""


def run(text: str, tracks: Tracks, pixels: Any = None) -> dict[str, pd.DataFrame]:
    asked = compile_query(text).__compiled__
    tracks = with_scene(tracks) if needs_scene(asked) else tracks
    return answer_tables(asked, evaluate(asked, tracks, pixels, video="v.mp4"), tracks, "v.mp4")


def ask(variables: str, where: str, tracks: Tracks, before: str = "") -> list[list[float]]:
    """The ids, start and end of each event."""
    lines = "".join(f"    {line.strip()}\n" for line in variables.split(",") if line)
    events = run(f"{before}\nclass Q(Query):\n{lines}    where = {where}\n", tracks)["events"]
    return events[[*(name for name in events if name.endswith("_id")), "start", "end"]].round(6).values.tolist()


# --------------------------------------------------------------------------------------------------- the sample's truth


def street(seed: int) -> tuple[samples.Sample, Tracks]:
    sample = samples.street(seed)
    frames = Frames(np.arange(1500), np.arange(1500) / 25)
    return sample, GivenBoxes(sample.truth).tracks(frames, 768, 432)


@pytest.mark.parametrize("seed", range(5))
def test_the_bag_left_behind(seed: int) -> None:
    sample, tracks = street(seed)
    tables = run(LEFT_BAG, tracks)
    left = sample.events[sample.events["kind"] == "bag_left"]
    found = tables["events"]
    assert found[["bag_id", "start", "end"]].values.tolist() == left[["id", "start", "end"]].values.tolist()
    # the owner is in the event, and gone before it ends
    frames = tables["frames"]
    assert frames["variable"].value_counts()["bag"] > frames["variable"].value_counts()["owner"] > 0
    assert tables["objects"]["type"].tolist() == ["Person", "Bag"]


@pytest.mark.parametrize("seed", range(5))
def test_crossings_and_red_cars_inside_other_queries(seed: int) -> None:
    sample, tracks = street(seed)
    door = sample.lines["door"]
    text = f"""
door = Line({door.points[0]}, {door.points[1]}, sides={door.sides})
class Crossing(Query):
    person: Person
    where = person.crosses(door)
class Again(Query):
    p: Person
    where = Crossing(person=p)
"""
    crossed = sample.events[sample.events["kind"] == "crossing"]
    events = run(text, tracks)["events"]
    assert events[["p_id", "start"]].values.tolist() == crossed[["id", "start"]].values.tolist()


# -------------------------------------------------------------------------------------------------------------- pairs

#: 1 and 2 stand together from 2 s to 4 s, then 2 goes; 3 is far away all the time
APART, TOGETHER = (100.0, 200.0), (400.0, 200.0)
MEETING = walk(
    {1: [TOGETHER] * 60, 2: [APART] * 20 + [(430.0, 200.0)] * 20 + [APART] * 20, 3: still(60, 600, 400)}
)  # fmt: skip


def test_a_meeting_is_found_once() -> None:
    assert ask("a: Person, b: Person", 'lasts(a.near(b, "50px"), "1s")', MEETING) == [[1, 2, 2.0, 4.0]]
    assert ask("a: Person, b: Person", 'a.near(b, "50px") and a.x1 > b.x1', MEETING) == [[2, 1, 2.0, 4.0]]
    assert ask("a: Person, b: Person", 'a.near(b, "50px") and a.x1 < b.x1', MEETING) == [[1, 2, 2.0, 4.0]]
    assert len(ask("a: Person, b: Person", "a.left_of(b)", MEETING)) == 5
    assert (
        len(ask("a: Person, b: Person, c: Person", 'a.distance(b) < "900px" and b.distance(c) < "900px"', MEETING)) == 3
    )


def test_symmetric_triples_come_once() -> None:
    where = 'a.near(b, "900px") and b.near(c, "900px") and a.near(c, "900px")'
    assert [row[:3] for row in ask("a: Person, b: Person, c: Person", where, MEETING)] == [[1, 2, 3]]


def test_a_variable_that_nothing_names_is_there_nevertheless() -> None:
    tracks = walk({1: still(30), 2: [None] * 10 + still(10, 500) + [None] * 10})
    assert ask("a: Person, b: Person", "a.x1 < '200px'", tracks.take(np.array([1]))) == []
    assert ask("a: Person, b: Person", 'a.x1 < "200px"', tracks) == [[1, 2, 1.0, 2.0]]
    assert ask("a: Person, b: Person", 'lasts(a.x1 < "200px", "0.5s")', tracks) == [[1, 2, 1.0, 2.0]]


def test_select_and_group_of_several_variables() -> None:
    text = """
left = Region((0, 0), (350, 0), (350, 480), (0, 480))
class Q(Query):
    a: Person
    b: Person
    where = sequence(a.near(b, "50px"), lasts(b.inside(left), "1s"))
    group = b.label, a.region_of(left), b.region_of(left)
    select = count(), max(a.x1), min(b.x1), first(b.x1)
"""
    tables = run(text, MEETING)
    events = tables["events"]
    assert events[["start", "end", "max_a_x1", "min_b_x1", "first_b_x1"]].values.tolist() == [
        [2.0, 6.0, 390.0, 90.0, 420.0]
    ]
    groups = tables["groups"]
    assert list(groups.columns[:4]) == ["video", "b_label", "region", "region_2"]
    assert groups["region_2"].tolist() == ["left"]
    assert groups["region"].isna().all()
    assert tables["frames"]["matched"].all()


# ------------------------------------------------------------------------------------------------------------- in time


def place(x: float) -> str:
    return f'"{x - 15}px" < a.x1 < "{x - 5}px"'


#: one object at 100 until 1 s, at 200 until 2 s, at 300 until 3 s, at 100 until 4 s, at 300 until 5 s
STEPS = walk({1: [(x, 200.0) for x in (100, 200, 300, 100, 300) for _ in range(10)]})


@pytest.mark.parametrize(
    ("where", "events"),
    [
        (f"sequence({place(100)}, {place(300)})", [[1, 0.0, 3.0], [1, 3.0, 5.0]]),
        (f"sequence({place(100)}, {place(200)}, {place(300)})", [[1, 0.0, 3.0], [1, 0.0, 5.0]]),
        (f'sequence({place(100)}, {place(200)}, {place(300)}, within="2s")', [[1, 0.0, 3.0]]),
        (f"sequence({place(300)}, {place(200)})", []),
        (f"before({place(100)}, {place(300)})", [[1, 0.0, 1.0], [1, 3.0, 4.0]]),
        (f'before({place(100)}, {place(300)}, within="0.5s")', [[1, 3.0, 4.0]]),
        (f'during(lasts({place(200)}, "1s"), lasts(not {place(300)}, "2s"))', [[1, 1.0, 2.0]]),
        (f'during(lasts({place(200)}, "1s"), lasts({place(300)}, "1s"))', []),
        (f'never({place(100)}, after={place(300)}, within="0.9s")', []),
        (f'never({place(300)}, after={place(100)}, within="1s")', [[1, 0.0, 2.0]]),
        (f'never({place(300)}, after={place(100)}, within="1.1s")', []),
        (f'never({place(200)}, after={place(300)}, within="1s")', [[1, 2.0, 4.0]]),
        (f'lasts(sequence({place(100)}, {place(300)}), "5s")', [[1, 0.0, 5.0]]),
        (f'lasts({place(100)}, "1s") and lasts({place(300)}, "1s")', []),
        (f'lasts({place(100)}, "1s") or lasts({place(200)}, "1s")', [[1, 0.0, 2.0], [1, 3.0, 4.0]]),
    ],
)
def test_one_after_another(where: str, events: list[list[float]]) -> None:
    assert ask("a: Person", where, STEPS) == events


def test_steps_about_different_objects() -> None:
    first = [(100.0, 200.0)] * 10 + [(300.0, 200.0)] * 20
    tracks = walk({1: first, 2: [None] * 15 + [(100.0, 200.0)] * 15, 3: [None] * 5 + [(100.0, 200.0)] * 25})
    where = f"sequence({place(100)}, {place(100).replace('a.', 'b.')})"
    # 3 is there before 1 has gone; steps are of different objects
    assert ask("a: Person, b: Person", where, tracks) == [[1, 2, 0.0, 3.0]]


# ----------------------------------------------------------------------------------------------------------- over types


def test_quantifiers() -> None:
    tracks = walk(
        {1: still(30), 2: [None] * 10 + still(10, 120) + [None] * 10, 3: still(30, 500)},
        labels={1: "person", 2: "person", 3: "suitcase"},
    )
    assert ask("a: Person", 'any(p.near(a, "50px") for p in Person)', tracks) == [[1, 1.0, 2.0], [2, 1.0, 2.0]]
    assert ask("a: Person", "all(p.x1 < a.x1 for p in Person)", tracks) == [
        [1, 0.0, 1.0], [2, 1.0, 2.0], [1, 2.0, 3.0]
    ]  # fmt: skip
    assert ask("", "sum(1 for p in Person) >= 2", tracks) == [[1.0, 2.0]]
    assert ask("", 'lasts(sum(p.x1 for p in Object if p.x1 > "200px") == "490px", "2s")', tracks) == [[0.0, 3.0]]
    assert ask("", "any(all(p.x1 < b.x1 for p in Person) for b in Bag)", tracks) == [[0.0, 3.0]]
    assert ask("", "any(c.still for c in Car)", tracks) == []
    assert ask("", "all(c.still for c in Car)", tracks) == [[0.0, 3.0]]
    # an object that the condition names is no other one, whatever it is called inside
    assert ask("p: Person", 'sum(1 for p in Person if p.x1 < "200px") == 2', tracks) == [[1, 1.0, 2.0], [2, 1.0, 2.0]]


def test_missing_values_under_quantifiers() -> None:
    tracks = walk({1: still(12), 2: still(12, 300)})
    assert ask("", 'any(p.speed < "5px/s" for p in Person)', tracks) == [[0.5, 1.2]]
    assert ask("", 'not all(p.speed < "5px/s" for p in Person)', tracks) == []
    assert ask("", 'not any(p.speed > "5px/s" for p in Person)', tracks) == [[0.5, 1.2]]
    assert ask("", 'all(p.x1 > 0 or p.speed > "5px/s" for p in Person)', tracks) == [[0.0, 1.2]]
    assert ask("", 'sum(p.speed for p in Person) == "0px/s"', tracks) == [[0.0, 1.2]]


def test_a_query_inside_a_query() -> None:
    near = 'class Near(Query):\n    x: Person\n    y: Person\n    where = x.near(y, "50px")\n'
    # either of the two, though a pair of theirs comes once
    assert ask("a: Person", "Near(x=a)", MEETING, near) == [[1, 2.0, 4.0], [2, 2.0, 4.0]]
    assert ask("a: Person, b: Person", "Near(x=a, y=b)", MEETING, near) == [[1, 2, 2.0, 4.0]]
    assert ask("a: Person, b: Person", 'Near(x=a, y=b) and lasts(b.x1 > "400px", "1s")', MEETING, near) == [
        [1, 2, 2.0, 4.0]
    ]
    assert ask("", "Near()", MEETING, near) == [[2.0, 4.0]]
    # names of one's own never meet those of the other query
    assert ask("y: Person", 'sequence(Near(x=y), lasts(y.x1 > "300px", "1s"))', MEETING, near) == []
    assert ask("y: Person", 'sequence(Near(x=y), lasts(y.x1 < "300px", "1s"))', MEETING, near) == [[2, 2.0, 6.0]]


def test_a_nested_query_follows_what_is_given() -> None:
    inner = 'class A(Query):\n    x: Person\n    y: Bag\n    where = lasts(x.near(y, "50px"), "1s")\n'
    tracks = walk(
        {1: still(20), 2: still(20, 110), 3: still(20, 900)}, labels={1: "person", 2: "suitcase", 3: "person"}
    )
    assert ask("p: Person", "A(x=p)", tracks, inner) == [[1, 0.0, 2.0]]
    assert ask("b: Bag", "A(y=b)", tracks, inner) == [[2, 0.0, 2.0]]


# ----------------------------------------------------------------------------------------------- relations of one's own

OWN = """
class Walker(Person):
    @prop
    def level(self, x1): return x1 / 10
class Q(Query):
    a: Walker
    b: Walker
    @prop
    def gap(self, a, b):
        return abs(a.level - b.level)
    where = {}
"""


def test_a_relation_of_ones_own() -> None:
    events = run(OWN.format("gap < 5 and a.x1 < b.x1"), MEETING)["events"]
    assert events[["a_id", "b_id", "start", "end"]].values.tolist() == [[1, 2, 2.0, 4.0]]
    tables = run(OWN.format("gap > 0").replace("abs(a.level - b.level)", "1 / (a.id - 2)"), MEETING)
    assert set(tables["events"]["a_id"]) == {3}
    assert tables["errors"]["error"].unique().tolist() == ["ZeroDivisionError: division by zero"]
    assert tables["errors"]["id"].unique().tolist() == [2]
    unknown = run(OWN.format("gap > 0").replace("a.level", "a.levl"), MEETING)
    assert unknown["errors"]["error"].iloc[0] == "AttributeError: Walker has no property 'levl'"


def test_a_relation_may_look_at_pictures() -> None:
    tracks = walk({1: still(10), 2: still(10, 300)})
    crops = Crops(tracks)
    text = OWN.format("gap == 1").replace("abs(a.level - b.level)", "int(b.image[0] - a.image[0])")
    events = run(text, tracks, crops)["events"]
    assert events[["a_id", "b_id"]].values.tolist() == [[1, 2]]
    assert len(set(crops.seen)) == 20


def test_people_who_look_alike() -> None:
    tracks = walk({1: still(10), 2: still(10, 300), 3: still(10, 500)})
    looks = {1: (1.0, 0.0), 2: (0.9, 0.1), 3: (0.0, 1.0)}
    crops = Crops(tracks, lambda name, crop: np.array(looks[int(crop[0])], np.float32))
    events = run("class Q(Query):\n    a: Person\n    b: Person\n    where = a.same_as(b, min=0.8)\n", tracks, crops)
    assert events["events"][["a_id", "b_id"]].values.tolist() == [[1, 2]]
    assert {name for name, *_ in crops.seen} == {"embedding"}


# ----------------------------------------------------------------------------------------------------- the whole frame


def test_the_scene_is_the_whole_frame_with_id_0() -> None:
    tracks = walk({1: still(20), 2: [None] * 10 + still(10, 300)})
    tables = run("class Q(Query):\n    s: Scene\n    p: Person\n    where = lasts(p.inside(s), '1s')\n", tracks)
    assert tables["events"][["s_id", "p_id", "start", "end"]].values.tolist() == [[0, 1, 0.0, 2.0], [0, 2, 1.0, 2.0]]
    scene = tables["objects"].iloc[0]
    assert scene[["id", "type", "label", "x1", "y1", "x2", "y2"]].tolist() == [0, "Scene", "scene", 0, 0, 640, 480]
    # it is no object among others
    only = run("class Q(Query):\n    s: Scene\n    where = sum(1 for o in Object) == 1\n", tracks)["events"]
    assert only[["s_id", "start", "end"]].values.tolist() == [[0, 0.0, 1.0]]


# ---------------------------------------------------------------------------------------------------------------- speed


def crowd(people: int, length: int, at_once: int) -> Tracks:
    rng = np.random.default_rng(0)
    frames = people * length // at_once
    position = (rng.integers(0, frames - length, people)[:, None] + np.arange(length)).ravel()
    x = rng.uniform(50, 1870, people)[:, None] + np.cumsum(rng.normal(0, 3, (people, length)), axis=1)
    y = rng.uniform(150, 1060, people)[:, None] + np.cumsum(rng.normal(0, 3, (people, length)), axis=1)
    box = np.column_stack((x.ravel() - 20, y.ravel() - 100, x.ravel() + 20, y.ravel()))
    times, rows = np.arange(frames) / 25, people * length
    return Tracks(
        Frames(np.arange(frames), times), 1920, 1080, ("person",), np.repeat(np.arange(1, people + 1), length),
        position, times[position], np.zeros(rows, np.int64), np.full(rows, 0.9), box, np.zeros(rows, bool),
    )  # fmt: skip


@pytest.mark.parametrize("where", ['a.near(b, "60px")', "a.overlaps(b)", 'a.distance(b) < "60px"'])
def test_objects_that_must_be_near_are_not_paired_with_all_others(where: str) -> None:
    tracks = crowd(300, 50, 100)
    asked = compile_query(f"class Q(Query):\n    a: Person\n    b: Person\n    where = lasts({where}, '0.5s')\n")
    found, naive = (evaluate(asked.__compiled__, tracks, naive=naive) for naive in (False, True))
    assert len(found)
    assert found.ids.tolist() == naive.ids.tolist()
    assert found.start.tolist() == naive.start.tolist()


def test_the_grid_pairs_exactly_what_is_near() -> None:
    tracks = crowd(300, 50, 100)
    person = compile_query("class Q(Query):\n    a: Person\n    where = a.still\n").__compiled__.variables[0].type
    variables = (Variable("a", person), Variable("b", person))
    everything = bind(tracks, variables, {("a", "b")})
    near = bind(tracks, variables, {("a", "b")}, near=[Near(frozenset({"a", "b"}), 60.0)])
    feet = tracks.foot[everything.rows]
    close = np.hypot(*(feet[:, 0] - feet[:, 1]).T) <= 60.0
    assert near.rows.tolist() == everything.rows[close].tolist()
    assert 0 < len(near) < len(everything) / 50
