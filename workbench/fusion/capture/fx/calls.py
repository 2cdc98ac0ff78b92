"""One call of a graph on the way to an expression: its arguments by name, and what torch says of its dtypes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture.tensor import numpy_dtype
from workbench.fusion.expr import Expr

__all__ = ["TABLE", "Call", "Unknown", "dtype_of", "register", "value_of"]

Handler = Callable[["Call"], Any]

#: operator of torch -> what makes an expression of a call of it
TABLE: dict[Any, Handler] = {}


class Unknown(Exception):
    """A call that has no expression in this form: the library computes it."""


def register(*targets: Any) -> Callable[[Handler], Handler]:
    """Have a function make the expressions of calls of some operators."""

    def wrap(handler: Handler) -> Handler:
        TABLE.update(dict.fromkeys(targets, handler))
        return handler

    return wrap


def value_of(node: Any) -> Any:
    """Return what is known of a node without running it: a fake tensor, a symbolic number."""
    found = node.meta.get("val")
    return node.meta.get("example_value") if found is None else found


def dtype_of(dtype: torch.dtype) -> np.dtype:
    """Return the dtype that kernels compute a tensor in."""
    found = numpy_dtype(dtype)
    if found is None:
        raise Unknown
    return found


class Call:
    """A call with the values of its inputs.

    Parameters
    ----------
    node : torch.fx.Node
    values : dict
        Node -> its expression, or number.

    Attributes
    ----------
    raw, args : dict
        Argument by name, as the graph has it, and with nodes replaced by their values.
    where : tuple or None
        Source position (file, line).
    """

    def __init__(self, node: Any, values: dict[Any, Any], where: Any = None) -> None:
        self.node, self.where = node, where
        arguments = node.target._schema.arguments
        names = [each.name for each in arguments]
        self.raw = {each.name: each.default_value for each in arguments if each.has_default_value()}
        self.raw.update(zip(names, node.args, strict=False))
        self.raw.update(node.kwargs)
        self.args = {name: _valued(each, values) for name, each in self.raw.items()}

    def __getitem__(self, name: str) -> Any:
        return self.args[name]

    def get(self, name: str, default: Any = None) -> Any:
        """Return an argument, if the operator has it."""
        return self.args.get(name, default)

    @property
    def out(self) -> Any:
        """What the call gives, without data."""
        return value_of(self.node)

    @property
    def kind(self) -> np.dtype:
        """The dtype that the result is computed in."""
        return dtype_of(self.out.dtype)

    def tensor(self, name: str, kind: np.dtype | None = None) -> Expr:
        """Return an argument as an expression, in a dtype.

        A number takes it at once. One that is symbolic is read from memory: code does not depend on it.
        """
        return operand(self.args[name], self.raw[name], self.kind if kind is None else kind)

    def dtype(self, name: str) -> torch.dtype:
        """Return the torch dtype of a tensor argument."""
        return value_of(self.raw[name]).dtype

    def promoted(self, *names: str) -> np.dtype:
        """Return the dtype to which torch converts arguments that are computed together."""
        from torch._prims_common import ELEMENTWISE_TYPE_PROMOTION_KIND, elementwise_dtypes

        seen = [value_of(each) if isinstance(each, torch.fx.Node) else each for each in map(self.raw.get, names)]
        kind = ELEMENTWISE_TYPE_PROMOTION_KIND.DEFAULT
        return dtype_of(elementwise_dtypes(*seen, type_promotion_kind=kind)[0])

    def map(self, name: str, *inputs: Expr) -> Expr:
        """Return an operation of the op table."""
        return ir.map_(name, *inputs, where=self.where)


def operand(value: Any, raw: Any, kind: np.dtype) -> Expr:
    """Return a value as an expression of a dtype."""
    if isinstance(value, Expr):
        return value if value.dtype == kind else ir.cast(value, kind)
    if not isinstance(value, int | float):
        raise Unknown
    if isinstance(raw, torch.fx.Node):
        return ir.leaf(np.asarray(value, kind))
    if kind.kind in "iu" and not np.iinfo(kind).min <= value <= np.iinfo(kind).max:
        raise Unknown
    with np.errstate(over="ignore"):
        return ir.const(value, kind)


def _valued(each: Any, values: dict[Any, Any]) -> Any:
    if isinstance(each, torch.fx.Node):
        return values[each]
    if isinstance(each, list | tuple):
        return [_valued(one, values) for one in each]
    return each


def axes_of(dims: Any, ndim: int) -> tuple[int, ...]:
    """Return dimensions, none of them negative; all for None or an empty list."""
    if dims is None or (isinstance(dims, Sequence) and not dims):
        return tuple(range(ndim))
    some = dims if isinstance(dims, Sequence) else [dims]
    return tuple([int(d) % max(ndim, 1) for d in some])
