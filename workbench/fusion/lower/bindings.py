"""How the buffers of a program are bound when it runs, and what an array is like whose memory nobody looks at."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.fusion.eager import view_of
from workbench.fusion.expr import Expr, Size
from workbench.fusion.loop import Program

__all__ = ["Input", "Lowered", "Output", "dummy", "like", "seen"]


@dataclass(frozen=True)
class Input:
    """How an input buffer is made of a slot's value.

    Attributes
    ----------
    buffer : str
    node : Expr
        The leaf or cut whose value it is.
    views : tuple of (how, spec, shape)
        Applied to the value one after another.
    drop : tuple of bool
        Axes along which nothing moves: their first element stands for all.
    merge : tuple of tuple of int
        Which of the axes left are walked as one.
    """

    buffer: str
    node: Expr
    views: tuple[tuple[str, Any, Any], ...]
    drop: tuple[bool, ...]
    merge: tuple[tuple[int, ...], ...]

    def bind(self, value: Any, length: Callable[[Any], int]) -> np.ndarray:
        """Return the array for the buffer."""
        array = np.asarray(value)
        for how, spec, shape in self.views:
            array = view_of(array, how, tuple([length(d) for d in shape]) if how == "reshape" else spec)
        if any(self.drop):
            if 0 in array.shape:
                kept = [size for size, drop in zip(array.shape, self.drop, strict=True) if not drop]
                return np.zeros([math.prod([kept[axis] for axis in each]) for each in self.merge], array.dtype)
            array = array[tuple([0 if drop else slice(None) for drop in self.drop])]
        if any(len(each) > 1 for each in self.merge):
            array = array.reshape([math.prod([array.shape[axis] for axis in each]) for each in self.merge])
        return array


@dataclass(frozen=True)
class Output:
    """Which node's value an output buffer holds; its shape is the node's, or for an append as long as it came out.

    Attributes
    ----------
    buffer : str
    node : Expr
    appended : bool
    """

    buffer: str
    node: Expr
    appended: bool = False


@dataclass
class Lowered:
    """A program with its bindings.

    Attributes
    ----------
    program : Program
    inputs : list of Input
    outputs : list of Output
    sizes : dict of str to tuple
        Symbol -> the lengths that it is the product of.
    errors : list of (str, str)
        Output of one bool -> what is wrong if it is true.
    scheme : str
        local, regional or global.
    """

    program: Program
    inputs: list[Input]
    outputs: list[Output]
    sizes: dict[str, tuple[Any, ...]]
    errors: list[tuple[str, str]]
    scheme: str


def seen(array: np.ndarray, how: str, spec: Any, shape: Any) -> np.ndarray:
    """Return a view without looking at memory: where NumPy would have to copy, what the copy is like."""
    if how != "reshape":
        return view_of(array, how, spec)
    lengths = tuple([dummy(d) for d in shape])
    if not array.flags.c_contiguous:
        try:
            return np.reshape(array, lengths, copy=False)
        except ValueError:
            pass
    return like(array.dtype, lengths)


def like(dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of this shape in C order that has next to no memory, and is not to be looked at."""
    strides = [dtype.itemsize]
    for size in reversed(shape[1:]):
        strides.append(strides[-1] * max(size, 1))
    return np.lib.stride_tricks.as_strided(np.empty(1, dtype), shape, strides[::-1][: len(shape)] if shape else ())


def dummy(size: Any) -> int:
    """Return a length that stands for one, known or not."""
    return 3 if isinstance(size, Size) else size
