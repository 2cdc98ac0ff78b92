"""A stage on a worker: weights in versions, gradients, optimizer, and what is kept of its last commits.

Weights are immutable: an update writes into new storage, so that microbatches in flight, and the last commit, keep
theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from workbench.training.first_writes import FirstWrites, redirects

if TYPE_CHECKING:
    from torch import nn

    from workbench.training.optimizers import Recipe, State
    from workbench.training.stage import StageSpec

__all__ = ["Snapshot", "StageState"]

KEPT = 2  # snapshots: no stage is more than one commit ahead of another


@dataclass(frozen=True)
class Snapshot:
    """A stage as it was at a commit.

    Parameters
    ----------
    weights, buffers : dict of str to Tensor
    optimizer : dict
        Name of a parameter -> what the optimizer keeps for it.
    updates : int
        Since the start of the run.
    others : dict of int to dict of str to Tensor
        Buffers of other replicas, as far as they are known here.
    """

    weights: dict[str, torch.Tensor]
    buffers: dict[str, torch.Tensor]
    optimizer: State
    updates: int
    others: dict[int, dict[str, torch.Tensor]] = field(default_factory=dict)

    @property
    def first(self) -> dict[str, torch.Tensor]:
        """Buffers of the first replica, which are the model's in the end, whoever is asked."""
        return self.others.get(0, self.buffers)


class StageState:
    """Weights, buffers and optimizer of one stage on one worker; outlives a generation.

    Parameters
    ----------
    spec : StageSpec
    replica, replicas : int
    recipe : Recipe
        Of the whole model's optimizer.
    scale : float
        Of the learning rates.
    batches, updates : int
        Committed batches and updates, where it begins.
    """

    def __init__(
        self,
        spec: StageSpec,
        replica: int,
        replicas: int,
        recipe: Recipe,
        scale: float = 1.0,
        batches: int = 0,
        device: torch.device | None = None,
        updates: int = 0,
    ) -> None:
        self.spec, self.replica, self.replicas = spec, replica, replicas
        self.tree: nn.Module = spec.tree if device is None else spec.tree.to(device)
        self.parameters: dict[str, nn.Parameter] = dict(self.tree.named_parameters())
        self.buffers: dict[str, torch.Tensor] = dict(self.tree.named_buffers())
        #: buffers of other replicas: whoever takes one over goes on with what it had seen
        self.others: dict[int, dict[str, torch.Tensor]] = {}
        self.names = {parameter: name for name, parameter in self.parameters.items()}
        self.optimizer = recipe.only(self.parameters).make(self.parameters, scale)
        self.updates = updates
        self.newest = 0
        self.versions = {0: self._weights()}
        self.stashed: set[int] = set()
        #: most versions that were kept at once
        self.most_versions = 1
        self.gradients: dict[str, torch.Tensor] = {}
        self.averaged = 0
        self.snapshots: dict[int, Snapshot] = {}
        #: whether another rank runs the stage, and this one only follows
        self.copy = False
        self._shared = False
        self.snapshot(batches)

    def begin(self) -> None:
        """Begin a span: versions count from its start."""
        self.versions = {0: self.versions[self.newest]}
        self.newest = 0
        self.stashed.clear()
        self.gradients.clear()
        self.averaged = 0

    def buffers_of(self, replica: int) -> dict[str, torch.Tensor]:
        """Return the buffers of a replica; of one that nothing was heard of, those that all began with."""
        if replica == self.replica:
            return self.buffers
        if replica not in self.others:
            self.others[replica] = _cloned(self.snapshots[max(self.snapshots)].buffers)
        return self.others[replica]

    def add(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Add the gradients that a backward has left at a version's weights."""
        for name, tensor in weights.items():
            if tensor.requires_grad and tensor.grad is not None:
                known = self.gradients.get(name)
                if known is None:
                    self.gradients[name] = tensor.grad
                else:
                    known.add_(tensor.grad)
                tensor.grad = None

    def summed(self) -> dict[str, torch.Tensor]:
        """Return the gradients of the next update, which stay as they are."""
        if type(self.optimizer).__module__.startswith("torch.optim"):
            return self.gradients
        return {name: gradient.clone() for name, gradient in self.gradients.items()}  # others may write to them

    def update(self) -> None:
        """Let the optimizer step in new storage, and make its weights the newest version."""
        if self.gradients:
            for name, parameter in self.parameters.items():
                parameter.grad = self.gradients.get(name)
            self._step()
            for parameter in self.parameters.values():
                parameter.grad = None
            self.gradients = {}
        fresh = self._weights()
        before, self.newest = self.newest, self.newest + 1
        self.versions[self.newest] = fresh
        if before not in self.stashed:
            del self.versions[before]
        self.most_versions = max(self.most_versions, len(self.versions))
        self.updates += 1
        self.averaged = 0

    def drop(self, version: int) -> None:
        """Forget a stashed version."""
        self.stashed.discard(version)
        if version != self.newest:
            self.versions.pop(version, None)

    def snapshot(self, batches: int) -> None:
        """Keep the stage as it is now, for a number of committed batches."""
        state = {
            self.names[parameter]: dict(kept)
            for parameter, kept in self.optimizer.state.items()
            if parameter in self.names
        }
        others = {replica: _cloned(buffers) for replica, buffers in self.others.items()}
        self.snapshots[batches] = Snapshot(
            self.versions[self.newest], _cloned(self.buffers), state, self.updates, others
        )
        self._shared = True
        for old in sorted(self.snapshots)[:-KEPT]:
            del self.snapshots[old]

    def restore(self, batches: int) -> None:
        """Go back to a snapshot."""
        kept = self.snapshots[batches]
        self.snapshots = {batches: kept}
        self.updates, self.newest = kept.updates, 0
        with torch.no_grad():
            for name, parameter in self.parameters.items():
                parameter.data = kept.weights[name].detach()
                parameter.grad = None
            for name, buffer in self.buffers.items():
                buffer.copy_(kept.buffers[name])
        self.others = {replica: _cloned(buffers) for replica, buffers in kept.others.items()}
        self.optimizer.state.clear()
        for name, state in kept.optimizer.items():
            self.optimizer.state[self.parameters[name]] = dict(state)
        self.versions = {0: self._weights()}
        self._shared = True
        self.begin()

    def _weights(self) -> dict[str, torch.Tensor]:
        # `data`, not `detach()`: autograd would take the optimizer's next step, in new storage, for one in this.
        return {
            name: parameter.data.requires_grad_(parameter.requires_grad) for name, parameter in self.parameters.items()
        }

    def _step(self) -> None:
        """Let the optimizer write to new storage; the old one belongs to versions and snapshots."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        states: list[torch.Tensor] = []
        for parameter in parameters if self._shared else ():
            state = self.optimizer.state.get(parameter, {})
            for name, value in state.items():
                if isinstance(value, torch.Tensor):
                    state[name] = value.data  # the snapshot has the tensor itself
                    states.append(state[name])
        if redirects(self.optimizer):
            with FirstWrites([*parameters, *states]) as first:
                self.optimizer.step()
            # what had no gradient is still the snapshot's
            self._shared = any(first.waits_for(state) for state in states)
            return
        for tensor in (*parameters, *states):
            tensor.data = tensor.data.clone()
        self.optimizer.step()
        self._shared = False


def _cloned(buffers: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: buffer.clone() for name, buffer in buffers.items()}
