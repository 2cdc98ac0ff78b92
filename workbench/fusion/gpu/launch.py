"""Loading kernels, binding their arguments, and running a planned region on tensors."""

from __future__ import annotations

import linecache
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.errors import interpreter_off, no_gpu
from workbench.fusion.expr import Expr
from workbench.fusion.gpu.triton_gen import Argument, Source
from workbench.fusion.plan.inline import base_of

if TYPE_CHECKING:
    import torch

__all__ = ["Program", "compile_region", "function_of", "interpreting"]


def interpreting() -> bool:
    """Return whether Triton's interpreter runs kernels in this process."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def function_of(source: Source) -> Any:
    """Return the kernel of a source as Triton knows it."""
    name = f"<workbench {source.name} {hash(source.text):x}>"
    linecache.cache[name] = (len(source.text), None, source.text.splitlines(True), name)
    space: dict[str, Any] = {"__name__": f"workbench.fusion.gpu.{source.name}"}
    exec(compile(source.text, name, "exec"), space)
    return space[source.name]


@dataclass(eq=False)
class Program:
    """Kernels that compute results from leaves, one after another.

    Attributes
    ----------
    leaves : list of Expr
    results : list of Expr
        What is asked for.
    sources : list of Source
    storage : callable
    """

    leaves: list[Expr]
    results: list[Expr]
    sources: list[Source]
    storage: Callable[[Expr], str]
    functions: list[Any] = field(default_factory=list)
    barriers: dict[int, Any] = field(default_factory=dict)
    grids: dict[int, int] = field(default_factory=dict)
    constants: dict[Any, Any] = field(default_factory=dict)

    def __call__(self, *tensors: torch.Tensor) -> list[torch.Tensor]:
        """Run on tensors, one for each leaf."""
        import torch

        device = tensors[0].device if tensors else torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type != "cuda" and not interpreting():
            raise interpreter_off() if not torch.cuda.is_available() else no_gpu()
        if not self.functions:
            self.functions = [function_of(each) for each in self.sources]
        known: dict[int, torch.Tensor] = {id(leaf): tensor for leaf, tensor in zip(self.leaves, tensors, strict=True)}
        for number, source in enumerate(self.sources):
            args = [self.bound(each, known, device, number) for each in source.arguments]
            places = [k for k, each in enumerate(source.arguments) if each.what == "table"]
            for k in places:
                args[k] = self.table(source, known, device)
            grid, more = self.grid(number, args, device)
            self.functions[number][(grid,)](*args, num_warps=source.warps, **more)
        return [self.result(each, known, device) for each in self.results]

    def bound(self, argument: Argument, known: dict[Any, Any], device: Any, number: int) -> Any:
        import torch

        kind = getattr(torch, argument.storage)
        if argument.what == "barrier":
            if number not in self.barriers:
                self.barriers[number] = torch.zeros(1, dtype=torch.int64, device=device)
            return self.barriers[number]
        if argument.what == "table":
            return None
        key: Any = id(argument.node) if argument.what == "array" else (id(argument.node), argument.number)
        if key not in known and argument.node is not None and argument.node.kind == "Leaf":
            held = self.constants.get(key)  # an array that the capture made
            if held is None:
                held = torch.from_numpy(np.ascontiguousarray(argument.node.data)).to(device)
                self.constants[key] = held
            known[key] = held
        if key not in known:
            shape: Any = argument.node.shape if argument.what == "array" and argument.node else (argument.size,)
            known[key] = torch.empty(shape, dtype=kind, device=device)
        return known[key]

    def table(self, source: Source, known: dict[Any, Any], device: Any) -> Any:
        import torch

        rows = []
        for each in source.table:
            if isinstance(each, int):
                rows.append(each)
                continue
            what, node, number = each
            argument = Argument("", what, node, number, self.storage(node) if what == "array" else "float32", 0)
            rows.append(self.bound(argument, known, device, 0).data_ptr())
        return torch.tensor(rows, dtype=torch.int64, device=device)

    def grid(self, number: int, args: list[Any], device: Any) -> tuple[int, dict[str, Any]]:
        source = self.sources[number]
        if source.phases == 1:
            return source.tiles, {}
        if interpreting():
            return 1, {}
        if number not in self.grids:
            compiled = self.functions[number].warmup(
                *args, grid=(1,), num_warps=source.warps, launch_cooperative_grid=True
            )
            self.grids[number] = min(source.tiles, resident(compiled, source.warps, device))
        return self.grids[number], {"launch_cooperative_grid": True}

    def result(self, node: Expr, known: dict[Any, Any], device: Any) -> Any:
        import torch

        if node.kind == "Const":
            return torch.full((), node.data, dtype=getattr(torch, node.dtype.name), device=device)
        base = base_of(node)
        found = known[id(base)]
        views = []
        while node.kind == "View":
            views.append((node.name, node.attr("spec"), node.shape))
            node = node.inputs[0]
        for how, spec, shape in reversed(views):
            if how == "reshape":
                found = found.reshape(shape)
            elif how == "transpose":
                found = found.permute(spec)
            else:
                found = found[tuple([slice(*each[1:]) if isinstance(each, tuple) else each for each in spec])]
        return found


def resident(compiled: Any, warps: int, device: Any) -> int:
    """Return how many blocks of a compiled kernel the device holds at a time."""
    import torch

    properties = torch.cuda.get_device_properties(device)
    compiled._init_handles()
    threads = warps * 32
    registers = max(compiled.n_regs, 16)
    registers = (registers + 7) // 8 * 8 * threads
    blocks = min(properties.max_threads_per_multi_processor // threads, 65_536 // registers, 32)
    shared = compiled.metadata.shared
    if shared:
        blocks = min(blocks, properties.shared_memory_per_multiprocessor // (shared + 1024))
    return int(max(1, blocks)) * int(properties.multi_processor_count)


def specs_of(tensors: Sequence[Any]) -> list[Any]:
    """Return what a plan knows of tensors."""
    from workbench.fusion.gpu.memory import Spec

    found = []
    for each in tensors:
        stride = tuple(int(k) for k in each.stride())
        aligned = int(each.storage_offset()) * each.element_size() % 16 == 0
        found.append(Spec(tuple(int(d) for d in each.shape), stride, str(each.dtype).removeprefix("torch."), aligned))
    return found


def compile_region(region: Any, example_inputs: Sequence[Any]) -> Callable[..., list[Any]]:
    """Return what computes the outputs of a region of a torch graph from tensors on the GPU.

    Parameters
    ----------
    region : Region
    example_inputs : sequence of Tensor or int
        Of the shapes that the region was captured with.

    Raises
    ------
    Unsupported
        If no kernel has a form for some of it.
    """
    import torch

    from workbench.fusion.gpu.graphs import planned_region
    from workbench.fusion.gpu.planning import device_of, program_of_plan

    found = planned_region(region, device_of())
    program = program_of_plan(found, found.leaves)

    def run(*values: Any) -> list[Any]:
        made = program(*[each for each in values if isinstance(each, torch.Tensor)])
        return [each if look is None else each.permute(look) for each, look in zip(made, found.looks, strict=True)]

    return run
