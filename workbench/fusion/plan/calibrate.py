"""Measuring this machine: bandwidth at each level of memory, what starting a kernel costs, and each operation."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.fusion import cpu
from workbench.fusion.errors import FusionError, no_gpu
from workbench.fusion.loop import Affine, Buffer, Builder, Dim, For, If, Instr, Merge, Program, Statement, Store
from workbench.fusion.ops import OPS
from workbench.fusion.plan.model import DeviceModel, device_model, set_model

__all__ = ["calibrate", "measured_here"]

#: bytes of the arrays that fit each level; the last fits none
LEVELS = {"L1": 8 << 10, "L2": 128 << 10, "L3": 1 << 20, "memory": 32 << 20}
#: raised when what is measured changes
VERSION = 3
_measuring: list[bool] = []
#: operations whose time is not that of an addition
_OPS = (
    "add", "exp", "log", "divide", "sqrt", "power", "sin", "tan", "tanh", "erf", "arctan", "floor_divide", "cos",
    "arcsin", "expm1", "log1p", "remainder", "arctan2", "cbrt", "hypot",
)  # fmt: skip


def calibrate(device: str = "cpu", *, force: bool = False) -> DeviceModel:
    """Measure a device once, and return its model; kept in the store for this CPU and these libraries.

    Takes two seconds of this process at most, and happens by itself at the first plan that is predicted to take over
    50 ms.

    Parameters
    ----------
    device : {"cpu", "cuda"}
    force : bool
        Measure anew.

    Returns
    -------
    DeviceModel
    """
    if device == "cuda":
        raise no_gpu()
    if device != "cpu":
        raise FusionError(f'Unknown device "{device}".', 'Devices: "cpu", "cuda".')
    from workbench.engine.store import store

    key = _key()
    kept = None if force else store().get_json(key)
    if kept is None:
        _measuring.append(True)
        try:
            kept = _measure(time.process_time() + 1.5)
        finally:
            _measuring.pop()
        store().put_json(key, kept, kind="device model", cost_s=1.5)
    ops = {**device_model().op_ns, **kept["op_ns"]}
    found = DeviceModel("cpu", kept["bandwidth_gbps"], kept["launch_us"], ops, device_model().limits)
    set_model("cpu", found)
    return found


def measured_here() -> bool:
    """Calibrate, but not in a worker, whose neighbours work at the same time; return whether the model is another."""
    import multiprocessing

    if multiprocessing.parent_process() is not None or _measuring:
        return False
    calibrate()
    return True


def _key() -> str:
    import platform

    from workbench.engine.keys import key

    try:
        import llvmlite
        import llvmlite.binding as binding

        host, version = binding.get_host_cpu_name(), llvmlite.__version__
    except ImportError:
        host, version = platform.processor(), ""
    return key("fusion device model", VERSION, host, version, np.__version__)


def _measure(until: float) -> dict[str, Any]:
    launch, mispredict = _launch(until), _mispredict(until)
    one = np.ones(1)
    called = _best(functools.partial(np.add, one, one, one.copy()), until)
    bandwidth: dict[str, float] = {}
    fastest = 0.0
    for name, size in reversed(LEVELS.items()):
        a, b, c = (np.ones(size // 8) for _ in range(3))
        ns = _best(functools.partial(np.add, a, b, c), until) - called
        # no level is slower than the one behind it
        fastest = bandwidth[name] = max(round(3 * size / max(ns, 1.0), 3), fastest)
    bandwidth = {name: bandwidth[name] for name in LEVELS}
    return {"bandwidth_gbps": bandwidth, "launch_us": launch, "op_ns": {**_ops(until), "mispredict": mispredict}}


def _launch(until: float) -> float:
    """Return microseconds that a kernel takes that has next to nothing to do."""
    kernel = cpu.compile(_branching())
    given = {"x": np.ones(8), "m": np.zeros(8, bool)}
    return round(_best(lambda: kernel.run(given, {"n": 8}), until) / 1e3, 3)


def _mispredict(until: float) -> float:
    """Return nanoseconds that a branch costs which was not foreseen: taken by chance, against taken at first only."""
    from workbench.fusion.cpu.machine import host

    kernel, vectors = cpu.compile(_branching()), 1 << 15
    lanes = host().bits // 64
    chance = np.random.default_rng(0).random(vectors) < 0.5
    times = []
    for taken in (chance, np.sort(chance)):
        given = {"x": np.ones(vectors * lanes), "m": np.repeat(taken, lanes)}
        times.append(_best(functools.partial(kernel.run, given, {"n": vectors * lanes}), until))
    return round(max(0.5, (times[0] - times[1]) / (0.5 * vectors)), 3)


def _branching() -> Program:
    """Return a sum of what a mask lets pass, by a branch."""
    buffers = (Buffer("x", "float64", ("n",)), Buffer("m", "bool", ("n",)), Buffer("o", "float64", (), "out"))
    at = (Affine((("i", 1),)),)
    value = Instr(2, "load", name="x", index=at)
    root = Instr(3, "sqrt", (2,))
    body = (Instr(1, "load", (), "bool", name="m", index=at), If(1, (value, root, Merge(1, (3,), (), 1))))
    total = Builder(1, "merge", ("+",), ("float64",))
    end = For((), (Instr(4, "result", builder=1), Store("o", (), 4)))
    return Program("measured", ("n",), buffers, (For((Dim("i", "n", "reduce"),), body, (total,)), end))


def _ops(until: float) -> dict[str, float]:
    """Return nanoseconds an element of each operation, beyond what loading and adding up takes."""
    given, sizes = {"x": np.linspace(0.1, 0.9, 1 << 16)}, {"n": 1 << 16}

    def spent(name: str) -> float:
        kernel = cpu.compile(_summing(name))
        return _best(functools.partial(kernel.run, given, sizes), until)

    base, times = spent(""), {}
    for name in _OPS:
        if time.process_time() > until:
            break
        times[name] = round(max(0.05, (spent(name) - base) / sizes["n"]), 4)
    return times


def _summing(name: str) -> Program:
    """Return the sum of an operation on numbers; of the numbers themselves without one."""
    buffers = (Buffer("x", "float64", ("n",)), Buffer("o", "float64", (), "out"))
    found = [Instr(1, "load", name="x", index=(Affine((("i", 1),)),))]
    if name:
        found.append(Instr(2, name, (1,) * OPS[name].arity))
    total = Builder(1, "merge", ("+",), ("float64",))
    end = For((), (Instr(3, "result", builder=1), Store("o", (), 3)))
    body: tuple[Statement, ...] = (*found, Merge(1, (found[-1].id,)))
    return Program("measured", ("n",), buffers, (For((Dim("i", "n", "reduce"),), body, (total,)), end))


def _best(function: Callable[[], Any], until: float, rounds: int = 7) -> float:
    """Return the least nanoseconds of this thread in some rounds, each long enough to be timed."""
    function()
    best = float("inf")
    many = 1
    for done in range(rounds):
        start = time.thread_time_ns()
        for _ in range(many):
            function()
        spent = time.thread_time_ns() - start
        best = min(best, spent / many)
        if spent < 200_000:
            many *= 4
        if done > 1 and time.process_time() > until:
            break
    return best
