"""What of a single frame a query asks about, and what two looks at a frame have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.video.language.compile import compile_query
from workbench.video.models.base import DetectorSpec
from workbench.video.operators.relevant import Boxes, Relevance, compare, hull, predicted, relevance_of
from workbench.video.plan.logical import plan_query

SPEC = DetectorSpec(
    "stub", ("car", "truck", "person", "suitcase"), "1", lambda spec, threads: None, small=(0.2, 0.4, 0.5)
)
LANE = "lane = Region((0, 0), (100, 0), (100, 50), (0, 50))\n"


def relevance(where: str, declared: str = "car: Car", before: str = LANE, more: str = "") -> Relevance:
    query = compile_query(f"{before}class Asked(Query):\n    {declared}\n    where = {where}\n    {more}").__compiled__
    return relevance_of(query, list(plan_query(query).filters().values()), SPEC, 200, 100)


def boxes(*rows: tuple[int, str, float, float, float, float, float]) -> Boxes:
    """Return boxes of (frame, label, score, x1, y1, x2, y2)."""
    return Boxes(
        np.array([row[0] for row in rows], np.int64),
        np.array([row[1] for row in rows] or [""], np.str_)[: len(rows)],
        np.array([row[2] for row in rows], np.float64),
        np.array([row[3:] for row in rows], np.float64).reshape(-1, 4),
    )


def test_frames_are_positive_by_label_score_and_the_conditions_that_a_frame_decides() -> None:
    seen = boxes(
        (1, "car", 0.9, 10, 10, 30, 20),  # inside
        (2, "car", 0.9, 10, 60, 30, 80),  # outside
        (3, "car", 0.55, 10, 10, 30, 20),  # of a score with which no track goes on for sure
        (4, "person", 0.9, 10, 10, 30, 20),  # something else
        (5, "truck", 0.9, 10, 10, 30, 20),  # what a car may be called in a frame
    )
    asked = relevance("car.inside(lane) and car.score > 0.5")
    assert asked.positive(seen).tolist() == [1, 5]
    assert relevance("car.score > 0.5").positive(seen).tolist() == [1, 2, 5]
    assert relevance("lasts(car.inside(lane), '2s')").positive(seen).tolist() == [1, 5]
    assert relevance("car.inside(lane) or car.score > 0.5").positive(seen).tolist() == [1, 2, 5]
    assert relevance("not car.inside(lane)").positive(seen).tolist() == [2]
    assert asked.positive(boxes()).tolist() == []


@pytest.mark.parametrize(
    ("where", "history"),
    [
        ("car.inside(lane)", None),
        ("car.inside(lane) and car.color == 'red'", None),
        ("car.inside(lane) and car.speed > '5px/s'", "speed"),
        ("car.inside(lane) and car.still", "still"),
        ("car.inside(lane) and car.enters(lane)", "enters"),
        ("lasts(car.inside(lane), '1s') and car.turns('left')", "turns"),
    ],
)
def test_where_other_frames_count_each_box_does(where: str, history: str | None) -> None:
    asked = relevance(where)
    outside = boxes((2, "car", 0.9, 10, 60, 30, 80))
    assert asked.history == history
    assert len(asked.positive(outside)) == (history is not None)
    assert (hull(asked) is None) == (history is not None)


@pytest.mark.parametrize(("line", "history"), [("@prop(window='1s')", "mine"), ("@prop", None)])
def test_a_property_of_ones_own_remembers_if_it_has_a_window(line: str, history: str | None) -> None:
    text = f"class Mine(Car):\n    {line}\n    def mine(self, width): return 1\n"
    asked = relevance("car.inside(lane) and car.mine == 1", "car: Mine", LANE + text)
    assert asked.history == history


def test_what_a_property_needs_remembers_too() -> None:
    text = "class Mine(Car):\n    @prop\n    def mine(self, speed): return 1\n"
    assert relevance("car.mine == 1", "car: Mine", LANE + text).history == "mine"


def test_all_persons_count_where_they_give_the_scale() -> None:
    asked = relevance("car.inside(lane)", before=f'{LANE}scale = Scale(person="1.7m")\n')
    assert asked.positive(boxes((4, "person", 0.9, 10, 60, 30, 80))).tolist() == [4]
    assert hull(asked) is None


def test_quantified_objects_count_wherever_they_are() -> None:
    asked = relevance("car.inside(lane) and not any(p.near(car, '9px') for p in Person)")
    assert asked.positive(boxes((4, "person", 0.9, 150, 60, 160, 80))).tolist() == [4]
    assert hull(asked) is None


def test_bags_have_scores_of_their_own_and_a_tracker_of_ones_own_takes_what_detect_returns() -> None:
    seen = boxes((1, "suitcase", 0.45, 10, 10, 20, 20), (2, "suitcase", 0.35, 10, 10, 20, 20))
    asked = relevance("bag.score > 0.1", "bag: Bag")
    assert asked.positive(seen).tolist() == [1]
    assert replace(asked, spec=replace(SPEC, tracking="mine", threshold=0.3)).positive(seen).tolist() == [1, 2]


def test_the_hull_is_the_regions_of_all_variables() -> None:
    yard = "yard = Region((0, 50), (50, 50), (50, 99), (0, 99))\n"
    both = relevance("car.inside(lane) and person.inside(yard)", "car: Car\n    person: Person", LANE + yard)
    assert hull(both) == [((0, 0), (100, 0), (100, 50), (0, 50)), ((0, 50), (50, 50), (50, 99), (0, 99))]
    assert hull(relevance("car.inside(lane)", "car: Car\n    person: Person", LANE)) is None


def test_recall_and_precision_are_counted_by_frame() -> None:
    asked = relevance("car.score > 0.5")
    truth = boxes((1, "car", 0.9, 0, 0, 10, 10), (1, "car", 0.9, 50, 0, 60, 10), (2, "car", 0.9, 0, 0, 10, 10))
    found = boxes(
        (1, "car", 0.7, 1, 0, 11, 10),  # the first
        (1, "car", 0.55, 50, 0, 60, 10),  # the second, but of too low a score
        (2, "car", 0.8, 30, 0, 40, 10),  # elsewhere
        (3, "car", 0.8, 0, 0, 10, 10),  # where nothing is
    )
    same = compare(asked, truth, found, np.array([1, 2, 3]))
    assert [column.tolist() for column in (same.objects, same.found, same.claims, same.right)] == [
        [2, 1, 0], [1, 0, 0], [1, 1, 1], [1, 0, 0],
    ]  # fmt: skip
    everywhere = np.ones(3, bool)
    assert (same.recall(everywhere).frames, same.recall(everywhere).found, same.recall(everywhere).objects) == (2, 1, 3)
    precision = same.precision(np.array([True, False, True]))
    assert (precision.frames, precision.found, precision.objects) == (2, 1, 2)
    # a frame that is not looked at is one where nothing is found, not one that does not count
    recall = same.recall(np.array([False, True, True]))
    assert (recall.frames, recall.found, recall.objects) == (2, 0, 3)


_BOX = st.tuples(
    st.integers(0, 3), st.sampled_from(["car", "truck", "person"]), st.sampled_from([0.3, 0.6, 0.9]),
    st.integers(0, 40), st.integers(0, 40), st.integers(5, 30), st.integers(5, 30),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(_BOX, max_size=8), st.lists(_BOX, max_size=8))
def test_comparing_is_what_its_definition_says(first: list, second: list) -> None:
    asked = relevance("car.inside(lane)")

    def made(rows: list) -> Boxes:
        listed = sorted(rows, key=lambda row: row[0])
        return boxes(*((f, label, score, x, y, x + w, y + h) for f, label, score, x, y, w, h in listed))

    def counts(box: tuple) -> bool:
        _, label, score, x, y, w, h = box
        return label in ("car", "truck") and score >= 0.6 and 0 <= x + w / 2 <= 100 and 0 <= y + h <= 50

    def lies_on(a: tuple, b: tuple) -> bool:
        across = min(a[3] + a[5], b[3] + b[5]) - max(a[3], b[3])
        down = min(a[4] + a[6], b[4] + b[6]) - max(a[4], b[4])
        shared = max(across, 0) * max(down, 0)
        return shared / (a[5] * a[6] + b[5] * b[6] - shared) >= 0.5

    def expected(rows: list, others: list) -> tuple[list[int], list[int]]:
        mine = [[box for box in rows if box[0] == frame and counts(box)] for frame in range(4)]
        theirs = [[box for box in others if box[0] == frame and counts(box)] for frame in range(4)]
        found = [sum(any(lies_on(a, b) for b in theirs[frame]) for a in mine[frame]) for frame in range(4)]
        return [len(part) for part in mine], found

    same = compare(asked, made(first), made(second), np.arange(4))
    assert (same.objects.tolist(), same.found.tolist()) == expected(first, second)
    assert (same.claims.tolist(), same.right.tolist()) == expected(second, first)


def test_between_two_processed_frames_boxes_are_on_the_way() -> None:
    times = np.arange(10) / 10
    seen = boxes(
        (0, "car", 0.9, 0, 0, 20, 10), (0, "car", 0.9, 100, 0, 120, 10), (4, "car", 0.8, 8, 4, 28, 14),
        (8, "car", 0.9, 90, 50, 99, 60),
    )  # fmt: skip
    made = predicted(seen, np.array([0, 1, 5, 9]), np.array([0, 0, 4, 8]), np.array([4, 4, 8, 8]), times)
    # frame 0 is processed itself; at 1, one box has a later one near it; at 5 none has; after 8 there is no later
    # frame, and each stays
    assert made.frame.tolist() == [0, 0, 1, 9]
    assert made.box[2].tolist() == pytest.approx([2, 1, 22, 11])
    assert made.score[2] == 0.9
    assert made.box[3].tolist() == [90, 50, 99, 60]


def test_before_the_first_processed_frame_nothing_is_known() -> None:
    made = predicted(boxes((4, "car", 0.9, 0, 0, 9, 9)), np.array([2]), np.array([4]), np.array([4]), np.arange(9.0))
    assert len(made) == 0
