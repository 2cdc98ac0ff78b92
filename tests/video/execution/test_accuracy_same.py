"""Under `accuracy` neither workers, chunks nor caches change choice and answer; a cancelled run keeps no choice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.video.execution.streets import CARS, FRAMES, Detector, ask, assert_same, source
from workbench.engine import session
from workbench.engine.store import store
from workbench.video import api
from workbench.video.execution import chunks, job, look
from workbench.video.models import registry
from workbench.video.source import Source, from_array

pytestmark = pytest.mark.usefixtures("cluster", "no_proxies")


def parked() -> Source:
    """Return a video in which a car stands all the time: a coarser step is proven on it."""
    pictures = np.full((1500, 24, 32, 3), 90, np.uint8)
    pictures[:, 8:16, 8:24] = 220
    return from_array(pictures, fps=25.0, name="parked")


#: a video, how sure the detector is of it, and how its cheapest plan begins
CHOICES: dict[str, tuple[Callable[[], Source], float, str]] = {
    "skip": (source, 250.0, "skip frames within "),
    "size": (partial(source, every=62), 20.0, "detector on pictures of 50 % size"),
    "every": (parked, 130.0, "every=5"),
}


def chosen(answer: Any) -> pd.DataFrame:
    """Return what was measured and chosen, without the milliseconds."""
    proof: pd.DataFrame = answer.proof.drop(columns=["est_ms", "ms"])
    return proof


def assert_chosen_alike(answer: Any, expected: Any) -> None:
    pd.testing.assert_frame_equal(chosen(answer), chosen(expected), check_exact=True)
    assert answer.notes == expected.notes
    assert_same(answer, expected)


@pytest.fixture(params=["skip", *(pytest.param(name, marks=pytest.mark.slow) for name in ("size", "every"))])
def case(request: pytest.FixtureRequest, sees: Any) -> Callable[..., Any]:
    """Ask about one of the videos; the answer is known to use the plan that it is there for."""
    video, sure, plan = CHOICES[request.param]
    detector, _ = sees(sure)

    def answer(accuracy: float | None = 0.8, **options: Any) -> Any:
        found = ask(video(), CARS, detector=detector, accuracy=accuracy, **options)
        if accuracy is not None and not options:
            used = found.proof[found.proof["chosen"]]["plan"].tolist()
            assert len(used) == 1 and used[0].startswith(plan), used
            assert len(found) > 0
        return found

    return answer


def test_workers_change_neither_choice_nor_answer(case: Callable[..., Any]) -> None:
    expected = case()
    try:
        for workers in (1, 4):
            session.session(workers=workers)
            assert_chosen_alike(case(fresh=True), expected)
    finally:
        session.session(workers=2)


def test_chunks_change_neither_choice_nor_answer(case: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    expected = case()
    for later, held in ((23, 1), (1000, 500)):
        monkeypatch.setattr(job, "plan_chunks", partial(chunks.plan_chunks, first=(later,), later=later))
        monkeypatch.setattr(look, "_FRAMES", held)
        assert_chosen_alike(case(fresh=True), expected)


def test_what_is_kept_changes_neither_choice_nor_answer(case: Callable[..., Any]) -> None:
    expected = case(fresh=True)
    store().clear()
    case(None, every=3, end="20s")  # some frames are known
    assert_chosen_alike(case(), expected)
    store().clear()
    case(None)  # all are, and all tracks
    assert_chosen_alike(case(), expected)
    assert_chosen_alike(case(), expected)  # and so is the choice
    # of a choice that is kept in two parts, one was evicted or damaged
    entries = store().entries()
    kept = entries[entries["kind"] == "canary"]["key"].tolist()
    assert len(kept) == 2
    for key in kept:
        store()._drop(key)
        assert_chosen_alike(case(), expected)


# ------------------------------------------------------------------------------------------------------------- cancel


class Held(Detector):
    """Waits before it looks at more than so many pictures, until it is released."""

    def __init__(self, folder: Path, sure: float, most: int) -> None:
        super().__init__(folder, sure)
        self.most = most

    @property
    def released(self) -> Path:
        return self.folder.with_suffix(".go")

    def __call__(self, images: list[np.ndarray]) -> list[pd.DataFrame]:
        for _ in range(1500):
            if self.released.exists() or self.seen() < self.most:
                break
            time.sleep(0.02)
        return super().__call__(images)

    def seen(self) -> int:
        return sum(int(file.name.rpartition("-")[2]) for file in self.folder.iterdir())


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[[int], Held]]:
    """Register `held`, which waits before it looks at more than so many pictures."""

    def register(most: int) -> Held:
        folder = tmp_path / "seen by held"
        folder.mkdir()
        detector = Held(folder, 250.0, most)
        wb.video.register_detector("held", detector, labels=["car"], version=str(folder), batch=1)
        return detector

    yield register
    registry._REGISTERED.pop("held")


def at_rest(timeout: float = 30.0) -> bool:
    """Whether the workers come to have nothing left to do."""
    client = session.session()
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if not any(client.processing().values()):
            return True
        time.sleep(0.1)
    return False


def kinds() -> set[str]:
    return set(store().entries()["kind"])


@pytest.mark.parametrize("known", [False, True])
def test_a_run_cancelled_in_its_canary_says_so_and_keeps_no_choice(held: Any, known: bool) -> None:
    detector = held(20)
    if known:
        # detections of the first seconds are in the store: they are no part of an answer that was never chosen
        ask(source(), CARS, detector="held", end="0.6s")
        for file in detector.folder.iterdir():
            file.unlink()
    run = api.start_vquery(source(), CARS, detector="held", accuracy=0.8)
    stop = threading.Event()

    def cancel() -> None:
        while not stop.wait(0.02) and detector.seen() < 20:
            pass
        run.cancel()

    threading.Thread(target=cancel, daemon=True).start()
    try:
        stopped = run.result(timeout=60)
    finally:
        stop.set()
        detector.released.touch()
    assert run.state == "cancelled"
    assert (stopped.status, stopped.partial, len(stopped)) == ("stopped", True, 0)
    assert repr(stopped).endswith("stopped")
    assert stopped.searched["end"].sub(stopped.searched["start"]).sum() <= 0.64 * known
    assert not any("ran exactly" in note or "exact," in note for note in stopped.notes), stopped.notes
    assert any(note.startswith("street: stopped in the canary, after ") for note in stopped.notes), stopped.notes
    assert list(stopped.events.columns) == ["event", "video", "car_id", "start", "end", "duration", "frame_start",
                                            "frame_end"]  # fmt: skip
    assert stopped._repr_mimebundle_() and stopped.explain() and str(stopped)
    assert "canary" not in kinds()
    assert at_rest()
    # afterwards it is as if it had never been asked
    again = ask(source(), CARS, detector="held", accuracy=0.8)
    assert again.proof["chosen"].tolist().index(True) > 0
    assert_chosen_alike(again, ask(source(), CARS, detector="held", accuracy=0.8, fresh=True))


def test_a_run_cancelled_behind_its_canary_keeps_what_is_contiguous_and_goes_on_from_there(held: Any) -> None:
    detector = held(10**9)
    expected = ask(source(), CARS, detector="held", accuracy=0.8)
    store().clear()
    run = api.start_vquery(source(), CARS, detector="held", accuracy=0.8)
    run.add_observer(lambda run: run.cancel() if run.progress.done >= 112 else None)
    stopped = run.result(timeout=60)
    assert run.state == "cancelled"
    assert (stopped.status, stopped.partial) == ("stopped", True)
    assert repr(stopped).endswith("stopped")
    reached = stopped.searched["end"].iloc[-1]
    assert 112 / 25 <= reached < FRAMES / 25
    pd.testing.assert_frame_equal(chosen(stopped), chosen(expected))
    whole = expected.events[expected.events["end"] <= reached - 3]
    pd.testing.assert_frame_equal(stopped.events.head(len(whole))[list(whole.columns)], whole)
    assert at_rest()
    seen = detector.seen()
    again = ask(source(), CARS, detector="held", accuracy=0.8)
    assert_chosen_alike(again, expected)
    used = expected.proof[expected.proof["chosen"]].iloc[0]
    assert detector.seen() - seen <= (FRAMES / 25 - reached) * 25  # neither the canary nor what was found, once more
    assert "canary" in kinds()
    assert used["cost"] < 0.8
