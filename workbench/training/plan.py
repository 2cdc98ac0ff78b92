"""Plans: which stage runs what, on which machines, at what cost."""

from __future__ import annotations

import html
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from workbench.engine.result import Result
from workbench.training.cluster import Cluster
from workbench.training.graph import Profile

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Options", "PipelinePlan", "Stage"]


@dataclass(frozen=True)
class Options:
    """What a plan was asked for, and what was done to its graph."""

    straight: bool = False
    fewer: bool = False
    memory: float | None = None
    activation_compression: float | None = None
    schedule: str = "pipedream"
    redundant: bool = False
    recompute: bool = False
    contracted: str = ""
    #: seconds of each stage's all-reduce, input, output and upkeep of copies
    parts: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True)
class Stage:
    """One stage of a plan; seconds and bytes are for one microbatch.

    Attributes
    ----------
    index : int
    nodes : tuple of str
        In topological order.
    replicas : int
    machines : tuple of int
        Replicas of each level, innermost first; their product is `replicas`.
    ranks : tuple of int
    compute_seconds : float
        Forward and backward, divided by the replicas.
    communication_seconds : float
        All-reduce, input and output.
    time : float
        What the stage takes in steady state; the largest of them is the plan's.
    parameter_bytes, activation_bytes, output_bytes, memory_bytes : float
        Of one replica.
    in_flight : int
        Microbatches that a replica holds at once.
    versions : int
        Copies of the weights that a replica holds at once.
    """

    index: int
    nodes: tuple[str, ...]
    replicas: int
    machines: tuple[int, ...]
    ranks: tuple[int, ...]
    compute_seconds: float
    communication_seconds: float
    time: float
    parameter_bytes: float
    activation_bytes: float
    output_bytes: float
    memory_bytes: float
    in_flight: int
    versions: int


@dataclass(frozen=True, repr=False)
class PipelinePlan(Result):
    """A model cut into stages for a cluster.

    Attributes
    ----------
    stages : tuple of Stage
    config : str
        Replicas of the stages, as in "3-1".
    time : float
        Seconds for a microbatch in steady state.
    data_parallel_time, single_time : float
        The same for data parallelism over all machines, and for one machine.
    speedup, speedup_over_data_parallel : float
    communication_bytes, data_parallel_bytes : float
        Bytes for a microbatch.
    machines_used : int
    states : int
        How many places there were to cut at, the end included.
    cluster : Cluster
    profile : Profile
    compat : bool
        Whether PipeDream's formulas were used.
    """

    stages: tuple[Stage, ...]
    config: str
    time: float
    data_parallel_time: float
    single_time: float
    speedup: float
    speedup_over_data_parallel: float
    communication_bytes: float
    data_parallel_bytes: float
    machines_used: int
    states: int
    cluster: Cluster = field(repr=False)
    profile: Profile = field(repr=False)
    compat: bool = False

    #: what was asked for; beside the fields, as it says how the plan came about and not what it is
    options: ClassVar[Options] = Options()

    def __repr__(self) -> str:
        from workbench.training.told import plan_line

        return plan_line(self)

    def explain(self, format: str = "text") -> Any:
        """Say why: what each stage computes, sends and holds, and which one is the slowest.

        Parameters
        ----------
        format : {"text", "html", "dict"}
        """
        from workbench.training.told import explained

        if format == "dict":
            return {"plan": self.to_pandas().to_dict("records"), "text": explained(self)}
        return f"<pre>{html.escape(explained(self))}</pre>" if format == "html" else explained(self)

    def view_data(self) -> dict[str, Any]:
        """Return what is to be seen: the stages over the bars of the nodes."""
        from workbench.training.told import plan_blocks

        return plan_blocks(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each stage."""
        import pandas as pd

        rows = [
            (
                stage.index,
                stage.nodes[0],
                stage.nodes[-1],
                len(stage.nodes),
                stage.replicas,
                *(float(getattr(stage, name)) for name in _FLOATS),
                stage.in_flight,
                stage.versions,
            )
            for stage in self.stages
        ]
        types = {"stage": "int64", "first_node": "str", "last_node": "str", "nodes": "int64", "replicas": "int64"}
        types |= dict.fromkeys(_FLOATS, "float64") | {"in_flight": "int64", "versions": "int64"}
        return pd.DataFrame(rows, columns=list(types)).astype(types)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the profile as a graph.txt with the stage of each node."""
        self.profile.with_stages({name: stage.index for stage in self.stages for name in stage.nodes}).write(path)


_FLOATS = (
    "compute_seconds",
    "communication_seconds",
    "time",
    "parameter_bytes",
    "activation_bytes",
    "output_bytes",
    "memory_bytes",
)
