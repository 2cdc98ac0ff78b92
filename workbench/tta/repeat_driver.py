"""The work of one `repeat`: seeds go out as tasks, what they tell comes back as runs of the store."""

from __future__ import annotations

import functools
import pickle
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine import session as engine_session
from workbench.engine.errors import WorkbenchError, one_line
from workbench.engine.run import Run as Work
from workbench.engine.tasks import Outcome, stream
from workbench.tta.outcomes import COUNTED
from workbench.tta.repeat_plan import plan_of, with_actual
from workbench.tta.worker_sink import Replay

if TYPE_CHECKING:
    from workbench.tta.record import Record
    from workbench.tta.runs import Runs
    from workbench.tta.store import Store
    from workbench.tta.worker import Past, Recipe, Told

__all__ = ["GRACE", "Driver"]

#: seconds that seeds under way have to leave their loops after a cancel
GRACE = 3.0
#: seconds between two looks at what has come, and between two clearings of what the scheduler keeps of it
LOOK, CLEAR = 0.1, 10.0


@dataclass(eq=False)
class _Attempt:
    """One attempt at a seed, as it is told here."""

    id: str
    seed: int
    replay: Replay


@dataclass(eq=False)
class Driver:
    """The work of one call: submits seeds, takes what they tell, and puts the runs together."""

    recipe: Recipe
    seeds: list[int]
    concurrent: int | None
    store: Store
    attempts: dict[str, _Attempt] = field(default_factory=dict)
    chosen: dict[int, str] = field(default_factory=dict)  # seed -> the attempt that stands for it
    lost: dict[int, str] = field(default_factory=dict)  # seed -> why there is none
    past: dict[str, Past] = field(default_factory=dict)  # of earlier runs, by id
    lock: threading.RLock = field(default_factory=threading.RLock)

    def __post_init__(self) -> None:
        self.told: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.began = time.monotonic()

    def __call__(self, work: Work[Runs]) -> Runs:
        """Train all seeds."""
        client = engine_session.session()
        workers = max(1, engine_session.workers())
        at_once = min(self.concurrent or workers, len(self.seeds))
        self.recipe.concurrent, self.recipe.hosts = at_once, _hosts(client)
        self.plan = plan_of(self.recipe, len(self.seeds), at_once, self._earlier())
        work.event("plan", text=str(self.plan))
        work.publish(self.runs)
        topic = self.recipe.topic
        client.subscribe_topic(topic, self._on_event)
        over = threading.Event()
        listener = threading.Thread(target=self._listen, args=(work, client, over), name="workbench-tta", daemon=True)
        listener.start()
        try:
            self._train(work, at_once)
            if work.cancelled.is_set():
                self._let_go(work)
        finally:
            over.set()
            listener.join(timeout=30)
            self._tidy(client)
        with self.lock:
            for attempt in self.attempts.values():
                attempt.replay.end("interrupted" if work.cancelled.is_set() else "lost")
        return self.runs(final=True)

    # seeds

    def _train(self, work: Work[Runs], at_once: int) -> None:
        from workbench.tta.worker import train_seed

        pending = list(self.seeds)
        while pending and not work.cancelled.is_set():
            again = []
            items = self._items(pending)
            # 0: a function that raises is a run that failed; workers that die are the scheduler's to replace
            task = functools.partial(train_seed, self.recipe)
            for outcome in stream(task, items, run=work, in_flight=at_once, retries=0, key=self.recipe.name):
                seed = pending[outcome.index]
                if self._settled(seed, outcome):
                    work.update(done=float(len(self.chosen) + len(self.lost)))
                else:
                    again.append(seed)
                work.publish(self.runs)
            pending = again

    def _items(self, pending: list[int]) -> Iterator[tuple[int, list[Past]]]:
        """Yield the tasks when their turn comes: seeds that have ended by then are history to the next."""
        from workbench.tta.worker import past

        for seed in pending:
            earlier = self._earlier()
            self.past |= {record.id: past(record) for record in earlier if record.id not in self.past}
            yield seed, [self.past[record.id] for record in earlier]

    def _settled(self, seed: int, outcome: Outcome[Told]) -> bool:
        """Take what became of a seed; return whether that is its end."""
        if outcome.error is None:
            told = outcome.unwrap()
            if told.run is None:
                self.lost[seed] = f"its worker died {_times(told.died)}"
                return True
            self.take(seed, (told.run, 0, told.log))
            with self.lock:
                attempt = self.attempts.get(told.run)
                if attempt is not None:
                    attempt.replay.end("lost")  # does nothing to a log that is whole
                    self.chosen[seed] = told.run
                    return True
            self.lost[seed] = "what it told did not come"
            return True
        tried = max(1, sum(attempt.seed == seed for attempt in self.attempts.values()))
        if _worker_died(outcome.error):
            if tried <= self.recipe.retries:
                return False
            self.lost[seed] = f"its worker died {_times(tried)}"
        else:
            self.lost[seed] = one_line(outcome.error)
        return True

    # what workers tell

    def _on_event(self, event: tuple[float, Any]) -> None:
        """Take an event; on the client's event loop, so it only queues."""
        if isinstance(event[1], dict) and "batch" in event[1]:
            self.told.put(event[1])

    def _listen(self, work: Work[Runs], client: Any, over: threading.Event) -> None:
        cleared = time.monotonic()
        while not (over.is_set() and self.told.empty()):
            try:
                message = self.told.get(timeout=LOOK)
            except queue.Empty:
                message = None
            if message is not None:
                try:
                    self.take(int(message["seed"]), pickle.loads(message["batch"]))
                except Exception as error:  # the result of the task has it again
                    work.event("not_taken", error=one_line(error))
                if self.told.empty():
                    work.publish(self.runs)
            if time.monotonic() - cleared > CLEAR:
                cleared = time.monotonic()
                _forget_events(client, self.recipe.topic)

    def take(self, seed: int, batch: tuple[str, int, list[Any]]) -> None:
        """Take a batch of a run's log, whatever has come of it already."""
        run, first, operations = batch
        with self.lock:
            attempt = self.attempts.get(run)
            if attempt is None:
                for other in self.attempts.values():
                    if other.seed == seed and not other.replay.ended:
                        other.replay.end("lost")  # its worker died, else there would be no other attempt
                sink = self.store.sink(run, here=False)
                attempt = self.attempts[run] = _Attempt(run, seed, Replay(sink))
            attempt.replay.take(first, operations)

    def _let_go(self, work: Work[Runs]) -> None:
        """Give seeds under way the time to leave their loops and say how far they came."""
        until = time.monotonic() + GRACE
        work.update(stage="stopping")
        while time.monotonic() < until:
            with self.lock:
                if all(attempt.replay.ended for attempt in self.attempts.values()):
                    return
            time.sleep(LOOK)

    def _tidy(self, client: Any) -> None:
        with suppress(Exception):  # a cluster that is gone keeps nothing
            client.unsubscribe_topic(self.recipe.topic)
            _forget_events(client, self.recipe.topic)
            client.set_metadata(self.recipe.topic, {})
            from workbench.tta.worker import tidy

            client.run(tidy, self.recipe.group, wait=False, on_error="ignore")

    # results

    def runs(self, final: bool = False) -> Runs:
        """Return the runs so far: of each seed the attempt that stands for it, else the latest one."""
        from workbench.tta.run import Run
        from workbench.tta.runs import Runs

        with self.lock:
            of_seed = {attempt.seed: attempt.id for attempt in self.attempts.values()} | self.chosen
            wanted = [of_seed[seed] for seed in self.seeds if seed in of_seed]
        found = {record.id: record for record in self.store.records(self.recipe.name)}
        records = [found[run] for run in wanted if run in found]
        missing: tuple[str, ...] = ()
        if final:
            missing = tuple(self._missing(records))
            records = [record for record in records if record.state in COUNTED]
        runs = Runs([Run(record) for record in records], missing)
        runs.plan = with_actual(self.plan, len(records), time.monotonic() - self.began)
        return runs

    def _missing(self, records: list[Record]) -> Iterator[str]:
        """Name the seeds without an end, and why."""
        ended = {record.seed for record in records if record.state in COUNTED}
        begun = {record.seed for record in records}
        why: dict[str, list[int]] = {}
        for seed in self.seeds:
            if seed not in ended:
                reason = self.lost.get(seed) or ("cancelled" if seed in begun else "cancelled before it began")
                why.setdefault(reason, []).append(seed)
        for reason, seeds in why.items():
            is_missing = "Seed {} is" if len(seeds) == 1 else "Seeds {} are"
            yield f"{is_missing.format(', '.join(map(str, seeds)))} missing: {reason}."

    def _earlier(self) -> list[Record]:
        return [record for record in self.store.records(self.recipe.name) if record.state in COUNTED]


# --------------------------------------------------------------------------------------------------------- private


def _hosts(client: Any) -> int:
    """Return the number of machines that the workers are on."""
    with suppress(Exception):
        workers = engine_session.members(client).values()
        return max(1, len({worker["host"] for worker in workers}))
    return 1


def _forget_events(client: Any, topic: str) -> None:
    """Have the scheduler drop the events that it has passed on: it keeps the last 100,000 of a topic."""

    def truncate(dask_scheduler: Any) -> None:
        dask_scheduler._broker.truncate(topic)

    with suppress(Exception):
        client.run_on_scheduler(truncate)


def _worker_died(error: BaseException) -> bool:
    return isinstance(error, WorkbenchError) and "each worker that took it died" in error.message


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
