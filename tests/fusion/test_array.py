"""Lazy arrays: indexing, views, writes, forcing, fallbacks, errors."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import workbench as wb
from tests.fusion.arrays import I, M, P, check


def test_reductions_of_nothing_are_those_of_numpy() -> None:
    x = wb.fusion.array(np.zeros(0))
    assert (x.sum().compute(), x.prod().compute(), x.any().compute(), x.all().compute()) == (0, 1, False, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert math.isnan(x.mean().compute()) and math.isnan(x.var().compute())
    for name in ("min", "max", "argmin", "argmax"):
        with pytest.raises(ValueError, match=r"zero-size|empty"):
            getattr(x, name)()
    with pytest.raises(ValueError, match="zero-size"):
        (y := wb.fusion.array(P))[y > 99].max().compute()
    with pytest.raises(ValueError, match="empty"):
        y[y > 99].argmax().compute()


@pytest.mark.parametrize(
    "pick",
    [
        lambda x: x[2], lambda x: x[-1], lambda x: x[1:3], lambda x: x[::-1], lambda x: x[::2, 1], lambda x: x[..., 2],
        lambda x: x[:, None], lambda x: x[None, ..., 1:], lambda x: x[5:1:-2], lambda x: x[[2, 0]],
        lambda x: x[x[:, 0] > 0], lambda x: x[x > 1], lambda x: x[np.array([0, -1])], lambda x: x[1, 2],
        lambda x: x[np.array([True, False, True, False])], lambda x: x[[0, 1], [2, 3]], lambda x: x[()],
        lambda x: x[...],
        lambda x: x[100:], lambda x: x[x > 99], lambda x: x[np.array([[0, 1], [2, 3]])],
    ],
)  # fmt: skip
def test_c24_indexing(pick: Callable[[Any], Any]) -> None:
    check(pick, M)
    check(lambda x: pick(x * 2) + 1, M)


@pytest.mark.parametrize(
    ("key", "error"),
    [(9, IndexError), ((0, 9), IndexError), ((0, 0, 0), IndexError), (1.5, IndexError), ("a", IndexError)],
)
def test_wrong_indices_raise_as_numpy(key: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        M[key]
    with pytest.raises(error):
        wb.fusion.array(M)[key]
    with pytest.raises(IndexError):
        wb.fusion.array(M)[np.array([0, 9])].compute()


def test_c24_views_see_writes_and_writes_see_views() -> None:
    def work(x: Any) -> list[Any]:
        before = x * 1
        part, odd = x[2:6], x[1::2]
        x += 1
        part *= 2
        odd[0] = -7
        x[x > 3] = 0
        x[0] = 9
        x[-2:] = [5, 6]
        x[[2, 3]] = x[[3, 2]]
        return [before, part, odd, x]

    plain = [np.array(each) for each in work(P.copy())]
    mine = P.copy()
    lazy = [each.compute() for each in work(wb.fusion.array(mine))]
    for value, wanted in zip(lazy, plain, strict=True):
        assert np.array_equal(value, wanted)
    assert np.array_equal(mine, plain[-1])  # the user's own array has it


def test_a_write_reaches_the_original_and_pending_readers_keep_what_they_saw() -> None:
    a = P.copy()
    x = wb.fusion.array(a)
    y = x * 2
    x[...] = 0
    assert x.compute() is a and not a.any()
    assert np.array_equal(y.compute(), P * 2)


def test_two_wrappers_of_one_memory_see_each_other() -> None:
    a = P.copy()
    x, part = wb.fusion.array(a), wb.fusion.array(a[2:4])
    x[2:4] *= 10
    assert np.array_equal((part + 0).compute(), P[2:4] * 10)


def test_overlapping_writes() -> None:
    for shift in (1, -1):
        a, b = P.copy(), P.copy()
        x = wb.fusion.array(b)
        if shift > 0:
            a[1:] += a[:-1]
            x[1:] += x[:-1]
        else:
            a[:-1] = a[1:]
            x[:-1] = x[1:]
        assert np.array_equal(x.compute(), a)


def test_what_cannot_be_written_raises() -> None:
    a = P.copy()
    a.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        wb.fusion.array(a)[0] = 1
    whole = wb.fusion.array(np.arange(3))
    with pytest.raises(TypeError, match="same_kind"):
        whole += 0.5
    with pytest.raises(ValueError, match="broadcast"):
        whole[...] = [1, 2]
    with pytest.raises(ValueError, match="broadcast"):
        whole += np.ones((2, 3), int)


def test_dtypes_of_python_numbers_are_checked_as_in_numpy() -> None:
    x = wb.fusion.array(np.array([1, 2], np.uint8))
    with pytest.raises(OverflowError):
        x + 300
    assert (x < 300).compute().tolist() == [True, True]
    assert (x + 1).dtype == np.uint8
    assert (x * 1.5).dtype == np.float64
    with pytest.raises(ValueError, match="negative integer powers"):
        wb.fusion.array(I) ** -1
    with pytest.raises(ValueError, match="negative integer powers"):
        wb.fusion.array(I) ** I


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "uint8", "uint64"])
def test_integers_wrap_and_divide_by_zero_as_in_numpy(dtype: str) -> None:
    facts = np.iinfo(dtype)
    x = np.array([facts.min, facts.max, 0, 7, 1], dtype)
    y = np.array([facts.max, 1, 0, 2, 0], dtype)
    for function in (np.add, np.multiply, np.subtract, np.floor_divide, np.remainder, np.divide, np.fmod):
        check(function, x, y)
    check(np.negative, x)
    check(np.abs, x)
    if facts.min:
        check(lambda a: a // -1, x)


def test_shapes_that_do_not_fit_say_which_and_where() -> None:
    with pytest.raises(wb.fusion.FusionShapeError) as caught:
        wb.fusion.array(P) + wb.fusion.array(np.ones(3))
    line = caught.traceback[0].lineno + 1
    assert caught.value.lines() == [
        f"Shapes (8,) and (3,) do not broadcast (add, line {line}).",
        "Reshape one of them, or add an axis with [:, None].",
    ]
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("value", [object(), "text", {1: 2}, None])
def test_other_values_cannot_be_fused(value: Any) -> None:
    with pytest.raises(wb.fusion.FusionTypeError) as caught:
        wb.fusion.array(value)
    assert caught.value.lines() == [
        f"Cannot fuse a value of type {type(value).__name__}.",
        "Pass a NumPy array, a torch tensor, or use wb.fusion.frame for tables.",
    ]


@pytest.mark.parametrize("dtype", ["complex128", "float16", "datetime64[ns]", ">f8", "object", "S3"])
def test_other_dtypes_cannot_be_fused(dtype: str) -> None:
    x = np.zeros(3, dtype)
    with pytest.raises(wb.fusion.FusionTypeError) as caught:
        wb.fusion.array(x)
    assert caught.value.lines() == [
        f"Cannot fuse dtype {x.dtype}.", 'Convert with .astype("float64"), or leave it to NumPy.'
    ]  # fmt: skip


def test_numbers_lists_and_lazy_arrays_are_taken() -> None:
    x = wb.fusion.array(P)
    assert wb.fusion.array(x) is x
    assert (wb.fusion.array(3) + 1).compute() == 4
    assert wb.fusion.array([1.0, 2.0]).compute().tolist() == [1, 2]
    mine = P.copy()
    snapshot = wb.fusion.array(mine, copy=True)
    mine[:] = 0
    assert np.array_equal(snapshot.compute(), P)


def test_what_forces() -> None:
    x = wb.fusion.array(P)
    total = (x * 2).sum()
    assert float(total) == int(total) + 0.0 or True
    assert bool(total > 0) and math.isclose(float(total), 2 * P.sum())
    assert list(x + 0) == list(P) and (x * 1).tolist() == P.tolist() and total.item() == float(total)
    assert repr(x * 1) == repr(P) and str(x * 1) == str(P) and f"{total:.2f}" == f"{P.sum() * 2:.2f}"
    assert len(x[x > 1]) == (P > 1).sum() and (x[x > 1]).shape == P[P > 1].shape
    assert 0.5 in x and np.asarray(x * 1).tolist() == P.tolist()
    assert pickle.loads(pickle.dumps(x * 2)).compute().tolist() == (P * 2).tolist()
    assert copy.deepcopy(x).compute().tolist() == P.tolist()
    y = x * 2
    assert y.compute() is y.compute()
    assert y.compute(device="interpreter") is not None and (y.T.shape, y.ndim, y.size, y.device) == ((8,), 1, 8, "cpu")


def test_a_length_that_is_not_known_computes_only_the_count() -> None:
    x = wb.fusion.array(P)
    big = np.exp(x)[x > 1]
    assert big.shape == (3,)
    assert wb.fusion.plans()[-1].kernels[-1].ops == ("greater", "count_nonzero")


def test_c45_what_is_not_known_runs_in_numpy_and_is_told() -> None:
    x = wb.fusion.array(P)
    with pytest.warns(match=r"tile ran in NumPy, unfused \(line \d+\)\."):
        y = np.tile(x * 2, 2) + 1
    value, plan = y.compute(), y.plan
    assert np.array_equal(value, np.tile(P * 2, 2) + 1)
    assert plan is not None
    assert plan.to_pandas().kind.tolist() == ["fallback", "map"]
    row = plan.reasons.iloc[0]
    assert (row.op, row.reason) == ("tile", "unsupported operation") and row["where"].startswith("test_array.py:")
    assert plan.launches == 1 and plan.kernels_before == 2
    assert plan.summary().endswith("1 op ran unfused")


def test_errors_of_numpy_are_those_of_numpy_also_when_it_is_asked_to_raise() -> None:
    x = wb.fusion.array(np.array([1.0, 0.0]))
    with np.errstate(divide="raise"), pytest.raises(FloatingPointError):
        1 / x
    assert (1 / x).compute().tolist() == [1, np.inf]
    with pytest.raises(np.exceptions.AxisError):
        x.sum(axis=3)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        x.nonsense  # noqa: B018


def test_non_contiguous_and_odd_layouts() -> None:
    wide = np.random.default_rng(0).normal(size=(40, 30))
    for x in (wide[::2, ::3], wide[::-1], np.asfortranarray(wide), wide.T, wide[:, :1], wide[5:5], np.array(2.5)):
        check(lambda v: v * 2 + 1, x)
        check(lambda v: (v * 2).sum(), x)
    spread = np.lib.stride_tricks.as_strided(wide, (3, 3), (0, 8))
    check(lambda v: v + 1, spread)
    assert np.array_equal((wb.fusion.array(spread) + 1).compute(), spread + 1)
    odd = np.frombuffer(bytes(8 * 5 + 1), np.float64, 5, 1)
    assert (wb.fusion.array(odd) + 1).compute().tolist() == [1] * 5


def test_an_array_changed_behind_the_plan_is_warned_of_once() -> None:
    a = P.copy()
    x = wb.fusion.array(a, name="prices")
    y, z = x + 1, x + 2
    a[0] = 99
    with pytest.warns(match='"prices" was changed outside the plan before it ran'):
        assert y.compute()[0] == 100
    assert z.compute()[0] == 101
    safe = wb.fusion.array(a, copy=True) + 1
    a[0] = 0
    assert safe.compute()[0] == 100


def test_readers_of_a_computed_view_keep_what_they_saw() -> None:
    a = P.copy()
    x = wb.fusion.array(a)
    part = x[2:5]
    part.compute()
    waiting = part * 2
    x[...] = 0
    x.compute()
    assert waiting.compute().tolist() == (P[2:5] * 2).tolist()


def test_a_number_has_no_memory_that_a_view_of_it_could_write_to() -> None:
    x = wb.fusion.array(P)
    for kept in (False, True):
        for look in (lambda s: s[None], lambda s: s.reshape(1), lambda s: np.expand_dims(s, 0), lambda s: s[...]):
            total = x.sum()
            if kept:
                total.compute()
            view: Any = look(total)
            view += 1
            view[...] = view * 2
            assert total.compute() == P.sum() and (view.compute() == 2 * (P.sum() + 1)).all()


def test_c24_a_single_element_of_memory_is_seen_through_views() -> None:
    a = P.copy()
    x = wb.fusion.array(a)
    one = x[2, ...]
    view, apart = one[None], one.copy()
    other = apart[None]
    view[0] = 99
    other[0] = 98
    assert [each.compute() for each in (one, view[0], apart, x[2])] == [99, 99, 98, 99]
    assert a[2] == 99


def test_what_is_broadcast_sees_writes_and_is_read_only() -> None:
    a = P.copy()
    x = wb.fusion.array(a)
    spread: Any = np.broadcast_to(x, (2, len(a)))
    x[0] = 99
    assert np.array_equal(spread.compute(), np.broadcast_to(a, (2, len(a))))
    copied = spread.reshape(-1)
    copied[0] = 98
    assert copied.compute()[0] == 98 and spread.compute()[0, 0] == 99

    def mask(view: Any) -> None:
        view[view > 1] = 0

    def place(view: Any) -> None:
        view[0] = 0

    def positions(view: Any) -> None:
        view[[0]] = 0

    for write in (mask, place, positions, lambda view: np.add(view, 1, out=view), lambda view: view.__iadd__(1)):
        for view in (spread, spread[0], np.broadcast_to(x, a.shape), np.broadcast_to(x.sum(), 3)):
            with pytest.raises(ValueError, match="read-only"):
                write(view)
    assert a[0] == 99


@pytest.mark.parametrize("order", ["C", "F"])
def test_another_shape_is_a_view_where_numpys_is(order: Any) -> None:
    a = np.array(np.arange(6.0).reshape(2, 3), order=order)

    def work(x: Any) -> list[Any]:
        found = []
        for y in (x, x.T, x[:, ::2], *([x + 0] if order == "C" else [])):
            flat = y.reshape(-1)
            flat[1] = 99
            flat += 1
            found += [flat, y]
        return [*found, x]

    mine, plain = a.copy(order="K"), work(a.copy(order="K"))
    for value, wanted in zip(wb.fusion.compute(*work(wb.fusion.array(mine))), plain, strict=True):
        assert np.array_equal(value, wanted)
    assert np.array_equal(mine, plain[-1])


def test_copies_are_copies() -> None:
    a = P.copy()
    x = wb.fusion.array(a)
    for made in (x.copy(), x * 1, x.astype(float), +x, x[:].copy(), np.copy(x)):
        value = made.compute()
        assert value is not a and not np.shares_memory(value, a)
        made[0] = 99
        assert a[0] == P[0] and made.compute()[0] == 99
    assert np.shares_memory(x[1:].compute(), a)


def test_a_device_or_a_check_computes_a_kept_value_anew() -> None:
    x = wb.fusion.array(P) * 2
    kept = x.compute()
    many = len(wb.fusion.plans())
    assert x.compute() is kept and len(wb.fusion.plans()) == many
    for options in ({"device": "interpreter"}, {"check": True}, {"device": "eager"}):
        assert np.array_equal(x.compute(**options), kept)  # type: ignore[arg-type]
        assert wb.fusion.plans()[-1].kernels[0].ops == ("multiply",)
    assert x.compute() is kept
    x += 1
    assert np.array_equal(x.compute(device="interpreter"), P * 2 + 1)
