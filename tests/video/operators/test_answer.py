"""The tables: columns, dtypes, orders, names, units, groups, aggregates, and answers without events."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.video.operators.scenes import ALWAYS, Crops, compare, own, prop, query, still, thing, walk
from workbench.engine.errors import WorkbenchError
from workbench.video.language import tree
from workbench.video.operators.answer import answer_tables, empty_tables, has_groups
from workbench.video.operators.evaluate import evaluate
from workbench.video.tracks import Tracks

LINE = [(100 + 10 * i, 200) for i in range(12)]
YARD = tree.RegionShape("yard", ((0, 0), (150, 0), (150, 480), (0, 480)))
REST = tree.RegionShape("rest", ((150, 0), (640, 0), (640, 480), (150, 480)))
DOOR = tree.LineShape("door", ((150, 0), (150, 480)), ("right", "left"))


def count(argument: Any = None, name: Any = "count") -> tree.Aggregate:
    return tree.Aggregate(name=name, argument=argument)


def answer(asked: tree.CompiledQuery, tracks: Tracks, pixels: Any = None, **options: Any) -> dict[str, pd.DataFrame]:
    return answer_tables(asked, evaluate(asked, tracks, pixels, video="cam.mp4"), tracks, "cam.mp4", **options)


def dtypes(table: pd.DataFrame) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in table.dtypes.items()}


EVENTS = {
    "event": "int64", "video": "str", "x_id": "int64", "start": "float64", "end": "float64", "duration": "float64",
    "frame_start": "int64", "frame_end": "int64",
}  # fmt: skip
OBJECTS = {
    "video": "str", "id": "int64", "type": "str", "label": "str", "first": "float64", "last": "float64",
    "duration": "float64", "frames": "int64", "score": "float64", "events": "int64", "best_frame": "int64",
    "x1": "float64", "y1": "float64", "x2": "float64", "y2": "float64",
}  # fmt: skip
FRAMES = {
    "event": "int64", "video": "str", "frame": "int64", "time": "float64", "variable": "str", "id": "int64",
    "label": "str", "score": "float64", "x1": "float64", "y1": "float64", "x2": "float64", "y2": "float64",
    "interpolated": "bool", "matched": "bool",
}  # fmt: skip
ERRORS = {"property": "str", "video": "str", "id": "int64", "frame": "int64", "error": "str", "traceback": "str"}


@pytest.mark.parametrize("where", [ALWAYS, compare("x1", ">", 10**6)])
def test_columns_and_dtypes_with_and_without_events(where: tree.Node) -> None:
    asked = query(where)
    for tables in (answer(asked, walk({1: LINE})), empty_tables(asked)):
        assert dtypes(tables["events"]) == EVENTS
        assert dtypes(tables["objects"]) == OBJECTS
        assert dtypes(tables["frames"]) == FRAMES
        assert dtypes(tables["errors"]) == ERRORS
        assert tables["groups"].shape == (0, 0)
    assert not any(len(table) for table in empty_tables(asked).values())


def test_an_event_spans_from_its_first_to_its_last_true_frame() -> None:
    tables = answer(query(compare("x1", ">=", 150)), walk({7: LINE}))
    row = tables["events"].iloc[0].to_dict()
    assert row == {
        "event": 0, "video": "cam.mp4", "x_id": 7, "start": pytest.approx(0.6), "end": pytest.approx(1.2),
        "duration": pytest.approx(0.6), "frame_start": 6, "frame_end": 11,
    }  # fmt: skip
    thing_row = tables["objects"].iloc[0].to_dict()
    assert thing_row == {
        "video": "cam.mp4", "id": 7, "type": "Object", "label": "person", "first": 0.0, "last": pytest.approx(1.1),
        "duration": pytest.approx(1.1), "frames": 12, "score": pytest.approx(0.9), "events": 1, "best_frame": 0,
        "x1": 90.0, "y1": 150.0, "x2": 110.0, "y2": 200.0,
    }  # fmt: skip
    assert tables["frames"]["frame"].tolist() == list(range(6, 12))
    assert tables["frames"]["matched"].all()


def test_frames_between_runs_belong_to_the_event_unmatched() -> None:
    here = [(100, 200)] * 3 + [(300, 200)] * 5 + [None] * 1 + [(100, 200)] * 2
    tables = answer(query(compare("x1", "==", 90)), walk({1: here}, filled={1: [4]}))
    assert tables["events"]["frame_end"].tolist() == [2, 10]  # 0.6 s apart
    shorter = [*here[:3], *here[4:]]
    tables = answer(query(compare("x1", "==", 90)), walk({1: shorter}, filled={1: [4]}))
    frames = tables["frames"]
    assert frames["frame"].tolist() == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert frames["matched"].tolist() == [True] * 3 + [False] * 4 + [True] * 2
    assert frames["interpolated"].tolist() == [frame == 4 for frame in frames["frame"]]
    assert frames["score"].isna().tolist() == [frame == 4 for frame in frames["frame"]]


def test_orders() -> None:
    tracks = walk({1: [None, *LINE], 2: LINE, 3: [*LINE, None], 9: [None, None, *LINE[:5]]})
    tables = answer(query(ALWAYS), tracks)
    assert tables["events"]["x_id"].tolist() == [2, 3, 1, 9]
    assert tables["events"]["event"].tolist() == [0, 1, 2, 3]
    assert tables["objects"]["id"].tolist() == [2, 3, 1, 9]
    frames = tables["frames"]
    assert frames.sort_values(["event", "frame"]).index.tolist() == list(range(len(frames)))
    shorter = [*LINE[:5], *[None] * 7]
    assert answer(query(ALWAYS), walk({1: LINE, 2: shorter}))["events"]["x_id"].tolist() == [2, 1]


def test_limit_keeps_the_first_events_and_what_belongs_to_them() -> None:
    tracks = walk({1: [None, *LINE], 2: LINE, 3: LINE})
    whole, first = answer(query(ALWAYS), tracks), answer(query(ALWAYS), tracks, limit=2)
    assert first["events"].equals(whole["events"].head(2))
    assert first["objects"]["id"].tolist() == [2, 3]
    assert set(first["frames"]["event"]) == {0, 1}
    found = evaluate(query(ALWAYS), tracks, limit=2)
    assert found.ids.ravel().tolist() == [2, 3]


def test_names_and_values_of_select() -> None:
    asked = query(
        compare("x1", ">=", 150), prop("id"), prop("box"), prop("center"), prop("foot"), prop("start", ""),
        prop("duration", ""), prop("speed"), prop("label"), prop("still"), prop("age"), count(), count(prop("id")),
        count(prop("speed"), "max"), count(prop("duration", ""), "mean"),
    )  # fmt: skip
    events = answer(asked, walk({4: LINE}))["events"]
    assert list(events.columns) == [
        *EVENTS, "x_x1", "x_y1", "x_x2", "x_y2", "x_center_x", "x_center_y", "x_foot_x", "x_foot_y", "x_speed",
        "x_label", "x_still", "x_age", "count", "count_x_id", "max_x_speed", "mean_duration",
    ]  # fmt: skip
    row = events.iloc[0]
    assert (row.x_x1, row.x_foot_x, row.x_speed, row.x_label) == (150.0, 160.0, pytest.approx(100), "person")
    assert (row["count"], row.count_x_id, row.max_x_speed) == (1, 1, pytest.approx(100))
    # speed is known from 0.5 s on, stillness from 1 s on: the first matched frame at which it is known
    assert not row.x_still
    assert events.attrs["units"] == {
        "start": "s", "end": "s", "duration": "s", "x_x1": "px", "x_y1": "px", "x_x2": "px", "x_y2": "px",
        "x_center_x": "px", "x_center_y": "px", "x_foot_x": "px", "x_foot_y": "px", "x_speed": "px/s", "x_age": "s",
        "max_x_speed": "px/s", "mean_duration": "s",
    }  # fmt: skip
    scale = tree.ScaleSpec("uniform", 1.0, ((0, 0), (100, 0)))
    metric = answer(query(ALWAYS, prop("speed"), scale=scale), walk({1: LINE}))["events"]
    assert metric["x_speed"].tolist() == [pytest.approx(1.0)]
    assert metric.attrs["units"]["x_speed"] == "m/s"


def test_dtypes_of_built_in_columns_do_not_depend_on_what_is_known() -> None:
    names = ("id", "frame", "label", "color", "crossed_to", "speed", "score", "still")
    kinds = ("int64", "int64", "str", "str", "str", "float64", "float64", "bool")
    asked = query(ALWAYS, *map(prop, names))
    crops = Crops(walk({1: LINE}), lambda name, image: "red")
    for table in (answer(asked, crops.tracks, crops)["events"], empty_tables(asked)["events"]):
        got = dtypes(table)
        assert [got[f"x_{name}"] for name in names] == list(kinds)
    unknown = answer(asked, walk({1: LINE[:2]}), Crops(walk({1: LINE[:2]}), lambda name, image: None))["events"]
    assert [dtypes(unknown)[f"x_{name}"] for name in names] == [*kinds[:-1], "boolean"]
    assert unknown["x_still"].isna().all()


def test_properties_of_ones_own_take_the_dtype_of_their_values() -> None:
    kind = thing(
        own(lambda self, x1: 3, "x1", name="whole"), own(lambda self, x1: "a", "x1", name="text"),
        own(lambda self, x1: [1, 2], "x1", name="list"),
        own(lambda self, id: None if id == 1 else 5, "id", name="some"),
    )  # fmt: skip
    asked = query(ALWAYS, *map(prop, ("whole", "text", "list", "some")), kind=kind)
    events = answer(asked, walk({1: LINE, 2: LINE}))["events"]
    assert [dtypes(events)[f"x_{name}"] for name in ("whole", "text", "list", "some")] == [
        "int64",
        "str",
        "object",
        "float64",
    ]
    assert events["x_list"][0] == [1, 2]
    assert events["x_some"].tolist()[1] == 5
    assert "x_whole" not in events.attrs["units"]


def test_once_properties_stand_beside_the_objects() -> None:
    tracks = walk({1: LINE, 2: LINE}, labels={1: "car", 2: "car"})
    crops = Crops(tracks, lambda name, image: "red" if image[0] == 1 else "blue")
    kind = thing(own(lambda self, x1: float(x1.max()), "x1", once=True, name="reach"), labels=("car",))
    where = tree.Or(operands=(ALWAYS, compare("color", "==", "red")))
    objects = answer(query(where, prop("reach"), kind=kind), tracks, crops)["objects"]
    assert list(objects.columns) == [*OBJECTS, "color", "reach"]
    assert objects["color"].tolist() == ["red", "blue"]
    assert objects["reach"].tolist() == [200.0, 200.0]


# ------------------------------------------------------------------------------------------------------------- groups


def bursts() -> Tracks:
    """One place for two seconds at 0, 3 and 65 s, by two objects."""
    times = [*np.arange(20) / 10, *(3 + np.arange(20) / 10), *(65 + np.arange(20) / 10), 130.0]
    here: list[Any] = [(100, 200)] * 60
    return walk({1: [*here, None], 2: [*[None] * 40, *here[:20], None]}, times=times)


def test_groups_by_time_show_empty_buckets() -> None:
    asked = query(ALWAYS, count(), count(prop("id")), count(prop("x1"), "mean"), group=(tree.Every(seconds=60.0),))
    groups = answer(asked, bursts())["groups"]
    assert list(groups.columns) == ["video", "start", "end", "count", "count_x_id", "mean_x_x1"]
    assert groups[["start", "end", "count", "count_x_id"]].values.tolist() == [
        [0, 60, 2, 1],
        [60, 120, 2, 2],
        [120, 180, 0, 0],
    ]
    assert groups["mean_x_x1"].tolist()[:2] == [90.0, 90.0]
    assert np.isnan(groups["mean_x_x1"][2])
    assert groups.attrs["units"] == {"start": "s", "end": "s", "mean_x_x1": "px"}
    assert dtypes(groups)["count"] == "int64"
    nothing = answer(query(compare("x1", "<", 0), count(), group=(tree.Every(seconds=60.0),)), bursts())["groups"]
    assert nothing["count"].tolist() == [0, 0, 0]


def test_groups_by_property_and_region_have_no_empty_ones() -> None:
    asked = query(
        tree.Crosses(var="x", shape=DOOR), count(), group=(tree.Every(seconds=1.0), prop("crossed_to"))
    )  # fmt: skip
    back = [*LINE, *LINE[::-1]]
    groups = answer(asked, walk({1: back, 2: LINE}))["groups"]
    assert groups[["start", "x_crossed_to", "count"]].values.tolist() == [[0.0, "right", 2], [1.0, "left", 1]]
    asked = query(
        ALWAYS, count(), count(prop("duration", ""), "sum"), group=(tree.RegionOf(var="x", regions=(REST, YARD)),)
    )
    groups = answer(asked, walk({1: LINE, 2: still(5, x=600), 3: still(5, y=500)}))["groups"]
    assert groups["region"].tolist()[:2] == ["rest", "yard"]
    assert pd.isna(groups["region"][2])
    assert groups["count"].tolist() == [1, 1, 1]
    assert groups["sum_duration"].tolist() == pytest.approx([0.5, 1.2, 0.5])


def test_aggregates_alone_make_one_group_and_beside_items_none() -> None:
    groups = answer(
        query(ALWAYS, count(), count(prop("label")), count(prop("speed"), "max")), walk({1: LINE, 2: LINE})
    )["groups"]
    assert groups.drop(columns="max_x_speed").values.tolist() == [["cam.mp4", 2, 1]]
    assert groups["max_x_speed"].tolist() == [pytest.approx(100)]
    none = answer(
        query(compare("x1", "<", 0), count(), count(prop("x1"), "mean"), count(prop("x1"), "sum")), walk({1: LINE})
    )
    assert none["groups"]["count"].tolist() == [0]
    assert none["groups"]["sum_x_x1"].tolist() == [0.0]
    assert none["groups"]["mean_x_x1"].isna().all()
    mixed = query(ALWAYS, prop("id"), count())
    assert not has_groups(mixed)
    assert answer(mixed, walk({1: LINE}))["groups"].shape == (0, 0)


def test_aggregates_use_matched_frames() -> None:
    asked = query(
        compare("x1", ">=", 150), *(count(prop("x1"), name) for name in ("min", "max", "mean", "sum", "first", "last"))
    )
    row = answer(asked, walk({1: LINE}))["events"].iloc[0]
    assert [row[f"{name}_x_x1"] for name in ("min", "max", "mean", "sum", "first", "last")] == [
        150,
        200,
        175,
        1050,
        150,
        200,
    ]


# --------------------------------------------------------------------------------------------------- without events


@pytest.mark.parametrize(
    ("where", "closest", "funnel"),
    [
        (
            tree.Lasts(operand=tree.InRegion(name="inside", var="x", region=YARD), duration=30.0),
            "No events. Closest: person 3 stayed 1.2 s (limit 30 s).",
            "3 people seen; 2 entered yard.",
        ),
        (
            tree.Lasts(operand=compare("x1", ">", 150), duration=2.0),
            "No events. Closest: person 2 kept x.x1 > 150 for 1.2 s (limit 2 s).",
            "3 people seen; 2 with x.x1 > 150.",
        ),
        (
            tree.Crosses(var="x", shape=tree.LineShape("far", ((600, 0), (600, 9)))),
            "No events.",
            "3 people seen; 0 crossed far.",
        ),
        (
            tree.And(operands=(tree.InRegion(name="inside", var="x", region=REST), compare("speed", ">", 150.0))),
            "No events. Closest: person 1 had speed 100 (limit 150).",
            "3 people seen; 2 entered rest; 0 with x.speed > 150.",
        ),
        (
            tree.And(operands=(compare("label", "==", "person"), compare("age", "<", -1.0))),
            "No events. Closest: person 1 had age 0 s (limit -1 s).",
            '3 people seen; 3 with x.label == "person"; 0 with x.age < "-1s".',
        ),
    ],
)
def test_the_nearest_miss(where: tree.Node, closest: str, funnel: str) -> None:
    tracks = walk({1: LINE, 2: still(12, x=300), 3: still(12)})
    assert evaluate(query(where, kind=thing(name="Person")), tracks).nearest == (closest, funnel)


def test_the_nearest_miss_calls_nothing_and_is_empty_with_events() -> None:
    calls: list[Any] = []
    kind = thing(own(lambda self, x1: calls.append(x1), "x1"), name="Bus", labels=("bus",))
    asked = query(tree.And(operands=(compare("x1", "<", 0), compare("value", ">", 1))), kind=kind)
    tracks = walk({1: LINE}, labels={1: "bus"})
    assert evaluate(asked, tracks).nearest[1] == "1 bus seen; 0 with x.x1 < 0."
    assert not calls
    assert evaluate(query(ALWAYS), tracks).nearest == ("", "")
    assert evaluate(query(ALWAYS, kind=kind), walk({})).nearest == ("No events.", "0 buses seen.")


def test_open_events_are_marked_while_more_may_follow() -> None:
    early = [*LINE[:5], *[None] * 7]
    found = evaluate(query(ALWAYS), walk({1: early, 2: LINE}), ongoing=True)
    assert found.ids.ravel().tolist() == [1, 2]
    assert found.ongoing.tolist() == [False, True]
    assert not evaluate(query(ALWAYS), walk({1: LINE})).ongoing.any()


def test_queries_that_cannot_be_evaluated() -> None:
    with pytest.raises(WorkbenchError, match="no property 'colour'"):
        evaluate(query(compare("colour", "==", 1)), walk({1: LINE}))
