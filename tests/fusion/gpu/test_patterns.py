"""Patterns of the design on a GPU that is not there: launches, answers of Triton's interpreter, compiled code."""

from __future__ import annotations

from typing import Any

import pytest

from tests.fusion.gpu.patterns import PATTERNS
from tests.fusion.gpu.triton_runs import interpret
from workbench.fusion.gpu.planning import planned
from workbench.fusion.plan.model import device_model

GPU = device_model("cuda:sm_90")


@pytest.mark.parametrize("name", list(PATTERNS))
def test_a_pattern_takes_no_more_launches_than_the_design_says(name: str) -> None:
    make, most = PATTERNS[name]
    _, roots, stored = make(False)
    found = planned(roots, GPU, stored)
    assert len(found.sources) <= most
    assert not found.parts.calls


def run(*names: str) -> dict[str, Any]:
    """Return what came of patterns, or of random graphs by their seeds, in the interpreter."""
    return interpret("tests.fusion.gpu.interpreted", *names)


@pytest.fixture(scope="module")
def interpreted() -> dict[str, Any]:
    return run()


@pytest.mark.parametrize("name", list(PATTERNS))
@pytest.mark.parametrize("device", ["large", "small"])
def test_the_interpreter_gives_what_numpy_gives(interpreted: dict[str, Any], name: str, device: str) -> None:
    error, _ = interpreted[f"{name} / {device}"]
    assert error <= 1e-5


def test_patterns_are_split_among_blocks_and_merged_behind_a_barrier(
    interpreted: dict[str, Any],
) -> None:
    for name in ("global norm", "standardised", "batch norm", "softmax and column sum", "layer norm of long rows"):
        assert max(interpreted[f"{name} / small"][1]) > 1


@pytest.mark.slow
def test_some_random_graphs_give_what_numpy_gives() -> None:
    _check(run(*map(str, range(6))))


@pytest.mark.slow
@pytest.mark.parametrize("begin", range(0, 500, 100))
def test_random_graphs_give_what_numpy_gives(begin: int) -> None:
    _check(run(*map(str, range(begin, begin + 100))))


def _check(found: dict[str, Any]) -> None:
    worst = {key: error for key, (error, _) in found.items() if error is None or not error <= 1e-5}
    assert not worst
