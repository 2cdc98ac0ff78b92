"""When a run goes on with other workers or another plan, and from which commit: what gives it another seating."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine import session
from workbench.engine.errors import warn
from workbench.training import checkpoint, errors, prepare, worker
from workbench.training.failover import should_reconfigure
from workbench.training.handing import Origin
from workbench.training.programs import FLUSHING
from workbench.training.standby import Standby

if TYPE_CHECKING:
    import torch
    from distributed import Client

    from workbench.training.driver import Driver
    from workbench.training.plan import PipelinePlan
    from workbench.training.prepare import Terms
    from workbench.training.resilience import Loss, Seating
    from workbench.training.run import TrainRun

__all__ = ["Changes", "put_back"]

LOOK = 1.0  # seconds between looks at who has joined
COMEBACKS = 2  # of a worker that was given up, while others can go on without it
NAP = 0.1  # seconds between looks while there are too few
SMALL = 2**20  # bytes of a model that goes in no time, while training stands


class Changes:
    """Decides when a run goes on with other workers, and makes the seating; used by the thread of the run.

    Parameters
    ----------
    run : TrainRun
    terms : Terms
    seating : Seating
        Where the run begins; its plan is the one that is gone back to when there are workers enough.
    client : distributed.Client
    resilience : {"none", "checkpoint", "redundant"}
    """

    def __init__(self, run: TrainRun, terms: Terms, seating: Seating, client: Client, resilience: str) -> None:
        self._run, self._terms, self._client, self._resilience = run, terms, client, resilience
        self._wanted, self._seating = seating.plan, seating
        #: batches whose weights and optimizer state are in the user's model and optimizer; None: some others
        self._held: int | None = seating.batches
        self._gone: set[str] = set()
        #: newcomers that were told to load what they will need, and those that have
        self._asked: set[str] = set()
        self._ready: set[str] = set()
        #: workers given up that are asked whether they are there after all, and how often they were
        self._probed: set[str] = set()
        self._returned: dict[str, int] = {}
        self._looked = 0.0
        #: workers that keep what a seating came to, of which commit, until the next one has it
        self._givers: set[str] = set()
        self._given = 0
        #: newcomers that get what they will need meanwhile, and for which seating by whom
        self._standby: Standby | None = None
        self._standing_by: tuple[Sequence[str], Sequence[str]] | None = None

    def wanted(self, overloaded: int) -> bool:
        """Whether the run should go on with another seating.

        Parameters
        ----------
        overloaded : int
            Ranks that run two stages.
        """
        if self._givers and self._run.steps > self._given:
            self._stand_down()  # all have what they need
            self._clear()
        if self._run.wish is not None:
            return True
        now = time.monotonic()
        if self._resilience == "none" or now - self._looked < LOOK:
            return False
        self._looked = now
        present = self._present()
        if self._due(present, overloaded):
            return self._copied(present)
        if not self._givers:  # else newcomers may still be taking it over
            self._stand_down()
        return False

    def carry_out(self, driver: Driver) -> int:
        """Have all stop at a commit and go on from there, seated anew; return the commit."""
        from workbench.training.driver import Lost

        begun = time.time()
        try:
            at = driver.pause()
            origins = driver.keep(at)
            if origins is None:
                return driver.committed  # a worker is lost, which `go` sees to
        except Lost:
            return driver.committed
        self._givers, self._given = {address for origin in origins for address in origin.addresses}, at
        wish, self._run.wish = self._run.wish, None
        if wish is not None:
            self._wanted = wish
        self._gone |= driver.gone_addresses()
        before = self._seating
        plan, present = self._plan()
        joined = [address for address in present if address not in before.addresses]
        seating = self._seat(plan, present, at, origins)
        driver.reseat(seating)
        for address in joined:
            if address in seating.addresses:
                rank = list(seating.addresses).index(address)
                stage = seating.layout.place(rank)[0]
                self._run.add_incident(
                    "join", f"worker {rank} (stage {stage}) has joined", worker=rank, stage=stage, step=at
                )
        number = self._run.add_incident(
            "reconfigure", f"{before.plan.config} became {plan.config} at step {at}; nothing is replayed", step=at,
            pause=time.time() - begun,
        )  # fmt: skip
        driver.goes_on(number, begun)
        return at

    def restore(self, loss: Loss) -> Seating | None:
        """Return the seating to go on with from the last checkpoint; None if there is none.

        Raises
        ------
        Cancelled
            While it waits for workers.
        """
        self._gone |= {self._seating.addresses[rank] for rank in loss.lost}
        at = self._go_back()
        if at is None:
            return None
        return self._seat(*self._plan(), at)

    def load(self, driver: Driver, batches: int, *, optimizer: bool = False) -> bool:
        """Put the weights of a commit into the user's model, with the optimizer's state if asked to.

        Returns
        -------
        bool
            Whether all of it was to be had.
        """
        found = driver.weights(batches)
        self._held = None
        whole = len(found) == len(self._seating.layout.stages)
        put_back(self._run, found, optimizer=optimizer)
        if whole and optimizer:
            self._held = batches
        return whole

    def close(self) -> None:
        """Leave nothing behind."""
        self._stand_down()
        if self._givers:
            self._clear()

    # below: what there is

    def _due(self, present: list[str], overloaded: int) -> bool:
        """Whether there are newcomers that make up for who is lost, and that have loaded what they need."""
        needed = ranks_of(self._wanted)
        if ranks_of(self._seating.plan) < needed:
            # The whole pipeline is still to be formed: all who are there wait for it.
            return len(present) >= needed and self._warm(present) and should_reconfigure(0, len(present), 0, needed)
        spare = [address for address in present if address not in self._seating.addresses]
        if not overloaded or len(spare) < overloaded:
            return False  # with nobody to take it over, who runs two stages goes on
        return self._warm(spare) and should_reconfigure(overloaded, min(len(spare), overloaded), 1, needed)

    def _copied(self, present: list[str]) -> bool:
        """Have newcomers copy what they will need, beside the training; return whether there is no use in waiting."""
        terms = self._terms
        size = sum(parameter.nbytes for parameter in self._run.model.parameters())
        if size < SMALL or not follows(terms) or len(present) < ranks_of(self._wanted):
            return True
        addresses = places(self._seating.addresses, present, ranks_of(self._wanted))
        seated = [address for address in self._seating.addresses if address in present]
        if self._standby is None or self._standing_by != (addresses, seated):
            self._stand_down()
            fresh = [address for address in addresses if address not in self._seating.addresses]
            made = terms.seating(self._wanted, addresses, 0, (Origin(-1, frozenset(), ()),)).setups
            setups = {address: made[addresses.index(address)] for address in fresh}
            self._standby, self._standing_by = (
                Standby(self._client, self._run.run_id, seated, setups),
                (addresses, seated),
            )
        return self._standby.ready

    def _stand_down(self) -> None:
        """Have what was copied for another seating forgotten."""
        standby, self._standby, self._standing_by = self._standby, None, None
        if standby is not None:
            standby.close()

    def _present(self, *, waits: bool = False) -> list[str]:
        """Return the addresses of the session's workers, but those that the run has lost.

        One that was only late is there again once it answers; if nothing `waits` for it, not for ever.
        """
        known = prepare.workers()
        for address in known:
            if address in self._gone and (waits or self._returned.get(address, 0) < COMEBACKS):
                self._probe(address)
        return [address for address in known if address not in self._gone]

    def _probe(self, address: str) -> None:
        """Ask a worker that was given up, and that the session still has, whether it is there."""
        if address in self._probed:
            return
        self._probed.add(address)

        def ask() -> None:
            try:
                found = self._client.run(worker.well, self._run.run_id, workers=[address], on_error="return")
            except Exception:
                self._probed.discard(address)  # it may still come to itself, or is gone for good
                return
            answer = found.get(address) if found else False
            if answer is None:
                self._probed.discard(address)  # not yet
            elif answer is True:
                self._returned[address] = self._returned.get(address, 0) + 1
                self._gone.discard(address)
                self._probed.discard(address)

        threading.Thread(target=ask, name="workbench-training-probe", daemon=True).start()

    def _warm(self, addresses: list[str]) -> bool:
        """Have newcomers load what they will need, beside the training; return whether all have."""
        cold = [
            address for address in addresses if address not in self._ready and address not in self._seating.addresses
        ]
        fresh = [address for address in cold if address not in self._asked]
        self._asked.update(fresh)

        def load() -> None:
            try:
                self._client.run(_import, workers=fresh, on_error="return")
            except Exception:
                # The session has ended meanwhile; if not, they are asked anew at the next look.
                self._asked.difference_update(fresh)
            else:
                self._ready.update(fresh)

        if fresh:
            threading.Thread(target=load, name="workbench-training-standby", daemon=True).start()
        return not cold

    # below: another seating

    def _go_back(self) -> int | None:
        """Put the newest whole checkpoint into the user's model, unless that holds a newer commit; return its step."""
        for path in self._run.saver.complete:
            try:
                found = checkpoint.read(path)
            except errors.CheckpointError as error:
                warn(error.message, "An older one is taken.")
                continue
            if self._held is None or self._held < found.step:
                found.load(self._run.model, self._run.optimizer)
                self._held = found.step
            break
        return self._held

    def _plan(self) -> tuple[PipelinePlan, list[str]]:
        """Return the plan for the workers that there are, and these; wait for some if they are too few for any.

        Raises
        ------
        Cancelled
        """
        from workbench.training.driver import Cancelled

        told = False
        while True:
            # Looked at once: one that goes meanwhile is found out when it is seated.
            present, needed = self._present(waits=told), ranks_of(self._wanted)
            count = len(present)
            if count >= needed:
                return self._wanted, present
            for ranks in range(count, 0, -1):
                try:
                    return prepare.fewer(self._wanted, self._terms.schedule, ranks), present
                except errors.PartitionError:
                    continue
                except errors.StageMemoryError:
                    break  # with fewer workers each needs more
            if not told:
                told = True
                total = sum(stage.memory_bytes * stage.replicas for stage in self._wanted.stages)
                error = errors.no_progress(count, len(self._wanted.stages), total, needed - count, None)
                self._run.add_incident("stall", f"{error.message} {error.hint}", step=self._held or 0)
            session.heal()
            if self._run.cancelled.wait(NAP):
                raise Cancelled

    def _seat(self, plan: PipelinePlan, present: list[str], at: int, origins: Sequence[Origin] = ()) -> Seating:
        """Return the seating of a plan, its ranks where they were as far as can be: they have what they need."""
        addresses = places(self._seating.addresses, present, ranks_of(plan))
        self._seating = self._terms.seating(plan, addresses, at, origins)
        self._run.replanned(plan)
        return self._seating

    def _clear(self) -> None:
        """Have workers forget what nobody needs any more, also those that are no part of the run now."""
        givers, self._givers = sorted(self._givers), set()

        def clear() -> None:
            with contextlib.suppress(Exception):  # who has gone has nothing left
                self._client.run(worker.forget, self._run.run_id, workers=givers, on_error="return")

        threading.Thread(target=clear, name="workbench-training-clear", daemon=True).start()


def put_back(
    run: TrainRun,
    found: Mapping[int, tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], Any]],
    *,
    optimizer: bool = True,
) -> None:
    """Put stages' weights and buffers into the user's model, and optimizer state into the optimizer."""
    import torch

    from workbench.training.optimizers import give_back

    own = {**dict(run.model.named_parameters()), **dict(run.model.named_buffers())}
    with torch.no_grad():
        for weights, buffers, state in found.values():
            for name, tensor in (*weights.items(), *buffers.items()):
                own[name].copy_(tensor)
            if optimizer:
                give_back(run.optimizer, run.model, state)


def places(before: Sequence[str], present: Collection[str], count: int) -> list[str]:
    """Return the addresses of so many ranks: who stays keeps its rank, and the others fill the gaps.

    Parameters
    ----------
    before : sequence of str
        Addresses by rank.
    present : collection of str
        At least `count`; those before others are taken first.
    count : int
    """
    stay = [address for address in before if address in present][:count]
    found = {rank: address for rank, address in enumerate(before[:count]) if address in stay}
    rest = iter(
        [*(each for each in stay if each not in found.values()), *(each for each in present if each not in before)]
    )
    return [found[rank] if rank in found else next(rest) for rank in range(count)]


def follows(terms: Terms) -> bool:
    """Whether who has a stage at a commit, and its gradients since, has it as it is now, bit by bit.

    Each commit is one update, of an optimizer whose parameters know nothing of each other, on equal processors.
    """
    own = type(terms.optimizer).__module__.startswith("torch.optim")
    return terms.schedule in FLUSHING and own and terms.device in (None, "cpu")


def ranks_of(plan: PipelinePlan) -> int:
    """Return how many workers a plan has."""
    return sum(len(stage.ranks) for stage in plan.stages)


def _import() -> None:
    """Load what a rank will need; an optimizer loads a compiler at its first step, for seconds."""
    import torch

    import workbench.training.rank
    import workbench.training.runner  # noqa: F401

    weight = torch.nn.Parameter(torch.zeros(1))
    (weight * 2).sum().backward()
    torch.optim.SGD([weight], lr=0.1).step()
