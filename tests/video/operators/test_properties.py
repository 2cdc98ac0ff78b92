"""Properties of one's own: windows, once, batch, recursion, missing values, failures; asked no more than needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.video.operators.scenes import ALWAYS, Crops, compare, own, prop, query, still, thing, walk
from workbench.engine.errors import WorkbenchError
from workbench.video.language import tree
from workbench.video.language.tree import UserProperty, Window
from workbench.video.operators.answer import answer_tables
from workbench.video.operators.evaluate import evaluate
from workbench.video.operators.properties import Properties, reads_pixels
from workbench.video.tracks import Tracks

LINE = [(100 + 10 * i, 200) for i in range(12)]


def values(tracks: Tracks, *properties: UserProperty, name: str = "value", pixels: Any = None) -> list[Any]:
    """All values of a property."""
    found = Properties(tracks, query(ALWAYS), pixels)
    return found.column(thing(*properties), name, np.ones(len(tracks), bool)).python()


# ----------------------------------------------------------------------------------------------------- what calls get


def test_arguments_come_by_name_as_plain_values() -> None:
    seen: list[Any] = []

    def look(self: Any, id: int, label: str, x1: float, foot: Any, box: Any) -> int:
        seen.append((id, label, x1, foot.tolist(), box.tolist()))
        return 1

    assert values(walk({4: [(100, 200)]}), own(look, "id", "label", "x1", "foot", "box")) == [1]
    assert seen == [(4, "person", 90.0, [100.0, 200.0], [90.0, 150.0, 110.0, 200.0])]
    assert [type(part) for part in seen[0][:3]] == [int, str, float]


def test_a_row_lacking_an_argument_is_missing_without_a_call() -> None:
    calls: list[float] = []
    tracks = walk({1: LINE}, filled={1: [3]})
    assert values(tracks, own(lambda self, score: calls.append(score) or 7, "score"))[2:5] == [7, None, 7]
    assert len(calls) == 11
    assert values(tracks, own(lambda self, speed: speed, "speed"))[:6] == [None] * 5 + [pytest.approx(100)]


def test_self_says_how_to_get_values() -> None:
    found = Properties(walk({1: LINE[:1]}), query(ALWAYS), None, video="v.mp4")
    kind = thing(own(lambda self: self.speed, name="fast"))
    assert found.column(kind, "fast", np.ones(1, bool)).python() == [None]
    assert found.errors()["error"].tolist() == [
        "AttributeError: self has no values; write def fast(self, speed) to get speed"
    ]


# ------------------------------------------------------------------------------------------------------------ windows


def test_windows_in_seconds_and_rows() -> None:
    tracks = walk({1: LINE}, fps=10)
    length = lambda self, x1: len(x1)  # noqa: E731
    # (t - 0.5, t] holds five rows at 10 fps; full when t - first + dt >= 0.5
    assert values(tracks, own(length, "x1", window=Window(seconds=0.5))) == [None] * 4 + [5] * 8
    assert values(tracks, own(length, "x1", window=Window(seconds=0.5), partial=True)) == [1, 2, 3, 4] + [5] * 8
    assert values(tracks, own(length, "x1", window=Window(rows=3))) == [None, None] + [3] * 10
    assert values(tracks, own(length, "x1", window=Window(rows=3), partial=True)) == [1, 2] + [3] * 10
    first = own(lambda self, x1: x1[0], "x1", window=Window(rows=3))
    assert values(tracks, first)[2:4] == [90.0, 100.0]  # oldest first


def test_windows_do_not_reach_over_gaps_or_into_other_tracks() -> None:
    gap = [*LINE[:3], None, None, None, *LINE[6:9]]
    tracks = walk({1: gap, 2: LINE[:9]})
    length = own(lambda self, x1: len(x1), "x1", window=Window(seconds=0.3), partial=True)
    assert values(tracks, length)[:6] == [1, 2, 3, 1, 2, 3]
    assert values(tracks, length)[6:] == [1, 2, 3, 3, 3, 3, 3, 3, 3]


def test_windows_hold_nan_or_none_where_missing() -> None:
    seen: list[Any] = []
    tracks = walk({1: LINE}, filled={1: [10]})

    def look(self: Any, score: Any, still: Any, label: Any, frame: Any) -> int:
        seen.append((score, still, label, frame))
        return 1

    values(tracks, own(look, "score", "still", "label", "frame", window=Window(rows=3)))
    score, is_still, label, frame = seen[-1]
    assert np.isnan(score[1])
    assert score[[0, 2]].tolist() == [0.9, 0.9]
    assert is_still.tolist() == [None, False, False]
    assert (label.tolist(), label.dtype) == (["person"] * 3, object)
    assert (frame.tolist(), frame.dtype) == ([9, 10, 11], np.int64)
    # what a function does to its arrays stays with it
    spoil = own(lambda self, x1: x1.fill(0) or 1, "x1", window=Window(rows=3))
    assert values(tracks, spoil, own(lambda self, x1: x1, "x1", name="x"), name="value")[3] == 1
    assert values(tracks, own(lambda self, x1: x1, "x1"))[3] == 120.0


def test_a_property_receives_its_own_earlier_values() -> None:
    total = own(lambda self, value, x1: (value[-1] or 0) + 1 if len(value) else 1, "value", "x1",
                window=Window(rows=3), partial=True)  # fmt: skip
    assert values(walk({1: LINE, 2: LINE[:2]}), total) == [*range(1, 13), 1, 2]
    seen: list[Any] = []
    full = own(lambda self, value: seen.append(value.tolist()) or len(seen), "value", window=Window(rows=3))
    assert values(walk({1: LINE[:5]}), full) == [None, None, 1, 2, 3]
    assert seen == [[None, None], [None, 1], [1, 2]]


def test_asking_for_one_row_of_a_recursive_property_gives_what_asking_for_all_gives() -> None:
    total = own(lambda self, value: sum(v or 1 for v in value), "value", window=Window(seconds=0.4), partial=True)
    tracks = walk({1: LINE, 5: LINE})
    everything = values(tracks, total)
    for row in (0, 5, 11, 12, 20):
        mask = np.zeros(len(tracks), bool)
        mask[row] = True
        assert (
            Properties(tracks, query(ALWAYS), None).column(thing(total), "value", mask).python()[row] == everything[row]
        )


# ----------------------------------------------------------------------------------------------------- once and batch


def test_once_gets_arrays_over_the_whole_track() -> None:
    tracks = walk({1: LINE, 2: LINE[:4]}, filled={1: [1]})
    longest = own(lambda self, x1, label, first: f"{label}{len(x1)}{len(first)}", "x1", "label", "first", once=True)
    assert values(tracks, longest) == ["person1212"] * 12 + ["person44"] * 4


def test_once_with_image_looks_at_the_best_crops_until_decided() -> None:
    tracks = walk({1: still(30), 2: still(30)})
    crops = Crops(tracks)
    plate = own(lambda self, image: "A" if image[0] == 1 else f"B{image[1] % 10}", "image", once=True)
    result = values(tracks, plate, pixels=crops)
    assert result == ["A"] * 30 + ["B0"] * 30
    # object 1 is decided after three of five crops, object 2 shows B0 B5 B0 B5 B0
    assert [seen for seen in crops.seen if seen[1] == 1] == [("value", 1, frame) for frame in (0, 5, 10)]
    assert len([seen for seen in crops.seen if seen[1] == 2]) == 5


def test_once_with_images_is_one_call() -> None:
    tracks = walk({1: still(30)})
    calls: list[int] = []
    value = own(lambda self, images: calls.append(len(images)) or "x", "images", once=True)
    assert values(tracks, value, pixels=Crops(tracks)) == ["x"] * 30
    assert calls == [5]


def test_batches_and_their_failures_one_by_one() -> None:
    sizes: list[int] = []

    def double(self: Any, x1: list[float]) -> list[float]:
        sizes.append(len(x1))
        if 120.0 in x1:
            raise ValueError("no 120")
        return [2 * value for value in x1]

    found = Properties(walk({1: LINE[:7]}), query(ALWAYS), None, video="v.mp4")
    kind = thing(own(double, "x1", batch=5))
    assert found.column(kind, "value", np.ones(7, bool)).python() == [180.0, 200.0, 220.0, None, 260.0, 280.0, 300.0]
    assert sizes == [5, 1, 1, 1, 1, 1, 2]
    assert found.errors()[["property", "video", "id", "frame", "error"]].values.tolist() == [
        ["value", "v.mp4", 1, 3, "ValueError: no 120"]
    ]
    short = own(lambda self, x1: x1[:-1], "x1", batch=3)
    found = Properties(walk({1: LINE[:1]}), query(ALWAYS), None)
    found.column(thing(short), "value", np.ones(1, bool))
    assert found.errors()["error"].tolist() == ["ValueError: value returned 0 values for 1 items"]


def test_crops_of_a_window_come_in_step_with_the_other_arrays() -> None:
    tracks = walk({1: LINE[:4]}, filled={1: [1]})
    blend = own(
        lambda self, image, frame: "".join("-" if crop is None else str(crop[1]) for crop in image) + f"|{len(frame)}",
        "image", "frame", window=Window(rows=3),
    )  # fmt: skip
    assert values(tracks, blend, pixels=Crops(tracks)) == [None, None, "0-2|3", "-23|3"]


def test_interpolated_rows_have_no_crop() -> None:
    tracks = walk({1: LINE[:4]}, filled={1: [1]})
    crops = Crops(tracks)
    assert values(tracks, own(lambda self, image: int(image[1]), "image"), pixels=crops) == [0, None, 2, 3]
    assert crops.seen == [("value", 1, frame) for frame in (0, 2, 3)]


def test_model_properties_vote() -> None:
    tracks = walk({1: still(30), 2: still(30)}, labels={1: "car", 2: "car"})
    words = ["red", "blue", "red", "blue", "blue"]
    crops = Crops(tracks, lambda name, image: words[image[1] // 5 % 5] if image[0] == 1 else None)
    found = Properties(tracks, query(ALWAYS), crops)
    assert found.column(thing(), "color", np.ones(60, bool)).python() == ["blue"] * 30 + [None] * 30


def test_pictures_needed_and_none_there() -> None:
    with pytest.raises(WorkbenchError, match="needs pictures"):
        values(walk({1: LINE}), own(lambda self, image: 1, "image"))


def test_failures_become_missing_with_a_row_of_errors() -> None:
    found = evaluate(
        query(compare("value", "<", 100), kind=thing(own(lambda self, x1: 1 / (x1 - 110), "x1"))),
        walk({1: LINE[:4]}), video="cam.mp4",
    )  # fmt: skip
    table = found.errors
    assert table.drop(columns="traceback").values.tolist() == [
        ["value", "cam.mp4", 1, 2, "ZeroDivisionError: float division by zero"]
    ]
    assert "1 / (x1 - 110)" in table["traceback"][0]
    assert str(table.dtypes["property"]) == "str"


# ------------------------------------------------------------------------------------------------ no more than needed


def counted(calls: list[tuple[int, int]], result: Any = True) -> UserProperty:
    return own(lambda self, id, frame: calls.append((id, frame)) or result, "id", "frame", name="model")


def test_a_costly_property_is_asked_only_where_cheaper_conjuncts_leave_rows() -> None:
    calls: list[tuple[int, int]] = []
    kind = thing(counted(calls))
    where = tree.And(operands=(tree.Truth(value=prop("model")), compare("x1", ">=", 160)))
    evaluate(query(where, kind=kind), walk({1: LINE}))
    assert calls == [(1, frame) for frame in range(7, 12)]


def test_windows_widen_what_is_asked_for() -> None:
    calls: list[tuple[int, int]] = []
    both = thing(counted(calls, 1), own(lambda self, model: model.sum(), "model", window=Window(rows=3)))
    where = tree.And(operands=(compare("value", ">", 2), compare("x1", "==", 160)))
    found = evaluate(query(where, kind=both), walk({1: LINE}))
    assert calls == [(1, 5), (1, 6), (1, 7)]
    assert len(found) == 1


def test_spans_that_cannot_last_are_not_looked_at() -> None:
    calls: list[tuple[int, int]] = []
    here = [(100, 200)] * 3 + [(300, 200)] * 12 + [(100, 200)] * 15
    where = tree.And(operands=(compare("x1", "==", 90), tree.Truth(value=prop("model"))))
    found = evaluate(query(tree.Lasts(operand=where, duration=1.0), kind=thing(counted(calls))), walk({1: here}))
    assert calls == [(1, frame) for frame in range(15, 30)]
    assert found.start.tolist() == [1.5]


def test_not_and_or_ask_what_they_must() -> None:
    calls: list[tuple[int, int]] = []
    kind = thing(counted(calls))
    model = tree.Truth(value=prop("model"))
    # not (a and b) is true already where a is false
    evaluate(query(tree.Not(operand=tree.And(operands=(compare("x1", ">", 170), model))), kind=kind), walk({1: LINE}))
    assert calls == [(1, frame) for frame in range(9, 12)]
    calls.clear()
    evaluate(query(tree.Or(operands=(model, compare("x1", "<", 170))), kind=kind), walk({1: LINE}))
    assert calls == [(1, frame) for frame in range(8, 12)]
    calls.clear()
    then = tree.Choose(condition=compare("x1", "<", 110), then=prop("model"), otherwise=tree.Constant(value=False))
    evaluate(query(tree.Truth(value=then), kind=kind), walk({1: LINE}))
    assert calls == [(1, 0), (1, 1)]


def test_a_track_without_the_first_interval_is_not_asked_for_the_second() -> None:
    calls: list[tuple[int, int]] = []
    first = tree.Lasts(operand=compare("x1", "==", 90), duration=0.5)
    second = tree.Lasts(operand=tree.Truth(value=prop("model")), duration=0.5)
    evaluate(
        query(tree.And(operands=(second, first)), kind=thing(counted(calls))),
        walk({1: still(10), 2: still(10, x=200)}),
    )
    assert {number for number, _ in calls} == {1}


def test_select_asks_for_the_first_matched_frame_only() -> None:
    calls: list[tuple[int, int]] = []
    asked = query(compare("x1", ">=", 150), prop("model"), kind=thing(counted(calls)))
    tracks = walk({1: LINE, 2: LINE})
    tables = answer_tables(asked, evaluate(asked, tracks), tracks, "v.mp4")
    assert calls == [(1, 6), (2, 6)]
    assert tables["events"]["x_model"].tolist() == [True, True]


def test_shared_subtrees_and_repeated_names_call_once() -> None:
    calls: list[tuple[int, int]] = []
    twice = thing(counted(calls, 3), own(lambda self, model: model, "model"))
    same = compare("model", ">", 2)
    where = tree.And(operands=(same, tree.Or(operands=(same, compare("value", ">", 2))), compare("model", "<", 5)))
    evaluate(query(where, prop("model"), kind=twice), walk({1: LINE}))
    assert len(calls) == len(set(calls)) == 12


def test_the_figures_of_each_node() -> None:
    cheap, costly = compare("x1", ">=", 160), tree.Truth(value=prop("model"))
    found = evaluate(query(tree.And(operands=(costly, cheap)), kind=thing(counted([]))), walk({1: LINE}))
    assert (found.stats[cheap].rows_in, found.stats[cheap].rows_kept) == (12, 5)
    assert (found.stats[costly].rows_in, found.stats[costly].rows_kept) == (5, 5)
    assert found.stats[costly].ms > 0
    assert found.properties.calls == {"model": 5}


def test_reading_pixels_goes_through_arguments() -> None:
    kind = thing(own(lambda self, image: 1, "image", name="a"), own(lambda self, a: a, "a", name="b"),
                 own(lambda self, c, x1: 1, "c", "x1", name="c", window=Window(rows=2)))  # fmt: skip
    assert [reads_pixels(kind, name) for name in ("a", "b", "c", "color", "speed")] == [True, True, False, True, False]


# ------------------------------------------------------------------------------------------------------ known faults


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("naive", [False, True])
def test_a_filter_before_or_after_a_history_property_gives_equal_objects(order: tuple[int, ...], naive: bool) -> None:
    rng = np.random.default_rng(3)
    feet = {n: [(float(x), 200.0) for x in 100 + np.cumsum(rng.integers(-6, 12, 60))] for n in range(1, 20)}
    tracks = walk(feet, scores={n: rng.uniform(0.2, 1, 60).tolist() for n in feet})
    jerk = own(lambda self, speed: float(abs(speed[-1] - speed[0])), "speed", window=Window(seconds=1.0), name="jerk")
    parts = (compare("score", ">", 0.6), compare("jerk", ">", 8.0), compare("x1", ">", 120))
    asked = query(tree.And(operands=tuple(parts[i] for i in order)), kind=thing(jerk))
    found = evaluate(asked, tracks, naive=naive, conjuncts=[parts[i] for i in order])
    plain = evaluate(query(tree.And(operands=parts), kind=thing(jerk)), tracks)
    ours, theirs = (answer_tables(asked, one, tracks, "v")["objects"] for one in (found, plain))
    pd.testing.assert_frame_equal(ours, theirs)
    assert len(ours) > 0


def test_both_sides_of_and_count() -> None:
    where = tree.And(operands=(compare("x1", ">", 100), compare("x1", "<", 0)))
    assert len(evaluate(query(where), walk({1: LINE}))) == 0
