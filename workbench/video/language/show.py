"""The typed tree as text, much as it was written: for plans, and to name a node in the store."""

from __future__ import annotations

from workbench.engine.units import UNITS, Dimension
from workbench.video.language.tree import (
    Aggregate,
    And,
    Arithmetic,
    Before,
    Choose,
    Compare,
    Constant,
    Contains,
    Crosses,
    During,
    Every,
    Function,
    Inner,
    InRegion,
    Known,
    Lasts,
    LineShape,
    Measure,
    Negate,
    Never,
    Node,
    Not,
    Or,
    OwnRelation,
    Property,
    Quantified,
    RegionOf,
    RegionShape,
    Relation,
    Sequence,
    Total,
    Truth,
    Turns,
    Variable,
)  # fmt: skip

#: how tightly an operator binds, loosest first
_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _ATOM = range(7)
_BASE_UNITS = {dimension: unit for unit, (factor, dimension) in reversed(UNITS.items()) if factor == 1.0}


def show(node: Node) -> str:
    """Return a node as text in the words of the language.

    >>> show(Compare("==", Property("car", "color"), Constant("red", text="red")))
    'car.color == "red"'
    """
    return _show(node)[0]


def _show(node: Node) -> tuple[str, int]:
    """Return the text and how tightly its outermost operator binds."""
    match node:
        case Constant(value=tuple() as values, dimension=dimension):
            return f"({', '.join(_constant(value, dimension) for value in values)})", _ATOM
        case Constant(value=value, dimension=dimension, text=text):
            # what was calculated from quantities has their text, which is no quantity itself
            written = text and '"' not in text and isinstance(value, (int, float))
            return f'"{text}"' if written else _constant(value, dimension), _ATOM
        case Property(var=var, name=name):
            return f"{var}.{name}" if var else name, _ATOM
        case RegionOf(var=var, regions=regions):
            return f"{var}.region_of({', '.join(region.name for region in regions)})", _ATOM
        case Measure(name=name, var=var, other=other):
            return f"{var}.{name}({other})", _ATOM
        case OwnRelation(function=function):
            return function.name, _ATOM
        case Total(variable=variable, value=value, test=test):
            return f"sum({_ranging(value, variable, test)})", _ATOM
        case Quantified(name=name, variable=variable, condition=condition, test=test):
            return f"{name}({_ranging(condition, variable, test)})", _ATOM
        case Arithmetic(op=op, left=left, right=right):
            level = _SUM if op in "+-" else _PRODUCT
            return f"{_inside(left, level)} {op} {_inside(right, level + 1)}", level
        case Negate(operand=operand):
            return f"-{_inside(operand, _ATOM)}", _ATOM
        case Function(name=name, arguments=arguments):
            return f"{name}({', '.join(map(show, arguments))})", _ATOM
        case Choose(condition=condition, then=then, otherwise=otherwise):
            return f"({_inside(then, _OR)} if {_inside(condition, _OR)} else {_inside(otherwise, _OR)})", _ATOM
        case Compare(op=op, left=left, right=right):
            return f"{_inside(left, _SUM)} {op} {_inside(right, _SUM)}", _COMPARE
        case Contains(item=item, collection=collection):
            return f"{_inside(item, _SUM)} in {show(collection)}", _COMPARE
        case Not(operand=Contains(item=item, collection=collection)):
            return f"{_inside(item, _SUM)} not in {show(collection)}", _COMPARE
        case Truth(value=value):
            return _show(value)
        case Known(value=value):
            return f"known({show(value)})", _ATOM
        case InRegion(name=name, var=var, region=RegionShape(name=region), by=by):
            return f"{var}.{name}({region}" + ("" if by == "foot" else f', by="{by}"') + ")", _ATOM
        case Crosses(var=var, shape=LineShape(name=line), to=to):
            return f"{var}.crosses({line}" + ("" if to is None else f', to="{to}"') + ")", _ATOM
        case Relation(name="near", var=var, other=other, limit=limit, dimension=dimension):
            return f"{var}.near({other}, {_constant(limit, dimension)})", _ATOM
        case Relation(name=name, var=var, other=other, limit=limit):
            least = {"overlaps": f", iou={limit:g}", "same_as": f", min={limit:g}"}.get(name, "")
            return f"{var}.{name}({other}{least})", _ATOM
        case Not(operand=operand):
            return f"not {_inside(operand, _NOT)}", _NOT
        case And(operands=operands):
            return " and ".join(_inside(operand, _NOT) for operand in operands), _AND
        case Or(operands=operands):
            return " or ".join(_inside(operand, _AND) for operand in operands), _OR
        case Lasts(operand=operand, duration=duration, gap=gap):
            rest = "" if gap == 0.5 else f', gap="{gap:g}s"'
            return f'lasts({show(operand)}, "{duration:g}s"{rest})', _ATOM
        case Sequence(steps=steps, within=within):
            return f"sequence({', '.join(map(show, steps))}{_within(within)})", _ATOM
        case Before(first=first, then=then, within=within):
            return f"before({show(first)}, {show(then)}{_within(within)})", _ATOM
        case During(inner=inner, outer=outer):
            return f"during({show(inner)}, {show(outer)})", _ATOM
        case Never(condition=condition, after=after, within=within):
            return f"never({show(condition)}, after={show(after)}{_within(within)})", _ATOM
        case Inner(name=name, given=given):
            return f"{name}({', '.join(f'{its}={mine}' for its, mine in given)})", _ATOM
        case Turns(var=var, side=side, by=by, over=over):
            return f'{var}.turns("{side}", by="{by:g}deg", over="{over:g}s")', _ATOM
        case Every(seconds=seconds):
            return f'every("{seconds:g}s")', _ATOM
        case Aggregate(name=name, argument=argument):
            return f"{name}({'' if argument is None else show(argument)})", _ATOM
    raise TypeError(f"{type(node).__name__} cannot be shown")


def _ranging(part: Node, variable: Variable, test: Node | None) -> str:
    rest = "" if test is None else f" if {show(test)}"
    return f"{show(part)} for {variable.name} in {variable.type.name}{rest}"


def _within(seconds: float | None) -> str:
    return "" if seconds is None else f', within="{seconds:g}s"'


def _inside(node: Node, level: int) -> str:
    text, own = _show(node)
    return text if own >= level else f"({text})"


def _constant(value: object, dimension: Dimension) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if dimension and isinstance(value, (int, float)):
        return f'"{value:g}{_BASE_UNITS.get(dimension, dimension)}"'
    return f"{value:g}" if isinstance(value, float) else str(value)
