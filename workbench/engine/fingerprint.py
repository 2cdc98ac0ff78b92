"""Fingerprints of functions: equal for the same behaviour, whatever the comments, layout and place in the file."""

from __future__ import annotations

import ast
import builtins
import dis
import functools
import hashlib
import importlib.util
import inspect
import linecache
import re
import sys
import textwrap
import types
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from workbench.engine.keys import key

__all__ = ["Unfingerprintable", "fingerprint", "source_tree"]


class Unfingerprintable(Exception):
    """A function reads something whose content cannot be told.

    Attributes
    ----------
    name : str
        What it reads.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name!r} cannot be fingerprinted"


def fingerprint(function: Callable[..., Any]) -> str:
    """Return a hash of a function and of all that it reads: 64 hexadecimal digits.

    It covers the normalised syntax tree (no comments, layout, docstring or decorators), the default values, the
    globals and closures read, the same for plain functions and classes that it calls, and the versions of the modules
    that it uses. It is the same in every process.

    Parameters
    ----------
    function : callable
        A plain function, method, partial, class or builtin.

    Raises
    ------
    Unfingerprintable
        If it reads an object whose content cannot be told, such as a model; `.name` says which.
    """
    return key(_Reader().read(function, getattr(function, "__name__", "function")))


class _Reader:
    """Describes values as plain data; functions that call each other are met once and then named by number."""

    def __init__(self) -> None:
        self.met: dict[int, int] = {}
        self.kept: list[Any] = []  # keeps ids from being used again

    def read(self, value: Any, name: str) -> Any:
        """Return plain data that stands for the value."""
        if callable(value) and (known := self._installed(value)):
            return known
        while isinstance(value, functools.partial | types.MethodType | staticmethod | classmethod) or (
            hasattr(value, "__wrapped__") and not isinstance(value, type | types.FunctionType)
        ):
            if isinstance(value, functools.partial):
                bound = [self.read(item, name) for item in value.args]
                named = {word: self.read(item, word) for word, item in value.keywords.items()}
                return ("partial", self.read(value.func, name), bound, named)
            if isinstance(value, types.MethodType):
                return ("method", self.read(value.__func__, name), self.read(value.__self__, name))
            value = value.__wrapped__ if hasattr(value, "__wrapped__") else value.__func__
        if isinstance(value, types.ModuleType):
            return self._module(value)
        if isinstance(value, types.FunctionType):
            return self._once(value, name, self._function)
        if isinstance(value, type):
            return self._once(value, name, self._class)
        if isinstance(value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType):
            return self._builtin(value, name)
        return self._data(value, name)

    def _once(self, value: Any, name: str, describe: Callable[[Any, str], Any]) -> Any:
        if id(value) in self.met:
            return ("again", self.met[id(value)])
        self.met[id(value)] = len(self.met)
        self.kept.append(value)
        return describe(value, name)

    def _function(self, function: types.FunctionType, name: str) -> Any:
        code = function.__code__
        reads: dict[str, Any] = {}
        cells = dict(zip(code.co_freevars, function.__closure__ or (), strict=True))
        for word, cell in cells.items():
            try:
                content = cell.cell_contents
            except ValueError:  # not filled yet
                reads[word] = ("empty",)
            else:
                reads[word] = self.read(content, word)
        for path in sorted(set(_global_paths(code))):
            reads["global " + ".".join(path)] = self._global(path, function.__globals__)
        for module in sorted(set(_imports(code, function.__globals__))):
            reads[f"import {module}"] = self._imported(module)
        arguments = code.co_varnames[: code.co_argcount]
        defaults = function.__defaults__ or ()
        given = dict(zip(arguments[len(arguments) - len(defaults) :], defaults, strict=False))
        given.update(function.__kwdefaults__ or {})
        return ("function", _body(function), {word: self.read(v, word) for word, v in given.items()}, reads)

    def _global(self, path: tuple[str, ...], namespace: dict[str, Any]) -> Any:
        """Describe a global, and of the user's own modules only the attribute that is read."""
        word, *rest = path
        if word not in namespace:
            return ("builtin", word) if hasattr(builtins, word) else ("undefined",)
        value = namespace[word]
        while rest and isinstance(value, types.ModuleType) and not _version(value) and hasattr(value, rest[0]):
            word = rest.pop(0)
            value = getattr(value, word)
        return self.read(value, word)

    def _imported(self, name: str) -> Any:
        try:
            return self._module(importlib.import_module(name))
        except ImportError:
            return ("missing",)

    def _class(self, cls: type, name: str) -> Any:
        passed = {"__dict__", "__weakref__", "__module__", "__doc__", "__qualname__", "__annotations__"}
        passed |= {"__firstlineno__", "__static_attributes__", "__annotate_func__", "__annotations_cache__"}
        members = {}
        for word, member in sorted(vars(cls).items()):
            if word in passed or isinstance(member, types.MemberDescriptorType | types.GetSetDescriptorType):
                continue
            if isinstance(member, property):
                parts = [part for part in (member.fget, member.fset, member.fdel) if part is not None]
                members[word] = [self.read(part, f"{name}.{word}") for part in parts]
            else:
                members[word] = self.read(member, f"{name}.{word}")
        return ("class", cls.__name__, [self.read(base, base.__name__) for base in cls.__bases__], members)

    def _installed(self, value: Any) -> Any:
        """Describe what an installed package has under a name, by that and its version, without looking inside."""
        module = sys.modules.get(getattr(value, "__module__", None) or type(value).__module__)
        name = getattr(value, "__qualname__", None) or getattr(value, "__name__", None)
        if module is None or not isinstance(name, str) or not (version := _version(module)):
            return None
        found: Any = module
        for part in name.split("."):
            found = getattr(found, part, None)
        # A function at the top of a module is fixed by the version, even if a decorated one has taken its name.
        if isinstance(value, types.FunctionType) and value.__globals__ is vars(module):
            found = value if not value.__closure__ and "<locals>" not in name else found
        return ("installed", module.__name__, name, version) if found is value else None

    def _module(self, module: types.ModuleType) -> Any:
        version = _version(module)
        if version:
            return ("module", module.__name__, version)
        try:
            with open(module.__file__ or "", "rb") as file:
                return ("module", module.__name__, hashlib.file_digest(file, "sha256").hexdigest())
        except OSError:
            raise Unfingerprintable(module.__name__) from None

    def _builtin(self, value: Any, name: str) -> Any:
        owner = getattr(value, "__self__", None)
        if owner is not None and not isinstance(owner, types.ModuleType | type):
            return ("builtin", value.__qualname__, self.read(owner, name))
        return ("builtin", str(getattr(value, "__module__", "")), value.__qualname__, sys.version_info[:2])

    def _data(self, value: Any, name: str) -> Any:
        if isinstance(value, re.Pattern):
            return ("pattern", value.pattern, value.flags)
        if isinstance(value, types.SimpleNamespace):
            return ("namespace", self.read(vars(value), name))
        if type(value) in (tuple, list):
            return (type(value).__name__, [self.read(item, name) for item in value])
        if type(value) is dict:
            return ("dict", [(self.read(word, name), self.read(item, name)) for word, item in value.items()])
        try:
            return ("data", key(value))
        except TypeError:
            raise Unfingerprintable(name) from None


def _version(module: types.ModuleType) -> str:
    """Return the version of the installed package a module belongs to, "" for a module of the user's own.

    A package that is being worked on has a version too, but its code changes under it: only what lies where packages
    are installed counts.
    """
    top = module.__name__.partition(".")[0]
    if top == "__main__":
        return ""
    if top in sys.stdlib_module_names:
        return "python " + ".".join(map(str, sys.version_info[:2]))
    places = PurePath(getattr(module, "__file__", None) or "").parts
    if not {"site-packages", "dist-packages"} & set(places):
        return ""
    for known in (module, sys.modules.get(top)):
        version = getattr(known, "__version__", None)
        if isinstance(version, str):
            return version
    return ""


def _global_paths(code: types.CodeType) -> Iterator[tuple[str, ...]]:
    """Yield the globals that are read, each with the attributes that are read from it at once: ("np", "sum")."""
    path: list[str] = []
    for instruction in dis.get_instructions(code):
        if path and instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            path.append(instruction.argval)
            continue
        if path and instruction.opname != "CACHE":
            yield tuple(path)
            path = []
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            path = [instruction.argval]
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_paths(constant)


def _imports(code: types.CodeType, namespace: dict[str, Any]) -> Iterator[str]:
    """Yield the full names of the modules that a function imports in its body."""
    level = 0
    for instruction in dis.get_instructions(code):
        if instruction.opname == "LOAD_CONST" and isinstance(instruction.argval, int):
            level = instruction.argval
        if instruction.opname == "IMPORT_NAME":
            package = namespace.get("__package__") or ""
            yield (
                importlib.util.resolve_name("." * level + instruction.argval, package)
                if level
                else (instruction.argval)
            )
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _imports(constant, namespace)


def _body(function: types.FunctionType) -> Any:
    """Return the normalised source, if it is at hand and is what the function was compiled from; else its bytecode.

    A file may have been edited after its import: then its text is not what runs.
    """
    tree = source_tree(function)
    if tree is not None:
        return ("source", ast.dump(_normalised(tree)))
    return ("bytecode", sys.version_info[:2], _bytecode(function.__code__))


def source_tree(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Return the syntax tree of a plain function; None if its text is not at hand, or is not what runs."""
    if not isinstance(function, types.FunctionType):
        return None
    try:
        tree = _definition(function)
        same = tree is not None and _bytecode_of(tree, function) == _bytecode(function.__code__)
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    return tree if same else None


def _definition(function: types.FunctionType) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
    """Find the syntax tree of a function in its source text."""
    text = textwrap.dedent(inspect.getsource(function))
    nodes = list(ast.walk(ast.parse(text)))
    if function.__name__ == "<lambda>":
        # Several may stand on a line: the bytecode says which it is.
        wanted = _bytecode(function.__code__)
        lambdas = [node for node in nodes if isinstance(node, ast.Lambda)]
        return next((node for node in lambdas if _bytecode_of(node, function) == wanted), None)
    named = (node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return next((node for node in named if node.name == function.__name__), None)


def _normalised(tree: ast.AST) -> ast.AST:
    tree = ast.parse(ast.unparse(tree)).body[0]  # a copy without positions
    if isinstance(tree, ast.Expr):
        return tree
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        tree.decorator_list = []
        tree.args.defaults, tree.args.kw_defaults = [], []  # their values count, not how they are written
        tree.name = "function"
    return tree


def _bytecode_of(tree: ast.AST, function: types.FunctionType) -> Any:
    """Compile a tree as it was: inside a function that owns the names it closes over."""
    owned = function.__code__.co_freevars
    if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef):
        copy: Any = ast.parse(ast.unparse(tree)).body[0]
        copy.decorator_list = []
        inner = [copy]
    else:
        inner = [ast.Expr(ast.parse(ast.unparse(tree), mode="eval").body)]
    assigned = [ast.parse(f"{name} = None").body[0] for name in owned if name.isidentifier()]
    outer: Any = ast.parse("def outer(): pass").body[0]
    outer.body = assigned + inner
    module = ast.fix_missing_locations(ast.Module([*_imported(function), outer], []))
    flags = function.__code__.co_flags & _FUTURE
    code = compile(module, "<fingerprint>", "exec", flags=flags, dont_inherit=True)
    for found in _codes(code):
        if found.co_name == function.__code__.co_name:
            return _bytecode(found)
    return None


def _imported(function: types.FunctionType) -> list[ast.stmt]:
    """Return imports of the names that the function's file imports: calls of what is in them compile differently."""
    lines = linecache.getlines(function.__code__.co_filename, function.__globals__)
    waiting: list[ast.AST] = [ast.parse("".join(lines))]
    names: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.expr):
            waiting += ast.iter_child_nodes(node)
    known = sorted(names & {name for code in _codes(function.__code__) for name in code.co_names})
    return [ast.Import([ast.alias(name)]) for name in known]


#: compiler flags of `from __future__ import ...`
_FUTURE = 0x1FF0000


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _bytecode(code: types.CodeType) -> Any:
    """Return plain data for what a code object does: no file, lines or names of its place."""
    constants = [_constant(constant) for constant in code.co_consts]
    if constants and isinstance(code.co_consts[0], str) and code.co_flags & inspect.CO_NEWLOCALS:
        constants[0] = None  # the docstring
    return (
        code.co_code,
        constants,
        list(code.co_names),
        list(code.co_varnames),
        list(code.co_freevars),
        list(code.co_cellvars),
        (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags & 0x2F),
    )


def _constant(constant: Any) -> Any:
    if isinstance(constant, types.CodeType):
        return _bytecode(constant)
    if isinstance(constant, tuple | frozenset):
        items = [_constant(item) for item in constant]
        return (type(constant).__name__, sorted(items, key=repr) if isinstance(constant, frozenset) else items)
    if isinstance(constant, complex) or constant is Ellipsis:
        return repr(constant)
    return constant
