"""Elementary functions as LLVM IR, for f64 and f32 vectors of any width.

Each is within 4 ulp of the true value (`erfc`, `expit` and `ndtr`: 8 ulp where the result is at least 0.1, below that
1e-12 relative, in single precision 1e-5), and gives NumPy's values for zeros, infinities and NaN. `exact` calls the
scalar functions of libm lane by lane instead.

glibc's libmvec is not called: measured beside it on AVX-512, this code, inlined and scheduled with what is around it,
is faster (exp, arcsin) or level (sine, cosine, erf), its accuracy is tested here, and results do not depend on the
version of a library.
"""

from __future__ import annotations

from collections.abc import Callable

from workbench.fusion.cpu import exponential, powers, probability, trigonometry
from workbench.fusion.cpu.ir import Code, Value, llvm_type

__all__ = ["ARITY", "NAMES", "Target", "define", "symbol"]

_FUNCTIONS: dict[str, Callable[..., Value]] = {
    "exp": exponential.exp,
    "exp2": exponential.exp2,
    "expm1": exponential.expm1,
    "log": exponential.log,
    "log2": exponential.log2,
    "log10": exponential.log10,
    "log1p": exponential.log1p,
    "sinh": exponential.sinh,
    "cosh": exponential.cosh,
    "tanh": exponential.tanh,
    "arcsinh": exponential.asinh,
    "arccosh": exponential.acosh,
    "arctanh": exponential.atanh,
    "sin": trigonometry.sin,
    "cos": trigonometry.cos,
    "tan": trigonometry.tan,
    "arcsin": trigonometry.asin,
    "arccos": trigonometry.acos,
    "arctan": trigonometry.atan,
    "arctan2": trigonometry.atan2,
    "erf": probability.erf,
    "erfc": probability.erfc,
    "expit": probability.expit,
    "ndtr": probability.ndtr,
    "power": powers.power,
    "cbrt": powers.cbrt,
    "hypot": powers.hypot,
}
#: names of the functions, as NumPy's and SciPy's ufuncs
NAMES = tuple(_FUNCTIONS)
#: how many arguments each takes
ARITY = {name: 2 if name in ("arctan2", "power", "hypot") else 1 for name in NAMES}

#: what libm calls them, where not as NumPy does
_LIBM = {
    "arcsin": "asin",
    "arccos": "acos",
    "arctan": "atan",
    "arctan2": "atan2",
    "arcsinh": "asinh",
    "arccosh": "acosh",
    "arctanh": "atanh",
    "power": "pow",
}
#: of large arguments, these leave their lanes to libm
_PERIODIC = ("sin", "cos", "tan")


class Target:
    """What the processor offers to the code that is written for it.

    Parameters
    ----------
    fma : bool
        It multiplies and adds in one step.
    scalef : bool
        It has AVX-512's instruction for powers of two.
    """

    def __init__(self, *, fma: bool = True, scalef: bool = False) -> None:
        self.fma, self.scalef = fma, scalef


def symbol(name: str, kind: str, lanes: int, exact: bool = False) -> str:
    """Return the name under which `define` defines a function."""
    return f"vm.{name}.{'x' if exact else ''}{kind}.{lanes}"


def define(name: str, kind: str, lanes: int, target: Target, exact: bool = False) -> tuple[str, set[str]]:
    """Return the text of a function for vectors of `lanes` elements, and the declarations that it needs.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    kind : {"f64", "f32"}
        The elements, of arguments and result.
    lanes : int
        How many; a power of two.
    target : Target
        What the processor offers.
    exact : bool
        Call libm lane by lane.
    """
    code = Code(fma=target.fma, scalef=target.scalef)
    arguments = [Value(code, f"%a{i}", kind, lanes) for i in range(ARITY[name])]
    helpers = ""
    code.label("entry")
    if exact:
        helpers, result = _by_lane(name, code, arguments)
    else:
        result = _FUNCTIONS[name](*arguments)
        if name in _PERIODIC:
            helpers, result = _large(name, code, arguments[0], result)
    given = ", ".join(f"{a.type} {a.ref}" for a in arguments)
    code.line(f"ret {result.type} {result.ref}")
    body = "\n".join(code.lines)
    head = f"define internal {result.type} @{symbol(name, kind, lanes, exact)}({given}) alwaysinline nounwind {{"
    return f"{helpers}{head}\n{body}\n}}\n", code.declared


def _large(name: str, code: Code, x: Value, result: Value) -> tuple[str, Value]:
    """Replace the lanes of large arguments by what libm says."""
    limit = trigonometry.LARGE[x.kind]
    a = x.abs()
    mask = a.ge(limit) & a.lt(float("inf"))
    some = code.call("i1", 0, f"llvm.vector.reduce.or.v{x.lanes}i1", mask)
    code.line(f"br i1 {some.ref}, label %large, label %done")
    code.label("large")
    text, repaired = _lane_loop(name, code, [x], result, mask)
    code.line("br label %done")
    code.label("done")
    merged = code.value(x.kind, x.lanes, f"phi {x.type} [ {result.ref}, %entry ], [ {repaired.ref}, %large ]")
    return text, merged


def _by_lane(name: str, code: Code, arguments: list[Value]) -> tuple[str, Value]:
    """Call libm for each lane; what libm lacks is made of what it has."""
    x = arguments[0]
    if name in ("ndtr", "expit") and x.kind == "f32":  # SciPy computes them in double, too
        text, wide = _by_lane(name, code, [x.cast("fpext", "f64")])
        return text, wide.cast("fptrunc", "f32")
    if name == "ndtr":
        text, half = _lane_loop("erfc", code, [x * -0.7071067811865476], x, None)
        return text, half * 0.5
    if name == "expit":
        text, e = _lane_loop("exp", code, [-x.abs()], x, None)
        return text, x.lt(0.0).where(e, 1.0) / (e + 1.0)
    return _lane_loop(name, code, arguments, x, None)


def _lane_loop(name: str, code: Code, arguments: list[Value], start: Value, mask: Value | None) -> tuple[str, Value]:
    """Return a helper that calls libm where the mask holds, and its call."""
    kind, lanes = start.kind, start.lanes
    scalar, vector = llvm_type(kind), llvm_type(kind, lanes)
    function = _LIBM.get(name, name) + ("f" if kind == "f32" else "")
    code.declared.add(f"declare {scalar} @{function}({', '.join([scalar] * len(arguments))})")
    helper = f"{symbol(name, kind, lanes)}.lanes{'' if mask is not None else '.all'}"
    masks = f"<{lanes} x i1>"
    count = range(len(arguments))
    given = ", ".join(f"{vector} %a{i}" for i in count)
    kept = "\n".join(f"  %m{i} = alloca {vector}\n  store {vector} %a{i}, ptr %m{i}" for i in count)
    taken = "\n".join(
        f"  %p{i} = getelementptr {scalar}, ptr %m{i}, i64 %i\n  %e{i} = load {scalar}, ptr %p{i}" for i in count
    )
    passed = ", ".join(f"{scalar} %e{i}" for i in count)
    # by way of memory: vectors with an index that varies take LLVM long
    text = f"""define internal {vector} @{helper}({given}, {vector} %start, {masks} %mask) noinline cold nounwind {{
entry:
{kept}
  %found = alloca {vector}
  store {vector} %start, ptr %found
  %narrow = bitcast {masks} %mask to i{lanes}
  %bits = zext i{lanes} %narrow to i64
  br label %loop
loop:
  %i = phi i64 [ 0, %entry ], [ %next, %joined ]
  %moved = lshr i64 %bits, %i
  %here = trunc i64 %moved to i1
  br i1 %here, label %work, label %joined
work:
{taken}
  %y = call {scalar} @{function}({passed})
  %at = getelementptr {scalar}, ptr %found, i64 %i
  store {scalar} %y, ptr %at
  br label %joined
joined:
  %next = add i64 %i, 1
  %more = icmp ult i64 %next, {lanes}
  br i1 %more, label %loop, label %end
end:
  %all = load {vector}, ptr %found
  ret {vector} %all
}}
"""
    where = mask.ref if mask is not None else "splat (i1 true)"
    values = ", ".join(f"{a.type} {a.ref}" for a in arguments)
    result = code.value(kind, lanes, f"call {vector} @{helper}({values}, {vector} {start.ref}, {masks} {where})")
    return text, result
