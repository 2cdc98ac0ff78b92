"""Loops and builders, compiled, against the reference interpreter: all lengths at edges, threads and widths."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from tests.fusion.cpu.programs import Maker
from workbench.fusion import cpu, interpret
from workbench.fusion.cpu import machine
from workbench.fusion.cpu.emit import emit
from workbench.fusion.loop import Program

LENGTHS = [1, 7, 8, 9, 31, 32, 33, 255, 8191, 8193, 16_384, 65_535, 65_537, 200_001]
REDUCERS = ["+", "*", "min", "max", "first", "last", "argmin", "argmax"]


def run_all(
    program: Program, buffers: dict[str, np.ndarray], sizes: dict[str, int], *, rtol: float = 0.0, atol: float = 0.0
) -> dict[str, np.ndarray]:
    """Run compiled code with 1, 2 and 3 threads and other widths; bits agree, and values with the interpreter's."""
    want = interpret.run(program, buffers, sizes)
    found = []
    for bits in (None, 256, 128):
        kernel = cpu.compile(program, bits=bits)
        found += [kernel.run(buffers, sizes, threads=threads) for threads in ((1, 2, 3) if bits is None else (1,))]
    for name, value in want.items():
        for each in found:
            assert each[name].dtype == value.dtype and each[name].shape == value.shape, name
            np.testing.assert_array_equal(each[name].view(), found[0][name].view(), err_msg=name)
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[0][name], value, rtol=rtol, atol=atol, err_msg=name)
        else:
            np.testing.assert_array_equal(found[0][name], value, err_msg=name)
    return found[0]


def numbers(dtype: str, count: int, seed: int = 0, nan: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return rng.random(count) < 0.5
    if kind.kind == "f":
        found = rng.normal(size=count).astype(kind)
        if nan:
            found[rng.random(count) < 0.01] = np.nan
        return found
    return rng.integers(-100 if kind.kind == "i" else 0, 100, count).astype(kind)


def reduction(dtype: str, ops: list[str], pred: bool) -> Program:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", dtype, (n,))
    maker.buffer("m", "bool", (n,))
    body, end = maker.body(), maker.body()
    x, m = body.load("a", "i"), body.load("m", "i")
    for op in ops:
        made = body.builder("merge", ops=(op,), dtypes=(dtype,))
        body.merge(made, [x], pred=m if pred else None)
        parts = 2 if op in ("first", "last", "argmin", "argmax") else 1
        for part in range(parts):
            name = maker.buffer(f"{op}_{part}", "int64" if part else dtype, (), "out")
            end.store(name, (), end.add("result", dtype="int64" if part else dtype, builder=made, part=part))
    maker.loop([("i", n)], body)
    maker.loop([], end)
    return maker.program()


@pytest.mark.parametrize("pred", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "int64", "uint8", "float32", "bool"])
def test_c09_merger_of_every_kind(dtype: str, pred: bool) -> None:
    ops = REDUCERS if dtype != "bool" else ["and", "or", "min", "max", "first", "argmax"]
    if dtype == "float32":  # sums of them accumulate in double
        ops = [op for op in ops if op not in ("+", "*")]
    program = reduction(dtype, ops, pred)
    for n in LENGTHS[::2] if dtype == "uint8" else LENGTHS:
        a = numbers(dtype, n, seed=n)
        if dtype == "float64":
            a = 1 + a * 1e-3  # a product that stays within range
        mask = numbers("bool", n, 1)
        run_all(program, {"a": a, "m": mask}, {"n": n}, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("op", ["min", "max", "argmin", "argmax", "+"])
def test_nan_wins_as_in_numpy(op: str) -> None:
    program = reduction("float64", [op], False)
    for n in (1, 9, 70_000):
        for where in (0, n // 2, n - 1):
            a = numbers("float64", n)
            a[where] = np.nan
            run_all(program, {"a": a, "m": np.ones(n, bool)}, {"n": n})


def test_nothing_merged_gives_the_identity() -> None:
    program = reduction("float64", REDUCERS, True)
    run_all(program, {"a": np.ones(50), "m": np.zeros(50, bool)}, {"n": 50})
    got = cpu.compile(program).run({"a": np.ones(0), "m": np.zeros(0, bool)}, {"n": 0})
    assert got["+_0"] == 0 and got["*_0"] == 1 and got["argmin_1"] == -1 and got["min_0"] == math.inf


@pytest.mark.parametrize("pred", [False, True])
def test_moments_are_as_good_as_two_passes(pred: bool) -> None:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("m", "bool", (n,))
    body, end = maker.body(), maker.body()
    made = body.builder("merge", ops=("moments",), dtypes=("float64",))
    body.merge(made, [body.load("a", "i")], pred=body.load("m", "i") if pred else None)
    for part in range(3):
        end.store(maker.buffer(f"o{part}", "float64", (), "out"), (), end.add("result", builder=made, part=part))
    maker.loop([("i", n)], body)
    maker.loop([], end)
    program = maker.program()
    for n_ in LENGTHS:
        a = 1e8 + numbers("float64", n_)
        a[0] = -1e4
        run_all(program, {"a": a, "m": numbers("bool", n_, 3)}, {"n": n_}, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_moments_of_one_element(value: float) -> None:
    """A loop without dimensions merges single elements."""
    maker = Maker()
    maker.buffer("a", "float64", ())
    body, end = maker.body(), maker.body()
    made = body.builder("merge", ops=("moments",), dtypes=("float64",))
    body.merge(made, [body.load("a")])
    end.store(maker.buffer("o", "float64", (), "out"), (), end.add("result", builder=made, part=2))
    maker.loop([], body)
    maker.loop([], end)
    with np.errstate(invalid="ignore"):
        want = np.var(np.array([value]))
    np.testing.assert_array_equal(cpu.compile(maker.program()).run({"a": np.array(value)}, {})["o"], want)


def test_c10_appends_keep_the_order_of_rows() -> None:
    maker = Maker()
    n = maker.size("n")
    dtypes = ["float64", "int32", "uint8", "bool", "int16"]
    for name in dtypes:
        maker.buffer(name, name, (n,))
        maker.buffer(f"o_{name}", name, ("?",), "out")
    body = maker.body()
    values = [body.load(name, "i") for name in dtypes]
    keep = body.v(values[0]) > 0.3
    made = body.builder("append", dtypes=tuple(dtypes), buffers=tuple(f"o_{name}" for name in dtypes))
    body.merge(made, values, pred=keep.id)
    maker.loop([("i", n)], body)
    program = maker.program()
    for length in LENGTHS:
        data = {name: numbers(name, length, k) for k, name in enumerate(dtypes)}
        run_all(program, data, {"n": length})
    none = {name: numbers(name, 100, k) for k, name in enumerate(dtypes)} | {"float64": np.zeros(100)}
    run_all(program, none, {"n": 100})
    run_all(program, none | {"float64": np.ones(100)}, {"n": 100})


@pytest.mark.parametrize("key", ["int64", "uint8", "int32"])
def test_c13_vecmerger_with_every_op(key: str) -> None:
    maker = Maker()
    n, k = maker.size("n"), maker.size("k")
    maker.buffer("a", "float64", (n,))
    maker.buffer("b", "int64", (n,))
    maker.buffer("key", key, (n,))
    body = maker.body()
    x, y, at = body.load("a", "i"), body.load("b", "i"), body.add("cast", (body.load("key", "i"),), "int64")
    keep = body.v(x) > -0.5
    for op in ("+", "min", "max", "first", "last", "argmin", "moments"):
        parts = {"first": 2, "last": 2, "argmin": 2, "moments": 3}.get(op, 1)
        names = [
            maker.buffer(f"{op}{part}", "int64" if part and op != "moments" else "float64", (k,), "out")
            for part in range(parts)
        ]
        made = body.builder("vecmerge", ops=(op,), dtypes=("float64",), buffers=tuple(names), size=k)
        body.merge(made, [x], [at], keep.id if op in ("+", "min", "max", "moments") else None)
    maker.buffer("ints", "int64", (k,), "out")
    made = body.builder("vecmerge", ops=("+",), dtypes=("int64",), buffers=("ints",), size=k)
    body.merge(made, [y], [at])
    maker.loop([("i", n)], body)
    program = maker.program()
    for length in (1, 9, 65_537, 200_001):
        for groups in (1, 100):
            data = {
                "a": numbers("float64", length),
                "b": numbers("int64", length),
                "key": np.random.default_rng(5).integers(0, groups, length).astype(key),
            }
            run_all(program, data, {"n": length, "k": groups}, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("groups", [1, 40, 100_000])
def test_tables_of_one_size_lie_together_whatever_their_types(groups: int) -> None:
    maker = Maker()
    n, k = maker.size("n"), maker.size("k")
    kinds = {"any": ("bool", "or"), "low": ("int8", "min"), "high": ("uint16", "max"), "sum": ("float64", "+")}
    kinds |= {"wide": ("int64", "+"), "head": ("int32", "first"), "product": ("float32", "*")}
    maker.buffer("key", "int64", (n,))
    for name, (dtype, _) in kinds.items():
        maker.buffer(f"x_{name}", dtype, (n,))
    body, inner = maker.body(), maker.body()
    at = body.load("key", "i")
    some = body.v(body.load("x_sum", "i")) > 0.8
    for number, (name, (dtype, op)) in enumerate(kinds.items()):
        names = [maker.buffer(f"o_{name}", dtype, (k,), "out")]
        if op == "first":
            names.append(maker.buffer("o_place", "int64", (k,), "out"))
        made = body.builder("vecmerge", ops=(op,), dtypes=(dtype,), buffers=tuple(names), size=k)
        # those in the branch come first: what is taken apart there is not there for those after it
        where = inner if number % 2 == 0 else body
        where.merge(made, [where.load(f"x_{name}", "i")], [at], some.id if where is inner else None)
        if where is inner:
            body.where(some.id, inner)
            inner = maker.body()
    maker.loop([("i", n)], body)
    program = maker.program()
    for length in (0, 1, 7, 9, 70_001):
        data = {f"x_{name}": numbers(dtype, length, 3) for name, (dtype, _) in kinds.items()}
        data["x_product"] = np.sign(data["x_product"]) * np.float32(1)
        data["key"] = np.random.default_rng(5).integers(0, groups, length)
        if length > 9:
            data["x_sum"][::1000] = [np.nan, np.inf, -0.0][length % 3]
        run_all(program, data, {"n": length, "k": groups}, rtol=1e-9, atol=1e-9)


def test_positions_by_key_are_those_of_rows() -> None:
    maker = Maker()
    n, k = maker.size("n"), maker.size("k")
    maker.buffer("a", "float64", (n,))
    maker.buffer("key", "int64", (n,))
    body = maker.body()
    x = body.load("a", "i")
    for op in ("first", "last", "argmin"):
        names = (maker.buffer(f"{op}0", "float64", (k,), "out"), maker.buffer(f"{op}1", "int64", (k,), "out"))
        made = body.builder("vecmerge", ops=(op,), dtypes=("float64",), buffers=names, size=k)
        body.merge(made, [x], [body.load("key", "i")], (body.v(x) > 0.0).id)
    maker.loop([("i", n)], body)
    a, key = numbers("float64", 100_000), np.random.default_rng(0).integers(0, 50, 100_000)
    for threads in (1, 2):
        got = cpu.compile(maker.program()).run({"a": a, "key": key}, {"n": len(a), "k": 51}, threads=threads)
        for group in range(50):
            at = np.flatnonzero((key == group) & (a > 0))
            assert got["first1"][group] == at[0] and got["last1"][group] == at[-1]
            assert got["argmin1"][group] == at[a[at].argmin()] and got["argmin0"][group] == a[at].min()
        assert [got[f"{op}1"][50] for op in ("first", "last", "argmin")] == [-1, -1, -1]


def test_large_tables_are_not_copied() -> None:
    maker = Maker()
    n, k = maker.size("n"), maker.size("k")
    maker.buffer("a", "float64", (n,))
    maker.buffer("key", "int64", (n,))
    maker.buffer("o", "float64", (k,), "out")
    body = maker.body()
    made = body.builder("vecmerge", ops=("+",), dtypes=("float64",), buffers=("o",), size=k)
    body.merge(made, [body.load("a", "i")], [body.load("key", "i")])
    maker.loop([("i", n)], body)
    keys = np.random.default_rng(5).integers(0, 1 << 20, 300_000)
    data = {"a": numbers("float64", 300_000), "key": keys}
    run_all(maker.program(), data, {"n": 300_000, "k": 1 << 20}, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 100), (1000, 17), (7, 8200), (200_000, 2), (2, 100_000)])
def test_column_sums_go_along_rows(shape: tuple[int, int]) -> None:
    maker = Maker()
    n, m = maker.size("n"), maker.size("m")
    maker.buffer("a", "float64", (n, m))
    maker.buffer("o", "float64", (m,), "out")
    maker.buffer("p", "float64", (m,), "out")
    body = maker.body()
    x, at = body.load("a", "i", "j"), body.add("index", dtype="int64", name="j")
    body.merge(body.builder("vecmerge", ops=("+",), dtypes=("float64",), buffers=("o",), size=m), [x], [at])
    made = body.builder("vecmerge", ops=("max",), dtypes=("float64",), buffers=("p",), size=m)
    body.merge(made, [x], [at], (body.v(x) > -2.0).id)
    maker.loop([("i", n), ("j", m)], body)
    a = numbers("float64", shape[0] * shape[1]).reshape(shape)
    run_all(maker.program(), {"a": a}, {"n": shape[0], "m": shape[1]}, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 100), (1000, 17), (7, 8200), (20_000, 2), (2, 100_000)])
def test_c25_rows_reduce_and_use_what_they_reduced(shape: tuple[int, int]) -> None:
    """Softmax: three loops over each row, one reading a tile that the one before wrote."""
    maker = Maker()
    n, m = maker.size("n"), maker.size("m")
    maker.buffer("a", "float64", (n, m))
    maker.buffer("tile", "float64", (m,), "tile")
    maker.buffer("o", "float64", (n, m), "out")
    maker.buffer("total", "float64", (n,), "out")
    maker.buffer("at", "int64", (n,), "out")
    row = maker.body()
    first = maker.body()
    x = first.load("a", "i", "j")
    highest = first.builder("merge", ops=("max",), dtypes=("float64",))
    place = first.builder("merge", ops=("argmax",), dtypes=("float64",))
    first.merge(highest, [x])
    first.merge(place, [x])
    row.inner([("j", m)], first)
    top = row.add("result", builder=highest)
    row.store("at", ("i",), row.add("result", dtype="int64", builder=place, part=1))
    second = maker.body()
    e = second.add("exp", (second.add("subtract", (second.load("a", "i", "j2"), top)),))
    sum_ = second.builder("merge", ops=("+",), dtypes=("float64",))
    second.merge(sum_, [e])
    second.store("tile", ("j2",), e)
    row.inner([("j2", m)], second)
    total = row.add("result", builder=sum_)
    row.store("total", ("i",), total)
    third = maker.body()
    third.store("o", ("i", "j3"), third.add("divide", (third.load("tile", "j3"), total)))
    row.inner([("j3", m)], third)
    maker.loop([("i", n)], row)
    program = maker.program()
    a = numbers("float64", shape[0] * shape[1]).reshape(shape)
    sizes = {"n": shape[0], "m": shape[1]}
    kernel = cpu.compile(program)
    e = np.exp(a - a.max(1, keepdims=True))
    for threads in (1, 2):
        got = kernel.run({"a": a}, sizes, threads=threads)
        np.testing.assert_allclose(got["o"], e / e.sum(1, keepdims=True), rtol=1e-13)
        np.testing.assert_allclose(got["total"], e.sum(1), rtol=1e-13)
        np.testing.assert_array_equal(got["at"], a.argmax(1))


def test_rows_merge_into_the_loop_around() -> None:
    maker = Maker()
    n, m = maker.size("n"), maker.size("m")
    maker.buffer("a", "float64", (n, m))
    maker.buffer("o", "float64", (), "out")
    maker.buffer("q", "float64", (), "out")
    row, inner, end = maker.body(), maker.body(), maker.body()
    whole = row.builder("merge", ops=("+",), dtypes=("float64",))
    best = row.builder("merge", ops=("max",), dtypes=("float64",))
    x = inner.load("a", "i", "j")
    part = inner.builder("merge", ops=("+",), dtypes=("float64",))
    inner.merge(part, [x])
    inner.merge(whole, [x])
    row.inner([("j", m)], inner)
    row.merge(best, [row.add("result", builder=part)])
    maker.loop([("i", n)], row)
    end.store("o", (), end.add("result", builder=whole))
    end.store("q", (), end.add("result", builder=best))
    maker.loop([], end)
    for shape in ((1, 1), (300, 40), (3, 9000)):
        a = numbers("float64", shape[0] * shape[1]).reshape(shape)
        run_all(maker.program(), {"a": a}, {"n": shape[0], "m": shape[1]}, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("op", ["+", "*", "min", "max"])
@pytest.mark.parametrize("dtype", ["float64", "int64", "int8"])
def test_scans_run_on(op: str, dtype: str) -> None:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", dtype, (n,))
    maker.buffer("o", dtype, (n,), "out")
    body = maker.body()
    made = body.builder("merge", ops=(op,), dtypes=(dtype,))
    body.store("o", ("i",), body.add("scan", (body.load("a", "i"),), dtype, builder=made))
    maker.loop([("i", n)], body)
    for length in LENGTHS:
        a = numbers(dtype, length)
        a = 1 + a * 1e-3 if dtype == "float64" else a
        want = {"+": np.add, "*": np.multiply, "min": np.minimum, "max": np.maximum}[op].accumulate(a, dtype=dtype)
        for bits in (None, 256):
            got = cpu.compile(maker.program(), bits=bits).run({"a": a}, {"n": length}, threads=2)["o"]
            np.testing.assert_allclose(got, want, rtol=1e-11 if dtype == "float64" else 0)


def strided_program(dtype: str) -> Program:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", dtype, (n,), unit=False)
    maker.buffer("o", dtype, (n,), "out")
    body = maker.body()
    x = body.load("a", "i")
    body.store("o", ("i",), body.add("add", (x, x), dtype))
    maker.loop([("i", n)], body)
    return maker.program()


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool"])
@pytest.mark.parametrize("step", [1, 2, -1, -3, 0])
def test_c24_any_stride_is_read(dtype: str, step: int) -> None:
    for length in (1, 8, 65, 70_000):
        base = numbers(dtype, 3 * length + 3)
        a = np.broadcast_to(base[:1], (length,)) if step == 0 else base[::step][:length]
        run_all(strided_program(dtype), {"a": a}, {"n": length})


def test_indexes_are_affine() -> None:
    maker = Maker()
    n, m = maker.size("n"), maker.size("m")
    maker.buffer("a", "float64", (n, m))
    maker.buffer("b", "float64", ("m2",), unit=False)
    maker.size("m2")
    maker.buffer("o", "float64", (m, n), "out")
    body = maker.body()
    x = body.load("a", "i", "j")
    y = body.load("b", ("j", 2, 1))
    body.store("o", ("j", "i"), body.add("subtract", (x, y)))
    maker.loop([("i", n), ("j", m)], body)
    a, b = numbers("float64", 5 * 70).reshape(5, 70), numbers("float64", 141)
    run_all(maker.program(), {"a": a, "b": b}, {"n": 5, "m": 70, "m2": 141})


def test_gather_and_scatter() -> None:
    maker = Maker()
    n, k = maker.size("n"), maker.size("k")
    maker.buffer("at", "int64", (n,))
    for dtype in ("float64", "int16", "bool"):
        maker.buffer(dtype, dtype, (k,))
        maker.buffer(f"o_{dtype}", dtype, (n,), "out")
    maker.buffer("back", "float64", (k,), "out")
    body = maker.body()
    at = body.load("at", "i")
    for dtype in ("float64", "int16", "bool"):
        x = body.load(dtype, at)
        body.store(f"o_{dtype}", ("i",), x)
        if dtype == "float64":
            body.store("back", (at,), x, (body.v(x) > 0.0).id)
    maker.loop([("i", n)], body)
    for length in (1, 9, 70_001):
        data = {dtype: numbers(dtype, 500) for dtype in ("float64", "int16", "bool")}
        at_ = np.random.default_rng(0).integers(0, 500, length)
        run_all(maker.program(), data | {"at": at_}, {"n": length, "k": 500})


def test_a_branch_is_taken_for_those_who_ask() -> None:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("o", "float64", (n,), "out")
    maker.buffer("s", "float64", (), "out")
    body, inside, end = maker.body(), maker.body(), maker.body()
    x = body.load("a", "i")
    made = body.builder("merge", ops=("+",), dtypes=("float64",))
    y = inside.add("exp", (x,))
    inside.store("o", ("i",), y)
    inside.merge(made, [y])
    body.where((body.v(x) > 1.5).id, inside)
    maker.loop([("i", n)], body)
    end.store("s", (), end.add("result", builder=made))
    maker.loop([], end)
    for length in (3, 100, 70_000):
        run_all(maker.program(), {"a": numbers("float64", length)}, {"n": length}, rtol=1e-12)


def test_what_is_the_same_for_all_points_is_computed_before_their_loop() -> None:
    """A power of a single value, as in Adam's correction; a value of the row; one that a row decides on."""
    maker = Maker()
    n, m = maker.size("n"), maker.size("m")
    maker.buffer("s", "float64", ())
    maker.buffer("w", "float64", (n,))
    maker.buffer("a", "float64", (n, m))
    maker.buffer("o", "float64", (n, m), "out")
    maker.buffer("t", "float64", (), "out")
    body, end = maker.body(), maker.body()
    made = body.builder("merge", ops=("+",), dtypes=("float64",))
    value = body.load("a", "i", "j")
    once = body.add("power", (body.const(0.9, "float64"), body.load("s")))
    row = body.add("exp", (body.load("w", "i"),))
    x = body.add("multiply", (body.add("multiply", (value, once)), row))
    body.store("o", ("i", "j"), x)
    body.merge(made, [x])
    maker.loop([("i", n), ("j", m)], body)
    end.store("t", (), end.add("result", builder=made))
    maker.loop([], end)
    program = maker.program()
    for rows, length in ((1, 1), (3, 70), (5, 9000)):
        buffers = {"s": np.array(3.0), "w": numbers("float64", rows), "a": numbers("float64", rows * length)}
        run_all(program, {**buffers, "a": buffers["a"].reshape(rows, length)}, {"n": rows, "m": length}, rtol=1e-11)
    text = emit(program, machine.host())[0].partition("define void @loop0")[2]
    assert text.index("@vm.power") < text.index("@vm.exp") < text.index("@llvm.prefetch")


def test_results_are_used_by_later_loops() -> None:
    """Values less their mean: two passes over memory with one number between them."""
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("mean", "float64", (), "out")
    maker.buffer("o", "float64", (n,), "out")
    body, middle, last = maker.body(), maker.body(), maker.body()
    made = body.builder("merge", ops=("+",), dtypes=("float64",))
    body.merge(made, [body.load("a", "i")])
    maker.loop([("i", n)], body)
    count = middle.add("cast", (middle.add("size", dtype="int64", name=n),), "float64")
    middle.store("mean", (), middle.add("divide", (middle.add("result", builder=made), count)))
    maker.loop([], middle)
    last.store("o", ("j",), last.add("subtract", (last.load("a", "j"), last.load("mean"))))
    maker.loop([("j", n)], last)
    for length in (1, 100, 200_001):
        run_all(maker.program(), {"a": numbers("float64", length)}, {"n": length}, rtol=1e-9, atol=1e-12)


def test_float_sums_are_within_their_bound() -> None:
    program = reduction("float64", ["+"], False)
    rng = np.random.default_rng(0)
    a = rng.normal(size=1_000_003) * 10.0 ** rng.uniform(-8, 8, 1_000_003)
    got: Any = cpu.compile(program).run({"a": a, "m": np.ones(len(a), bool)}, {"n": len(a)}, threads=2)["+_0"]
    assert abs(float(got) - math.fsum(a)) <= 1e-12 * np.abs(a).sum()
