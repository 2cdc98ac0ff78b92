"""Plans for a GPU: from expressions over tensors that nobody has to have, to kernels as source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workbench.fusion.expr import Expr, reduce_
from workbench.fusion.gpu.driver import available
from workbench.fusion.gpu.forms import formed
from workbench.fusion.gpu.launch import Program
from workbench.fusion.gpu.memory import storage_of
from workbench.fusion.gpu.source import Source
from workbench.fusion.gpu.tasks import Unsupported
from workbench.fusion.gpu.triton_gen import emit
from workbench.fusion.graph import walk
from workbench.fusion.passes import optimise
from workbench.fusion.passes.rewrite import rewrite
from workbench.fusion.plan.beam import search
from workbench.fusion.plan.inline import base_of
from workbench.fusion.plan.kernels import Group, Partition
from workbench.fusion.plan.model import DeviceModel, device_model

__all__ = ["Planned", "device_of", "planned", "program_of", "program_of_plan"]


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
    sources : list of Source or None
        Of each launch; None where the emitter has no form for it.
    reasons : list of (Expr, str)
        What is left to others, and why.
    leaves : list of Expr
        Of a region: one for each tensor that it reads.
    looks : list of tuple of int or None
        Of a region: for each output how to permute what is in memory, None for not at all.
    checks : list of (Expr, Exception)
        What must not hold once all is computed, and what is raised then.
    captured : list of Expr
        What it was asked for, inputs first.
    """

    roots: list[Expr]
    became: dict[int, Expr]
    parts: Partition
    storage: Callable[[Expr], str]
    launches: list[list[Group]] = field(default_factory=list)
    sources: list[Source | None] = field(default_factory=list)
    reasons: list[tuple[Expr, str]] = field(default_factory=list)
    leaves: list[Expr] = field(default_factory=list)
    looks: list[tuple[int, ...] | None] = field(default_factory=list)
    checks: list[tuple[Expr, Exception]] = field(default_factory=list)
    captured: list[Expr] = field(default_factory=list)

    @property
    def kernels(self) -> list[Source]:
        """The sources of what has a form."""
        return [each for each in self.sources if each is not None]


def planned(
    roots: Sequence[Expr], model: DeviceModel, stored: Sequence[str | None] = (), symbolic: bool = False
) -> Planned:
    """Return the kernels of a graph.

    Parameters
    ----------
    roots : sequence of Expr
    model : DeviceModel
        Of a GPU.
    stored : sequence of str or None
        For each root the type that it is stored in, None for its own.
    symbolic : bool
        Whether kernels serve any number of rows.
    """
    rewritten, became = _ends(*optimise(roots, moments=True))
    form = formed(rewritten)
    rewritten, became = form.roots, {key: form.became.get(id(node), node) for key, node in became.items()}
    parts = search([*rewritten, *[node for node, _ in form.checks]], model)
    types: dict[int, str] = {}
    for root, name in zip(rewritten, stored, strict=False):
        if name is not None:
            types[id(base_of(root))] = name

    def storage(node: Expr) -> str:
        return types.get(id(node)) or storage_of(node)

    found = Planned(rewritten, became, parts, storage)
    found.checks, found.captured = form.checks, walk(roots)
    packs: dict[tuple[int, int], list[Group]] = {}
    for group in parts.groups:
        packs.setdefault((group.level, group.pack), []).append(group)
    found.launches = [packs[key] for key in sorted(packs)]
    for number, groups in enumerate(found.launches):
        name = f"k{number}_{groups[-1].roots[-1].node.name}"
        try:
            found.sources.append(emit(name, groups, parts, model.limits, storage, symbolic=symbolic))
        except Unsupported as reason:
            found.sources.append(None)
            found.reasons.append((groups[-1].roots[-1].node, str(reason)))
    found.reasons += [(node, "unsupported operation") for _, node in parts.calls if node.kind != "Item"]
    found.reasons += parts.refused
    return found


def _ends(roots: list[Expr], became: dict[int, Expr]) -> tuple[list[Expr], dict[int, Expr]]:
    """Have the last of running values, which a view looks at, be a reduction: nobody has to wait for it."""
    new = rewrite(walk(roots, masks=False), _end)
    return [new[id(root)] for root in roots], {key: new.get(id(node), node) for key, node in became.items()}


def _end(node: Expr) -> Expr:
    x = node.inputs[0] if node.inputs else node
    how = {"cumsum": "sum", "cumprod": "prod", "cummax": "max", "cummin": "min"}.get(x.name)
    if node.kind != "View" or node.name != "index" or x.kind != "Scan" or how is None:
        return node
    axis, spec = x.attr("axis"), node.attr("spec")
    if len(spec) <= axis or None in spec:
        return node
    for k, (entry, length) in enumerate(zip(spec, x.shape, strict=False)):
        looked = range(length)[slice(*entry[1:]) if isinstance(entry, tuple) else slice(entry, entry + 1 or None)]  # type: ignore[arg-type]
        if looked != (range(length - 1, length) if k == axis else range(length)):  # type: ignore[arg-type, operator]
            return node
    kept = isinstance(spec[axis], tuple)
    dtype = x.dtype if how in ("sum", "prod") else None
    found = reduce_(how, x.inputs[0], [axis], keepdims=kept, dtype=dtype, where=node.where)
    found.calls = 0
    return found


def program_of(
    leaves: Sequence[Expr],
    roots: Sequence[Expr],
    model: DeviceModel | None = None,
    stored: Sequence[str | None] = (),
) -> Program:
    """Return what computes roots from tensors for the leaves.

    Raises
    ------
    Unsupported
        If no kernel has a form for some of it.
    """
    return program_of_plan(planned(roots, model or device_model("cuda:sm_90"), stored), leaves)


def program_of_plan(found: Planned, leaves: Sequence[Expr]) -> Program:
    """Return what computes a planned graph."""
    if len(found.kernels) < len(found.sources) or found.parts.calls:
        raise Unsupported(found.reasons[0][1])
    own = [found.became.get(id(leaf), leaf) for leaf in leaves]
    return Program(own, found.roots, found.kernels, found.storage, found.checks)


def device_of() -> DeviceModel:
    """Return the model of the GPU that is there, or of the one that plans are made for by default."""
    if available():
        import torch

        major, _ = torch.cuda.get_device_capability()
        return device_model({8: "cuda:sm_80", 10: "cuda:sm_100"}.get(major, "cuda:sm_90"))
    return device_model("cuda:sm_90")
