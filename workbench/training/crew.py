"""The workers of a run as its driver sees them: tasks, messages, and calls that never wait for a silent one."""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

from workbench.engine import session
from workbench.training import worker

if TYPE_CHECKING:
    from distributed import Client, Future
    from torch import distributed

__all__ = ["Crew", "answer", "open_store", "own_host"]

ANSWER = 10.0  # seconds that a call waits for a worker that is still there
LOOK = 0.02  # seconds between looks at whether who is asked is still there
LEAVE = 1.2  # seconds that tasks have to end

_listening: dict[str, queue.Queue[dict[str, Any]]] = {}


class Crew:
    """The workers of one run.

    Parameters
    ----------
    client : distributed.Client
    run : str
        Its id.
    """

    def __init__(self, client: Client, run: str) -> None:
        self._client, self._run = client, run
        self._addresses: list[str] = []
        self._tasks: dict[int, Future] = {}
        self._seated = 0
        self._store: Any = None
        self._host = ""
        #: what workers and their cluster tell
        self.inbox: queue.Queue[dict[str, Any]] = queue.Queue()
        _listening[run] = self.inbox
        client.subscribe_topic(worker.TOPIC, _on_event)
        self._gone: set[str] = set()
        self._present: set[str] = set()
        self._forget = session.on_worker_lost(self._on_lost)

    def seat(self, addresses: Sequence[str], setups: Sequence[bytes]) -> list[int]:
        """Put the run on workers, a rank on each; return the ranks whose worker has gone."""
        self._present.update(addresses)
        self._addresses, self._seated = list(addresses), self._seated + 1
        # All at once: a new worker loads torch for it.
        calls = [self.tell(worker.install, setup, ranks=[rank])[0] for rank, setup in enumerate(setups)]
        self._wait(range(len(setups)), calls, math.inf)
        gone = [rank for rank, call in enumerate(calls) if isinstance(answer(call), BaseException)]
        for rank, address in enumerate(addresses):
            if rank not in gone:
                self._tasks[rank] = self._client.submit(
                    worker.serve, self._run, workers=[address], allow_other_workers=False, retries=0, pure=False,
                    key=f"train-{self._run[:12]}-{self._seated}-{rank}", priority=10,
                )  # fmt: skip
        return gone

    def unseat(self, ranks: Iterable[int]) -> None:
        """Let ranks go: their tasks end, and their workers forget the run."""
        ranks, there = list(ranks), []
        with contextlib.suppress(Exception):  # a session that has ended has nothing left to close
            present = self.present()
            there = [rank for rank in ranks if self._addresses[rank] in present]
            self.call(worker.leave, ranks=there, patience=LEAVE)
        ending = [self._tasks[rank] for rank in there if rank in self._tasks]
        until = time.monotonic() + LEAVE
        while time.monotonic() < until and any(task.status == "pending" for task in ending):
            time.sleep(0.01)
        tasks = [self._tasks.pop(rank) for rank in ranks if rank in self._tasks]
        for task in tasks:
            with contextlib.suppress(Exception):  # a session that has ended has nothing left to release
                task.cancel(force=True) if task.status == "pending" else task.release()

    def close(self) -> None:
        """Hear nothing more."""
        self._forget()
        _listening.pop(self._run, None)
        if not _listening:
            with contextlib.suppress(Exception):  # the session may have ended
                self._client.unsubscribe_topic(worker.TOPIC)
        self._store = None

    def call(
        self, function: Callable[..., Any], *arguments: Any, ranks: Iterable[int], patience: float = ANSWER
    ) -> list[Any]:
        """Call a function of `worker` on ranks, all at once; what failed, or took too long, gives its exception."""
        ranks = list(ranks)
        calls = self.tell(function, *arguments, ranks=ranks)
        self._wait(ranks, calls, patience)
        return [answer(call) for call in calls]

    def _wait(self, ranks: Sequence[int], calls: Sequence[futures.Future[Any]], patience: float) -> None:
        """Wait for calls, but not for those of workers that have gone."""
        until = time.monotonic() + patience
        while time.monotonic() < until and futures.wait(calls, LOOK).not_done:
            if all(call.done() or self._addresses[rank] in self._gone for rank, call in zip(ranks, calls, strict=True)):
                break

    def tell(self, function: Callable[..., Any], *arguments: Any, ranks: Iterable[int]) -> list[futures.Future[Any]]:
        """Call a function of `worker` on ranks without waiting for it."""

        async def one(address: str) -> Any:
            found = await self._client._run(function, self._run, *arguments, workers=[address], on_error="return")
            return found[address]

        loop = self._client.loop.asyncio_loop
        return [asyncio.run_coroutine_threadsafe(one(self._addresses[rank]), loop) for rank in ranks]

    def _on_lost(self, address: str, keys: list[str]) -> None:
        self._gone.add(address)
        self.inbox.put({"kind": "lost", "address": address})

    def rank_of(self, address: str) -> int | None:
        """Return the rank on a worker."""
        return self._addresses.index(address) if address in self._addresses else None

    def present(self) -> set[str]:
        """Return the addresses of all workers that there are."""
        with contextlib.suppress(OSError):  # of a scheduler that does not answer now, what it said last
            self._present = set(session.members(self._client))
        return self._present

    def missing(self, ranks: Iterable[int]) -> list[int]:
        """Return the ranks whose worker or task has gone."""
        present = self.present()
        failed = {rank for rank, task in self._tasks.items() if task.status in ("error", "cancelled")}
        return [rank for rank in ranks if self._addresses[rank] not in present or rank in failed]

    def lateness(self, rank: int) -> float:
        """Return how many seconds a worker's clock is ahead of ours; on this machine it is the same clock."""
        address = self._addresses[rank]
        if _host(address) == own_host(address):
            return 0.0
        best, found = math.inf, 0.0
        for _ in range(5):
            asked = time.time()
            answer = self.call(worker.clock, ranks=[rank])[0]
            took = time.time() - asked
            if isinstance(answer, float) and took < best:
                best, found = took, answer - asked - took / 2
        return found

    def beats(self, rank: int) -> int | None:
        """Return how many signs of life a rank has given; None if it gives none to anybody."""
        return None if self._store is None else int(self._store.add(f"{self._run}/alive/{rank}", 0))

    def store(self) -> tuple[str, int]:
        """Return host and port of the run's store, which this process keeps, on the network of the workers alone."""
        if self._store is None:
            self._host = own_host(self._addresses[0])
            self._store = open_store(self._host)
        return self._host, self._store.port


def answer(call: futures.Future[Any]) -> Any:
    """Return what a call came to: its value, or an exception."""
    if not call.done():  # it may still get there
        return TimeoutError("no answer")
    error = TimeoutError("cancelled") if call.cancelled() else call.exception()
    return error if error is not None else call.result()


def open_store(host: str) -> distributed.TCPStore:
    """Return a store for a rendezvous that this process keeps, on one of its addresses alone."""
    import datetime

    from torch import distributed

    with socket.create_server((host, 0)) as listener:
        port = listener.getsockname()[1]
        descriptor = listener.detach()
    return distributed.TCPStore(
        host, port, None, True, datetime.timedelta(seconds=30), wait_for_workers=False,
        master_listen_fd=descriptor, use_libuv=True,
    )  # fmt: skip


def _host(address: str) -> str:
    return address.rpartition("://")[2].rpartition(":")[0].strip("[]")


def own_host(address: str) -> str:
    """Return this machine's address on the network that leads to a worker."""
    host = _host(address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((host, 9))  # sends nothing
        return str(probe.getsockname()[0])


def _on_event(event: tuple[float, Any]) -> None:
    # Runs on the client's event loop: must not wait.
    message = event[1]
    inbox = _listening.get(message["run"]) if isinstance(message, dict) else None
    if inbox is not None:
        inbox.put(message)
