"""Loading kernels, binding their arguments, and launching them on tensors."""

from __future__ import annotations

import linecache
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import cache
from workbench.fusion.errors import interpreter_off, no_gpu
from workbench.fusion.expr import Expr
from workbench.fusion.gpu.triton_gen import Argument, Source
from workbench.fusion.plan.inline import base_of

if TYPE_CHECKING:
    import torch

    from workbench.fusion.gpu.calls import StitchedCall

__all__ = ["Program", "available", "compile_region", "function_of", "interpreting"]


def available() -> bool:
    """Return whether a GPU is here."""
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def interpreting() -> bool:
    """Return whether Triton's interpreter runs kernels in this process."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def function_of(source: Source) -> Any:
    """Return the kernel of a source as Triton knows it; sources of one text are one kernel, compiled once."""
    key = ("triton", interpreting(), source.text)
    found = cache.kernels.get(key)
    if found is None:
        name = f"<workbench {source.name} {hash(source.text):x}>"
        linecache.cache[name] = (len(source.text), None, source.text.splitlines(True), name)
        space: dict[str, Any] = {"__name__": f"workbench.fusion.gpu.{source.name}"}
        exec(compile(source.text, name, "exec"), space)
        found = space[source.name]
        cache.kernels.put(key, found)
    return found


@dataclass(eq=False)
class _Room:
    """What a program keeps for one stream of one device: launches of two streams may run at the same time."""

    #: number of a launch -> the counter of its barrier
    barriers: dict[int, torch.Tensor] = field(default_factory=dict)
    #: number of a launch -> the addresses that its table holds, and the table
    tables: dict[int, tuple[list[int], torch.Tensor]] = field(default_factory=dict)


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
    checks : list of (Expr, Exception)
        What must not hold once all is computed, and what is raised then: the device is waited for to know.
    """

    leaves: list[Expr]
    results: list[Expr]
    sources: list[Source]
    storage: Callable[[Expr], str]
    checks: list[tuple[Expr, Exception]] = field(default_factory=list)
    functions: list[Any] = field(default_factory=list)
    rooms: dict[Any, _Room] = field(default_factory=dict)
    #: device, number of a launch -> its blocks: where they wait for one another, what is resident at the same time
    grids: dict[Any, int] = field(default_factory=dict)
    #: device, id of a leaf -> an array that the capture made
    constants: dict[Any, Any] = field(default_factory=dict)

    def __call__(
        self,
        *tensors: torch.Tensor,
        into: Mapping[int, torch.Tensor] | None = None,
        room: Any = None,
        measured: list[float] | None = None,
    ) -> list[torch.Tensor]:
        """Run on tensors, one for each leaf.

        Parameters
        ----------
        *tensors : Tensor
        into : dict, optional
            Result, by its place -> the tensor that it is written to: dense, of its shape and type.
        room : hashable, optional
            What tells launches apart that may run at the same time, if it is not the current stream.
        measured : list, optional
            Gets the milliseconds of each launch: the device is waited for after each.

        Raises
        ------
        torch.OutOfMemoryError
            Before any kernel has started.
        IndexError, ValueError
            As NumPy, after all of them.
        """
        import torch

        device = tensors[0].device if tensors else torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if device.type != "cuda" and not interpreting():
            raise interpreter_off() if not torch.cuda.is_available() else no_gpu()
        if not self.functions:
            self.functions = [function_of(each) for each in self.sources]
        known: dict[Any, torch.Tensor] = {id(leaf): tensor for leaf, tensor in zip(self.leaves, tensors, strict=True)}
        for place, tensor in (into or {}).items():
            known[id(base_of(self.results[place]))] = tensor
        # kernels start on the current device, on its current stream
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            stream = torch.cuda.current_stream().cuda_stream if device.type == "cuda" else 0
            own = self.rooms.setdefault((device, stream) if room is None else room, _Room())
            # all memory is taken before the first kernel starts: a launch that fails for want of it has changed nothing
            calls = [self.call(number, known, device, own) for number in range(len(self.sources))]
            for number, (grid, args, more) in enumerate(calls):
                begin = _waited(device) if measured is not None else 0.0
                self.launch(number, grid, args, more, device)
                if measured is not None:
                    measured.append(1e3 * (_waited(device) - begin))
            for node, error in self.checks:
                if bool(self.result(node, known, device)):
                    raise error
        return [self.result(each, known, device) for each in self.results]

    def call(self, number: int, known: dict[Any, Any], device: Any, room: _Room) -> tuple[int, list[Any], Any]:
        """Return the grid of a launch, its arguments, and the options that it is compiled with."""
        import torch

        source = self.sources[number]
        args: list[Any] = []
        for each in source.arguments:
            if each.what == "barrier":
                if number not in room.barriers:
                    room.barriers[number] = torch.zeros(1, dtype=torch.int64, device=device)
                args.append(room.barriers[number])
            elif each.what == "number":
                args.append(each.size)
            elif each.what == "table":
                args.append(self.table(number, known, device, room))
            else:
                args.append(self.bound(each, known, device))
        more = {"num_warps": source.warps, "enable_fp_fusion": True}
        if interpreting():
            return source.tiles if source.phases == 1 else 1, args, more
        if source.phases > 1:
            more["launch_cooperative_grid"] = True
        if (device, number) not in self.grids:
            compiled = self.functions[number].warmup(*args, grid=(1,), **more)
            compiled._init_handles()
            if compiled.n_spills and source.relieve():
                self.functions[number] = function_of(source)
                return self.call(number, known, device, room)
            most = resident(compiled, source.warps, device) if source.phases > 1 else source.tiles
            self.grids[device, number] = min(source.tiles, most)
        return self.grids[device, number], args, more

    def launch(self, number: int, grid: int, args: list[Any], more: Any, device: Any) -> None:
        """Start a kernel."""
        while True:
            try:
                self.functions[number][(grid,)](*args, **more)
            except RuntimeError as error:  # other work may hold what was counted on; refused, it has not begun
                if grid == 1 or "cooperative" not in str(error):
                    raise
                grid = self.grids[device, number] = grid // 2
            else:
                return

    def bound(self, argument: Argument, known: dict[Any, Any], device: Any) -> Any:
        """Return the tensor of an argument; memory is taken for it if it has none yet."""
        import torch

        node = argument.node
        key: Any = id(node) if argument.what == "array" else (id(node), argument.number)
        if key not in known and node is not None and node.kind == "Leaf":  # an array that the capture made
            held = self.constants.get((device, key))
            if held is None:
                held = torch.from_numpy(np.ascontiguousarray(node.data)).to(device)
                self.constants[device, key] = held
            known[key] = held
        if key not in known:
            shape: Any = node.shape if argument.what == "array" and node is not None else (argument.size,)
            known[key] = torch.empty(shape, dtype=getattr(torch, argument.storage), device=device)
        return known[key]

    def table(self, number: int, known: dict[Any, Any], device: Any, room: _Room) -> Any:
        """Return the table of a launch; it is sent again if an address is another one than the last time."""
        import torch

        rows: list[int] = []
        for each in self.sources[number].table:
            rows.append(each if isinstance(each, int) else self.bound(each, known, device).data_ptr())
        last = room.tables.get(number)
        if last is None or last[0] != rows:
            last = room.tables[number] = rows, torch.tensor(rows, dtype=torch.int64, device=device)
        return last[1]

    def result(self, node: Expr, known: dict[Any, Any], device: Any) -> Any:
        """Return what was asked for: an array, or what views see of it."""
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


def _waited(device: Any) -> float:
    """Return the time when a device has done all that it was given."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def resident(compiled: Any, warps: int, device: Any) -> int:
    """Return how many blocks of a compiled kernel the device holds at a time."""
    import torch

    properties = torch.cuda.get_device_properties(device)
    threads = warps * 32
    registers = max(compiled.n_regs, 16)
    registers = (registers + 7) // 8 * 8 * threads
    blocks = min(properties.max_threads_per_multi_processor // threads, 65_536 // registers, 32)
    shared = compiled.metadata.shared
    if shared:
        blocks = min(blocks, properties.shared_memory_per_multiprocessor // (shared + 1024))
    return int(max(1, blocks)) * int(properties.multi_processor_count)


def compile_region(
    region: Any, example_inputs: Sequence[Any] = (), *, deterministic: bool = False, graphs: bool = False
) -> StitchedCall:
    """Return what computes the outputs of a region of a torch graph from tensors on the GPU.

    Parameters
    ----------
    region : Region
    example_inputs : sequence of Tensor or int
        Of the form that it is compiled for first; by default that which it was captured with.
    deterministic : bool
        Whether sums are cut alike on all devices. Those of one device are always merged in one order.
    graphs : bool
        Whether the launches of a call are one CUDA graph.

    Raises
    ------
    Unsupported
        If no kernel has a form for some of it.
    """
    from workbench.fusion.gpu.calls import StitchedCall

    return StitchedCall(region, example_inputs, deterministic=deterministic, graphs=graphs)
