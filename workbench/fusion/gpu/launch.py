"""Loading kernels, binding their arguments, and launching them on tensors."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion import cache
from workbench.fusion.errors import interpreter_off, no_gpu
from workbench.fusion.expr import Expr
from workbench.fusion.gpu.driver import (
    available,
    capturing,
    interpreting,
    on_device,
    resident,
    spilled,
    stream_of,
    waited,
)
from workbench.fusion.gpu.source import Argument, Source
from workbench.fusion.gpu.tasks import Unsupported
from workbench.fusion.plan.inline import base_of

if TYPE_CHECKING:
    import torch

    from workbench.fusion.gpu.calls import StitchedCall

__all__ = ["Program", "Ready", "available", "compile_region", "function_of", "interpreting"]


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
class _Barrier:
    """The counter of a launch whose blocks wait for one another.

    Attributes
    ----------
    counter : Tensor
    grid : int
        Of which it is a multiple between two launches; 0 before the first one.
    """

    counter: torch.Tensor
    grid: int = 0


@dataclass(eq=False)
class _Room:
    """What a program keeps for one stream of one device: launches of two streams may run at the same time."""

    #: number of a launch -> its barrier
    barriers: dict[int, _Barrier] = field(default_factory=dict)
    #: number of a launch -> the addresses that its table holds, and the table
    tables: dict[int, tuple[list[int], torch.Tensor]] = field(default_factory=dict)


@dataclass(eq=False)
class Ready:
    """A program with all that its launches need: compiled, with memory for all that it computes.

    Attributes
    ----------
    device : torch.device
    known : dict
        What is in memory by what it stands for.
    calls : list of (list, dict)
        Of each launch its arguments, and the options that it is compiled with.
    room : _Room
    """

    device: torch.device
    known: dict[Any, torch.Tensor]
    calls: list[tuple[list[Any], dict[str, Any]]]
    room: _Room


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
        measured: list[float] | None = None,
    ) -> list[torch.Tensor]:
        """Run on tensors, one for each leaf.

        Parameters
        ----------
        *tensors : Tensor
        into : dict, optional
            Result, by its place -> the tensor that it is written to: dense, of its shape and type.
        measured : list, optional
            Gets the milliseconds of each launch: the device is waited for after each.

        Raises
        ------
        torch.OutOfMemoryError, Unsupported
            Before any kernel has started: for want of memory, or where a kernel does not compile for the device.
        IndexError, ValueError
            As NumPy, after all of them.
        """
        with on_device(self.device_of(tensors)):
            ready = self.ready(*tensors, into=into)
            self.start(ready, measured)
            return self.found(ready)

    def device_of(self, tensors: Sequence[torch.Tensor]) -> torch.device:
        """Return the device that kernels run on, by its number."""
        import torch

        gpu = torch.cuda.is_available()
        if not tensors:
            device = torch.device("cuda", torch.cuda.current_device()) if gpu else torch.device("cpu")
        else:
            device = tensors[0].device
        if device.type != "cuda" and not interpreting():
            raise no_gpu() if gpu else interpreter_off()
        return device

    def ready(self, *tensors: torch.Tensor, into: Mapping[int, torch.Tensor] | None = None, room: Any = None) -> Ready:
        """Compile what is not yet, and take all memory: a launch that fails for want of it has changed nothing.

        It is for the current stream of the current device.

        Parameters
        ----------
        *tensors : Tensor
        into : dict, optional
        room : hashable, optional
            What tells launches apart that may run at the same time, if it is not the stream.
        """
        device = self.device_of(tensors)
        if not self.functions:
            self.functions = [function_of(each) for each in self.sources]
        known: dict[Any, torch.Tensor] = {id(leaf): tensor for leaf, tensor in zip(self.leaves, tensors, strict=True)}
        for place, tensor in (into or {}).items():
            known[id(base_of(self.results[place]))] = tensor
        if capturing(device):
            own = _Room()  # what is taken while a graph is recorded belongs to that graph
        else:
            own = self.rooms.setdefault((device, stream_of(device)) if room is None else room, _Room())
        calls = [self.call(number, known, device, own) for number in range(len(self.sources))]
        return Ready(device, known, calls, own)

    def start(self, ready: Ready, measured: list[float] | None = None) -> None:
        """Start all kernels."""
        for number, (args, more) in enumerate(ready.calls):
            begin = waited(ready.device) if measured is not None else 0.0
            self.launch(number, args, more, ready)
            if measured is not None:
                measured.append(1e3 * (waited(ready.device) - begin))

    def found(self, ready: Ready) -> list[torch.Tensor]:
        """Return the results once all kernels are started; of those with checks, once they have ended."""
        for node, error in self.checks:
            if bool(self.result(node, ready.known, ready.device)):
                raise error
        return [self.result(each, ready.known, ready.device) for each in self.results]

    def records(self, device: torch.device) -> bool:
        """Whether its launches can be recorded by somebody else: nothing is compiled, sent or waited for."""
        known = all((device, number) in self.grids for number in range(len(self.sources)))
        return known and not self.checks and not any(each.table for each in self.sources)

    def call(self, number: int, known: dict[Any, Any], device: Any, room: _Room) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a launch, and the options that it is compiled with."""
        import torch

        source = self.sources[number]
        args: list[Any] = []
        for each in source.arguments:
            if each.what == "barrier":
                if number not in room.barriers:
                    room.barriers[number] = _Barrier(torch.zeros(1, dtype=torch.int64, device=device))
                args.append(room.barriers[number].counter)
            elif each.what == "number":
                args.append(each.size)
            elif each.what == "table":
                args.append(self.table(number, known, device, room))
            else:
                args.append(self.bound(each, known, device))
        more: dict[str, Any] = {"num_warps": source.warps, "enable_fp_fusion": True}
        if interpreting():
            self.grids[device, number] = source.tiles if source.phases == 1 else 1
            return args, more
        if source.phases > 1:
            more["launch_cooperative_grid"] = True
        if (device, number) not in self.grids:
            compiled = self.loaded(number, args, more)
            if spilled(compiled) and source.relieve():
                self.functions[number] = function_of(source)
                for key in [key for key in self.grids if key[1] == number]:
                    del self.grids[key]  # of other devices, for tiles that were cut otherwise
                return self.call(number, known, device, room)
            most = resident(compiled, source.warps, device) if source.phases > 1 else source.tiles
            self.grids[device, number] = min(source.tiles, most)
        return args, more

    def loaded(self, number: int, args: list[Any], more: dict[str, Any]) -> Any:
        """Return a kernel compiled for the current device, and loaded.

        Raises
        ------
        Unsupported
            If it does not compile for the device, or takes more of it than there is.
        """
        import torch

        try:
            compiled = self.functions[number].warmup(*args, grid=(1,), **more)
            compiled._init_handles()
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of the compiler, the assembler or the driver: nothing has been started
            name = type(error).__name__
            text = str(error).strip().partition("\n")[0]
            raise Unsupported(f"does not compile for this GPU ({name}: {text})" if text else name) from error
        return compiled

    def launch(self, number: int, args: list[Any], more: dict[str, Any], ready: Ready) -> None:
        """Start a kernel."""
        key = ready.device, number
        while True:
            grid = self.grids[key]
            barrier = ready.room.barriers.get(number)
            if barrier is not None and barrier.grid != grid:
                if barrier.grid:
                    barrier.counter.zero_()  # it counts in multiples of the grid
                barrier.grid = grid
            try:
                self.functions[number][(grid,)](*args, **more)
            except RuntimeError as error:  # other work may hold what was counted on; refused, it has not begun
                if grid == 1 or "cooperative" not in str(error):
                    raise
                self.grids[key] = grid // 2
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
        if argument.what == "part" and key in known and known[key].numel() < argument.size:
            del known[key]  # of a kernel that was cut otherwise, before it was found to spill
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
                found = looked_at(found, spec)
        return found


def looked_at(found: torch.Tensor, spec: Sequence[Any]) -> torch.Tensor:
    """Return what an index sees of a tensor; torch has no steps backwards, so what those see is copied."""
    key: list[Any] = []
    turned, axis = [], 0
    for k, each in enumerate(spec):
        if not isinstance(each, tuple):
            key.append(each)
            axis += each is None
            continue
        length = found.shape[k - sum(entry is None for entry in spec[:k])]
        start, stop, step = slice(*each[1:]).indices(length)
        if step < 0:
            many = len(range(start, stop, step))
            last = start + (many - 1) * step
            key.append(slice(last, start + 1, -step) if many else slice(0, 0))
            turned.append(axis)
        else:
            key.append(slice(start, stop, step))
        axis += 1
    found = found[tuple(key)]
    return found.flip(turned) if turned else found


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
