"""`Tracker`: watches one training run; spans, points, evaluations, budgets, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.tta import lifetime
from workbench.tta.arguments import settings, step_of, whole
from workbench.tta.evaluating import evaluate
from workbench.tta.joining import join
from workbench.tta.spanlog import Open, check_kind
from workbench.tta.status import Status
from workbench.tta.tracking import Previous, Tracking

if TYPE_CHECKING:
    from workbench.tta.price import Price
    from workbench.tta.record import Record
    from workbench.tta.run import Run
    from workbench.tta.tracked import LiveRun

__all__ = ["SpanBlock", "Tracker"]


class Tracker:
    """Watches one training run.

    Entering starts the clocks, leaving ends the run. A stop or a spent budget raises `StopTraining` in `eval` or `log`,
    which the block swallows.

    Parameters
    ----------
    name : str
        The recipe.
    target : dict
        One metric and a finite number, such as `{"top1": 94}`.
    goal : {"max", "min"}
    unit : {"percent", "fraction", "any"}, optional
        Of the metric; None is guessed from the target, `"any"` is not checked.
    clock : {"dawnbench", "mlperf", "algoperf", "wall"}
        The one the run is judged by; all four are kept.
    task : str, optional
        `CIFAR10`, `ImageNet`, `SQuAD` or a free name.
    steps : int, optional
        Planned length, in the unit of `step`.
    schedule : str, optional
        A name of the learning-rate schedule: projections use earlier runs with the same one.
    seed : int, optional
    price : float or Price, optional
        USD per hour of the whole cluster.
    eval_set : str, int or array, optional
        Name, count, or ids or labels of the set that is judged on.
    eval_count : int, optional
        The count alone.
    train_set : array, optional
        Ids; those that are in `eval_set` too are counted and told.
    fresh : callable, optional
        `() -> float`: the metric on data held out to the end; called once, at the confirmed crossing or the end.
    confirm : int
        Evaluations in a row that confirm the crossing.
    stop, hopeless : bool
        Leave at the confirmed crossing; leave when the projection rules the target out.
    max_time, max_cost, max_energy : optional
        Budgets: `"20min"` on the run's clock, USD on the wall clock, joules.
    resume : str, optional
        Id of an unfinished run to go on with.
    honest : bool
        Warn of a target that is judged on the test set.
    sync : callable, optional
        Run at edges of spans and evaluations; by default `torch.cuda.synchronize`, if CUDA is in use.
    store : path, optional
        Folder of the database; `WORKBENCH_HOME/tta` by default. A `Sink` takes the rows in its place.

    Examples
    --------
    >>> with Tracker("resnet9", {"top1": 94}, eval_set=10_000, stop=True) as t:  # doctest: +SKIP
    ...     for epoch in range(24):
    ...         with t.span("train"):
    ...             train(epoch)
    ...         t.eval(step=epoch, n=10_000, top1=evaluate)
    """

    def __init__(
        self, name: str, target: dict[str, float], *, goal: str = "max", unit: str | None = None,
        clock: str = "dawnbench", task: str | None = None, steps: int | None = None, schedule: str | None = None,
        seed: int | None = None, price: float | Price | None = None, eval_set: Any = None,
        eval_count: int | None = None, train_set: Any = None, fresh: Callable[[], float] | None = None,
        confirm: int = 1, stop: bool = False, hopeless: bool = False, max_time: Any = None,
        max_cost: float | str | None = None, max_energy: float | None = None, resume: str | None = None,
        honest: bool = True, sync: Callable[[], Any] | None = None, store: Any = None,
    ) -> None:  # fmt: skip
        self._tracking = Tracking(
            settings(
                name, target, goal=goal, unit=unit, clock=clock, task=task, steps=steps, schedule=schedule, seed=seed,
                price=price, eval_set=eval_set, eval_count=eval_count, train_set=train_set, fresh=fresh,
                confirm=confirm, stop=stop, hopeless=hopeless, max_time=max_time, max_cost=max_cost,
                max_energy=max_energy, resume=resume, honest=honest, sync=sync, store=store,
            )
        )  # fmt: skip
        self._live: LiveRun | None = None

    # ------------------------------------------------------------------------------------------------ what is written

    def span(self, kind: str) -> SpanBlock:
        """Return a context manager for a span of work; of nested ones the innermost counts.

        Parameters
        ----------
        kind : {"init", "data", "compile", "warmup", "train", "eval", "checkpoint", "other"}
        """
        return SpanBlock(self._tracking, check_kind(kind))

    def log(self, step: int, **metrics: Any) -> None:
        """Log dense points.

        Parameters
        ----------
        step : int
        **metrics : float
            Real numbers; a tensor on a device is converted, which waits for it.

        Raises
        ------
        StopTraining
            If the run is to be left.
        """
        # a tracker that is open has its own function of this name, with nothing to look up
        self._tracking.check_open("log")
        self._tracking.logger()(step, **metrics)

    def eval(
        self, step: int | None = None, n: int | None = None, *, epoch: float | None = None, **metrics: Any
    ) -> Status:
        """Log one evaluation.

        Parameters
        ----------
        step : int, optional
            The index of the evaluation by default.
        n : int, optional
            Samples judged; checked against the count of the evaluation set.
        epoch : float, optional
        **metrics : float or callable
            A callable without arguments is run inside an `eval` span.

        Returns
        -------
        Status

        Raises
        ------
        StopTraining
            If the run is to be left.
        WorkbenchError
            For what is no evaluation; nothing of it is kept.
        """
        return evaluate(self._tracking, step, n, epoch, metrics)

    def plan(self, steps: int, schedule: str | None = None) -> None:
        """Tell the planned length, in the unit of `step`, and the name of the schedule: earlier runs then project."""
        t = self._tracking
        t.check_open("plan")
        length = whole(steps, "steps", 1, "steps=15")
        if schedule is not None and (not isinstance(schedule, str) or not schedule.strip()):
            raise WorkbenchError(f"schedule is a name, not {schedule!r}.", 'Write schedule="onecycle-15".')
        t.plan(length, t.schedule if schedule is None else schedule)
        t.sink.update({"steps": t.steps, "schedule": t.schedule})

    def note(self, text: str) -> None:
        """Keep a note with the run."""
        t = self._tracking
        t.check_open("note")
        line = " ".join(str(text).split())
        with t.lock:
            t.notes.append(line)
            t.changed()
            t.sink.note(line)

    def stop(self) -> None:
        """Ask the run to end: the next `log` or `eval` raises `StopTraining`. From any thread."""
        self._tracking.ask_to_stop()

    def resume(self, step: int) -> None:
        """Go on from the previous attempt at `step`: both become one run, and the time between is a `down` span."""
        t = self._tracking
        t.check_open("resume")
        at = step_of(step)
        previous = lifetime.previous(t)
        t.resumed_step = at
        t.sink.update({"parent": previous.id, "attempt": t.attempt, "joined": True, "resumed_step": at})
        join(t)

    # --------------------------------------------------------------------------------------------------- what it tells

    @property
    def id(self) -> str:
        """The id of the attempt."""
        return self._tracking.id

    @property
    def run(self) -> Run:
        """The run, as it is now."""
        if self._live is None:
            raise WorkbenchError("The tracker has not been entered.", "Write with wb.tta.Tracker(…) as t: around it.")
        return self._live

    @property
    def status(self) -> Status:
        """Of the last evaluation."""
        return self._tracking.status

    @property
    def seed(self) -> int | None:
        """The run's seed."""
        return self._tracking.settings.seed

    @property
    def resumed(self) -> bool:
        """Whether there is an earlier attempt to go on with."""
        return self._tracking.previous is not None

    @property
    def checkpoint_dir(self) -> Path:
        """A folder kept between attempts of the same recipe and seed; made when it is asked for."""
        from workbench.tta.checkpoints import checkpoint_dir

        return checkpoint_dir(self._tracking)

    def live_record(self) -> Record:
        """Return the run as plain data, as it is now."""
        return self.run.record

    def live(self) -> dict[str, Any]:
        """Return what changes from moment to moment.

        Returns
        -------
        dict
            `seconds` on the run's clock, `cost_usd`, `energy_j`, `projection`, `stopping`, and `version`, which grows
            with each change.
        """
        t = self._tracking
        with t.lock:
            seconds = t.spans.read(t.now() + t.offset) / 1e9
            energy = t.energy()
        return {
            "seconds": seconds, "cost_usd": t.cost(seconds), "energy_j": math.nan if energy is None else energy / 1e3,
            "projection": t.status.projection, "stopping": bool(t.stopping), "version": t.version,
        }  # fmt: skip

    def __repr__(self) -> str:
        t = self._tracking
        return f"<Tracker {t.settings.name}: {t.target}, {t.state}>"

    # -------------------------------------------------------------------------------------------- entering and leaving

    def follows(self, previous: Previous) -> None:
        """Make this the next attempt of a run that another process began; before it is entered."""
        self._tracking.previous = previous

    def __enter__(self) -> Tracker:
        self._live = lifetime.begin(self._tracking)
        self.log = self._tracking.logger()  # type: ignore[method-assign]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        assert self._live is not None
        return lifetime.end(self._tracking, self._live, error)

    def __reduce__(self) -> Any:
        raise WorkbenchError(
            "A tracker cannot be sent to another process or copied.", "Make it there, or use wb.tta.repeat."
        )


class SpanBlock:
    """The block of a span.

    Parameters
    ----------
    tracking : Tracking
    kind : str
    """

    __slots__ = ("_kind", "_open", "_tracking")

    def __init__(self, tracking: Tracking, kind: str) -> None:
        self._tracking, self._kind = tracking, kind
        self._open: list[Open] = []  # a block may be entered again

    def __enter__(self) -> SpanBlock:
        self._open.append(self._tracking.open(self._kind))
        return self

    def __exit__(self, *_: object) -> None:
        self._tracking.close(self._open.pop())
