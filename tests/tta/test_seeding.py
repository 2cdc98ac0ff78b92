"""Generators are seeded alike wherever a seed is trained, and threads are put back."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import numpy as np
import pytest

from workbench.tta.seeding import THREADS, cores, seed_all, set_up


def drawn() -> tuple[float, float]:
    return random.random(), float(np.random.rand())


def test_c21_a_seed_gives_the_same_numbers() -> None:
    with set_up(3):
        first = drawn()
    with set_up(4):
        other = drawn()
    with set_up(3):
        assert drawn() == first
    assert first[0] != other[0] and first[1] != other[1]


@pytest.mark.parametrize("seed", [-1, 0, 2**40])
def test_any_whole_number_is_a_seed(seed: int) -> None:
    seed_all(seed)
    first = drawn()
    seed_all(seed)
    assert drawn() == first


def test_threads_are_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with set_up(0, threads=2):
        assert {os.environ[name] for name in THREADS} == {"2"}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ
    with set_up(0):
        assert os.environ["OMP_NUM_THREADS"] == "7"
    assert cores() >= 1


SCRIPT = """
import sys
from workbench.tta.seeding import set_up
def draw():
    import torch
    return torch.rand(3).tolist(), torch.get_num_threads()
assert "torch" not in sys.modules
before = len(sys.meta_path)
with set_up(5, threads=1):
    assert "torch" not in sys.modules
    late = draw()
with set_up(5, threads=1):
    early = draw()
assert len(sys.meta_path) == before
with set_up(6):
    other = draw()
assert late == early and late[1] == 1, (late, early)
assert late[0] != other[0]
print("alike")
"""


@pytest.mark.slow
def test_c21_torch_is_seeded_when_it_is_loaded() -> None:
    pytest.importorskip("torch")
    found = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120)
    assert found.stdout == "alike\n", found.stderr
