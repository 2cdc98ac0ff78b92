"""What a plan tells of its kernels: their patterns, and why a value is not computed where it is read."""

from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench.fusion import expr as ir
from workbench.fusion.plan import cost
from workbench.fusion.plan.beam import Plan, largest_of, refused, search
from workbench.fusion.plan.cost import Costs
from workbench.fusion.plan.model import device_model

RNG = np.random.default_rng(0)
A = RNG.normal(size=(40, 30))


def test_the_text_and_the_page_tell_the_pattern_and_scheme_of_each_kernel() -> None:
    x = wb.fusion.array(A)
    y = np.exp(x - x.max(axis=1, keepdims=True))
    y = y / y.sum(axis=1, keepdims=True)
    other = wb.fusion.array(RNG.normal(size=70)).sum()
    wb.fusion.compute(y, other)
    plan = wb.fusion.plans()[-1]
    assert [kernel.pattern for kernel in plan.kernels] == ["max → sum → divide | sum"]
    header, line = plan.explain("text").splitlines()[1:3]
    assert header.endswith("pattern")
    assert line.endswith("max → sum → divide | sum")
    assert "packed" in line
    page = plan.explain("html")
    assert "max → sum → divide | sum" in page
    assert plan.to_dict()["kernels"][0]["pattern"] == "max → sum → divide | sum"


def test_a_stored_value_says_that_computing_it_again_was_slower() -> None:
    x = wb.fusion.array(A)
    dear = np.exp(np.sin(x) * np.tan(x))
    rows, columns = dear.sum(axis=1), dear.sum(axis=0)
    wb.fusion.compute(rows, columns)
    reasons = wb.fusion.plans()[-1].reasons
    assert list(zip(reasons.op, reasons.reason, strict=True)) == [("exp", "predicted slower fused")]
    assert "not fused: exp: predicted slower fused" in wb.fusion.plans()[-1].explain("text")


def test_what_spills_says_that_registers_are_over_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    x = ir.leaf(RNG.normal(size=50))
    total = ir.reduce_("sum", x)
    first = ir.map_("multiply", x, total)
    parts, largest = largest_of([total, first])
    [both] = largest.kernels
    costs = Costs(parts, device_model())
    alone = Plan([1 << each.number for each in parts.vertices])
    assert [reason for _, reason in refused(alone, costs, ())] == ["predicted slower fused"]
    # so many values at a time that storing and loading them takes longer than what one kernel saves
    monkeypatch.setattr(cost, "SPILL_NS", 1e3)
    known = costs.kernel(both)
    assert known is not None
    known.registers = 1000
    known.gain = known.gain - costs.penalty(known)
    assert refused(alone, costs, ()) == [(parts.vertices[1].node, "registers over limit")]
    assert search([total, first], device_model()).refused == []
