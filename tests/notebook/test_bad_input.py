"""Bad input through `%%vquery` and the command line, with the real engine below: two lines, or what was found."""

from __future__ import annotations

import _thread
import threading
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.video import clips, scenes
from tests.video.models.mirror import needs_mirror
from workbench import cli
from workbench.engine import session
from workbench.engine.errors import Stopped, WorkbenchWarning
from workbench.engine.fetch import asset
from workbench.engine.store import Store
from workbench.notebook import live
from workbench.video.models import registry

ANY = "class Things(Query):\n    thing: Object\n    where = thing.score > 0.1\n"
CARS = 'class Cars(Query):\n    car: Car\n    where = car.x1 > "20px"\n'
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes.write_scene(tmp_path_factory.mktemp("clips") / "cam1.mp4", 120)


@pytest.fixture(autouse=True)
def place(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test two workers, and a folder with one clip to be in."""
    session.session(workers=2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cam1.mp4").symlink_to(scene)
    return tmp_path


@pytest.fixture
def noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the hook back that pytest takes out of each test."""
    warnings.simplefilter("default", WorkbenchWarning)
    monkeypatch.setattr(warnings, "showwarning", live.note_hook(warnings.showwarning))


def texts(front: Any) -> list[str]:
    return [bundle["text/plain"] for bundle, _, update in front.shown if "text/plain" in bundle]


def test_files_that_hold_no_video(front: Any, place: Path) -> None:
    (place / "empty.mp4").touch()
    (place / "lobby.txt").write_text("no video\n" * 99)
    for name in ("empty.mp4", "lobby.txt"):
        assert front.error(f"%%vquery {name} -o red\n{ANY}") == [
            f"{name} is not a video that can be read.", "Convert it to MP4 (H.264) or check the path.",
        ]  # fmt: skip
    assert front.error(f"%%vquery cam2.mp4 -o red\n{ANY}") == [
        "No video matches 'cam2.mp4'.", f"Looked in {place}; closest: cam1.mp4.",
    ]  # fmt: skip
    assert "red" not in front.names and front.shown == []


METRES = CARS.replace('car.x1 > "20px"', 'car.speed > "20km/h"')
OUTSIDE = "yard = Region((0, 0), (50, 0), (1143, 960))\n" + CARS.replace('car.x1 > "20px"', "car.inside(yard)")
CROSSED = OUTSIDE.replace("(50, 0), (1143, 960)", "(50, 50), (50, 0), (0, 50)")


@pytest.mark.parametrize(
    ("line", "body", "first", "last"),
    [
        ("cam1.mp4 --detector yolo", CARS, "No detector is named 'yolo'.",
         "Did you mean 'yolox-nano'? wb.video.detectors() lists them."),
        ("cam1.mp4 --detector 5", CARS, "No detector is named '5'.", "wb.video.detectors() lists them."),
        pytest.param(
            "cam1.mp4 --detector motion", CARS.replace("car: Car", "car: Lift").replace(
                "class Cars", 'class Lift(Object, label="forklift"): pass\nclass Cars'),
            "No available detector finds 'forklift'.",
            "Closest labels: truck, car. Use register_detector() or detector=.", marks=needs_mirror,
        ),
        ("cam1.mp4 --every 0", CARS, "every must be a whole number of at least 1, got 0.",
         "Use every=1 for each frame."),
        ("cam1.mp4 --every x", CARS, '--every is a whole number of at least 1; got "x".', "Example: --every 2"),
        ("cam1.mp4 --limit 0", CARS, "limit must be a whole number of at least 1, got 0.",
         "Use limit=None for all events."),
        ("cam1.mp4 --accuracy ten", CARS, '--accuracy is a number from 0.5 to 1; got "ten".',
         "Example: --accuracy 0.95"),
        ("cam1.mp4 --from 5", CARS, "start needs a unit, got 5.", 'Write "5s".'),
        ("cam1.mp4 --from 5s --to 00:04", CARS, "end must be after start, got 00:04 and 5s.", "Use a later end."),
        ("cam1.mp4", METRES, "cam1.mp4 has no scale, so metres mean nothing.",
         'Add scale = Scale(person="1.7m") or use px.'),
        ("{path}", METRES, "cam1.mp4 has no scale, so metres mean nothing.",
         'Add scale = Scale(person="1.7m") or use px.'),
        ("array", METRES, "array has no scale, so metres mean nothing.",
         'Add scale = Scale(person="1.7m") or use px.'),
        ("cam1.mp4", OUTSIDE, "yard has a corner at (1143, 960) but cam1.mp4 is 128x96.",
         'Use corners inside the picture, or "%" units.'),
        ("cam1.mp4", CROSSED, "yard is not a simple polygon.", "List at least 3 corners in order around it."),
        ("cam1.mp4 --detector boxes", CARS, "The table of boxes lacks 'x2'.",
         "Columns: frame, x1, y1, x2, y2[, label, score, id]."),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(front: Any, line: str, body: str, first: str, last: str) -> None:
    from workbench.video import from_array

    front.shell.user_ns.update(
        path=Path("cam1.mp4"), array=from_array(scenes.frames(5), fps=10.0), boxes=scenes.truth(120).drop(columns="x2")
    )
    lines = front.error(f"%%vquery {line} -o red\n{body}")
    assert (lines[0], lines[-1]) == (first, last)
    assert "red" not in front.names and front.shown == []


def test_a_detector_that_fails_everywhere(front: Any) -> None:
    def broken(images: list[Any]) -> list[pd.DataFrame]:
        raise RuntimeError(EVIL)

    front.shell.user_ns["broken"] = broken
    assert front.error(f"%%vquery cam1.mp4 --detector broken -o red\n{CARS}") == [
        f"broken failed on each of 120 frames of cam1.mp4 (RuntimeError: {EVIL}).",
        "Nothing was searched. wb.video.read_frame() gives a picture to try the detector on.",
    ]
    assert "red" not in front.names
    assert not any(EVIL in str(bundle.get("text/html", "")) for bundle, _, _ in front.shown)


@pytest.mark.usefixtures("noted")
def test_a_property_that_fails_is_told_once_and_the_answer_is_shown(front: Any) -> None:
    front.shell.user_ns["boxes"] = scenes.truth(120)
    body = "class Mine(Car):\n    @prop\n    def odd(self, frame):\n        return 1 / (frame % 2)\n" + CARS.replace(
        "car: Car", "car: Mine"
    ).replace('car.x1 > "20px"', "car.odd == 1")
    value = front.value(f"%%vquery cam1.mp4 --detector boxes -o red\n{body}")
    wanted = "odd failed on 53 of 106 calls (ZeroDivisionError: division by zero)."
    assert [text.split(" Those")[0] for text in value.notes] == [wanted]
    assert len(value) == 2 and front.names["red"] is value
    assert sum(wanted in text for text in texts(front)) == 1


def test_markup_stays_text_in_what_is_shown(front: Any, place: Path) -> None:
    (place / f"{EVIL}.mp4").symlink_to(place / "cam1.mp4")
    boxes = scenes.truth(120).assign(label="</script><script>alert(1)</script>")
    front.shell.user_ns.update(boxes=boxes, source=f"{EVIL}.mp4")
    body = (
        f"class Mine(Object):\n    @prop\n    def evil(self, frame):\n        return {EVIL!r}\n"
        "class Things(Query):\n    thing: Mine\n    where = known(thing.evil)\n    select = thing.evil, thing.label\n"
    )
    value = front.value(f"%%vquery {{source}} --detector boxes\n{body}")
    assert value.events["thing_evil"].unique().tolist() == [EVIL]
    pages = [str(bundle["text/html"]) for bundle, _, _ in front.shown if "text/html" in bundle]
    assert pages
    for page in pages:
        assert "&lt;img src=x" in page
        assert "<img src=x" not in page and "<script" not in page.lower()


@pytest.mark.usefixtures("noted")
def test_a_full_disk_and_a_cut_file_are_notes(front: Any, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = clips.clip(place / "whole.mp4", 120, muxing={"movflags": "faststart"}, options={"bf": "0", "g": "25"})
    (place / "lobby.mp4").write_bytes(whole.read_bytes()[: clips.packets(whole)[75][1]])
    front.shell.user_ns["boxes"] = pd.DataFrame({"frame": range(75), "x1": 0.0, "y1": 0.0, "x2": 9.0, "y2": 9.0})

    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "_commit", full)
    value = front.value(f"%%vquery lobby.mp4 --detector boxes\n{ANY}")
    cut = "lobby.mp4: 1 of 4 parts cannot be decoded (00:03-00:04)."
    assert value.notes == [f"{cut} The rest was searched."]
    assert len(value) == 1 and value.events["frame_end"].tolist() == [74]
    shown = "\n".join(texts(front))
    assert cut in shown
    assert shown.count("The disk of the store is full: results are not kept.") == 1


def test_without_weights_motion_stands_in(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine import fetch

    def unreachable(place: str) -> bytes:
        raise OSError("Network is unreachable")

    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    monkeypatch.setattr(fetch, "_read", unreachable)
    value = front.value(f"%%vquery cam1.mp4 --to 1s\n{ANY}")
    note = "yolox-nano's weights cannot be had; using 'motion', which is cruder."
    assert value.notes == [f"{note} Run workbench fetch yolox-nano, or set WORKBENCH_MIRROR."]
    assert note in "\n".join(texts(front))


def test_weights_with_a_wrong_hash(
    front: Any, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = asset("yolox-nano-dynamic")
    (place / wanted.path).parent.mkdir(parents=True, exist_ok=True)
    (place / wanted.path).write_bytes(b"not these")
    monkeypatch.setenv("WORKBENCH_MIRROR", str(place))
    message = "yolox-nano-dynamic from the mirror has the wrong hash; nothing was kept."
    assert front.error(f"%%vquery cam1.mp4\n{ANY}")[0] == message
    capsys.readouterr()
    assert cli.main(["fetch", "yolox-nano-dynamic"]) == 1
    out, lines = capsys.readouterr()
    assert out == "" and lines.splitlines()[0] == message and len(lines.splitlines()) == 2


def test_an_interrupt_keeps_what_was_found_and_a_rerun_goes_on(front: Any, tmp_path: Path) -> None:
    seen, go = tmp_path / "seen", tmp_path / "go"
    seen.mkdir()

    def slow(images: list[Any]) -> list[pd.DataFrame]:
        (seen / uuid.uuid4().hex).write_text(str(len(images)))
        while images[0][60:72, 60:, 2].max() > 150 and not go.exists():  # the red car has come half of the way
            time.sleep(0.02)
        return [scenes.bright_boxes(image) for image in images]

    def interrupt() -> None:
        while len(list(seen.iterdir())) < 9:
            time.sleep(0.02)
        time.sleep(0.3)
        _thread.interrupt_main()

    registry.register_detector("slow", slow, labels=["car", "person"], version=str(seen), batch=4)
    threading.Thread(target=interrupt, daemon=True).start()
    try:
        cell = f"%%vquery cam1.mp4 --detector slow -o red\n{CARS}"
        error = front.run(cell).error_in_exec
        assert isinstance(error, Stopped)
        red = front.names["red"]
        assert red.partial and red is error.result
        done = round(float(red.searched["end"].iloc[-1]) * 10)
        assert 16 <= done < 120
        message, hint = error.lines()
        assert message.startswith("Stopped at ") and message.endswith(" of 120 frames; what was found is kept in red.")
        assert hint == "Run the cell again to go on from there."
        assert any("Stopped at" in text for text in texts(front))
        go.touch()
        while scenes.counted(seen):  # what was on its way to a worker ends
            time.sleep(0.3)
        whole = front.value(cell)
        assert scenes.counted(seen) <= 120 - done
        assert not whole.partial and len(whole) == 2 and front.names["red"] is whole
    finally:
        registry._REGISTERED.pop("slow")
