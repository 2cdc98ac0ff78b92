"""On the cluster: what partitions give, in their order, and partial results merged by a tree.

Work that takes more than a second is a run of the engine: its progress is shown, and it can be cancelled. Tasks are
pure, so that of a worker that dies only its own partitions are done again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.dask.partials import merged_parts

if TYPE_CHECKING:
    from workbench.engine.run import Run

__all__ = ["WIDTH", "computed", "gathered", "tree"]

#: partial results that are merged at a time
WIDTH = 8
#: seconds after which the work is shown, and between two looks at it
SHOWN, LOOK = 1.0, 0.05


def computed(collection: Any) -> Any:
    """Return the value of a Dask collection, of which the graph is one."""
    from workbench.engine import session

    client = session.session()
    [found] = _awaited(client, [client.compute(collection)], [])
    return found


def gathered(collection: Any) -> list[Any]:
    """Return what each partition gives, in their order."""
    from workbench.engine import session

    client = session.session()
    parts = _parts(collection)
    futures = client.compute(parts)
    return _awaited(client, futures, futures)


def tree(collection: Any, end: Any) -> Any:
    """Return the merged partial result of all partitions, by a tree in their order."""
    from dask import delayed

    from workbench.engine import session

    parts = level = _parts(collection)
    merge: Callable[..., Any] = delayed(merged_parts, pure=False)
    while True:
        level = [merge(end, level[k : k + WIDTH]) for k in range(0, len(level), WIDTH)]
        if len(level) == 1:
            break
    client = session.session()
    *futures, last = client.compute([*parts, level[0]])
    [found] = _awaited(client, [last], futures)
    return found


def _parts(collection: Any) -> list[Any]:
    collection = collection.optimize() if hasattr(collection, "optimize") else collection
    return list(np.ravel(np.array(collection.to_delayed(), dtype=object)))


def _awaited(client: Any, wanted: Sequence[Any], counted: Sequence[Any]) -> list[Any]:
    """Return the values of futures; those that are counted say how far the work is."""
    from workbench.engine import session
    from workbench.engine.errors import Stopped
    from workbench.engine.run import Run

    ready = threading.Event()
    left = [len(wanted)]

    def settled(_: Any) -> None:
        left[0] -= 1
        if left[0] <= 0:
            ready.set()

    for each in wanted:
        each.add_done_callback(settled)
    run: Run[None] | None = None
    try:
        begun = looked = time.monotonic()
        while not ready.wait(LOOK) and (run is None or run.ended is None):
            now = time.monotonic()
            if run is None and now - begun > SHOWN:
                many = len(counted) or len(wanted)
                run = Run.start(
                    lambda run: _follow(run, ready, counted), kind="fusion", title=f"fusion over {many} partitions",
                    unit="partitions", total=many,
                )  # fmt: skip
            if now - looked > SHOWN:
                session.heal()
                looked = now
        if run is not None and not ready.is_set():
            done = f"{_done(counted)} of {len(counted)} partitions"
            client.cancel([*wanted, *counted])
            raise Stopped(f"Cancelled; {done} were done, and originals are as they were.", "Run it again.")
        if run is not None:
            run.wait()
        return list(client.gather(list(wanted)))
    except KeyboardInterrupt:
        if run is not None:
            run.cancel()
        client.cancel([*wanted, *counted])
        raise


def _follow(run: Run[None], ready: threading.Event, counted: Sequence[Any]) -> None:
    """Say how many partitions are done, until all are or somebody cancels."""
    from workbench.engine import session

    stop = session.on_worker_lost(lambda worker, keys: run.lost(worker, len(keys)))
    try:
        while not ready.wait(LOOK) and not run.cancelled.is_set():
            run.update(done=_done(counted))
        run.update(done=_done(counted))
    finally:
        stop()


def _done(counted: Sequence[Any]) -> int:
    return sum(each.status == "finished" for each in counted)
