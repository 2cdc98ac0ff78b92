"""Bodies that are Python: the text and the name that they are compiled under, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from workbench.engine.errors import WorkbenchError

__all__ = ["compiled"]

T = TypeVar("T")


def compiled(shell: Any, body: str, make: Callable[[str, str], T]) -> T:
    """Return what `make(source, filename)` makes of a cell's body, IPython's own syntax turned into Python.

    Raises
    ------
    WorkbenchError
        For a syntax error, with its place in the cell: nothing has run by then.
    """
    # The magic's own line is the first.
    source = "\n" + shell.transform_cell(body)
    # The number of this cell: the shell's own counter may already be that of the next.
    number = len(shell.history_manager.input_hist_parsed) - 1
    name = shell.compile.cache(source, number, raw_code=source)
    try:
        return make(source, name)
    except SyntaxError as error:
        line, column = error.lineno or 1, max(0, (error.offset or 1) - 1)
        text = (error.text or "").rstrip("\n")
        indent = len(text) - len(text.lstrip())
        raise WorkbenchError(
            f"{type(error).__name__} in line {line} of the cell: {error.msg}.", "Nothing was run.",
            line=line, column=max(0, column - indent), text=text.lstrip(),
        ) from error  # fmt: skip
