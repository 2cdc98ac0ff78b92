"""From the text of a cell to Python's own syntax tree, and from a class statement to the parts of a type or a query."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn, TypedDict

from workbench.engine.errors import WorkbenchError, suggest

CLAUSES = ("where", "group", "select")
_PROP_HINT = "Put it in an @prop function."

#: what a construct is called in messages, where its class does not say it
_CALLED: dict[str, str] = {
    "AnnAssign": ":", "AsyncFor": "async for", "AsyncFunctionDef": "async def", "AsyncWith": "async with",
    "Assign": "=", "AugAssign": "+=", "ClassDef": "class", "Delete": "del", "Dict": "{...: ...}",
    "DictComp": "comprehension", "FunctionDef": "def", "GeneratorExp": "for", "ImportFrom": "import",
    "JoinedStr": "f-string", "ListComp": "comprehension", "List": "[...]", "NamedExpr": ":=", "Set": "{...}",
    "SetComp": "comprehension", "Slice": "[:]", "Starred": "*", "Subscript": "[...]", "TemplateStr": "t-string",
    "TryStar": "try", "Tuple": "(..., ...)", "TypeAlias": "type", "YieldFrom": "yield from", "Call": "(...)",
    "BitAnd": "&", "BitOr": "|", "BitXor": "^", "Invert": "~", "FloorDiv": "//", "Mod": "%", "Pow": "**",
    "MatMult": "@", "LShift": "<<", "RShift": ">>", "Is": "is", "IsNot": "is not", "UAdd": "+",
}  # fmt: skip
#: the few constructs that have a fix of their own
_FIXES = {
    "&": "Write 'and'.", "|": "Write 'or'.", "~": "Write 'not'.",
    "is": "Write ==, or known(...) to ask whether there is a value.",
    "is not": "Write !=, or known(...) to ask whether there is a value.",
}  # fmt: skip


class Position(TypedDict):
    """Line and column of a node of the tree."""

    line: int
    column: int


def position(node: ast.AST) -> Position:
    """Return where a piece of Python stands."""
    return {"line": getattr(node, "lineno", 0), "column": getattr(node, "col_offset", 0)}


@dataclass(frozen=True, slots=True)
class Place:
    """The lines of a cell or file, to say where in it a mistake stands."""

    lines: tuple[str, ...]
    #: columns that were cut off from the left of each line
    indent: int = 0

    def error(self, node: ast.AST | tuple[int, int] | None, message: str, hint: str = "") -> WorkbenchError:
        """Return the error with the line, the column and the text of a node, or of (line, column)."""
        line, column = node if isinstance(node, tuple) else (getattr(node, "lineno", 0), self._column(node))
        if not 1 <= line <= len(self.lines):
            return WorkbenchError(message, hint)
        text = self.lines[line - 1].replace("\t", " ")
        column = min(max(column, 0) + self.indent, len(text))
        return WorkbenchError(message, hint, line=line, column=column, text=text)

    def _column(self, node: ast.AST | None) -> int:
        # ast counts bytes of UTF-8, people count characters
        line, column = getattr(node, "lineno", 0), getattr(node, "col_offset", 0)
        if not 1 <= line <= len(self.lines):
            return column
        return len(self.lines[line - 1][self.indent :].encode()[:column].decode(errors="ignore"))


@dataclass(frozen=True, slots=True)
class Cell:
    """A parsed text.

    Attributes
    ----------
    references : frozenset of (line, byte column)
        Where `$name` stood: these names mean values of the cell or the notebook, never a variable of the query.
    """

    module: ast.Module
    place: Place
    references: frozenset[tuple[int, int]] = frozenset()
    source: str = ""

    def is_reference(self, node: ast.AST) -> bool:
        """Return whether this name was written with a dollar."""
        return (getattr(node, "lineno", 0), getattr(node, "col_offset", 0)) in self.references


# ----------------------------------------------------------------------------------------------------------- the text

_SKIPPED = re.compile(
    r'"""(?:\\[\s\S]|(?!""")[\s\S])*(?:"""|\Z)'
    r"|'''(?:\\[\s\S]|(?!''')[\s\S])*(?:'''|\Z)"
    r'|"(?:\\[\s\S]|[^"\\\n])*"?'
    r"|'(?:\\[\s\S]|[^'\\\n])*'?"
    r"|#[^\n]*"
    r"|\$(?=[^\W\d])"
)
_MAGIC = re.compile(r"\A\s*%%\w+[^\n]*")
_TYPE_STATEMENT = re.compile(r"\s*type\s+\w+\s*(\[.*\])?\s*=")


def parse_cell(text: str) -> Cell:
    """Parse the body of a cell; indented text, a first line with the magic and `$name` are allowed.

    Raises
    ------
    WorkbenchError
        For anything that is not Python: with line, column, and what was expected there.
    """
    raw = _MAGIC.sub("", text.replace("\r\n", "\n").replace("\r", "\n").removeprefix("\ufeff"), count=1)
    shown = raw.split("\n")
    indent = _indent(shown)
    source = "\n".join(line[indent:] if not line[:indent].strip() else line for line in shown) if indent else raw
    place = Place(tuple(shown), indent)
    source, references = _without_dollars(source)
    try:
        module = ast.parse(source)
    except SyntaxError as error:
        raise _syntax_error(error, place) from error
    except (RecursionError, MemoryError) as error:
        raise too_deep() from error
    except ValueError as error:
        raise WorkbenchError(
            f"The cell is not Python: {error}.", "Remove the characters that no editor shows."
        ) from error
    return Cell(module, place, references, source)


def too_deep() -> WorkbenchError:
    """Return the error for a query nested beyond what Python can hold."""
    return WorkbenchError("The query is nested too deeply.", "Split it: a child query adds its condition with and.")


def _indent(lines: Sequence[str]) -> int:
    """Return by how much the text as a whole is indented: its first line of code says it."""
    for line in lines:
        if line.strip() and not line.lstrip().startswith("#"):
            return len(line) - len(line.lstrip())
    return 0


def _without_dollars(source: str) -> tuple[str, frozenset[tuple[int, int]]]:
    found: set[tuple[int, int]] = set()

    def blank(match: re.Match[str]) -> str:
        if match[0] != "$":
            return match[0]
        start = source.rfind("\n", 0, match.start()) + 1
        column = len(source[start : match.end()].encode())
        found.add((source.count("\n", 0, match.start()) + 1, column))
        return " "

    if "$" not in source:
        return source, frozenset()
    return _SKIPPED.sub(blank, source), frozenset(found)


_EXPECTED = (
    ("was never closed", "Close it."),
    ("unmatched", "Remove it, or open it before."),
    ("does not match", "Close with the bracket that was opened."),
    ("expected ':'", "Expected ':' at the end of the line."),
    ("expected an indented block", "Indent the lines of the class by 4 spaces."),
    ("unexpected indent", "Expected all lines of a class in the same column."),
    ("unindent does not match", "Expected all lines of a class in the same column."),
    ("inconsistent use of tabs", "Use either tabs or spaces."),
    ("unterminated", "Expected the closing quote."),
    ("EOL while scanning", "Expected the closing quote."),
    ("maybe you meant '=='", "Expected '==' to compare."),
    ("forgot a comma", "Expected ',', 'and' or 'or' between two parts."),
    ("expected 'else'", "Expected: value if condition else other."),
    ("leading zeros", "Write the number without the zeros."),
    ("decimal literal", 'A quantity is text: "5px", "30s".'),
    ("null bytes", "Remove the characters that no editor shows."),
    ("non-printable", "Remove the characters that no editor shows."),
    ("invalid character", "Expected plain quotes, operators and spaces."),
)


def _syntax_error(error: SyntaxError, place: Place) -> WorkbenchError:
    line, column = error.lineno or 1, max((error.offset or 1) - 1, 0)
    text = place.lines[line - 1] if line <= len(place.lines) else ""
    if _TYPE_STATEMENT.match(text):  # a statement from Python 3.12 on, a syntax error before
        return _unsupported(place, (line, len(text) - len(text.lstrip()) - place.indent), "type", line)
    message = re.sub(r" \(detected at line \d+\)", "", error.msg.rstrip("."))
    if "too many nested" in message:
        return too_deep()
    lowered = message.lower()
    hint = next((hint for part, hint in _EXPECTED if part.lower() in lowered), "")
    if not hint:
        inside = (text[:1].isspace() and place.indent == 0) or len(text) - len(text.lstrip()) > place.indent
        hint = (
            'Expected a line such as: where = car.color == "red" and car.score > 0.5'
            if inside
            else "Expected class Name(Query):, name = value, or an import."
        )
    return place.error((line, column), f"{message[:1].upper()}{message[1:]} (line {line}).", hint)


# -------------------------------------------------------------------------------------------------- unsupported Python


def unsupported(place: Place, node: ast.AST, called: str = "") -> WorkbenchError:
    """Return the error for Python that is not part of a query; `called` is its name, else its construct's."""
    return _unsupported(place, node, called or construct(node), getattr(node, "lineno", 0))


def _unsupported(place: Place, where: ast.AST | tuple[int, int], called: str, line: int) -> WorkbenchError:
    return place.error(where, f"'{called}' is not part of a query (line {line}).", _FIXES.get(called, _PROP_HINT))


def construct(node: ast.AST) -> str:
    """Return what a piece of Python is called."""
    kind = type(node).__name__
    if isinstance(node, ast.BinOp | ast.UnaryOp):
        kind = type(node.op).__name__
    if isinstance(node, ast.Expr):
        return construct(node.value)
    if isinstance(node, ast.AugAssign):
        return f"{construct(node.op)}=" if type(node.op).__name__ in _CALLED else "+="
    if isinstance(node, ast.Constant):
        return "..." if node.value is Ellipsis else type(node.value).__name__
    if isinstance(node, ast.Call):
        return f"{ast.unparse(node.func)}()" if isinstance(node.func, ast.Name | ast.Attribute) else "(...)"
    return _CALLED.get(kind, kind.lower())


# ------------------------------------------------------------------------------------------------- parts of a class


@dataclass(slots=True)
class QueryParts:
    """What stands in the body of a query, as written."""

    variables: list[tuple[str, ast.expr, ast.AnnAssign]] = field(default_factory=list)
    functions: list[ast.FunctionDef] = field(default_factory=list)
    where: ast.expr | None = None
    select: list[ast.expr] | None = None
    group: list[ast.expr] | None = None


def parse_query(place: Place, node: ast.ClassDef) -> QueryParts:
    """Sort the statements of a query's body.

    Raises
    ------
    WorkbenchError
        For a statement that no query has.
    """
    _check_head(place, node)
    parts = QueryParts()
    for statement in node.body:
        match statement:
            case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.Expr(value=ast.Constant(value=value)) if value is ...:
                pass
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=None):
                if name in CLAUSES:
                    raise place.error(
                        statement,
                        f"'{name}' is a word of queries (line {statement.lineno}).",
                        f"Write {name} = ..., or give the variable another name.",
                    )
                if any(name == known for known, _, _ in parts.variables):
                    raise _twice(place, statement, name)
                parts.variables.append((name, annotation, statement))
            case ast.AnnAssign(target=ast.Name(id=name)):
                raise place.error(
                    statement,
                    f"'{name}' takes no value (line {statement.lineno}).",
                    f'Write "{name}: Type" alone; conditions stand in where.',
                )
            case ast.Assign(targets=[ast.Name(id="where")], value=value):
                if parts.where is not None:
                    raise place.error(
                        statement,
                        f"'where' stands here twice (line {statement.lineno}).",
                        "Join the conditions with and.",
                    )
                parts.where = value
            case ast.Assign(targets=[ast.Name(id="select" | "group" as name)], value=value):
                if getattr(parts, name) is not None:
                    raise _twice(place, statement, name)
                setattr(parts, name, value.elts if isinstance(value, ast.Tuple | ast.List) else [value])
            case ast.Assign():
                _bad_assignment(place, statement)
            case ast.FunctionDef():
                parts.functions.append(statement)
            case _:
                raise unsupported(place, statement)
    return parts


def check_type(place: Place, node: ast.ClassDef) -> list[ast.FunctionDef]:
    """Return the functions of a type's body.

    Raises
    ------
    WorkbenchError
        For a statement that no type has, or a function without @prop.
    """
    _check_head(place, node, ("label",))
    functions: list[ast.FunctionDef] = []
    for statement in node.body:
        match statement:
            case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                pass
            case ast.Expr(value=ast.Constant(value=value)) if value is ...:
                pass
            case ast.FunctionDef():
                if not statement.decorator_list:
                    raise place.error(
                        statement,
                        f"{statement.name}() is no property (line {statement.lineno}).",
                        "Write @prop above its def.",
                    )
                if any(statement.name == known.name for known in functions):
                    raise _twice(place, statement, statement.name)
                functions.append(statement)
            case ast.Assign(targets=[ast.Name(id="where" | "select" | "group" as name)]):
                raise place.error(
                    statement,
                    f"{node.name} is a type, and '{name}' belongs in a query (line {statement.lineno}).",
                    f"Write class {node.name}(Query):, with a variable for the object.",
                )
            case _:
                raise unsupported(place, statement)
    return functions


def _check_head(place: Place, node: ast.ClassDef, keywords: tuple[str, ...] = ()) -> None:
    if node.decorator_list:
        raise unsupported(place, node.decorator_list[0], "@" + ast.unparse(node.decorator_list[0]))
    if getattr(node, "type_params", None):
        raise unsupported(place, node, "[...]")
    for keyword in node.keywords:
        if keyword.arg not in keywords:
            name = keyword.arg or "**"
            raise place.error(
                keyword,
                f"A class of a query takes no '{name}' (line {node.lineno}).",
                suggest(name, keywords, "Remove it."),
            )


def _twice(place: Place, node: ast.stmt, name: str) -> WorkbenchError:
    return place.error(node, f"'{name}' stands here twice (line {node.lineno}).", "Remove one, or rename it.")


def _bad_assignment(place: Place, node: ast.Assign) -> NoReturn:
    target = node.targets[0]
    if len(node.targets) > 1:
        raise place.error(node.targets[1], f"'=' gives a name its value (line {node.lineno}).", "To compare, write ==.")
    if isinstance(target, ast.Name):
        raise place.error(
            node,
            f"A query has no '{target.id}' (line {node.lineno}).",
            suggest(target.id, CLAUSES, f"Put {target.id} = ... above the class."),
        )
    raise unsupported(place, node)
