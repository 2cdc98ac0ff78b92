"""What a plan knows of a tensor it has not seen: shape, strides, and the type that it is stored in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.fusion.eager import view_of
from workbench.fusion.expr import Expr
from workbench.fusion.lower.bindings import like

__all__ = ["TYPES", "Look", "Spec", "looked", "storage_of"]

#: name of a stored type -> its name in Triton's signatures and in its language, bytes, dtype it is computed in
TYPES = {
    "float32": ("fp32", "tl.float32", 4, "float32"), "float64": ("fp64", "tl.float64", 8, "float64"),
    "float16": ("fp16", "tl.float16", 2, "float32"), "bfloat16": ("bf16", "tl.bfloat16", 2, "float32"),
    "bool": ("i1", "tl.int1", 1, "bool"), "int8": ("i8", "tl.int8", 1, "int8"),
    "int16": ("i16", "tl.int16", 2, "int16"),
    "int32": ("i32", "tl.int32", 4, "int32"), "int64": ("i64", "tl.int64", 8, "int64"),
    "uint8": ("u8", "tl.uint8", 1, "uint8"), "uint16": ("u16", "tl.uint16", 2, "uint16"),
    "uint32": ("u32", "tl.uint32", 4, "uint32"), "uint64": ("u64", "tl.uint64", 8, "uint64"),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Spec:
    """The data of a leaf that is planned for without looking at memory.

    Attributes
    ----------
    shape : tuple of int
    stride : tuple of int
        In elements.
    storage : str
        Name of the stored type; 16-bit floats are computed in float32.
    aligned : bool
        Whether it begins at a multiple of 16 bytes.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    storage: str = "float32"
    aligned: bool = True

    @classmethod
    def of(cls, shape: Sequence[int], storage: str = "float32") -> Spec:
        """Return a tensor in C order."""
        stride = [1]
        for size in reversed(shape[1:]):
            stride.append(stride[-1] * max(int(size), 1))
        return cls(tuple(shape), tuple(stride[::-1][: len(shape)]), storage)

    @property
    def dtype(self) -> np.dtype:
        """What it is computed in."""
        return np.dtype(TYPES[self.storage][3])


def storage_of(node: Expr) -> str:
    """Return the name of the type that a node is stored in."""
    return node.data.storage if isinstance(node.data, Spec) else node.dtype.name


def _strides_of(node: Expr) -> np.ndarray:
    """Return an array with the strides of a leaf, or of what a kernel stores; there is nothing in it to look at."""
    item = node.dtype.itemsize
    if isinstance(node.data, Spec):
        stride = tuple([each * item for each in node.data.stride])
    else:  # arrays that a capture made are sent in C order
        stride = tuple([each * item for each in Spec.of(node.shape).stride])  # type: ignore[arg-type]
    return np.lib.stride_tricks.as_strided(np.empty(1, node.dtype), node.shape, stride)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Look:
    """How views see an array.

    Attributes
    ----------
    base : Expr
    shape : tuple of int
        Of what the last view gives.
    strides : tuple of int
        In elements, of the same.
    moved : int
        Elements before its first one.
    below : tuple of (shape, strides, moved)
        Of what was looked at before a reshape that strides alone cannot tell: positions of one are the number of an
        element in the one before. Innermost first.
    """

    base: Expr
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    moved: int
    below: tuple[tuple[tuple[int, ...], tuple[int, ...], int], ...] = ()

    @property
    def last(self) -> int:
        """The largest offset, in elements."""
        return max(
            moved + sum((d - 1) * abs(step) for d, step in zip(shape, strides, strict=True))
            for shape, strides, moved in [(self.shape, self.strides, self.moved), *self.below]
        )


def looked(node: Expr) -> Look:
    """Return how a chain of views sees what it looks at."""
    views = []
    base = node
    while base.kind == "View":
        views.append((base.name, base.attr("spec"), base.shape))
        base = base.inputs[0]
    array = _strides_of(base)
    start, below = _address(array), []
    for how, spec, shape in reversed(views):
        if how != "reshape":
            array = view_of(array, how, spec)
            continue
        try:
            array = np.reshape(array, shape, copy=False)
        except ValueError:
            below.append((array.shape, _steps(array), (_address(array) - start) // array.dtype.itemsize))
            array = like(array.dtype, shape)
            start = _address(array)
    return Look(base, array.shape, _steps(array), (_address(array) - start) // array.dtype.itemsize, tuple(below))


def _address(array: np.ndarray) -> int:
    found: Any = array.__array_interface__["data"][0]
    return int(found)


def _steps(array: np.ndarray) -> tuple[int, ...]:
    return tuple([each // array.dtype.itemsize for each in array.strides])
