"""Training: pipelines that are planned, fast on slow links, and survive lost machines.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engine.lazy import attach

if TYPE_CHECKING:
    from workbench.training.auto import Choice, auto
    from workbench.training.chaos import Chaos
    from workbench.training.cluster import Cluster
    from workbench.training.errors import (
        CheckpointError,
        ClusterError,
        DataError,
        LossNaN,
        NoProgress,
        NotPipelinableError,
        PartitionError,
        PeerStalled,
        ProfileError,
        ReplicaLost,
        ScheduleError,
        SimulationError,
        StageMemoryError,
        TraceError,
        TrainingError,
        UnbalancedPlanWarning,
        WorkerLost,
    )
    from workbench.training.failover import failover
    from workbench.training.graph import Node, Profile, read_profile
    from workbench.training.op import Op
    from workbench.training.partition import partition
    from workbench.training.plan import PipelinePlan, Stage
    from workbench.training.profiler import profile
    from workbench.training.programs import program
    from workbench.training.run import TrainRun
    from workbench.training.simulate.entry import simulate
    from workbench.training.simulate.models import ModelSpec, SimCosts
    from workbench.training.simulate.result import Simulation
    from workbench.training.traces import RandomTrace, Trace, read_trace
    from workbench.training.train import train

__all__ = [
    "Chaos",
    "CheckpointError",
    "Choice",
    "Cluster",
    "ClusterError",
    "DataError",
    "LossNaN",
    "ModelSpec",
    "NoProgress",
    "Node",
    "NotPipelinableError",
    "Op",
    "PartitionError",
    "PeerStalled",
    "PipelinePlan",
    "Profile",
    "ProfileError",
    "RandomTrace",
    "ReplicaLost",
    "ScheduleError",
    "SimCosts",
    "Simulation",
    "SimulationError",
    "Stage",
    "StageMemoryError",
    "Trace",
    "TraceError",
    "TrainRun",
    "TrainingError",
    "UnbalancedPlanWarning",
    "WorkerLost",
    "auto",
    "failover",
    "partition",
    "profile",
    "program",
    "read_profile",
    "read_trace",
    "simulate",
    "train",
]

_LAZY = {
    "Chaos": "workbench.training.chaos",
    "CheckpointError": "workbench.training.errors",
    "Choice": "workbench.training.auto",
    "Cluster": "workbench.training.cluster",
    "ClusterError": "workbench.training.errors",
    "DataError": "workbench.training.errors",
    "LossNaN": "workbench.training.errors",
    "ModelSpec": "workbench.training.simulate.models",
    "NoProgress": "workbench.training.errors",
    "Node": "workbench.training.graph",
    "NotPipelinableError": "workbench.training.errors",
    "Op": "workbench.training.op",
    "PartitionError": "workbench.training.errors",
    "PeerStalled": "workbench.training.errors",
    "PipelinePlan": "workbench.training.plan",
    "Profile": "workbench.training.graph",
    "ProfileError": "workbench.training.errors",
    "RandomTrace": "workbench.training.traces",
    "ReplicaLost": "workbench.training.errors",
    "ScheduleError": "workbench.training.errors",
    "SimCosts": "workbench.training.simulate.models",
    "Simulation": "workbench.training.simulate.result",
    "SimulationError": "workbench.training.errors",
    "Stage": "workbench.training.plan",
    "StageMemoryError": "workbench.training.errors",
    "Trace": "workbench.training.traces",
    "TraceError": "workbench.training.errors",
    "TrainRun": "workbench.training.run",
    "TrainingError": "workbench.training.errors",
    "UnbalancedPlanWarning": "workbench.training.errors",
    "WorkerLost": "workbench.training.errors",
    "auto": "workbench.training.auto",
    "failover": "workbench.training.failover",
    "partition": "workbench.training.partition",
    "profile": "workbench.training.profiler",
    "program": "workbench.training.programs",
    "read_profile": "workbench.training.graph",
    "read_trace": "workbench.training.traces",
    "simulate": "workbench.training.simulate.entry",
    "train": "workbench.training.train",
}

__getattr__, __dir__ = attach(__name__, _LAZY)
