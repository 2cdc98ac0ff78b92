"""The instruction that workers run and the simulator interprets."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["COLLECTIVES", "COMPUTE", "KINDS", "RECEIVES", "SENDS", "Op"]

#: every kind of operation, in the order of a microbatch's life
KINDS = (
    "load",
    "recv_act",
    "forward",
    "send_act",
    "recv_grad",
    "backward",
    "send_grad",
    "reduce",
    "step",
    "stash",
    "drop",
    "send_replica",
    "recv_replica",
    "frc",
    "brc",
    "commit",
)
#: send kind -> the receive that takes it
SENDS = {"send_act": "recv_act", "send_grad": "recv_grad", "send_replica": "recv_replica"}
#: receive kind -> the send that feeds it
RECEIVES = {taken: sent for sent, taken in SENDS.items()}
#: kinds that keep a worker's processor busy with a microbatch
COMPUTE = ("forward", "backward", "frc", "brc")
#: kinds in which several workers take part at once
COLLECTIVES = ("reduce", "commit")


@dataclass(frozen=True, slots=True)
class Op:
    """One operation of a worker's program; a field that does not apply is -1.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    stage : int
        The stage whose microbatch, weights or gradient it is about. A rank that keeps a copy of another stage has
        operations (`recv_replica`, `frc`, `reduce`) of that stage too, and after a failover all of them.
    microbatch : int
        Counted from the start of the span.
    step : int
        The update it belongs to, counted from the start of the span.
    peer : int
        The rank at the other end of a send or receive.
    version : int
        The weights that are used, kept or given up, counted in updates from the start of the span; set on forward,
        backward, stash and drop.
    """

    kind: str
    stage: int
    microbatch: int = -1
    step: int = -1
    peer: int = -1
    version: int = -1

    def boundary(self) -> tuple[str, int]:
        """Return what a send and its receive have in common: the kind of the send and the stage that sends."""
        if self.kind == "recv_act":
            return "send_act", self.stage - 1
        if self.kind == "recv_grad":
            return "send_grad", self.stage + 1
        if self.kind == "recv_replica":
            return "send_replica", self.stage
        return self.kind, self.stage
