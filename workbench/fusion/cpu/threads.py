"""Chunks on threads: whoever is free takes the next; what they give is put together in order afterwards."""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["each"]

_lock = threading.Lock()
_pools: dict[int, ThreadPoolExecutor] = {}

if hasattr(os, "register_at_fork"):  # a child has none of its parent's threads
    os.register_at_fork(after_in_child=_pools.clear)


def each(work: Callable[[int, int], None], count: int, threads: int) -> None:
    """Call `work(task, worker)` for all tasks below `count`, on up to `threads` threads; the caller's is one of them.

    An exception or an interrupt stops the others at their next task, and is raised once they have.
    """
    workers = min(threads, count)
    if workers <= 1:
        for task in range(count):
            work(task, 0)
        return
    tasks = itertools.count()
    stop = threading.Event()

    def drive(worker: int) -> None:
        try:
            while not stop.is_set():
                task = next(tasks)
                if task >= count:
                    return
                work(task, worker)
        except BaseException:
            stop.set()
            raise

    futures: list[Future[None]] = [_pool(workers - 1).submit(drive, k) for k in range(1, workers)]
    try:
        drive(0)
    finally:
        stop_now = _wait(futures, stop)
    if stop_now is not None:
        raise stop_now


def _wait(futures: list[Future[None]], stop: threading.Event) -> BaseException | None:
    """Wait for all, interrupted or not, as they work on memory of the caller; return the first error."""
    error: BaseException | None = None
    for future in futures:
        while not future.done():
            try:
                future.exception(timeout=None)
            except BaseException as raised:
                stop.set()
                error = error or raised
        if not future.cancelled() and future.exception() is not None:
            error = error or future.exception()
    return error


def _pool(workers: int) -> ThreadPoolExecutor:
    with _lock:
        found = _pools.get(workers)
        if found is None:
            found = _pools[workers] = ThreadPoolExecutor(workers, thread_name_prefix="workbench-fusion")
        return found
