"""How good projections are: `python -m benchmarks.tta_backtest [--seeds N] [--store FOLDER]`.

Known recipes: a small CNN on scikit-learn's digits under five schedules, each repeated over many seeds; each run is
held out in turn, and its crossing told from the others at shares of its length. Unknown ones: the same runs, each under
a schedule of its own, and the entries of DAWNBench, of which no two share a recipe; both must be answered "cannot
tell". Beside them, a line and a power law through the curve. With `--seeds` nothing is written: a trial that it all
works. With `--store` the runs are kept there, and seeds that are there already are not trained again. Targets were
chosen on other seeds than those measured here, so that runs cross in the later half.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Figure, write

if TYPE_CHECKING:
    import pandas as pd

    from workbench.tta import Run, Runs

FIRST, SEEDS = 100, 30
SHARES = (0.25, 0.5, 0.75, 0.9)
#: evaluations in an epoch: more than one, as the crossing is seen no finer than that
PER_EPOCH = 4
VALIDATION, BATCH = 300, 64
PACKAGES = ("numpy", "pandas", "scipy", "torch", "scikit-learn", "dask")


@dataclasses.dataclass(frozen=True)
class Digits:
    """A recipe: schedule, length, peak learning rate, target."""

    schedule: str
    epochs: int
    rate: float
    target: float

    @property
    def name(self) -> str:
        return f"digits-{self.schedule}-{self.epochs}"

    def __call__(self, tracker: Any, seed: int) -> None:
        """Train a CNN of two convolutions."""
        import torch
        from torch import nn

        steps = self.epochs * PER_EPOCH
        tracker.plan(steps=steps, schedule=self.schedule)
        with tracker.span("data"):
            images, labels, train, judged = digits()
        net = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip
        optimiser = torch.optim.SGD(net.parameters(), lr=self.rate, momentum=0.9)
        batches = len(train) // BATCH
        rates = self.rates(optimiser, batches * self.epochs)

        @torch.no_grad()
        def accuracy() -> float:
            return 100 * float((net(images[judged]).argmax(1) == labels[judged]).float().mean())

        for epoch in range(self.epochs):
            order = train[torch.randperm(len(train))]
            for part in range(PER_EPOCH):
                with tracker.span("train"):
                    for batch in range(batches * part // PER_EPOCH, batches * (part + 1) // PER_EPOCH):
                        chosen = order[BATCH * batch : BATCH * (batch + 1)]
                        optimiser.zero_grad()
                        nn.functional.cross_entropy(net(images[chosen]), labels[chosen]).backward()
                        optimiser.step()
                        rates.step()
                tracker.eval(step=epoch * PER_EPOCH + part, n=VALIDATION, top1=accuracy)

    def rates(self, optimiser: Any, steps: int) -> Any:
        """Return the schedule of the learning rate."""
        from torch.optim import lr_scheduler

        if self.schedule == "onecycle":
            return lr_scheduler.OneCycleLR(optimiser, self.rate, total_steps=steps)
        if self.schedule == "cosine":
            return lr_scheduler.CosineAnnealingLR(optimiser, steps)
        if self.schedule == "steps":
            return lr_scheduler.MultiStepLR(optimiser, [steps // 2, 3 * steps // 4], gamma=0.2)
        return lr_scheduler.ConstantLR(optimiser, 1.0, 0)


RECIPES = (
    Digits("onecycle", 6, 0.1, 97.5),
    Digits("onecycle", 15, 0.05, 98.5),
    Digits("cosine", 8, 0.05, 97.0),
    Digits("steps", 10, 0.03, 97.0),
    Digits("constant", 10, 0.03, 98.0),
)


def digits() -> tuple[Any, Any, Any, Any]:
    """Return images, labels, and the rows that are trained and judged on."""
    import numpy as np
    import torch
    from sklearn.datasets import load_digits

    known = load_digits()
    rows = torch.as_tensor(np.random.RandomState(0).permutation(len(known.target)))
    images = torch.tensor(known.images / 16.0, dtype=torch.float32)[:, None]
    return images, torch.tensor(known.target), rows[:-VALIDATION], rows[-VALIDATION:]


def trained(recipe: Digits, seeds: int, store: str) -> Runs:
    """Repeat a recipe; seeds that are in the store have been trained."""
    import workbench as wb
    from workbench.tta import Runs

    wanted = range(FIRST, FIRST + seeds)
    kept = [run for run in wb.tta.runs(recipe.name, state="finished", store=store) if run.seed in wanted]
    missing = sorted(set(wanted) - {run.seed for run in kept})
    if not missing:
        return Runs(kept)
    made = wb.tta.repeat(
        recipe, missing, target={"top1": recipe.target}, name=recipe.name, eval_count=VALIDATION, threads=1,
        store=store,
    )  # fmt: skip
    return Runs(kept) + made


def alone(runs: Runs) -> list[Run]:
    """Return runs as if each had a schedule of its own."""
    from workbench.tta import Run

    return [Run(dataclasses.replace(run.record, schedule=f"{run.schedule} {run.id}")) for run in runs]


def pooled(frame: pd.DataFrame, column: str) -> float:
    """Return the mean of a column of the projections over all shares, by the runs that were answered."""
    told = frame[(frame["method"] == "schedule") & (frame["answered"] > 0)]
    return float((told[column] * told["answered"]).sum() / told["answered"].sum())


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as plain data; what is not known is None."""
    return [
        {name: None if value != value or value == float("inf") else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def figures(seeds: int, store: str) -> list[Figure]:
    """Return what was measured."""
    import workbench as wb

    made = []
    groups = {recipe: trained(recipe, seeds, store) for recipe in RECIPES}
    known = [run for runs in groups.values() for run in runs]
    frame = wb.tta.backtest(known, shares=SHARES)
    print(frame.to_string())
    each = {recipe.name: wb.tta.backtest(runs, shares=SHARES) for recipe, runs in groups.items()}
    for name, own in each.items():
        print(name, own[own["method"] == "schedule"].to_string(), sep="\n")
    coverage = pooled(frame, "coverage_80")
    own = frame[frame["method"] == "schedule"]
    by_share = ", ".join(f"{c:.2f} at {s:g}" for s, c in zip(own["share"], own["coverage_80"], strict=True))
    made.append(
        Figure(
            "known recipes: share of runs within the 80 % band", coverage, "share", "0.75 to 0.90",
            0.75 <= coverage <= 0.90,
            note=f"each run held out; {by_share}. Where a tenth of the runs or more miss, bands are open above: then "
            "only the low end can fail",
            details={
                "backtest": rows(frame),
                "recipes": {
                    recipe.name: {
                        "target": recipe.target, "steps": recipe.epochs * PER_EPOCH, "runs": len(runs),
                        "reached": int(runs.table["reached"].sum()), "missing": list(runs.missing),
                        "crossing_steps": [None if s != s else int(s) for s in runs.table["steps"]],
                        "contended": int(runs.table["contended"].sum()), "backtest": rows(each[recipe.name]),
                    }
                    for recipe, runs in groups.items()
                },
            },
        )
    )  # fmt: skip
    half = frame[frame["share"] == 0.5].set_index("method")
    near = float(half.loc["schedule", "within_20"])
    made.append(
        Figure(
            "known recipes: told within 20 %, half-way", near, "share", ">= 0.60", near >= 0.60,
            "power law", float(half.loc["power", "within_20"]), near / max(float(half.loc["power", "within_20"]), 1e-9),
            details={"linear": float(half.loc["linear", "within_20"])},
        )
    )  # fmt: skip
    unknown = wb.tta.backtest(alone(known), shares=SHARES)
    told = float(unknown.loc[unknown["method"] == "schedule", "answered"].sum())
    made.append(Figure("schedules seen for the first time: answered", told, "runs", "0", told == 0))
    mirror = os.environ.get("WORKBENCH_MIRROR", "")
    if Path(mirror, "dawnbench").is_dir():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of two files that the collection itself has not in order
            entries = wb.tta.read_dawnbench(Path(mirror, "dawnbench"))
        real = wb.tta.backtest(entries, shares=SHARES)
        print(real.to_string())
        told = float(real.loc[real["method"] == "schedule", "answered"].sum())
        made.append(
            Figure("DAWNBench entries: answered", told, "runs", "0", told == 0, details={"backtest": rows(real)})
        )
    return made


def main() -> None:
    """Measure, print and write."""
    import tempfile

    from workbench.engine import session

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=0, help="a trial with so many seeds; nothing is written")
    parser.add_argument("--store", help="a folder that keeps the runs")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, session.local_workers(2):
        made = figures(asked.seeds or SEEDS, asked.store or temporary)
    if asked.seeds:
        print(*made, sep="\n")
    else:
        print(write("tta_backtest", made, PACKAGES))


if __name__ == "__main__":
    main()
