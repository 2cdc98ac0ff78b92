"""Plans for a GPU: from expressions over tensors that nobody has to have to kernels as source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workbench.fusion.expr import Expr
from workbench.fusion.gpu.launch import Program
from workbench.fusion.gpu.memory import storage_of
from workbench.fusion.gpu.triton_gen import Source, emit
from workbench.fusion.passes import optimise
from workbench.fusion.plan.beam import search
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Group, Partition
from workbench.fusion.plan.model import DeviceModel, device_model

__all__ = ["Planned", "planned", "program_of"]


@dataclass(eq=False)
class Planned:
    """A graph with its kernels.

    Attributes
    ----------
    roots : list of Expr
        As they were rewritten.
    became : dict
        Id of a captured node -> what became of it.
    parts : Partition
    launches : list of list of Group
        In order.
    sources : list of Source
    """

    roots: list[Expr]
    became: dict[int, Expr]
    parts: Partition
    storage: Callable[[Expr], str]
    launches: list[list[Group]] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)


def planned(roots: Sequence[Expr], model: DeviceModel, stored: Sequence[str | None] = ()) -> Planned:
    """Return the kernels of a graph.

    Parameters
    ----------
    roots : sequence of Expr
    model : DeviceModel
        Of a GPU.
    stored : sequence of str or None
        For each root the type that it is stored in, None for its own.
    """
    rewritten, became = optimise(roots, moments=True)
    parts = search(rewritten, model)
    types: dict[int, str] = {}
    for root, name in zip(rewritten, stored, strict=False):
        if name is not None:
            types[id(base_of(root))] = name

    def storage(node: Expr) -> str:
        return types.get(id(node)) or storage_of(node)

    found = Planned(rewritten, became, parts, storage)
    packs: dict[tuple[int, int], list[Group]] = {}
    for group in parts.groups:
        packs.setdefault((group.level, group.pack), []).append(group)
    found.launches = [packs[key] for key in sorted(packs)]
    for number, groups in enumerate(found.launches):
        name = f"k{number}_{groups[-1].roots[-1].node.name}"
        found.sources.append(emit(name, groups, parts, model.limits, storage))
    return found


def program_of(
    leaves: Sequence[Expr],
    roots: Sequence[Expr],
    model: DeviceModel | None = None,
    stored: Sequence[str | None] = (),
) -> Program:
    """Return what computes roots from tensors for the leaves."""
    model = model or device_model("cuda:sm_90")
    found = planned(roots, model, stored)
    own = [found.became.get(id(leaf), leaf) for leaf in leaves]
    return Program(own, found.roots, found.sources, model.limits.units, found.storage)
