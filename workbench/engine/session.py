"""The one Dask client of this process: a local cluster on first use, or a cluster at an address."""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from workbench.engine import local
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from distributed import Client

__all__ = [
    "address",
    "close",
    "connect",
    "heal",
    "is_remote",
    "is_started",
    "local_workers",
    "members",
    "on_worker_lost",
    "session",
    "workers",
]

#: seconds that a cluster may take to answer
CONNECT_TIMEOUT = 10.0

_lock = threading.RLock()
_client: Client | None = None
_cluster: Any = None  # the LocalCluster, if this process started it
_address = ""
_listeners: list[Callable[[str, list[str]], None]] = []
_counted = (0.0, 0)  # when the workers of a remote cluster were counted, and how many


def session(workers: int | None = None) -> Client:
    """Return the Dask client of this process, started on first use.

    `WORKBENCH_SCHEDULER` names a cluster to use; without it a `LocalCluster` of processes with one thread each is
    started on this machine, reachable from this machine only.

    Parameters
    ----------
    workers : int, optional
        Number of local workers; default `WORKBENCH_WORKERS`, else the number of cores, at most 8. A local cluster that
        already runs is scaled to it.

    Returns
    -------
    distributed.Client

    Raises
    ------
    WorkbenchError
        If the cluster at `WORKBENCH_SCHEDULER` does not answer, or `workers` is given for a cluster that is not ours.
    """
    global _client, _cluster, _address
    with _lock:
        if _client is not None and _client.status not in ("running", "connecting"):
            close()
        if _client is None:
            remote = os.environ.get("WORKBENCH_SCHEDULER")
            if remote and workers is None:
                return connect(remote)
            _cluster = local.start(local.default_workers() if workers is None else workers)
            _use(_client_of(_cluster), _cluster.scheduler_address)
        elif workers is not None:
            if _cluster is None:
                raise WorkbenchError(
                    f"The cluster at {_address} sets its own number of workers.", "Scale it where it was started."
                )
            local.scale(_cluster, workers)
        assert _client is not None
        return _client


def connect(address: Any, *, security: Any = None) -> Client:
    """Use the cluster at `address` from now on; nothing else about a program changes.

    Parameters
    ----------
    address : str, distributed.Client or cluster object
        `"tls://host:8786"`, `"tcp://host:8786"`, or the client or cluster of dask-jobqueue, dask-kubernetes, Coiled.
    security : distributed.Security, optional
        Certificates for TLS; default those of the Dask configuration.

    Returns
    -------
    distributed.Client

    Raises
    ------
    WorkbenchError
        If nothing answers there within 10 s.
    """
    from distributed import Client

    local.quiet()
    if isinstance(address, Client):
        client = address
        shown = redact(client.scheduler.address if client.scheduler is not None else "")
    else:
        text = address if isinstance(address, str) else getattr(address, "scheduler_address", "")
        shown = redact(text)
        options = {} if security is None else {"security": security}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # version differences are shown by `workbench doctor`
                client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=True, **options)
        except (OSError, TimeoutError, ValueError, TypeError) as error:
            # The chain would print the address as it was given, so it is dropped where that holds a password.
            raise unreachable(shown) from (error if shown == text else None)
    with _lock:
        if _client is not None and _client is not client:
            close()
        _use(client, shown)
    return client


def close() -> None:
    """Stop the session: a local cluster ends, a remote one is left as it is. The next use starts anew."""
    global _client, _cluster, _address, _counted
    with _lock:
        client, cluster = _client, _cluster
        _client, _cluster, _address, _counted = None, None, "", (0.0, 0)
        if client is not None:
            with local.silence(), suppress(Exception):  # whatever a dying cluster says, it is gone afterwards
                client.unsubscribe_topic("all")
            with local.silence(), suppress(Exception):
                client.close(timeout=5)
        if cluster is not None:
            local.stop(cluster)


def workers() -> int:
    """Return the number of workers now; before the session has started, how many it would start."""
    global _counted
    client, cluster = _client, _cluster
    if client is None:
        return local.default_workers()
    if cluster is not None:
        return len(cluster.scheduler.workers)
    when, count = _counted
    if time.monotonic() - when > 2.0:
        with suppress(Exception):  # a cluster that does not answer now keeps its last known figure
            count = len(members(client))
        _counted = (time.monotonic(), count)
    return count


def members(client: Client) -> dict[str, dict[str, Any]]:
    """Return what the scheduler of a client knows of its workers, by their addresses.

    Not by `Client.scheduler_info`: what that has fetched is written over, every two seconds and sometimes before it is
    returned, by what the client keeps for itself, which has no workers.

    Raises
    ------
    OSError
        If the scheduler does not answer.
    """
    found: dict[str, dict[str, Any]] = dict(client.sync(client.scheduler.identity, n_workers=-1)["workers"])
    return found


def heal() -> None:
    """See that a local cluster has the workers it should have; returns at once, and is cheap to call."""
    cluster = _cluster
    if cluster is not None:
        local.heal(cluster)


def is_started() -> bool:
    """Return whether this process has a session already; asking starts none."""
    return _client is not None


def is_remote() -> bool:
    """Return whether the session's cluster is one that this process did not start."""
    return _client is not None and _cluster is None


def address() -> str:
    """Return the scheduler's address without credentials, or "" before the session has started."""
    return _address


def redact(address: str) -> str:
    """Return an address without user, password, path parameters and query."""
    return re.sub(r"[?#].*", "", re.sub(r"//[^/@]*@", "//", address))


def unreachable(shown: str) -> WorkbenchError:
    """Return the error for a cluster that does not answer."""
    return WorkbenchError(
        f"The cluster at {shown} does not answer.",
        "Restart it, or %workbench connect ADDRESS; finished work is in the store.",
    )


def on_worker_lost(callback: Callable[[str, list[str]], None]) -> Callable[[], None]:
    """Call `callback(worker, keys)` when a worker is lost with tasks on it; the returned function ends that."""
    _listeners.append(callback)

    def stop() -> None:
        with suppress(ValueError):
            _listeners.remove(callback)

    return stop


@contextmanager
def local_workers(count: int) -> Iterator[Client]:
    """Run a block with `count` local workers (tests and benchmarks); the session is closed afterwards."""
    client = session(workers=count)
    try:
        yield client
    finally:
        close()


def _client_of(cluster: Any) -> Client:
    from distributed import Client

    return Client(cluster, timeout=CONNECT_TIMEOUT, set_as_default=True)


def _use(client: Client, shown: str) -> None:
    global _client, _address
    _client, _address = client, shown
    client.subscribe_topic("all", _on_event)
    atexit.unregister(_at_exit)
    atexit.register(_at_exit)  # after distributed's own, so it runs before it


def _at_exit() -> None:
    # Threads of runs would talk to a cluster that is shutting down.
    from workbench.engine.run import stop_all

    stop_all(timeout=1.0)
    close()


def _forget() -> None:
    """Let a forked process start its own session: the parent's connections are of no use to it."""
    global _client, _cluster, _address, _lock
    _client, _cluster, _address, _lock = None, None, "", threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def _on_event(event: tuple[float, Any]) -> None:
    # Runs on the client's event loop: must not block.
    message = event[1]
    if isinstance(message, dict) and message.get("action") == "remove-worker" and not message.get("expected"):
        keys = [str(key) for key in message.get("processing-tasks") or ()]
        for listener in list(_listeners):
            try:
                listener(str(message.get("worker", "")), keys)
            except Exception:
                logging.getLogger(__name__).exception("a listener for lost workers failed")
