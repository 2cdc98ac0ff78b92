"""Expressions: what was captured, as immutable nodes of a directed acyclic graph.

A node has a kind, the name of its operation, inputs, and attributes. Its type is a dtype and a shape, of which a
length that only the run will tell is a `Size`. Nodes are made as they are captured, so that a plan can count the calls
as eager code runs them; equal nodes are made one when it is planned.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeAlias

import numpy as np

from workbench.fusion.ops import OPS, call_dtype, reduce_dtype

__all__ = [
    "KINDS",
    "Dim",
    "Expr",
    "Fallback",
    "Shape",
    "Size",
    "broadcast_shapes",
    "cast",
    "concat",
    "const",
    "extern",
    "filter_",
    "gather",
    "group_reduce",
    "item",
    "join",
    "leaf",
    "map_",
    "reduce_",
    "rows",
    "scan",
    "scatter",
    "select",
    "sort",
    "view",
]

#: every kind of node; `Item` picks one result of a node that has several
KINDS = (
    "Leaf", "Const", "Map", "Select", "Cast", "Reduce", "Broadcast", "View", "Filter", "GroupReduce", "Scan", "Gather",
    "Scatter", "Join", "Sort", "Concat", "Extern", "Item", "Rows",
)  # fmt: skip

_numbers = itertools.count(1)


class Size:
    """A length that only the run will tell.

    Parameters
    ----------
    name : str
        How it is shown.
    mask : Expr, optional
        What it is the number of true elements of: the rows of a filter's child domain.
    parent : int or Size, optional
        The length of `mask`.
    """

    __slots__ = ("mask", "name", "parent", "value")

    def __init__(self, name: str, mask: Expr | None = None, parent: int | Size | None = None) -> None:
        self.name, self.mask, self.parent = name, mask, parent
        #: the number, once it is known
        self.value: int | None = None

    def __repr__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


Dim: TypeAlias = "int | Size"
Shape: TypeAlias = "tuple[int | Size, ...]"


class Fallback:
    """What is known of a call that ran in its own library: kept at the leaf that its result became."""

    __slots__ = ("bytes_read", "bytes_written", "earlier", "ms", "name", "reason", "reported", "where")

    def __init__(
        self, name: str, reason: str, where: Any = None, ms: float = 0.0, bytes_read: int = 0, bytes_written: int = 0
    ) -> None:
        self.name, self.reason, self.where, self.ms = name, reason, where, ms
        self.bytes_read, self.bytes_written = bytes_read, bytes_written
        self.reported = False
        #: notes on what its inputs came from
        self.earlier: tuple[Fallback, ...] = ()
        for each in noted:
            each.append(self)


#: lists that notes are added to while someone records them
noted: list[list[Fallback]] = []


class Expr:
    """One node.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    name : str
        The operation: a ufunc's name, "sum", "cumsum", a function's name.
    inputs : tuple of Expr
    attrs : tuple
        What else defines it, hashable, as (name, value) pairs.
    dtype : numpy.dtype
    shape : tuple of int or Size
    data : object
        Of a leaf the array, of a constant the scalar, of an extern the call: `data(*values)`.
    valid : Expr or None
        Which elements are there, for masked dtypes.
    rows : Size or None
        Of a mask: how many elements hold, once a filter has asked.
    where : tuple or None
        Source position: code object and instruction, or (file, line).
    calls : int
        How many calls of eager code it stands for.
    call : object
        The call as it was captured, if it says more than the node: (function, args, kwargs).
    """

    __slots__ = (
        "__weakref__", "_number", "attrs", "call", "calls", "data", "dtype", "inputs", "kind", "name", "rows",
        "shape", "valid", "where",
    )  # fmt: skip

    def __init__(
        self,
        kind: str,
        name: str,
        inputs: tuple[Expr, ...],
        attrs: tuple[Any, ...],
        dtype: np.dtype,
        shape: Shape,
        where: Any = None,
        data: Any = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.inputs = inputs
        self.attrs = attrs
        self.dtype = dtype
        self.shape = shape
        self.where = where
        self.data = data
        self.valid: Expr | None = None
        self.rows: Size | None = None
        self.calls = 1
        self.call: Any = None

    @property
    def number(self) -> int:
        """What tells it from all others where it is named."""
        try:
            return self._number
        except AttributeError:  # most are never asked
            self._number: int = next(_numbers)
            return self._number

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def domain(self) -> Dim | None:
        """The rows it runs over: its first length, None for a single value."""
        return self.shape[0] if self.shape else None

    def attr(self, name: str, default: Any = None) -> Any:
        """Return an attribute by name."""
        for key, value in self.attrs:
            if key == name:
                return value
        return default

    def key(self) -> Hashable:
        """Return what makes it equal to another node whose inputs are the same objects."""
        if self.kind == "Leaf":
            return ("Leaf", id(self.data))
        if self.kind == "Const":
            return ("Const", type(self.data).__name__, self.dtype, _bits(self.data))
        own = id(self.data) if self.kind == "Extern" else None
        return (self.kind, self.name, self.attrs, self.dtype, self.shape, own, *(id(each) for each in self.inputs))

    def __repr__(self) -> str:
        inputs = ", ".join(f"#{each.number}" for each in self.inputs)
        return f"<#{self.number} {self.kind} {self.name}({inputs}) {self.dtype}{list(self.shape)}>"


_constants: dict[Any, Expr] = {}

# making nodes


def leaf(array: Any, name: str = "", where: Any = None) -> Expr:
    """Return a leaf over an array; it is borrowed, not copied."""
    return Expr("Leaf", name, (), (), array.dtype, array.shape, where, array)


def const(value: Any, dtype: Any = None) -> Expr:
    """Return a constant: a Python number takes part in promotion weakly, a NumPy scalar with its dtype."""
    if dtype is None:
        kind = type(value)
        if kind in (int, float) and value and value == value:  # 0.0 and -0.0 are equal, NaN is not
            found = _constants.get((kind, value))
            if found is None:
                if len(_constants) > 512:
                    _constants.clear()
                found = _constants[kind, value] = Expr(
                    "Const", repr(value), (), (), np.asarray(value).dtype, (), None, value
                )
            return found
    else:
        value = np.dtype(dtype).type(value)
    return Expr("Const", repr(value), (), (), np.asarray(value).dtype, (), None, value)


def map_(name: str, *inputs: Expr, where: Any = None) -> Expr:
    """Return an elementwise operation of the op table on broadcast inputs."""
    dtype = call_dtype(name, tuple([_promotes(each) for each in inputs]))
    shape = inputs[0].shape
    for other in inputs[1:]:
        if other.shape != shape:
            shape = broadcast_shapes(shape, other.shape)
    return Expr("Map", name, inputs, (), dtype, shape, where)


def cast(x: Expr, dtype: Any, where: Any = None) -> Expr:
    """Return `x.astype(dtype)`."""
    return Expr("Cast", "astype", (x,), (), np.dtype(dtype), x.shape, where)


def select(condition: Expr, yes: Expr, no: Expr, where: Any = None, name: str = "where") -> Expr:
    """Return `numpy.where(condition, yes, no)`."""
    dtype = call_dtype("where", (condition.dtype, _promotes(yes), _promotes(no)))
    shape = broadcast_shapes(broadcast_shapes(condition.shape, yes.shape), no.shape)
    return Expr("Select", name, (condition, yes, no), (), dtype, shape, where)


def reduce_(
    name: str,
    x: Expr,
    axes: Sequence[int] | None = None,
    *,
    keepdims: bool = False,
    ddof: float = 0,
    dtype: Any = None,
    where: Any = None,
) -> Expr:
    """Return a reduction of the op table over some axes, or all.

    Parameters
    ----------
    name : str
        sum prod min max any all argmin argmax count_nonzero mean var std, and nansum nanprod nanmin nanmax nanmean
        nanvar nanstd count (of what is not NaN) first last.
    axes : sequence of int, optional
        Not negative; None is all.
    keepdims : bool
        Keep reduced axes with length 1.
    ddof : float
        Of var and std.
    dtype : dtype, optional
        Of the accumulator and the result of sum, prod and mean.
    """
    every = tuple(range(len(x.shape))) if axes is None else tuple(sorted(axes))
    shape = tuple([1 if k in every else d for k, d in enumerate(x.shape) if keepdims or k not in every])
    found = reduce_dtype(name, x.dtype, dtype)
    attrs = (("axes", every), ("keepdims", keepdims), ("ddof", ddof), ("dtype", None if dtype is None else found))
    return Expr("Reduce", name, (x,), attrs, found, shape, where)


def view(x: Expr, how: str, spec: Any, shape: Shape, where: Any = None) -> Expr:
    """Return a view: `how` is "index" (a key of slices, integers, None), "transpose", "reshape", "broadcast".

    `spec` is the hashable argument of that NumPy function; slices are written ("slice", start, stop, step).
    """
    kind = "Broadcast" if how == "broadcast" else "View"
    return Expr(kind, how, (x,), (("spec", spec),), x.dtype, shape, where)


def filter_(x: Expr, mask: Expr, size: Size | None = None, where: Any = None) -> Expr:
    """Return the rows of x (first axis) for which the 1-d mask holds; columns of one frame share one `size`."""
    size = size if size is not None else Size(f"count#{mask.number}", mask, mask.shape[0])
    return Expr("Filter", "filter", (x, mask), (), x.dtype, (size, *x.shape[1:]), where)


def rows(like: Expr) -> Expr:
    """Return 0, 1, 2, … for the rows of a 1-d array, without memory for them."""
    found = Expr("Rows", "rows", (like,), (), np.dtype(np.int64), like.shape)
    found.calls = 0
    return found


def gather(x: Expr, index: Expr, where: Any = None, fill: Any = None, name: str = "take", inside: bool = False) -> Expr:
    """Return `x[index]` along the first axis.

    Parameters
    ----------
    x, index : Expr
        Integers; negative ones count from the end, those outside raise IndexError.
    fill : scalar, optional
        Given: what stands where the index is negative, instead of counting from the end (a missing row of a join).
    inside : bool
        Whether every index is known to be there and not negative: it is not looked at then.
    """
    attrs: tuple[Any, ...] = (("inside", True),) if inside else ()
    attrs = attrs if fill is None else (*attrs, ("fill", fill))
    return Expr("Gather", name, (x, index), attrs, x.dtype, (*index.shape, *x.shape[1:]), where)


def scatter(
    x: Expr, index: Expr, value: Expr, where: Any = None, name: str = "put", op: str = "set", drop: bool = False
) -> Expr:
    """Return a copy of x with x[index] = value, or `+=` and so on with op "add", "minimum", "maximum".

    With `drop` what is to go to a place outside of x is left out, instead of raising IndexError.
    """
    return Expr("Scatter", name, (x, index, value), (("op", op), ("drop", drop)), x.dtype, x.shape, where)


def scan(name: str, x: Expr, axis: int = 0, dtype: Any = None, where: Any = None) -> Expr:
    """Return cumsum, cumprod, cummin, cummax along an axis; nan... variants skip NaN as pandas does."""
    base = {"cumsum": "sum", "cumprod": "prod"}.get(name.removeprefix("nan"))
    found = np.dtype(dtype) if dtype is not None else reduce_dtype(base, x.dtype, None) if base else x.dtype
    if x.shape[axis] == 1:  # no loop runs along it
        return cast(x, found, where)
    return Expr("Scan", name, (x,), (("axis", axis),), found, x.shape, where)


def group_reduce(
    keys: Sequence[Expr],
    values: Sequence[tuple[str, Expr | None]],
    *,
    sort: bool = True,
    dropna: bool = True,
    ddof: int = 1,
    size: Size | None = None,
    where: Any = None,
) -> tuple[Expr, ...]:
    """Return one node for each key and each aggregate, one element a group.

    Parameters
    ----------
    keys : sequence of Expr
        1-d, of one domain.
    values : sequence of (name, Expr or None)
        sum prod mean var std min max count first last any all nunique idxmin idxmax as pandas means them (NaN skipped;
        idx* gives positions, -1 where a group has no value); ("size", None) is the rows of a group; ("codes", None)
        gives, for each row and not each group, the number of its group, -1 where a key was dropped.
    sort : bool
        Groups by ascending key, else by first appearance.
    dropna : bool
        Rows with a NaN key are left out.
    size : Size, optional
        How many groups there are: one for all that is asked of the same groups.
    """
    size = Size(f"groups#{keys[0].number}") if size is None else size
    ops = tuple([name for name, _ in values])
    inputs = (*keys, *(each for _, each in values if each is not None))
    attrs = (("keys", len(keys)), ("ops", ops), ("sort", sort), ("dropna", dropna), ("ddof", ddof))
    node = Expr("GroupReduce", "groupby", inputs, attrs, np.dtype(np.int64), (size,), where)
    found = [item(node, k, each.dtype, (size,)) for k, each in enumerate(keys)]
    for k, (name, each) in enumerate(values):
        dtype = group_dtype(name, None if each is None else each.dtype)
        found.append(item(node, len(keys) + k, dtype, keys[0].shape if name == "codes" else (size,)))
    return tuple(found)


def group_dtype(name: str, dtype: np.dtype | None) -> np.dtype:
    """Return the dtype of an aggregate by group, as pandas gives it for NumPy dtypes."""
    if name in ("size", "count", "nunique", "codes", "idxmin", "idxmax"):
        return np.dtype(np.int64)
    if name in ("any", "all"):
        return np.dtype(bool)
    assert dtype is not None
    if name in ("mean", "var", "std"):
        return dtype if dtype.kind == "f" else np.dtype(np.float64)
    if name in ("sum", "prod"):
        return reduce_dtype("sum", dtype, None) if dtype.kind in "biu" else dtype
    return dtype


def join(left: Sequence[Expr], right: Sequence[Expr], how: str, where: Any = None) -> tuple[Expr, Expr]:
    """Return for each row of the merged frame the row of the left and of the right, int64, -1 for none.

    Rows come in the order of `pandas.merge(how=how, sort=False)`.
    """
    size = Size(f"rows#{left[0].number}")
    attrs = (("keys", len(left)), ("how", how))
    node = Expr("Join", "merge", (*left, *right), attrs, np.dtype(np.int64), (size,), where)
    return item(node, 0, np.dtype(np.int64), (size,)), item(node, 1, np.dtype(np.int64), (size,))


def sort(
    keys: Sequence[Expr], ascending: Sequence[bool] | None = None, *, na_last: bool = True, where: Any = None
) -> Expr:
    """Return the positions (int64) that sort by the keys, the first being the most important; stable."""
    up = tuple(ascending) if ascending is not None else (True,) * len(keys)
    attrs = (("ascending", up), ("na_last", na_last))
    return Expr("Sort", "argsort", tuple(keys), attrs, np.dtype(np.int64), keys[0].shape, where)


def concat(
    xs: Sequence[Expr], axis: int = 0, where: Any = None, name: str = "concatenate", size: Dim | None = None
) -> Expr:
    """Return arrays joined along an axis; `size` is how long it is then, one object for all columns of a table."""
    dtype = np.result_type(*[each.dtype for each in xs])
    along = [each.shape[axis] for each in xs]
    known = [d for d in along if isinstance(d, int)]
    total: Dim | None = sum(known) if len(known) == len(along) else size
    total = Size(f"concat#{xs[0].number}") if total is None else total
    shape = (*xs[0].shape[:axis], total, *xs[0].shape[axis + 1 :])
    return Expr("Concat", name, tuple(xs), (("axis", axis),), dtype, shape, where)


def extern(
    name: str, call: Callable[..., Any], inputs: Sequence[Expr], dtype: Any, shape: Shape, where: Any = None
) -> Expr:
    """Return a call of a library on the values of its inputs: `call(*values)`; a tuple of results needs `item`."""
    return Expr("Extern", name, tuple(inputs), (), np.dtype(dtype), shape, where, call)


def item(node: Expr, index: int, dtype: np.dtype, shape: Shape) -> Expr:
    """Return one result of a node that has several."""
    found = Expr("Item", node.name, (node,), (("index", index),), dtype, shape, node.where)
    found.calls = 0
    return found


# shapes


def broadcast_shapes(first: Shape, second: Shape) -> Shape:
    """Return the shape of two broadcast together.

    Raises
    ------
    ValueError
        If they do not fit, or that cannot be told before the run.
    """
    if len(first) < len(second):
        first, second = second, first
    ahead = len(first) - len(second)
    found: list[Dim] = list(first[:ahead])
    for a, b in zip(first[ahead:], second, strict=True):
        if a is b or a == b or b == 1:
            found.append(a)
        elif a == 1:
            found.append(b)
        else:
            raise ValueError(f"shapes {first} and {second} do not broadcast")
    return tuple(found)


def _promotes(x: Expr) -> Any:
    if x.kind == "Const" and type(x.data) in (int, float, bool, complex):
        return type(x.data)
    return x.dtype


def _bits(value: Any) -> Hashable:
    return value.hex() if isinstance(value, float) else np.asarray(value).tobytes()


assert OPS
