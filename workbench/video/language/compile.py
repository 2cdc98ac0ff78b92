"""The one way from what a person writes, a cell's text or a class, to a `CompiledQuery`."""

from __future__ import annotations

import ast
import hashlib
import linecache
import re
from collections.abc import Mapping
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.video.language import vocabulary
from workbench.video.language.family import compile_class
from workbench.video.language.parse import check_type, parse_cell, parse_query, too_deep, unsupported
from workbench.video.language.scope import MISSING, Scope
from workbench.video.language.shapes import Line, Region, Scale, region_shape
from workbench.video.language.sorts import short
from workbench.video.language.source import Origin
from workbench.video.language.types import object_type
from workbench.video.language.vocabulary import ObjectMeta, Prop, QueryMeta

#: levels of a condition: planning and evaluation take a few calls for each, of the thousand that Python allows
_DEEPEST = 200
_WORD = re.compile(r"\w+")
_NO_QUERY = ("The cell has no query.", "Add class Name(Query): with a where line.")


def compile_query(query: Any, namespace: Mapping[str, Any] | None = None, *, video: str | None = None) -> Any:
    """Check a query and return its class; nothing runs but the imports of a cell and the `def` lines of its properties.

    Parameters
    ----------
    query : str or type
        The text of a cell, of which the last query is taken, or a class derived from `Query`.
    namespace : Mapping, optional
        The notebook's names.
    video : str, optional
        What the error about metres without a scale calls the video.

    Returns
    -------
    type
        The class, with `__compiled__` (a `CompiledQuery`); for a text also `__exports__`, a dict of the regions,
        lines, types and queries that become variables of the notebook.

    Raises
    ------
    WorkbenchError
        For whatever is wrong, with the line and the fix.
    """
    names = {} if namespace is None else namespace
    try:
        if isinstance(query, str):
            return _shallow(_Text(query, names, video or "The video").query())
        if isinstance(query, QueryMeta):
            # a class is compiled anew each time: what its properties read may have been edited meanwhile
            if "__exports__" not in vars(query) and getattr(vars(query).get("__origin__"), "cell", None) is None:
                query.__compiled__ = compile_class(query, names, video or "The video")
            return _shallow(query)
    except RecursionError as error:
        raise too_deep() from error
    raise WorkbenchError(
        f"A query is the text of a cell or a class, got {type(query).__name__}.",
        "Write class Name(Query): with a where line.",
    )


def _shallow(query: QueryMeta) -> QueryMeta:
    level, depth = [query.__compiled__.where], 0
    while level:
        level, depth = [child for node in level for child in node.children()], depth + 1
        if depth > _DEEPEST:
            raise too_deep()
    return query


# ------------------------------------------------------------------------------------------------------ text of a cell


class _Text:
    """A cell while it is compiled: its names so far, and what it exports."""

    def __init__(self, text: str, namespace: Mapping[str, Any], video: str) -> None:
        self.text, self.namespace, self.video = text, namespace, video
        self.cell = parse_cell(text)
        # under this name the cell's lines are found by tracebacks and fingerprints
        digest = hashlib.sha256(self.cell.source.encode()).hexdigest()[:16]
        self.filename = f"<vquery {digest}>"
        lines = self.cell.source.splitlines(keepends=True)
        linecache.cache[self.filename] = (len(self.cell.source), None, lines, self.filename)
        self.names: dict[str, Any] = {}
        # only what the cell names is kept with its functions and classes, not the whole notebook
        used = set(_WORD.findall(self.cell.source))
        self.outside = {name: namespace[name] for name in used if name in namespace}
        self.globals: dict[str, Any] = {"prop": vocabulary.prop, **self.outside, "__name__": "__main__"}
        self.scope = Scope(self.cell, (self.names, namespace))
        self.exports: dict[str, Any] = {}
        self.scale: tuple[str, Scale] | None = None

    def query(self) -> Any:
        """Compile all statements and return the last query."""
        last = None
        for statement in self.cell.module.body:
            match statement:
                case ast.Import() | ast.ImportFrom():
                    self._import(statement)
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    self._assign(name, value, statement)
                case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                    self._assign(name, value, statement)
                case ast.ClassDef():
                    made = self._class(statement)
                    last = made if isinstance(made, QueryMeta) else last
                case ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                    pass
                case _:
                    raise unsupported(self.cell.place, statement)
        if last is None:
            raise WorkbenchError(*_NO_QUERY)
        last.__exports__ = self.exports
        return last

    def _keep(self, name: str, value: Any) -> None:
        self.names[name] = self.globals[name] = value
        if isinstance(value, (Region, Line, ObjectMeta, QueryMeta)):
            self.exports[name] = value

    def _import(self, statement: ast.Import | ast.ImportFrom) -> None:
        known = dict(self.globals)
        try:
            exec(compile(ast.Module([statement], []), self.filename, "exec", dont_inherit=True), self.globals)
        except Exception as error:
            raise self.cell.place.error(
                statement,
                f"The import failed (line {statement.lineno}): {error}.",
                "Install the package, or correct its name.",
            ) from error
        for name, value in self.globals.items():
            if name != "__builtins__" and (name not in known or known[name] is not value):
                self.names[name] = value
        for alias in statement.names:  # the same object under the same name is still the cell's
            bound = alias.asname or alias.name.partition(".")[0]
            if bound in self.globals:
                self.names[bound] = self.globals[bound]

    def _assign(self, name: str, node: ast.expr, statement: ast.stmt) -> None:
        if name in ("where", "select", "group"):
            raise self.cell.place.error(
                statement,
                f"'{name}' stands outside a query (line {statement.lineno}).",
                "Indent it below class Name(Query):.",
            )
        value = self.scope.evaluate(node)
        if isinstance(value, Scale):
            if self.scale is not None:
                raise self.cell.place.error(
                    statement,
                    f"A cell has one scale; {name} is a second (line {statement.lineno}).",
                    f"Remove {self.scale[0]} or {name}.",
                )
            self.scale = (name, value)
        if isinstance(value, Region):
            try:
                region_shape(name, value)
            except WorkbenchError as error:
                raise self.cell.place.error(node, error.message, error.hint) from None
        self._keep(name, value)

    def _class(self, node: ast.ClassDef) -> Any:
        bases = tuple(self._base(base) for base in node.bases)
        kinds = {type(base) for base in bases}
        place = self.cell.place
        if len(kinds) != 1:
            problem = "has no base" if not bases else "is both a type and a query"
            raise place.error(
                node,
                f"{node.name} {problem} (line {node.lineno}).",
                f"Write class {node.name}(Query): for a query, class {node.name}(Car): for a type.",
            )
        is_query = kinds == {QueryMeta}
        functions = parse_query(place, node).functions if is_query else check_type(place, node)
        origin = Origin(self.filename, (), node.lineno, dict(self.names), self.outside, self.cell, node)
        namespace: dict[str, Any] = {
            "__module__": "__main__",
            "__qualname__": node.name,
            "__doc__": ast.get_docstring(node),
        }
        for function in functions:
            namespace[function.name] = self._prop(function)
        options: dict[str, Any] = {"origin": origin}
        for keyword in node.keywords:
            options["label"] = self.scope.evaluate(keyword.value)
        try:
            made: Any = (QueryMeta if is_query else ObjectMeta)(node.name, bases, namespace, **options)
        except WorkbenchError as error:
            raise place.error(node.keywords[0], error.message, error.hint) from None
        except TypeError as error:
            raise place.error(
                node,
                f"{node.name} cannot have these bases together (line {node.lineno}).",
                "Name the more special one first.",
            ) from error
        if is_query:
            made.__scale__ = self.scale[1].spec if self.scale else None
            made.__compiled__ = compile_class(made, self.namespace, self.video)
        else:
            object_type(made, None, [])
        self._keep(node.name, made)
        return made

    def _base(self, node: ast.expr) -> Any:
        if not isinstance(node, ast.Name | ast.Attribute):
            raise unsupported(self.cell.place, node)
        value = self.scope.find(node)
        if value is MISSING:
            raise self.scope.undeclared(node, "Write class Name(Query): or class Name(Car):.")
        if not isinstance(value, (ObjectMeta, QueryMeta)):
            raise self.cell.place.error(
                node,
                f"{short(node)} is no type and no query (line {node.lineno}).",
                "Write class Name(Query): or class Name(Car):.",
            )
        return value

    def _prop(self, node: ast.FunctionDef) -> Prop:
        place = self.cell.place
        outer = node.decorator_list[0] if node.decorator_list else None
        named = outer.func if isinstance(outer, ast.Call) else outer
        if named is None:
            raise place.error(node, f"{node.name}() is no property (line {node.lineno}).", "Write @prop above its def.")
        if self.scope.find(named) is not vocabulary.prop:
            text = ast.unparse(named)
            hint = suggest(text, ["prop"], "", quote="@{}")
            error = unsupported(place, named, f"@{text}")
            raise place.error(named, error.message, hint) if hint else error
        space: dict[str, Any] = {}
        try:
            exec(compile(ast.Module([node], []), self.filename, "exec", dont_inherit=True), self.globals, space)
        except WorkbenchError as error:
            raise place.error(outer, error.message, error.hint) from None
        except Exception as error:
            raise place.error(
                outer,
                f"@prop of {node.name} failed: {type(error).__name__}: {error} (line {node.lineno}).",
                'Write @prop or @prop(window="1s", once=False, batch=None, partial=False, version=None).',
            ) from error
        made = space[node.name]
        assert isinstance(made, Prop)
        return made
