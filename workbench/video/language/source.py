"""From a class to its source: where it was written, and what the names in it meant then.

`inspect.getsource` is not reliable for classes of notebook cells; `linecache`, which IPython fills, is.
"""

from __future__ import annotations

import ast
import linecache
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import CodeType, FrameType
from typing import Any

from workbench.engine.errors import WorkbenchError
from workbench.video.language.parse import Cell, Place


@dataclass(slots=True)
class Origin:
    """Where a class was written.

    Attributes
    ----------
    filename : str
        As Python compiled it.
    lines : tuple of str
        The whole file or cell at the time when the class was made.
    line : int
        A line of the class statement, 1-based.
    names : Mapping
        What the names in the class meant when it was made.
    outside : Mapping
        The names of its module, for what was defined later.
    cell : Cell, optional
        The parsed cell, for a class of a cell's text; then `node` is its statement there.
    """

    filename: str
    lines: tuple[str, ...]
    line: int
    names: Mapping[str, Any] = field(repr=False)
    outside: Mapping[str, Any] = field(repr=False)
    cell: Cell | None = field(default=None, repr=False)
    node: ast.ClassDef | None = field(default=None, repr=False)

    def __reduce__(self) -> Any:
        # a class that travels to a worker leaves its notebook behind
        return Origin, (self.filename, self.lines, self.line, {}, {})

    @classmethod
    def of_frame(cls, frame: FrameType | None, name: str) -> Origin | None:
        """Return the origin of the class `name` that this frame, or the next one outside this package, is making."""
        while frame is not None and frame.f_globals.get("__name__", "").startswith("workbench.video.language."):
            frame = frame.f_back
        if frame is None:
            return None
        filename = frame.f_code.co_filename
        lines = tuple(linecache.getlines(filename, frame.f_globals))
        body = _body_code(frame.f_code, name, frame.f_lineno)
        inside = {} if frame.f_locals is frame.f_globals else frame.f_locals
        meant: dict[str, Any] = {}
        for word in _words(body) if body is not None else ():
            for names in (inside, frame.f_globals):
                if word in names:
                    meant[word] = names[word]
                    break
        return cls(filename, lines, frame.f_lineno, meant, frame.f_globals)


def find_class(origin: Origin | None, name: str) -> tuple[Cell, ast.ClassDef]:
    """Return the text and the class statement that made a class.

    Raises
    ------
    WorkbenchError
        If the text is gone, or has no such class at that line.
    """
    gone = WorkbenchError(
        f"The source of {name} cannot be found.", "Define it in a file or a cell, or pass the query as text."
    )
    if origin is not None and origin.cell is not None and origin.node is not None:
        return origin.cell, origin.node
    if origin is None or not origin.lines:
        raise gone
    try:
        module = _parse("".join(origin.lines))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise gone from None
    found = None
    for node in ast.walk(module):
        if isinstance(node, ast.ClassDef) and node.name == name:
            first = min((one.lineno for one in node.decorator_list), default=node.lineno)
            if first <= origin.line <= (node.end_lineno or node.lineno) and (
                found is None or node.lineno > found.lineno
            ):
                found = node
    if found is None:
        raise gone
    return Cell(module, Place(tuple(line.rstrip("\r\n") for line in origin.lines))), found


@lru_cache(maxsize=32)
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


def _body_code(code: CodeType, name: str, line: int) -> CodeType | None:
    """Return the code of the class body `name` nearest above `line` among the constants of `code`."""
    bodies = [part for part in code.co_consts if isinstance(part, CodeType) and part.co_name == name]
    above = [body for body in bodies if body.co_firstlineno <= line]
    return max(above or bodies, key=lambda body: body.co_firstlineno, default=None)


def _words(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    yield from code.co_freevars
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _words(part)
        elif isinstance(part, str) and part.isidentifier():
            yield part  # an annotation written, or kept, as text
