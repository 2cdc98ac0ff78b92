"""Training: pipelines that are planned, fast on slow links, and survive lost machines.

Names are loaded on first use, so importing the subpackage costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from workbench.engine.lazy import attach

if TYPE_CHECKING:
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

__all__ = [
    "CheckpointError",
    "ClusterError",
    "DataError",
    "LossNaN",
    "NoProgress",
    "NotPipelinableError",
    "PartitionError",
    "PeerStalled",
    "ProfileError",
    "ReplicaLost",
    "ScheduleError",
    "SimulationError",
    "StageMemoryError",
    "TraceError",
    "TrainingError",
    "UnbalancedPlanWarning",
    "WorkerLost",
]

_LAZY = {
    "CheckpointError": "workbench.training.errors",
    "ClusterError": "workbench.training.errors",
    "DataError": "workbench.training.errors",
    "LossNaN": "workbench.training.errors",
    "NoProgress": "workbench.training.errors",
    "NotPipelinableError": "workbench.training.errors",
    "PartitionError": "workbench.training.errors",
    "PeerStalled": "workbench.training.errors",
    "ProfileError": "workbench.training.errors",
    "ReplicaLost": "workbench.training.errors",
    "ScheduleError": "workbench.training.errors",
    "SimulationError": "workbench.training.errors",
    "StageMemoryError": "workbench.training.errors",
    "TraceError": "workbench.training.errors",
    "TrainingError": "workbench.training.errors",
    "UnbalancedPlanWarning": "workbench.training.errors",
    "WorkerLost": "workbench.training.errors",
}

__getattr__, __dir__ = attach(__name__, _LAZY)
