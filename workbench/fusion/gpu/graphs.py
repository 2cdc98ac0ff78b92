"""The plan of a torch graph for a GPU: its regions as kernels, its library calls as they are."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from workbench.fusion.expr import Expr, leaf, map_
from workbench.fusion.gpu.memory import TYPES, Spec
from workbench.fusion.gpu.planning import Planned, planned
from workbench.fusion.plan.cost import Costs
from workbench.fusion.plan.gpu_cost import costs_of
from workbench.fusion.plan.kernels import Group
from workbench.fusion.plan.model import DeviceModel, device_model
from workbench.fusion.result import FusionPlan, Kernel, OpRow, ReasonRow
from workbench.fusion.telling import shape_text, where_text

if TYPE_CHECKING:
    from workbench.fusion.capture.fx.regions import Cut, Region

__all__ = ["add_launches", "plan_cut", "planned_region", "region_plan"]

#: kinds of nodes that are no calls of their own
UNCOUNTED = ("Leaf", "Const", "View", "Broadcast", "Item")
#: strongest first
STRENGTH = (("Reduce", "reduce"), ("Scan", "scan"), ("Gather", "gather"))


def plan_cut(cut: Cut, device: str = "cuda:sm_90") -> FusionPlan:
    """Return the plan of a graph that is cut into regions and library calls; nothing runs, and no GPU is needed.

    Parameters
    ----------
    cut : Cut
    device : str
        "cuda:sm_80", "cuda:sm_90", "cuda:sm_100".

    Returns
    -------
    FusionPlan
        Its `sources` are what `aot` compiles.
    """
    from workbench.fusion.capture.fx.regions import Region, where_of

    begin = time.process_time()
    model = device_model(device)
    plan = FusionPlan(device=device)
    for step in cut.steps:
        if isinstance(step, Region):
            add_launches(plan, planned_region(step, model), model)
        elif step.op != "get_attr":
            _add_call(plan, step, model)
    for node, reason in cut.reasons:
        plan.reason_rows.append(ReasonRow(_name(node), reason, where_text(where_of(node))))
    _tell_before(plan, cut.gm.graph.nodes)
    plan.plan_ms = 1e3 * (time.process_time() - begin)
    plan.triton = "\n\n".join(each.text for each in plan.sources)
    return plan


def region_plan(region: Region, found: Planned, model: DeviceModel) -> FusionPlan:
    """Return the plan of one region."""
    plan = FusionPlan(device=model.device)
    add_launches(plan, found, model)
    _tell_before(plan, region.nodes)
    plan.triton = "\n\n".join(each.text for each in plan.sources)
    return plan


def planned_region(region: Region, model: DeviceModel, inputs: Sequence[Any] = ()) -> Planned:
    """Return the kernels of a region.

    Parameters
    ----------
    region : Region
    model : DeviceModel
    inputs : sequence of Tensor or int
        Of the form that it is for; by default that which it was captured with.
    """
    from workbench.fusion.capture.fx.calls import value_of
    from workbench.fusion.capture.fx.execution import ordered

    known = [given(each) for each in inputs or [value_of(node) for node in region.inputs]]
    values: list[Any] = [leaf(each) if isinstance(each, Spec) else each for each in known]
    stored = [str(each).removeprefix("torch.") if each is not None else None for each in region.storage_out]
    roots, looks = ordered(region.build(values), region)
    found = planned([_copied(each) for each in roots], model, stored, _symbolic(region))
    found.looks = looks
    found.leaves = [each for each in values if isinstance(each, Expr)]
    return found


def _symbolic(region: Region) -> bool:
    """Whether some length of a region is known only when it runs."""
    import torch

    from workbench.fusion.capture.fx.calls import value_of
    from workbench.fusion.capture.fx.regions import is_tensor

    lengths = [d for node in region.inputs if is_tensor(node) for d in value_of(node).shape]
    return any(isinstance(d, torch.SymInt) for d in lengths)


def given(value: Any) -> Any:
    """Return what a plan is made for: a number, or what is known of a tensor without its memory."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensor

    from workbench.fusion.capture.fx.regions import hint

    if not isinstance(value, torch.Tensor):
        return hint(value)
    shape, stride = tuple([hint(d) for d in value.shape]), tuple([hint(d) for d in value.stride()])
    aligned = isinstance(value, FakeTensor) or value.is_meta or value.data_ptr() & 15 == 0
    return Spec(shape, stride, str(value.dtype).removeprefix("torch."), aligned)


def _copied(root: Expr) -> Expr:
    """Return an output as memory of its own: torch counts on its strides, which those of a view need not be."""
    base, plain = root, True
    while base.kind == "View":
        plain &= base.name == "reshape"
        base = base.inputs[0]
    if plain and base.kind != "Leaf":
        return root
    return map_("bitwise_or", root, root) if root.dtype.kind == "b" else map_("positive", root)


def add_launches(plan: FusionPlan, found: Planned, model: DeviceModel) -> None:
    """Put launches into a plan, and the captured nodes that they are of."""
    costs = costs_of(found.parts, model)
    home: dict[int, str] = {}
    work: list[tuple[int, Any]] = [(groups[0].level, number) for number, groups in enumerate(found.launches)]
    work += [(level, node) for level, node in found.parts.calls if node.kind != "Item"]
    for _, each in sorted(work, key=lambda pair: pair[0]):
        name = f"k{len(plan.kernels)}_"
        if isinstance(each, Expr):
            read = sum(_bytes(x, found) for x in each.inputs)
            kernel = Kernel(f"{name}{each.name}", "fallback", "none", (each.name,), read, _bytes(each, found))
        else:
            kernel = _launch(f"{name}{found.launches[each][-1].roots[-1].node.name}", each, found, costs, model)
            source = found.sources[each]
            if source is not None:
                source.rename(kernel.name)
                plan.sources.append(source)
        kernel.bandwidth = model.memory
        plan.kernels.append(kernel)
        inside = [each] if isinstance(each, Expr) else _inside(found.launches[each], found)
        for node in inside:
            home.setdefault(id(node), kernel.name)
            shape = ", ".join(str(d) for d in node.shape) + ("," if len(node.shape) == 1 else "")
            plan.op_rows.append(OpRow(node.name, f"({shape})", str(node.dtype), kernel.name, where_text(node.where)))
    for node, reason in found.reasons:
        plan.reason_rows.append(ReasonRow(node.name, reason, where_text(node.where)))
    _place(plan, found, home)


def _place(plan: FusionPlan, found: Planned, home: dict[int, str]) -> None:
    """Add the captured nodes, each with the kernel that it went into: what the drawing is made of."""
    nodes, edges = plan.graph["nodes"], plan.graph["edges"]
    number = {id(node): len(nodes) + k for k, node in enumerate(found.captured)}
    for node in found.captured:
        kernel = home.get(id(found.became.get(id(node), node)), "")
        nodes.append(
            {
                "id": number[id(node)], "op": node.name, "kind": node.kind, "dtype": str(node.dtype),
                "kernel": kernel, "where": where_text(node.where),
            }
        )  # fmt: skip
        edges += [{"from": number[id(each)], "to": number[id(node)]} for each in node.inputs]


def _launch(name: str, number: int, found: Planned, costs: Costs, model: DeviceModel) -> Kernel:
    """Return what a plan tells of a launch."""
    groups, source = found.launches[number], found.sources[number]
    inside = _inside(groups, found)
    kinds = {node.kind for node in inside}
    kind = next((text for key, text in STRENGTH if key in kinds), "map")
    schemes = [root.scheme for group in groups for root in group.roots]
    scheme = max(schemes, key=("local", "warp", "regional", "global").index)
    made = {id(root.node): root.node for group in groups for root in group.roots}
    read: dict[int, Expr] = {}
    for group in groups:
        for root in group.roots:
            read.update({id(each): each for each in found.parts.cone(root.node)[1] if id(each) not in made})
    written = [node for key, node in made.items() if key in found.parts.needed]
    place = {id(each.node): each.number for each in found.parts.vertices}
    ms = model.launch_us / 1e3
    for group in groups:
        kernel = costs.kernel(sum(1 << place[id(root.node)] for root in group.roots))
        ms += kernel.ms if kernel is not None else 0.0
    ops = tuple([node.name for node in inside for _ in range(node.calls)])
    result = Kernel(
        name,
        kind if source is not None else "fallback",
        ("packed" if len(groups) > 1 else scheme) if source is not None else "none",
        ops,
        sum(_bytes(each, found) for each in read.values()),
        sum(_bytes(each, found) for each in written),
        ms,
    )
    result.pattern = " | ".join(dict.fromkeys(group.pattern for group in groups))
    return result


def _inside(groups: Sequence[Group], found: Planned) -> list[Expr]:
    """Return the captured operations of a launch."""
    inside: dict[int, Expr] = {}
    for group in groups:
        for root in group.roots:
            for node in (*found.parts.cone(root.node)[0], root.node):
                if node.kind not in UNCOUNTED and node.calls:
                    inside[id(node)] = node
    return list(inside.values())


def _bytes(node: Expr, found: Planned) -> int:
    return math.prod([d for d in node.shape if isinstance(d, int)]) * TYPES[found.storage(node)][2]


def _add_call(plan: FusionPlan, node: Any, model: DeviceModel) -> None:
    """Put a library call into a plan."""
    from workbench.fusion.capture.fx.regions import where_of

    read, written = _traffic(node)
    if not read and not written:
        return  # a number, or a view
    name = _name(node)
    kernel = Kernel(f"k{len(plan.kernels)}_{name}", "extern", "none", (name,), read, written)
    kernel.bandwidth = model.memory
    kernel.predicted_ms = (read + written) / model.memory / 1e6 + model.launch_us / 1e3
    plan.kernels.append(kernel)
    shape, dtype = _form_of(node)
    where = where_text(where_of(node))
    plan.op_rows.append(OpRow(name, shape, dtype, kernel.name, where))
    plan.graph["nodes"].append(
        {"id": len(plan.graph["nodes"]), "op": name, "kind": "Extern", "dtype": dtype, "kernel": kernel.name,
         "where": where}
    )  # fmt: skip


def _form_of(node: Any) -> tuple[str, str]:
    """Return shape and type of what a call gives, as they are shown; of several tensors none."""
    import torch

    from workbench.fusion.capture.fx.calls import value_of
    from workbench.fusion.capture.fx.regions import hint

    value = value_of(node)
    if not isinstance(value, torch.Tensor):
        return "", ""
    return shape_text(tuple([hint(d) for d in value.shape])), str(value.dtype).removeprefix("torch.")


def _traffic(node: Any) -> tuple[int, int]:
    """Return the bytes that a call reads and writes; none of each for what only looks at memory."""
    from workbench.fusion.capture.fx.regions import VIEWS

    if node.target in VIEWS or getattr(node.target, "__name__", "") == "getitem":
        return 0, 0
    return sum(_sizes(each) for each in node.all_input_nodes), _sizes(node)


def _sizes(node: Any) -> int:
    import torch

    from workbench.fusion.capture.fx.calls import value_of
    from workbench.fusion.capture.fx.regions import hint

    value = value_of(node)
    tensors = [value] if isinstance(value, torch.Tensor) else list(value) if isinstance(value, list | tuple) else []
    tensors = [each for each in tensors if isinstance(each, torch.Tensor)]
    return sum(math.prod([hint(d) for d in each.shape]) * each.element_size() for each in tensors)


def _tell_before(plan: FusionPlan, nodes: Iterable[Any]) -> None:
    """Note what a graph moves if each of its nodes, as it was given, is a kernel."""
    from workbench.fusion.capture.fx.joined import MADE

    for node in nodes:
        if node.op != "call_function" or MADE in node.meta:
            continue
        read, written = _traffic(node)
        if read or written:
            plan.kernels_before += 1
            plan.bytes_before += read + written


def _name(node: Any) -> str:
    packet = getattr(node.target, "overloadpacket", None)
    return str(getattr(packet, "__name__", None) or getattr(node.target, "__name__", None) or node.name)
