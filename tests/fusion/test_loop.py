from __future__ import annotations

import numpy as np
import pytest

from workbench.fusion import interpret
from workbench.fusion.loop import (
    Affine,
    Buffer,
    Builder,
    Dim,
    For,
    If,
    Instr,
    LoopError,
    Merge,
    Program,
    Statement,
    Store,
    statements,
    text,
    verify,
)

I = Affine((("i", 1),))  # noqa: E741
IN, OUT = Buffer("a", "float64", ("n",)), Buffer("o", "float64", ("n",), "out")
LOAD = Instr(1, "load", (), "float64", name="a", index=(I,))


def program(*body: Statement, builders: tuple[Builder, ...] = (), buffers: tuple[Buffer, ...] = (IN, OUT)) -> Program:
    return Program("k", ("n",), buffers, (For((Dim("i", "n"),), body, builders),))


def test_c08_a_program_has_one_text_and_runs() -> None:
    double = program(LOAD, Instr(2, "add", (1, 1)), Store("o", (I,), 2))
    assert text(verify(double)) == (
        "program(n)\n  in a: float64[n]\n  out o: float64[n]\nfor (i < n parallel) {\n"
        "  %1: float64 = load a[i]\n  %2: float64 = add(%1, %1)\n  o[i] = %2\n}"
    )
    assert text(double) == text(program(LOAD, Instr(2, "add", (1, 1)), Store("o", (I,), 2)))
    assert interpret.run(double, {"a": np.arange(3.0)}, {"n": 3})["o"].tolist() == [0, 2, 4]
    assert len(list(statements(double.loops))) == 4


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (program(Store("o", (I,), 7)), "used where it is not known"),
        (program(LOAD, LOAD), "defined twice"),
        (program(LOAD, Store("a", (I,), 1)), "an input and written to"),
        (program(LOAD, Store("o", (), 1)), "has 1 dimensions, not 0"),
        (program(Instr(1, "load", (), "int64", name="a", index=(I,))), "holds float64, not int64"),
        (program(Instr(1, "load", (), "float64", name="x", index=(I,))), "there is no buffer x"),
        (program(Instr(1, "index", (), "int64", name="j")), "no loop over j"),
        (program(LOAD, Merge(1, (1,))), "merged into outside its loop"),
        (program(LOAD, If(1, ())), "a condition and not bool"),
        (program(Instr(1, "result", (), "float64", builder=1)), "read before its loop is finished"),
        (
            program(LOAD, Merge(1, (1,)), builders=(Builder(1, "merge", ("+",), ("int64",)),)),
            "takes int64, not float64",
        ),
        (program(LOAD, Merge(1, ()), builders=(Builder(1, "merge", ("+",), ("float64",)),)), "takes 1 values, not 0"),
        (program(builders=(Builder(1, "merge", ("?",), ("float64",)),)), "something unknown"),
        (Program("k", (), (IN,), (For((Dim("i", "n"),), ()),)), "size n is not known"),
        (program(buffers=(IN, IN)), "two buffers have one name"),
    ],
)
def test_the_verifier_says_what_is_wrong(wrong: Program, says: str) -> None:
    with pytest.raises(LoopError, match=says):
        verify(wrong)


def test_a_row_may_end_in_a_value_that_the_next_loop_uses() -> None:
    two = (Buffer("a", "float64", ("n", "m")), Buffer("o", "float64", ("n", "m"), "out"))
    at = (Affine((("i", 1),)), Affine((("j", 1),)))
    load = Instr(1, "load", (), "float64", name="a", index=at)
    first = For((Dim("j", "m", "reduce"),), (load, Merge(1, (1,))), (Builder(1, "merge", ("max",), ("float64",)),))
    last = For(
        (Dim("j", "m"),),
        (Instr(3, "load", (), "float64", name="a", index=at), Instr(4, "subtract", (3, 2)), Store("o", at, 4)),
    )
    rows = For((Dim("i", "n"),), (first, Instr(2, "result", (), "float64", builder=1), last))
    x = np.random.default_rng(0).normal(size=(3, 5))
    found = interpret.run(verify(Program("k", ("n", "m"), two, (rows,))), {"a": x}, {"n": 3, "m": 5})["o"]
    assert np.array_equal(found, x - x.max(1, keepdims=True))


@pytest.mark.parametrize(
    ("op", "wanted"),
    [
        ("+", [6.0]), ("*", [0.0]), ("min", [0.0]), ("max", [3.0]), ("argmax", [3.0, 3]), ("argmin", [0.0, 0]),
        ("first", [0.0, 0]), ("last", [3.0, 3]), ("moments", [4.0, 1.5, 5.0]),
    ],
)  # fmt: skip
def test_c09_mergers(op: str, wanted: list[float]) -> None:
    outs = tuple(
        [Buffer(f"o{k}", "int64" if op not in ("moments",) and k else "float64", (), "out") for k in range(len(wanted))]
    )
    end: list[Statement] = []
    for k in range(len(wanted)):
        end += [Instr(10 + k, "result", (), outs[k].dtype, builder=1, part=k), Store(f"o{k}", (), 10 + k)]
    loop = For((Dim("i", "n"),), (LOAD, Merge(1, (1,))), (Builder(1, "merge", (op,), ("float64",)),))
    made = verify(Program("k", ("n",), (IN, *outs), (loop, For((), tuple(end)))))
    found = interpret.run(made, {"a": np.arange(4.0)}, {"n": 4})
    assert [found[f"o{k}"] for k in range(len(wanted))] == wanted


def test_c10_c13_appenders_and_vectors() -> None:
    out, keys = Buffer("o", "float64", ("?",), "out"), Buffer("k", "int64", ("n",))
    test = Instr(2, "greater", (1, 3), "bool")
    body = (LOAD, Instr(3, "const", (), "float64", value=1.0), test, Merge(1, (1,), (), 2))
    append = program(*body, builders=(Builder(1, "append", (), ("float64",), ("o",)),), buffers=(IN, out))
    assert interpret.run(verify(append), {"a": np.arange(4.0)}, {"n": 4})["o"].tolist() == [2, 3]
    vector = Buffer("o", "float64", (3,), "out")
    body = (LOAD, Instr(2, "load", (), "int64", name="k", index=(I,)), Merge(1, (1,), (2,)))
    builder = Builder(1, "vecmerge", ("+",), ("float64",), ("o",), 3)
    made = verify(program(*body, builders=(builder,), buffers=(IN, keys, vector)))
    found = interpret.run(made, {"a": np.arange(4.0), "k": np.array([0, 2, 2, 0])}, {"n": 4})
    assert found["o"].tolist() == [3, 0, 3]


def test_c11_dictionaries_keep_the_order_of_first_appearance() -> None:
    keys = Buffer("k", "float64", ("n",))
    outs = tuple(Buffer(name, "float64", ("?",), "out") for name in ("u", "s"))
    ids = Buffer("ids", "int64", ("n",), "out")
    body = (LOAD, Instr(2, "load", (), "float64", name="k", index=(I,)), Merge(1, (1,), (2,)))
    builder = Builder(1, "dictmerge", ("+",), ("float64",), ("u", "s"), None, "ids")
    made = verify(program(*body, builders=(builder,), buffers=(IN, keys, *outs, ids)))
    found = interpret.run(made, {"a": np.arange(5.0), "k": np.array([2.0, np.nan, 2, -0.0, 0.0])}, {"n": 5})
    assert np.array_equal(found["u"], [2, np.nan, 0], equal_nan=True)
    assert found["s"].tolist() == [2, 1, 7] and found["ids"].tolist() == [0, 1, 0, 2, 2]
