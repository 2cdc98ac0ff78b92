"""Random array programs: NumPy, the interpreter and compiled kernels give the same."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.fusion import arrays
from tests.fusion.random_programs import Run, correctly_rounded, differs, leaves, nudges, steps, usable

#: how many random array programs are run here, and frame pipelines in capture/test_pipelines.py
EXAMPLES = int(os.environ.get("WB_EXAMPLES", "160"))
PIECE = 40
pieces = pytest.mark.parametrize("first", range(0, EXAMPLES, PIECE))
WAYS: list[dict[str, Any]] = [
    {"device": "interpreter"},
    {"device": "cpu", "threads": 1},
    {"device": "cpu", "threads": 2},
]


def program_of(seed: int) -> tuple[list[Any], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    start = leaves(rng)
    return steps(rng, int(rng.integers(1, 14))), start


def copied(start: list[np.ndarray]) -> list[np.ndarray]:
    """Return arrays of the same layout, which a program may write into."""
    return [x.copy(order="K") if all(s > 0 for s in x.strides) and x.base is None else _like(x) for x in start]


def _like(x: np.ndarray) -> np.ndarray:
    base = x if x.base is None else x.base
    whole = np.array(base, copy=True, order="K")
    offset = x.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    return np.ndarray(x.shape, x.dtype, whole, offset, x.strides)


def lazily(program: list[Any], start: list[np.ndarray], **options: Any) -> list[Any]:
    """Return the values of a program on lazy arrays, and of the arrays that it began with."""

    def work(*arrays: Any) -> list[Any]:
        run = Run(program, list(arrays), exact=options.get("exact", False))
        if isinstance(run.values[-1] if run.values else None, Exception):
            raise run.values[-1]
        return [*run.values, *run.start]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # what is computed on the way has the same options
        return list(wb.fusion.fuse(work, **options)(*copied(start)))


def same_bits(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))


def agree(seed: int) -> None:
    program, start = program_of(seed)
    # what comes after a step that raises depends on it, so does what comes after one that rounding decides
    plain = Run(program, copied(start))
    others = [Run(program, copied(start), nudge=nudge) for nudge in nudges(np.random.default_rng(seed))]
    program = program[: usable(plain.values, [each.values for each in others])]
    plain = Run(program, copied(start))
    others = [Run(program, copied(start), nudge=nudge) for nudge in nudges(np.random.default_rng(seed))]
    wanted = [*plain.values, *plain.start]
    near = [[*each.values, *each.start] for each in others]
    single = any(np.asarray(value).dtype == np.float32 for value in (*start, *wanted))
    found = {str(way): lazily(program, start, **way) for way in WAYS}
    for way, values in found.items():
        for k, value in enumerate(values):
            error = differs(value, wanted[k], [each[k] for each in near], single)
            assert error is None, f"value {k} of seed {seed}, {way}: {error}"
    for one, two in zip(found[str(WAYS[1])], found[str(WAYS[2])], strict=True):
        assert same_bits(one, two), f"seed {seed}: the number of threads changed bits"


def agree_exactly(seed: int) -> None:
    program, start = program_of(seed)
    plain = Run(program, copied(start), exact=True)
    program = program[: usable(plain.values, [])]
    plain = Run(program, copied(start), exact=True)
    for way in WAYS:
        values = lazily(program, start, exact=True, **way)
        for k, (value, wanted) in enumerate(zip(values, [*plain.values, *plain.start], strict=True)):
            assert same_bits(value, wanted), f"value {k} of seed {seed}, {way}: {value} instead of {wanted}"


@pieces
def test_c54_interpreted_and_compiled_programs_are_numpys(first: int) -> None:
    for seed in range(first, min(first + PIECE, EXAMPLES)):
        agree(seed)


@pieces
def test_c51_exact_programs_have_numpys_bits_and_sums_of_one_rounding(first: int) -> None:
    for seed in range(first, min(first + PIECE, EXAMPLES)):
        agree_exactly(seed)


def test_c01_eager_is_numpy() -> None:
    for seed in range(40):
        program, start = program_of(seed)
        plain = Run(program, copied(start))
        program = program[: usable(plain.values, [])]
        plain = Run(program, copied(start))
        for value, wanted in zip(lazily(program, start, device="eager"), [*plain.values, *plain.start], strict=True):
            assert differs(value, wanted, []) is None


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
def test_running_values_along_one_element_are_used_as_they_are(name: str) -> None:
    a = np.arange(1, 18, dtype=np.int8).reshape(17, 1)
    x = wb.fusion.array(a)
    running = getattr(np, name)(x, axis=1)
    values = wb.fusion.compute(running, running / x, running.astype(bool))
    for value, wanted in zip(values, (a.astype(np.int64), a / a, a.astype(bool)), strict=True):
        assert same_bits(value, wanted)


@pytest.mark.parametrize("name", ["max", "sum", "nanmean", "var", "argmax"])
def test_running_values_meet_a_reduction_of_themselves(name: str) -> None:
    a = np.random.default_rng(2).random(70_000)
    c = np.cumsum(wb.fusion.array(a))
    share, running = wb.fusion.compute(c / getattr(np, name)(c), c)
    np.testing.assert_allclose(running, np.cumsum(a), rtol=1e-12)
    np.testing.assert_allclose(share, running / getattr(np, name)(running), rtol=1e-12)


@pytest.mark.parametrize("axis", [None, 0, 1])
def test_exact_sums_and_sums_of_squared_deviations_have_one_rounding(axis: int | None) -> None:
    a = np.random.default_rng(1).normal(1e8, 1, (50, 7))
    x = wb.fusion.array(a)
    for threads in (1, 2):
        found = wb.fusion.compute(
            *[getattr(x, name)(axis=axis) for name in ("sum", "var")], exact=True, threads=threads
        )
        for value, name in zip(found, ("sum", "var"), strict=True):
            assert same_bits(value, correctly_rounded(name, a, {"axis": axis}))


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_exact_running_values_go_from_one_element_to_the_next(name: str, dtype: str) -> None:
    rng = np.random.default_rng(3)
    for shape, axis in [((1000,), 0), ((70_003,), 0), ((30, 70), 0), ((30, 70), 1), ((3, 5, 4), 1)]:
        a = (1 + rng.normal(0, 1e-2, shape)).astype(dtype)
        wanted = np.moveaxis(np.array(a), axis, 0)
        for k in range(1, len(wanted)):
            wanted[k] = wanted[k - 1] + wanted[k] if name == "cumsum" else wanted[k - 1] * wanted[k]
        for way in WAYS:
            found = getattr(np, name)(wb.fusion.array(a), axis=axis).compute(exact=True, **way)
            assert same_bits(found, np.moveaxis(wanted, 0, axis))


@pytest.mark.parametrize("name", ["nanvar", "nanstd"])
def test_exact_deviations_from_an_infinite_mean_are_no_numbers(name: str) -> None:
    a = np.array([[np.inf, 1.0, np.nan], [np.nan, 1.0, 3.0], [np.nan, np.nan, np.nan]])
    for way in WAYS:
        for axis, wanted in ((None, np.nan), (1, [np.nan, 1.0, np.nan])):
            found = getattr(np, name)(wb.fusion.array(a), axis=axis).compute(exact=True, **way)
            assert same_bits(found, np.asarray(wanted, np.float64))


def test_what_an_exact_call_computes_on_the_way_is_exact() -> None:
    a = np.array([1e16, 1.0, -1e16])

    def work(x: Any) -> Any:
        return np.median(x.sum())  # NumPy's, which takes numbers

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert wb.fusion.fuse(work, exact=True)(a) == 1.0


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


@pytest.mark.parametrize("seed", [4943])  # positions in a table of no keys
def test_programs_that_once_failed(seed: int) -> None:
    agree(seed)
    agree_exactly(seed)
