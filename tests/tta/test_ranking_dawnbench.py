"""Sensitivity, attribution and scaling of the real DAWNBench entries, against a reader and loops of this file's own."""

from __future__ import annotations

import itertools
import json
import math
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from workbench.tta.attribution import attribute, scaling
from workbench.tta.ranking import sensitivity

ROOT = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "dawnbench"
pytestmark = pytest.mark.skipif(
    not os.environ.get("WORKBENCH_MIRROR") or not ROOT.is_dir(), reason="WORKBENCH_MIRROR has no dawnbench entries"
)

TASKS = {
    "CIFAR10": ("top1Accuracy", 94.0, [90.0, 91, 92, 93, 93.5, 94, 94.25, 95]),
    "ImageNet": ("top5Accuracy", 93.0, [91.0, 92, 92.5, 93, 93.25]),
    "SQuAD": ("f1Score", 0.75, [0.6, 0.65, 0.7, 0.73, 0.75, 0.8]),
}


@pytest.fixture(scope="module")
def entries():
    from workbench.tta.dawnbench_read import read_dawnbench

    return read_dawnbench(ROOT)


def tables(task: str) -> dict[str, pd.DataFrame]:
    found = {}
    for path in sorted((ROOT / task / "train").glob("*.tsv")):
        text = pd.read_csv(path, sep="\t", encoding="utf-8-sig", dtype=str)
        found[path.stem] = text.map(float)  # Python's own reading is exact
    return found


def first(table: pd.DataFrame, metric: str, level: float, confirm: int = 1) -> pd.Series | None:
    met = (table[metric] >= level).astype(int).rolling(confirm).sum() == confirm
    return table[met].iloc[0] if met.any() else None


@pytest.mark.parametrize("task", list(TASKS))
def test_c03_every_threshold_of_every_task(entries, task: str) -> None:
    metric, official, levels = TASKS[task]
    files = tables(task)
    found = sensitivity(entries, levels, task=task)

    def hours(level: float, confirm: int = 1) -> dict[str, float]:
        rows = {name: first(table, metric, level, confirm) for name, table in files.items()}
        return {name: float(row["hours"]) for name, row in rows.items() if row is not None}

    base = hours(official)
    for row, level in zip(found.itertuples(), levels, strict=True):
        here = hours(level)
        common = sorted(set(here) & set(base))
        products = [
            np.sign(here[a] - here[b]) * np.sign(base[a] - base[b]) for a, b in itertools.combinations(common, 2)
        ]
        agree, disagree = products.count(1), products.count(-1)
        assert (row.threshold, row.n, row.reached) == (level, len(files), len(here))
        assert row.confirmed == len(hours(level, 2))
        assert row.reach_share == len(here) / len(files)
        best = min(here, key=lambda name: (here[name], name))
        assert (row.winner, row.winner_seconds) == (best, pytest.approx(here[best] * 3600, rel=1e-12))
        assert (row.common, row.concordant, row.discordant) == (len(common), agree, disagree)
        tau = (agree - disagree) / (agree + disagree) if agree + disagree else math.nan
        assert row.tau == pytest.approx(tau, nan_ok=True)
        ratios = [here[name] / base[name] for name in common if base[name]]
        assert row.median_ratio == pytest.approx(np.median(ratios) if ratios else math.nan, rel=1e-12, nan_ok=True)
    assert found.loc[found["threshold"] == official, "tau"].item() == 1.0


def test_c03_entries_stop_just_past_the_line(entries) -> None:
    for task, level, reached in (("CIFAR10", 94.25, 18), ("ImageNet", 93.25, 4)):
        assert sensitivity(entries, [level], task=task)["reached"].tolist() == [reached]
    without = {task: sensitivity(entries, [official], task=task).iloc[0] for task, (_, official, _) in TASKS.items()}
    assert sum(row["reached"] - row["confirmed"] for row in without.values()) == 21


@pytest.mark.parametrize("task", list(TASKS))
def test_c34_c36_products_come_out_for_every_pair_of_neighbours(entries, task: str) -> None:
    metric, official, _ = TASKS[task]
    files = tables(task)
    crossing = {name: first(table, metric, official) for name, table in files.items()}
    usable = [name for name, row in crossing.items() if row is not None and row["epoch"] > 0 and row["hours"] > 0]
    assert len(usable) >= 10
    for old, new in itertools.pairwise(usable):
        found = attribute(entries.run(old, task), entries.run(new, task))
        ratios = found.table.set_index("factor")["ratio"]
        assert found.speedup == pytest.approx(crossing[old]["hours"] / crossing[new]["hours"], rel=1e-12)
        assert ratios["epochs"] == pytest.approx(crossing[old]["epoch"] / crossing[new]["epoch"], rel=1e-12)
        assert ratios["epochs"] * ratios["seconds_per_epoch"] == pytest.approx(found.speedup, rel=1e-12)
        prices = [json.loads((ROOT / task / "train" / f"{n}.json").read_text("utf-8-sig")) for n in (old, new)]
        costs = [
            crossing[name]["hours"] * facts["costPerHour"] if (facts.get("costPerHour") or 0) > 0 else math.nan
            for name, facts in zip((old, new), prices, strict=True)
        ]
        assert found.cost_ratio == pytest.approx(costs[0] / costs[1], rel=1e-9, nan_ok=True)
    table = scaling([entries.run(name, task) for name in usable], range(1, len(usable) + 1))
    np.testing.assert_allclose(table["epoch_ratio"] * table["throughput_ratio"], table["speedup"], rtol=1e-12)
    np.testing.assert_allclose(table["seconds"], [crossing[name]["hours"] * 3600 for name in usable], rtol=1e-12)
