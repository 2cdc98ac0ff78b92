"""A region on tensors of a form that it had before: what is the same for all runs is worked out once.

Small regions are as quick as their kernels then: checking forms, making outputs and filling in addresses is all that
is left around one call of compiled code for each kernel.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from workbench.fusion.cpu import memory
from workbench.fusion.cpu.address import address
from workbench.fusion.cpu.replay import MOST, Replay
from workbench.fusion.lower import Input
from workbench.fusion.prepare import resolve
from workbench.fusion.steps import KernelStep, Prepared

__all__ = ["Again", "Unfit"]

clock = time.perf_counter
#: bytes from which memory is of the pool: below, that of torch is as quick, and is in the caches more often
POOLED = 4 << 20
HALF = (torch.float16, torch.bfloat16)
_guards = getattr(torch._C, "_dynamo", None) and torch._C._dynamo.guards
_check = getattr(_guards, "assert_size_stride", None)
_empty: Callable[..., torch.Tensor] = getattr(_guards, "_empty_strided_cpu", torch.empty_strided)


class Unfit(Exception):
    """A plan of which not all is known before: it runs step after step."""


class Again:
    """A plan on tensors of one form.

    Parameters
    ----------
    plan : Prepared
    values : sequence
        The tensors and numbers of the region's inputs, as they were in a run.
    arrays : list of ndarray
        The leaves' arrays in that run.
    sources : list of (int or None, ndarray)
        For each leaf which input it is, or its array.
    length : callable
        Gives the length of a dimension.
    sizes : callable
        Gives the numbers of a step's symbols.
    outputs : list of (dtype, order, shape)
        Of each result: its dtype, how its dimensions in memory are looked at, and their lengths.
    writes : dict
        Result -> the input that it goes to.
    direct : dict
        Step -> buffers that are inputs written over, and which.

    Raises
    ------
    Unfit
        If something of it is not the same each time.
    """

    def __init__(
        self,
        plan: Prepared,
        values: Sequence[Any],
        arrays: list[np.ndarray],
        sources: Sequence[tuple[int | None, Any]],
        length: Callable[[Any], int],
        sizes: Callable[[KernelStep], dict[str, int]],
        outputs: Sequence[tuple[torch.dtype, Any, Any]],
        writes: dict[int, int],
        direct: dict[int, list[tuple[str, int]]],
    ) -> None:
        self.plan, self.length, self.writes = plan, length, writes
        self.lock = threading.Lock()
        #: tensors among the inputs, with their form
        self.forms = [(k, tuple(x.shape), x.stride()) for k, x in enumerate(values) if isinstance(x, torch.Tensor)]
        if any(values[k].is_neg() or values[k].is_conj() for k, _, _ in self.forms):
            raise Unfit  # memory does not hold what they are
        self.numbers = [(k, x) for k, x in enumerate(values) if not isinstance(x, torch.Tensor)]
        #: where memory begins: of inputs, outputs, and what lies between, which are told in this order
        self.bases: dict[Any, int] = {}
        self.inputs: list[tuple[int, bool]] = []
        self.slots: list[np.ndarray | None] = [*arrays, *[None] * (plan.slots - len(arrays))]
        self.base_of: dict[int, int] = {}
        for slot, (k, data) in enumerate(sources):
            if k is None:
                self.slots[slot] = np.array(data)
            else:
                self.base_of[slot] = self._input(k, values[k].dtype in HALF)
        self._results(outputs, direct)
        self._between()
        #: inputs of which kernels need a copy that lies otherwise
        self.copied: list[tuple[Input, int]] = []
        self.moves: list[tuple[Any, int, int, int]] = []
        self.asked: list[tuple[Replay, str, int, tuple[int, ...]]] = []
        self.replays = [self._step(step, sizes(step)) for step in plan.steps]
        self.slots = []

    def _input(self, k: int, half: bool = False) -> int:
        found = self.bases.get(k)
        if found is None:
            found = self.bases[k] = len(self.inputs)
            self.inputs.append((k, half))
        return found

    def _results(self, outputs: Sequence[tuple[torch.dtype, Any, Any]], direct: dict[int, Any]) -> None:
        """Find which slots are outputs' memory, and what the other outputs are copies of."""
        over: dict[int, int] = {}
        for number, some in direct.items():
            step = self.plan.steps[number]
            for name, to in some:
                slot = next(slot for output, slot, _ in step.outputs if output.buffer == name)
                over[slot] = to
        self.made = {
            slot: (output, shape)
            for step in self.plan.steps
            if isinstance(step, KernelStep)
            for output, slot, shape in step.outputs
        }
        for slot, to in over.items():
            self.base_of[slot] = self._input(to)
        first = len(self.inputs)
        #: size, stride, dtype, bytes and memory's shape of the outputs that kernels write
        self.outs: list[tuple[Any, Any, torch.dtype, int, Any, Any]] = []
        #: for each result: an output, an input that it was written to, or what it is a copy of
        self.results: list[tuple[str, Any]] = []
        for k, (reference, (dtype, order, shape)) in enumerate(zip(self.plan.results, outputs, strict=True)):
            lengths = list(shape)  # its own: `length` knows those that the plan was first made for
            if 0 in lengths:
                raise Unfit
            strides = list(np.cumprod([1, *reversed(lengths[1:])])[::-1].tolist()) if lengths else []
            look = range(len(lengths)) if order is None else order
            size, stride = tuple(lengths[o] for o in look), tuple(strides[o] for o in look)
            slot = reference[1] if reference[0] == "slot" else None
            if slot in over and not reference[2] and self.writes.get(k) == over[slot]:
                self.results.append(("input", over[slot]))
            elif slot in self.made and not reference[2] and slot not in self.base_of and dtype not in HALF:
                self.base_of[slot] = first + len(self.outs)
                self.results.append(("out", len(self.outs)))
                nbytes = dtype.itemsize * int(np.prod(lengths, dtype=np.int64))
                self.outs.append((size, stride, dtype, nbytes, tuple(lengths), order))
            else:
                self.results.append(("copy", (reference, size, stride, dtype, lengths, look)))

    def _between(self) -> None:
        """Find memory for what lies between kernels: small pieces stay."""
        first = len(self.inputs) + len(self.outs)
        self.blocks: list[tuple[tuple[int, ...], np.dtype]] = []
        programs = {
            slot: step.lowered.program.buffer(output.buffer).dtype
            for step in self.plan.steps
            if isinstance(step, KernelStep)
            for output, slot, _ in step.outputs
        }
        for slot, (output, shape) in self.made.items():
            if output.appended:
                raise Unfit
            lengths = tuple([self.length(d) for d in shape])
            if 0 in lengths:
                raise Unfit
            found = self.slots[slot] = np.empty(lengths, programs[slot])
            if slot not in self.base_of and found.nbytes > MOST:
                self.base_of[slot] = first + len(self.blocks)
                self.blocks.append((lengths, found.dtype))
        copied = []
        for kind, what in self.results:
            if kind != "copy":
                copied.append((kind, what))
                continue
            reference, size, stride, dtype, lengths, look = what
            if reference[0] == "const":
                whole = np.array(np.broadcast_to(np.asarray(reference[1]), lengths))
                copied.append(("const", (torch.from_numpy(whole).permute(tuple(look)), size, stride, dtype)))
                continue
            slot = reference[1]
            own = self.slots[slot]
            assert own is not None
            seen = np.asarray(resolve(reference, self.slots, self.length))
            seen = seen.reshape(lengths)
            offset = self._within(seen, own)
            steps = [seen.strides[o] // own.itemsize for o in look]
            if min(steps, default=0) < 0:
                raise Unfit
            base = self.base_of.get(slot)
            where = torch.from_numpy(own) if base is None else base
            copied.append(("copy", (where, size, stride, dtype, steps, offset // own.itemsize)))
        self.results = copied

    def _within(self, part: np.ndarray, whole: np.ndarray) -> int:
        """Return where an array begins in another one's memory."""
        low, high = np.lib.array_utils.byte_bounds(whole)
        one, other = np.lib.array_utils.byte_bounds(part)
        if not part.size or one < low or other > high:
            raise Unfit
        return address(part) - address(whole)

    def _step(self, step: Any, sizes: dict[str, int]) -> Replay:
        if not isinstance(step, KernelStep) or step.branch is not None or step.lowered.errors:
            raise Unfit
        buffers: dict[str, np.ndarray] = {}
        at: dict[str, tuple[int, int]] = {}
        first = len(self.inputs) + len(self.outs) + len(self.blocks)
        for each, slot, _ in step.bindings:
            own = self.slots[slot]
            assert own is not None
            found = buffers[each.buffer] = each.bind(own, self.length)
            if self.base_of.get(slot, len(self.inputs)) < len(self.inputs) and not np.may_share_memory(found, own):
                self.copied.append((each, self.base_of[slot]))
                at[each.buffer] = -len(self.copied), 0
                self.base_of[-len(self.copied)] = first + len(self.copied) - 1
                continue
            at[each.buffer] = slot, self._within(found, own)
        for output, slot, _ in step.outputs:
            own = self.slots[slot]
            assert own is not None
            shape = [d if isinstance(d, int) else sizes[d] for d in step.lowered.program.buffer(output.buffer).shape]
            buffers[output.buffer], at[output.buffer] = own.reshape(shape), (slot, 0)
        joined = [output.buffer for output, _, _ in step.outputs if output.node.kind == "Concat"]
        replay = Replay(step.compiled, buffers, sizes, joined)
        if not replay.fits:
            raise Unfit
        bases = {name: (self.base_of[slot], off) for name, (slot, off) in at.items() if slot in self.base_of}
        self.moves += [(replay.table, slot, *bases[name]) for name, slot in replay.moved if name in bases]
        self.moves += [(script.words, word, *bases[name]) for name, script, word in replay.copies if name in bases]
        self.asked += [(replay, name, bases[name][0], buffers[name].shape) for name in replay.asked if name in bases]
        for name in bases:
            del replay.arrays[name]  # memory of another run, and as large
        return replay

    def run(self, values: Sequence[Any], measured: list[float | None]) -> list[torch.Tensor] | None:
        """Return the outputs; None if the inputs are of another form, or another thread runs it.

        Parameters
        ----------
        values : sequence
        measured : list
            Gets the milliseconds of each kernel.
        """
        for k, number in self.numbers:
            if values[k] != number:
                return None
        if _check is None:
            if any(values[k].shape != shape or values[k].stride() != stride for k, shape, stride in self.forms):
                return None
        else:
            try:
                for k, shape, stride in self.forms:
                    _check(values[k], shape, stride)
            except AssertionError:
                return None
        if not self.lock.acquire(blocking=False):
            return None
        try:
            return self._run(values, measured)
        finally:
            self.lock.release()

    def _run(self, values: Sequence[Any], measured: list[float | None]) -> list[torch.Tensor]:
        held: list[Any] = [values[k].detach().float() if half else values[k] for k, half in self.inputs]
        outs = [
            _empty(size, stride, dtype) if nbytes < POOLED else _large(shape, order, dtype)
            for size, stride, dtype, nbytes, shape, order in self.outs
        ]
        held += outs
        places = [each.data_ptr() for each in held]
        for shape, dtype in self.blocks:
            block = (
                memory.empty(shape, dtype) if math.prod(shape) * dtype.itemsize >= POOLED else np.empty(shape, dtype)
            )
            places.append(address(block))
            held.append(block)
        for each, base in self.copied:
            copy = each.bind(held[base].detach().numpy(), self.length)
            places.append(address(copy))
            held.append(copy)
        for words, word, base, offset in self.moves:
            words[word] = places[base] + offset
        for replay, name, base, shape in self.asked:
            replay.arrays[name] = _flat(held[base], shape)
        workers = torch.get_num_threads()
        for k, replay in enumerate(self.replays):
            start = clock()
            replay.run(workers)
            measured[k] = 1e3 * (clock() - start)
        for replay, name, _, _ in self.asked:
            del replay.arrays[name]
        found = []
        for kind, what in self.results:
            if kind == "out":
                found.append(outs[what])
            elif kind == "input":
                found.append(values[what])
            elif kind == "const":
                tensor, size, stride, dtype = what
                found.append(torch.empty_strided(size, stride, dtype=dtype).copy_(tensor))
            else:
                where, size, stride, dtype, steps, offset = what
                base = held[where] if isinstance(where, int) else where
                base = (torch.from_numpy(base) if isinstance(base, np.ndarray) else base).detach()
                seen = base.as_strided(size, steps, base.storage_offset() + offset)
                found.append(torch.empty_strided(size, stride, dtype=dtype).copy_(seen))
        for made, to in self.writes.items():
            if found[made] is not values[to]:
                values[to].detach().copy_(found[made])
        return found


def _large(shape: Any, order: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return a tensor in memory of the pool."""
    from workbench.fusion.capture.tensor import numpy_dtype

    kind = numpy_dtype(dtype)
    assert kind is not None
    found = torch.from_numpy(memory.empty(shape, kind))
    return found if order is None else found.permute(order)


def _flat(tensor: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return the memory of a dense tensor or array in a shape."""
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(shape)
    dense = tensor.detach().as_strided((tensor.numel(),), (1,), tensor.storage_offset())
    found: np.ndarray = dense.numpy().reshape(shape)
    return found
