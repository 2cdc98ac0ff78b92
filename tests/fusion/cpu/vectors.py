"""Runs one elementary function over arrays, in vectors of a given width."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from workbench.fusion.cpu import machine, vmath
from workbench.fusion.cpu.ir import llvm_type

FLOATS = {"f64": np.float64, "f32": np.float32}


@cache
def function(
    name: str, kind: str, *, bits: int | None = None, fma: bool = True, exact: bool = False
) -> Callable[..., np.ndarray]:
    """Return the function, taking arrays."""
    here = machine.host(bits)
    target = here.target if fma else vmath.Target(fma=False)
    lanes = here.bits // (64 if kind == "f64" else 32)
    text, declared = vmath.define(name, kind, lanes, target, exact)
    scalar, vector, arity = llvm_type(kind), llvm_type(kind, lanes), vmath.ARITY[name]
    loads = "".join(
        f"  %q{i} = getelementptr {scalar}, ptr %p{i}, i64 %i\n  %x{i} = load {vector}, ptr %q{i}, align 1\n"
        for i in range(arity)
    )
    values = ", ".join(f"{vector} %x{i}" for i in range(arity))
    text += f"""
define void @k({", ".join(f"ptr %p{i}" for i in range(arity))}, ptr %o, i64 %n) {{
entry:
  br label %loop
loop:
  %i = phi i64 [0, %entry], [%j, %loop]
{loads}  %y = call {vector} @{vmath.symbol(name, kind, lanes, exact)}({values})
  %r = getelementptr {scalar}, ptr %o, i64 %i
  store {vector} %y, ptr %r, align 1
  %j = add i64 %i, {lanes}
  %c = icmp ult i64 %j, %n
  br i1 %c, label %loop, label %end
end:
  ret void
}}
""" + "\n".join(sorted(declared))
    loaded = machine.load(machine.object_code(text, here), here)
    call = loaded.function("k", *[ctypes.c_void_p] * (arity + 1), ctypes.c_int64)

    def run(*given: Any) -> np.ndarray:
        count = len(given[0])
        padded = [np.concatenate([np.asarray(x, FLOATS[kind]), np.ones(-count % 64, FLOATS[kind])]) for x in given]
        out = np.empty_like(padded[0])
        call(*[x.ctypes.data for x in padded], out.ctypes.data, len(out))
        return out[:count]

    return run
