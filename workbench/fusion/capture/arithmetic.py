"""Arithmetic, comparison and logic of columns, with pandas' dtypes and missing values.

Every function returns None where pandas has to do it: because the result's dtype depends on values, because the call
raises (and pandas words it), or because nothing here covers it.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from workbench.fusion import expr as ir
from workbench.fusion.capture.columns import NAT, Column, plain
from workbench.fusion.expr import Expr
from workbench.fusion.ops import COMPARISONS, call_dtype
from workbench.fusion.positions import here

__all__ = ["ARITHMETIC", "LOGIC", "METHODS", "as_constant", "binary", "fits", "invert", "shortly", "there", "unary"]

#: name of a pandas method -> operation of the table
ARITHMETIC = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power",
}  # fmt: skip
LOGIC = {"and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor"}
METHODS = {**ARITHMETIC, **COMPARISONS}

_MIRRORED = {
    "less": "greater", "less_equal": "greater_equal", "greater": "less", "greater_equal": "less_equal",
    "equal": "equal", "not_equal": "not_equal",
}  # fmt: skip


def as_constant(value: Any) -> Expr | None:
    """Return a number as a constant expression; None for what is no number of a supported dtype."""
    if isinstance(value, (bool, np.bool_)):
        return ir.const(np.bool_(value))
    if type(value) is int:
        return ir.const(value) if -(2**63) <= value < 2**63 else None
    if type(value) is float:
        return ir.const(value)
    if isinstance(value, np.generic) and plain(value.dtype):
        return ir.const(value)
    return None


def fits(value: int, dtype: np.dtype) -> bool:
    """Return whether an integer is in the range of an integer dtype."""
    known = _ranges.get(dtype)
    if known is None:
        info = np.iinfo(dtype)
        known = _ranges[dtype] = int(info.min), int(info.max)
    return known[0] <= value <= known[1]


_ranges: dict[np.dtype, tuple[int, int]] = {}


def there(column: Column) -> Expr | None:
    """Return where a column is not missing; None if it cannot be missing anywhere.

    Opaque columns have no answer here; ask `missing_known` first.
    """
    if column.masked:
        return column.valid
    if column.time:
        return ir.map_("not_equal", column.expr, ir.const(NAT, np.int64))
    coded = column.coded()
    if coded is not None:
        codes, words = coded
        if words.distinct:
            return ir.map_("greater_equal", codes, ir.const(0))
        table = ir.leaf(words.values.notna().to_numpy(bool))
        return ir.gather(table, codes, fill=False)
    if column.plain and column.dtype.kind == "f":
        return ir.map_("logical_not", ir.map_("isnan", column.expr))
    return None


def binary(op: str, first: Column | Expr | Any, second: Column | Expr | Any) -> Column | None:
    """Return `first op second` over the rows of the column among them (or of both, which are the same rows).

    Parameters
    ----------
    op : str
        An operation of `ARITHMETIC`, `COMPARISONS` or `LOGIC`, by the name of the op table.
    first, second : Column, Expr or object
        Columns of one domain; 0-d expressions; else what Python or NumPy call a single value.
    """
    mine = first if isinstance(first, Column) else second
    assert isinstance(mine, Column)
    columns = [each for each in (first, second) if isinstance(each, Column)]
    if any(each.text for each in columns):
        return _text(op, first, second)
    if any(each.time for each in columns):
        return _times(op, first, second)
    if not all(each.computes for each in columns):
        return None
    operands: list[Any] = []
    for each in (first, second):
        if not isinstance(each, (Column, Expr)):
            each = as_constant(each)
        if each is None:
            return None
        operands.append(each)
    if any(each.masked for each in columns):
        return _masked(op, operands[0], operands[1], mine)
    if len(columns) == 1 and op in ARITHMETIC.values():
        operands = [each if isinstance(each, Column) else _as_python(each, mine.dtype) for each in operands]
    if any(each is None for each in operands):
        return None
    a, b = [each.expr if isinstance(each, Column) else each for each in operands]
    if not _plain_rule(op, a, b):
        return None
    try:
        found = ir.map_(op, a, b)
    except (TypeError, ValueError):
        return None
    return Column(found.dtype, mine.domain, found)


def shortly(op: str, mine: Column, other: Any, reflected: bool) -> Column | None:
    """Return what `binary` does for columns of numbers over one domain, and numbers of Python, where dtypes decide.

    Most operations are of this kind, and to record one has to cost next to nothing; None: ask `binary`.
    """
    how = type(other)
    if how is Column:
        if other.domain is not mine.domain or other.picked:
            return None
        how = other.dtype
    elif how is not float and how is not int:
        return None
    if not isinstance(mine.dtype, np.dtype) or mine.picked:
        return None
    key = (op, mine.dtype, how)
    dtype = _decided.get(key)
    if dtype is None:
        dtype = _decided[key] = _decides(*key)
    if not dtype or (how is int and not (fits(other, _I8) and (mine.dtype.kind == "f" or fits(other, mine.dtype)))):
        return None
    a, b = mine.expr, ir.const(other) if how is float or how is int else other.expr
    if b.shape and b.shape != a.shape:
        return None
    pair = (b, a) if reflected else (a, b)
    return Column(dtype, mine.domain, Expr("Map", op, pair, (), dtype, a.shape, here()))


#: (op, dtypes) -> dtype of the result, False where dtypes do not decide it
_decided: dict[tuple[str, Any, Any], Any] = {}


def _decides(op: str, mine: Any, other: Any) -> Any:
    """Return the dtype of an operation where it, and that pandas does as NumPy, depend on nothing but dtypes."""
    dtypes = [each for each in (mine, other) if each is not int and each is not float]
    if not all(plain(each) for each in dtypes):
        return False
    kinds, known = {each.kind for each in dtypes}, op in ("add", "subtract", "multiply", "divide", *_MIRRORED)
    if kinds == {"b"}:
        fine = op in LOGIC.values() and len(dtypes) == 2
    elif kinds == {"f"}:
        fine = known or (other is not int and op not in LOGIC.values())
    else:
        fine = known and "b" not in kinds and {mine, other} != {_I8, _U8}
    return call_dtype(op, (mine, other)) if fine else False


def _as_python(value: Expr, dtype: np.dtype) -> Expr | None:
    """Return a single value as pandas takes it beside numbers of a dtype: a number of NumPy counts as Python's."""
    if value.kind == "Const":
        known = value.data
        return ir.const(known.item()) if isinstance(known, np.generic) and value.dtype.kind in "iuf" else value
    if value.dtype == dtype or value.dtype.kind not in "iuf" or dtype.kind == "b":
        return value
    if dtype.kind == "f" or value.dtype.kind == "f":
        return ir.cast(value, dtype if dtype.kind == "f" else np.float64)
    return ir.cast(value, dtype) if np.can_cast(value.dtype, dtype) else None  # else it may not fit, and raise


def _plain_rule(op: str, a: Expr, b: Expr) -> bool:
    """Return whether pandas does with NumPy dtypes what NumPy does, and whatever the values are."""
    kinds = a.dtype.kind + b.dtype.kind
    weak = [each for each in (a, b) if each.kind == "Const" and type(each.data) is int]
    if weak:
        other = b if weak[0] is a else a
        if other.dtype.kind in "iu" and not fits(weak[0].data, other.dtype):
            return False
    if op in LOGIC.values():
        return kinds == "bb" or (set(kinds) <= set("iu") and a.dtype == b.dtype)
    if op in _MIRRORED:
        return kinds == "bb" or ("b" not in kinds and not ({a.dtype, b.dtype} == {_I8, _U8} and not weak))
    if "b" in kinds:
        return kinds != "bb" and op in ("add", "subtract", "multiply")
    if op in ("floor_divide", "remainder"):
        if "f" in kinds:
            return "f" in b.dtype.kind or _nonzero(b)
        return _nonzero(b)
    if op == "power":
        return "f" in kinds or (b.kind == "Const" and int(b.data) >= 0)
    return True


_I8, _U8 = np.dtype(np.int64), np.dtype(np.uint64)


def _nonzero(b: Expr) -> bool:
    return b.kind == "Const" and b.data != 0


def _text(op: str, first: Any, second: Any) -> Column | None:
    if op not in _MIRRORED:
        return None
    if not isinstance(first, Column):
        first, second, op = second, first, _MIRRORED[op]
    if type(second) is not str:
        return None
    coded = first.coded()
    if coded is None:
        return None
    codes, words = coded
    return table(first, codes, _compared(words.values, op, second), fill=op == "not_equal")


def _compared(values: Any, op: str, other: str) -> np.ndarray:
    import operator

    python = {
        "less": "lt",
        "less_equal": "le",
        "greater": "gt",
        "greater_equal": "ge",
        "equal": "eq",
        "not_equal": "ne",
    }
    return getattr(operator, python[op])(values, other).to_numpy(bool)


def table(column: Column, codes: Expr, values: np.ndarray, fill: Any) -> Column:
    """Return what a table of its dictionary gives for each row of a column of strings."""
    if not len(values):
        values = np.full(1, fill, values.dtype)  # nothing but missing strings
    found = ir.gather(ir.leaf(values), codes, fill=fill)
    return Column(found.dtype, column.domain, found)


def _times(op: str, first: Any, second: Any) -> Column | None:
    if op not in _MIRRORED:
        return None
    if not isinstance(first, Column):
        first, second, op = second, first, _MIRRORED[op]
    nat = ir.const(NAT, np.int64)
    if isinstance(second, Column):
        if not first.time or first.dtype != second.dtype:
            return None
        a, b = first.expr, second.expr
        found = ir.map_(op, a, b)
        if op == "not_equal":
            found = ir.map_("logical_or", found, ir.map_("equal", a, nat))
        else:
            for each in (a, b):
                found = ir.map_("logical_and", found, ir.map_("not_equal", each, nat))
        return Column(found.dtype, first.domain, found)
    value = instant(second, first.dtype)
    if value is None:
        return None
    found = ir.map_(op, first.expr, ir.const(value, np.int64))
    if op in ("less", "less_equal"):
        found = ir.map_("logical_and", found, ir.map_("not_equal", first.expr, nat))
    return Column(found.dtype, first.domain, found)


def instant(value: Any, dtype: np.dtype) -> int | None:
    """Return a time as a number in the unit of a dtype; None if it is none, is missing or falls between two units."""
    import datetime

    import pandas as pd

    unit = np.datetime_data(dtype)[0]
    kind: Any = pd.Timestamp if dtype.kind == "M" else pd.Timedelta
    if dtype.kind == "M":
        known: tuple[type, ...] = (str, datetime.datetime, np.datetime64)
    else:
        known = (str, datetime.timedelta, np.timedelta64)
    if not isinstance(value, known):
        return None
    try:
        found = kind(value)
        if found is pd.NaT or getattr(found, "tzinfo", None) is not None:
            return None
        scaled = found.as_unit(unit)
        return int(scaled.asm8.view("i8")) if scaled == found else None
    except (ValueError, OverflowError):
        return None


def _masked(op: str, a: Column | Expr, b: Column | Expr, mine: Column) -> Column | None:
    """Return the operation on masked dtypes; plain columns and numbers take part as they are."""
    dtype = masked_dtype(op, *[_example(each) for each in (a, b)])
    if dtype is None:
        return None
    x, y = [each.expr if isinstance(each, Column) else each for each in (a, b)]
    valids = [each.valid if isinstance(each, Column) else None for each in (a, b)]
    floats = [each for each in (a, b) if isinstance(each, Column) and not each.masked and each.dtype.kind == "f"]
    if floats or op not in ("add", "subtract", "multiply", *_MIRRORED, *LOGIC.values()) or not _plain_rule(op, x, y):
        return None
    try:
        found = ir.map_(op, x, y)
    except (TypeError, ValueError):
        return None
    if found.dtype != dtype.numpy_dtype:
        return None
    if op in ("bitwise_and", "bitwise_or") and found.dtype.kind == "b":
        valid = _kleene(op, x, y, valids)
    else:
        valid = both(*valids)
    return Column(dtype, mine.domain, found, valid=valid)


def both(first: Expr | None, second: Expr | None) -> Expr | None:
    """Return where both are there; None is everywhere."""
    if first is None or second is None:
        return first if second is None else second
    return ir.map_("logical_and", first, second)


def _kleene(op: str, x: Expr, y: Expr, valids: list[Expr | None]) -> Expr | None:
    """Return where a three-valued and, or, is known: both are, or one decides it."""
    found = both(valids[0], valids[1])
    if found is None:
        return None
    for value, valid in ((x, valids[0]), (y, valids[1])):
        decides = value if op == "bitwise_or" else ir.map_("logical_not", value)
        if valid is not None:
            decides = ir.map_("logical_and", decides, valid)
        found = ir.map_("logical_or", found, decides)
    return found


def _example(each: Column | Expr) -> Any:
    """Return what stands for an operand where its dtype alone counts."""
    if isinstance(each, Column):
        return each.dtype
    return each.data if each.kind == "Const" else each.dtype.type(1)


@lru_cache(1024, typed=True)
def masked_dtype(op: str, first: Any, second: Any) -> Any:
    """Return the masked dtype that pandas gives an operation on empty columns; None if none, or if it raises."""
    import pandas as pd

    python = {**{v: k for k, v in METHODS.items()}, "bitwise_and": "and_", "bitwise_or": "or_", "bitwise_xor": "xor"}
    operands = [
        pd.Series([], dtype=each) if isinstance(each, (np.dtype, pd.api.extensions.ExtensionDtype)) else each
        for each in (first, second)
    ]
    import operator

    try:
        found = getattr(operator, python[op])(*operands).dtype
    except Exception:  # pandas raises it where the call is made, on the real values
        return None
    return found if hasattr(found, "numpy_dtype") else None


def invert(column: Column) -> Column | None:
    """Return `~column`."""
    if not column.computes or column.time or column.expr.dtype.kind not in "biu":
        return None
    found = ir.map_("invert", column.expr)
    return Column(column.dtype, column.domain, found, valid=column.valid)


def unary(op: str, column: Column) -> Column | None:
    """Return an operation of one input that keeps missing values: negative, absolute, positive and the like."""
    if not column.plain or column.dtype.kind not in "iuf":
        return None
    try:
        found = ir.map_(op, column.expr)
    except TypeError:
        return None
    return Column(found.dtype, column.domain, found)
