"""A kernel as source: its text, what it is called with, and how its threads can come to hold fewer values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from workbench.fusion.expr import Expr
from workbench.fusion.gpu.registers import MOST_WARPS
from workbench.fusion.gpu.tasks import Launch

__all__ = ["Argument", "Source"]

#: elements of rows that are held whole where longer ones do not fit the registers
STEPS = 1024


@dataclass(frozen=True, eq=False)
class Argument:
    """What a kernel is called with.

    Attributes
    ----------
    name : str
    what : {"array", "part", "table", "barrier", "number"}
        An input or output; partial results; addresses and sizes; the counter of a barrier; a length.
    node : Expr or None
    number : int
        Of several partial results of a node.
    storage : str
        Name of the stored type.
    size : int
        Elements of partial results, or the length itself.
    """

    name: str
    what: str
    node: Expr | None = None
    number: int = 0
    storage: str = "float32"
    size: int = 0


@dataclass(eq=False)
class Source:
    """A kernel as source.

    Attributes
    ----------
    name, text : str
    arguments : list of Argument
    table : list of Argument or int
        What the table holds: addresses and numbers.
    tiles : int
        Of the phase that has most: blocks are of use up to so many.
    phases, warps : int
    walks : bool
        Whether rows are walked in steps.
    again : callable or None
        Gives the kernel with so many warps at least, and rows of so many elements at most held whole.
    """

    name: str
    text: str
    arguments: list[Argument]
    table: list[Any] = field(default_factory=list)
    tiles: int = 1
    phases: int = 1
    warps: int = 4
    launch: Launch | None = None
    walks: bool = False
    again: Callable[[int, int], Source] | None = None

    def relieve(self) -> bool:
        """Have threads hold fewer values: more of them, then rows in steps. Return whether there was a way."""
        if self.warps < 2 * MOST_WARPS:
            self.warps *= 2
            return True
        other = None if self.walks or self.again is None else self.again(0, STEPS)
        if other is None or not other.walks:
            return False
        other.rename(self.name)
        self.text, self.arguments, self.table = other.text, other.arguments, other.table
        self.tiles, self.phases, self.warps, self.launch = other.tiles, other.phases, other.warps, other.launch
        self.walks = True
        return True

    def rename(self, name: str) -> None:
        """Give the kernel another name."""
        self.text = self.text.replace(self.name, name)
        self.name = name
