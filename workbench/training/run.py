"""`TrainRun`: a training run as it goes and as it ended."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine import render
from workbench.engine.run import Run
from workbench.engine.store import home
from workbench.training.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd

    from workbench.training.checkpoint import Checkpoint
    from workbench.training.job import Report
    from workbench.training.plan import PipelinePlan
    from workbench.training.prepare import Terms
    from workbench.training.units import Interval

__all__ = ["TABLES", "TrainRun"]

#: columns of the tables and their types
TABLES = {
    "timeline": {
        "worker": "int64", "stage": "int64", "op": "str", "step": "int64", "microbatch": "int64", "start": "float64",
        "end": "float64", "generation": "int64", "bytes": "int64",
    },
    "losses": {
        "step": "int64", "epoch": "int64", "loss": "float64", "samples": "int64", "seconds": "float64",
        "generation": "int64",
    },
    "metrics": {"step": "int64", "epoch": "int64", "name": "str", "value": "float64", "seconds": "float64"},
    "incidents": {
        "time": "float64", "kind": "str", "worker": "int64", "stage": "int64", "step": "int64",
        "pause_seconds": "float64", "replayed_steps": "int64", "lost_steps": "int64", "lost_samples": "int64",
        "message": "str",
    },
    "versions": {
        "stage": "int64", "replica": "int64", "microbatch": "int64", "forward_version": "int64",
        "backward_version": "int64",
    },
}  # fmt: skip
#: rows of timeline and versions that are kept, the newest ones
MOST_ROWS = 500_000
PUBLISH = 0.2  # seconds between two partial results
#: kinds of operations in which a worker computes
COMPUTE = ("load", "forward", "backward", "frc", "brc", "step")


class TrainRun(Run["TrainRun"]):
    """A training run: an engine `Run` whose result is itself.

    Attributes
    ----------
    model : Module
        The user's; holds the weights of the last commit once the run has ended in any way.
    optimizer : Optimizer
        The user's, or what the user's function made.
    plan : PipelinePlan
    schedule, resilience : str
    reached : bool
        Whether the target was reached.
    microbatches, batch_size : int
    emulated : bool
        Whether a link was emulated.
    """

    def __init__(
        self,
        *,
        terms: Terms,
        plan: PipelinePlan,
        resilience: str,
        link: str = "",
        interval: Interval | None = None,
        resumed: Checkpoint | None = None,
        price: float | None = None,
        on_demand_price: float | None = None,
    ) -> None:
        from workbench.training.bill import Bill
        from workbench.training.saver import Saver

        batches = terms.job.batches
        self.plan, self.schedule, self.resilience, self._terms = plan, terms.schedule, resilience, terms
        super().__init__(
            kind="pipeline", title=f"Training {self.schedule} {self.config}", unit="steps", total=terms.total
        )
        self.model, self.optimizer = terms.model, terms.optimizer
        self.microbatches, self.batch_size, self.per_epoch = batches.microbatches, batches.batch_size, batches.per_epoch
        self.link, self.flush_every = link, terms.flush_every_of(plan)
        self.bill = Bill(price, on_demand_price)
        #: another plan that is to be gone on with
        self.wish: PipelinePlan | None = None
        self.saver = Saver(self, home() / "checkpoints" / self.run_id[:12], interval, self._described, resumed)
        self.reached = False
        self.validated = False
        self._table_lock = threading.Lock()
        self._rows: dict[str, Any] = {
            "timeline": deque(maxlen=MOST_ROWS), "versions": deque(maxlen=MOST_ROWS), "losses": {}, "metrics": [],
            "incidents": [],
        }  # fmt: skip
        self._pending: dict[int, dict[int, float]] = {}
        self._sent: dict[tuple[int, int], int] = {}
        self._busy = 0.0
        #: by rank and kind of operation, its first seconds and the most of all others, where a worker computes
        self._longest: dict[tuple[int, str], tuple[float, float]] = {}
        self._spent = self._spent_before = 0.0
        self._since = time.time()
        self._published = 0.0
        if resumed is not None:
            self.recall(resumed.tables(), float(resumed.facts["seconds"]), float(resumed.facts["spent"]))
            self.update(done=resumed.step, skipped=resumed.step)

    # what it came to

    @property
    def config(self) -> str:
        """Replicas of the stages, as they are run: under ddp every worker has the whole model."""
        ranks = sum(len(stage.ranks) for stage in self.plan.stages)
        return str(ranks) if self.schedule == "ddp" else self.plan.config

    @property
    def steps(self) -> int:
        """Batches in the losses: those trained so far."""
        return len(self._rows["losses"])

    @property
    def samples(self) -> int:
        """Samples trained so far."""
        with self._table_lock:
            return sum(row[3] for row in self._rows["losses"].values())

    @property
    def bytes_sent(self) -> int:
        """Bytes that all workers have sent to each other."""
        with self._table_lock:
            return sum(self._sent.values())

    @property
    def seconds(self) -> float:
        """Since the start, that of the run that was resumed included."""
        return time.time() - self._since

    @property
    def spent(self) -> float:
        """Seconds of training, evaluation not counted."""
        return self._spent

    @property
    def throughput(self) -> float:
        """Samples per second, evaluation not counted; 0 before the first step."""
        return self.samples / self._spent if self._spent > 0 else 0.0

    @property
    def bubble(self) -> float:
        """Share of the workers' time in which they did not compute, under the plan that the run has now."""
        ranks = sum(len(stage.ranks) for stage in self.plan.stages)
        spent = self._spent - self._spent_before
        return max(0.0, 1.0 - self._busy / (ranks * spent)) if spent > 0 else 0.0

    @property
    def cost(self) -> float:
        """Dollars per hour of the machines, while they were at work; NaN if they have no price."""
        return self.bill.hourly

    @property
    def value(self) -> float:
        """Samples per second for each dollar per hour; NaN if the machines have no price."""
        return self.throughput / self.cost if self.cost else float("nan")

    @property
    def losses(self) -> pd.DataFrame:
        """One row for each committed batch: step, epoch, loss, samples, seconds since the start, generation."""
        return self._table("losses")

    @property
    def metrics(self) -> pd.DataFrame:
        """One row for each metric of each evaluation."""
        return self._table("metrics")

    @property
    def incidents(self) -> pd.DataFrame:
        """One row for each loss, failover, restore, stall, join, reconfigure, checkpoint or notice.

        Worker and stage are -1 where it is of the whole run: a checkpoint, another plan, too few workers.
        """
        return self._table("incidents")

    @property
    def versions(self) -> pd.DataFrame:
        """Weight versions that each microbatch saw, counted from the start of the run; the newest 500,000 rows."""
        return self._table("versions")

    @property
    def timeline(self) -> pd.DataFrame:
        """What each worker did when, in seconds since the start; the newest 500,000 rows."""
        return self._table("timeline")

    def to_pandas(self) -> pd.DataFrame:
        """Return the losses."""
        return self.losses

    # what can be asked of it

    def watch(self) -> None:
        """Show the run here as it goes, until it ends: in another cell than its own, or in a console line by line.

        An interrupt ends the watching; the run goes on.
        """
        from workbench.training.view import watch

        watch(self)

    def replan(self, *, stages: int) -> None:
        """Go on with another number of stages, from the next commit; nothing is lost.

        Raises
        ------
        TrainingError
            If the run has ended, or the number is none.
        StageMemoryError, PartitionError, ScheduleError
            If the model cannot be cut so.
        NoProgress
            If there are fewer workers.
        """
        from workbench.training import prepare
        from workbench.training.layout import Layout

        if isinstance(stages, bool) or not isinstance(stages, int) or stages < 1:
            raise TrainingError(f"stages is a whole number from 1; got {stages!r}.", "Write stages=3.")
        if self.wait(0):
            raise TrainingError("The run has ended.", "Train run.model with another plan.")
        plan = prepare.fewer(self.plan, self.schedule, stages)
        self._terms.programs(plan, Layout.of(plan, self.schedule))
        prepare.enough(plan, len(prepare.workers(stages)))
        self.wish = plan

    def checkpoint(self) -> str:
        """Write a checkpoint of the next commit, and return its path; of a run that has ended, of the last commit.

        It stays until it is deleted. Training goes on meanwhile.

        Raises
        ------
        CheckpointError
            If it cannot be written.
        """
        asked = self.saver.ask()
        while not asked.done.wait(0.2):
            if self.wait(0):
                break
        if asked.found is None:
            self.wait()
            return str(self.saver.save_ended())
        if isinstance(asked.found, BaseException):
            raise asked.found
        return str(asked.found)

    # how it is told

    def explain(self, format: str = "text") -> Any:
        """Return the plan and, beside it, what the run came to."""
        from workbench.training.view import told

        return told(self, format)

    def view_data(self) -> dict[str, Any]:
        """Return the summary, the Gantt chart of the last spans, the loss curve and the tables."""
        from workbench.training.view import run_view

        return run_view(self)

    def preview_data(self) -> dict[str, Any]:
        """Return what is shown while it goes on."""
        from workbench.training.view import preview

        return preview(self)

    def __len__(self) -> int:
        return self.steps

    def __bool__(self) -> bool:
        # A run without a step is still a run.
        return True

    def __repr__(self) -> str:
        from workbench.training.view import line

        try:
            return line(self)
        except Exception as error:  # a repr never raises
            return f"<TrainRun {self.schedule}: {type(error).__name__}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return render.mimebundle(self, include, exclude)

    def _described(self, step: int) -> dict[str, Any]:
        """Return what the manifest of a checkpoint says."""
        batches = self._terms.job.batches
        with self._table_lock:
            samples = sum(row[3] for batch, row in self._rows["losses"].items() if batch < step)
        epoch, batch = divmod(step, self.per_epoch)
        return {
            "step": step, "epoch": epoch, "batch": batch, "samples": samples, "seconds": self.seconds,
            "spent": self.spent, "schedule": self.schedule, "microbatches": self.microbatches,
            "flush_every": self._terms.flush_every, "plan": {
                "config": self.plan.config, "stages": [list(stage.nodes) for stage in self.plan.stages],
            },
            # where the data stand: the samples' order, and all random numbers, follow from these and the step
            "seed": batches.seed, "batch_size": batches.batch_size, "samples_of_data": batches.samples,
            "shuffle": batches.shuffle, "drop_last": batches.drop_last,
            "optimizer": type(self.optimizer).__name__,
            "parameters": [name for name, _ in self.model.named_parameters()],
        }  # fmt: skip

    # for the driver

    def take(self, rank: int, generation: int, report: Report, sizes: Callable[[int], list[int]], late: float) -> None:
        """Put a worker's report into the tables.

        Parameters
        ----------
        rank, generation : int
        report : Report
        sizes : callable
            Batch -> samples of its microbatches.
        late : float
            Seconds that the worker's clock is ahead of ours.
        """
        begin = self._since + late
        with self._table_lock:
            timeline = self._rows["timeline"]
            for stage, kind, batch, microbatch, start, end, size in report.timeline:
                timeline.append((rank, stage, kind, batch, microbatch, start - begin, end - begin, generation, size))
                if kind in COMPUTE:
                    self._busy += end - start
                    if (rank, kind) in self._longest:
                        first, most = self._longest[rank, kind]
                        self._longest[rank, kind] = first, max(most, end - start)
                    else:
                        self._longest[rank, kind] = end - start, 0.0
            self._rows["versions"].extend(report.versions)
            for batch, microbatch, loss, when in report.losses:
                self._note_loss(batch, microbatch, loss, when - begin, generation, sizes(batch))
            self._sent[rank, generation] = report.sent

    def longest(self, rank: int, kind: str) -> float | None:
        """Return the seconds of the longest operation of a kind that a rank computed; None if it has not done one.

        The first one counts only where there is no other: it loads what all others have, which takes ten times as long
        where a machine is busy, and would say nothing of those.
        """
        with self._table_lock:
            first, most = self._longest.get((rank, kind), (None, 0.0))
        return most or first

    def advance(self, batches: int) -> None:
        """Say that so many batches are committed."""
        self.update(done=batches)
        if time.monotonic() - self._published > PUBLISH:
            self._published = time.monotonic()
            self.publish(lambda: self)

    def recent_loss(self, batches: int) -> dict[str, float]:
        """Return the mean loss of the epoch that ends with these batches."""
        with self._table_lock:
            rows = [row for step, row in self._rows["losses"].items() if batches - self.per_epoch <= step < batches]
        samples = sum(row[3] for row in rows)
        return {"loss": sum(row[2] * row[3] for row in rows) / samples if samples else float("nan")}

    def forget(self, batches: int) -> tuple[int, int, float]:
        """Take away what was not committed in the end; return the steps, the samples and the seconds of that."""
        with self._table_lock:
            losses = self._rows["losses"]
            gone = [losses.pop(step) for step in sorted(losses) if step >= batches]
            last = losses.get(batches - 1)
            for name, place, first in (("metrics", 0, batches), ("versions", 2, batches * self.microbatches)):
                kept = [row for row in self._rows[name] if row[place] < first]
                self._rows[name].clear()
                self._rows[name].extend(kept)
            for step in [step for step in self._pending if step >= batches]:
                del self._pending[step]
        seconds = gone[-1][4] - (last[4] if last else 0.0) if gone else 0.0
        return len(gone), sum(row[3] for row in gone), seconds

    def saved_tables(self, step: int) -> dict[str, list[tuple[Any, ...]]] | None:
        """Return losses and metrics up to a step for a checkpoint; None if some are still on their way."""
        with self._table_lock:
            losses = [tuple(row) for batch, row in sorted(self._rows["losses"].items()) if batch < step]
            metrics = [row for row in self._rows["metrics"] if row[0] < step]
        return {"losses": losses, "metrics": metrics} if len(losses) == step else None

    def recall(self, tables: dict[str, list[tuple[Any, ...]]], seconds: float, spent: float) -> None:
        """Go on with the tables of a checkpoint, so many seconds after the start, in part spent training."""
        with self._table_lock:
            self._rows["losses"] = {row[0]: row for row in tables["losses"]}
            self._rows["metrics"] = list(tables["metrics"])
        self._since = time.time() - seconds
        self._spent = self._spent_before = spent

    def replanned(self, plan: PipelinePlan) -> None:
        """Go on with another plan; what is idle is counted anew."""
        self.plan, self._busy, self._spent_before = plan, 0.0, self._spent

    def add_metrics(self, step: int, metrics: dict[str, float]) -> None:
        """Note an evaluation after so many batches."""
        seconds, epoch = time.time() - self._since, max(0, step - 1) // self.per_epoch
        rows = [(step - 1, epoch, name, float(value), seconds) for name, value in metrics.items()]
        with self._table_lock:
            self._rows["metrics"] += rows

    def add_incident(
        self, kind: str, message: str, *, worker: int = -1, stage: int = -1, step: int = -1, pause: float = 0.0,
        replayed: int = 0, lost_steps: int = 0, lost_samples: int = 0,
    ) -> int:  # fmt: skip
        """Note that something happened, to a worker or (-1) to the whole run; return the number of the incident."""
        row = (
            time.time() - self._since, kind, worker, stage, step, pause, replayed, lost_steps, lost_samples, message,
        )  # fmt: skip
        with self._table_lock:
            self._rows["incidents"].append(row)
            number = len(self._rows["incidents"]) - 1
        places = {"worker": worker, "stage": stage, "step": step}
        self.event(kind, **{name: place for name, place in places.items() if place >= 0}, message=message)
        return number

    def prolong(self, incident: int, begin: float, end: float) -> None:
        """Note between which Unix times the pause of an incident was in the end; as of all, it is noted at its end."""
        with self._table_lock:
            row = self._rows["incidents"][incident]
            self._rows["incidents"][incident] = (end - self._since, *row[1:5], end - begin, *row[6:])

    def seconds_since(self, batches: int) -> float:
        """Return the seconds since so many batches were committed."""
        with self._table_lock:
            row = self._rows["losses"].get(batches - 1)
        return time.time() - self._since - (row[4] if row is not None else 0.0)

    def add_pause(
        self, stages: Mapping[int, Sequence[int]], begin: float, end: float, step: int, generation: int
    ) -> None:
        """Note that ranks found each other anew, between two Unix times."""
        with self._table_lock:
            for rank, run in stages.items():
                self._rows["timeline"].append(
                    (rank, run[0], "rebuild", step, -1, begin - self._since, end - self._since, generation, 0)
                )

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """Return a copy of a table's rows."""
        with self._table_lock:
            kept = self._rows[name]
            if name != "losses":
                return list(kept)
            return [tuple(row) for _, row in sorted(kept.items())]

    def newest(self, name: str, count: int) -> list[tuple[Any, ...]]:
        """Return the newest rows of a table, in no particular order."""
        from itertools import islice

        with self._table_lock:
            return list(islice(reversed(self._rows[name]), count))

    def _note_loss(
        self, batch: int, microbatch: int, loss: float, seconds: float, generation: int, sizes: list[int]
    ) -> None:
        pending = self._pending.setdefault(batch, {})
        pending[microbatch] = loss
        if len(pending) == sum(size > 0 for size in sizes):
            del self._pending[batch]
            # In the order of the microbatches, whoever was first; a replayed step comes out the same.
            total = sum(pending[index] for index in sorted(pending))
            if batch not in self._rows["losses"]:
                row = (batch, batch // self.per_epoch, total, sum(sizes), seconds, generation)
                self._rows["losses"][batch] = row

    def _table(self, name: str) -> pd.DataFrame:
        return _frame(self.rows(name), TABLES[name])


def _frame(rows: Iterable[tuple[Any, ...]], types: dict[str, str]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(list(rows), columns=list(types)).astype(types)
