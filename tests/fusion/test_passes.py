from __future__ import annotations

import numpy as np
import pytest

from workbench.fusion import expr as ir
from workbench.fusion.passes import optimise
from workbench.fusion.run import force

X = np.array([1.5, -0.0, 0.0, np.nan, np.inf, -np.inf, 3.0])


def became(node: ir.Expr) -> ir.Expr:
    return optimise([node])[0][0]


@pytest.mark.parametrize(
    ("name", "number", "dtype", "wanted"),
    [
        ("multiply", 1, "float64", "Leaf"), ("add", 0, "int64", "Leaf"), ("add", 0, "float64", "Map"),
        ("add", 0.0, "int64", "Map"), ("subtract", 0.0, "float64", "Leaf"), ("subtract", -0.0, "float64", "Map"),
        ("divide", 1, "float64", "Leaf"), ("divide", 1, "int64", "Map"), ("multiply", 1.0, "float32", "Leaf"),
        ("multiply", 1.0, "int64", "Map"),
    ],
)  # fmt: skip
def test_c17_algebra_keeps_the_bits(name: str, number: float, dtype: str, wanted: str) -> None:
    with np.errstate(all="ignore"):
        x = X.astype(dtype) if dtype.startswith("f") else np.arange(7)
    node = ir.map_(name, ir.leaf(x), ir.const(number))
    assert became(node).kind == wanted
    [value], _ = force([node], device="interpreter")
    [eager], _ = force([node], device="eager")
    assert value.dtype == eager.dtype and value.tobytes() == eager.tobytes()


def test_divisions_by_powers_of_two_are_products() -> None:
    x = ir.leaf(X)
    assert became(ir.map_("divide", x, ir.const(8))).name == "multiply"
    assert became(ir.map_("divide", x, ir.const(0.25))).name == "multiply"
    assert became(ir.map_("divide", x, ir.const(3.0))).name == "divide"
    assert became(ir.map_("divide", x, ir.const(0.0))).name == "divide"
    assert became(ir.map_("divide", ir.leaf(np.arange(3)), ir.const(2))).name == "divide"


def test_constants_are_folded_and_double_negation_goes() -> None:
    x = ir.leaf(X)
    two = ir.map_("add", ir.const(1.0, "float64"), ir.const(1.0, "float64"))
    assert became(ir.map_("multiply", x, two)).inputs[1].data == 2.0
    assert became(ir.map_("negative", ir.map_("negative", x))) is x
    assert became(ir.cast(x, "float64")) is x


def test_views_go_down_to_memory() -> None:
    x, row = ir.leaf(np.arange(12.0).reshape(3, 4)), ir.leaf(np.arange(4.0))
    total = ir.map_("add", x, row)
    for how, spec, shape in (
        ("index", (("slice", 1, None, None), ("slice", None, None, -1)), (2, 4)),
        ("index", (0, ("slice", None, None, None)), (4,)),
        ("index", (None, ("slice", None, None, None), 2), (1, 3)),
        ("transpose", (1, 0), (4, 3)),
    ):
        node = ir.view(total, how, spec, shape)
        found = became(node)
        assert found.kind == "Map" and all(each.kind in ("View", "Leaf") for each in found.inputs)
        assert np.array_equal(force([node], device="interpreter")[0][0], force([node], device="eager")[0][0])


def test_an_axis_put_back_keeps_the_reduction_in_its_rows() -> None:
    x = ir.leaf(np.arange(12.0).reshape(3, 4))
    mean = ir.reduce_("mean", x, [1])
    node = ir.map_("subtract", x, ir.view(mean, "index", (("slice", None, None, None), None), (3, 1)))
    values, plan = force([node])
    assert np.allclose(values[0], x.data - x.data.mean(1)[:, None])
    assert [(each.kind, each.scheme) for each in plan.kernels] == [("reduce", "regional")]


def test_a_variance_of_columns_is_two_means() -> None:
    x = ir.leaf(np.random.default_rng(0).normal(size=(30, 4)))
    values, plan = force([ir.reduce_("std", x, [0])])
    assert np.allclose(values[0], x.data.std(0), rtol=1e-12)
    assert plan.kernels_before == 1 and all(each.kind != "extern" for each in plan.kernels)
