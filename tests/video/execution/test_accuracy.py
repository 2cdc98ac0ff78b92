"""Queries under `accuracy`: what is chosen, that it is proven and kept apart, and what is said where nothing is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video.asking import error
from tests.video.execution.streets import CARS, FRAMES, MOVING, ask, assert_same, source, street
from workbench.video.models.boxes import iou_matrix
from workbench.video.source import from_array

pytestmark = pytest.mark.usefixtures("cluster", "no_proxies")

COLUMNS = [
    "video", "plan", "frames", "positives", "recall", "recall_low", "precision", "precision_low", "cost", "est_ms",
    "ms", "legal", "chosen",
]  # fmt: skip


def share_found(rows: pd.DataFrame, others: pd.DataFrame) -> float:
    """Return the share of rows on which, in the same frame, another one lies."""
    sides = ["x1", "y1", "x2", "y2"]
    hits = 0
    for frame, part in rows.groupby("frame"):
        beside = others[others["frame"] == frame]
        if len(beside):
            overlap = iou_matrix(part[sides].to_numpy(np.float64), beside[sides].to_numpy(np.float64))
            hits += int((overlap.max(axis=1) >= 0.5).sum())
    return hits / len(rows)


def test_the_cheapest_proven_plan_is_used_and_its_answer_is_as_accurate_as_was_asked(sees: Any) -> None:
    # Only frames can be left out: of a smaller picture the detector is not sure.
    detector, seen = sees(250.0)
    street = source()
    answer = wb.vquery(street, CARS, detector=detector, accuracy=0.8)  # nothing to be warned of
    shown = seen()
    exact = ask(street, CARS, detector=detector, fresh=True)
    assert seen() == FRAMES
    assert shown <= 0.8 * FRAMES
    proof = answer.proof
    assert list(proof.columns) == COLUMNS
    assert proof["plan"][0] == "exact"
    used = proof[proof["chosen"]].iloc[0]
    assert len(proof[proof["chosen"]]) == 1
    assert used["plan"].startswith("skip frames within ")
    assert used["legal"]
    assert used["recall_low"] >= 0.8
    assert used["precision_low"] >= 0.8
    assert 32 <= used["positives"] < used["frames"] <= 0.1 * FRAMES
    assert used["cost"] < 0.8
    assert used["ms"] > 0
    assert not proof[proof["plan"].str.contains("size")]["legal"].any()
    # the answer itself
    assert share_found(exact.frames, answer.frames) >= 0.8
    assert share_found(answer.frames, exact.frames) >= 0.8
    assert abs(len(answer) - len(exact)) <= 1
    # what is said of it
    assert repr(answer).endswith("searched, accuracy 0.8")
    assert answer.summary.endswith("| accuracy 0.8")
    assert answer.notes[0].startswith("street: accuracy 0.8 by skip frames within ")
    assert "note: street: accuracy 0.8 by skip frames within " in str(answer)
    text = answer.explain()
    assert "skip skip frames" not in text
    operators = {node.op: node for _, node in answer.plan.walk()}
    assert operators["skip"].rows == operators["detect"].rows < FRAMES
    assert answer.notes[0] in answer.plan.notes
    blocks = answer.view_data()["blocks"]
    assert [block["level"] for block in blocks if block["kind"] == "note"] == ["info"] * len(answer.notes)
    assert "proof" in [block["name"] for block in blocks if block["kind"] == "table"]
    assert answer.table("proof") is proof
    assert exact.proof.empty
    assert list(exact.proof.columns) == COLUMNS
    assert repr(exact).endswith("searched, exact")


def test_approximate_results_are_kept_but_never_taken_for_exact_ones(sees: Any) -> None:
    detector, seen = sees(250.0)
    street = source(3)
    first = ask(street, CARS, detector=detector, accuracy=0.8)
    assert seen() > 0
    again = ask(street, CARS, detector=detector, accuracy=0.8)
    assert seen() == 0
    assert_same(again, first)
    assert again.notes == first.notes
    exact = ask(street, CARS, detector=detector)
    # of the frames that were looked at, only the canary's were looked at by the exact plan
    assert seen() == FRAMES - first.proof["frames"][0]
    assert_same(exact, ask(street, CARS, detector=detector, fresh=True))
    # and an exact answer in the store changes nothing
    seen()
    assert_same(ask(street, CARS, detector=detector, accuracy=0.8, fresh=True), first)
    fresh = ask(source(3), CARS, detector=detector, accuracy=0.8)
    assert_same(fresh, first)


def test_smaller_pictures_are_used_where_the_detector_is_as_sure_of_them(sees: Any) -> None:
    detector, _ = sees(20.0)
    answer = ask(source(0, every=62), MOVING, detector=detector, accuracy=0.8)
    used = answer.proof[answer.proof["chosen"]].iloc[0]
    assert used["plan"] == "detector on pictures of 50 % size"
    assert used["cost"] == 0.25
    assert [node.detail for _, node in answer.plan.walk() if node.op == "detect"] == [f"{detector} at 50 % size"]
    told = "not tried: a coarser every (speed follows from several frames, a canary has single ones)."
    assert f"street: {told}" in answer.notes
    exact = ask(source(0, every=62), MOVING, detector=detector)
    assert share_found(exact.frames, answer.frames) >= 0.8
    assert share_found(answer.frames, exact.frames) >= 0.8


@pytest.mark.parametrize(("frames", "tried"), [(1500, [2, 3, 5]), (1000, [2, 3])])
def test_a_coarser_every_is_tried_from_the_finest_on(sees: Any, frames: int, tried: list[int]) -> None:
    # A standing car, in a video that is long enough for the frames beside the canary's, or for some of them.
    pictures = np.full((frames, 24, 32, 3), 90, np.uint8)
    pictures[:, 8:16, 8:24] = 220
    detector, seen = sees(130.0)
    answer = ask(from_array(pictures, fps=25.0, name="parked"), CARS, detector=detector, accuracy=0.8)
    plans, last = answer.proof["plan"].tolist(), tried[-1]
    assert plans[-len(tried) :] == [f"every={factor}" for factor in tried]
    assert answer.proof["chosen"].tolist()[-1]
    told = "not tried: every=5 (the canary would be more than 10% of the frames)."
    assert any(told in note for note in answer.notes) == (last < 5)
    assert answer.proof["frames"].max() <= frames / 10
    assert answer.events[["start", "end"]].to_numpy().tolist() == [[0.0, pytest.approx(frames / 25, abs=0.2)]]
    assert set(np.diff(answer.frames["frame"])) == {last}
    assert seen() < frames / last + frames / 5  # the canary's smaller pictures are counted, too


def redness(images: list[np.ndarray]) -> list[float]:
    return [float(image[:, :, 1].max()) for image in images]


def fails(images: list[np.ndarray]) -> list[float]:
    raise ValueError("empty picture")


def test_proxies_are_measured_beside_and_used_where_they_save_more(sees: Any) -> None:
    # A light that comes and goes is no background: half of the empty frames pass that test.
    pictures = street()
    pictures[:, 40:, :, 0] = 255 * np.random.default_rng(0).integers(0, 2, (FRAMES, 1, 1), dtype=np.uint8)
    detector, _ = sees(250.0)
    wb.video.register_proxy("redness", redness, labels=["car", "truck"])
    wb.video.register_proxy("fails", fails)
    wb.video.register_proxy("persons", redness, labels="person")
    answer = ask(from_array(pictures, fps=25.0, name="lights"), CARS, detector=detector, accuracy=0.8)
    used = answer.proof[answer.proof["chosen"]].iloc[0]
    assert used["plan"].startswith("skip frames of redness below 2")
    assert "lights: not used: the proxy fails failed (ValueError: empty picture)." in answer.notes
    assert not answer.proof["plan"].str.contains("persons").any()
    exact = ask(from_array(pictures, fps=25.0, name="lights"), CARS, detector=detector)
    assert_same(answer, exact)  # a perfect proxy loses nothing


def test_a_useless_or_harmful_proxy_is_not_used(sees: Any) -> None:
    detector, _ = sees(250.0)
    wb.video.register_proxy("constant", lambda images: [1.0] * len(images))
    wb.video.register_proxy("upside_down", lambda images: [-float(image[:, :, 1].max()) for image in images])
    answer = ask(source(5), CARS, detector=detector, accuracy=0.8)
    assert "street: not used: skip frames by constant (saves nothing)." in answer.notes
    assert "street: not used: skip frames by upside_down (saves nothing)." in answer.notes
    assert not answer.proof["plan"].str.contains("constant|upside_down").any()


def test_start_end_limit_and_several_videos(sees: Any) -> None:
    detector, _ = sees(250.0)
    both = [source(0, "a"), source(50, "b", frames=40)]
    answer = ask(both, CARS, detector=detector, accuracy=0.8)
    assert answer.proof["video"].unique().tolist() == ["a", "b"]
    assert answer.proof[answer.proof["video"] == "b"]["plan"].tolist() == ["exact"]
    assert any(note.startswith("b is too short to prove accuracy 0.8; ran exactly.") for note in answer.notes)
    assert repr(answer).endswith("accuracy 0.8")
    alone = ask(both[0], CARS, detector=detector, accuracy=0.8)
    pd.testing.assert_frame_equal(answer.events[answer.events["video"] == "a"], alone.events)
    first = ask(both, CARS, detector=detector, accuracy=0.8, limit=2)
    pd.testing.assert_frame_equal(first.events, answer.events.head(2))
    part = ask(both[0], CARS, detector=detector, accuracy=0.8, start="2s", end="26s")
    assert part.proof["frames"].max() <= 60
    assert part.events["start"].min() >= 2.0
    assert part.events["end"].max() <= 26.0


def test_before_it_runs_the_plan_says_what_will_be_tried_and_after_it_what_was_chosen(sees: Any) -> None:
    detector, seen = sees(250.0)
    wb.video.register_proxy("redness", redness)
    planned = wb.video.explain(source(), CARS, detector=detector, accuracy=0.8)
    assert seen() == 0
    assert planned.notes == (
        "street: accuracy 0.8: a canary of at most 70 of 700 frames chooses among skipping frames like the background, "
        "skipping frames by redness, smaller pictures and a coarser every, when it runs.",
    )
    answer = ask(source(), CARS, detector=detector, accuracy=0.8)
    known = wb.video.explain(source(), CARS, detector=detector, accuracy=0.8)
    assert set(known.notes) == set(answer.plan.notes) - {"ms of decode, detect and props are summed over the workers"}
    assert "skip" in [node.op for _, node in known.walk()]
    boxes = pd.DataFrame({"frame": [0], "x1": [0], "y1": [0], "x2": [9], "y2": [9], "label": ["car"]})
    given = wb.video.explain(source(), CARS, detector=boxes, accuracy=0.8)
    assert given.notes == ("street: given boxes need no detector. Leave --accuracy out.",)


def notes_of(answer: Any) -> list[str]:
    assert repr(answer).endswith("exact")
    return answer.notes


def test_what_cannot_be_proven_is_searched_exactly_and_says_so(sees: Any) -> None:
    detector, seen = sees(250.0)
    short = from_array(street(frames=300), fps=25.0, name="cam1.mp4")
    with pytest.warns(UserWarning, match="too short to prove accuracy 0.95"):
        answer = wb.vquery(short, CARS, detector=detector, accuracy=0.95)
    assert notes_of(answer) == [
        "cam1.mp4 is too short to prove accuracy 0.95; ran exactly. Use a lower --accuracy or a longer video."
    ]
    assert seen() == 300
    assert_same(answer, ask(short, CARS, detector=detector))
    # long enough, but with too little to be seen
    rare = from_array(street(frames=700, every=400), fps=25.0, name="rare")
    answer = ask(rare, CARS, detector=detector, accuracy=0.9)
    assert notes_of(answer)[0] == (
        "rare is too short to prove accuracy 0.9; ran exactly. Use a lower --accuracy or a longer video."
    )
    assert answer.notes[1].startswith("rare: exact, after a canary of 70 of 700 frames (10.0 %), ")
    # enough to be seen, but in every frame, and never surely in a smaller picture
    busy = from_array(street(every=60), fps=25.0, name="busy")
    answer = ask(busy, MOVING, detector=detector, accuracy=0.8)
    assert notes_of(answer)[0] == (
        "No cheaper plan was proven to keep accuracy 0.8 on busy; ran exactly. "
        "Use a lower --accuracy; .proof lists what was tried."
    )
    assert not answer.proof["legal"][1:].any()


def test_where_there_is_no_detector_to_save_it_is_said() -> None:
    boxes = pd.DataFrame({"frame": [0, 1, 2], "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0, "label": "car"})
    answer = ask(source(), CARS, detector=boxes, accuracy=0.8)
    assert notes_of(answer) == ["street: given boxes need no detector; ran exactly. Leave --accuracy out."]
    dark = "class Dark(Query):\n    scene: Scene\n    where = scene.brightness < 0.1"
    answer = ask(source(), dark, accuracy=0.8)
    assert notes_of(answer)[-1] == (
        "Dark asks about every frame of street; ran exactly. Leave --accuracy out, or use --every."
    )


def test_a_live_source_has_no_canary() -> None:
    live = wb.video.live(source(frames=40))
    lines = error(live, CARS, detector=pd.DataFrame(columns=["frame", "x1", "y1", "x2", "y2"]), accuracy=0.9)
    assert lines == [
        f"{live.name} is live: there is no canary to prove accuracy 0.9 on.",
        "Leave --accuracy out; --every 2 looks at half of the frames.",
    ]
