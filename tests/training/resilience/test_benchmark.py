"""The log of the chaos benchmark: what was interrupted goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import training_chaos as chaos
from benchmarks import training_links as links
from benchmarks import training_overhead as overhead


def test_an_interrupted_benchmark_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, ran = tmp_path / "results" / "log.jsonl", list[int]()

    def work(seed: int) -> dict[str, Any]:
        ran.append(seed)
        if seed == 2:
            raise ValueError("no luck")
        if seed == 4 and ran.count(4) == 1:
            raise KeyboardInterrupt
        return {"seed": seed, "equal": True, "once": True, "lost": 1}

    with pytest.raises(KeyboardInterrupt):
        chaos.several("threads", work, range(6), log, lambda: None)
    assert [json.loads(line)["seed"] for line in log.read_text().splitlines()] == [0, 1, 2, 3]
    with log.open("a") as file:
        file.write('{"part": "threads", "seed": 5, "equal": tr')  # a process that was killed
        file.write("\n" + json.dumps({"part": "threads", "code": "older", "seed": 5}) + "\n{")
    rows = chaos.several("threads", work, range(6), log, lambda: None)
    assert ran == [0, 1, 2, 3, 4, 4, 5] and sorted(row["seed"] for row in rows) == list(range(6))
    assert [row["seed"] for row in rows if not row["equal"]] == [2]
    told = capsys.readouterr().out
    assert "threads: 4 of 6 runs are in the log" in told and "ValueError: no luck" in told
    assert "threads: 6 of 6 runs, 5 workers lost, 1 differ, " in told
    again = chaos.several("threads", work, range(6), log, lambda: None)
    assert len(ran) == 7 and [row["seed"] for row in again] == list(range(6))
    figures = {figure.name: figure for figure in chaos.told("threads", again)}
    assert figures["threads: runs that differ"].value == 1 and not figures["threads: runs that differ"].met
    assert figures["threads: workers lost"].value == 5
    chaos.several("processes", work, range(1), log, lambda: None)  # another part has runs of its own
    assert ran[-1] == 0


def test_only_runs_of_the_same_code_are_put_together() -> None:
    def run(pace: float, code: str | None) -> dict[str, Any]:
        return {"pace": pace} if code is None else {"pace": pace, "code": code}

    kept = {
        "runs": {"1 Gbit": {"ddp": [run(80.0, None), run(100.0, "old"), run(140.0, "new")], "1f1b": [run(9.0, "old")]}},
        "predicted": {"1 Gbit": {"ddp": 0.9}}, "accuracy": {"ddp": {"0": run(1.0, "old"), "1": run(2.0, "new")}},
    }  # fmt: skip
    found = links.of_this_code(kept, "new")
    assert found["runs"] == {"1 Gbit": {"ddp": [run(140.0, "new")], "1f1b": []}}
    assert found["accuracy"] == {"ddp": {"1": run(2.0, "new")}} and found["predicted"] == kept["predicted"]
    assert links._now([0.1])["code"] == links._code() and len(kept["runs"]["1 Gbit"]["ddp"]) == 3


@pytest.mark.parametrize(("failover", "met"), [(0.1, True), (0.5, False), (0.0, None)])
def test_going_back_is_told_beside_a_failover(failover: float, met: bool | None) -> None:
    rows = [{"equal": True, "once": True, "lost": 1, "kind": "kill", "pauses": [pause]} for pause in (1.0, 2.0, 3.0)]
    figure = chaos.told("restarts", rows, failover)[-1]
    assert (figure.name, figure.value, figure.met) == ("restarts: pause, median", 2.0, met)
    assert figure.ratio == (2.0 / failover if failover else None)


def test_copies_are_told_with_what_was_predicted() -> None:
    rounds = [{None: (1.0, 0.9), "lazy": (1.02, 0.9), "eager": (1.2, 0.95)}] * 3
    figures = {figure.name: figure for figure in overhead.figures_of(4, rounds)}
    lazy, eager = (figures[f"overhead: 4 microbatches, {kind}"] for kind in ("lazy", "eager"))
    assert lazy.met and lazy.value == pytest.approx(2.0) and eager.met is False
    assert eager.value == pytest.approx(20.0) and eager.peer_value == pytest.approx(100 * (0.95 / 0.9 - 1))
    assert figures["overhead: 4 microbatches, eager, a step predicted"].met is False  # 0.95 for 1.2
    assert figures["overhead: 4 microbatches, lazy, a step predicted"].met
    assert overhead.figures_of(16, rounds)[-1].met is None  # bubbles do not hold the work
