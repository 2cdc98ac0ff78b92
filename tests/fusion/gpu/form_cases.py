"""Joins, positions, filters and long rows, run by Triton's interpreter in a process of its own, against NumPy.

Run as a module it prints a JSON object: for each case and device the largest error, or what was raised.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch

from tests.fusion.gpu.interpreted import GPU, SMALL
from tests.fusion.gpu.patterns import layer_norm, softmax
from workbench.fusion import expr as ir
from workbench.fusion.eager import evaluate
from workbench.fusion.expr import Expr
from workbench.fusion.gpu import planning, triton_gen
from workbench.fusion.gpu.memory import Spec
from workbench.fusion.gpu.planning import program_of
from workbench.fusion.gpu.tasks import Unsupported

Made = tuple[list[tuple[Expr, np.ndarray]], list[Expr]]
CASES: dict[str, Callable[[], Made]] = {}
RNG = np.random.default_rng(7)


def case(function: Callable[[], Made]) -> Callable[[], Made]:
    """Add a case under its function's name."""
    CASES[function.__name__] = function
    return function


def given(array: Any, dtype: Any = np.float32) -> tuple[Expr, np.ndarray]:
    """Return a tensor that is planned for, and what is in it."""
    array = np.asarray(array, dtype)
    return ir.leaf(Spec.of(array.shape, array.dtype.name)), array


def normal(*shape: int) -> tuple[Expr, np.ndarray]:
    return given(RNG.normal(size=shape))


@case
def concat_of_rows() -> Made:
    x, y, z = normal(3, 5), normal(4, 5), normal(1, 5)
    twice = ir.map_("multiply", x[0], ir.const(np.float32(2)))
    return [x, y, z], [ir.concat([twice, y[0], z[0], x[0]], 0)]


@case
def concat_of_columns() -> Made:
    x, y = normal(6, 7), normal(6, 3)
    joined = ir.concat([x[0], ir.map_("exp", y[0])], 1)
    return [x, y], [joined, ir.reduce_("sum", joined, [1])]


@case
def concat_in_the_middle_with_fills() -> Made:
    x = normal(4, 3, 5)
    fill = ir.view(ir.const(np.float32(-1)), "broadcast", (4, 2, 5), (4, 2, 5))
    return [x], [ir.concat([fill, x[0], fill], 1)]


@case
def concat_of_a_transposed_view() -> Made:
    x, y = normal(40, 33), normal(33, 8)
    turned = ir.view(x[0], "transpose", (1, 0), (33, 40))
    return [x, y], [ir.concat([turned, y[0]], 1)]


@case
def concat_of_two_types() -> Made:
    x, y = normal(9), given(RNG.integers(-5, 5, 7), np.int32)
    return [x, y], [ir.concat([x[0], y[0]], 0)]


@case
def take_with_positions_from_the_end() -> Made:
    x, index = normal(11), given(RNG.integers(-11, 11, (4, 6)), np.int64)
    taken = ir.gather(x[0], index[0])
    return [x, index], [ir.map_("multiply", taken, ir.const(np.float32(3))), ir.reduce_("max", taken, [1])]


@case
def take_of_what_is_computed() -> Made:
    x, index = normal(300), given(RNG.integers(0, 300, 50), np.int32)
    return [x, index], [ir.gather(ir.map_("exp", x[0]), index[0]), ir.map_("exp", x[0])]


@case
def take_with_a_fill() -> Made:
    x, index = normal(5), given([0, -1, 4, 2, -1, 3], np.int64)
    return [x, index], [ir.gather(x[0], index[0], fill=np.nan)]


@case
def take_outside() -> Made:
    x, index = normal(5), given([0, 5, 4], np.int64)
    return [x, index], [ir.gather(x[0], index[0])]


def zeros(many: int, dtype: Any) -> Expr:
    return ir.view(ir.const(0, dtype), "broadcast", (many,), (many,))


@case
def counts_at_places() -> Made:
    index = given(RNG.integers(0, 13, 500), np.int64)
    one = ir.const(1, np.int64)
    return [index], [ir.scatter(zeros(13, np.int64), index[0], one, op="add")]


@case
def sums_at_places() -> Made:
    index, value = given(RNG.integers(-20, 20, 300), np.int32), normal(300)
    weighted = ir.map_("multiply", value[0], value[0])
    return [index, value], [ir.scatter(zeros(20, np.float32), index[0], weighted, op="add")]


@case
def sums_at_places_that_are_dropped() -> Made:
    index, value = given(RNG.integers(0, 9, 40), np.int64), normal(40)
    return [index, value], [ir.scatter(zeros(6, np.float32), index[0], value[0], op="add", drop=True)]


@case
def sums_at_places_outside() -> Made:
    index, value = given([0, 7], np.int64), normal(2)
    return [index, value], [ir.scatter(zeros(6, np.float32), index[0], value[0], op="add")]


@case
def filtered_rows_are_reduced() -> Made:
    x, y = normal(500), normal(500)
    mask = ir.map_("greater", x[0], ir.const(np.float32(0.25)))
    size = ir.Size("kept", mask, 500)
    a, b = ir.filter_(x[0], mask, size), ir.filter_(y[0], mask, size)
    both = ir.map_("add", ir.map_("multiply", a, b), a)
    names = ("sum", "mean", "max", "min", "var", "std", "prod")
    return [x, y], [ir.reduce_(each, both) for each in names] + [ir.reduce_("any", ir.map_("greater", b, a))]


@case
def rows_are_filtered_twice() -> Made:
    x = normal(200)
    kept = ir.filter_(x[0], ir.map_("greater", x[0], ir.const(np.float32(-0.5))))
    again = ir.filter_(kept, ir.map_("less", kept, ir.const(np.float32(0.5))))
    return [x], [ir.reduce_("sum", again), ir.reduce_("sum", kept)]


@case
def no_row_is_left() -> Made:
    x = normal(20)
    kept = ir.filter_(x[0], ir.map_("greater", x[0], ir.const(np.float32(100))))
    return [x], [ir.reduce_("max", kept)]


@case
def filtered_rows_that_are_kept() -> Made:
    x = normal(20)
    return [x], [ir.filter_(x[0], ir.map_("greater", x[0], ir.const(np.float32(0))))]


@case
def reductions_that_skip() -> Made:
    array = RNG.normal(size=(7, 30))
    array[RNG.random((7, 30)) < 0.3] = np.nan
    array[3] = np.nan
    x = given(array)
    names = ("nansum", "nanprod", "nanmean", "nanmin", "nanmax", "nanvar", "nanstd", "count")
    return [x], [ir.reduce_(each, x[0], [1]) for each in names] + [ir.reduce_("nansum", x[0], [0], keepdims=True)]


def long(dtype: Any, special: bool) -> tuple[Expr, np.ndarray]:
    array = RNG.integers(-50, 50, (2, 17_000)).astype(dtype)
    if special:
        array[0, 9_001] = array[0, 16_500] = np.nan
        array[1] = -np.inf
    return given(array, dtype)


@case
def first_places_in_long_rows() -> Made:
    x, y = long(np.float32, False), long(np.int32, False)
    return [x, y], [ir.reduce_(name, each[0], [1]) for each in (x, y) for name in ("argmax", "argmin")]


@case
def first_places_of_what_is_no_number() -> Made:
    x = long(np.float32, True)
    return [x], [ir.reduce_(name, x[0], [1]) for name in ("argmax", "argmin")]


@case
def first_places_of_all() -> Made:
    x = normal(20_000)
    return [x], [ir.reduce_("argmax", x[0]), ir.reduce_("argmin", x[0]), ir.reduce_("max", x[0])]


@case
def running_extremes_of_long_rows() -> Made:
    x = normal(1, 2100)
    return [x], [ir.scan("cummax", x[0], 1)]


@case
def walked_rows_of_a_norm_and_a_softmax() -> Made:
    x, weight = normal(6, 40), normal(40)
    return [x, weight], [layer_norm(x[0], weight[0], weight[0]), softmax(x[0])]


@case
def walked_rows_that_read_running_values() -> Made:
    x = normal(5, 24)
    total = ir.scan("cumsum", ir.map_("exp", x[0]), 1)
    return [x], [ir.map_("divide", total, ir.reduce_("max", x[0], [1], keepdims=True)), ir.reduce_("sum", total, [1])]


def outcomes(name: str) -> Iterator[tuple[str, Any]]:
    """Give what a case comes to on a large and on a tiny device."""
    # the interpreter takes long for what is scanned, and for what is walked
    stepwise = {"running": 1024, "walked": 16}.get(name.partition("_")[0])
    for label, model in (("large", GPU),) if stepwise else (("large", GPU), ("small", SMALL)):
        planning.emit = partial(triton_gen.emit, whole=stepwise) if stepwise else triton_gen.emit
        pairs, roots = CASES[name]()
        try:
            found = program_of([each for each, _ in pairs], roots, model)(*[torch.from_numpy(a) for _, a in pairs])
        except (Unsupported, IndexError, ValueError) as error:
            yield label, f"{type(error).__name__}: {error}"
            continue
        worst = 0.0
        for value, wanted in zip(found, evaluate(roots, {id(each): array for each, array in pairs}), strict=True):
            wanted = np.asarray(wanted)
            assert tuple(value.shape) == wanted.shape, (name, value.shape, wanted.shape)
            one, two = value.numpy().astype(np.float64), wanted.astype(np.float64)
            far = np.where((one == two) | (np.isnan(one) & np.isnan(two)), 0.0, np.abs(one - two))
            far = np.where(np.isnan(far), np.inf, far)
            scale = np.max(np.abs(two), where=np.isfinite(two), initial=1.0)
            worst = max(worst, float(np.max(far, initial=0.0) / scale))
        yield label, worst


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1")
    with np.errstate(all="ignore"):
        print(
            json.dumps({f"{name} / {label}": what for name in sys.argv[1:] or CASES for label, what in outcomes(name)})
        )
