"""Joins, positions, filters and long rows on the GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.fusion.gpu.patterns import leaf
from tests.fusion.gpu.triton_runs import interpret
from workbench.fusion import expr as ir
from workbench.fusion.gpu.forms import formed
from workbench.fusion.gpu.planning import planned
from workbench.fusion.graph import walk
from workbench.fusion.plan.model import device_model

RAISED = {
    "take_outside": "IndexError: an index is out of bounds for axis 0 with size 5",
    "sums_at_places_outside": "IndexError: an index is out of bounds for axis 0 with size 6",
    "no_row_is_left": "ValueError: zero-size array to reduction operation maximum which has no identity",
    "filtered_rows_that_are_kept": "Unsupported: filtered rows on the GPU",
}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return interpret("tests.fusion.gpu.form_cases")


def test_the_interpreter_gives_what_numpy_gives(found: dict[str, Any]) -> None:
    numbers = {name: what for name, what in found.items() if name.partition(" /")[0] not in RAISED}
    assert len(numbers) >= 35
    assert {name: what for name, what in numbers.items() if isinstance(what, str) or what > 1e-5} == {}


@pytest.mark.parametrize("name", list(RAISED))
def test_what_numpy_raises_is_raised_after_the_run(found: dict[str, Any], name: str) -> None:
    assert {found[f"{name} / large"], found[f"{name} / small"]} == {RAISED[name]}


def test_arrays_are_joined_by_one_launch_and_what_is_unsupported_is_listed() -> None:
    x, y = leaf(512, 64), leaf(512, 32)
    joined = ir.concat([ir.map_("exp", x), y], 1)
    plan = planned([joined], device_model("cuda:sm_90"))
    assert len(plan.kernels) == 1
    assert plan.reasons == []
    kept = ir.filter_(leaf(100), ir.map_("greater", leaf(100), ir.const(np.float32(0))))
    plan = planned([kept], device_model("cuda:sm_90"))
    assert [reason for _, reason in plan.reasons] == ["filtered rows on the GPU"]


def test_what_stands_for_a_call_counts_as_one_call() -> None:
    x, index = leaf(50), ir.leaf(np.zeros(40, np.int64))
    root = ir.map_("negative", ir.gather(x, index))
    made = formed([root])
    assert sum(node.calls for node in walk(made.roots) if node.kind not in ("Leaf", "Const")) == 2
    assert [type(error) for _, error in made.checks] == [IndexError]
