"""The reference's values and conditions: one frame of one binding, in plain Python."""

from __future__ import annotations

from typing import Any

from tests.video.operators.naive_objects import EPS
from tests.video.operators.naive_relations import Env, Relations
from workbench.video.language import tree


class Conditions(Relations):
    """What holds at a frame."""

    def evaluate(self, env: Env, position: int, node: tree.Node) -> Any:
        """A value or condition at a frame; None where missing."""
        match node:
            case tree.Constant(value=value):
                return value
            case tree.Property(var=var, name=name):
                i = self.at(env[var], position)
                return None if i is None else self.value(env[var], i, name, self.types[var], var)
            case tree.RegionOf(var=var, regions=regions):
                i = self.at(env[var], position)
                if i is None:
                    return None
                foot = env[var].rows[i].foot
                inside = [r.name for r in regions if self.inside(foot, r.in_pixels(self.width, self.height))]
                return inside[0] if inside else None
            case tree.Measure(name="distance", var=var, other=other):
                return self.apart(env, position, var, other)
            case tree.Measure(var=var, other=other):
                earlier = [
                    p for p in self.domain(env, {var, other}) if self.times[p] <= self.times[position] - 0.5 + EPS
                ]
                if not earlier:
                    return None
                before = self.apart(env, earlier[-1], var, other)
                elapsed = self.times[position] - self.times[earlier[-1]]
                return (before - self.apart(env, position, var, other)) / elapsed
            case tree.OwnRelation():
                return self._relation_of_ones_own(env, position, node)
            case tree.Total(value=value):
                terms = [self.evaluate(inner, position, value) for inner in self.members(env, position, node)]
                return float(sum(term for term in terms if term is not None))
            case tree.Quantified(name=name, condition=condition):
                found = [self.evaluate(inner, position, condition) for inner in self.members(env, position, node)]
                decisive = name == "any"
                return decisive if decisive in found else None if None in found else not decisive
            case tree.Arithmetic(op=op, left=left, right=right):
                a, b = self.evaluate(env, position, left), self.evaluate(env, position, right)
                if a is None or b is None or (op == "/" and b == 0):
                    return None
                return {"+": lambda: a + b, "-": lambda: a - b, "*": lambda: a * b, "/": lambda: a / b}[op]()
            case tree.Negate(operand=operand):
                value = self.evaluate(env, position, operand)
                return None if value is None else -value
            case tree.Function(name=name, arguments=arguments):
                values = [self.evaluate(env, position, argument) for argument in arguments]
                if None in values:
                    return None
                return abs(values[0]) if name == "abs" else (min if name == "min" else max)(values)
            case tree.Choose(condition=condition, then=then, otherwise=otherwise):
                test = self.evaluate(env, position, condition)
                return None if test is None else self.evaluate(env, position, then if test else otherwise)
            case tree.Compare(op=op, left=left, right=right):
                return self._compare(env, position, op, left, right)
            case tree.Contains(item=item, collection=collection):
                value = self.evaluate(env, position, item)
                return None if value is None else value in collection.value
            case tree.Truth(value=value):
                found = self.evaluate(env, position, value)
                return None if found is None else bool(found)
            case tree.Known(value=value):
                return self.evaluate(env, position, value) is not None
            case tree.Relation():
                return self._relation(env, position, node)
            case tree.InRegion(name="inside", var=var, region=region, by=by):
                x1, y1, x2, y2 = self.row(env, position, var).box
                points = {
                    "foot": [((x1 + x2) / 2, y2)],
                    "center": [((x1 + x2) / 2, (y1 + y2) / 2)],
                    "box": [(x1, y1), (x1, y2), (x2, y1), (x2, y2)],
                }[by]
                polygon = region.in_pixels(self.width, self.height)
                return all(self.inside(point, polygon) for point in points)
            case tree.InRegion(name=name, var=var, region=region):
                i = self.at(env[var], position)
                assert i is not None
                return self._passage(env[var], i, region) == name
            case tree.Crosses(var=var, shape=shape, to=to):
                i = self.at(env[var], position)
                assert i is not None
                side = self._crossing(env[var], i, shape)
                return side is not None and to in (None, side)
            case tree.Not(operand=operand):
                value = self.evaluate(env, position, operand)
                return None if value is None else not value
            case tree.And(operands=operands):
                values = [self.evaluate(env, position, operand) for operand in operands]
                return False if False in values else None if None in values else True
            case tree.Or(operands=operands):
                values = [self.evaluate(env, position, operand) for operand in operands]
                return True if True in values else None if None in values else False
        raise TypeError(type(node).__name__)

    def _compare(self, env: Env, position: int, op: str, left: tree.Node, right: tree.Node) -> Any:
        a, b = self.evaluate(env, position, left), self.evaluate(env, position, right)
        if a is None or b is None:
            return None
        timed = any(getattr(side, "dimension", None) == tree.Dimension(s=1) for side in (left, right))
        if timed and abs(a - b) <= EPS:
            return op in ("==", "<=", ">=")
        try:
            return {
                "==": lambda: a == b, "!=": lambda: a != b, "<": lambda: a < b,
                "<=": lambda: a <= b, ">": lambda: a > b, ">=": lambda: a >= b,
            }[op]()  # fmt: skip
        except TypeError:
            return None
