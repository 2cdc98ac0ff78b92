"""Work in progress: its progress, partial result, events, and how to stop it."""

from __future__ import annotations

import contextvars
import threading
import time
import uuid
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from workbench.engine.errors import warn
from workbench.engine.progress import Event, Progress, Rate, State

__all__ = ["Event", "Progress", "Run", "RunCancelled", "State", "on_start", "runs", "stop_all"]

T = TypeVar("T")


class RunCancelled(Exception):
    """Raised by `run.check()` in work whose run was cancelled; the run then ends with its partial result."""


class Run(Generic[T]):
    """Work in progress on a thread of its own.

    Attributes
    ----------
    run_id : str
        32 hexadecimal digits.
    kind, title : str
        The magic or function, and a line about this run.
    state : str
        "queued", "running", "finished", "cancelled" or "failed".
    cancelled : threading.Event
        Set when the run shall stop; the work looks at it.
    version : int
        Grows with each partial result that is published.
    partial_result : bool
        Whether the run's value is only a part, as the work was stopped or failed.
    started, ended : float or None
        Unix seconds.
    """

    def __init__(self, *, kind: str, title: str, unit: str = "", total: float | None = None) -> None:
        self.run_id = uuid.uuid4().hex
        self.kind, self.title = kind, title
        self.state: State = "queued"
        self.cancelled = threading.Event()
        self.version = 0
        self.partial_result = False
        self.started: float | None = None
        self.ended: float | None = None
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._settled = threading.Event()  # ended, and the observers know
        self._begin = time.monotonic()
        self._finish: float | None = None
        self._done, self._skipped = 0.0, 0.0
        self._total, self._unit, self._stage, self._message = total, unit, "", ""
        self._lost, self._redone = 0, 0
        self._rate = Rate(self._begin)
        self._events: deque[Event] = deque(maxlen=1000)
        self._observers: list[Callable[[Run[T]], object]] = []
        self._make_partial: Callable[[], T] | None = None
        self._made: tuple[int, T] | None = None
        self._value: T | None = None
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    @classmethod
    def start(
        cls,
        work: Callable[[Run[T]], T],
        *,
        kind: str,
        title: str,
        unit: str = "",
        total: float | None = None,
    ) -> Run[T]:
        """Run `work(run)` on a daemon thread and return its Run at once.

        Parameters
        ----------
        work : callable
            Calls `update`, `publish` and `event` of the run it is given, and returns early, with what it has, when
            `run.cancelled` is set.
        kind, title, unit : str
            The magic or function; a line about this run; what is counted.
        total : float, optional
            Units in all.
        """
        run = cls(kind=kind, title=title, unit=unit, total=total)
        run.launch(work)
        return run

    def launch(self, work: Callable[[Any], T]) -> None:
        """Run `work(self)` on a daemon thread: for a kind of run that is made by its own class."""
        _register(self)
        context = contextvars.copy_context()  # so that output and warnings of the work go to the cell that started it
        self._thread = threading.Thread(
            target=context.run, args=(self._drive, work), name=f"workbench-{self.kind}", daemon=True
        )
        self._thread.start()

    # for the reader

    @property
    def progress(self) -> Progress:
        """Where the run stands now."""
        with self._lock:
            now = self._finish if self._finish is not None else time.monotonic()
            done, total, rate = self._done, self._total, self._rate.per_second(now, self._done - self._skipped)
            running = self.state in ("queued", "running")
            eta = (total - done) / rate if running and total is not None and rate > 0 and total >= done else None
            return Progress(
                done=done,
                total=total,
                unit=self._unit,
                rate=rate,
                eta_s=eta,
                stage=self._stage,
                workers=_workers() if running else 0,
                elapsed=now - self._begin,
                message=self._remark(),
                state=self.state,
            )

    def partial(self) -> T | None:
        """Return what is known so far: the last published part, or the result once there is one; None if nothing."""
        with self._lock:
            if self._ended.is_set() and self._value is not None:
                return self._value
            make, version = self._make_partial, self.version
            if make is None:
                return None
            if self._made is not None and self._made[0] == version:
                return self._made[1]
        value = _as_partial(make())  # outside the lock: it may take a while, and the work goes on
        with self._lock:
            if self._made is None or self._made[0] <= version:
                self._made = (version, value)
        return value

    def cancel(self) -> None:
        """Ask the run to stop; it ends with what it has. Returns at once, and does nothing to a run that has ended."""
        if not self._ended.is_set() and not self.cancelled.is_set():
            self.cancelled.set()
            self.event("cancel")

    def result(self, timeout: float | None = None) -> T:
        """Wait for the value.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If the run has not ended by then; it goes on.
        BaseException
            What the work raised.
        """
        if not self.wait(timeout):
            raise TimeoutError(f"{self.kind} is still running after {timeout:g} s")
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the run has ended, at most `timeout` seconds; return whether it has."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            # In short steps, so that an interrupt is seen at once on every system.
            left = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
            if self._ended.wait(max(0.0, left)):
                if threading.current_thread() is not self._thread:
                    self._settled.wait(1.0)  # so that observers have shown the end before the caller goes on
                return True
            if deadline is not None and time.monotonic() >= deadline:
                return False

    def events(self) -> list[Event]:
        """Return what happened, oldest first (the last 1,000)."""
        with self._lock:
            return list(self._events)

    def add_observer(self, callback: Callable[[Run[T]], object]) -> Callable[[], None]:
        """Call `callback(run)` after each update, publication, event and change of state, on the thread that made it.

        Returns
        -------
        callable
            Takes the observer away again.
        """
        with self._lock:
            self._observers.append(callback)

        def remove() -> None:
            with self._lock:
                if callback in self._observers:
                    self._observers.remove(callback)

        return remove

    @property
    def error(self) -> BaseException | None:
        """What the work raised, if it failed."""
        return self._error

    # for the work

    def update(
        self,
        *,
        done: float | None = None,
        total: float | None = None,
        stage: str | None = None,
        unit: str | None = None,
        message: str | None = None,
        skipped: float | None = None,
    ) -> None:
        """Say how far the work is; what is left out stays as it was.

        Parameters
        ----------
        done, total : float, optional
            Units done, and in all.
        stage, unit, message : str, optional
            What is being done; what is counted; a remark.
        skipped : float, optional
            How many of `done` cost nothing, as they were found in a cache: they do not count for the rate.
        """
        with self._lock:
            if total is not None:
                self._total = total
            if stage is not None:
                self._stage = stage
            if unit is not None:
                self._unit = unit
            if message is not None:
                self._message = message
            if skipped is not None:
                self._skipped = skipped
            if done is not None:
                self._done = done
            if done is not None or skipped is not None:
                self._rate.add(time.monotonic(), self._done - self._skipped)
        self._notify()

    def publish(self, make_partial: Callable[[], T]) -> None:
        """Offer a partial result; `make_partial` is called only if somebody asks for it."""
        with self._lock:
            self._make_partial = make_partial
            self.version += 1
        self._notify()

    def event(self, kind: str, **data: Any) -> None:
        """Note that something happened."""
        with self._lock:
            self._events.append(Event(time.time(), kind, data))
        self._notify()

    def lost(self, worker: str, tasks: int) -> None:
        """Note that a worker died and `tasks` of this run are done again."""
        with self._lock:
            self._lost += 1
            self._redone += tasks
        self.event("worker_lost", worker=worker, tasks=tasks)

    def check(self) -> None:
        """Raise `RunCancelled` if the run was cancelled: for work that cannot simply return."""
        if self.cancelled.is_set():
            raise RunCancelled

    # below: the driver

    def _drive(self, work: Callable[[Run[T]], T]) -> None:
        with self._lock:
            self.state, self.started = "running", time.time()
            self._begin = time.monotonic()
            self._rate = Rate(self._begin)
        self.event("started")
        state: State = "finished"
        value: T | None = None
        error: BaseException | None = None
        try:
            try:
                value = work(self)
            except RunCancelled:
                value = self.partial()
        except BaseException as raised:
            error, state = raised, "failed"
        if self.cancelled.is_set() and error is None:
            state = "cancelled"
            if value is not None:
                value = _as_partial(value)
        with self._lock:
            self._value, self._error = value, error
            self.partial_result = state != "finished"
            self._finish, self.ended = time.monotonic(), time.time()
            self.state = state
            if state == "finished":
                self._make_partial, self._made = None, None
        self._ended.set()
        self.event(state)
        self._settled.set()

    def _remark(self) -> str:
        if not self._lost:
            return self._message
        lost = f"{self._lost} worker{'s' if self._lost > 1 else ''} lost"
        redone = f"{self._redone} task{'s' if self._redone != 1 else ''} redone"
        return ", ".join(part for part in (self._message, lost, redone) if part)

    def _notify(self) -> None:
        with self._lock:
            observers = list(self._observers)
        for observer in observers:
            try:
                observer(self)
            except Exception as error:
                # Whoever watches must not stop the work: said once, then not called any more.
                with self._lock:
                    self._observers = [known for known in self._observers if known is not observer]
                warn(f"The display of {self.kind} failed ({type(error).__name__}: {error}).", "The work goes on.")

    def __repr__(self) -> str:
        progress = self.progress
        total = "" if progress.total is None else f" of {progress.total:g}"
        return f"<Run {self.kind} {self.state}: {progress.done:g}{total} {progress.unit}".rstrip() + ">"


_known: deque[weakref.ref[Run[Any]]] = deque(maxlen=100)
_on_start: list[Callable[[Run[Any]], object]] = []


def on_start(callback: Callable[[Run[Any]], object]) -> Callable[[], None]:
    """Call `callback(run)` with each run that is started, before it does anything; the returned function ends that."""
    _on_start.append(callback)

    def remove() -> None:
        if callback in _on_start:
            _on_start.remove(callback)

    return remove


def runs() -> list[Run[Any]]:
    """Return the runs of this process that are under way or still referred to, newest first (the last 100)."""
    found = (reference() for reference in reversed(_known))
    return [run for run in found if run is not None]


def stop_all(timeout: float) -> None:
    """Cancel all runs under way and wait for them, `timeout` seconds in all: for the end of the process."""
    deadline = time.monotonic() + timeout
    active = [run for run in runs() if run.ended is None]
    for run in active:
        run.cancel()
    for run in active:
        run.wait(max(0.0, deadline - time.monotonic()))


def _register(run: Run[Any]) -> None:
    _known.append(weakref.ref(run))
    for callback in list(_on_start):
        try:
            callback(run)
        except Exception as error:
            warn(f"The display of {run.kind} failed ({type(error).__name__}: {error}).", "The work goes on.")


def _as_partial(value: T) -> T:
    from workbench.engine.result import Result

    if isinstance(value, Result):
        value.partial = True
    return value


def _workers() -> int:
    from workbench.engine import session

    return session.workers() if session.is_started() else 0
