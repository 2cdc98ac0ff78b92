"""The examples of the design as they stand there, on the digits of scikit-learn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import workbench as wb
from workbench.tta.language import parse_line
from workbench.tta.store import open_store

pytest.importorskip("sklearn")

#: the three cells of 2.1, their first line apart
CELLS = {
    "top1>=97 --stop --confirm 2 --name digits-cnn -o run": """
tta.plan(steps=15, schedule="onecycle-15")            # lets the projection use earlier runs
for epoch in range(15):
    train_one_epoch(net)
    tta.eval(step=epoch, n=300, top1=lambda: accuracy(net, val))   # a callable is timed as evaluation
""",
    "val_loss<=0.10 --goal min --clock wall --max-time 20min": """
for step in range(2000):
    tta.log(step, loss=train_step())
    if step % 50 == 0: tta.eval(step=step, val_loss=validate())
""",
    "top1>=94 --task CIFAR10 --price 3.06 --max-cost 5 --name resnet9": """
main(tracker=tta)
""",
}


class Net:
    """Softmax regression on a random expansion of the pixels: a linear problem that 97 % of the digits obey."""

    def __init__(self) -> None:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        rng = np.random.default_rng(0)
        order = rng.permutation(len(labels))
        features = np.maximum(pixels[order] / 16 @ rng.normal(0, 0.3, (64, 500)), 0)
        self.train, self.val = (features[300:], labels[order][300:]), (features[:300], labels[order][:300])
        self.w = np.zeros((500, 10))
        self.rng = rng
        self.steps = 0

    def step(self) -> float:
        """Take a step on 64 digits; return the loss."""
        rows = self.rng.integers(0, len(self.train[1]), 64)
        x, y = self.train[0][rows], self.train[1][rows]
        p = self.softmax(x)
        self.w -= 0.05 * x.T @ (p - np.eye(10)[y])
        self.steps += 1
        return float(-np.log(p[np.arange(64), y] + 1e-9).mean())

    def softmax(self, x: np.ndarray) -> np.ndarray:
        """Probabilities."""
        z = np.exp(x @ self.w - (x @ self.w).max(axis=1, keepdims=True))
        return z / z.sum(axis=1, keepdims=True)

    def epoch(self) -> None:
        """Take 23 steps."""
        for _ in range(23):
            self.step()

    def accuracy(self, data: Any = None) -> float:
        """Percent of the digits held out that are right."""
        x, y = self.val
        return float(100 * (self.softmax(x).argmax(axis=1) == y).mean())

    def loss(self) -> float:
        """Mean negative log likelihood of the digits held out."""
        x, y = self.val
        return float(-np.log(self.softmax(x)[np.arange(len(y)), y] + 1e-9).mean())


def run_cell(line: str, **names: Any) -> Any:
    request = parse_line(line)
    cell = CELLS[line]
    with wb.tta.Tracker(**request.arguments(cell)) as tta:
        exec(cell, {"tta": tta, **names})
    return tta.run


def test_c07_c08_the_first_cell() -> None:
    net = Net()
    names = {"net": net, "val": net.val, "train_one_epoch": Net.epoch, "accuracy": Net.accuracy}
    run = run_cell("top1>=97 --stop --confirm 2 --name digits-cnn -o run", **names)
    values = run.evals["value"].tolist()
    assert run.name == "digits-cnn" and run.steps == 15 and run.schedule == "onecycle-15"
    twice = [i for i in range(1, len(values)) if min(values[i - 1 : i + 1]) >= 97]
    assert run.state == ("reached" if twice else "finished") and max(values) > 90
    assert not twice or twice[0] == len(values) - 1
    assert run.evals["n"].tolist() == [300] * len(values) and run.spans["kind"].tolist() == ["eval"] * len(values)
    assert (run.evals["dawnbench_s"] < run.evals["wall_s"]).all() and not run.warnings
    (found,) = wb.tta.runs("digits-cnn")
    assert found.evals.equals(run.evals)
    open_store().close()


def test_c07_c08_the_second_cell() -> None:
    net = Net()
    line = "val_loss<=0.10 --goal min --clock wall --max-time 20min"
    with pytest.warns(wb.tta.TTAWarning, match="its time counts as training"):
        run = run_cell(line, train_step=net.step, validate=net.loss)
    assert len(run.points) == 2000 and len(run.evals) == 40 and run.clock == "wall" and run.goal == "min"
    assert run.name.startswith("cell-") and run.state == "finished"
    assert run.points["value"].iloc[-50:].mean() < run.points["value"].iloc[:50].mean()
    assert run.evals["se"].isna().all() and "[eval" not in run.explain()
    open_store().close()


def test_c07_c14_the_third_cell() -> None:
    net = Net()

    def main(tracker: wb.tta.Tracker) -> None:
        for epoch in range(3):
            with tracker.span("train"):
                net.epoch()
            tracker.eval(step=epoch, n=10_000, top1=lambda: 94.0 if net.steps == 3 * 23 else 50.0)

    run = run_cell("top1>=94 --task CIFAR10 --price 3.06 --max-cost 5 --name resnet9", main=main)
    assert run.task == "CIFAR10" and run.time_to() == run.evals["dawnbench_s"].iloc[2]
    assert run.cost_to() == pytest.approx(run.time_to() / 3600 * 3.06) and run.record.eval_count == 10_000
    assert run.crossings["quantum"].tolist()[0] > 0
    open_store().close()


def test_c08_the_example_of_the_tracker() -> None:
    net = Net()
    load, train, evaluate = (lambda: net.train), (lambda epoch: net.epoch()), (lambda: 93 + net.steps / 23)

    with wb.tta.Tracker("resnet9", target={"top1": 94}, eval_set=10_000, price=3.06, stop=True) as t:
        with t.span("data"):
            ds = load()
        for epoch in range(24):
            with t.span("train"):
                train(epoch)
            with t.span("eval"):
                t.eval(step=epoch, n=10_000, top1=evaluate())
    assert ds is net.train
    assert t.run.time_to(94) == t.run.time_to([90, 92, 94]).loc[94.0] > 0
    assert np.isnan(t.run.time_to(94, confirm=2)) and t.run.cost_to(94) > 0
    assert t.run.state == "reached" and len(t.run.evals) == 1
    assert "top1 >= 94 reached at" in repr(t.run) and "eval" in repr(t.run)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(wb.tta.StopTraining):
            raise wb.tta.StopTraining("target")
    open_store().close()
