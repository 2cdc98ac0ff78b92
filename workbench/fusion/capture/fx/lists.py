"""Operators on lists of tensors, as optimizers use them: each is that of one tensor, many times."""

from __future__ import annotations

from typing import Any

import torch

from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.calls import Call, Unknown, dtype_of, operand, register
from workbench.fusion.expr import Expr

__all__: list[str] = []

aten = torch.ops.aten

_UNARY = {"sqrt": "sqrt", "neg": "negative", "abs": "absolute", "exp": "exp", "reciprocal": "reciprocal"}
_BINARY = {"add": "add", "sub": "subtract", "mul": "multiply", "div": "divide", "maximum": "maximum",
           "minimum": "minimum", "clamp_min": "maximum", "clamp_max": "minimum"}  # fmt: skip


class _One:
    """One tensor's part of a call on lists."""

    def __init__(self, call: Call, k: int) -> None:
        self.call, self.k = call, k
        self.kind = dtype_of(call.out[k].dtype)

    def __getitem__(self, name: str) -> Expr:
        value, raw = self.call[name], self.call.raw[name]
        if isinstance(value, list):
            value, raw = value[self.k], raw[self.k]
        return operand(value, raw, self.kind)

    def map(self, name: str, *inputs: Expr) -> Expr:
        return ir.map_(name, *inputs, where=self.call.where)


def _each(formula: Any) -> Any:
    def handler(call: Call) -> list[Expr]:
        ones = [_One(call, k) for k in range(len(call.out))]
        if any(one.kind.kind != "f" for one in ones):
            raise Unknown
        return [formula(one) for one in ones]

    return handler


def _unary(op: str) -> Any:
    return _each(lambda one: one.map(op, one["self"]))


def _other(call: Call) -> str:
    return next(name for name in ("other", "scalars", "scalar", "tensor") if name in call.args)


def _binary(op: str) -> Any:
    def formula(one: _One) -> Expr:
        right = one[_other(one.call)]
        if one.call.get("alpha", 1) != 1:
            right = one.map("multiply", right, one["alpha"])
        return one.map(op, one["self"], right)

    return _each(formula)


def _ternary(op: str) -> Any:
    def formula(one: _One) -> Expr:
        found = one.map(op, one["tensor1"], one["tensor2"])
        by = "scalars" if "scalars" in one.call.args else "value" if "value" in one.call.args else "tensors"
        return one.map("add", one["self"], one.map("multiply", one[by], found))

    return _each(formula)


def _lerp(one: _One) -> Expr:
    start, end = one["self"], one["tensors1"]
    by = one["weights" if "weights" in one.call.args else "tensors2" if "tensors2" in one.call.args else "weight"]
    near = one.map("add", start, one.map("multiply", by, one.map("subtract", end, start)))
    rest = one.map("subtract", ir.const(1, one.kind), by)
    far = one.map("subtract", end, one.map("multiply", one.map("subtract", end, start), rest))
    return ir.select(one.map("less", one.map("absolute", by), ir.const(0.5, one.kind)), near, far)


def _power(one: _One) -> Expr:
    return one.map("power", one["self"], one["exponent"])


def _sign(one: _One) -> Expr:
    x, zero = one["self"], ir.const(0, one.kind)
    up, down = (ir.cast(one.map(name, x, zero), one.kind) for name in ("greater", "less"))
    return one.map("subtract", up, down)


def _install() -> None:
    def forms(name: str, *some: str) -> list[Any]:
        packet = getattr(aten, f"_foreach_{name}")
        return [getattr(packet, form) for form in some if form in packet.overloads()]

    for name, op in _UNARY.items():
        register(*forms(name, "default"))(_unary(op))
    for name, op in _BINARY.items():
        register(*forms(name, "List", "Scalar", "ScalarList", "Tensor"))(_binary(op))
    for name, op in (("addcmul", "multiply"), ("addcdiv", "divide")):
        register(*forms(name, "Scalar", "ScalarList"))(_ternary(op))
    register(*forms("lerp", "List", "Scalar", "ScalarList"))(_each(_lerp))
    register(*forms("pow", "Scalar", "ScalarAndTensor", "List", "ScalarList"))(_each(_power))
    register(*forms("sign", "default"))(_each(_sign))


_install()
