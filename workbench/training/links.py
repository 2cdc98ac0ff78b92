"""The cluster of the session's workers: how many on which hosts, with how much memory, and how fast their links are."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from workbench.training import errors
from workbench.training.calibration import calibrated
from workbench.training.cluster import Cluster
from workbench.training.pace import pace

__all__ = ["detect"]

#: bytes that are sent over a link to measure it, seconds after which less will do, and seconds that a figure is kept
AMOUNT, ENOUGH, KEPT = 64 * 2**20, 1.0, 86400.0

#: changes when something else is measured
VERSION = 2

#: pairs of hosts that are measured at most
PAIRS = 6

#: what a single worker is said to have: it sends nothing
_ALONE = 1e9


def detect(client: Any = None) -> Cluster:
    """Return the cluster of a client's workers, with their pace; see `Cluster.detect`.

    Raises
    ------
    ClusterError
        If there is no worker, or a link cannot be measured.
    """
    from workbench.engine import session

    if client is None:
        client = session.session()
    found, addresses = _linked(client)
    # what a link carries counts both directions, of which a message has one
    alone = replace(pace(), one_way=0.5)
    return found.paced(calibrated(alone, client, addresses, min(found.bandwidth)))


def _linked(client: Any) -> tuple[Cluster, list[str]]:
    from workbench.engine import session

    workers = session.members(client)
    if not workers:
        raise errors.ClusterError("The session has no workers.", "Start some with wb.session(workers=2).")
    hosts: dict[str, list[str]] = {}
    for address in sorted(workers):
        hosts.setdefault(str(workers[address].get("host") or address), []).append(address)
    limits = [int(info.get("memory_limit") or 0) for info in workers.values()]
    memory = float(min(limits)) if all(limits) else None

    counts = {len(addresses) for addresses in hosts.values()}
    inner = [(addresses[0], addresses[1]) for addresses in hosts.values() if len(addresses) > 1][:PAIRS]
    names, addresses = list(hosts), sorted(workers)
    outer = [(hosts[first][0], hosts[second][0]) for first, second in itertools.pairwise(names)][:PAIRS]
    if len(hosts) == 1:
        return Cluster([len(workers)], [_slowest(client, inner)], memory), addresses
    if counts == {1}:
        return Cluster([len(hosts)], [_slowest(client, outer)], memory), addresses
    if len(counts) == 1:
        rates = [_slowest(client, inner), _slowest(client, outer)]
        return Cluster([counts.pop(), len(hosts)], rates, memory), addresses
    # hosts that differ make no level: as one level, with the slowest of all links
    return Cluster([len(workers)], [_slowest(client, [*inner, *outer])], memory), addresses


def _slowest(client: Any, pairs: list[tuple[str, str]]) -> float:
    return min((_rate(client, *pair) for pair in pairs), default=_ALONE)


def _rate(client: Any, first: str, second: str) -> float:
    """Return bytes per second between two workers: as measured within a day, else measured."""
    from workbench.engine.keys import key
    from workbench.engine.store import store

    hosts = sorted({_host(first), _host(second)})
    kept = key("training.link", VERSION, hosts)
    found = store().get_json(kept)
    if found is not None and 0 <= time.time() - found["at"] < KEPT:
        return float(found["rate"])
    rate = _measured(client, first, second)
    store().put_json(kept, {"rate": rate, "at": time.time()}, kind="link", cost_s=2 * ENOUGH)
    return rate


def _measured(client: Any, first: str, second: str) -> float:
    """Return bytes per second that two workers exchange, both directions taken together.

    That is what a machine's channel carries, as the planner counts: activations go one way, gradients the other.
    """
    name = f"wb-link-{uuid.uuid4().hex}"

    def on(address: str, task: Callable[..., Any], *arguments: Any) -> Any:
        return client.submit(
            task, *arguments, workers=[address], allow_other_workers=False, pure=False, key=f"{name}-{task.__name__}"
        )

    try:
        there = on(second, _listen, name, _host(second), AMOUNT, ENOUGH)
        port = _told(client, name)
        here = on(first, _connect, _host(second), port, AMOUNT, ENOUGH)
        return float(here.result(timeout=60)) + float(there.result(timeout=60))
    except Exception as error:
        raise errors.ClusterError(
            f"The link from {_host(first)} to {_host(second)} could not be measured.",
            'Give it: wb.training.Cluster([4], ["10gbit"]).',
        ) from error


def _told(client: Any, name: str) -> int:
    """Return the port that the receiver said it listens on."""
    from distributed import Queue

    queue = Queue(name, client=client)
    try:
        return int(queue.get(timeout=30))
    finally:
        queue.close()


# what runs on the workers


def _listen(name: str, host: str, amount: int, enough: float) -> float:
    """Exchange bytes with whoever connects; return how many came per second."""
    from distributed import Queue

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as server:
        server.bind((host, 0))
        server.listen(1)
        server.settimeout(30)
        Queue(name).put(server.getsockname()[1])
        peer, _ = server.accept()
    return _exchange(peer, amount, enough)


def _connect(host: str, port: int, amount: int, enough: float) -> float:
    return _exchange(socket.create_connection((host, port), timeout=30), amount, enough)


def _exchange(peer: socket.socket, amount: int, enough: float) -> float:
    """Send and receive at the same time; return bytes per second from the first that came to the last."""
    with peer:
        peer.settimeout(30)
        sender = threading.Thread(target=_send, args=(peer, amount, enough), name="workbench-link", daemon=True)
        sender.start()
        room = bytearray(2**20)
        count, begin = 0, 0.0
        while got := peer.recv_into(room):
            # the first bytes start the clock: connecting is no part of a rate
            if begin:
                count += got
            else:
                begin = time.perf_counter()
        passed = time.perf_counter() - begin
        sender.join()
    return max(count, 1) / max(passed, 1e-9)


def _send(peer: socket.socket, amount: int, enough: float) -> None:
    block = bytes(2**20)
    begin = time.perf_counter()
    with contextlib.suppress(OSError):  # the other side says what became of it
        for _ in range(max(amount // len(block), 2)):
            peer.sendall(block)
            if time.perf_counter() - begin > enough:
                break
        peer.shutdown(socket.SHUT_WR)


def _host(address: str) -> str:
    """Return the host of a worker's address, `tcp://10.0.0.1:1234`."""
    return address.rpartition("//")[2].rpartition(":")[0].strip("[]")
