"""Checking of quantifiers: `any`, `all` and `sum` over the objects of a type that are in the frame."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from workbench.engine.errors import suggest
from workbench.video.language import catalogue
from workbench.video.language.arguments import Arguments
from workbench.video.language.parse import position, unsupported
from workbench.video.language.scope import MISSING
from workbench.video.language.sorts import Sort, Value, short
from workbench.video.language.tree import And, Node, ObjectType, Quantified, Total, Variable
from workbench.video.language.types import object_type
from workbench.video.language.vocabulary import ObjectMeta

_EXAMPLES = {
    "any": 'Write any(p.near(bag, "2m") for p in Person).',
    "all": "Write all(p.still for p in Person).",
    "sum": "Write sum(1 for p in Person if p.still) >= 2.",
}


@dataclass(slots=True)
class Quantifiers(Arguments):
    """Reads what ranges over a type."""

    def quantified(self, node: ast.Call, word: str) -> Node:
        """Return the checked form of `any(...)` or `all(...)`."""
        made = self._generator(node, word)
        with self._range(made) as variable:
            test = self._test(made)
            condition = self._frame_condition(made.elt, word)
        name: Literal["any", "all"] = "any" if word == "any" else "all"
        return Quantified(name, variable, condition, test, **position(node))

    def total(self, node: ast.Call) -> Value:
        """Return the checked form of `sum(...)`."""
        made = self._generator(node, "sum")
        with self._range(made) as variable:
            test = self._test(made)
            if isinstance(made.elt, ast.Compare | ast.BoolOp) or (
                isinstance(made.elt, ast.UnaryOp) and isinstance(made.elt.op, ast.Not)
            ):
                written = f"sum(1 for {ast.unparse(made.generators[0].target)} in {variable.type.name} if ...)"
                raise self.error(
                    made.elt, f"sum() adds numbers, and {short(made.elt)} is a condition.", f"Write {written}."
                )
            value = self.value(made.elt)
        if value.tree is None:
            quantity = self.reader.quantity(value)
            wanted = Sort("number", quantity.dimension if quantity is not None else catalogue.NUMBER, name="sum()")
            value = Value(wanted, value.at, self.reader.constant(value, wanted))
        if value.sort.shape not in ("number", "any", "bool"):
            raise self.error(made.elt, f"sum() needs numbers; {value.name} is {value.sort.units()}.", _EXAMPLES["sum"])
        assert value.tree is not None
        dimension = value.sort.dimension if value.sort.shape == "number" else catalogue.NUMBER
        tree = Total(variable, value.tree, test, dimension, **position(node))
        return Value(Sort("number", dimension, name="sum()", metric=value.sort.metric), node, tree)

    def _generator(self, node: ast.Call, word: str) -> ast.GeneratorExp:
        if node.keywords or len(node.args) != 1 or not isinstance(node.args[0], ast.GeneratorExp):
            raise self.error(node, f"{word}() takes one condition over a type (line {node.lineno}).", _EXAMPLES[word])
        made = node.args[0]
        if len(made.generators) > 1 or made.generators[0].is_async:
            raise self.error(
                made, f"{word}() goes over one type (line {node.lineno}).", f"Nest them: {word}({word}(...) for ...)."
            )
        return made

    @contextmanager
    def _range(self, made: ast.GeneratorExp) -> Iterator[Variable]:
        """Let the variable of a generator be known while its parts are read."""
        target = made.generators[0].target
        if not isinstance(target, ast.Name):
            raise unsupported(self.scope.place, target)
        variable = Variable(self.fresh(target.id, kind := self._kind(made, target.id)), kind)
        before = self.inside
        self.inside = {**before, target.id: variable.name}
        try:
            yield variable
        finally:
            self.inside = before

    def _kind(self, made: ast.GeneratorExp, name: str) -> ObjectType:
        node = made.generators[0].iter
        value = self.scope.find(node)
        if isinstance(value, ObjectMeta):
            return object_type(value, self.scale, self.reader.warnings)
        text = ast.unparse(node)
        known = {each for each in self.scope.names() if isinstance(self.scope.get(each), ObjectMeta)}
        hint = suggest(text, known, f"Write: for {name} in Object.")
        if value is MISSING and isinstance(node, ast.Name) and not self.variable(node):
            raise self.error(node, f"'{text}' is not declared (line {node.lineno}).", hint)
        raise self.error(node, f"{short(node)} is not a type of object (line {node.lineno}).", hint)

    def _test(self, made: ast.GeneratorExp) -> Node | None:
        tests = [self._frame_condition(part, "if") for part in made.generators[0].ifs]
        return tests[0] if len(tests) == 1 else And(tuple(tests)) if tests else None

    def _frame_condition(self, node: ast.expr, word: str) -> Node:
        condition = self.condition(node)
        if condition.kind == "interval":
            raise self.error(
                node, f"{short(node)} gives an interval, and {word} asks frame by frame.", f"Put {word}(...) inside it."
            )
        return condition
