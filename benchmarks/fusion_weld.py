"""Weld itself as a peer: the library of 2018, driven by hand-written Weld IR.

The sources need LLVM 6 and no longer build from a package, but the wheel pyweld 0.0.6 for Linux (cp27mu) holds a built
`libweld.so` that ctypes can load where `libtinfo5` is installed. Unpack the wheel and name the library in
`WORKBENCH_WELD`; without it the rows are left out as "not installed".

The library wants its symbols to be everybody's, among them those of its LLVM, which other peers' LLVM does not survive:
each peer runs in a process of its own. A round is a byte there and a byte back, some 0.1 ms.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import tempfile
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["black_scholes", "crime", "group_dict", "group_vec", "haversine"]

Names = Mapping[str, Any]
Run = Callable[[], Any]
LAT1, LON1 = 0.70984286, -1.29145282
MEMORY = str(64 << 30)


class _Vector(ctypes.Structure):
    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_int64))


@functools.cache
def _library() -> ctypes.CDLL:
    found = ctypes.CDLL(os.environ["WORKBENCH_WELD"], mode=ctypes.RTLD_GLOBAL)
    pointer, text = ctypes.c_void_p, ctypes.c_char_p
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "weld_conf_new": (pointer, []), "weld_conf_set": (None, [pointer, text, text]),
        "weld_error_new": (pointer, []), "weld_error_code": (ctypes.c_uint64, [pointer]),
        "weld_error_message": (text, [pointer]), "weld_value_new": (pointer, [pointer]),
        "weld_value_data": (pointer, [pointer]), "weld_value_free": (None, [pointer]),
        "weld_module_compile": (pointer, [text, pointer, pointer]),
        "weld_module_run": (pointer, [pointer, pointer, pointer, pointer]),
    }  # fmt: skip
    for name, (result, arguments) in signatures.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found


def _check(error: int, what: str) -> None:
    if _library().weld_error_code(error):
        message = _library().weld_error_message(error)
        raise RuntimeError(f"Weld could not {what}: {(message or b'').decode()}")


def _run(code: str, arrays: list[np.ndarray], read: Callable[[int], Any]) -> Run:
    """Compile Weld IR in a process of its own and return what runs it there: its answer the first time, then none."""
    if not os.environ.get("WORKBENCH_WELD"):
        raise ImportError("the wheel's library is not named in WORKBENCH_WELD", name="weld")
    ours, theirs = multiprocessing.Pipe()
    with tempfile.TemporaryDirectory() as folder:
        for number, each in enumerate(arrays):
            np.save(f"{folder}/{number}.npy", each)
        spawn = multiprocessing.get_context("spawn")
        spawn.Process(target=_serve, args=(theirs, code, folder, len(arrays), read), daemon=True).start()
        theirs.close()
        answer = _received(ours)

    def run() -> Any:
        nonlocal answer
        found, answer = answer, None
        if found is None:
            ours.send(True)
            _received(ours)
        return found

    return run


def _received(connection: Connection) -> Any:
    found = connection.recv()
    if isinstance(found, Exception):
        raise found
    return found


def _serve(connection: Connection, code: str, folder: str, count: int, read: Callable[[int], Any]) -> None:
    """Compile, send the answer, and run again at each request. Weld's memory is its value's, freed before the next."""
    arrays = [np.load(f"{folder}/{number}.npy") for number in range(count)]
    try:
        weld = _library()
        error = weld.weld_error_new()
        configuration = weld.weld_conf_new()
        weld.weld_conf_set(configuration, b"weld.memory.limit", MEMORY.encode())
        weld.weld_conf_set(configuration, b"weld.threads", b"1")
        module = weld.weld_module_compile(code.encode(), configuration, error)
        _check(error, "compile")
        held = (_Vector * len(arrays))(*(_Vector(each.ctypes.data, len(each)) for each in arrays))
        given = weld.weld_value_new(ctypes.addressof(held))
        value = weld.weld_module_run(module, configuration, given, error)
        _check(error, "run")
        connection.send(read(weld.weld_value_data(value)))
        while connection.recv():
            weld.weld_value_free(value)
            value = weld.weld_module_run(module, configuration, given, error)
            connection.send(True)
    except EOFError:
        return
    except Exception as error:  # told where it is waited for
        connection.send(error)


def _vector(address: int, number: int = 0) -> np.ndarray:
    """Return a vector of float64 at a place in a struct of them, on Weld's memory."""
    found = _Vector.from_address(address + number * ctypes.sizeof(_Vector))
    return np.ctypeslib.as_array((ctypes.c_double * found.length).from_address(found.data))


def _two(address: int) -> tuple[np.ndarray, np.ndarray]:
    return _vector(address), _vector(address, 1)


def _scalar(address: int) -> float:
    return ctypes.c_double.from_address(address).value


def _series(address: int) -> pd.Series:
    return pd.Series(_vector(address))


def _by_key(address: int) -> pd.Series:
    keys, sums = _two(address)
    return pd.Series(sums, index=keys.astype("int64")).sort_index()


def _columns(names: Names, *wanted: str) -> list[np.ndarray]:
    return [np.ascontiguousarray(names["df"][each].to_numpy()) for each in wanted]


def black_scholes(names: Names) -> Run:
    """Call and put, two appenders in one loop."""
    code = """|price: vec[f64], strike: vec[f64], t: vec[f64], rate: vec[f64], vol: vec[f64]|
    let both = for(zip(price, strike, t, rate, vol), {appender[f64], appender[f64]}, |b, i, x|
        let root = x.$4 * sqrt(x.$2);
        let d1 = (log(x.$0 / x.$1) + (x.$3 + x.$4 * x.$4 / 2.0) * x.$2) / root;
        let d2 = d1 - root;
        let e = x.$1 * exp((0.0 - x.$3) * x.$2);
        let n1 = 0.5 * erf(d1 * 0.7071067811865476);
        let n2 = 0.5 * erf(d2 * 0.7071067811865476);
        {merge(b.$0, x.$0 * (0.5 + n1) - e * (0.5 + n2)), merge(b.$1, e * (0.5 - n2) - x.$0 * (0.5 - n1))});
    {result(both.$0), result(both.$1)}"""
    arrays = [names[key] for key in ("price", "strike", "t", "rate", "vol")]
    return _run(code, arrays, _two)


def haversine(names: Names) -> Run:
    """The distance of each point to one."""
    code = f"""|lat: vec[f64], lon: vec[f64]|
    result(for(zip(lat, lon), appender[f64], |b, i, x|
        let lat2 = x.$0 * 0.017453292519943295;
        let lon2 = x.$1 * 0.017453292519943295;
        let s = sin((lat2 - {LAT1}) / 2.0);
        let r = sin((lon2 + {-LON1}) / 2.0);
        merge(b, 7918.0 * asin(sqrt(s * s + {float(np.cos(LAT1))!r} * cos(lat2) * r * r)))))"""
    return _run(code, [names["lat"], names["lon"]], _vector)


def crime(names: Names) -> Run:
    """Filter, weigh, cut off, add up."""
    code = """|people: vec[f64], adults: vec[f64], robberies: vec[f64]|
    result(for(zip(people, adults, robberies), merger[f64, +], |b, i, x|
        if(x.$0 > 500000.0,
            let v = (x.$0 + 2.0 * x.$1 - 2000.0 * x.$2) / 100000.0;
            let w = if(v >= 0.02, 0.032, v);
            merge(b, if(w < 0.01, 0.005, w)), b)))"""
    return _run(code, _columns(names, "people", "adults", "robberies"), _scalar)


def group_dict(names: Names) -> Run:
    """Filter and group-by with a dictionary, as Weld's own front for pandas wrote it."""
    code = """|a: vec[f64], b: vec[f64], k: vec[i64]|
    let pairs = tovec(result(for(zip(a, b, k), dictmerger[i64, f64, +], |d, i, x|
        if(x.$1 > 0.5, merge(d, {x.$2, x.$0 * (1.0 - x.$1)}), d))));
    let both = for(pairs, {appender[f64], appender[f64]}, |o, i, p| {merge(o.$0, f64(p.$0)), merge(o.$1, p.$1)});
    {result(both.$0), result(both.$1)}"""
    arrays = _columns(names, "A", "B", "K")
    return _run(code, arrays, _by_key)


def group_vec(names: Names) -> Run:
    """Filter and group-by with a dense vector of 1,000 sums."""
    code = """|a: vec[f64], b: vec[f64], k: vec[i64], zeros: vec[f64]|
    result(for(zip(a, b, k), vecmerger[f64, +](zeros), |d, i, x|
        if(x.$1 > 0.5, merge(d, {x.$2, x.$0 * (1.0 - x.$1)}), d)))"""
    arrays = [*_columns(names, "A", "B", "K"), np.zeros(1000)]
    return _run(code, arrays, _series)
