"""What a simulation found, as numbers, tables and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from workbench.engine.result import Result
from workbench.training.op import SENDS
from workbench.training.simulate.interpreter import members_of
from workbench.training.simulate.models import SimCosts
from workbench.training.simulate.outcome import Outcome
from workbench.training.simulate.replay import Stretch
from workbench.training.simulate.workload import PlanWork, Work
from workbench.training.units import show_seconds

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Simulation"]

#: rows of the timeline; of what comes later nothing is drawn
LIMIT = 100_000

_TIMELINE = {
    "worker": "int64", "stage": "int64", "op": "str", "step": "int64", "microbatch": "int64", "start": "float64",
    "end": "float64", "generation": "int64", "bytes": "int64",
}  # fmt: skip
_CURVE = {
    "time": "float64", "nodes": "int64", "pipelines": "int64", "throughput": "float64", "cost": "float64",
    "value": "float64",
}  # fmt: skip


class Simulation(Result):
    """Training that was simulated: nothing of it was run.

    Attributes
    ----------
    throughput : float
        Samples per second that survive.
    cost : float
        Dollars per hour.
    value : float
        Samples per second for a dollar per hour.
    seconds : float
        Simulated time.
    steps, samples, lost_samples : int
        Updates and samples that survive, and samples that were trained and thrown away.
    instances : float
        Machines on average.
    preemptions, fatal_failures : int
        Machines taken away, and losses after which training went back.
    interval_hours, lifetime_hours : float
        Mean time between two losses, and mean life of a machine.
    on_demand : dict of str to float
        `instances`, `throughput`, `cost` and `value` on machines that are never taken away.
    model, policy, trace : str
    """

    def __init__(
        self,
        outcome: Outcome,
        model: str,
        policy: str,
        trace: str,
        price: float,
        *,
        on_demand: dict[str, float],
        costs: SimCosts,
        work: Work | None = None,
        stretches: Sequence[Stretch] = (),
    ) -> None:
        self.throughput, self.cost, self.value = outcome.throughput, outcome.cost, outcome.value
        self.seconds, self.steps, self.samples = outcome.seconds, outcome.steps, outcome.samples
        self.lost_samples, self.instances = outcome.lost_samples, outcome.instances
        self.preemptions, self.fatal_failures = outcome.preemptions, outcome.fatal_failures
        self.interval_hours, self.lifetime_hours = outcome.interval_hours, outcome.lifetime_hours
        self.model, self.policy, self.trace, self.price = model, policy, trace, price
        self.on_demand, self.costs = on_demand, costs
        self._work, self._stretches, self._rows = work, stretches, outcome.rows

    @cached_property
    def curve(self) -> pd.DataFrame:
        """Machines, pipelines, samples per second, dollars per hour and value, at each change."""
        import pandas as pd

        frame = pd.DataFrame(self._rows, columns=list(_CURVE)[:4])
        frame["cost"] = frame["nodes"] * self.price
        frame["value"] = frame["throughput"] / frame["cost"].where(frame["cost"] > 0)
        # Of several rows at one time the last one holds.
        return frame.astype(_CURVE).drop_duplicates("time", keep="last").reset_index(drop=True)

    @cached_property
    def timeline(self) -> pd.DataFrame:
        """When each worker ran each operation: the first of them, from programs; without a plan there are none."""
        import pandas as pd

        rows = list(self._operations()) if isinstance(self._work, PlanWork) else []
        return pd.DataFrame(rows, columns=list(_TIMELINE)).astype(_TIMELINE)

    def _operations(self) -> Iterator[tuple[Any, ...]]:
        work = self._work
        assert isinstance(work, PlanWork)
        written = 0
        for generation, stretch in enumerate(self._stretches):
            # A pipe that is never drained is one span as long as it flows.
            together = stretch.units if work.flowing else 1
            spans = stretch.units // together
            for span in range(spans):
                for pipeline, lost in enumerate(stretch.lost):
                    if written >= LIMIT:
                        return
                    offset = stretch.start + span * stretch.seconds
                    step = stretch.first_step + span * work.steps
                    for row in _span(work, len(stretch.lost), lost, together, pipeline, offset, step, generation):
                        yield row
                        written += 1

    def to_pandas(self) -> pd.DataFrame:
        """Return the curve."""
        return self.curve

    def explain(self, format: str = "text") -> Any:
        """Say what was assumed and what came out, as text."""
        from workbench.training.simulate.view import explained

        return explained(self)

    def view_data(self) -> dict[str, Any]:
        """Return the summary, the picture of machines and throughput, and the figures beside on-demand machines."""
        from workbench.training.simulate.view import simulation_view

        return simulation_view(self)

    def __repr__(self) -> str:
        lost = f" · {self.lost_samples:,} samples lost" if self.lost_samples else ""
        return (
            f"Simulation {self.model} · {self.policy} · {self.trace} · {show_seconds(self.seconds)} · "
            f"{self.throughput:.4g} samples/s · ${self.cost:.4g}/h · value {self.value:.3g}{lost}"
        )


def _span(
    work: PlanWork,
    pipelines: int,
    lost: frozenset[int],
    units: int,
    pipeline: int,
    offset: float,
    step: int,
    generation: int,
) -> Iterator[tuple[Any, ...]]:
    ran, costs = work.schedule_of(pipelines, lost, units, LIMIT), work.durations(pipelines)
    microbatch = step * work.microbatches
    members = members_of(ran.programs)
    for rank, ops in ran.programs.items():
        for op, start, end in zip(ops, ran.start[rank], ran.end[rank], strict=True):
            size = costs.bytes.get(op.kind, {}).get(op.stage, 0.0) if op.kind in SENDS else 0.0
            if op.kind == "reduce":
                size = costs.reduce_bytes(op.stage, members[op.stage, op.step])
            yield (
                pipeline * work.ranks + rank,
                op.stage,
                op.kind,
                step + op.step if op.step >= 0 else -1,
                microbatch + op.microbatch if op.microbatch >= 0 else -1,
                offset + start,
                offset + end,
                generation,
                round(size),
            )
