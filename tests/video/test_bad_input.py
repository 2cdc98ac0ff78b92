"""Bad files, detectors, tables of boxes, shapes and options: two lines, or a right answer with nothing lost."""

from __future__ import annotations

import os
import threading
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video import clips, scenes
from tests.video.asking import error, quietly
from tests.video.models.mirror import needs_mirror
from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.video.models import registry

pytestmark = pytest.mark.usefixtures("cluster")

ANY = """
class Things(Query):
    thing: Object
    where = thing.score > 0.1
"""
CARS = """
class Cars(Query):
    car: Car
    where = car.x1 > "20px"
"""
UNREADABLE = "Convert it to MP4 (H.264) or check the path."


def one_box(images: list[Any]) -> list[pd.DataFrame]:
    """Find the upper left quarter of each picture."""
    return [
        pd.DataFrame({"x1": [0.0], "y1": [0.0], "x2": [image.shape[1] / 2], "y2": [image.shape[0] / 2]})
        for image in images
    ]


def bright(images: list[Any]) -> list[pd.DataFrame]:
    return [scenes.bright_boxes(image) for image in images]


# ------------------------------------------------------------------------------------------------------------- files


def _empty(path: Path) -> None:
    path.touch()


def _text(path: Path) -> None:
    path.write_text("nothing to be seen here\n" * 500)


def _noise(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(5000))


def _audio(path: Path) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=44100)
        for part in range(8):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.rate, frame.pts = 44100, part * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(1600))


def _no_frames(path: Path) -> None:
    clips.clip(path, 0)


def _without_index(path: Path) -> None:
    data = clips.clip(path, 40).read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])  # the index of an MP4 stands at its end


@pytest.mark.parametrize(
    ("make", "ending"),
    [(_empty, "mp4"), (_text, "txt"), (_text, "mp4"), (_noise, "mp4"), (_audio, "mp4"), (_sound, "wav"),
     (_no_frames, "mp4"), (_without_index, "mp4")],
)  # fmt: skip
def test_a_file_that_holds_no_video(
    make: Callable[[Path], None], ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / f"lobby.{ending}")
    expected = [f"lobby.{ending} is not a video that can be read.", UNREADABLE]
    assert error(f"lobby.{ending}", ANY, detector=one_box) == expected
    for ask in (wb.video.probe, wb.video.detect, wb.video.tracks):
        with pytest.raises(WorkbenchError) as caught:
            ask(f"lobby.{ending}")
        assert caught.value.lines() == expected


def test_a_file_that_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cam1.mov").touch()
    assert error("cam*.mp4", ANY) == ["No video matches 'cam*.mp4'.", f"Looked in {tmp_path}; closest: cam1.mov."]
    assert error("yard/x.mp4", ANY)[0] == "No video matches 'yard/x.mp4'."


def test_a_pipe_is_no_video_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "cam.mp4")
    assert error(tmp_path / "cam.mp4", ANY)[0] == f"No video matches '{tmp_path / 'cam.mp4'}'."


def test_a_file_that_was_cut_off_is_searched_as_far_as_it_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    whole = clips.clip(tmp_path / "whole.mp4", 200, muxing={"movflags": "faststart"}, options={"bf": "0", "g": "25"})
    place = clips.packets(whole)[75][1]
    (tmp_path / "lobby.mp4").write_bytes(whole.read_bytes()[:place])
    with pytest.warns(WorkbenchWarning) as caught:
        answer = wb.vquery("lobby.mp4", ANY, detector=one_box)
    message = "lobby.mp4: 1 of 4 parts cannot be decoded (00:03-00:08)."
    assert [str(item.message) for item in caught] == [f"{message}\nThe rest was searched."]
    assert answer.notes == [f"{message} The rest was searched."]
    assert answer.searched[["start", "end"]].to_numpy().tolist() == [[0.0, 3.0]]
    assert answer.events["frame_end"].tolist() == [74]
    assert wb.vquery("lobby.mp4", ANY, detector=one_box, end="2s").notes == []  # all that was asked for is there


def test_frame_times_are_the_files_own(tmp_path: Path) -> None:
    times = np.cumsum([0, *[0.04] * 20, *[0.2] * 20, *[0.02] * 19])
    clip = clips.clip(tmp_path / "a.mkv", 60, times=times.tolist())
    answer = wb.vquery(clip, ANY, detector=one_box, start="1s", end="4s")
    assert wb.video.probe(clip).variable_rate
    assert answer.frames["time"].to_numpy() == pytest.approx(times[(times >= 1) & (times < 4)], abs=1e-3)
    assert answer.events["end"].iloc[0] == pytest.approx(4.0, abs=1e-3)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_boxes_of_a_rotated_file_are_those_of_the_upright_picture(rotation: int, tmp_path: Path) -> None:
    clip = clips.clip(tmp_path / "a.mp4", 6, rotation=rotation)
    answer = wb.vquery(clip, ANY, detector=one_box)
    width, height = (64, 48) if rotation == 180 else (48, 64)
    assert answer.frames[["x2", "y2"]].drop_duplicates().to_numpy().tolist() == [[width / 2, height / 2]]
    assert wb.video.read_frame(clip, 0).shape == (height, width, 3)


# --------------------------------------------------------------------------------------------------------- detectors


def test_a_detector_that_fails_everywhere_is_an_error_that_names_why(clip: Path) -> None:
    def broken(images: list[Any]) -> list[pd.DataFrame]:
        raise RuntimeError("no <b>memory</b>\nat all")

    expected = f"broken failed on each of 40 frames of {clip} (RuntimeError: no <b>memory</b> at all)."
    hint = "Nothing was searched. wb.video.read_frame() gives a picture to try the detector on."
    assert error(clip, CARS, detector=broken, end="4s") == [expected, hint]
    for ask in (wb.video.detect, wb.video.tracks):
        with pytest.raises(WorkbenchError) as caught:
            ask(clip, detector=broken, end="4s")
        assert caught.value.lines() == [expected, hint]


@pytest.mark.parametrize(
    ("give", "why"),
    [
        (lambda images: None, "The detector returned NoneType for 1 images"),
        (lambda images: [], "The detector returned 0 tables for 1 images"),
        (lambda images: [pd.DataFrame({"x1": [1.0]}) for _ in images], "The detector's boxes lack 'y1'"),
        (lambda images: [pd.DataFrame({"x1": [60.0], "y1": [20.0], "x2": [24.0], "y2": [12.0]}) for _ in images],
         "The detector's box (60, 20, 24, 12) ends before it begins"),
        (lambda images: exit(3), "SystemExit: 3"),
    ],
)  # fmt: skip
def test_a_detector_that_gives_no_boxes(clip: Path, give: Any, why: str) -> None:
    assert f"({why})." in error(clip, CARS, detector=give, end="1s")[0]


def test_a_detector_that_fails_on_some_frames_costs_these(clip: Path) -> None:
    def picky(images: list[Any]) -> list[pd.DataFrame]:
        for image in images:
            if image[76:88, :, 0].max() > 150:  # the blue car
                raise SystemExit("no\nblue")
        return bright(images)

    with pytest.warns(WorkbenchWarning) as caught:
        answer = wb.vquery(clip, CARS, detector=picky)
    assert len(caught) == 1
    assert str(caught[0].message).startswith(f"{clip}: picky failed on 91 of 300 frames (SystemExit: no blue).\nThose")
    assert answer.status == "done"
    assert answer.searched[["start", "end"]].to_numpy().tolist() == pytest.approx(np.array([[0, 10], [19.1, 30]]))
    whole = wb.vquery(clip, CARS, detector=bright)
    assert answer.events["start"].tolist() == pytest.approx(whole.events["start"].iloc[[0, 2]].tolist(), abs=0.3)


def test_a_detector_that_no_worker_can_have(clip: Path) -> None:
    held = threading.Lock()

    def locked(images: list[Any]) -> list[pd.DataFrame]:
        with held:
            return bright(images)

    with pytest.raises(WorkbenchError) as caught:
        quietly(clip, CARS, detector=locked)
    assert caught.value.lines() == [
        "locked cannot be sent to the workers (TypeError: cannot pickle '_thread.lock' object).",
        "Make what it reads inside the function, at its first call.",
    ]


def test_an_edited_detector_runs_although_its_version_stayed(clip: Path) -> None:
    try:
        registry.register_detector("mine", bright, labels=["car", "person"], version="1")
        before = wb.vquery(clip, CARS, detector="mine", end="5s")
        registry.register_detector(
            "mine", lambda images: [scenes.bright_boxes(image)[:0] for image in images], labels=["car", "person"],
            version="1",
        )  # fmt: skip
        assert len(before) == 1
        assert len(wb.vquery(clip, CARS, detector="mine", end="5s", fresh=True)) == 0
    finally:
        registry._REGISTERED.pop("mine")


@needs_mirror
def test_unknown_detectors_and_labels(clip: Path) -> None:
    assert error(clip, CARS, detector="yolo") == [
        "No detector is named 'yolo'.", "Did you mean 'yolox-nano'? wb.video.detectors() lists them.",
    ]  # fmt: skip
    forklift = 'class Lift(Object, label="forklift"): pass\n' + CARS.replace("car: Car", "car: Lift")
    assert error(clip, forklift, detector="motion") == [
        "No available detector finds 'forklift'.",
        "Closest labels: truck, car. Use register_detector() or detector=.",
    ]


BOXES = "Columns: frame, x1, y1, x2, y2[, label, score, id]."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns="x2"), "The table of boxes lacks 'x2'."),
        (lambda table: table.assign(id=3), "The table of boxes has id 3 twice in frame 20."),
        (lambda table: table.assign(label=None), "The table of boxes has a missing 'label'."),
        (lambda table: table.assign(x1=np.nan), "The table of boxes has a missing 'x1'."),
        (lambda table: table.assign(score="high"), "The table of boxes has a 'score' that is not a number."),
        (lambda table: table.assign(frame=0.5), "The table of boxes has a 'frame' that is not a whole number."),
    ],
)
def test_tables_that_are_no_boxes(clip: Path, change: Any, message: str) -> None:
    assert error(clip, CARS, detector=change(scenes.truth())) == [message, BOXES]


def test_boxes_that_fit_no_frame_are_told(clip: Path) -> None:
    boxes = scenes.truth()
    late = quietly(clip, CARS, detector=boxes.assign(frame=boxes["frame"] + 200))
    beyond = int((boxes["frame"] >= 100).sum())
    assert late.notes[0].startswith(f"The table of boxes has {beyond} boxes beyond the 300 frames of scene.mp4.")
    others = quietly(clip, CARS, detector=boxes.assign(video="cam2.mp4"))
    assert others.notes[0].startswith("The table of boxes has no rows for scene.mp4.")
    assert wb.vquery(clip, CARS, detector=boxes.assign(video="scene.mp4")).notes == []


# ---------------------------------------------------------------------------------------------- shapes, units, options


@pytest.mark.parametrize(
    ("yard", "message", "hint"),
    [
        ("(0, 0), (50, 0), (1143, 960)", "yard has a corner at (1143, 960) but scene.mp4 is 128x96.",
         'Use corners inside the picture, or "%" units.'),
        ("(0, 0), (50, 50), (50, 0), (0, 50)", "yard is not a simple polygon.",
         "List at least 3 corners in order around it."),
        ("(0, 0), (50, 50)", "yard is not a simple polygon.", "List at least 3 corners in order around it."),
        ("(0, 0), (50, 50), (90, 90)", "yard is not a simple polygon.", "List at least 3 corners in order around it."),
    ],
)  # fmt: skip
def test_regions_that_cannot_be_meant(clip: Path, yard: str, message: str, hint: str) -> None:
    text = f"yard = Region({yard})\n" + CARS.replace('car.x1 > "20px"', "car.inside(yard)")
    lines = error(clip, text, detector=scenes.truth())
    assert (lines[0], lines[-1]) == (message, hint)


def test_metres_without_a_scale_name_the_video(clip: Path) -> None:
    lines = error(clip, CARS.replace('car.x1 > "20px"', 'car.speed > "20km/h"'), detector=scenes.truth())
    assert lines[0] == "scene.mp4 has no scale, so metres mean nothing."
    assert lines[-1] == 'Add scale = Scale(person="1.7m") or use px.'


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"every": 0}, "every must be a whole number of at least 1, got 0.", "Use every=1 for each frame."),
        ({"every": "2"}, "every must be a whole number of at least 1, got '2'.", "Use every=1 for each frame."),
        ({"limit": 0}, "limit must be a whole number of at least 1, got 0.", "Use limit=None for all events."),
        ({"accuracy": 1}, "accuracy must be a number from 0.5 to below 1, got 1.",
         "Use accuracy=None for the exact answer."),
        ({"start": 5}, "start needs a unit, got 5.", 'Write "5s".'),
        ({"start": "1:99"}, 'start is a time; got "1:99".', 'Write "90s", "2min" or "01:30".'),
        ({"end": "5px"}, 'end is a time and "5px" is not.', 'Write "90s", "2min" or "01:30".'),
        ({"start": "5s", "end": "00:05"}, "end must be after start, got 00:05 and 5s.", "Use a later end."),
        ({"start": "-1s"}, "start must not be negative, got -1s.", "Use start=None for the whole video."),
    ],
)  # fmt: skip
def test_options_that_cannot_be_meant(clip: Path, options: dict[str, Any], message: str, hint: str) -> None:
    assert error(clip, CARS, detector=scenes.truth(), **options) == [message, hint]
    with pytest.raises(WorkbenchError, match=r"."):
        wb.video.explain(clip, CARS, detector=scenes.truth(), **options)
