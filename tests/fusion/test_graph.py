from __future__ import annotations

import numpy as np
import pytest

from workbench.fusion import expr as ir
from workbench.fusion.graph import intern, walk
from workbench.fusion.run import force


def test_equal_nodes_become_one() -> None:
    x = ir.leaf(np.arange(3.0))
    first, second = (ir.map_("add", x, ir.const(1.0)) for _ in range(2))
    assert first is not second
    a, b = intern([first, second])
    assert a is b


def test_zero_and_minus_zero_stay_two() -> None:
    x = ir.leaf(np.arange(3.0))
    a, b = intern([ir.map_("copysign", x, ir.const(0.0)), ir.map_("copysign", x, ir.const(-0.0))])
    assert a is not b


@pytest.mark.slow
def test_a_chain_of_1e5_nodes_needs_no_recursion() -> None:
    x = node = ir.leaf(np.ones(3))
    for _ in range(100_000):
        node = ir.map_("add", node, ir.const(1.0))
    assert len(walk([node])) == 100_002
    values, plan = force([node])
    assert np.array_equal(values[0], np.full(3, 100_001.0))
    assert plan.reasons.reason.tolist() == ["predicted slower fused"]
    del node, x
