"""What a process holds, counted: to be compared before and after runs."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Held", "held", "left", "until"]

#: what is counted, by name: descriptors (sockets among them), threads, children, seats of runs, resident MiB
Held = dict[str, int]


def held(dask_worker: Any = None) -> Held:
    """Return what this process holds; on a worker, its seats of runs too."""
    import psutil

    gc.collect()
    if sys.platform == "linux":  # else freed memory may stay, and look like a leak
        ctypes.CDLL(None).malloc_trim(0)
    process = psutil.Process()
    return {
        "descriptors": process.num_fds(),
        "sockets": sum(target.startswith("socket") for target in _descriptors()),
        "threads": len([each for each in threading.enumerate() if not each.name.startswith("IO loop")]),
        "children": len(process.children(recursive=True)),
        "seats": len(getattr(dask_worker, "_workbench_training", ())),
        "mib": process.memory_info().rss >> 20,
    }


def left(client: Any) -> list[Held]:
    """Return what each worker and, last, this process holds, and how many tasks and futures of runs there are."""
    # Dask keeps connections for later calls, as many as there ever were calls at once: those are no leak
    client.run_on_scheduler(lambda dask_scheduler: dask_scheduler.rpc.collect())
    client.run(lambda dask_worker: dask_worker.rpc.collect())
    client.sync(_collect, client)
    mine = held()
    mine["futures"] = sum(str(key).startswith("train-") for key in client.futures)
    mine["tasks"] = client.run_on_scheduler(
        lambda dask_scheduler: sum(str(key).startswith("train-") for key in dask_scheduler.tasks)
    )
    workers = client.run(held)
    return [*(workers[address] for address in sorted(workers)), mine]


def until(condition: Callable[[], bool], seconds: float = 120.0) -> bool:
    """Wait until a condition holds; say whether it does."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


async def _collect(client: Any) -> None:
    client.rpc.collect()


def _descriptors() -> list[str]:
    """Return what the open descriptors lead to."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # closed meanwhile
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return found
