"""The example questions on real clips, against the truth files: vehicles and colours, crossings, loitering."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video.models.mirror import mirrored, needs_mirror
from tests.video.mot import mot_scores

pytestmark = [needs_mirror, pytest.mark.slow, pytest.mark.timeout(600)]

CROSSING = """
door = Line((200, 400), (560, 330), sides=("south", "north"))
class Crossing(Query):
    person: Person
    where  = person.crosses(door)
    select = person.id, person.crossed_to, start
"""

LOITERING = """
yard = Region((300, 150), (560, 150), (560, 330), (300, 330))
class Loitering(Query):
    person: Person
    where = lasts(person.inside(yard), "5s", gap="1s")
"""

VEHICLES = """
class Vehicles(Query):
    car: {type}
    where  = lasts(car.speed > "20px/s", "1s")
    select = car.id, car.color, start, end
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for the module: the detector runs once over each clip."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(autouse=True)
def home(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(kept))
    return kept


@pytest.fixture(scope="module")
def from_above() -> str:
    """yolox-nano for a camera above a road: it takes cars for phones and suitcases, so that each class is a car."""
    from workbench.engine.fetch import fetch

    wb.video.register_detector(
        "cars-from-above",
        fetch("yolox-nano-dynamic"),
        labels=dict.fromkeys(range(80), "car"),
        format="yolox",
        size=416,
        threshold=0.1,
        tracking=(0.1, 0.2, 0.2),
    )
    return "cars-from-above"


@pytest.fixture(scope="module")
def pets() -> tuple[str, pd.DataFrame]:
    truth = wb.video.read_mot(mirrored("truth/PETS09-S2L1.gt.txt"))
    return str(mirrored("clips/PETS09-S2L1_vtest_h264.mp4")), truth


def true_cars() -> tuple[list[dict[str, object]], int]:
    truth = json.loads(mirrored("truth/intel_car-detection.count.json").read_text())
    return truth["vehicles"], truth["frame_bounds_tolerance"]


def matched(truth: pd.DataFrame, found: pd.DataFrame, overlap: float) -> tuple[float, float]:
    """Return precision and recall of events: one to one, by the overlap of their spans (intersection over union)."""
    from scipy.optimize import linear_sum_assignment

    a, b = truth[["start", "end"]].to_numpy()[:, None], found[["start", "end"]].to_numpy()[None]
    both = np.minimum(a[..., 1], b[..., 1]) - np.maximum(a[..., 0], b[..., 0])
    ratio = both / (np.maximum(a[..., 1], b[..., 1]) - np.minimum(a[..., 0], b[..., 0]))
    hits = (ratio[linear_sum_assignment(-ratio)] >= overlap).sum()
    return hits / len(found), hits / len(truth)


@pytest.mark.parametrize("detector", ["motion", "cars-from-above"])
def test_vehicles_of_the_intel_clip(detector: str, from_above: str) -> None:
    kind = "Object" if detector == "motion" else "Vehicle"
    clip = mirrored("clips/intel_car-detection.mp4")
    result = wb.vquery(str(clip), VEHICLES.format(type=kind), detector=detector)
    cars, tolerance = true_cars()
    assert len(result.objects) == len(cars) == 4
    boxes = np.sort(np.rint(result.objects[["first", "last"]].to_numpy() * 12.5), axis=0)
    spans = np.sort([(car["first"], car["last"]) for car in cars], axis=0)
    assert np.abs(boxes - spans).max() <= tolerance


def test_colours_of_the_intel_clip(from_above: str) -> None:
    result = wb.vquery(
        str(mirrored("clips/intel_car-detection.mp4")), VEHICLES.format(type="Vehicle"), detector=from_above
    )
    cars, _ = true_cars()
    colours = list(result.events.sort_values("frame_start").car_color)
    allowed = {"silver": {"gray", "white"}, "white": {"white"}, "red": {"red"}}
    assert len(colours) == 4
    assert all(found in allowed[str(car["color"])] for found, car in zip(colours, cars, strict=True)), colours


def test_only_the_red_car_is_red(from_above: str) -> None:
    query = (
        'class Red(Query):\n    car: Car\n    where = car.color == "red" and car.score > 0.3\n    select = car.color'
    )
    result = wb.vquery(str(mirrored("clips/intel_car-detection.mp4")), query, detector=from_above)
    assert set(result.events.car_color) == {"red"}
    assert set(result.events.car_id) == set(result.objects.id) and len(result.objects) == 1
    assert result.events.frame_start.min() >= 180
    assert result.events.frame_end.max() <= 239


def test_crossings_agree_with_the_crossings_of_the_true_tracks(pets: tuple[str, pd.DataFrame]) -> None:
    clip, boxes = pets
    truth = wb.vquery(clip, CROSSING, detector=boxes).events
    found = wb.vquery(clip, CROSSING, detector="yolox-nano").events
    near = [
        matched(*(t.assign(start=t.start - 1, end=t.end + 1)[t.person_crossed_to == side] for t in (truth, found)), 0.4)
        for side in ("north", "south")
    ]
    print("precision and recall by direction:", near)
    assert len(truth) == 10
    assert (truth.person_crossed_to == "north").sum() == (found.person_crossed_to == "north").sum()
    assert min(precision for precision, _ in near) >= 0.75
    assert min(recall for _, recall in near) >= 0.75


def test_loitering_agrees_with_the_loitering_of_the_true_tracks(pets: tuple[str, pd.DataFrame]) -> None:
    clip, boxes = pets
    truth = wb.vquery(clip, LOITERING, detector=boxes).events
    found = wb.vquery(clip, LOITERING, detector="yolox-nano").events
    precision, recall = matched(truth, found, 0.5)
    print("precision", precision, "recall", recall)
    assert len(truth) == 14
    assert precision >= 0.9
    assert recall >= 0.8


def test_tracks_of_people_match_the_true_ones(pets: tuple[str, pd.DataFrame]) -> None:
    clip, truth = pets
    scores = mot_scores(truth, wb.video.tracks(clip, detector="yolox-nano", labels="person"))
    print(scores)
    assert scores["idf1"] >= 0.78
    assert scores["mota"] >= 0.84


def test_ids_and_tables_are_the_same_on_a_second_run(pets: tuple[str, pd.DataFrame]) -> None:
    clip, _ = pets
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = wb.vquery(clip, CROSSING, detector="yolox-nano", end="15s")
        again = wb.vquery(clip, CROSSING, detector="yolox-nano", end="15s", fresh=True)
    for table in ("events", "objects", "frames", "groups"):
        pd.testing.assert_frame_equal(getattr(first, table), getattr(again, table))
