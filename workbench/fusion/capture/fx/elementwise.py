"""Elementwise operators of torch as expressions."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch
import torch._inductor.inductor_prims

from workbench.fusion import expr as ir
from workbench.fusion.capture.fx.calls import Call, Unknown, dtype_of, operand, register
from workbench.fusion.expr import Expr

__all__: list[str] = []

aten = torch.ops.aten
prims = torch.ops.prims
_BOOL = np.dtype(bool)

#: of floats: integers are converted as torch does
_FLOAT = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh",
    "cos": "cos", "cosh": "cosh", "erf": "erf", "erfc": "erfc", "exp": "exp", "exp2": "exp2", "expm1": "expm1",
    "log": "log", "log10": "log10", "log1p": "log1p", "log2": "log2", "sigmoid": "expit", "sin": "sin", "sinh": "sinh",
    "sqrt": "sqrt", "tan": "tan", "tanh": "tanh", "reciprocal": "reciprocal", "special_ndtr": "ndtr",
}  # fmt: skip
#: of what keeps its dtype
_SAME = {"abs": "absolute", "neg": "negative", "ceil": "ceil", "floor": "floor", "trunc": "trunc", "round": "rint"}
_COMPARE = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
_LOGIC = {"logical_and": "logical_and", "logical_or": "logical_or", "logical_xor": "logical_xor"}
_BITS = {"bitwise_and": "bitwise_and", "bitwise_or": "bitwise_or", "bitwise_xor": "bitwise_xor"}
_BINARY = {"mul": "multiply", "maximum": "maximum", "minimum": "minimum", "atan2": "arctan2", "hypot": "hypot",
           "copysign": "copysign", "fmax": "fmax", "fmin": "fmin"}  # fmt: skip
#: what each rounds towards; whole numbers divided by zero raise in torch
_DIVISIONS = {"remainder": "remainder", "fmod": "fmod"}


def _forms(name: str, *forms: str) -> list[Any]:
    packet = getattr(aten, name)
    return [getattr(packet, form) for form in forms if form in packet.overloads()]


def _unary(op: str) -> Any:
    def handler(call: Call) -> Expr:
        return call.map(op, call.tensor("self"))

    return handler


def _same(op: str) -> Any:
    def handler(call: Call) -> Expr:
        if call.kind.kind != "f" and op in ("ceil", "floor", "trunc", "rint"):
            return call.tensor("self")
        if call.kind.kind == "b":
            raise Unknown
        return call.map(op, call.tensor("self"))

    return handler


def _binary(op: str) -> Any:
    def handler(call: Call) -> Expr:
        if call.kind.kind == "b":
            if op != "multiply":
                raise Unknown
            return call.map("logical_and", call.tensor("self"), call.tensor("other"))
        return call.map(op, call.tensor("self"), call.tensor("other"))

    return handler


def _compare(op: str) -> Any:
    def handler(call: Call) -> Expr:
        kind = call.promoted("self", "other")
        return call.map(op, call.tensor("self", kind), call.tensor("other", kind))

    return handler


def _logic(op: str) -> Any:
    def handler(call: Call) -> Expr:
        return call.map(op, *[_truth(call, name) for name in ("self", "other")])

    return handler


def _truth(call: Call, name: str) -> Expr:
    value = call[name]
    return ir.cast(value, _BOOL) if isinstance(value, Expr) and value.dtype != _BOOL else call.tensor(name, _BOOL)


def _division(op: str) -> Any:
    def handler(call: Call) -> Expr:
        by = call["other"]
        if call.kind.kind != "f" and (not isinstance(by, int | float) or not by or call.kind.kind == "b"):
            raise Unknown
        return call.map(op, call.tensor("self"), call.tensor("other"))

    return handler


def _install() -> None:
    forms = ("default", "Tensor", "Scalar")
    for name, op in _FLOAT.items():
        register(*_forms(name, "default"))(_unary(op))
    for name, op in _SAME.items():
        register(*_forms(name, "default"))(_same(op))
    for name, op in _BINARY.items():
        register(*_forms(name, *forms))(_binary(op))
    for name, op in _COMPARE.items():
        register(*_forms(name, *forms))(_compare(op))
    for name, op in _LOGIC.items():
        register(*_forms(name, "default"))(_logic(op))
    for name, op in _BITS.items():
        register(*_forms(name, "default", "Tensor", "Scalar"))(_bits(op))
    for name, op in _DIVISIONS.items():
        register(*_forms(name, *forms))(_division(op))


def _bits(op: str) -> Any:
    def handler(call: Call) -> Expr:
        return call.map(op, call.tensor("self"), call.tensor("other"))

    return handler


_install()


@register(aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar)
def _sum(call: Call) -> Expr:
    left, right = call.tensor("self"), call.tensor("other")
    if call.kind.kind == "b":
        if call.node.target.overloadpacket is aten.sub or call["alpha"] != 1:
            raise Unknown
        return call.map("logical_or", left, right)
    if call["alpha"] != 1:
        right = call.map("multiply", right, call.tensor("alpha"))
    return call.map("add" if call.node.target.overloadpacket is aten.add else "subtract", left, right)


@register(aten.rsub.Tensor, aten.rsub.Scalar)
def _reversed(call: Call) -> Expr:
    left = call.tensor("self")
    if call["alpha"] != 1:
        left = call.map("multiply", left, call.tensor("alpha"))
    return call.map("subtract", call.tensor("other"), left)


@register(aten.div.Tensor, aten.div.Scalar)
def _div(call: Call) -> Expr:
    return call.map("divide", call.tensor("self"), call.tensor("other"))


@register(aten.div.Tensor_mode, aten.div.Scalar_mode)
def _div_mode(call: Call) -> Expr:
    left, right, mode = call.tensor("self"), call.tensor("other"), call["rounding_mode"]
    if mode is None:
        return call.map("divide", left, right)
    if call.kind.kind == "f":
        found = call.map("divide", left, right)
        return call.map("trunc", found) if mode == "trunc" else call.map("floor_divide", left, right)
    by = call["other"]
    if mode != "floor" or call.kind.kind == "b" or not isinstance(by, int) or not by:
        raise Unknown
    return call.map("floor_divide", left, right)


@register(aten.floor_divide.default, aten.floor_divide.Scalar)
def _floor_divide(call: Call) -> Expr:
    by = call["other"]
    if call.kind.kind != "f" and (not isinstance(by, int | float) or not by or call.kind.kind == "b"):
        raise Unknown
    return call.map("floor_divide", call.tensor("self"), call.tensor("other"))


@register(aten.pow.Tensor_Scalar, aten.pow.Tensor_Tensor, aten.pow.Scalar)
def _pow(call: Call) -> Expr:
    by, kind = call["exponent"], call.kind
    x = call.tensor("self")
    if isinstance(by, int | float) and not isinstance(call.raw["exponent"], torch.fx.Node):
        if by == 1:
            return x
        if by == 2:
            return call.map("square", x)
        if kind.kind == "f":
            short = {-1: "reciprocal", 0.5: "sqrt"}.get(by)
            if short is not None:
                return call.map(short, x)
            if by == 3:
                return call.map("multiply", call.map("square", x), x)
            if by == -0.5:
                return call.map("reciprocal", call.map("sqrt", x))
    if kind.kind != "f" and not (isinstance(by, int) and by >= 0):
        raise Unknown
    return call.map("power", x, call.tensor("exponent"))


@register(aten.rsqrt.default)
def _rsqrt(call: Call) -> Expr:
    return call.map("reciprocal", call.map("sqrt", call.tensor("self")))


@register(aten.square.default)
def _square(call: Call) -> Expr:
    return call.map("square", call.tensor("self"))


@register(aten.relu.default)
def _relu(call: Call) -> Expr:
    return call.map("maximum", call.tensor("self"), ir.const(0, call.kind))


@register(aten.sign.default, aten.sgn.default)
def _sign(call: Call) -> Expr:
    if call.kind.kind != "f":
        raise Unknown
    x, zero, one = call.tensor("self"), ir.const(0, call.kind), ir.const(1, call.kind)
    up = ir.cast(call.map("greater", x, zero), call.kind)  # of NaN it is zero
    return call.map("subtract", up, ir.cast(call.map("less", x, zero), call.kind)) if one.dtype else up


@register(aten.clamp.default, aten.clamp.Tensor, aten.clamp_min.default, aten.clamp_max.default)
def _clamp(call: Call) -> Expr:
    if call.kind.kind == "b":
        raise Unknown
    found = call.tensor("self")
    for name, op in (("min", "maximum"), ("max", "minimum")):
        if call.get(name) is not None:
            found = call.map(op, found, call.tensor(name))
    return found


@register(aten.where.self, aten.where.ScalarOther, aten.where.ScalarSelf, aten.where.Scalar)
def _where(call: Call) -> Expr:
    mask = call.tensor("condition", _BOOL)
    return ir.select(mask, call.tensor("self"), call.tensor("other"), call.where)


@register(aten.masked_fill.Scalar, aten.masked_fill.Tensor)
def _masked_fill(call: Call) -> Expr:
    x = call.tensor("self")
    found = ir.select(call.tensor("mask", _BOOL), call.tensor("value"), x, call.where)
    return found


@register(aten.logical_not.default)
def _not(call: Call) -> Expr:
    return call.map("logical_not", _truth(call, "self"))


@register(aten.bitwise_not.default)
def _invert(call: Call) -> Expr:
    return call.map("invert", call.tensor("self"))


@register(aten.isnan.default, aten.isinf.default)
def _test(call: Call) -> Expr:
    name = call.node.target.overloadpacket.__name__.split(".")[-1]
    kind = dtype_of(call.dtype("self"))
    if kind.kind != "f":
        raise Unknown
    return call.map(name, call.tensor("self", kind))


@register(aten._to_copy.default, prims.convert_element_type.default)
def _cast(call: Call) -> Expr:
    x = call[call.node.target._schema.arguments[0].name]
    _on_the_spot(call)
    source = x.dtype
    if source.kind == "f" and call.kind.kind in "iu":
        raise Unknown  # out of range it is whatever the machine gives
    return x if source == call.kind else ir.cast(x, call.kind, call.where)


@register(aten.clone.default, aten.alias.default, aten.detach.default, aten.lift_fresh_copy.default)
def _clone(call: Call) -> Expr:
    return call.tensor("self")


@register(aten.copy.default)
def _copy(call: Call) -> Expr:
    found, shape = operand(call["src"], call.raw["src"], call.kind), call["self"].shape
    return found if found.shape == shape else ir.view(found, "broadcast", shape, shape, call.where)


@register(aten.lerp.Scalar, aten.lerp.Tensor)
def _lerp(call: Call) -> Expr:
    start, end, weight = call.tensor("self"), call.tensor("end"), call.tensor("weight")
    near = call.map("add", start, call.map("multiply", weight, call.map("subtract", end, start)))
    by = call["weight"]
    if isinstance(by, int | float) and abs(by) < 0.5:
        return near
    one = ir.const(1, call.kind)
    left = call.map("multiply", call.map("subtract", end, start), call.map("subtract", one, weight))
    far = call.map("subtract", end, left)
    if isinstance(by, int | float):
        return far
    small = call.map("less", call.map("absolute", weight), ir.const(0.5, call.kind))
    return ir.select(small, near, far, call.where)


def _fma(call: Call) -> Expr:
    a, b, c = [call.tensor(each.name) for each in call.node.target._schema.arguments]
    return call.map("add", call.map("multiply", a, b), c)


with contextlib.suppress(AttributeError):  # torch's decompositions use it from some version on
    register(prims.fma.default)(_fma)


@register(aten.addcmul.default, aten.addcdiv.default)
def _fused(call: Call) -> Expr:
    op = "multiply" if call.node.target.overloadpacket is aten.addcmul else "divide"
    found = call.map(op, call.tensor("tensor1"), call.tensor("tensor2"))
    if call["value"] != 1:
        found = call.map("multiply", call.tensor("value"), found)
    return call.map("add", call.tensor("self"), found)


def _on_the_spot(call: Call) -> None:
    """What goes to another device is none of ours."""
    given = call.raw.get(call.node.target._schema.arguments[0].name)
    if given is not None and given.meta["val"].device != call.out.device:
        raise Unknown
