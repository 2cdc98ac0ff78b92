"""Workers killed or cut off in the middle of a seed: the seed is begun again, and nothing that was told is lost."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.tta.problems import TTAWarning
from workbench.tta.repeat import repeat

TARGET = {"top1": 97}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("workers")]


def until(what: Any, seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.02)
    raise AssertionError("it did not come")


class Doomed:
    """A recipe whose process dies in the middle of a seed, so many times."""

    def __init__(self, folder: Path, deaths: int, *, resumes: bool = False) -> None:
        self.folder, self.deaths, self.resumes = str(folder), deaths, resumes
        self.__name__ = "doomed"

    def __call__(self, tracker: Any, seed: int) -> None:
        import os
        import signal
        import time
        from pathlib import Path

        folder = Path(self.folder)
        begin = 0
        saved = tracker.checkpoint_dir / "step.txt"
        if self.resumes and tracker.resumed and saved.exists():
            begin = int(saved.read_text())
            tracker.resume(begin)
        (folder / f"pid-{seed}-{os.getpid()}").write_text("")
        for step in range(begin, 6):
            with tracker.span("train"):
                time.sleep(0.02)
            tracker.log(step, loss=1.0)
            tracker.eval(step=step, top1=lambda: 93.0 + step)  # noqa: B023
            saved.write_text(str(step + 1))
            if seed == 1 and step >= 2 and len(list(folder.glob("death-*"))) < self.deaths:
                tracker._tracking.sink.flush()
                (folder / f"death-{os.getpid()}").write_text("")
                time.sleep(0.2)
                os.kill(os.getpid(), signal.SIGKILL)


def test_c21_a_killed_worker_s_seed_is_begun_again(tmp_path: Path) -> None:
    work = repeat(Doomed(tmp_path, 1), range(3), target=TARGET, wait=False)
    runs = work.result(timeout=120)
    assert [run.state for run in runs] == ["finished"] * 3
    assert [run.attempt for run in runs] == [1, 2, 1]
    assert runs.missing == ()
    assert any(event.kind == "worker_lost" for event in work.events())
    # The first attempt is in the history, with what it had told.
    (lost,) = wb.tta.runs("doomed", state="lost")
    assert (lost.seed, lost.attempt) == (1, 1)
    assert lost.evals["step"].tolist() == [0, 1, 2]
    again = runs[1]
    assert again.evals["step"].tolist() == [0, 1, 2, 3, 4, 5]
    assert again.spans["kind"].tolist().count("down") == 0  # a fresh clock
    assert runs.summary()["n"].tolist() == [3]


def test_c21_a_resumed_seed_is_one_run_with_time_down(tmp_path: Path) -> None:
    with pytest.warns(TTAWarning, match="Run resumed after"):
        runs = repeat(Doomed(tmp_path, 1, resumes=True), [1, 2], target=TARGET, name="resumed")
    assert [run.state for run in runs] == ["finished"] * 2
    run = runs[0]
    assert run.attempt == 2
    assert run.evals["step"].tolist() == [0, 1, 2, 3, 4, 5]  # three of each attempt
    assert run.spans["kind"].tolist().count("down") == 1
    down = float(run.spans.set_index("kind")["seconds"]["down"])
    last = run.evals.iloc[-1]
    assert down > 0
    assert last["wall_s"] >= last["dawnbench_s"] + down
    assert any("Run resumed after" in text for text in run.warnings)
    assert len(wb.tta.runs("resumed")) == 2  # attempts that were joined are one run


def test_c21_a_seed_is_given_up_after_its_retries(tmp_path: Path) -> None:
    with pytest.warns(TTAWarning, match="Not all seeds came to an end: Seed 1 is missing: its worker died 2 times"):
        runs = repeat(Doomed(tmp_path, 99), range(3), target=TARGET, retries=1, name="hopeless")
    assert [run.seed for run in runs] == [0, 2]
    assert runs.missing == ("Seed 1 is missing: its worker died 2 times.",)
    lost = wb.tta.runs("hopeless", state="lost")
    assert [run.attempt for run in lost] == [1, 2]
    assert runs.summary()["n"].tolist() == [2]


def test_c21_more_retries_than_the_scheduler_has(tmp_path: Path) -> None:
    runs = repeat(Doomed(tmp_path, 3), [1, 2], target=TARGET, retries=4, name="stubborn")
    assert [run.state for run in runs] == ["finished"] * 2
    assert runs[0].attempt == 4
    assert len(wb.tta.runs("stubborn", state="lost")) == 3


def test_c52_a_worker_that_is_cut_off_and_comes_back_doubles_no_rows(workers: Any, tmp_path: Path) -> None:
    gate = tmp_path / "go"

    def waits(tracker: Any, seed: int) -> None:
        tracker.eval(step=0, top1=lambda: 90.0)
        begun = tmp_path / f"begun-{os.getpid()}"
        begun.write_text("")
        deadline = time.monotonic() + 60
        while not gate.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        for step in range(1, 5):
            tracker.eval(step=step, top1=lambda: 99.0)

    work = repeat(waits, [0], target=TARGET, name="cut", wait=False)
    first = int(until(lambda: list(tmp_path.glob("begun-*")))[0].name.split("-")[1])
    pids = {pid: address for address, pid in workers.run(os.getpid).items()}
    until(lambda: len(work.partial() or ()) == 1)
    os.kill(first, signal.SIGSTOP)  # hangs, as one whose network is gone
    try:
        address = pids[first]

        async def remove(dask_scheduler: Any) -> None:
            await dask_scheduler.remove_worker(address=address, stimulus_id="cut", close=False)

        workers.run_on_scheduler(remove)
        until(lambda: len(list(tmp_path.glob("begun-*"))) == 2)
    finally:
        os.kill(first, signal.SIGCONT)
    gate.write_text("")
    runs = work.result(timeout=120)
    (run,) = runs
    assert (run.state, run.attempt) == ("finished", 2)
    assert run.evals["step"].tolist() == [0, 1, 2, 3, 4]
    assert not run.evals.duplicated(["eval", "metric"]).any()
    (lost,) = wb.tta.runs("cut", state="lost")
    assert not lost.evals.duplicated(["eval", "metric"]).any()
