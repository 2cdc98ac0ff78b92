"""Errors and warnings that say in two lines what is wrong and how to fix it."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Iterable
from typing import Any

__all__ = ["Stopped", "WorkbenchError", "WorkbenchWarning", "did_you_mean", "one_line", "suggest", "warn"]


#: characters of another library's error that are told in one line
_LONGEST = 300


class _TwoLines:
    """What an error shows in a notebook: its message and its hint, without a traceback."""

    message: str
    hint: str
    #: False brings tracebacks back; `%config Workbench.short_errors` sets it.
    short: bool = True

    def lines(self) -> list[str]:
        """Return the message and, where there is one, the hint."""
        return [line for line in (self.message, self.hint) if line]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def _render_traceback_(self) -> list[str]:
        # IPython calls this in place of its own formatter; `%tb` still has the whole chain.
        if not _TwoLines.short:
            import traceback

            assert isinstance(self, BaseException)
            return traceback.format_exception(type(self), self, self.__traceback__)
        return self.lines()


class WorkbenchError(_TwoLines, Exception):
    """A mistake or a fault that the reader can do something about.

    Parameters
    ----------
    message : str
        One line: what is wrong.
    hint : str, optional
        One line: how to fix it.
    line, column : int, optional
        Where in the cell's body the mistake stands (1-based line, 0-based column).
    text : str, optional
        That line of the body, shown with a caret below it.
    """

    def __init__(
        self,
        message: str,
        hint: str = "",
        *,
        line: int | None = None,
        column: int | None = None,
        text: str | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.message, self.hint = message, hint
        self.line, self.column, self.text = line, column, text

    def lines(self) -> list[str]:
        """Return message and hint, and between them the line with a caret where a column is known."""
        shown = [self.message]
        if self.text is not None and self.column is not None:
            shown += [f"    {self.text}", "    " + " " * self.column + "^"]
        return shown + ([self.hint] if self.hint else [])

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (type(self), self.message, self.hint, self.line, self.column, self.text)


def _rebuild(kind: type[WorkbenchError], message: str, hint: str, line: Any, column: Any, text: Any) -> WorkbenchError:
    error = kind.__new__(kind)
    WorkbenchError.__init__(error, message, hint, line=line, column=column, text=text)
    return error


class Stopped(_TwoLines, KeyboardInterrupt):
    """An interrupted run: `.result` holds what was found until then.

    A KeyboardInterrupt, so that Run All stops at the cell.
    """

    def __init__(self, message: str, hint: str = "", *, result: Any = None) -> None:
        super().__init__(message, hint)
        self.message, self.hint, self.result = message, hint, result


class WorkbenchWarning(UserWarning):
    """A warning of two lines, shown as a note; the work goes on."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message if not hint else f"{message}\n{hint}")
        self.message, self.hint = message, hint


def warn(message: str, hint: str = "", *, stacklevel: int = 2) -> None:
    """Issue a `WorkbenchWarning` of two lines."""
    warnings.warn(WorkbenchWarning(message, hint), stacklevel=stacklevel + 1)


def one_line(error: BaseException) -> str:
    """Return what an error says in one line: its type and text; of our own errors, the first line alone.

    Without the full stop, as it stands in parentheses or after a colon.
    """
    if isinstance(error, _TwoLines):
        return error.message.removesuffix(".")
    text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def did_you_mean(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` nearest to `name`, or None if nothing is near.

    Parameters
    ----------
    name : str
        What was written.
    names : iterable of str
        What could have been meant.
    """
    known = {candidate.lower(): candidate for candidate in sorted(names, reverse=True)}
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return known[near[0]] if near else None


def suggest(name: str, names: Iterable[str], otherwise: str = "", *, quote: str = "'{}'") -> str:
    """Return the hint `Did you mean 'x'?` for the nearest of `names`, else `otherwise`."""
    near = did_you_mean(name, names)
    return f"Did you mean {quote.format(near)}?" if near is not None else otherwise
