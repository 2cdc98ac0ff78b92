"""What a worker does for `repeat`: one seed in an open tracker, told to the driver as it goes."""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.tta import liveness
from workbench.tta.problems import TTAWarning
from workbench.tta.seeding import cores, seed_all, set_up
from workbench.tta.store import Store
from workbench.tta.worker_sink import Batch, Operation, Replay, WorkerSink, clean, owner, spool_path, spooled

if TYPE_CHECKING:
    import sqlite3

    from workbench.tta.record import Record
    from workbench.tta.tracker import Tracker
    from workbench.tta.tracking import Previous

__all__ = ["Past", "Recipe", "Told", "past", "tidy", "train_seed"]

#: seconds between two looks whether the task is still wanted
LOOK = 0.25
#: of a worker's scratch space
SPOOLS = "workbench-tta"

#: generators are of a process, so its seeds take turns where a worker has several threads
_turn = threading.Lock()


@dataclass(eq=False)
class Recipe:
    """What is the same for all seeds of one call of `repeat`.

    Attributes
    ----------
    train, name, target, tracker
        As given; `tracker` are further arguments.
    folder : str or None
        Of the driver's store, for checkpoints where workers see it too.
    group : str
        Id of the call.
    threads : int or None
        None: cores // seeds at once on this machine.
    retries : int
    hosts, concurrent : int
        Machines, and seeds at once on all of them.
    """

    train: Callable[[Any, int], Any]
    name: str
    target: dict[str, float]
    tracker: dict[str, Any]
    folder: str | None
    group: str
    threads: int | None
    retries: int
    hosts: int = 1
    concurrent: int = 1

    @property
    def topic(self) -> str:
        """Where workers tell what they do."""
        return f"workbench-tta-{self.group}"


@dataclass(frozen=True)
class Past:
    """What projections need of an earlier run."""

    facts: tuple[Any, ...]  # metric, target, goal, schedule, steps
    crossing: int | None
    last: int | None
    pace: float


@dataclass(eq=False)
class Told:
    """What a task returns.

    Attributes
    ----------
    run : str or None
        Id of the attempt; None if the seed was given up.
    log : list of Operation
        All of it.
    died : int
        Attempts whose worker died.
    """

    run: str | None
    log: list[Operation] = field(default_factory=list)
    died: int = 0


def past(record: Record) -> Past:
    """Return what projections need of a run that has ended."""
    from workbench.tta.crossings import crossing
    from workbench.tta.projection import pace

    rows = record.evals[record.evals["metric"] == record.metric]
    steps = [int(step) for step in rows["step"]]
    at = crossing(rows["value"].to_numpy(), record.target, record.goal)
    facts = record.metric, float(record.target), record.goal, record.schedule, record.steps
    each = pace(steps, rows[f"{record.clock}_s"].tolist())
    return Past(facts, None if at is None else steps[at], steps[-1] if steps else None, each)


def train_seed(recipe: Recipe, item: tuple[int, Sequence[Past]]) -> Told:
    """Train one seed, on a worker; what the function raises is the run's end, not the task's."""
    from distributed import get_worker

    from workbench.tta.tracker import Tracker

    seed, earlier = item
    worker: Any = get_worker()
    key = worker.get_current_task()
    folder = Path(worker.local_directory).parent / SPOOLS
    with _turn, warnings.catch_warnings():
        warnings.simplefilter("ignore", TTAWarning)  # kept with the run, and told by the driver
        if not _wanted(worker, key):
            return Told(None)
        attempts = _Attempts(worker, recipe.topic, seed)
        found = list(_left_behind(folder / recipe.group, seed))
        for batch in found:
            _send(worker, recipe.topic, seed, batch)
        if attempts.finished:
            # its worker died between the end and the answer
            log = [operation for run, _, operations in found if run == attempts.ids[-1] for operation in operations]
            return Told(attempts.ids[-1], log)
        if len(attempts.ids) > recipe.retries:
            return Told(None, died=len(attempts.ids))
        sink = WorkerSink(
            lambda batch: _send(worker, recipe.topic, seed, batch), spool_path(folder, recipe.group, seed)
        )
        at_once = -(-recipe.concurrent // recipe.hosts)
        threads = recipe.threads if recipe.threads is not None else max(1, cores() // at_once)
        with _WorkerStore(recipe, sink, attempts, earlier, found) as store, set_up(seed, threads):
            tracker = Tracker(recipe.name, recipe.target, seed=seed, store=store, **recipe.tracker)
            if attempts.ids:
                tracker.follows(_previous(store, attempts, seed))
            over = threading.Event()
            watch = threading.Thread(target=_watch, args=(worker, key, tracker, over), daemon=True)
            watch.start()
            try:
                with tracker:
                    _train(recipe, tracker, seed)
            except (Exception, SystemExit, KeyboardInterrupt):
                pass  # the tracker has noted it: the run has failed, and the other seeds go on
            finally:
                over.set()
                watch.join()
                sink.close()
        if sink.state != "running":
            attempts.end()
        return Told(sink.run, sink.log)


def tidy(group: str, dask_worker: Any = None) -> None:
    """Throw away what a call of `repeat` has left in the scratch space of this worker."""
    if dask_worker is not None:
        clean(Path(dask_worker.local_directory).parent / SPOOLS, group)


# --------------------------------------------------------------------------------------------------------- private


class _WorkerStore(Store):
    """What a tracker on a worker takes for its store: the driver's is never opened here.

    It knows earlier runs as the driver told them, and earlier attempts at this seed as their processes have spooled
    them on this machine, put in a database of its own when somebody asks.
    """

    def __init__(
        self, recipe: Recipe, sink: WorkerSink, attempts: _Attempts, earlier: Sequence[Past], found: Sequence[Batch]
    ) -> None:
        super().__init__(_usable(recipe.folder))
        self._sink, self._attempts, self._earlier, self._found = sink, attempts, earlier, found
        self._scratch: Store | None = None
        self._temporary = ""

    def __enter__(self) -> _WorkerStore:
        return self

    def __exit__(self, *_: object) -> None:
        if self._scratch is not None:
            self._scratch.close()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def sink(self, run: str, *, here: bool = True) -> Any:
        self._attempts.begin(run)
        return self._sink

    def flush(self) -> bool:
        self._sink.flush()
        return True

    def close(self) -> None:
        pass

    def history(
        self,
        recipe: str,
        metric: str,
        target: float,
        goal: str = "max",
        schedule: str | None = None,
        steps: int | None = None,
        *,
        clock: str | None = None,
    ) -> list[tuple[int | None, int | None, float]]:
        facts = metric, float(target), goal, schedule, steps
        return [(one.crossing, one.last, one.pace) for one in self._earlier if one.facts == facts]

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        if not self._found:
            yield None
            return
        if self._scratch is None:
            self._temporary = tempfile.mkdtemp(prefix="workbench-tta-")
            self._scratch = Store(self._temporary)
            replays: dict[str, Replay] = {}
            for run, first, operations in self._found:
                if run not in replays:
                    replays[run] = Replay(self._scratch.sink(run, here=False))
                replays[run].take(first, operations)
            for replay in replays.values():
                replay.end("lost")
            self._scratch.flush()
        with self._scratch.reading() as connection:
            yield connection


class _Attempts:
    """The attempts at a seed, kept by the scheduler: it outlives workers."""

    def __init__(self, worker: Any, topic: str, seed: int) -> None:
        self._worker, self._keys = worker, [topic, str(seed)]
        known = self._ask("get_metadata", keys=self._keys, default=None) or {}
        self.ids: list[str] = list(known.get("ids", ()))
        self.started: int = known.get("started", 0)
        self.finished = bool(known.get("finished"))

    def begin(self, run: str) -> None:
        """Note that an attempt begins."""
        self.ids.append(run)
        self.started = time.time_ns()
        self._keep()

    def end(self) -> None:
        """Note that the latest attempt has come to its end."""
        self.finished = True
        self._keep()

    def _keep(self) -> None:
        known = {"ids": self.ids, "started": self.started, "finished": self.finished}
        self._ask("set_metadata", keys=self._keys, value=known)

    def _ask(self, what: str, **arguments: Any) -> Any:
        from distributed.utils import sync

        return sync(self._worker.loop, getattr(self._worker.scheduler, what), **arguments)


def _train(recipe: Recipe, tracker: Tracker, seed: int) -> None:
    seed_all(seed)  # again, as what was loaded to get here has drawn numbers
    recipe.train(tracker, seed)


def _previous(store: Store, attempts: _Attempts, seed: int) -> Previous:
    """Return the attempt before this one, as far as it is known on this machine."""
    from workbench.tta.reading import Log
    from workbench.tta.tracking import Previous

    last = attempts.ids[-1]
    with suppress(Exception):  # a spool that cannot be read is none
        chain = store.attempts(last)
        return Previous(last, len(attempts.ids), int(chain[0].facts["started_utc"]), store.log(chain))
    return Previous(last, len(attempts.ids), attempts.started, Log())


def _usable(folder: str | None) -> str | None:
    """Return the driver's folder where it is of this machine; None is this machine's own."""
    if folder is None:
        return None
    try:
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def _send(worker: Any, topic: str, seed: int, batch: Batch) -> None:
    worker.log_event(topic, {"seed": seed, "batch": pickle.dumps(batch)})


def _left_behind(folder: Path, seed: int) -> Iterator[Batch]:
    """Yield what dead processes of this machine have spooled of a seed."""
    with suppress(OSError):
        for path in sorted(folder.glob(f"{seed}-*.log"), key=lambda path: path.stat().st_mtime):
            if owner(path) != os.getpid() and not liveness.running(owner(path)):
                yield from spooled(path)


def _watch(worker: Any, key: str, tracker: Any, over: threading.Event) -> None:
    """Stop a run whose task is not wanted any more."""
    while not over.wait(LOOK):
        if not _wanted(worker, key):
            tracker.stop()
            return


def _wanted(worker: Any, key: str) -> bool:
    """Return whether the driver still waits for a task."""
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in ("cancelled", "released", "forgotten")
