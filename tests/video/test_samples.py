"""The generated street: its truth is exact, its scene keeps what it promises, and it is the same each time."""

from __future__ import annotations

import itertools
import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.video import samples
from workbench.video.samples import Sample, street
from workbench.video.source import open_sources, probe
from workbench.video.street import script

SEEDS = range(5)


@pytest.fixture(scope="module", params=SEEDS)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sample:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(tmp_path_factory.mktemp("home")))
        sample = street(request.param)
        assert len(sample.truth)  # kept in memory from here on
    return sample


def test_the_truth_table(whole: Sample) -> None:
    truth = whole.truth
    assert {name: str(kind) for name, kind in truth.dtypes.items()} == {
        "frame": "int64", "time": "float64", "id": "int64", "label": "str", "color": "str",
        "x1": "float64", "y1": "float64", "x2": "float64", "y2": "float64",
    }  # fmt: skip
    assert truth[["frame", "id"]].apply(tuple, axis=1).is_monotonic_increasing
    assert not truth.duplicated(["frame", "id"]).any()
    np.testing.assert_allclose(truth["time"], truth["frame"] / 25)
    inside = (truth.x1 >= 0) & (truth.y1 >= 0) & (truth.x2 <= 768) & (truth.y2 <= 432)
    assert (inside & (truth.x1 < truth.x2) & (truth.y1 < truth.y2)).all()
    counts = truth.groupby("label")["id"].nunique()
    assert counts.to_dict() == {"car": 7, "person": 6, "suitcase": 1}
    assert sorted(truth["id"].unique()) == list(range(1, 15))
    assert set(truth.loc[truth.label == "car", "color"]) == set(script.COLOURS)
    for _id, track in truth.groupby("id"):
        assert (np.diff(track["frame"]) == 1).all()
        assert track["color"].nunique() == 1


def test_shapes_tell_people_from_cars(whole: Sample) -> None:
    truth = whole.truth
    truth = truth[(truth.x1 > 0) & (truth.x2 < 768)]
    width, height = truth.x2 - truth.x1, truth.y2 - truth.y1
    assert (height >= 1.3 * width)[truth.label == "person"].all()
    assert (width >= 1.2 * height)[truth.label == "car"].all()
    cars, people = (width * height)[truth.label == "car"], (width * height)[truth.label == "person"]
    assert cars.min() >= 0.002 * 768 * 432
    case = (width * height)[truth.label == "suitcase"]
    assert case.max() < people.median() / 2
    assert case.min() >= 0.0005 * 768 * 432


def test_what_happens(whole: Sample) -> None:
    truth, events = whole.truth, whole.events
    assert events.columns.to_list() == ["kind", "id", "start", "end"]
    assert events["start"].is_monotonic_increasing
    assert events["kind"].value_counts().to_dict() == {"crossing": 3, "red_car": 1, "bag_left": 1}
    red = truth[(truth.label == "car") & (truth.color == "red")]
    assert event(events, "red_car") == (red.id.iloc[0], red.time.iloc[0], red.time.iloc[-1] + 0.04)
    case = truth[truth.label == "suitcase"]
    assert event(events, "bag_left") == (case.id.iloc[0], case.time.iloc[0], 60.0)


def event(events: pd.DataFrame, kind: str) -> tuple[int, float, float]:
    (row,) = events[events.kind == kind].itertuples(index=False)
    return row.id, pytest.approx(row.start), pytest.approx(row.end)


def test_the_suitcase_is_left_alone(whole: Sample) -> None:
    truth = whole.truth
    case = truth[truth.label == "suitcase"].set_index("frame")
    people = truth[truth.label == "person"]
    people = people[people.frame.isin(case.index)]
    foot = pd.DataFrame({"x": (people.x1 + people.x2) / 2, "y": people.y2, "id": people.id, "frame": people.frame})
    spot = ((case.x1 + case.x2).iloc[0] / 2, case.y2.iloc[0])
    foot["far"] = np.hypot(foot.x - spot[0], foot.y - spot[1])
    near = foot[foot.far <= 60]
    assert near["id"].nunique() == 1  # its owner, who stays by it for over a second
    assert len(near) >= 35
    assert near.frame.min() == case.index[0]
    later = foot[foot.frame > near.frame.max() + 40]
    assert later.far.min() > 150  # and then nobody comes near
    assert case.index[-1] == 1499
    assert len(case) < 0.41 * 1500  # less than half of what `motion` takes for the background


def test_someone_stays_in_the_yard(whole: Sample) -> None:
    truth = whole.truth[whole.truth.label == "person"]
    (x1, y1), _b, (_x, y2), _d = script.YARD
    foot = (truth.x1 + truth.x2) / 2
    inside = truth[(foot > x1) & (foot < 740) & (truth.y2 > y1) & (truth.y2 < y2)]
    stays = inside.groupby("id")["time"].agg(["min", "max", "size"])
    assert len(stays) == 1
    assert (stays["max"] - stays["min"]).iloc[0] > 31
    assert stays["size"].iloc[0] > 31 * 25


@pytest.mark.parametrize("seed", range(0, 60, 4))
def test_the_script_keeps_its_promises(seed: int) -> None:
    actors = script.script(seed)
    busy = np.zeros(1500, bool)
    for actor in actors:
        if actor.label != "suitcase":
            busy[[frame for frame in actor.poses if frame < 1500]] = True
    quiet = np.flatnonzero(busy)[-1]
    assert 1500 - quiet > 15 * 25  # nobody for a quarter of a minute
    assert min(min(actor.poses) for actor in actors) >= 0
    cars = [actor for actor in actors if actor.label == "car"]
    for lane in {pose.y for car in cars for pose in car.poses.values()}:
        spans = sorted((min(car.poses), max(car.poses)) for car in cars if next(iter(car.poses.values())).y == lane)
        assert all(first[1] < second[0] + 60 for first, second in itertools.pairwise(spans))


def test_the_video_shows_its_truth() -> None:
    sample = Sample(3, seconds=9)
    (source,) = open_sources(sample)
    info = source.info()
    assert (info.width, info.height, info.fps, info.frames, info.codec) == (768, 432, 25.0, 225, "h264")
    truth = sample.truth
    assert truth.frame.max() < 225
    empty = None
    for index, _time, image in source.frames_at(np.arange(0, 225, 8)):
        empty = image.astype(int) if empty is None else empty
        seen = np.abs(image.astype(int) - empty).max(axis=2) > 40
        hidden = np.zeros_like(seen)
        for row in truth[truth.frame == index].itertuples():
            inside = seen[int(row.y1) : int(row.y2), int(row.x1) : int(row.x2)]
            assert inside.mean() > 0.2, (index, row.id)
            hidden[max(0, int(row.y1) - 4) : int(row.y2) + 14, max(0, int(row.x1) - 30) : int(row.x2) + 30] = True
        assert (seen & ~hidden).mean() < 0.006  # nothing moves that the truth does not know


def test_it_is_made_once_and_the_same_again(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Sample(1, seconds=2).path
    data = first.read_bytes()
    assert first.is_relative_to(home)
    monkeypatch.setattr(samples, "_beside_the_store", lambda *_given: pytest.fail("not kept"))
    assert Sample(1, seconds=2).path == first
    monkeypatch.setenv("WORKBENCH_HOME", str(home / "other"))
    again = Sample(1, seconds=2).path
    assert again != first
    assert again.read_bytes() == data
    assert Sample(2, seconds=2).path.read_bytes() != data


def test_without_room_in_the_store_it_is_kept_for_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine.store import Store

    monkeypatch.setattr(Store, "put_file", lambda *_given, **_more: None)
    assert probe(Sample(5, seconds=1)).frames == 25


def test_noise_of_two_levels() -> None:
    from workbench.video.street.render import frames

    made = np.stack(list(frames([], 12, 0)))[:, :432].astype(float)
    assert made.std(axis=0).mean() == pytest.approx(2.0, abs=0.15)


def test_a_sample_is_a_source_and_a_path() -> None:
    sample = street()
    assert sample.detector == "motion"
    assert (sample.name, street(3).name) == ("sample:street", "sample:street(3)")
    assert samples.named("sample:street(3)") == street(3)
    assert pickle.loads(pickle.dumps(sample)) == sample
    assert hash(street(1)) == hash(street(1))
    assert street(1) != street(2)
    assert repr(sample) == "<Sample sample:street: 60 s, 768x432>"
    short = Sample(0, seconds=1)
    assert os.fspath(short) == str(short.path)
    (source,) = open_sources(short)
    assert (source.name, source.hint) == ("sample:street", "motion")


def test_regions_and_the_line() -> None:
    sample = street()
    assert set(sample.regions) == {"yard", "road"}
    assert sample.regions["yard"].points[0] == (516.0, 116.0)
    assert sample.lines["door"].sides == ("shop", "street")


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0"])
def test_a_seed_is_a_whole_number(seed: object) -> None:
    with pytest.raises(WorkbenchError, match="seed must be a whole number from 0"):
        street(seed)  # type: ignore[arg-type]
