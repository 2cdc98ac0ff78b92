"""Compiled programs."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from workbench.fusion.cpu import machine, objects
from workbench.fusion.cpu.emit import emit
from workbench.fusion.cpu.execution import Execution, Facts
from workbench.fusion.cpu.layout import Layout, plan_loops
from workbench.fusion.cpu.single import Single
from workbench.fusion.loop import If, Program, Store, statements, text

__all__ = ["Compiled", "compile"]


def compile(program: Program, *, bits: int | None = None) -> Compiled:
    """Return a program as machine code: made now, or kept in the store from another time.

    Raises
    ------
    NotImplementedError
        If there is something in it that is not compiled.
    """
    return Compiled(program, machine.host(bits))


class Compiled:
    """Machine code of a program.

    Attributes
    ----------
    program : Program
    cache : str
        "disk" if the code was in the store, else "miss".
    """

    def __init__(self, program: Program, host: machine.Host) -> None:
        self.program, self.host = program, host
        self.plans, self.layout = plan_loops(program), Layout(program)
        content, self.cache = objects.get(text(program), host, lambda: emit(program, host)[0])
        code = machine.load(content, host)
        self.facts = [Facts(plan, self.layout, code) for plan in self.plans]
        self.partly = _partly_written(program)
        filled = {name for loop in program.loops for b in loop.builders for name in (*b.buffers, b.ids)}
        self.made = [b for b in program.buffers if b.role in ("out", "temp") and b.name not in filled]
        self.given = [(b, np.dtype(b.dtype)) for b in program.buffers if b.role == "in"]
        self.tiles = [b for b in program.buffers if b.role == "tile"]
        self.outputs = [b.name for b in program.buffers if b.role == "out"]
        #: whether it stores, and merges single values, and no more; and what is known of the last form of such a run
        self._plain = all(facts.plain and not facts.sums for facts in self.facts)
        self._single: Single | None = None

    @functools.cached_property
    def asm(self) -> str:
        """The assembly, made anew to be read."""
        return str(machine.object_code(emit(self.program, self.host)[0], self.host, assembly=True))

    def run(
        self, buffers: Mapping[str, np.ndarray], sizes: Mapping[str, int], threads: int = 1, check: bool = False
    ) -> dict[str, np.ndarray]:
        """Run the program.

        Parameters
        ----------
        buffers : mapping of str to ndarray
            Its inputs.
        sizes : mapping of str to int
        threads : int
            How many may work; the result does not depend on it.
        check : bool
            Not used here: checking compares values.

        Returns
        -------
        dict of str to ndarray
            Its outputs.
        """
        if self._single is not None and (known := self._single.run(buffers, sizes)) is not None:
            return known
        run = Execution(self, buffers, sizes, threads)
        found = run.outputs()
        if self._plain:
            self._single = run.single(buffers)
        return found


def _partly_written(program: Program) -> set[str]:
    """Return the buffers of which a run may leave elements unset."""
    found = set()
    for loop in program.loops:
        for each in statements(loop.body):
            if isinstance(each, If):
                found |= {inner.buffer for inner in statements(each.body) if isinstance(inner, Store)}
            elif isinstance(each, Store) and (each.pred is not None or any(isinstance(i, int) for i in each.index)):
                found.add(each.buffer)
            elif isinstance(each, Store) and each.index:
                indexes = [i for i in each.index if not isinstance(i, int)]
                # one that is moved by sizes is one of several that write all
                moved = any(name in program.sizes for i in indexes for name, _ in i.terms)
                steps = [[by for name, by in i.terms if name not in program.sizes] for i in indexes]
                if any(by != [1] for by in steps) or (not moved and any(i.offset for i in indexes)):
                    found.add(each.buffer)
    return found
