"""How a run begins and ends: its sink, its anchor in UTC, what it is called in the end, and what is kept."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from contextlib import suppress
from time import perf_counter_ns, process_time_ns, time_ns
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError, one_line
from workbench.tta import liveness
from workbench.tta.beside import Beside
from workbench.tta.evaluating import take_fresh
from workbench.tta.joining import join
from workbench.tta.sink import Sink
from workbench.tta.status import STATE_OF, StopTraining
from workbench.tta.tracking import FORKED, Previous, Tracking

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workbench.tta.reading import Attempt
    from workbench.tta.store import Store
    from workbench.tta.tracked import LiveRun

__all__ = ["begin", "end", "is_open", "previous"]

#: runs under way in this process
_open: weakref.WeakSet[Tracking] = weakref.WeakSet()
_lock = threading.Lock()
_begun = 0

SPOT = ("The spot price is shown, but boards rank by on-demand.", 'Pass Price(…, kind="ondemand").')


def begin(t: Tracking) -> LiveRun:
    """Begin a run; the clocks start as the last thing."""
    global _begun
    if t.pid != os.getpid():
        raise WorkbenchError(*FORKED)
    if t.state != "new":
        raise WorkbenchError("A tracker is used once.", "Make a new one for each run.")
    from workbench.tta.tracked import LiveRun

    settings = t.settings
    # what has to be said is said before anything is begun: whoever turns warnings into errors leaves nothing behind
    if settings.price is not None and settings.price.kind == "spot":
        t.warn(*SPOT)
    for message, hint in settings.eval_set.warnings(honest=settings.honest, fresh=settings.fresh is not None):
        t.warn(message, hint)
    t.rank = _rank()
    _find_sink(t)
    with _lock:
        t.first_in_process = _begun == 0
        _begun += 1
    t.started_ns = time_ns()
    t.beside = Beside(tick=t.tick, known=lambda found: t.sink.update({"environment": found}))
    t.beside.environment |= _of_set(t)
    t.state = "running"
    live = LiveRun(t)
    try:
        t.sink.start(_start_row(t))
        attached = t.sink.attach(lambda: t.points.drain(t.sink.points))
        t.beside.pull = None if attached else lambda: t.points.drain(t.sink.points)
        t.plan(t.steps, t.schedule)
        t.beside.start()
    except BaseException:
        t.state = "failed"
        t.sink.close()
        raise
    _open.add(t)
    t.gate[0] = -1  # the first call of `log` sets it
    t.cpu_zero = process_time_ns()
    t.started_ns = time_ns()
    t.zero = t.points.zero = perf_counter_ns()
    t.sink.update({"started_ns": t.started_ns})
    if settings.resume is not None:
        try:
            join(t, stacklevel=5)
        except BaseException as error:  # a warning that is turned into an error: nobody else would end the run
            end(t, live, error)
            raise
    return live


def end(t: Tracking, live: LiveRun, error: BaseException | None) -> bool:
    """End a run; return whether what left its block is swallowed."""
    if t.pid != os.getpid() or t.forked or t.state != "running":
        return False
    mine = isinstance(error, StopTraining) and error.run_id in (None, t.id)
    state, reason = _outcome(t, error, mine)
    if state == "failed" and error is not None:
        t.notes.append(f"failed: {one_line(error)}")  # so that the history says why
    told = []
    interrupt: BaseException | None = None
    rows = [row for row in t.evals if row[3] == t.target.metric]
    if rows and (error is None or (mine and reason != "cancelled")):
        try:
            told = take_fresh(t, rows[-1][4])
        except BaseException as stopped:
            # an interrupt in `fresh` leaves a run that had come to its end
            interrupt = stopped
    try:
        _close(t, state, reason)
    finally:
        from workbench.tta.tracked import record

        live.settle(record(t))
        _open.discard(t)
    if interrupt is not None and not isinstance(interrupt, StopTraining):
        raise interrupt
    for message, hint in told:
        t.warn(message, hint)
    return mine


def is_open(run: str) -> bool:
    """Return whether a run goes on in this process."""
    return any(t.id == run for t in list(_open))


# --------------------------------------------------------------------------------------------------------- private


def _outcome(t: Tracking, error: BaseException | None, mine: bool) -> tuple[str, str]:
    """Return the state in which a run ends, and why it was left."""
    if error is None:
        return "finished", ""
    if mine:
        assert isinstance(error, StopTraining)
        reason = t.stopping or error.reason
        # stopped by hand after the target was confirmed, it has reached it all the same
        return ("reached" if reason == "cancelled" and t.judge.confirmed else STATE_OF[reason]), reason
    if isinstance(error, KeyboardInterrupt) or type(error).__name__ == "CancelledError":
        return "interrupted", "cancelled"
    if isinstance(error, StopTraining):  # of a tracker around this one
        return "interrupted", "cancelled"
    if isinstance(error, GeneratorExit):  # whoever iterated has had enough
        return "interrupted", "cancelled"
    if isinstance(error, SystemExit) and error.code in (None, 0):
        return "finished", ""
    return "failed", ""


def _close(t: Tracking, state: str, reason: str) -> None:
    beside = t.beside
    assert beside is not None
    with t.lock:
        now = perf_counter_ns()
        t.end_ns, t.end_cpu_ns = now - t.zero, process_time_ns() - t.cpu_zero
        t.put_spans(t.spans.close_all(t.end_ns + t.offset))
        energy = t.energy()
        t.state = state
        t.gate[0] = -1
        t.changed()
    t.points.drain(t.sink.points)
    t.points.over = True
    beside.finish()
    moved = (time_ns() - t.started_ns) - (perf_counter_ns() - t.zero)
    if abs(moved) > 1_000_000_000:
        t.keep_warning(
            f"The system clock moved by {moved / 1e9:+.0f} s during the run.", "Times are of the monotonic clock."
        )
    row = {
        "ended_ns": t.started_ns + t.end_ns, "end_ns": t.end_ns, "cpu_ns": t.end_cpu_ns,
        "energy_mj": None if energy is None else energy - t.energy_before, "gap": t.gap,
        "contended": beside.contention.contended, "reason": reason, "notes": list(t.notes),
        "warnings": list(t.warnings), "environment": dict(beside.environment), "steps": t.steps, "schedule": t.schedule,
    }  # fmt: skip
    try:
        t.sink.end(state, row)
    finally:  # also where an interrupt ends the waiting
        t.sink.close()
    if t.checkpoints is not None and not t.rank:
        from workbench.tta.checkpoints import own

        own(t.checkpoints, t.id, state)


def _start_row(t: Tracking) -> dict[str, Any]:
    settings, before = t.settings, t.previous
    assert t.beside is not None
    return {
        "id": t.id, "name": settings.name, "seed": settings.seed, "attempt": t.attempt,
        "parent": None if before is None else before.id, "joined": settings.resume is not None, "state": "running",
        "task": settings.task, "clock": settings.clock, "goal": t.target.goal, "metric": t.target.metric,
        "target": t.target.value, "unit": t.target.unit, "confirm": settings.confirm, "steps": t.steps,
        "schedule": t.schedule, "price": settings.price, "eval_hash": settings.eval_set.hash,
        "eval_count": settings.eval_set.count, "started_ns": t.started_ns, "host": liveness.host(),
        "pid": os.getpid(), "pid_started": liveness.process_started(), "boot_id": liveness.boot_id(),
        "rank": t.rank, "first_in_process": t.first_in_process, "environment": dict(t.beside.environment),
        "warnings": list(t.warnings),
    }  # fmt: skip


def _rank() -> int:
    """Return the rank of this process in distributed training: runs are those of rank 0."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    with suppress(Exception):  # torch without it, or half imported
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank())
    with suppress(ValueError):
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            return int(os.environ.get("RANK", "0"))
    return 0


def _of_set(t: Tracking) -> dict[str, Any]:
    """Return what else is known of the set that is judged on."""
    judged = t.settings.eval_set
    named = {"eval_set": judged.name} if judged.name else {}
    return {**named, **({"overlap": judged.overlap} if judged.overlap is not None else {})}


def _find_sink(t: Tracking) -> None:
    """Find where the run goes: a store in a folder, or what was given in its place."""
    store = t.settings.store
    if isinstance(store, Sink):
        t.sink = store
        if t.settings.resume is not None and t.previous is None:
            raise WorkbenchError("Only a run in a store can be resumed.", "Pass store=, the folder of the run.")
    else:
        _find_store(t)
    t.points.keep = not hasattr(t.sink, "read_points")


def _find_store(t: Tracking) -> None:
    from workbench.tta.store import open_store

    settings = t.settings
    store = open_store(settings.store)
    if settings.resume is not None:
        _follow(t, store, store.unfinished(settings.resume))
    t.store = store
    t.read_history = lambda steps, schedule: store.history(
        settings.name, t.target.metric, t.target.value, t.target.goal, schedule, steps, clock=settings.clock
    )
    t.sink = store.sink(t.id)


def previous(t: Tracking) -> Previous:
    """Return the attempt that a run goes on with: without `resume=` the last of its recipe and seed, if unfinished."""
    if t.previous is not None:
        return t.previous
    none = WorkbenchError("There is no attempt to go on with.", "Pass resume=, the id of an unfinished run.")
    store = t.store
    if store is None:
        raise none
    chain = store.latest(t.settings.name, t.settings.seed, besides=t.id)
    if chain is None or not chain[-1].unfinished:
        raise none
    return _follow(t, store, chain)


def _follow(t: Tracking, store: Store, chain: Sequence[Attempt]) -> Previous:
    last = chain[-1]
    _same_run(t, last.facts)
    from workbench.tta import reading

    with store.reading() as connection:
        told = {} if connection is None else reading.notes_of(connection, chain)
    texts = [text for attempt in chain for text in told.get(attempt.num, ())]
    t.previous = found = Previous(
        last.id, int(last.facts["attempt"] or 1), int(chain[0].facts["started_utc"]), store.log(chain),
        notes=tuple(text for kind, text in texts if kind == "note"),
        warnings=tuple(text for kind, text in texts if kind == "warning"),
        contended=any(attempt.facts["contended"] for attempt in chain),
        first_in_process=bool(chain[0].facts["first_in_process"]),
    )  # fmt: skip
    return found


def _same_run(t: Tracking, last: Any) -> None:
    """Refuse to go on with a run of something else."""
    asked = {
        "name": t.settings.name, "metric": t.target.metric, "target": t.target.value, "goal": t.target.goal,
        "clock": t.settings.clock, "seed": t.settings.seed,
    }  # fmt: skip
    for name, value in asked.items():
        if last[name] != value:
            raise WorkbenchError(
                f"The earlier run has {name} {last[name]!r}, not {value!r}.",
                f"Pass {name}={last[name]!r} to go on with it, or start a run of its own.",
            )


def _after_fork() -> None:
    global _lock, _begun
    _lock, _begun = threading.Lock(), 0
    for t in list(_open):
        t.forked, t.lock = True, threading.RLock()  # another thread may have held it
        t.gate[0] = -1
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
