"""The questions of `notebooks/01_video.ipynb`, asked of five streets: their answers against the scene's own truth."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.video import samples
from workbench.video.language.compile import compile_query
from workbench.video.models.given import GivenBoxes
from workbench.video.operators.answer import answer_tables
from workbench.video.operators.evaluate import evaluate
from workbench.video.tracks import Frames

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "01_video.ipynb"
SEEDS = range(5)
STEP = 1 / 25


@cache
def questions() -> dict[str, str]:
    """The text below each `%%vquery` line, by the name that the answer gets."""
    cells = ["".join(cell["source"]) for cell in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]]
    split = [cell.split("\n", 1) for cell in cells if cell.startswith("%%vquery")]
    return {head.split(" -o ")[1].split()[0]: body for head, body in split}


@cache
def answers(seed: int, name: str) -> dict[str, pd.DataFrame]:
    sample = samples.street(seed)
    names = {**sample.regions, **sample.lines}
    query = compile_query(questions()[name], names).__compiled__
    tracks = GivenBoxes(sample.truth).tracks(Frames(np.arange(1500), np.arange(1500) / 25), 768, 432)
    return answer_tables(query, evaluate(query, tracks, video="street"), tracks, "street")


def people(seed: int) -> pd.DataFrame:
    truth = samples.street(seed).truth
    found = truth[truth["label"] == "person"]
    return found.assign(x=(found["x1"] + found["x2"]) / 2, y=found["y2"])


def spells(frames: np.ndarray, gap: float, least: float) -> list[tuple[float, float]]:
    """Runs of frames, joined over gaps, that last long enough: (start, end) in seconds."""
    if not len(frames):
        return []
    cuts = np.flatnonzero((np.diff(frames) - 1) * STEP > gap + 1e-6) + 1
    found = [(run[0] * STEP, (run[-1] + 1) * STEP) for run in np.split(frames, cuts)]
    return [(start, end) for start, end in found if end - start >= least - 1e-6]


def visits(seed: int, corners: list[tuple[float, float]], gap: float, least: float) -> list[tuple[int, float, float]]:
    """Who stood in a convex region, and from when to when."""
    rows = people(seed)
    sides = [
        (x2 - x1) * (rows["y"] - y1) - (y2 - y1) * (rows["x"] - x1)
        for (x1, y1), (x2, y2) in itertools.pairwise([*corners, corners[0]])
    ]
    inside = rows[np.all([side >= 0 for side in sides], axis=0) | np.all([side <= 0 for side in sides], axis=0)]
    return sorted(
        (
            (int(who), *spell)
            for who, own in inside.groupby("id")
            for spell in spells(own["frame"].to_numpy(), gap, least)
        ),
        key=lambda visit: (visit[1], visit[2], visit[0]),
    )


def spans(events: pd.DataFrame, *ids: str) -> list[list[float]]:
    return events[[*ids, "start", "end"]].to_numpy().round(6).tolist()


def as_spans(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    return np.array(rows).round(6).tolist()


@pytest.mark.parametrize("seed", SEEDS)
def test_who_stays_in_the_yard(seed: int) -> None:
    yard = list(samples.street(seed).regions["yard"].points)
    expected = visits(seed, yard, gap=2.0, least=30.0)
    assert len(expected) == 1
    assert spans(answers(seed, "loiter")["events"], "person_id") == as_spans(expected)
    # the same, asked the other way round; an entry is decided a little behind the border
    (who, start, _end) = expected[0]
    (stays,) = spans(answers(seed, "stays")["events"], "person_id")
    assert stays[0] == who
    assert stays[1] == pytest.approx(start, abs=0.2)
    assert stays[2] - stays[1] == pytest.approx(20.0 + STEP)


@pytest.mark.parametrize("seed", SEEDS)
def test_people_counted_at_the_door(seed: int) -> None:
    sample = samples.street(seed)
    crossings = sample.events[sample.events["kind"] == "crossing"]
    foot = people(seed).set_index(["id", "frame"])["y"]
    expected: dict[tuple[float, str], int] = {}
    for crossing in crossings.itertuples():
        to = "shop" if foot[crossing.id].iloc[-1] < foot[crossing.id].iloc[0] else "street"
        key = (20.0 * (crossing.start // 20), to)
        expected[key] = expected.get(key, 0) + 1
    groups = answers(seed, "traffic")["groups"]
    assert (
        dict(zip(zip(groups["start"], groups["person_crossed_to"], strict=True), groups["count"], strict=True))
        == expected
    )
    assert (groups["count_person_id"] == groups["count"]).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_the_queue_before_the_shop(seed: int) -> None:
    front = [(160.0, 196.0), (340.0, 196.0), (340.0, 262.0), (160.0, 262.0)]
    expected = visits(seed, front, gap=0.5, least=1.0)
    tables = answers(seed, "queue")
    assert spans(tables["events"], "person_id") == as_spans(expected)
    groups = tables["groups"]
    assert groups["start"].tolist() == [0.0, 20.0, 40.0]
    for row in groups.itertuples():
        mine = [(who, end - start) for who, start, end in expected if row.start <= start < row.end]
        assert row.count_person_id == len({who for who, _ in mine})
        assert row.mean_duration == pytest.approx(np.mean([s for _, s in mine]) if mine else np.nan, nan_ok=True)
        assert row.max_duration == pytest.approx(max(s for _, s in mine) if mine else np.nan, nan_ok=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_when_there_are_several(seed: int) -> None:
    counted = people(seed).groupby("frame")["id"].nunique()
    expected = spells(counted.index[counted >= 2].to_numpy(), gap=0.5, least=2.0)
    assert spans(answers(seed, "busy")["events"]) == as_spans(expected)
    assert expected


@pytest.mark.parametrize("seed", SEEDS)
def test_who_meets(seed: int) -> None:
    tracks = {int(who): own.set_index("frame")[["x", "y"]] for who, own in people(seed).groupby("id")}
    expected = []
    for one, other in itertools.combinations(sorted(tracks), 2):
        both = tracks[one].join(tracks[other].add_suffix("2"), how="inner")
        near = both[np.hypot(both["x"] - both["x2"], both["y"] - both["y2"]) <= 200]
        expected += [(one, other, *spell) for spell in spells(near.index.to_numpy(), gap=0.5, least=3.0)]
    expected.sort(key=lambda row: (row[2], row[3], row[0], row[1]))
    assert spans(answers(seed, "meetings")["events"], "a_id", "b_id") == as_spans(expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_bag(seed: int) -> None:
    left = samples.street(seed).events.query("kind == 'bag_left'")
    assert spans(answers(seed, "left")["events"], "bag_id") == as_spans(
        left[["id", "start", "end"]].to_numpy().tolist()
    )


def test_the_cells_are_short() -> None:
    # VQPy's own program for the queue has some 150 lines
    for name in ("red", "loiter", "traffic", "queue", "left"):
        assert len([line for line in questions()[name].splitlines() if line.strip()]) <= 7, name
