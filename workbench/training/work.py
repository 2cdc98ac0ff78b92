"""What the thread of a run does: train up to an evaluation, evaluate, and leave the last commit in the user's model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.engine import session
from workbench.training.changes import Changes, put_back
from workbench.training.given import as_metrics

if TYPE_CHECKING:
    import torch
    from torch import nn

    from workbench.training.chaos import Chaos
    from workbench.training.data import Source
    from workbench.training.driver import Driver
    from workbench.training.prepare import Terms
    from workbench.training.resilience import Seating
    from workbench.training.run import TrainRun
    from workbench.training.train import Target

__all__ = ["Work", "validated"]


@dataclass
class Work:
    """What the thread of a run does.

    Parameters
    ----------
    terms : Terms
    seating : Seating
        Where the run begins.
    resilience : {"none", "checkpoint", "redundant"}
    others
        Those of `train`, checked.
    """

    terms: Terms
    seating: Seating
    resilience: str
    goal: Target | None
    checking: Source | None
    evaluate: Callable[[nn.Module], Mapping[str, float]] | None
    every: int
    tracker: Any
    chaos: Chaos | None
    rate: float | None
    half: bool
    way_out: BaseException | None = None

    def __call__(self, run: TrainRun) -> TrainRun:
        from workbench.training.chaos import Unrest
        from workbench.training.crew import Crew
        from workbench.training.driver import Cancelled, Driver

        run.publish(lambda: run)
        client, seating = session.session(), self.seating
        changes = Changes(run, self.terms, seating, client, self.resilience)
        driver = Driver(
            run, Crew(client, run.run_id), seating, self._sizes, resilience=self.resilience, restore=changes.restore,
            chaos=None if self.chaos is None else Unrest(self.chaos, self.terms.job.seed), saver=run.saver,
            change=changes.wanted, rate=self.rate, half=self.half,
        )  # fmt: skip
        committed = seating.batches
        try:
            try:
                with self._span("data"):
                    driver.start()
                committed = self._train(run, driver, changes)
                driver.finish_saves()
            except Cancelled:
                committed = driver.halt()
            except BaseException:
                committed = driver.halt()
                raise
        finally:
            try:
                self._keep(run, driver, committed)
            finally:
                changes.close()
                driver.close()
                run.bill.close()
                run.forget(committed)
                run.publish(lambda: run)
                run.saver.close()
        return run

    # below: training, evaluating, and when to stop

    def _train(self, run: TrainRun, driver: Driver, changes: Changes) -> int:
        """Train to the end, the target or the tracker's word; return the batches that are committed."""
        from workbench.training.driver import Change

        at, total = self.seating.batches, self.terms.total
        told = self.evaluate is not None or self.checking is not None or self.goal is not None or bool(self.tracker)
        step = self.every * self.terms.job.batches.per_epoch if told else total
        while at < total:
            until = min(total, (at // step + 1) * step)
            try:
                with self._span("train"):
                    driver.go(at, until)
                at = until
            except Change:
                at = changes.carry_out(driver)
                continue
            if told and (stop := self._evaluate(run, driver, changes, at)):
                run.reached = run.reached or stop == "reached"
                break
        return at

    def _evaluate(self, run: TrainRun, driver: Driver, changes: Changes, at: int) -> str:
        """Evaluate the weights of a commit; say whether to stop."""
        changes.load(driver, at)
        with self._span("eval"):
            if self.evaluate is not None:
                metrics = as_metrics(self.evaluate(run.model))
                count = self.terms.source.length
            elif self.checking is not None:
                metrics = validated(run.model, self.checking, self.terms.job.loss, self.terms.job.batches.batch_size)
                count = self.checking.length
            else:
                metrics, count = run.recent_loss(at), self.terms.source.length
            run.model.train()
            run.validated = self.evaluate is not None or self.checking is not None
            run.add_metrics(at, metrics)
            run.publish(lambda: run)
            stop = self._tell(at, count, metrics)
        if self.goal is not None and self.goal.met(metrics):
            return "reached"
        return "stopped" if stop else ""

    def _tell(self, at: int, count: int, metrics: Mapping[str, float]) -> bool:
        """Tell the tracker of an evaluation; return whether it has enough."""
        log = getattr(self.tracker, "eval", None)
        if log is None:
            return False
        try:
            return bool(getattr(log(step=at, n=count, **metrics), "stop", False))
        except BaseException as raised:
            if isinstance(raised, Exception | KeyboardInterrupt | SystemExit):
                raise
            # its way out of the block around it, which this thread is not in: the run ends well, its caller leaves
            self.way_out = raised
            return True

    def _keep(self, run: TrainRun, driver: Driver, committed: int) -> None:
        """Put the last commit into the user's model and optimizer, as far as it is to be had."""
        put_back(run, driver.weights(committed))

    def _sizes(self, batch: int) -> list[int]:
        batches = self.terms.job.batches
        return [batches.count(batch, microbatch) for microbatch in range(batches.microbatches)]

    def _span(self, name: str) -> Any:
        span = getattr(self.tracker, "span", None)
        return contextlib.nullcontext() if span is None else span(name)


def validated(
    model: nn.Module, source: Source, loss: Callable[[Any, Any], torch.Tensor], batch_size: int
) -> dict[str, float]:
    """Return the mean loss, and for targets of whole numbers `top1` in percent.

    Parameters
    ----------
    model : Module
        Left in training mode.
    source : Source
    loss : callable
    batch_size : int
    """
    import torch

    from workbench.training.data import Batches

    batches = Batches(source.length, batch_size, 1, shuffle=False)
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    total, right, counted = 0.0, 0, True
    model.eval()
    try:
        with torch.no_grad():
            for batch in range(batches.per_epoch):
                *arguments, target = torch.utils._pytree.tree_map(
                    lambda part: part.to(device) if isinstance(part, torch.Tensor) else part,
                    source.load(batches, batch, 0),
                )
                output = model(*arguments)
                total += float(loss(output, target)) * batches.size(batch)
                counted = counted and _has_classes(output, target)
                if counted:
                    right += int((output.argmax(1) == target).sum())
    finally:
        model.train()
    metrics = {"loss": total / source.length}
    if counted:
        metrics["top1"] = 100.0 * right / source.length
    return metrics


def _has_classes(output: Any, target: Any) -> bool:
    import torch

    return (
        isinstance(target, torch.Tensor) and isinstance(output, torch.Tensor) and target.ndim == 1
        and not target.is_floating_point() and output.ndim == 2
    )  # fmt: skip
