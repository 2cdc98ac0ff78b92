"""Values from worker to worker: posted sends and receives, polled together with a flag that ends all waiting.

A message is one block of bytes: a head of 64 bytes, each tensor at a multiple of 64, and a last byte that is not zero.
gloo does not tell that a receive is done but to who waits for it, and that wait cannot be ended from outside; it fills
a block from front to back, however, so the last byte tells. How a message is laid out is told once for each number of
samples; a message that differs from it (a batch padded to another length) goes by a second tag with its layout before
it, and the head of the first says so. What was sent is kept until a head from the other side says that all messages up
to it have arrived.
"""

from __future__ import annotations

import pickle
import struct
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch.utils import _pytree as pytree

from workbench.training import errors

if TYPE_CHECKING:
    from torch import distributed

    from workbench.training.op import Op

__all__ = ["Link", "PeerError", "Transport", "poll", "tag_of"]

HEAD = 64  # bytes before the tensors; also what these are aligned to
AHEAD = 2  # receives of a channel that are posted before they are asked for
SPIN, NAP = 50e-6, 0.5e-3  # seconds of waiting without and with sleep
#: whether the message went by the other tag; when it was sent, and when it has arrived; its number among all of the two
#: ranks, and up to which one this side has received the other's
_HEAD = struct.Struct("<qddqq")

#: kinds of messages: a rank may send the same kind for two stages
_FAMILIES = ("send_act", "send_grad", "send_replica")

Channel = tuple[int, int]  # peer, tag; the tag after it is taken too


class PeerError(Exception):
    """A transfer failed: the other end has gone, or gave up."""

    def __init__(self, peer: int, reason: str) -> None:
        super().__init__(peer, reason)
        self.peer, self.reason = peer, reason


class Interrupted(Exception):
    """The flag was raised: leave the program."""


def tag_of(op: Op) -> int:
    """Return the tag by which a send or a receive goes."""
    kind, sender = op.boundary()
    return 2 * (_FAMILIES.index(kind) + len(_FAMILIES) * sender)


def poll(done: Callable[[], bool], stopped: Callable[[], bool]) -> None:
    """Wait until `done()`, or raise `Interrupted` when `stopped()`: gloo's own waits cannot be ended from outside."""
    begun = time.perf_counter()
    while not done():
        if stopped():
            raise Interrupted
        if time.perf_counter() - begun > SPIN:
            time.sleep(NAP)


@dataclass
class Link:
    """An emulated link: one half-duplex channel for each machine.

    Parameters
    ----------
    rate : float
        Bytes per second.
    """

    rate: float
    free: float = 0.0

    def take(self, size: float, ready: float) -> float:
        """Occupy the link for `size` bytes that are ready at a Unix time; return when they are through."""
        self.free = max(self.free, ready) + size / self.rate
        return self.free


@dataclass(frozen=True)
class _Layout:
    """How the values of a message stand in it."""

    structure: Any
    leaves: tuple[tuple[Any, ...], ...]  # ("tensor", dtype, wire dtype, shape, needs gradient) or ("value", value)
    size: int

    @classmethod
    def of(cls, values: Any, wire: torch.dtype | None) -> tuple[_Layout, list[torch.Tensor]]:
        leaves, structure = pytree.tree_flatten(values)
        told: list[tuple[Any, ...]] = []
        tensors, size = [], HEAD + HEAD  # the second for the last byte
        for leaf in leaves:
            if isinstance(leaf, torch.Tensor):
                sent = wire if wire is not None and leaf.dtype is torch.float32 else leaf.dtype
                told.append(("tensor", leaf.dtype, sent, tuple(leaf.shape), leaf.requires_grad))
                tensors.append(leaf.detach())
                size += _padded(leaf.numel() * sent.itemsize)
            elif isinstance(leaf, (int, float, complex, bool, str, type(None), torch.dtype, torch.device)):
                told.append(("value", leaf))
            else:
                raise errors.NotPipelinableError(
                    f"A {type(leaf).__name__} cannot cross from one stage to the next.",
                    "Return tensors, or keep its maker and its user in one submodule.",
                )
        # As plain Python with the leaves' numbers in their places: torch's own description warns when it is pickled.
        return cls(pytree.tree_unflatten(range(len(told)), structure), tuple(told), size), tensors

    def fill(self, block: torch.Tensor, tensors: Iterable[torch.Tensor]) -> None:
        place, given = HEAD, iter(tensors)
        for leaf in self.leaves:
            if leaf[0] == "tensor":
                size = _count(leaf[3]) * leaf[2].itemsize
                block[place : place + size].view(leaf[2]).view(leaf[3]).copy_(next(given))
                place += _padded(size)

    def read(self, block: torch.Tensor, device: torch.device) -> Any:
        place, values = HEAD, []
        for leaf in self.leaves:
            if leaf[0] == "value":
                values.append(leaf[1])
                continue
            size = _count(leaf[3]) * leaf[2].itemsize
            tensor = block[place : place + size].view(leaf[2]).view(leaf[3]).to(device=device, dtype=leaf[1])
            place += _padded(size)
            values.append(tensor.requires_grad_() if leaf[4] else tensor)
        return pytree.tree_map(values.__getitem__, self.structure)

    def same(self, other: _Layout) -> bool:
        return self.size == other.size and self.leaves == other.leaves and self.structure == other.structure


@dataclass
class _Incoming:
    """A receive that is expected on a channel."""

    samples: int
    described: bool
    work: Any = None
    block: torch.Tensor | None = None


@dataclass
class _Inbox:
    expected: deque[_Incoming] = field(default_factory=deque)
    layouts: dict[int, _Layout] = field(default_factory=dict)


@dataclass
class _Received:
    """Which messages of a peer have arrived: all up to a number, and some after it, as channels overtake each other."""

    all_up_to: int = 0
    later: set[int] = field(default_factory=set)

    def add(self, number: int) -> None:
        self.later.add(number)
        while self.all_up_to + 1 in self.later:
            self.all_up_to += 1
            self.later.remove(self.all_up_to)


class Transport:
    """Messages between the ranks of one generation.

    Parameters
    ----------
    group : ProcessGroup
        Over all ranks.
    stopped : callable
        Whether to leave every wait.
    device : torch.device
        Where values are used; they travel through this host's memory.
    wire : dtype, optional
        What float32 travels as.
    link : Link, optional
    places : mapping of int to int, optional
        Rank -> its place in the group; without it they are the same.
    """

    def __init__(
        self,
        group: distributed.ProcessGroup,
        stopped: Callable[[], bool],
        device: torch.device | None = None,
        wire: torch.dtype | None = None,
        link: Link | None = None,
        places: Mapping[int, int] | None = None,
    ) -> None:
        self._group, self._stopped, self._wire, self._link = group, stopped, wire, link
        self._device = device or torch.device("cpu")
        self._places = places or {}
        self._numbers: dict[int, int] = {}
        self._sending: dict[int, dict[int, list[tuple[Any, torch.Tensor]]]] = {}
        self._received: dict[int, _Received] = {}
        self._told: dict[Channel, dict[int, _Layout]] = {}
        self._inboxes: dict[Channel, _Inbox] = {}
        #: bytes sent
        self.sent = 0

    def expect(self, peer: int, tag: int, samples: Iterable[int]) -> None:
        """Say which messages will be received on a channel, in order, by their numbers of samples."""
        inbox = self._inboxes.setdefault((peer, tag), _Inbox())
        known = {*inbox.layouts, *(incoming.samples for incoming in inbox.expected)}
        for count in samples:
            inbox.expected.append(_Incoming(count, described=count not in known))
            known.add(count)
        self._post_ahead((peer, tag))

    def send(self, peer: int, tag: int, samples: int, values: Any, *, exact: bool = False) -> int:
        """Post a message and return its bytes; it goes out while the worker computes.

        What is `exact` arrives as it is, whatever float32 travels as.
        """
        layout, tensors = _Layout.of(values, None if exact else self._wire)
        number = self._numbers[peer] = self._numbers.get(peer, 0) + 1
        told = self._told.setdefault((peer, tag), {})
        agreed = told.get(samples)
        block = _block(layout.size)
        layout.fill(block, tensors)
        size, posted = layout.size, []
        if agreed is not None and agreed.same(layout):
            self._stamp(block, peer, number)
            posted.append(self._post(peer, tag, block))
        else:
            if agreed is None:
                told[samples] = layout
            else:
                note = _block(agreed.size)
                self._stamp(note, peer, number, elsewhere=True)
                posted.append(self._post(peer, tag, note))
                size += agreed.size
            text = torch.frombuffer(bytearray(pickle.dumps(layout) + b"\1"), dtype=torch.uint8)
            length = torch.tensor([len(text), 1 << 56])  # so that its last byte is not zero
            self._stamp(block, peer, number)
            posted += [self._post(peer, tag + 1, part) for part in (length.view(torch.uint8), text, block)]
            size += len(text) + 16
        self._sending.setdefault(peer, {})[number] = posted
        self.sent += size
        return size

    def receive(self, peer: int, tag: int) -> tuple[Any, int, float]:
        """Wait for the next message of a channel; return its values, its bytes, and when it was sent (Unix time)."""
        inbox = self._inboxes[peer, tag]
        incoming = inbox.expected[0]
        if incoming.described:
            layout, block = self._described(peer, tag + 1)
            inbox.layouts[incoming.samples] = layout
        else:
            layout = inbox.layouts[incoming.samples]
            if incoming.work is None:
                self._post_receive(peer, tag, incoming, layout)
            assert incoming.block is not None
            self._arrive(peer, incoming.work, incoming.block)
            block = incoming.block
            if _read_head(block)[0]:
                layout, block = self._described(peer, tag + 1)
        inbox.expected.popleft()
        self._post_ahead((peer, tag))
        _, sent, through, number, arrived_there = _read_head(block)
        self._received.setdefault(peer, _Received()).add(number)
        self._let_go(peer, arrived_there)
        if self._link is not None:
            arrived = self._link.take(layout.size, through - layout.size / self._link.rate)
            poll(lambda: time.time() >= arrived, self._stopped)
        return layout.read(block, self._device), layout.size, sent

    def all_reduce(self, group: distributed.ProcessGroup, block: torch.Tensor) -> int:
        """Sum a tensor over a group, in place; return the bytes that this rank sent for it."""
        host = block.cpu()
        ready = time.time()
        try:
            work = group.allreduce([host])
            poll(work.is_completed, self._stopped)
        except RuntimeError as error:
            raise PeerError(-1, str(error)) from error
        self._finish(-1, work)
        if host is not block:
            block.copy_(host)
        count = group.size()
        size = 2 * (count - 1) * host.numel() * host.element_size() // count
        if self._link is not None:
            arrived = self._link.take(size, ready)
            poll(lambda: time.time() >= arrived, self._stopped)
        self.sent += size
        return size

    # below: posting and waiting

    def _stamp(self, block: torch.Tensor, peer: int, number: int, *, elsewhere: bool = False) -> None:
        now = time.time()
        through = now if self._link is None else self._link.take(len(block), now)
        received = self._received.get(peer)
        head = bytearray(_HEAD.pack(elsewhere, now, through, number, 0 if received is None else received.all_up_to))
        block[: _HEAD.size] = torch.frombuffer(head, dtype=torch.uint8)

    def _post(self, peer: int, tag: int, block: torch.Tensor) -> tuple[Any, torch.Tensor]:
        try:
            return self._group.send([block], self._places.get(peer, peer), tag), block
        except RuntimeError as error:
            raise PeerError(peer, str(error)) from error

    def _let_go(self, peer: int, arrived: int) -> None:
        """Forget what the other side has: its waits return at once."""
        sending = self._sending.get(peer, {})
        while sending and (number := next(iter(sending))) <= arrived:
            for work, _ in sending.pop(number):
                self._finish(peer, work)

    def _post_receive(self, peer: int, tag: int, incoming: _Incoming, layout: _Layout) -> None:
        incoming.block = torch.empty(layout.size, dtype=torch.uint8)
        incoming.block[-1] = 0
        incoming.work = self._start_receive(peer, tag, incoming.block)

    def _start_receive(self, peer: int, tag: int, block: torch.Tensor) -> Any:
        try:
            return self._group.recv([block], self._places.get(peer, peer), tag)
        except RuntimeError as error:
            raise PeerError(peer, str(error)) from error

    def _post_ahead(self, channel: Channel) -> None:
        inbox = self._inboxes[channel]
        for incoming in list(inbox.expected)[:AHEAD]:
            layout = inbox.layouts.get(incoming.samples)
            if incoming.described or layout is None:
                return  # how long it is is told by a message before it
            if incoming.work is None:
                self._post_receive(*channel, incoming, layout)

    def _described(self, peer: int, tag: int) -> tuple[_Layout, torch.Tensor]:
        """Receive a message with its layout before it."""
        length = torch.zeros(16, dtype=torch.uint8)
        self._arrive(peer, self._start_receive(peer, tag, length), length)
        text = torch.zeros(int(length.view(torch.int64)[0]), dtype=torch.uint8)
        self._arrive(peer, self._start_receive(peer, tag, text), text)
        layout: _Layout = pickle.loads(bytes(text[:-1].numpy()))
        block = torch.zeros(layout.size, dtype=torch.uint8)
        self._arrive(peer, self._start_receive(peer, tag, block), block)
        return layout, block

    def _arrive(self, peer: int, work: Any, block: torch.Tensor) -> None:
        """Wait for a block: its last byte is not zero."""
        end = block.numpy()[-1:]
        poll(end.any, self._stopped)
        self._finish(peer, work)

    def _finish(self, peer: int, work: Any) -> None:
        """Wait for a transfer that is done, or as good as done."""
        try:
            work.wait()
        except RuntimeError as error:
            raise PeerError(peer, str(error)) from error


def _block(size: int) -> torch.Tensor:
    block = torch.empty(size, dtype=torch.uint8)
    block[-1] = 1
    return block


def _read_head(block: torch.Tensor) -> tuple[Any, ...]:
    return _HEAD.unpack_from(block.numpy())


def _padded(size: int) -> int:
    return -(-size // HEAD) * HEAD


def _count(shape: tuple[int, ...]) -> int:
    count = 1
    for side in shape:
        count *= side
    return count
