"""Every operation of the op table that kernels of a GPU know, on special and random values, in Triton's interpreter.

Run as a module it prints a JSON object: for each operation and dtype the largest error beside NumPy's or SciPy's
answer, relative where that is larger than 1; infinite where one is not a number, infinite or of another sign and the
other is not.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from typing import Any

import numpy as np
import torch

from tests.fusion.gpu.interpreted import GPU
from workbench.fusion import expr as ir
from workbench.fusion.gpu.language import OPERATIONS
from workbench.fusion.gpu.memory import Spec
from workbench.fusion.gpu.planning import program_of
from workbench.fusion.gpu.tasks import Unsupported
from workbench.fusion.ops import OPS, loop_dtypes

DTYPES = ("float32", "float64", "int32", "int64", "uint8", "bool")
#: operations of two numbers that are asked for pairs of small ones: what they give of others does not fit the type
SMALL = ("power", "left_shift", "right_shift")
#: operations of which 1e-3 asks for a product that is rounded once, as on a device but not in the interpreter
ONCE = ("fmod", "remainder", "floor_divide")
#: of zeros of both signs these give any
ANY_ZERO = ("fmax", "fmin", "maximum", "minimum")
RNG = np.random.default_rng(3)


def values(name: str, dtype: np.dtype) -> list[np.ndarray]:
    """Return inputs of an operation."""
    many = OPS[name].arity
    if dtype.kind == "b":
        some = np.array([False, True])
    elif dtype.kind == "f":
        some = np.array([0.0, -0.0, 0.5, 1.5, 2.5, -1.0, -2.5, 3.0, 1e-3, 0.999, 7.25, np.inf, -np.inf, np.nan])
        some = some[some != 1e-3] if name in ONCE else some
        some = np.concatenate([some, RNG.normal(size=6), RNG.uniform(-1, 1, 4), RNG.uniform(1, 60, 4)])
    elif name in SMALL:
        some = np.array([0, 1, 2, 3, 5, 31, 32, 63, 64, 70]) if name != "power" else np.arange(6)
    else:
        low, high = (0, 200) if dtype.kind == "u" else (-100, 100)
        some = np.concatenate([[0, 1, 2, 7], RNG.integers(low, high, 12)])
    if name == "clip":
        return [some.astype(dtype), np.full(len(some), some[1], dtype), np.full(len(some), 3, dtype)]
    found = np.array(list(itertools.product(some, repeat=many)))
    return [found[:, k].astype(dtype) for k in range(many)]


def worst(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest error."""
    if wanted.dtype.kind != "f":
        return float(np.max(np.abs(found.astype(np.float64) - wanted.astype(np.float64))))
    with np.errstate(all="ignore"):
        alike = np.where(
            np.isfinite(wanted), np.isfinite(found), (found == wanted) | (np.isnan(found) & np.isnan(wanted))
        )
        alike &= np.isnan(wanted) | (wanted != 0) | (found != 0) | (np.signbit(found) == np.signbit(wanted))
        far = np.where(np.isfinite(wanted), np.abs(found - wanted) / np.maximum(1.0, np.abs(wanted)), 0.0)
    return float(np.max(far)) if alike.all() else float("inf")


def main() -> None:
    """Print the errors."""
    found: dict[str, Any] = {}
    for name, text in itertools.product(OPS, DTYPES):
        dtype = np.dtype(text)
        try:
            inputs = values(name, dtype)
            wanted = OPS[name].function(*inputs)
            if np.dtype(loop_dtypes(name, (dtype,) * len(inputs))[0]).kind not in OPERATIONS:
                continue
            leaves = [ir.leaf(Spec.of(each.shape, text)) for each in inputs]
            if name not in OPERATIONS[np.dtype(loop_dtypes(name, (dtype,) * len(inputs))[0]).kind]:
                found[f"{name} {text}"] = None
                continue
            program = program_of(leaves, [ir.map_(name, *leaves)], GPU)
        except TypeError:  # no operation on this dtype
            continue
        except Unsupported as reason:
            found[f"{name} {text}"] = str(reason)
            continue
        try:
            [value] = program(*[torch.from_numpy(each) for each in inputs])
        except Exception as error:
            found[f"{name} {text}"] = f"{type(error).__name__}: {error}"
            continue
        one, two = value.numpy(), np.asarray(wanted)
        found[f"{name} {text}"] = worst(one + 0, two + 0) if name in ANY_ZERO else worst(one, two)
    print(json.dumps(found))


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1")
    with np.errstate(all="ignore"):
        main()
