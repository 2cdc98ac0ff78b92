"""Many calls of one function on the session: submitted a few at a time, answered as they complete."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from workbench.engine import session
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.engine.run import Run

__all__ = ["Outcome", "ordered", "stream"]

T = TypeVar("T")
R = TypeVar("R")

#: seconds between two looks at `run.cancelled` while nothing completes
POLL = 0.05

#: a pickled function larger than this travels once as a task of its own, not with every call
LARGE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Outcome(Generic[R]):
    """What became of one item.

    Attributes
    ----------
    index : int
        Position of the item.
    value : R or None
        What the function returned.
    error : BaseException or None
        What it raised at its last try, with the worker's traceback.
    seconds : float
        How long the successful call took; 0 if there was none.
    """

    index: int
    value: R | None = None
    error: BaseException | None = None
    seconds: float = 0.0

    def unwrap(self) -> R:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]


def stream(
    function: Callable[[T], R],
    items: Iterable[T],
    *,
    run: Run[Any] | None = None,
    in_flight: int | None = None,
    retries: int = 2,
    priority: Callable[[int], float] | float | None = None,
    resources: dict[str, float] | None = None,
    key: str | None = None,
) -> Iterator[Outcome[R]]:
    """Call `function(item)` on the session's workers and yield outcomes in order of completion.

    Parameters
    ----------
    function : callable
        Pure; pickled by cloudpickle once.
    items : iterable
        Pulled lazily: only as many as are in flight.
    run : Run, optional
        When it is cancelled, nothing more is submitted and what is in flight is cancelled. Lost workers are told to it.
    in_flight : int, optional
        Tasks submitted and not yet answered; default twice the number of workers.
    retries : int
        How often an item is tried again after the function raised. Items on a killed worker are done again in any case.
    priority : callable or float, optional
        Priority of item `index` (higher first), or one for all; default `-index`.
    resources : dict, optional
        Worker resources that a task needs, as in Dask.
    key : str, optional
        Name of the tasks on the dashboard; default the function's name.

    Yields
    ------
    Outcome

    Raises
    ------
    WorkbenchError
        If the cluster goes away.
    """
    client = session.session()
    submission = _Submission(client, function, retries=retries, priority=priority, resources=resources, key=key)
    stop_listening = session.on_worker_lost(submission.on_worker_lost(run))
    pending = enumerate(items)
    exhausted = False
    looked = time.monotonic()
    try:
        while True:
            limit = in_flight if in_flight is not None else 2 * max(1, session.workers())
            while not exhausted and len(submission) < max(1, limit) and not _cancelled(run):
                try:
                    index, item = next(pending)
                except StopIteration:
                    exhausted = True
                else:
                    submission.submit(index, item)
            if _cancelled(run) or (exhausted and not len(submission)):
                return
            if time.monotonic() - looked > 1.0:
                session.heal()
                looked = time.monotonic()
            yield from submission.next(run)
    finally:
        stop_listening()
        submission.release()


def ordered(outcomes: Iterable[Outcome[R]]) -> Iterator[Outcome[R]]:
    """Yield outcomes by index 0, 1, 2 ...: those that come early wait in a buffer."""
    waiting: dict[int, Outcome[R]] = {}
    following = 0
    for outcome in outcomes:
        waiting[outcome.index] = outcome
        while following in waiting:
            yield waiting.pop(following)
            following += 1


def _cancelled(run: Run[Any] | None) -> bool:
    return run is not None and run.cancelled.is_set()


class _Submission:
    """The futures in flight of one stream."""

    def __init__(
        self,
        client: Any,
        function: Callable[[Any], Any],
        *,
        retries: int,
        priority: Callable[[int], float] | float | None,
        resources: dict[str, float] | None,
        key: str | None,
    ) -> None:
        import cloudpickle

        self.client, self.retries, self.priority, self.resources = client, retries, priority, resources
        self.address = session.address()
        name = key or getattr(function, "__name__", None) or type(function).__name__
        self.prefix = f"{name.strip('<>')}-{uuid.uuid4().hex}"
        blob: Any = cloudpickle.dumps(function)
        self.code: Any = blob
        if len(blob) > LARGE:
            # A task rather than scattered data: it is made again if the only worker that holds it dies.
            self.code = client.submit(bytes, blob, key=f"{self.prefix}-function", pure=False)
        self.flying: dict[Any, tuple[int, Any, int]] = {}  # future -> (index, item, times submitted)
        self.finished: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def __len__(self) -> int:
        return len(self.flying)

    def submit(self, index: int, item: Any, times: int = 1) -> None:
        rank = self.priority
        try:
            future = self.client.submit(
                _call,
                self.code,
                item,
                key=f"{self.prefix}-{index}" + (f"-{times}" if times > 1 else ""),
                pure=False,
                retries=self.retries,
                priority=rank(index) if callable(rank) else -index if rank is None else rank,
                resources=self.resources,
            )
        except Exception:
            self._check_cluster()
            raise
        self.flying[future] = (index, item, times)
        future.add_done_callback(self.finished.put)

    def next(self, run: Run[Any] | None) -> list[Outcome[Any]]:
        """Wait for the next outcomes; none if there is no answer within a second, or the run is cancelled."""
        waited = time.monotonic()
        while True:
            try:
                batch = [self.finished.get(timeout=POLL)]
                break
            except queue.Empty:
                if _cancelled(run):
                    return []
                if time.monotonic() - waited > 1.0:
                    self._check_cluster()
                    return []
        with suppress(queue.Empty):
            while True:
                batch.append(self.finished.get_nowait())
        known = [future for future in batch if future in self.flying]
        finished = [future for future in known if future.status == "finished"]
        settled = (self._settle(future, run) for future in known if future not in finished)
        return [outcome for outcome in settled if outcome is not None] + self._collect(finished, run)

    def _collect(self, finished: list[Any], run: Run[Any] | None) -> list[Outcome[Any]]:
        """Bring the values of finished calls here, all in one request."""
        try:
            values = self._gather(finished, run) if finished else []
        except Exception as error:
            if len(finished) > 1:  # which one it was, one by one
                return [outcome for future in finished for outcome in self._collect([future], run)]
            (future,) = finished
            self._check_cluster()
            if future.status != "finished":  # its worker died before the value came, and it failed the second time
                self.finished.put(future)
                return []
            return [Outcome(self.flying.pop(future)[0], error=error)]  # the value cannot be read here
        return [
            Outcome(self.flying.pop(future)[0], value, None, seconds)
            for future, (value, seconds) in zip(finished, values, strict=False)
        ]

    def _gather(self, futures: list[Any], run: Run[Any] | None) -> list[tuple[Any, float]]:
        """Wait for values in short steps: if a worker has died, its calls are being done again."""
        self._check_cluster()
        loop = self.client.loop.asyncio_loop
        waiting = asyncio.run_coroutine_threadsafe(self.client.gather(futures, asynchronous=True), loop)
        while True:
            try:
                return waiting.result(timeout=POLL)
            except TimeoutError:
                if waiting.done():
                    raise
                if _cancelled(run):
                    waiting.cancel()
                    return []
                if self.client.status not in ("running", "connecting"):
                    waiting.cancel()
                self._check_cluster()

    def _settle(self, future: Any, run: Run[Any] | None) -> Outcome[Any] | None:
        """Deal with a call that has no value: it failed, is being done again, or was dropped."""
        index, item, times = self.flying[future]
        if future.status == "error":
            del self.flying[future]
            return Outcome(index, error=_explained(future.exception()).with_traceback(future.traceback()))
        self._check_cluster()
        if future.status in ("pending", "finished"):
            time.sleep(POLL)
            self.finished.put(future)
            return None
        # Cancelled or lost, and not by us: the scheduler was restarted, or somebody released it.
        del self.flying[future]
        if _cancelled(run):
            return None
        if times > max(1, self.retries):
            return Outcome(index, error=WorkbenchError(f"The cluster dropped task {index} {times} times."))
        self.submit(index, item, times + 1)
        return None

    def release(self) -> None:
        """Cancel what is in flight and let go of the results."""
        futures = list(self.flying)
        self.flying.clear()
        if futures:
            with suppress(Exception):  # a cluster that is gone has nothing left to cancel
                self.client.cancel(futures, asynchronous=False, force=True)
        self.code = None

    def on_worker_lost(self, run: Run[Any] | None) -> Callable[[str, list[str]], None]:
        """Return a listener that tells the run which of these tasks are done again."""

        def listener(worker: str, keys: list[str]) -> None:
            mine = sum(name.startswith(self.prefix) for name in keys)
            if run is not None:
                run.lost(worker, mine)

        return listener

    def _check_cluster(self) -> None:
        if self.client.status not in ("running", "connecting"):
            raise session.unreachable(self.address)


def _explained(error: BaseException) -> BaseException:
    """Say what Dask's own error for a task that kills its workers means."""
    if type(error).__name__ == "KilledWorker":
        return WorkbenchError(
            "A piece of work was given up: each worker that took it died.",
            "It may need more memory than a worker has; use fewer workers (WORKBENCH_WORKERS).",
        )
    return error


_functions: dict[bytes, Callable[[Any], Any]] = {}
_functions_lock = threading.Lock()


def _call(code: bytes, item: Any) -> tuple[Any, float]:
    """Call the pickled function: what runs on a worker."""
    function = _functions.get(code)
    if function is None:
        import cloudpickle

        function = cloudpickle.loads(code)
        with _functions_lock:
            while len(_functions) >= 16:  # a long-lived worker does not keep every function it ever saw
                _functions.pop(next(iter(_functions)))
            _functions[code] = function
    begin = time.perf_counter()
    value = function(item)
    return value, time.perf_counter() - begin
