"""Random array programs: the same steps on ndarrays and on lazy arrays, and how far apart their results may be."""

from __future__ import annotations

import math
import operator
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from scipy import special

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
DTYPES = [*["float64"] * 5, *["float32"] * 3, *INTEGERS, "bool", "bool"]
SPECIAL = [0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 1e100, -1e-100, 5e-324]
#: rounded to the nearest, so that there is only one answer
ROUNDED = [
    np.negative, np.absolute, np.sqrt, np.floor, np.ceil, np.rint, np.sign, np.isnan, np.isfinite, np.isinf, np.trunc,
    np.reciprocal, np.logical_not, np.positive, np.fabs,
]  # fmt: skip
#: within some units of the last place
ROUGH = [
    np.exp, np.log, np.sin, np.cos, np.tan, np.tanh, np.log1p, np.expm1, np.arctan, np.cbrt, np.sinh, np.cosh,
    np.arcsinh, np.arccosh, np.arctanh, np.arcsin, np.arccos, np.exp2, np.log2, np.log10, np.deg2rad, np.rad2deg,
    np.square, special.erf, special.erfc, special.expit, special.ndtr,
]  # fmt: skip
BINARY = [
    np.add, np.subtract, np.divide, np.maximum, np.minimum, np.fmax, np.fmin, np.less, np.less_equal, np.greater,
    np.greater_equal, np.equal, np.not_equal, np.logical_and, np.logical_or, np.logical_xor, np.floor_divide,
    np.remainder, np.fmod,
]  # fmt: skip
ROUGH_BINARY = [np.multiply, np.multiply, np.arctan2, np.hypot, np.power]
BITS = [np.bitwise_and, np.bitwise_or, np.bitwise_xor, np.left_shift, np.right_shift]
REDUCTIONS = [
    "sum", "prod", "min", "max", "mean", "var", "std", "any", "all", "argmin", "argmax", "count_nonzero", "nansum",
    "nanmax", "nanmin", "nanmean", "nanprod", "nanvar",
]  # fmt: skip
#: greater than this, the order of work decides whether a number overflows
MOST = {8: 1e250, 4: 1e30, 2: 1e4}


@dataclass(frozen=True)
class Step:
    """One step: what it does, to which of the values before it, and its other choices."""

    what: float
    picks: tuple[float, ...]
    seed: int


def leaves(rng: np.random.Generator) -> list[np.ndarray]:
    """Return one to four arrays whose shapes broadcast, some of them views with strides."""
    ndim = int(rng.integers(0, 4)) if rng.random() < 0.7 else 1
    lengths = [0, 1, 2, 3, 5, 8, 17, 33] if ndim > 1 else [0, 1, 7, 8, 31, 64, 100, 1000]
    shape = [int(rng.choice(lengths)) for _ in range(ndim)]
    if rng.random() < 0.85:
        shape = [max(d, 1) for d in shape]
    if ndim == 1 and rng.random() < 0.04:  # more than one chunk: threads have work
        shape = [int(rng.integers(60_000, 140_000))]
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
    layout = rng.random()
    wide = (*shape[:-1], shape[-1] * 2) if shape and layout < 0.15 else shape
    kind = np.dtype(dtype).kind
    if kind == "f":
        x = rng.normal(size=wide) * rng.choice([1.0, 10.0, 0.1])
        if rng.random() < 0.3:
            x = np.rint(x)  # equal values, and whole ones
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


def steps(rng: np.random.Generator, many: int) -> list[Step]:
    """Return a random program."""
    return [Step(rng.random(), tuple(rng.random(4)), int(rng.integers(0, 2**31))) for _ in range(many)]


class Run:
    """A program run on arrays or lazy arrays.

    Parameters
    ----------
    program : sequence of Step
    start : list
        Arrays, which steps may write into.
    exact : bool
        Leave out what has more than one answer; sums are correctly rounded, of ndarrays too.
    nudge : callable, optional
        Called with a result that is not rounded to the nearest, and the size of what it is made of; gives another one
        that would be as good.

    Attributes
    ----------
    values : list
        What the steps gave; an error ends the program, and is its last value.
    """

    def __init__(
        self, program: Sequence[Step], start: list[Any], exact: bool = False, nudge: Callable[..., Any] | None = None
    ) -> None:
        self.exact, self.nudge = exact, nudge
        self.start: list[Any] = list(start)
        self.values: list[Any] = []
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for step in program:
                there = [*self.start, *self.values]
                chosen = [there[int(p * len(there))] for p in step.picks]
                try:
                    self.values.append(self.step(step, chosen))
                except Exception as error:
                    self.values.append(error)
                    return

    def step(self, step: Step, x: list[Any]) -> Any:
        what, pick = step.what, np.random.default_rng(step.seed).integers(0, 2**31, 8)
        a, b, c, _ = x
        for limit, method in _METHODS:
            if what < limit:
                return method(self, a, b, c, [int(each) for each in pick])
        raise AssertionError("limits end at 1")

    def rough(self, value: Any, *sources: Any) -> Any:
        """Return a result that is not rounded to the nearest."""
        if self.nudge is None or getattr(value, "dtype", np.dtype(bool)).kind != "f":
            return value
        size = sum(_size(each) for each in sources)
        return value.dtype.type(0) + np.asarray(self.nudge(np.asarray(value), size)).astype(value.dtype)

    # steps

    def unary(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        if self.exact or pick[0] % 3 == 0:
            return ROUNDED[pick[1] % len(ROUNDED)](a)
        return self.rough(ROUGH[pick[1] % len(ROUGH)](a))

    def binary(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        if pick[0] % 4:
            return BINARY[pick[1] % len(BINARY)](a, b)
        if a.dtype.kind in "iub" and b.dtype.kind in "iub" and pick[0] % 8:
            return BITS[pick[1] % len(BITS)](a, b)
        return np.multiply(a, b) if self.exact else self.rough(ROUGH_BINARY[pick[1] % len(ROUGH_BINARY)](a, b))

    def number(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        number = [2, 0.5, -1, 0, 3, 1.5, True, np.float32(2), np.int8(3), np.inf][pick[0] % 10]
        how = [
            operator.add, operator.mul, operator.sub, operator.truediv, operator.lt, operator.mod, operator.floordiv,
            operator.eq, operator.pow,
        ][pick[1] % 9]  # fmt: skip
        if how is operator.pow:
            power = [2, 0.5, -1, 0, 1, 3, 1.5][pick[0] % (5 if self.exact else 7)]
            return self.rough(a**power)
        return self.rough(how(number, a) if pick[2] % 3 == 0 else how(a, number))

    def where(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        if pick[0] % 3 == 0:
            return np.clip(a, [-1, 0, -1.5, None][pick[1] % 4], [2, 3.5, 1][pick[2] % 3])
        return np.where(a > 0 if a.dtype != np.bool_ else a, b, c if pick[0] % 2 else [0, 1.5, np.nan][pick[1] % 3])

    def reduction(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        name = REDUCTIONS[pick[0] % len(REDUCTIONS)]
        options: dict[str, Any] = {}
        if a.ndim and pick[1] % 3:
            options["axis"] = pick[2] % a.ndim if pick[1] % 3 == 1 or name.startswith("arg") else -1
            if a.ndim > 1 and pick[3] % 4 == 0 and not name.startswith("arg"):
                options["axis"] = (0, -1)
        if pick[4] % 3 == 0:
            options["keepdims"] = True
        if name in ("var", "std", "nanvar") and pick[5] % 2:
            options["ddof"] = 1
        if self.exact and isinstance(a, np.ndarray | np.generic):
            return correctly_rounded(name, np.asarray(a), options)
        return self.rough(getattr(np, name)(a, **options), a, 1)

    def convert(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        targets = ["float64", "float32", "bool"] if a.dtype.kind == "f" else ["float64", "float32", "bool", *INTEGERS]
        return a.astype(targets[pick[0] % len(targets)])

    def view(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        how = pick[0] % 9
        if a.ndim == 0:
            return a.reshape(1).copy()  # of a number of NumPy no view is seen by writes
        if how == 0:
            return a.T
        if how == 1:
            return a.reshape(-1)
        if how == 2 and a.ndim:
            return a[:: [2, -1, -3, 1][pick[1] % 4]]
        if how == 3:
            return a[..., None]
        if how == 4 and a.ndim and a.shape[0] > 2:
            return a[1:-1]
        if how == 5 and a.ndim and a.shape[0] > 0:
            return a[-1]
        if how == 6 and a.ndim:
            return np.flip(a, pick[1] % a.ndim)
        if how == 7 and a.ndim > 1:
            return np.moveaxis(a, 0, -1)
        if how == 8:
            return np.broadcast_to(a, (2, *a.shape)).copy()  # who writes to it writes to all of it
        return a[None]

    def choose(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        if a.ndim == 1 and pick[0] % 2:
            return a[b > 0] if b.shape == a.shape else a[a > 0]
        if a.ndim and a.shape[0]:
            index = np.array(pick[1:5]) % a.shape[0] - (pick[5] % 2) * a.shape[0]
            return a[index] if pick[0] % 4 else np.take(a, index, axis=0)
        return a

    def running(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        if a.ndim == 0:
            return a
        axis = pick[1] % a.ndim
        if pick[0] % 4 == 0:
            return np.diff(a, axis=axis)
        if pick[0] % 4 == 1:
            return np.concatenate([a, a], axis=axis)
        return self.rough((np.cumsum if pick[0] % 4 == 2 else np.cumprod)(a, axis=axis), a, 1)

    def write(self, a: Any, b: Any, c: Any, pick: list[int]) -> Any:
        how = pick[0] % 5
        a = a.copy() if pick[1] % 2 or not getattr(a, "flags", _WRITEABLE).writeable or a.ndim == 0 else a
        if a.ndim == 0:
            return a
        if how == 0:
            a[[slice(None, None, 2), slice(1, None), 0, Ellipsis][pick[2] % 4]] = [0, 1, True, 2][pick[3] % 4]
        elif how == 1:
            a[a > 0] = 1
        elif how == 2:
            a += 1
        elif how == 3 and b.dtype == a.dtype and b.ndim == 0:
            a[...] = b
        else:
            np.minimum(a, a, out=a)
        return a


class _WRITEABLE:
    writeable = True


_METHODS: list[tuple[float, Callable[..., Any]]] = [
    (0.22, Run.unary), (0.46, Run.binary), (0.56, Run.number), (0.62, Run.where), (0.74, Run.reduction),
    (0.80, Run.convert), (0.88, Run.view), (0.92, Run.choose), (0.96, Run.running), (1.0, Run.write),
]  # fmt: skip


def _size(x: Any) -> float:
    """Return the sum of the finite elements' sizes."""
    x = np.asarray(x, np.float64)
    return float(np.abs(x[np.isfinite(x)]).sum())


# references


def correctly_rounded(name: str, x: np.ndarray, options: dict[str, Any]) -> Any:
    """Return a reduction with one rounding where it sums, in order where it multiplies; else as NumPy gives it.

    Products are of float64, as sums are; NumPy multiplies several axes in the order of memory.
    """
    plain = getattr(np, name)(x, **options)
    base = name.removeprefix("nan")
    if base not in ("sum", "prod", "mean", "var", "std") or plain.dtype not in (np.float64, np.float32):
        return plain
    axis = options.get("axis")
    axes = tuple(range(x.ndim)) if axis is None else tuple([k % x.ndim for k in np.atleast_1d(axis)])
    kept = [k for k in range(x.ndim) if k not in axes]
    rows = x.transpose([*kept, *axes]).reshape(math.prod([x.shape[k] for k in kept]), -1).astype(np.float64)
    found = []
    for k, row in enumerate(rows):
        if name != base:
            row = row[~np.isnan(row)]
        if base == "prod":
            found.append(math.prod(row.tolist()))
        elif (not len(row) and base != "sum") or not np.isfinite(row).all():
            found.append(float(np.asarray(plain).reshape(-1)[k]))
        elif base == "sum":
            found.append(math.fsum(row))
        elif base == "mean":
            found.append(math.fsum(row) / len(row))
        else:
            found.append(_variance(row, options.get("ddof", 0), base == "std"))
    with np.errstate(all="ignore"):
        return np.array(found).astype(plain.dtype).reshape(np.shape(plain))[()]


def _variance(row: np.ndarray, ddof: int, root: bool) -> float:
    numbers = [Fraction(each) for each in row.tolist()]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    spread = sum((each - mean) ** 2 for each in numbers)
    free = max(len(row) - ddof, 0)
    try:
        value = float(spread / free) if free else math.inf if spread else math.nan
    except OverflowError:
        value = math.inf
    return math.sqrt(value) if root else value


# comparing


def nudges(rng: np.random.Generator) -> list[Callable[[np.ndarray, float], np.ndarray]]:
    """Return what moves a result by about its error: all up, all down, neighbours apart, and at random.

    Inputs that hardly differ may give results that do, where NumPy's are equal: what a difference of neighbours shows.
    """

    def moved(by: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray, float], np.ndarray]:
        def nudge(value: np.ndarray, size: float) -> np.ndarray:
            eps = 4 * float(np.finfo(value.dtype).eps)
            wide = value.astype(np.float64)
            return wide + by(value) * eps * (np.abs(wide) + 16 * size)

        return nudge

    return [
        moved(lambda value: 1.0),
        moved(lambda value: -1.0),
        moved(lambda value: 1.0 - 2.0 * (np.indices(value.shape).sum(axis=0) % 2)),
        moved(lambda value: rng.uniform(-1, 1, value.shape)),
        moved(lambda value: rng.choice([-1.0, 1.0], value.shape)),
    ]


def usable(plain: Sequence[Any], others: Sequence[Sequence[Any]]) -> int:
    """Return how many values come before one whose order of work decides what it is."""
    for k, value in enumerate(plain):
        if isinstance(value, Exception) or any(len(each) <= k or isinstance(each[k], Exception) for each in others):
            return k
        if any(np.shape(each[k]) != np.shape(value) for each in others):
            return k
        x = np.asarray(value)
        if x.dtype.kind == "f":
            most = MOST[x.dtype.itemsize]
            if any((np.isfinite(v) & (np.abs(v) > most)).any() for v in (x, *[np.asarray(e[k]) for e in others])):
                return k
    return len(plain)


def differs(found: Any, plain: Any, others: Sequence[Any], single: bool = False) -> str | None:
    """Return how a value differs by more than errors may bring about, which `others` show; None if it does not."""
    a, b = np.asarray(found), np.asarray(plain)
    if a.dtype != b.dtype:
        return f"dtype {a.dtype} instead of {b.dtype}"
    if a.shape != b.shape:
        return f"shape {a.shape} instead of {b.shape}"
    spread = np.zeros(b.shape)
    unsure = np.zeros(b.shape, bool)
    with np.errstate(all="ignore"):
        for each in others:
            other = np.asarray(each)
            if b.dtype.kind != "f":
                unsure |= other != b
                continue
            same_kind = (np.isfinite(other) & np.isfinite(b)) | (other == b) | (np.isnan(other) & np.isnan(b))
            unsure |= ~same_kind
            spread = np.fmax(spread, np.where(np.isfinite(b), np.abs(other.astype(np.float64) - b), 0))
        if b.dtype.kind != "f":
            close = a == b
        else:
            relative = {2: 2e-2, 4: 1e-4}.get(b.dtype.itemsize, 1e-4 if single else 1e-9)
            tiny = float(np.finfo(b.dtype).smallest_normal)
            allowed = 16 * spread + relative * np.abs(b.astype(np.float64)) + tiny
            close = (a == b) | (np.isnan(a) & np.isnan(b)) | (np.abs(a.astype(np.float64) - b) <= allowed)
    bad = ~(close | unsure)
    return f"{a[bad].ravel()[:5]} instead of {b[bad].ravel()[:5]}" if bad.any() else None
