"""Random array programs: NumPy, the interpreter and compiled kernels give the same."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import workbench as wb
from tests.fusion import arrays

SEEDS = st.integers(0, 2**32 - 1)


def agree(seed: int, **options: Any) -> None:
    rng = np.random.default_rng(seed)
    start = arrays.leaves(rng)
    program = arrays.steps(rng, int(rng.integers(1, 14)))
    plain = arrays.run(program, start)
    # what comes after a step that raises depends on it
    stop = next((k for k, value in enumerate(plain) if isinstance(value, Exception)), len(plain))
    program, plain = program[:stop], plain[:stop]
    lazy = arrays.run(program, [wb.fusion.array(x) for x in start])
    single = any(getattr(value, "dtype", None) in (np.float32, np.float16) for value in (*start, *plain))
    waiting = [value for value in lazy if isinstance(value, wb.fusion.LazyArray)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = iter(wb.fusion.compute(*waiting, **options))
    for k, (wanted, found) in enumerate(zip(plain, lazy, strict=True)):
        value = next(values) if isinstance(found, wb.fusion.LazyArray) else found
        if isinstance(value, Exception):
            raise AssertionError(f"step {k} of seed {seed} raised") from value
        assert arrays.same(value, wanted, single=single) is None, f"step {k} of seed {seed}"


@settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_c54_the_interpreter_is_numpy(seed: int) -> None:
    agree(seed, device="interpreter")


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(SEEDS)
def test_c01_compiled_is_numpy(seed: int) -> None:
    agree(seed, device="cpu", threads=1 + seed % 2)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_eager_is_numpy(seed: int) -> None:
    agree(seed, device="eager")


@pytest.mark.parametrize("rows", [65_535, 65_537, 200_000])
def test_c41_any_number_of_threads_gives_the_same_bits(rows: int) -> None:
    a = np.random.default_rng(rows).normal(size=rows)

    def work(x: Any) -> list[Any]:
        y = np.exp(-x * x) + x
        return [y, y.sum(), y.mean(), y.std(), y[x > 0].sum(), y[x > 0.5]]

    one, two, three = (wb.fusion.compute(*work(wb.fusion.array(a)), threads=n) for n in (1, 2, 3))
    for first, *others in zip(one, two, three, strict=True):
        for other in others:
            assert np.array_equal(first, other)
    for value, wanted in zip(one, work(a), strict=True):
        assert arrays.same(value, wanted, slack=1e-12 * np.abs(a).sum()) is None
