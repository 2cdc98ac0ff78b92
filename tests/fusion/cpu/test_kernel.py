"""Compiled programs as callables: what they refuse, how they are interrupted, what they cost."""

from __future__ import annotations

import _thread
import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from tests.fusion.cpu.programs import Maker
from tests.fusion.cpu.test_objects import program
from workbench.fusion import cpu
from workbench.fusion.cpu import machine
from workbench.fusion.cpu.emit import emit
from workbench.fusion.loop import Program


def summed(ops: int = 1) -> Program:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("o", "float64", (), "out")
    body, end = maker.body(), maker.body()
    x = y = body.v(body.load("a", "i"))
    for k in range(ops):
        x = x * y + 0.25 if k % 2 else x + y * 0.5
    made = body.builder("merge", ops=("+",), dtypes=("float64",))
    body.merge(made, [x.id])
    maker.loop([("i", n)], body)
    end.store("o", (), end.add("result", builder=made))
    maker.loop([], end)
    return maker.program()


@pytest.mark.parametrize("given", [np.zeros(4), np.zeros(3, np.float32), np.zeros((3, 1)), 1.0])
def test_memory_that_does_not_fit_is_not_read(given: np.ndarray) -> None:
    with pytest.raises(ValueError, match="a is"):
        cpu.compile(program()).run({"a": given}, {"n": 3})


def test_an_input_that_is_not_as_promised_is_copied() -> None:
    got = cpu.compile(program()).run({"a": np.arange(6.0)[::-2]}, {"n": 3})
    assert got["o"].tolist() == [10.0, 6.0, 2.0]


def test_read_only_arrays_are_read() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    assert cpu.compile(program()).run({"a": a}, {"n": 3})["o"].tolist() == [0.0, 2.0, 4.0]


@pytest.mark.parametrize("threads", [1, 2])
def test_c64_an_interrupt_stops_at_the_next_chunk(threads: int) -> None:
    kernel = cpu.compile(summed(40))
    a = np.broadcast_to(np.ones(1), (2_000_000_000,))  # 16 GB, of one element

    timer = threading.Timer(0.3, _thread.interrupt_main)
    strided = Maker()
    n = strided.size("n")
    strided.buffer("a", "float64", (n,), unit=False)
    strided.buffer("o", "float64", (), "out")
    body, end = strided.body(), strided.body()
    made = body.builder("merge", ops=("+",), dtypes=("float64",))
    body.merge(made, [body.add("erf", (body.load("a", "i"),))])
    strided.loop([("i", n)], body)
    end.store("o", (), end.add("result", builder=made))
    strided.loop([], end)
    slow = cpu.compile(strided.program())
    begin = time.process_time()
    gc.disable()  # an interrupt within a callback of the collector, as hypothesis has one, is ignored
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            slow.run({"a": a}, {"n": len(a)}, threads=threads)
    finally:
        gc.enable()
    assert time.process_time() - begin < 10
    assert kernel.run({"a": np.ones(3)}, {"n": 3})["o"] > 0, "and work goes on"


def test_bits_are_the_same_for_any_number_of_threads() -> None:
    a = np.random.default_rng(0).normal(size=1_000_000)
    kernel = cpu.compile(summed(3))
    found = {float(kernel.run({"a": a}, {"n": len(a)}, threads=threads)["o"]) for threads in (1, 2, 3, 7)}
    assert len(found) == 1


def test_c40_and_c53_assembly_is_in_vectors_and_calls_nothing() -> None:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("o", "float64", (n,), "out")
    body = maker.body()
    body.store("o", ("i",), body.add("exp", (body.load("a", "i"),)))
    maker.loop([("i", n)], body)
    asm = cpu.compile(maker.program()).asm
    assert "loop0:" in asm
    assert "call" not in asm


def test_two_programs_from_several_threads() -> None:
    errors: list[BaseException] = []

    def work(factor: float) -> None:
        try:
            for _ in range(3):
                got = cpu.compile(program(factor)).run({"a": np.arange(100_000.0)}, {"n": 100_000}, threads=2)["o"]
                assert got[1] == factor
        except BaseException as error:
            errors.append(error)

    workers = [threading.Thread(target=work, args=(float(k),)) for k in range(4)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
    assert not errors


_PIECES = """
import ctypes
import numpy as np
import workbench.fusion as fusion

x = np.linspace(0, 1, 50)
(fusion.array(x) * 2).compute()
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
size, kept = 4 << 30, 0x4022  # private, anonymous, no memory behind it
blocks = [libc.mmap(None, size, 0, kept, -1, 0) for _ in range(300)]
for _ in range(2000):
    libc.mmap(None, 4096, 0, kept, -1, 0)  # small gaps that there were
for block in blocks:
    libc.munmap(block + size // 2, 4096)  # holes of a page, 4 GB apart
for k in range(20):
    found = np.exp(np.sin(fusion.array(x) * (1.5 + k))).sum().compute()
    assert abs(found - np.exp(np.sin(x * (1.5 + k))).sum()) < 1e-9
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="maps memory as Linux does")
def test_code_and_its_constants_may_be_far_apart(tmp_path: Path) -> None:
    env = {**os.environ, "WORKBENCH_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _PIECES], env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]


def test_functions_that_are_called_often_stand_once() -> None:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("o", "float64", (n,), "out")
    body = maker.body()
    x, total = body.v(body.load("a", "i")), body.v(body.const(0.0))
    for k in range(12):
        total = total + (x * (1.0 + k)).f("sin").f("exp")
    body.store("o", ("i",), total.id)
    maker.loop([("i", n)], body)
    program = maker.program()
    assert emit(program, machine.host())[0].count(" alwaysinline ") == 0
    for bits in (None, 128):
        kernel = cpu.compile(program, bits=bits)
        for length in (0, 1, 7, 8, 9, 15, 16, 17, 70_001):
            a = np.random.default_rng(0).normal(size=length)
            a[1:7] = [np.nan, np.inf, -np.inf, 1e22, -1e300, -0.0][: len(a[1:7])]
            with np.errstate(invalid="ignore"):
                want = sum(np.exp(np.sin(a * (1.0 + k))) for k in range(12))
            found = [kernel.run({"a": a}, {"n": length}, threads=threads)["o"] for threads in (1, 2)]
            assert found[0].tobytes() == found[1].tobytes()
            np.testing.assert_allclose(found[0], want, rtol=1e-13)
