"""A rank at work: it waits for commands, finds the others, runs its programs, and reports."""

from __future__ import annotations

import datetime
import pickle
import threading
import time
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import one_line
from workbench.training.worker import Go, Join, Seat, Setup, forget, newest, save_due, signed

if TYPE_CHECKING:
    from torch import distributed

    from workbench.training.job import Report

__all__ = ["Rank", "group_of"]

#: seconds that ranks may take to find each other
RENDEZVOUS = 30.0
#: seconds between two signs of life in the store
HEARTBEAT = 1.0
#: seconds that the end of a generation, and of the run, may take before it is left to itself
PARTING, GOODBYE = 0.2, 5.0
NAP = 0.5e-3  # seconds between looks at whether a span may begin


class Rank:
    """The loop of a rank.

    Parameters
    ----------
    seat : Seat
    send : callable
        Sends a message to the driver.
    """

    def __init__(self, seat: Seat, send: Callable[[dict[str, Any]], object]) -> None:
        self._seat, self._send = seat, send
        self._store: distributed.Store | None = None
        self._group: distributed.ProcessGroup | None = None
        self._groups: dict[int, distributed.ProcessGroup] = {}
        self._pulse: _Pulse | None = None
        self._ahead: dict[Any, Any] = {}

    def run(self) -> None:
        """Work until there is nothing more to come."""
        import torch

        threads = torch.get_num_threads()
        self._seat.thread = threading.get_ident()
        torch.set_num_threads(self._seat.setup.threads)
        try:
            if not self._seat.setup.origins:
                self._prepare(self._seat.setup)
            while (order := self._seat.inbox.get()) is not None:
                self._attempt(self._join if isinstance(order, Join) else self._go, order)
        finally:
            torch.set_num_threads(threads)
            self._part(GOODBYE)
            if self._pulse is not None:
                self._pulse.stop()
            self._seat.states.clear()

    # below: the commands

    def _prepare(self, setup: Setup) -> None:
        import torch

        from workbench.training.state import StageState

        device = None if setup.device is None else torch.device(setup.device)
        # All of them at once: who has some of them only has none.
        self._seat.states |= {
            part.spec.index: StageState(
                part.spec, part.replica, part.replicas, setup.recipe, part.scale, setup.batches, device, part.updates
            )
            for part in (*setup.parts, *setup.copies)
        }

    def _take_over(self, gone: Collection[str]) -> None:
        """Get what the stages of this rank have come to from the workers that ran them.

        Raises
        ------
        PeerError
            If nobody has it; it is tried again in the next generation.
        """
        from workbench.training import handing, shadow

        seat = self._seat
        trees = [part.spec.tree for part in (*seat.setup.parts, *seat.setup.copies)]
        wanted = {name: tensor for tree in trees for name, tensor in (*tree.named_parameters(), *tree.named_buffers())}
        origins = [origin.without(gone) for origin in seat.setup.origins]
        before = shadow.taken(seat.run, seat.setup.batches, seat.worker, seat.stopped)
        taken = handing.gather(seat.run, seat.setup.batches, wanted, origins, seat.worker, seat.stopped, before)
        self._prepare(handing.filled(seat.setup, taken))

    def _join(self, order: Join) -> None:
        import torch

        from workbench.training.runner import Runner
        from workbench.training.transport import Interrupted

        seat, setup = self._seat, self._seat.setup
        self._part(PARTING)
        if seat.runner is not None:
            self._ahead, seat.runner = seat.runner.ahead, None
        seat.generation = order.generation
        if seat.stopped():
            raise Interrupted
        if not seat.states:
            self._take_over(order.gone)
        transport = self._connect(order) if len(order.ranks) > 1 else None
        if setup.origins:  # all who have come this far have what they need
            forget(seat.run, seat.worker)
        for stage, state in seat.states.items():
            state.copy = stage not in order.ranks[setup.rank]
            state.restore(order.batches)
        wire = torch.float16 if order.half else None
        seat.runner = Runner(
            setup.job, seat.states, setup.source, transport, self._groups, self._report, seat.stopped,
            None if setup.device is None else torch.device(setup.device), lambda batches: save_due(seat, batches),
            wire, self._woken, self._ahead,
            lambda batch, state: None if seat.log is None else seat.log.note(batch, state),
        )  # fmt: skip
        self._tell("joined")

    def _connect(self, order: Join) -> Any:
        """Find the others, and return the transport between them.

        In a thread of its own: one that is lost meanwhile would hold up all others until gloo's timeout.
        """
        from workbench.training.transport import PeerError, poll

        found: list[Any] = []

        def meet() -> None:
            try:
                found.append(self._meet(order))
            except RuntimeError as error:
                found.append(PeerError(-1, str(error)))

        thread = threading.Thread(target=meet, name="workbench-training-meet", daemon=True)
        thread.start()
        try:
            poll(lambda: not thread.is_alive(), self._seat.stopped)
        except BaseException:
            self._store = None  # that thread may have it for a while
            raise
        if isinstance(found[0], PeerError):
            raise found[0]
        self._group, self._groups, transport = found[0]
        return transport

    def _meet(self, order: Join) -> tuple[Any, dict[int, Any], Any]:
        import torch
        from torch import distributed

        from workbench.training.transport import Link, Transport

        seat, rank = self._seat, self._seat.setup.rank

        def client() -> distributed.Store:
            patience = datetime.timedelta(seconds=RENDEZVOUS)
            return distributed.TCPStore(order.host, order.port, None, False, timeout=patience)

        if self._pulse is None:
            self._pulse = _Pulse(client(), f"{seat.run}/alive/{rank}", seat)
        store = self._store
        if store is None:
            store = self._store = client()
        prefix, ranks = f"{seat.run}/g{order.generation}", sorted(order.ranks)
        places = {rank: place for place, rank in enumerate(ranks)}
        group = group_of(distributed.PrefixStore(prefix, store), places[rank], len(ranks), order.host)
        groups = {}
        for stage, members in sorted(order.groups.items()):
            if rank in members:
                inner = distributed.PrefixStore(f"{prefix}/s{stage}", store)
                groups[stage] = group_of(inner, members.index(rank), len(members), order.host)
        transport = Transport(
            group, seat.stopped, None if seat.setup.device is None else torch.device(seat.setup.device),
            torch.float16 if order.half else None, None if order.rate is None else Link(order.rate), places,
        )  # fmt: skip
        return group, groups, transport

    def _go(self, order: Go) -> None:
        from workbench.training.transport import Interrupted

        seat = self._seat
        if seat.runner is None or order.generation != seat.generation:
            return  # its generation has failed before, and that was told
        for first, count in order.spans:
            while (may := seat.may_begin(first + count)) is None:
                if seat.stopped():
                    raise Interrupted
                time.sleep(NAP)
            if not may:
                break
            seat.runner.span(order.programs[count], first)
        self._tell("paused", batches=newest(seat))

    def _attempt(self, action: Any, order: Any) -> None:
        """Do what was ordered, and say what became of it."""
        from workbench.training.transport import Interrupted, PeerError

        told: tuple[str, dict[str, Any]] | None = None
        try:
            action(order)
        except Interrupted:
            told = "stopped", {}
        except PeerError as error:
            told = "peer", {"peer": error.peer, "reason": error.reason}
        except Exception as error:
            told = "error", {"error": _pickled(error)}
        if told is None:
            return
        # Only now, as an exception's frames hold the connections: the sockets are closed at once, so that the whole
        # ring notices.
        if told[0] != "stopped":
            self._part(PARTING)
        begun = 0 if self._seat.runner is None else self._seat.runner.begun
        self._tell(told[0], batches=newest(self._seat), begun=begun, **told[1])

    def _part(self, patience: float) -> None:
        """Leave the others: close all connections."""
        runner = self._seat.runner
        if runner is not None:
            runner.part()
        # Closing waits for a collective that a silent peer holds up: then it is left behind.
        held = [self._groups, [self._group]]
        self._groups, self._group = {}, None
        closer = threading.Thread(target=_forget, args=(held,), name="workbench-training-close", daemon=True)
        del held
        closer.start()
        closer.join(patience)

    # below: what is told

    def _woken(self, when: float) -> None:
        self._tell("woken", when=when)

    def _report(self, report: Report) -> None:
        self._tell("progress", report=pickle.dumps(report, protocol=5), batches=report.batches)

    def _tell(self, kind: str, **data: Any) -> None:
        if not self._seat.cut:
            self._send({**signed(self._seat), "kind": kind, **data})


class _Pulse:
    """A sign of life in the store, once a second."""

    def __init__(self, store: distributed.Store, key: str, seat: Seat) -> None:
        self._store, self._key, self._seat = store, key, seat
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="workbench-training-pulse", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(GOODBYE)

    def _beat(self) -> None:
        while not self._seat.left:  # it may be made when the rank has left already
            try:
                if not self._seat.cut:
                    self._store.add(self._key, 1)
            except RuntimeError:
                return  # the driver has gone, and its worker will end too
            if self._over.wait(HEARTBEAT):
                return


def group_of(store: distributed.Store, rank: int, size: int, host: str) -> distributed.ProcessGroup:
    """Return a gloo group of its own: the process's default one is left to the user."""
    from torch import distributed

    options = distributed.ProcessGroupGloo._Options()
    options._devices = [distributed.ProcessGroupGloo.create_device(hostname=_own_host(host))]
    options._timeout = datetime.timedelta(seconds=RENDEZVOUS)
    return distributed.ProcessGroupGloo(store, rank, size, options)


def _own_host(store: str) -> str:
    """Return the address of this machine on the network that leads to the store."""
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((store, 9))  # sends nothing
        return str(probe.getsockname()[0])


def _forget(held: list[Any]) -> None:
    held.clear()


def _pickled(error: BaseException) -> bytes:
    """Return an error that the driver can raise; one that cannot travel is told in words."""
    import cloudpickle

    try:
        made = cloudpickle.dumps(error)
        pickle.loads(made)
        return bytes(made)
    except Exception:
        from workbench.training.errors import TrainingError

        return pickle.dumps(TrainingError(one_line(error)))
