"""Machine code in memory: how long it lives, and how it goes."""

from __future__ import annotations

import ctypes
import gc
import weakref

import numpy as np
import pytest

from workbench import fusion
from workbench.fusion.cpu import machine

TEXT = """define void @add(ptr %x) {
  %old = load i64, ptr %x
  %new = add i64 %old, 7
  store i64 %new, ptr %x
  ret void
}
"""


def test_code_lives_as_long_as_its_functions() -> None:
    host = machine.host()
    code = machine.load(machine.object_code(TEXT, host), host)
    gone, add = weakref.ref(code), code.function("add", ctypes.c_void_p)
    del code
    gc.collect()
    word = ctypes.c_int64(5)
    add(ctypes.addressof(word))
    assert word.value == 12
    assert gone() is not None
    del add
    gc.collect()
    assert gone() is None


@pytest.mark.slow
def test_code_that_is_garbage_in_a_circle_is_freed_in_order() -> None:
    host = machine.host()
    content = machine.object_code(TEXT, host)
    for _ in range(12):
        code = machine.load(content, host)
        circle = [code, code.function("add", ctypes.c_void_p)]
        circle.append(circle)
        gone = weakref.ref(code)
        del code, circle
        gc.collect()
        assert gone() is None


def test_text_that_is_wrong_is_refused_and_the_next_is_compiled() -> None:
    host = machine.host()
    for _ in range(3):
        with pytest.raises(RuntimeError, match="parsing"):
            machine.object_code("define nothing", host)
        assert machine.object_code(TEXT, host)
    with pytest.raises(KeyError, match="other"):
        machine.load(machine.object_code(TEXT, host), host).address("other")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_loop_on_which_newgvn_aborts_is_compiled(dtype: str) -> None:
    x = np.random.default_rng(0).random((64, 256)).astype(dtype)
    shares = fusion.array(x) / fusion.array(x).sum(axis=1, keepdims=True)
    found = (shares - shares.mean()).compute(device="cpu")
    expected = x / x.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected - expected.mean(), rtol=0, atol=1e-7)
