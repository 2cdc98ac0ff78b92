from __future__ import annotations

import numpy as np
import pytest

from workbench.fusion import expr as ir
from workbench.fusion.run import force


def test_lengths_broadcast_or_say_so() -> None:
    size = ir.Size("n")
    assert ir.broadcast_shapes((3, 1), (4,)) == (3, 4)
    assert ir.broadcast_shapes((size,), (1,)) == (size,)
    with pytest.raises(ValueError, match="broadcast"):
        ir.broadcast_shapes((size,), (3,))


def test_every_kind_of_node_is_evaluated() -> None:
    x, k = ir.leaf(np.arange(6.0)), ir.leaf(np.array([2, 1, 2, 1, 3, 3]))
    mask = ir.map_("greater", x, ir.const(2.0))
    roots = [
        ir.map_("exp", x), ir.select(mask, x, ir.const(0.0)), ir.cast(x, "int32"), ir.reduce_("sum", x),
        ir.view(ir.leaf(np.array(1.0)), "broadcast", (3,), (3,)),
        ir.view(x, "index", (("slice", None, None, 2),), (3,)),
        ir.filter_(x, mask), *ir.group_reduce([k], [("sum", x), ("size", None), ("codes", None)]),
        ir.scan("cumsum", x), ir.gather(x, k), ir.gather(x, ir.leaf(np.array([-1, 0])), fill=np.nan),
        ir.scatter(x, k, ir.const(1.0), op="add"), *ir.join([k], [ir.leaf(np.array([1, 9, 2]))], "left"),
        ir.sort([k], [False]), ir.concat([x, x]), ir.extern("sort", np.sort, (x,), "float64", (6,)),
    ]  # fmt: skip
    for device in ("cpu", "interpreter", "eager"):
        values, _ = force(roots, device=device)
        wanted = [
            np.exp(np.arange(6.0)), [0, 0, 0, 3, 4, 5], np.arange(6), 15.0, [1, 1, 1], [0, 2, 4], [3, 4, 5],
            [1, 2, 3], [4, 2, 9], [2, 2, 2], [1, 0, 1, 0, 2, 2], [0, 1, 3, 6, 10, 15], [2, 1, 2, 1, 3, 3], [np.nan, 0],
            [0, 3, 4, 5, 4, 5], [0, 1, 2, 3, 4, 5], [2, 0, 2, 0, -1, -1], [4, 5, 0, 2, 1, 3],
            [*range(6), *range(6)], np.arange(6.0),
        ]  # fmt: skip
        for node, value, right in zip(roots, values, wanted, strict=True):
            np.testing.assert_allclose(value, right, err_msg=f"{node} on {device}")
