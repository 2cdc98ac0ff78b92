"""Boards of all tasks against a recomputation from the files; what the published site showed."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.tta.published import METRICS, OFFICIAL, Published, first, published, root
from workbench.engine.errors import WorkbenchError
from workbench.tta.dawnbench_read import read_dawnbench
from workbench.tta.entries import Entries
from workbench.tta.leaderboard import cost_text, leaderboard, time_text
from workbench.tta.price import Price
from workbench.tta.problems import TTAWarning
from workbench.tta.record import Record, evals_table

TRAIN = {
    "rank": "int64", "entry": "str", "author": "str", "model": "str", "hardware": "str", "framework": "str",
    "timestamp": "datetime64[us]", "threshold": "float64", "metric_value": "float64", "epoch": "float64",
    "row": "int64", "hours": "float64", "seconds": "float64", "cost_per_hour": "float64", "cost_usd": "float64",
    "time_text": "str", "cost_text": "str", "stable": "bool", "confirmed_seconds": "float64",
    "used_blacklist": "boolean",
}  # fmt: skip
INFERENCE = {
    "rank": "int64", "entry": "str", "author": "str", "model": "str", "hardware": "str", "framework": "str",
    "timestamp": "datetime64[us]", "threshold": "float64", "metric_value": "float64", "latency_ms": "float64",
    "cost_per_item": "float64", "cost_per_10k": "float64", "latency_text": "str", "cost_text": "str",
    "used_blacklist": "boolean",
}  # fmt: skip

#: what the site of April 2018 showed; it left the SQuAD QANet entry out
SITE = {
    ("CIFAR10", "time"): ["0:02:54", "0:05:41", "0:06:45"],
    ("CIFAR10", "cost"): ["$0.26", "$0.29", "$1.18"],
    ("ImageNet", "time"): ["0:30:43", "1:06:32", "1:58:24"],
    ("ImageNet", "cost"): ["$49.30", "$58.53", "$72.40"],
    ("SQuAD", "time"): ["7:38:10", "7:51:22", "8:43:40"],
    ("SQuAD", "cost"): ["$5.78", "$6.87", "$8.44"],
}


@pytest.fixture(scope="module")
def entries() -> Entries:
    return read_dawnbench(root())


@pytest.fixture(scope="module")
def reference() -> list[Published]:
    return published()


def ranks(keys: list[float]) -> list[int]:
    return [1 + sum(other < key for other in keys) for key in keys]


@pytest.mark.parametrize("task", METRICS)
@pytest.mark.parametrize("by", ["time", "cost"])
def test_c17_training_boards(entries: Entries, reference: list[Published], task: str, by: str) -> None:
    expected = []
    for entry in (e for e in reference if (e.task, e.kind) == (task, "train")):
        at = first(entry, OFFICIAL[task])
        if at is None:
            continue
        hours, price = entry.rows[at]["hours"], entry.raw.get("costPerHour")
        cost = hours * price if price is not None else None
        key = hours if by == "time" else cost
        if key is not None:
            expected.append((key, entry.name, hours, math.nan if cost is None else cost))
    expected.sort(key=lambda item: item[:2])
    board = leaderboard(entries, task, by=by)
    assert dict(board.dtypes.astype(str)) == TRAIN
    assert board["entry"].tolist() == [item[1] for item in expected]
    assert board["rank"].tolist() == ranks([item[0] for item in expected])
    assert board["hours"].tolist() == [item[2] for item in expected]
    np.testing.assert_array_equal(board["cost_usd"], [item[3] for item in expected])
    assert (board["threshold"] == OFFICIAL[task]).all()
    attrs = board.attrs
    assert set(attrs) == {"task", "kind", "by", "threshold", "official", "not_reached", "unpriced", "rule"}
    assert (attrs["task"], attrs["kind"], attrs["by"], attrs["threshold"]) == (task, "train", by, OFFICIAL[task])
    assert attrs["official"] is True
    assert attrs["not_reached"] == []
    unpriced = sum(e.raw.get("costPerHour") is None for e in reference if (e.task, e.kind) == (task, "train"))
    assert len(attrs["unpriced"]) == (unpriced if by == "cost" else 0)


@pytest.mark.parametrize("task", METRICS)
@pytest.mark.parametrize("by", ["latency", "cost"])
def test_c18_inference_boards(entries: Entries, reference: list[Published], task: str, by: str) -> None:
    expected = []
    for entry in (e for e in reference if (e.task, e.kind) == (task, "inference")):
        value = entry.raw[METRICS[task]]
        if (value / 100 if task == "SQuAD" and value > 1 else value) < OFFICIAL[task]:
            continue
        key = entry.raw["latency"] if by == "latency" else entry.raw.get("cost")
        if key is not None:
            expected.append((key, entry.name))
    expected.sort()
    board = leaderboard(entries, task, "inference", by)
    assert dict(board.dtypes.astype(str)) == INFERENCE
    assert board["entry"].tolist() == [name for _, name in expected]
    assert board["rank"].tolist() == ranks([key for key, _ in expected])
    if by == "cost":
        assert board["cost_per_10k"].tolist() == [key * 10000 for key, _ in expected]
        assert board["cost_text"].tolist() == [f"${key * 10000:.4f}" for key, _ in expected]
    else:
        assert board["latency_ms"].tolist() == [key for key, _ in expected]


def test_c19_the_sites_top_three(entries: Entries) -> None:
    for (task, by), texts in SITE.items():
        board = leaderboard(entries, task, by=by)
        then = board[(board["timestamp"] <= pd.Timestamp(2018, 4, 20)) & (board["entry"] != "dawn_qanet_1tpu")]
        assert then[f"{by}_text"].tolist()[:3] == texts, (task, by)


def test_c19_how_figures_are_written(entries: Entries) -> None:
    assert time_text(404.08) == "0:06:45"
    assert time_text(9.000000000001) == "0:00:09"
    assert time_text(9.00001) == "0:00:10"
    assert time_text(0.0) == "0:00:00"
    assert time_text(360_000.0) == "100:00:00"
    assert cost_text(0.255678) == "$0.26"
    assert cost_text(1112.64) == "$1112.64"
    assert cost_text(0.00213, 4) == "$0.0021"
    assert cost_text(math.nan) == ""
    board = leaderboard(entries, kind="inference")
    assert board["latency_text"].iloc[0] == "0.1345 ms"
    assert board.set_index("entry").loc["BAIDU-USA-GAIT_BaiduNet8_1GV100_pytorch", "cost_text"] == "$0.0021"


def test_the_fastest_is_apples(entries: Entries) -> None:
    best = leaderboard(entries).iloc[0]
    assert (best["entry"], round(best["seconds"], 2), best["rank"]) == ("apple_resnet9_8v100_pytorch", 9.43, 1)


def test_c20_any_threshold(entries: Entries, reference: list[Published]) -> None:
    board = leaderboard(entries, "SQuAD", threshold=0.73)
    assert (board.attrs["threshold"], board.attrs["official"]) == (0.73, False)
    assert "f1Score >= 0.73" in board.attrs["rule"]
    hours = {e.name: e.rows[at]["hours"] for e in reference if (at := first(e, 0.73)) is not None and e.task == "SQuAD"}
    assert dict(zip(board["entry"], board["hours"], strict=True)) == hours
    nobody = leaderboard(entries, threshold=99)
    assert dict(nobody.dtypes.astype(str)) == TRAIN
    assert (len(nobody), len(nobody.attrs["not_reached"])) == (0, 31)


def test_equal_keys_share_the_smaller_rank() -> None:
    runs = [run(name, [95.0], [seconds]) for name, seconds in (("d", 3.0), ("b", 1.0), ("a", 1.0), ("c", 2.0))]
    board = leaderboard(runs)
    assert board["entry"].tolist() == ["a", "b", "c", "d"]
    assert board["rank"].tolist() == [1, 1, 3, 4]


def test_wrong_questions(entries: Entries) -> None:
    with pytest.raises(WorkbenchError) as time:
        leaderboard(entries, kind="inference", by="time")
    assert time.value.lines() == ["An inference board has no time.", 'Use by="latency" or by="cost".']
    with pytest.raises(WorkbenchError) as latency:
        leaderboard(entries, by="latency")
    assert latency.value.lines() == ["A training board has no latency.", 'Use by="time" or by="cost".']
    with pytest.raises(WorkbenchError, match=r'(?s)No board by costs\..*Did you mean by="cost"\?'):
        leaderboard(entries, by="costs")
    with pytest.raises(WorkbenchError, match=r"(?s)No task Imagenet\..*Did you mean ImageNet\?"):
        leaderboard(entries, "Imagenet")
    with pytest.raises(WorkbenchError, match="No kind 'training'"):
        leaderboard(entries, kind="training")
    with pytest.raises(WorkbenchError, match="The threshold is a number"):
        leaderboard(entries, threshold=math.nan)


def run(name: str, values: list[float], seconds: list[float], **fields: object) -> Record:
    evals = evals_table(
        {"eval": range(len(values)), "metric": ["top1"] * len(values), "value": values, "dawnbench_s": seconds}
    )
    record = Record(id=name, name=name, metric="top1", target=94.0, clock="dawnbench", clocks=("dawnbench",),
                    evals=evals)  # fmt: skip
    return replace(record, **fields)  # type: ignore[arg-type]


def test_c17_runs_are_ranked_like_entries() -> None:
    started = dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)
    runs = [
        run("a", [93.0, 94.0, 93.0], [10.0, 20.0, 30.0], task="CIFAR10", price=Price(3.6), seed=1,
            environment={"author": "me", "hardware": "2 cores"}, started=started),
        run("a", [95.0, 94.5], [30.0, 40.0], task="CIFAR10", seed=2),
        run("b", [90.0], [1.0], task="CIFAR10"),
        run("c", [99.0], [1.0], task="other"),
    ]  # fmt: skip
    board = leaderboard(runs)
    assert dict(board.dtypes.astype(str)) == TRAIN
    assert board["entry"].tolist() == ["a/1", "a/2"]
    assert board["seconds"].tolist() == [20.0, 30.0]
    assert board["cost_usd"].iloc[0] == 20.0 / 3600 * 3.6
    assert board["stable"].tolist() == [False, True]
    np.testing.assert_array_equal(board["confirmed_seconds"], [math.nan, 40.0])
    assert board["author"].isna().tolist() == [False, True]
    assert board["timestamp"].iloc[0] == pd.Timestamp(2026, 1, 2, 3)
    assert board.attrs["not_reached"] == ["b"]
    assert leaderboard(runs, by="cost").attrs["unpriced"] == ["a/2"]


def test_spot_prices_are_shown_but_not_ranked() -> None:
    runs = [run("a", [95.0], [36.0], price=Price(1.0, "spot")), run("b", [95.0], [72.0], price=Price(1.0))]
    assert leaderboard(runs)["cost_usd"].tolist() == [0.01, 0.02]
    with pytest.warns(TTAWarning) as caught:
        board = leaderboard(runs, by="cost")
    assert str(caught[0].message) == (
        'The spot price is shown, but boards rank by on-demand.\nPass Price(…, kind="ondemand").'
    )
    assert (board["entry"].tolist(), board.attrs["unpriced"]) == (["b"], ["a"])


@pytest.mark.parametrize("rate", [0.0, -1.0, math.nan, math.inf])
def test_c14_no_positive_price_is_no_cost(rate: float) -> None:
    board = leaderboard([run("a", [95.0], [36.0], price=Price(rate))])
    assert (math.isnan(board["cost_usd"].iloc[0]), board["cost_text"].iloc[0]) == (True, "")
    assert len(leaderboard([run("a", [95.0], [36.0], price=Price(rate))], by="cost")) == 0


def test_runs_of_no_task_are_ranked_by_their_own_target() -> None:
    low = [run(name, [0.5, value], [1.0, 2.0], goal="min", target=0.2) for name, value in (("a", 0.1), ("b", 0.3))]
    board = leaderboard(low)
    assert (board["entry"].tolist(), board.attrs["not_reached"], board.attrs["official"]) == (["a"], ["b"], False)
    assert board.attrs["rule"].startswith("top1 <= 0.2")
    with pytest.raises(WorkbenchError, match=r"The runs have different targets: top1 <= 0\.2, top1 <= 0\.3\."):
        leaderboard([low[0], replace(low[1], target=0.3)])
    assert leaderboard([low[0], replace(low[1], target=0.3)], threshold=0.3)["entry"].tolist() == ["a", "b"]


def test_repeated_seeds_show_ids() -> None:
    runs = [replace(run("a", [95.0], [1.0], seed=1), id=identity) for identity in ("one", "two")]
    assert leaderboard(runs)["entry"].tolist() == ["one", "two"]
