"""Faults: interrupts while compiling and running, two processes and one cache, a hundred thousand nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from workbench.fusion import cache, stepping


def test_c64_an_interrupt_while_compiling_leaves_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    wb.fusion.cache_clear(disk=True)
    names = {"np": np, "a": np.arange(100.0), "df": pd.DataFrame({"x": [1.0, 2.0]})}
    source = "a += 1; df['y'] = df.x * 3; total = float((np.cosh(a) * 1.5).sum())"
    known = cache.kernel

    def interrupted(*args: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)  # the handler runs here
        return known(*args)

    monkeypatch.setattr(cache, "kernel", interrupted)
    with pytest.raises(KeyboardInterrupt):
        wb.fusion.run_cell(source, names)
    np.testing.assert_array_equal(names["a"], np.arange(100.0))
    assert type(names["a"]) is np.ndarray and list(names["df"]) == ["x"]
    assert "total" not in names
    monkeypatch.setattr(cache, "kernel", known)
    wb.fusion.run_cell(source, names)
    np.testing.assert_array_equal(names["a"], np.arange(100.0) + 1)
    assert names["total"] == pytest.approx((np.cosh(np.arange(100.0) + 1) * 1.5).sum(), rel=1e-12)


def test_c64_an_interrupt_while_running_leaves_originals(monkeypatch: pytest.MonkeyPatch) -> None:
    running = threading.Event()
    known = stepping.Running.kernel

    def noted(*args: Any, **kwargs: Any) -> Any:
        running.set()
        return known(*args, **kwargs)

    monkeypatch.setattr(stepping.Running, "kernel", noted)

    def interrupt() -> None:
        running.wait(60)
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    table, other = pd.DataFrame({"x": np.arange(50.0)}), np.random.default_rng(1).random(400_000)
    names = {"np": np, "df": table, "b": other}
    before = other.copy()
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        wb.fusion.run_cell(
            "df['y'] = df.x + 1\nb *= 2\nk = 0\nwhile True:\n    k += 1\n    s = float(np.sin(np.exp(df.x * k)).sum())",
            names,
        )
    thread.join()
    assert names["df"] is table and list(table) == ["x"]
    assert names["b"] is other
    np.testing.assert_array_equal(other, before)


def test_c47_two_processes_fill_one_cache(home: Path) -> None:
    text = (
        "import numpy as np, workbench as wb\n"
        "x = wb.fusion.array(np.arange(1000.0))\n"
        "print([float(((x * k + 1) / (k + 2)).sum().compute().round(6)) for k in range(3, 9)])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [each.communicate() for each in started]
    x = np.arange(1000.0)
    wanted = str([float(((x * k + 1) / (k + 2)).sum().round(6)) for k in range(3, 9)])
    assert [out.strip() for out, _ in told] == [wanted, wanted]
    assert all("damaged" not in err for _, err in told)


@pytest.mark.slow
def test_a_hundred_thousand_nodes() -> None:
    x = np.linspace(0, 1, 50)
    lazy, plain = wb.fusion.array(x), x
    for k in range(50_000):
        lazy, plain = lazy * 0.999 + k, plain * 0.999 + k
    np.testing.assert_allclose(lazy.compute(), plain, rtol=1e-9)


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_orders_and_memory_that_cannot_be_written(order: str) -> None:
    x = np.arange(8).astype(f"{order}f8")
    x.flags.writeable = False
    names: dict[str, Any] = {"np": np, "x": x}
    wb.fusion.run_cell("y = np.exp(x[::-2]) + x[:4]", names)
    np.testing.assert_allclose(names["y"], np.exp(x[::-2]) + x[:4], rtol=1e-12)
    with pytest.raises(ValueError, match="read-only"):
        wb.fusion.run_cell("x += 1", names)


@pytest.mark.parametrize(
    "source",
    ["a[1:] += a[:-1]", "a[:-1] *= a[1:]", "a[::2] = a[1::2] + a[::2]", "a[:] = a[::-1]", "a[2:8] = a[1:7] * 2"],
)
def test_writes_that_overlap_what_they_read(source: str) -> None:
    ours, plain = np.arange(1.0, 11.0), np.arange(1.0, 11.0)
    wb.fusion.run_cell(source, {"np": np, "a": ours})
    exec(source, {"np": np, "a": plain})
    np.testing.assert_array_equal(ours, plain)
