"""Checking of the words that give intervals: `lasts sequence before during never`, and queries inside a query."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.engine.errors import suggest
from workbench.video.language.parse import position, unsupported
from workbench.video.language.rename import renamed
from workbench.video.language.sorts import short
from workbench.video.language.tree import Before, CompiledQuery, During, Inner, Lasts, Never, Node, Variable, depends
from workbench.video.language.tree import Sequence as Steps
from workbench.video.language.values import Values
from workbench.video.language.vocabulary import QueryMeta

#: for each word its arguments, how many of these it needs, and how it is written
_WORDS: dict[str, tuple[tuple[str, ...], int, str]] = {
    "lasts": (("condition", "duration", "gap"), 2, 'Write lasts(person.still, "30s", gap="2s").'),
    "before": (("first", "then", "within"), 2, 'Write before(a.enters(yard), a.leaves(yard), within="10s").'),
    "during": (("inner", "outer"), 2, 'Write during(lasts(a.still, "5s"), lasts(a.inside(yard), "30s")).'),
    "never": (("condition", "after", "within"), 3, 'Write never(a.leaves(yard), after=a.enters(yard), within="10s").'),
}
_SEQUENCE = 'Write sequence(a.enters(yard), lasts(a.still, "5s"), within="60s").'


@dataclass(slots=True)
class Intervals(Values):
    """Reads intervals.

    Attributes
    ----------
    compiled : callable
        Compiles another query that the condition calls.
    """

    compiled: Callable[[QueryMeta], CompiledQuery] = field(kw_only=True)

    def interval(self, node: ast.Call, word: str) -> Node:
        """Return the checked form of a call of `lasts`, `sequence`, `before`, `during` or `never`."""
        at = position(node)
        if word == "sequence":
            return self._sequence(node)
        found = self._given(node, word)
        within = self.seconds(found["within"], "within") if self._is_given(found.get("within")) else None
        match word:
            case "lasts":
                operand = self.condition(found["condition"])
                duration = self.seconds(found["duration"], "lasts()")
                gap = self.seconds(found["gap"], "gap") if "gap" in found else 0.5
                return Lasts(operand, duration, gap, **at)
            case "before":
                return Before(self.condition(found["first"]), self.condition(found["then"]), within, **at)
            case "during":
                return During(self.condition(found["inner"]), self.condition(found["outer"]), **at)
        if within is None:
            raise self.error(node, f"never() needs a within (line {node.lineno}).", _WORDS["never"][2])
        return Never(self.condition(found["condition"]), self.condition(found["after"]), within, **at)

    def _given(self, node: ast.Call, word: str) -> dict[str, ast.expr]:
        names, required, example = _WORDS[word]
        for argument in node.args:
            if isinstance(argument, ast.Starred | ast.GeneratorExp):
                raise unsupported(self.scope.place, argument)
        if len(node.args) > len(names):
            raise self.error(
                node.args[len(names)], f"{word}() takes at most {len(names)} arguments (line {node.lineno}).", example
            )
        found = dict(zip(names, node.args, strict=False))
        found |= self._keywords(node, word, names, found, example)
        for name in names[:required]:
            if name not in found:
                article = "an" if name[0] in "aeiou" else "a"
                raise self.error(node, f"{word}() needs {article} {name} (line {node.lineno}).", example)
        return found

    def _keywords(
        self, node: ast.Call, word: str, names: Sequence[str], found: dict[str, ast.expr], example: str
    ) -> dict[str, ast.expr]:
        given: dict[str, ast.expr] = {}
        for keyword in node.keywords:
            name = keyword.arg
            if name is None or name not in names or name in found or name in given:
                raise self.error(
                    keyword,
                    f"{word}() has no argument '{name or '**'}' (line {node.lineno}).",
                    suggest(name or "**", names, example),
                )
            given[name] = keyword.value
        return given

    @staticmethod
    def _is_given(node: ast.expr | None) -> bool:
        """Return whether an argument is there, and not None."""
        return node is not None and not (isinstance(node, ast.Constant) and node.value is None)

    def _sequence(self, node: ast.Call) -> Node:
        for argument in node.args:
            if isinstance(argument, ast.Starred | ast.GeneratorExp):
                raise unsupported(self.scope.place, argument)
        if len(node.args) < 2:
            raise self.error(node, f"sequence() needs at least two steps (line {node.lineno}).", _SEQUENCE)
        given = self._keywords(node, "sequence", ("within",), {}, _SEQUENCE)
        within = self.seconds(given["within"], "within") if self._is_given(given.get("within")) else None
        return Steps(tuple(self.condition(argument) for argument in node.args), within, **position(node))

    # ----------------------------------------------------------------------------------------- a query inside a query

    def inner(self, node: ast.Call, query: QueryMeta) -> Node:
        """Return the intervals of another query, some of whose variables are variables of this one."""
        other = self.compiled(query)
        names = {variable.name: variable for variable in other.variables}
        example = f"Write {query.__name__}({', '.join(f'{name}=...' for name in names)})."
        if node.args:
            raise self.error(
                node.args[0], f"{query.__name__}() takes its variables by name (line {node.lineno}).", example
            )
        given: dict[str, str] = {}
        for keyword in node.keywords:
            its = keyword.arg
            if its is None or its not in names or its in given:
                raise self.error(
                    keyword,
                    f"{query.__name__} has no variable '{its or '**'}' (line {node.lineno}).",
                    suggest(its or "**", names, example),
                )
            given[its] = self._mine(keyword.value, names[its], query.__name__)
            if list(given.values()).count(given[its]) > 1:
                raise self.error(
                    keyword, f"{given[its]} stands twice in {query.__name__}() (line {node.lineno}).", example
                )
        changes = dict(given)
        # what exists inside the other query only keeps out of the way of the names here
        outer, self.inside = self.inside, {**self.inside, **{f"={mine}": mine for mine in given.values()}}
        hidden = tuple(
            Variable(self.fresh(f"{query.__name__}.{name}", variable.type), variable.type)
            for name, variable in names.items()
            if name not in given
        )
        changes |= dict(zip((name for name in names if name not in given), (one.name for one in hidden), strict=True))
        for part in other.where.walk():
            changes |= {bound.name: self.fresh(bound.name, bound.type) for bound in part.binds()}
        self.inside = outer
        for shape in other.shapes:
            self.shapes.setdefault(shape.name, shape)
        self.reader.warnings.extend(one for one in other.warnings if one not in self.reader.warnings)
        return Inner(query.__name__, tuple(given.items()), hidden, renamed(other.where, changes), **position(node))

    def _mine(self, node: ast.expr, wanted: Variable, query: str) -> str:
        mine = self.variable(node)
        if not mine:
            raise self.error(
                node, f"{query}() needs a variable of the query, got {short(node)}.", f"Write {wanted.name}=person."
            )
        kind = self.type_of(mine)
        if not kind.is_a(wanted.type.name):
            raise self.error(
                node,
                f"{mine} is {_a(kind.name)}, and {wanted.name} of {query} is {_a(wanted.type.name)}.",
                f"Declare {mine} as {wanted.type.name} or a type derived from it.",
            )
        return mine

    def check_alike(self, parts: Sequence[ast.expr], operands: Sequence[Node]) -> None:
        """Raise if the sides of an `or` of intervals are about different objects."""
        about = [(part, operand.variables()) for part, operand in zip(parts, operands, strict=True) if depends(operand)]
        for part, names in about[1:]:
            first, others = about[0]
            if names != others:
                raise self.error(
                    part,
                    f"{short(first)} is about {_list(others)} and {short(part)} about {_list(names)}.",
                    "Both sides of or need the same variables.",
                )


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"


def _list(names: Any) -> str:
    found = sorted(names)
    return " and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found) or "no object"
