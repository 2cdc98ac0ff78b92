"""The line of a magic: splitting by POSIX shell rules, and `{name}` and `$name` standing for notebook variables.

A value that comes in by reference is never parsed again: it stays one argument whatever text it holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest

__all__ = ["Scope", "Token", "escape", "quote", "split", "split_items"]

_NAME = r"[^\W\d]\w*"
_DOTTED = rf"{_NAME}(?:\.{_NAME})*"
_REFERENCE = re.compile(rf"\$\$|\{{\{{|\}}\}}|\{{([^{{}}]*)\}}|\$({_DOTTED})|[{{}}]")
_LITERAL = {"$$": "$", "{{": "{", "}}": "}"}


@dataclass(frozen=True, slots=True)
class Token:
    """One argument of the line: its text without quotes, and for each character whether it stood in quotes.

    `empty` holds the positions at which an empty pair of quotes stood, `raw` the text as written, quotes and all.
    """

    text: str
    quoted: tuple[bool, ...]
    empty: tuple[int, ...] = ()
    raw: str = field(default="", compare=False)

    @property
    def dashed(self) -> bool:
        """Whether it begins with a dash outside quotes, as options do (a negative number does not count)."""
        if not self.text.startswith("-") or self.text == "-" or self.quoted[0]:
            return False
        return not re.fullmatch(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", self.text)

    @property
    def referring(self) -> bool:
        """Whether it is exactly one reference."""
        found = _REFERENCE.fullmatch(self.text)
        return found is not None and found[0] not in _LITERAL and bool(found[1] or found[2])

    def cut(self, start: int, stop: int | None = None) -> Token:
        """Return the part between these positions."""
        end = len(self.text) if stop is None else stop
        empty = tuple(position - start for position in self.empty if start <= position <= end)
        plain = stop is None and self.raw[:start] == self.text[:start] and not any(self.quoted[:start])
        return Token(self.text[start:end], self.quoted[start:end], empty, self.raw[start:] if plain else "")


def split(line: str) -> list[Token]:
    """Split a line as `shlex.split` does (POSIX, no comments), remembering what was quoted.

    Raises
    ------
    WorkbenchError
        For a quote that is not closed, or a backslash at the end.
    """
    tokens: list[Token] = []
    text: list[str] = []
    quoted: list[bool] = []
    empty: list[int] = []
    started, quote_mark, position, opened, begun = False, "", 0, 0, 0
    while position < len(line):
        char = line[position]
        begun = begun if started else position
        position += 1
        if quote_mark:
            if char == quote_mark:
                quote_mark = ""
                if len(text) == opened:
                    empty.append(opened)
            else:
                if char == "\\" and quote_mark == '"' and line[position : position + 1] in ('"', "\\"):
                    char, position = line[position], position + 1
                text.append(char)
                quoted.append(True)
        elif char in " \t\r\n":
            if started:
                tokens.append(Token("".join(text), tuple(quoted), tuple(empty), line[begun : position - 1]))
                text, quoted, empty, started = [], [], [], False
        elif char in "'\"":
            quote_mark, started, opened = char, True, len(text)
        else:
            if char == "\\":
                if position == len(line):
                    raise WorkbenchError("A backslash ends the line.", "Write \\\\ for a backslash itself.")
                char, position = line[position], position + 1
                quoted.append(True)
            else:
                quoted.append(False)
            text.append(char)
            started = True
    if quote_mark:
        raise WorkbenchError(
            f"A quote {quote_mark} is not closed.", f"Close it, or write \\{quote_mark} for a quote itself."
        )
    if started:
        tokens.append(Token("".join(text), tuple(quoted), tuple(empty), line[begun:]))
    return tokens


def split_items(tokens: list[Token]) -> list[Token]:
    """Return the items of a list: parted by commas and blanks outside quotes; empty items are dropped."""
    items = []
    for token in tokens:
        start = 0
        for position, char in enumerate(token.text):
            if char == "," and not token.quoted[position]:
                items.append(token.cut(start, position))
                start = position + 1
        items.append(token.cut(start))
    return [item for item in items if item.text or item.empty]


def escape(text: str) -> str:
    """Return `text` so that no part of it is a reference: `$` and braces doubled."""
    return text.replace("$", "$$").replace("{", "{{").replace("}", "}}")


def quote(text: str) -> str:
    """Return `text` as one token of a line, in quotes where it needs them, that reads back as the same text."""
    text = escape(text)
    if text and re.fullmatch(r"[\w./:@%+=*?${}-]+", text) and not text.startswith("-"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Scope:
    """Where references are looked up: the calling frame's locals, then the notebook.

    Parameters
    ----------
    local, notebook : mapping of str to object
    """

    def __init__(self, local: Mapping[str, Any], notebook: dict[str, Any]) -> None:
        self.local, self.notebook = local, notebook

    @property
    def flat(self) -> dict[str, Any]:
        """Both name spaces as one dict; the notebook's own where the magic stands at the top of a cell."""
        return self.notebook if self.local is self.notebook else {**self.notebook, **self.local}

    def __contains__(self, name: str) -> bool:
        return name in self.local or name in self.notebook

    def lookup(self, dotted: str) -> Any:
        """Return the value of `name` or `name.attribute`.

        Raises
        ------
        WorkbenchError
            If there is none; the hint names the nearest one.
        """
        first, *rest = dotted.split(".")
        missing = f'No variable named "{dotted}" in this notebook.'
        if first not in self:
            visible = [name for name in {*self.local, *self.notebook} if not name.startswith("_")]
            raise WorkbenchError(missing, suggest(first, visible, "Assign it in a cell above.", quote='"{}"'))
        value = self.local[first] if first in self.local else self.notebook[first]
        path = first
        for attribute in rest:
            try:
                value = getattr(value, attribute)
            except AttributeError:
                names = [name for name in dir(value) if not name.startswith("_")]
                end = dotted[len(path) :]
                hint = suggest(attribute, names, f"To join text, write {{{path}}}{end}.", quote=f'"{path}.{{}}"')
                raise WorkbenchError(missing, hint) from None
            path += f".{attribute}"
        return value

    def resolve(self, token: Token) -> tuple[Any, bool]:
        """Return what a token means, and whether it is exactly one reference.

        Exactly one reference is the object itself; inside a longer token it becomes `str(value)`.
        """
        whole = _REFERENCE.fullmatch(token.text)
        if whole and (name := _referred(whole)):
            return self.lookup(name), True
        return _REFERENCE.sub(self._text_of, token.text), False

    def _text_of(self, found: re.Match[str]) -> str:
        name = _referred(found)
        return str(self.lookup(name)) if name else _LITERAL[found[0]]


def _referred(found: re.Match[str]) -> str:
    """Return the name that a match refers to; empty for a doubled sign."""
    if found[0] in _LITERAL:
        return ""
    name = found[2] or found[1]
    if not name or not re.fullmatch(_DOTTED, name):
        raise WorkbenchError(
            "Only names fit in braces: {cam} or {args.path}.", "Compute the value in a cell above and use its name."
        )
    return name
