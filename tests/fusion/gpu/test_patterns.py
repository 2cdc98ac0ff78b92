"""Patterns of the design on a GPU that is not there: launches, answers of Triton's interpreter, compiled code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fusion.gpu.patterns import PATTERNS
from workbench.fusion.gpu.planning import planned
from workbench.fusion.plan.model import device_model

GPU = device_model("cuda:sm_90")
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", list(PATTERNS))
def test_a_pattern_takes_no_more_launches_than_the_design_says(name: str) -> None:
    make, most = PATTERNS[name]
    _, roots, stored = make(False)
    found = planned(roots, GPU, stored)
    assert len(found.sources) <= most
    assert not found.parts.calls


@pytest.fixture(scope="module")
def interpreted() -> dict[str, tuple[float, list[int]]]:
    pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.fusion.gpu.interpreted"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", list(PATTERNS))
@pytest.mark.parametrize("device", ["large", "small"])
def test_the_interpreter_gives_what_numpy_gives(
    interpreted: dict[str, tuple[float, list[int]]], name: str, device: str
) -> None:
    error, _ = interpreted[f"{name} / {device}"]
    assert error <= 1e-5


def test_patterns_are_split_among_blocks_and_merged_behind_a_barrier(
    interpreted: dict[str, tuple[float, list[int]]],
) -> None:
    for name in ("global norm", "standardised", "batch norm", "softmax and column sum", "layer norm of long rows"):
        assert max(interpreted[f"{name} / small"][1]) > 1
