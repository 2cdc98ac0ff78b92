"""The local cluster: quick to start, quiet, and reachable from this machine only."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
import warnings
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from workbench.engine.errors import WorkbenchError

__all__ = ["default_workers", "heal", "quiet", "scale", "silence", "start"]

#: where Dask's dashboard is looked for; another free port is taken where this one is in use
DASHBOARD_PORT = 8787

#: above every level of the logging module
SILENT = logging.CRITICAL + 1

#: seconds that Dask has to restart a worker before it is replaced
PATIENCE = 5.0

#: clusters that did not close
_abandoned: list[Any] = []

_missing: weakref.WeakKeyDictionary[Any, dict[Any, float]] = weakref.WeakKeyDictionary()

#: HTTP routes of the scheduler; the proxy to workers' pages is left out, as it imports a whole Jupyter server
ROUTES = [
    "distributed.http.scheduler.prometheus",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.health",
    "distributed.http.statics",
]

#: bytes that a worker keeps for its next allocations; glibc's own bound for blocks that it maps one by one is half
KEPT_MEMORY = 64 * 2**20


def default_workers() -> int:
    """Return `WORKBENCH_WORKERS`, else the number of cores that this process may use, at most 8.

    A container's share of CPU time counts as so many cores.
    """
    text = os.environ.get("WORKBENCH_WORKERS", "").strip()
    if text:
        if not text.isdecimal() or int(text) < 1:
            raise WorkbenchError(
                f"WORKBENCH_WORKERS is a whole number of at least 1; got {text!r}.", "Unset it to use all cores."
            )
        return int(text)
    from dask.system import cpu_count

    return max(1, min(8, cpu_count()))


def start(workers: int) -> Any:
    """Start a `LocalCluster` of `workers` processes with one thread each.

    Returns
    -------
    distributed.LocalCluster
    """
    import dask
    from distributed import LocalCluster
    from distributed.system import MEMORY_LIMIT

    _prepare_spawn()
    quiet()
    # Leave one share of the memory to this process, which holds the notebook's own data.
    limit = MEMORY_LIMIT // (max(workers, default_workers()) + 1)
    # A task is given up when its third worker has died, as it is when it has raised three times.
    options = {
        "distributed.scheduler.http.routes": ROUTES,
        "distributed.scheduler.allowed-failures": 2,
        # Nobody looks at Dask's own profile of the tasks, and its watch over each process need not cost 3 % of a core.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "1s",
        "distributed.admin.system-monitor.interval": "2s",
        "distributed.admin.system-monitor.disk": False,
        # Dask has each freed block go back to the system at once: every picture then faults all its pages in anew,
        # a fifth of all CPU time of a detection. A worker may keep this much instead.
        "distributed.nanny.pre-spawn-environ.MALLOC_TRIM_THRESHOLD_": KEPT_MEMORY,
        "distributed.nanny.pre-spawn-environ.MALLOC_MMAP_THRESHOLD_": KEPT_MEMORY // 2,
        # Only of its one heap for all threads does a process keep large blocks: those of a thread's own go back each
        # time, and tasks run in threads.
        "distributed.nanny.pre-spawn-environ.MALLOC_ARENA_MAX": 1,
    }
    with dask.config.set(options), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Port \d+ is already in use")
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=f"127.0.0.1:{_free_port(DASHBOARD_PORT)}",
            memory_limit=limit,
            silence_logs=SILENT,
            # bokeh takes longer to import than the cluster to start: the dashboard is put in when somebody looks
            scheduler_kwargs={"dashboard": False},
        )
    from workbench.engine import dashboard

    dashboard.serve_on_demand(cluster)
    return cluster


def stop(cluster: Any) -> None:
    """End a local cluster; one that does not answer in time is left to the end of the process, which kills it."""
    from distributed.core import Status

    for patience in (10, 30):
        with silence(), suppress(Exception):  # whatever a dying cluster says, it is gone afterwards
            cluster.close(timeout=patience)
        if cluster.status == Status.closed:
            return
    _abandoned.append(cluster)  # else it would complain when it is collected, in the middle of something else


def scale(cluster: Any, workers: int) -> None:
    """Bring a local cluster to `workers` processes and wait until they are there."""
    if len(cluster.worker_spec) != workers:
        cluster.scale(workers)
    # also where none is new: those that are lost, as after the machine slept, are being replaced
    cluster.wait_for_workers(workers, timeout=60)


def heal(cluster: Any) -> None:
    """Replace workers that Dask has given up: those that died again while they were being restarted.

    Returns at once. Called now and then while there is work; a worker is replaced when it is found missing for
    `PATIENCE` seconds with no process on its way.
    """
    from distributed.core import Status

    present = {worker.name for worker in list(cluster.scheduler.workers.values())}
    missing = _missing.setdefault(cluster, {})
    broken = []
    for name in list(cluster.worker_spec):
        nanny = cluster.workers.get(name)
        dead = nanny is None or nanny.status in (Status.closed, Status.failed) or not nanny.is_alive()
        if name in present or not dead:
            missing.pop(name, None)
        elif time.monotonic() - missing.setdefault(name, time.monotonic()) > PATIENCE:
            broken.append(name)
    if not broken:
        return
    for name in broken:
        missing.pop(name)

    async def replace() -> None:
        for name in broken:
            nanny = cluster.workers.pop(name, None)
            if nanny is not None:
                await nanny.close()
        cluster.scale(len(cluster.worker_spec))

    cluster.loop.add_callback(replace)


def quiet() -> None:
    """Silence Dask's loggers and its advice on large arguments: what a person must know is in the run."""
    import dask

    known = [name for name in logging.root.manager.loggerDict if name.startswith("distributed.")]
    for name in ("distributed", "bokeh", "tornado.application", *known):
        logging.getLogger(name).setLevel(SILENT)
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TiB"})


@contextmanager
def silence() -> Iterator[None]:
    """Keep warnings of a cluster that shuts down from the reader."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _free_port(port: int) -> int:
    """Return `port` if it is free on loopback, else 0 (any)."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port


def _prepare_spawn() -> None:
    """Have worker processes not run the user's script again, and not see the interrupts meant for the notebook.

    `multiprocessing` imports `__main__` anew in each process it spawns, so a script that calls Workbench without an
    `if __name__ == "__main__"` guard would start clusters from within its workers. Dask sends the functions of
    `__main__` by value, so the workers do not need it. And an interrupt goes to all processes of a group: one that
    stops a cell would kill the workers too, had they not blocked it from their start.
    """
    from multiprocessing import spawn

    original = spawn.get_preparation_data
    if getattr(original, "for_workers", False):
        return

    def get_preparation_data(name: str) -> dict[str, Any]:
        data = original(name)
        if name.startswith("Dask Worker process"):
            data.pop("init_main_from_name", None)
            data.pop("init_main_from_path", None)
            if hasattr(signal, "pthread_sigmask"):
                # On the thread that Dask makes for this one process, which inherits its mask.
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        return data

    get_preparation_data.for_workers = True  # type: ignore[attr-defined]
    spawn.get_preparation_data = get_preparation_data
