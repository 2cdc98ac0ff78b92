"""Random array programs: the same steps on ndarrays and on lazy arrays."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import special

import workbench as wb

F = np.array([0.5, -1.5, 2.25, np.nan, np.inf, -np.inf, 0.0, -0.0, 3.0, 1e-3, 0.9, -0.2])
P = np.array([0.5, 1.5, 2.25, 0.1, 3.0, 0.25, 0.75, 0.125])
I = np.array([3, -2, 7, 0, 5, 1, -8, 2])  # noqa: E741
B = np.array([True, False, True, True, False, False, True, False])
M = np.arange(24.0).reshape(4, 6) % 7 - 2
T = np.arange(24.0).reshape(2, 3, 4) % 5

DTYPES = ["float64", "float64", "float64", "float32", "int64", "int32", "int8", "uint8", "uint16", "bool"]
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 1e300, -1e-300, 5e-324]
UNARY = [
    np.negative, np.absolute, np.sqrt, np.exp, np.log, np.sin, np.cos, np.tanh, np.floor, np.ceil, np.rint, np.sign,
    np.square, np.isnan, np.isfinite, np.isinf, np.log1p, np.expm1, np.trunc, np.arctan, np.cbrt, np.reciprocal,
    special.erf, special.expit, np.logical_not, np.sinh, np.arcsinh, np.deg2rad, np.exp2, np.log2, np.log10,
]  # fmt: skip
BINARY = [
    np.add, np.subtract, np.multiply, np.divide, np.maximum, np.minimum, np.fmax, np.fmin, np.less, np.greater_equal,
    np.equal, np.not_equal, np.logical_and, np.logical_or, np.floor_divide, np.remainder, np.arctan2,
    np.hypot, np.fmod,
]  # fmt: skip
REDUCTIONS = [
    "sum",
    "prod",
    "min",
    "max",
    "mean",
    "var",
    "std",
    "any",
    "all",
    "argmin",
    "argmax",
    "count_nonzero",
    "nansum",
    "nanmax",
    "nanmin",
    "nanmean",
]


def leaves(rng: np.random.Generator) -> list[np.ndarray]:
    """Return one to four arrays whose shapes broadcast, some of them views with strides."""
    ndim = int(rng.integers(0, 4)) if rng.random() < 0.7 else 1
    shape = [
        int(rng.choice([0, 1, 2, 3, 5, 8, 17, 33]) if ndim > 1 else rng.choice([0, 1, 7, 8, 31, 64, 100, 1000]))
        for _ in range(ndim)
    ]
    if rng.random() < 0.85:
        shape = [max(d, 1) for d in shape]
    found = []
    for _ in range(int(rng.integers(1, 5))):
        own = [1 if rng.random() < 0.15 else d for d in shape]
        if own and rng.random() < 0.2:
            own = own[int(rng.integers(0, len(own) + 1)) :]
        found.append(array(rng, tuple(own)))
    return found


def array(rng: np.random.Generator, shape: tuple[int, ...], dtype: str | None = None) -> np.ndarray:
    """Return an array with special values among ordinary ones, of any layout."""
    dtype = dtype or str(rng.choice(DTYPES))
    wide = shape
    layout = rng.random()
    if shape and layout < 0.15:
        wide = (*shape[:-1], shape[-1] * 2)
    kind = np.dtype(dtype).kind
    if kind == "f":
        x = rng.normal(size=wide) * rng.choice([1.0, 10.0, 0.1])
        where = rng.random(wide) < (0.1 if rng.random() < 0.5 else 0)
        x = np.where(where, rng.choice(SPECIAL, size=wide), x)
        with np.errstate(all="ignore"):
            x = np.asarray(x).astype(dtype)
    elif kind == "b":
        x = rng.random(wide) < 0.5
    else:
        facts = np.iinfo(dtype)
        low, high = (facts.min, facts.max) if rng.random() < 0.2 else (max(facts.min, -5), 10)
        x = rng.integers(low, high, size=wide, dtype=dtype, endpoint=True)
    x = np.asarray(x)
    if shape and layout < 0.15:
        return x[..., ::2]
    if shape and layout < 0.25:
        return x[..., ::-1]
    if len(shape) > 1 and layout < 0.35:
        return np.asfortranarray(x)
    return x


def steps(rng: np.random.Generator, many: int) -> list[tuple[Any, ...]]:
    """Return a random program: each step names what it does and which earlier values it takes."""
    found = []
    for _ in range(many):
        found.append((rng.random(), rng.random(4), int(rng.integers(0, 2**31))))
    return found


def run(program: list[tuple[Any, ...]], start: list[Any]) -> list[Any]:
    """Run a program on arrays or lazy arrays; a step that raises gives the error in the place of a value."""
    values: list[Any] = list(start)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for what, picks, seed in program:
            arrays = [v for v in values if not isinstance(v, Exception) and not isinstance(v, tuple)]
            chosen = [arrays[int(p * len(arrays))] for p in picks]
            try:
                values.append(_step(what, chosen, seed))
            except Exception as error:
                values.append(error)
    return values[len(start) :]


def _step(what: float, x: list[Any], seed: int) -> Any:
    a, b, c, _ = x
    if what < 0.24:
        return UNARY[seed % len(UNARY)](a)
    if what < 0.52:
        return BINARY[seed % len(BINARY)](a, b)
    if what < 0.60:
        number = [2, 0.5, -1, 0, 3, 1.5, True, np.float32(2), np.int8(3)][seed % 9]
        how = [operator.add, operator.mul, operator.sub, operator.pow, operator.truediv, operator.lt, operator.mod][
            seed // 9 % 7
        ]
        if how is operator.pow and isinstance(number, int) and abs(number) > 2:
            number = 2
        return how(number, a) if seed // 63 % 3 == 0 and how is not operator.pow else how(a, number)
    if what < 0.66:
        return np.where(a > 0 if a.dtype != np.bool_ else a, b, c)
    if what < 0.78:
        name = REDUCTIONS[seed % len(REDUCTIONS)]
        options: dict[str, Any] = {}
        if a.ndim and seed // 16 % 3:
            options["axis"] = seed // 48 % a.ndim if seed // 16 % 3 == 1 or name.startswith("arg") else -1
            if seed // 200 % 2:
                options["keepdims"] = True
        if name in ("var", "std") and seed // 400 % 2:
            options["ddof"] = 1
        return getattr(np, name)(a, **options)
    if what < 0.84:
        return a.astype(["float64", "float32", "int64", "bool"][seed % 4]) if not _wild(a, seed) else a
    if what < 0.92:
        return _view(a, seed)
    if what < 0.96 and a.ndim == 1:
        return a[b > 0] if b.shape == a.shape else a[a > 0]
    if a.ndim == 1:
        return [np.cumsum, np.diff, np.flip][seed % 3](a) if a.dtype != np.bool_ else a
    return np.clip(a, -1, 2) if a.dtype.kind == "f" else a


def _wild(a: Any, seed: int) -> bool:
    """Conversions of floats to integers are for numbers that fit."""
    return seed % 4 >= 2 and a.dtype.kind == "f"


def _view(a: Any, seed: int) -> Any:
    how = seed % 6
    if how == 0:
        return a.T
    if how == 1:
        return a.reshape(-1)
    if how == 2 and a.ndim:
        return a[:: [2, -1, -3, 1][seed // 6 % 4]]
    if how == 3:
        return a[..., None]
    if how == 4 and a.ndim and a.shape[0] > 2:
        return a[1:-1]
    return a[None]


def same(lazy: Any, plain: Any, exact: bool = False, slack: float = 0.0, single: bool = False) -> str | None:
    """Return what differs between two values, None if nothing does that is not allowed."""
    a, b = np.asarray(lazy), np.asarray(plain)
    if a.dtype != b.dtype:
        return f"dtype {a.dtype} instead of {b.dtype}"
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    if a.dtype.kind != "f" or exact:
        return None if np.array_equal(a, b, equal_nan=a.dtype.kind == "f") else f"{a} instead of {b}"
    relative = 1e-9 if a.dtype == np.float64 and not single else 1e-4
    with np.errstate(all="ignore"):
        close = np.isclose(a, b, rtol=relative, atol=relative * 1e-2 + slack, equal_nan=True) | (
            np.abs(a) + np.abs(b) > 1e290
        )
    return None if close.all() else f"{a[~close].ravel()[:5]} instead of {b[~close].ravel()[:5]}"


def check(function: Callable[..., Any], *inputs: Any) -> Any:
    """Hold a function on lazy arrays to the same on arrays; return what it gave."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        wanted = function(*[x.copy() for x in inputs])
        found = function(*[wb.fusion.array(x.copy()) for x in inputs])
        for device in ("auto", "interpreter"):
            value = found.compute(device=device) if isinstance(found, wb.fusion.LazyArray) else found
            assert type(value) is type(wanted) or np.ndim(wanted) == 0
            assert same(value, wanted, single=getattr(wanted, "dtype", None) == np.float32) is None
    return found
