"""What a plan does, step by step: run a program, fill tables by key, call a library."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.lower import Input, Lowered, Output
from workbench.fusion.plan.branch import Branch
from workbench.fusion.plan.sample import Rows
from workbench.fusion.structure import SMALL

__all__ = ["CallStep", "GroupStep", "KernelStep", "Prepared"]


@dataclass(eq=False)
class KernelStep:
    """Run a program.

    Attributes
    ----------
    name, kind, scheme : str
    lowered : Lowered
    inputs : list of (Input, slot)
    outputs : list of (Output, slot, shape)
    ops : tuple of str
        Of the captured calls inside.
    work : list of (tuple, float)
        For each loop's space the nanoseconds an element.
    again : list of (tuple, int)
        Shape and itemsize of what later loops read once more.
    pattern : str
        What the loops leave behind, one after another.
    branch : Branch or None
        The form that jumps over rows that a filter leaves out; `jumped` tells whether it ran last.
    sized : (list of int, dict) or None
        Lengths of the last run, and what the program's symbols were for them.
    """

    name: str
    kind: str
    scheme: str
    lowered: Lowered
    inputs: list[tuple[Input, int]]
    outputs: list[tuple[Output, int, tuple[Any, ...]]]
    ops: tuple[str, ...]
    work: list[tuple[tuple[Any, ...], float]] = field(default_factory=list)
    again: list[tuple[tuple[Any, ...], int]] = field(default_factory=list)
    pattern: str = ""
    branch: Branch | None = None
    jumped: bool = False
    compiled: Any = None
    compile_ms: float = 0.0
    cache: str = "miss"
    sized: tuple[list[int], dict[str, int]] | None = None

    @functools.cached_property
    def bindings(self) -> list[tuple[Input, int, bool]]:
        """The inputs, with whether a slot's array is the buffer as it is."""
        return [
            (each, slot, not (each.views or any(each.drop) or any(len(axes) > 1 for axes in each.merge)))
            for each, slot in self.inputs
        ]


@dataclass(eq=False)
class GroupStep:
    """Fill tables by key, or have a library group.

    Attributes
    ----------
    name : str
    found : GroupLowered
    inputs, keys : list of (Input, slot)
    slot : int
        Gets a tuple: keys, then aggregates.
    ops : tuple of str
    node : Expr
        Without inputs.
    originals : tuple of int
        Where its inputs are in the walk of the captured graph.
    outputs : list of (shape, itemsize)
    shape : tuple
    """

    name: str
    found: Any
    inputs: list[tuple[Input, int]]
    keys: list[tuple[Input, int]]
    slot: int
    ops: tuple[str, ...]
    node: Expr
    originals: tuple[int, ...]
    outputs: list[tuple[Any, int]]
    shape: tuple[Any, ...]
    work: list[tuple[tuple[Any, ...], float]] = field(default_factory=list)
    pattern: str = ""
    branch: Branch | None = None
    jumped: bool = False
    compiled: Any = None
    compile_ms: float = 0.0
    cache: str = "miss"
    sized: tuple[list[int], dict[str, int]] | None = None

    @property
    def lowered(self) -> Any:
        """The program."""
        return self.found.lowered


@dataclass(eq=False)
class CallStep:
    """Have a library compute a node.

    Attributes
    ----------
    name : str
    node : Expr
        Without inputs.
    inputs : list
        For each input its slot and views, or the constant: ("slot", slot, views) or ("const", value).
    slot : int
    shape : tuple
    reason : str
    original : int
        Where the node is in the walk of the captured graph, if what it gives is to be kept; else -1.
    """

    name: str
    node: Expr
    inputs: list[tuple[Any, ...]]
    slot: int
    shape: tuple[Any, ...]
    reason: str
    sizes: tuple[tuple[Any, int], ...] = ()
    original: int = -1


@dataclass(eq=False)
class Prepared:
    """A plan without data.

    Attributes
    ----------
    steps : list of KernelStep or CallStep
    slots : int
        The first are the leaves.
    results : list
        For each root ("slot", slot, views) or ("const", value).
    symbols : dict
        Length or Size of the graph that it was made of -> its number.
    nodes : list
        Kind, name and dtype of each node of the graph.
    rows : list
        For each captured call (op, shape, dtype, kernel's name, index in the walk of the graph).
    before : list
        For each captured call (times, shape and itemsize of each input and of the output).
    last_use : list of list of int
        For each step the slots that nobody needs after it.
    rows_of : Rows
        Estimates lengths that are not known.
    cacheable : bool
    """

    steps: list[Any] = field(default_factory=list)
    slots: int = 0
    results: list[tuple[Any, ...]] = field(default_factory=list)
    symbols: dict[Any, int] = field(default_factory=dict)
    nodes: list[tuple[str, Any]] = field(default_factory=list)
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    before: list[tuple[int, list[tuple[Any, int]]]] = field(default_factory=list)
    reasons: list[tuple[str, str, int]] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)
    last_use: list[list[int]] = field(default_factory=list)
    rows_of: Rows = field(default_factory=Rows)
    cacheable: bool = True
    #: lengths of the last run, and the nanoseconds of computing for them
    timed: tuple[list[int], float] | None = None

    @functools.cached_property
    def fresh(self) -> bool:
        """Whether each result is an array that a kernel makes for it alone."""
        made = {slot for step in self.steps if isinstance(step, KernelStep) for _, slot, _ in step.outputs}
        slots = [each[1] for each in self.results if each[0] == "slot" and not each[2] and each[1] in made]
        return len(set(slots)) == len(self.results)

    def length(self, d: Any, lengths: Sequence[Any]) -> int:
        """Return the length of a dimension in a run whose lengths by number are given."""
        if type(d) is int and d <= SMALL:
            return d
        number = self.symbols.get(d)
        return d if number is None else lengths[number]
