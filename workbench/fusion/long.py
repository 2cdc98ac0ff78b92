"""Long work is a run of the engine: rows done and the time left are shown, and it can be cancelled at the next chunk.

It stays on the thread that asked for it; the run follows. Results are written when all is done, so that whoever
cancels finds originals as they were.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.fusion.cpu.watch import Watch, watching

if TYPE_CHECKING:
    from workbench.engine.run import Run

__all__ = ["followed", "is_long"]

#: predicted seconds from which on work is a run, and seconds between two looks at it
LONG, LOOK = 1.0, 0.05

T = TypeVar("T")


def is_long(seconds: float) -> bool:
    """Return whether work of so many seconds is to be followed: not in a worker, nor inside of work that is."""
    return seconds > LONG and watching.get() is None and multiprocessing.parent_process() is None


def followed(work: Callable[[], T], rows: int) -> T:
    """Return what `work` gives, followed by a run.

    Parameters
    ----------
    work : callable
    rows : int
        Of all its steps.

    Raises
    ------
    Stopped
        If it was cancelled or interrupted; says how many rows were done.
    """
    from workbench.engine.errors import Stopped
    from workbench.engine.run import Run

    def stopped(how: str) -> Stopped:
        done = f"{watch.rows:,.0f} of {rows:,} rows"
        return Stopped(f"{how}; {done} were done, and originals are as they were.", "Run it again.")

    def check() -> None:
        if run.cancelled.is_set():
            raise stopped("Cancelled")

    watch, ended = Watch(check), threading.Event()
    failed: list[BaseException] = []
    run: Run[None] = Run(kind="fusion", title=f"fusion over {rows:,} rows", unit="rows", total=rows)
    before = watching.set(watch)
    try:
        run.launch(lambda run: _follow(run, watch, ended, failed))
        found = work()
        watch.finish(rows)
        return found
    except Stopped:
        raise
    except KeyboardInterrupt:
        run.cancel()
        raise stopped("Interrupted") from None
    except BaseException as error:
        failed.append(error)
        raise
    finally:
        watching.reset(before)
        ended.set()
        run.wait()


def _follow(run: Run[Any], watch: Watch, ended: threading.Event, failed: list[BaseException]) -> None:
    """Say how far the work is until it has ended; who cancels it waits for the chunks that are under way."""
    while not ended.wait(LOOK):
        run.update(done=watch.rows, stage=watch.stage)
    run.update(done=watch.rows)
    if failed:
        raise failed[0]
