"""Faults of own functions, weights, disks, workers and people: two lines, or a right answer with nothing lost."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import workbench as wb
from tests.video import scenes
from tests.video.asking import error, quietly
from workbench.engine import fetch, store
from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.engine.fetch import asset

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
TABLES = ("events", "objects", "frames", "groups", "errors")


def bright(images: list[Any]) -> list[pd.DataFrame]:
    return [scenes.bright_boxes(image) for image in images]


def assert_same(one: Any, other: Any) -> None:
    for name in TABLES:
        pd.testing.assert_frame_equal(one.table(name), other.table(name), check_exact=True, obj=name)


# -------------------------------------------------------------------------------------------------------- properties

MINE = """
class Mine(Car):
    {deco}
    def shade(self, {args}):
        {body}
class Shades(Query):
    car: Mine
    where = known(car.shade)
    select = car.id, car.shade
"""


def shades(clip: Path, body: str, *, pixels: bool = True, **options: Any) -> Any:
    deco, args = ("@prop(once=True)", "image") if pixels else ("@prop", "frame")
    return quietly(clip, MINE.format(body=body, deco=deco, args=args), detector=scenes.truth(120), end="12s", **options)


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("raise ValueError('empty\\ncrop')", "ValueError: empty crop"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("return (i for i in ())", "TypeError: shade returned a generator, which cannot be kept"),
        ("return chr(0xd800)", "UnicodeEncodeError: "),
        ("return self.color", "AttributeError: self has no values; write def shade(self, color) to get color"),
    ],
)
def test_a_property_that_fails_leaves_missing_values(clip: Path, body: str, why: str, pixels: bool) -> None:
    answer = shades(clip, body, pixels=pixels)
    assert answer.status == "done"
    assert len(answer) == 0
    assert set(answer.errors["id"]) == {1, 3}
    assert answer.errors["error"].str.startswith(why).all()
    calls = len(answer.errors)
    (note,) = answer.notes
    assert note.startswith(f"shade failed on {calls} of {calls} {'crops' if pixels else 'calls'} ({why}")
    assert note.endswith("). Those values are missing; see .errors.")


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize(
    ("body", "events"),
    [("return None", 0), ("return float('nan')", 0), ("return [1, 2]", 2), ("return {'a': 1}", 2), ("return 1j", 2),
     ("return lambda: 1", 2), ("import time; time.sleep(0.002); return 1", 2), ("return '<b>'", 2)],
)  # fmt: skip
def test_a_property_may_give_what_it_likes_and_a_rerun_gives_the_same(
    clip: Path, body: str, events: int, pixels: bool
) -> None:
    answer = shades(clip, body, pixels=pixels)
    assert (len(answer), len(answer.errors), answer.notes) == (events, 0, [])
    again = shades(clip, body, pixels=pixels)
    assert repr(again) and again._repr_mimebundle_()
    if "lambda" not in body:
        assert_same(answer, again)


def test_a_property_of_mixed_types_compares_with_what_compares(clip: Path) -> None:
    body = "return 'a' if frame % 2 else 3"
    text = MINE.format(body=body, deco="@prop", args="frame")
    for condition, parity in (("car.shade == 'a'", 1), ("car.shade > 2", 0)):
        answer = wb.vquery(clip, text.replace("known(car.shade)", condition), detector=scenes.truth())
        assert set(answer.frames[answer.frames["matched"]]["frame"] % 2) == {parity}


def test_a_property_that_reads_what_no_worker_can_have(clip: Path) -> None:
    with pytest.raises(WorkbenchError) as caught:
        shades(clip, "return 1 if held else 2", namespace={"held": threading.Lock()})
    assert caught.value.message == (
        "shade cannot be sent to the workers (TypeError: cannot pickle '_thread.lock' object)."
    )


def test_a_property_that_cannot_be_told_from_the_next_says_so(clip: Path) -> None:
    class Model:
        def __call__(self, image: Any) -> float:
            return 1.0

    answer = shades(clip, "return model(image)", namespace={"model": Model()})
    assert len(answer) == 2
    assert answer.notes == [
        "shade reads 'model', which cannot be fingerprinted; not cached. Pass version=\"...\" to @prop."
    ]


def test_a_value_that_is_never_met_is_told(clip: Path) -> None:
    answer = quietly(clip, CARS.replace('car.x1 > "20px"', "car.color == 'rad'"), detector=scenes.truth())
    assert answer.notes == ["color is one of white, gray, ...; 'rad' never matches. Did you mean 'red'?"]


# -------------------------------------------------------------------------------------------------- weights, disks


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network and no mirror, and nothing fetched before."""

    def unreachable(place: str) -> bytes:
        raise OSError("Network is unreachable")

    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    monkeypatch.setattr(fetch, "_read", unreachable)


@pytest.mark.usefixtures("offline")
def test_without_network_and_mirror_motion_stands_in_and_says_so(clip: Path) -> None:
    with pytest.warns(WorkbenchWarning) as caught:
        answer = wb.vquery(clip, ANY, end="1s")
    note = "yolox-nano's weights cannot be had; using 'motion', which is cruder."
    hint = "Run workbench fetch yolox-nano, or set WORKBENCH_MIRROR."
    assert [str(item.message) for item in caught] == [f"{note}\n{hint}"]
    assert answer.notes == [f"{note} {hint}"]
    assert answer.status == "done"


def test_weights_with_a_wrong_hash_are_never_used(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = asset("yolox-nano-dynamic")
    file = tmp_path / "mirror" / wanted.path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"not these")
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path / "mirror"))
    for detector in (None, "yolox-nano"):
        message, hint = error(clip, ANY, detector=detector)
        assert message == "yolox-nano-dynamic from the mirror has the wrong hash; nothing was kept."
        assert hint.startswith(f"Expected sha256 {wanted.sha256[:16]}..., got ")
    assert not store.store().has(wanted.key)


def test_a_full_disk_costs_what_would_be_kept_and_one_warning(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*paths: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    body = "return float(image.mean())"
    expected = shades(clip, body)
    monkeypatch.setattr(store.Store, "_commit", full)
    text = MINE.format(body=body, deco="@prop(once=True)", args="image")
    with pytest.warns(WorkbenchWarning) as caught:
        answer = wb.vquery(clip, text, detector=scenes.truth(120), end="12s", fresh=True)
    assert [str(item.message) for item in caught] == [
        "The disk of the store is full: results are not kept.\n"
        "Make room, or set WORKBENCH_HOME to a folder on another disk; the work goes on."
    ]
    assert_same(answer, expected)


# ------------------------------------------------------------------------------------------------ kills and interrupts


def test_a_killed_worker_costs_at_most_its_chunk(clip: Path, seen: Path) -> None:
    marker = seen.parent / "killed"

    def deadly(images: list[Any]) -> list[pd.DataFrame]:
        (seen / uuid.uuid4().hex).write_text(str(len(images)))
        if images[0][76:88, :, 0].max() > 150:  # in the middle of a chunk
            try:
                marker.touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return bright(images)

    answer = wb.vquery(clip, CARS, detector=deadly)
    assert marker.exists()
    assert answer.notes == []
    assert 300 <= scenes.counted(seen) <= 300 + 128
    assert_same(answer, wb.vquery(clip, CARS, detector=bright))


def test_what_an_interrupt_leaves_is_partial_and_a_rerun_computes_only_the_rest(clip: Path, seen: Path) -> None:
    released = seen.parent / "go"

    def slow(images: list[Any]) -> list[pd.DataFrame]:
        (seen / uuid.uuid4().hex).write_text(str(len(images)))
        for _ in range(600):
            if released.exists() or images[0][60:72, :, 2].max() > 150 or not images[0].any():  # the first red car
                break
            time.sleep(0.02)
        return bright(images)

    def interrupt() -> None:
        while sum(int(file.read_text() or 0) for file in seen.iterdir()) < 96:
            time.sleep(0.02)
        signal.raise_signal(signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as caught:
        wb.vquery(clip, CARS, detector=slow)
    stopped: Any = caught.value
    kept = stopped.result
    assert stopped.lines()[0].startswith("Stopped at ")
    assert stopped.lines()[1] == "Run it again to go on from there; the exception's .result holds what was found."
    assert kept.partial
    reached = kept.searched["end"].iloc[-1]
    assert 1.6 <= reached < 20
    released.touch()
    while scenes.counted(seen):  # what was on its way to a worker ends
        time.sleep(0.5)
    whole = wb.vquery(clip, CARS, detector=slow)
    assert scenes.counted(seen) <= 300 - reached * 10 + 1e-6
    assert_same(whole, wb.vquery(clip, CARS, detector=bright))


# -------------------------------------------------------------------------------------------------------------- HTML

EVIL = "<img src=x onerror=alert(1)>"


def test_markup_in_names_labels_and_values_stays_text(clip: Path, tmp_path: Path) -> None:
    place = shutil.copy(clip, tmp_path / f"{EVIL}.mp4")
    boxes = scenes.truth().assign(label="</script><script>alert(1)</script>")
    text = MINE.format(body=f"return '{EVIL}'", deco="@prop", args="frame").replace("(Car)", "(Object)")
    answer = wb.vquery(place, text, detector=boxes)
    assert answer.events["car_shade"].unique().tolist() == [EVIL]
    page = str(answer._repr_mimebundle_()["text/html"])
    assert EVIL.replace("<", "&lt;").replace(">", "&gt;") in page
    assert "<img src=x" not in page and "<script" not in page
    drawn = answer.timeline().to_svg()
    assert "<img" not in drawn and "<script" not in drawn
    plan = answer.plan.explain(format="html")
    assert "<img" not in plan and "<script" not in plan
