"""One run of a plan: its steps one after another, on values that stand in slots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from workbench.fusion import cache
from workbench.fusion.expr import Size
from workbench.fusion.plan.branch import taken
from workbench.fusion.plan.model import device_model
from workbench.fusion.prepare import resolve, run_call
from workbench.fusion.steps import CallStep, GroupStep, KernelStep, Prepared
from workbench.fusion.structure import SMALL, Structure

__all__ = ["Running"]


class Running:
    """Values, and lengths as they become known.

    Parameters
    ----------
    plan : Prepared
    form : Structure
        Of the graph that is computed.
    device : {"cpu", "interpreter"}
    threads : int
    exact : bool

    Attributes
    ----------
    values : list
        By slot.
    lengths : list
        By number: the length, or the `Size` of one that is not known yet.
    """

    def __init__(self, plan: Prepared, form: Structure, device: str, threads: int, exact: bool) -> None:
        self.plan, self.device, self.threads, self.exact = plan, device, threads, exact
        self.lengths = form.lengths[:]
        self.values: list[Any] = [leaf.data for leaf in form.leaves]
        self.values += [None] * (plan.slots - len(self.values))

    def length(self, d: Any) -> int:
        """Return the length of a dimension."""
        if type(d) is int and d <= SMALL:
            return d
        number = self.plan.symbols.get(d)
        found = d if number is None else self.lengths[number]
        if type(found) is Size:
            assert found.value is not None
            return found.value
        return int(found)

    def learn(self, shape: tuple[Any, ...], found: tuple[int, ...]) -> None:
        """Keep the lengths that only a run can tell."""
        for size, known in zip(shape, found, strict=False):
            if type(size) is not Size:
                continue
            number = self.plan.symbols.get(size)
            if number is not None:
                symbol = self.lengths[number]
                if type(symbol) is Size:
                    symbol.value = known
                self.lengths[number] = known

    def result(self, reference: tuple[Any, ...]) -> Any:
        """Return the value of a root; single values are no arrays."""
        value = resolve(reference, self.values, self.length)
        return value[()] if isinstance(value, np.ndarray) and not value.ndim else value

    # how far it is

    def rows(self, step: Any) -> int:
        """Return how many rows a step goes over, as far as lengths are known."""
        lengths = [self.plan.rows_of.of(d, k) if type(d) is Size else d for k, d in enumerate(self.lengths)]
        shapes = [step.shape, *[shape for shape, _ in step.sizes]] if type(step) is CallStep else _spaces(step)
        return max([int(self.plan.length(shape[0], lengths)) for shape in shapes if shape], default=0)

    def loops(self, step: Any) -> int:
        """Return how many loops over rows a step has."""
        return 1 if type(step) is CallStep else sum(bool(loop.dims) for loop in step.lowered.program.loops)

    # the steps

    def kernel(self, step: KernelStep) -> None:
        """Run a program."""
        values, sizes = self.values, self._sizes(step)
        buffers = self.written(step, sizes)
        for each, slot, plain in step.bindings:
            value = values[slot]
            buffers[each.buffer] = value if plain and type(value) is np.ndarray else each.bind(value, self.length)
        outs = self._code(step, buffers, sizes).run(buffers, sizes, threads=self.threads)
        for name, what in step.lowered.errors:
            if outs[name]:
                raise _wrong(what)
        for output, slot, shape in step.outputs:
            value = outs[output.buffer]
            if output.appended:
                self.learn(shape, value.shape)
            elif len(shape) != value.ndim or len(shape) > 1:
                value = value.reshape([self.length(d) for d in shape])
            values[slot] = value

    def written(self, step: KernelStep, sizes: dict[str, int]) -> dict[str, np.ndarray]:
        """Return memory that outputs of a program are to be written to, by the buffers' names: none of its own."""
        return {}

    def group(self, step: GroupStep) -> bool:
        """Group by tables, and return whether that is done; not if they would be too large."""
        from workbench.fusion.lower_group import DENSE, finish, spans_of

        sizes = dict(self._sizes(step))
        buffers = {each.buffer: each.bind(self.values[slot], self.length) for each, slot in step.inputs}
        keys = [each.bind(self.values[slot], self.length) for each, slot in step.keys]
        for exact in (False, True):
            lows, spans = spans_of(keys, step.found.fills, exact)
            size = math.prod(spans)
            if size > min(DENSE, max(4096, 4 * sizes.get("n0", 1))):
                continue
            for k, (low, span) in enumerate(zip(lows, spans, strict=True)):
                numbers = {"low": low, "span": span, "step": math.prod(spans[k + 1 :])}
                buffers.update({f"{name}{k}": np.array(value, np.int64) for name, value in numbers.items()})
            sizes["k"] = size
            outs = self._code(step, buffers, sizes).run(buffers, sizes, threads=self.threads)
            if not outs["e0"]:
                self.grouped(step, finish(step.found, outs, lows, spans))
                return True
        return False

    def grouped(self, step: GroupStep, groups: tuple[np.ndarray, ...]) -> None:
        """Keep what a group-by gave: keys, then aggregates."""
        self.values[step.slot] = groups
        self.learn(step.shape, groups[0].shape)

    def call(self, step: CallStep) -> Any:
        """Have a library compute, and return what it gave."""
        value = self.values[step.slot] = run_call(step, self.values, self.length, self.threads, self.exact)
        shown = value[0] if isinstance(value, tuple) and step.node.kind != "Extern" else value
        self.learn(step.shape, np.shape(shown) if not isinstance(shown, tuple) else ())
        return value

    # what a program needs

    def _sizes(self, step: KernelStep | GroupStep) -> dict[str, int]:
        """Return the numbers of a program's symbols: for the same lengths they are found once."""
        known = step.sized
        if known is not None and known[0] == self.lengths:
            return known[1]
        sizes = {name: math.prod([self.length(d) for d in ds]) for name, ds in step.lowered.sizes.items()}
        if all(type(d) is int for d in self.lengths):
            step.sized = self.lengths[:], sizes
        return sizes

    def _code(self, step: Any, buffers: dict[str, np.ndarray], sizes: dict[str, int]) -> Any:
        """Return what runs the program of a step, in the form that pays on these arrays."""
        if self.device == "interpreter":
            return cache.Interpreted(step.lowered.program)
        branch = step.branch
        step.jumped = branch is not None and taken(branch, buffers, sizes, device_model())
        form, program = (branch, branch.program) if step.jumped else (step, step.lowered.program)
        if form.compiled is None:
            form.compiled, step.compile_ms, step.cache = cache.kernel(program)
        else:
            step.compile_ms, step.cache = 0.0, "hit"
        return form.compiled


def _spaces(step: KernelStep | GroupStep) -> list[Any]:
    return [space for space, _ in step.work]


def _wrong(what: str) -> Exception:
    if what == "index":
        return IndexError("index is out of bounds for the axis it is used on")
    if what.startswith("arg"):
        return ValueError(f"attempt to get {what.partition(' ')[0]} of an empty sequence")
    word = {"min": "minimum", "max": "maximum", "nanmin": "fmin", "nanmax": "fmax"}[what.partition(" ")[0]]
    return ValueError(f"zero-size array to reduction operation {word} which has no identity")
