"""Clusters: how many machines, in which levels, with which links and memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from workbench.training import errors
from workbench.training.pace import Pace
from workbench.training.units import as_bandwidth, as_size

__all__ = ["Cluster"]


@dataclass(frozen=True)
class Cluster:
    """Machines in levels, innermost level first.

    Attributes
    ----------
    machines : tuple of int
        `[4, 4]` is four machines in each of four servers.
    bandwidth : tuple of float
        Bytes per second of one link of each level; text such as `"100mbit"` is read.
    memory : float or None
        Bytes of one machine; None sets no limit.

    Raises
    ------
    ClusterError
        For lists of different lengths, no level, machines that are not whole numbers above zero, and for links and
        memory that are no rates and no size.
    """

    machines: tuple[int, ...]
    bandwidth: tuple[float, ...]
    memory: float | None = None

    #: of the machines, where they were measured; no field: clusters of the same machines and links are equal
    pace: ClassVar[Pace] = Pace()

    def __init__(
        self,
        machines: int | Sequence[int] = (4,),
        bandwidth: float | str | Sequence[float | str] = (1e9,),
        memory: float | str | None = None,
    ) -> None:
        counts, rates = _listed(machines), _listed(bandwidth)
        if len(counts) != len(rates) or not counts:
            raise errors.levels_differ(len(counts), len(rates))
        for count in counts:
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise errors.ClusterError(
                    f"machines holds {count!r}, which is no number of machines.", "Give whole numbers above zero."
                )
        try:
            links = tuple(as_bandwidth(rate, "bandwidth") for rate in rates)
            room = None if memory is None else as_size(memory, "memory")
        except errors.TrainingError as error:
            raise errors.ClusterError(error.message, error.hint) from None
        object.__setattr__(self, "machines", tuple(counts))
        object.__setattr__(self, "bandwidth", links)
        object.__setattr__(self, "memory", room)

    @property
    def size(self) -> int:
        """How many machines there are in all."""
        return math.prod(self.machines)

    def paced(self, pace: Pace) -> Cluster:
        """Return the same cluster with the pace of its machines, which the simulator counts beside a profile."""
        made = Cluster(self.machines, self.bandwidth, self.memory)
        object.__setattr__(made, "pace", pace)
        return made

    @classmethod
    def detect(cls, client: Any = None) -> Cluster:
        """Return the cluster of the session's workers, its links measured.

        Workers of one host are one level; hosts with equally many workers are a second one. A rate is that of the
        slowest link tried, and is kept for a day, as is what an update takes, by which `auto` and `simulate` are nearer
        to what will be measured.

        Parameters
        ----------
        client : distributed.Client, optional
            Else the session's.
        """
        from workbench.training.links import detect

        return detect(client)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        value = [value]
    # whole numbers of NumPy count as such
    return [each.item() if hasattr(each, "item") else each for each in value]
