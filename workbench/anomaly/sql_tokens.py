"""Tokens of SQL with their places in the text: what the parser of DIFF and the rewriting of scoring functions read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from workbench.engine.errors import WorkbenchError

__all__ = [
    "RESERVED",
    "Standing",
    "Token",
    "clauses",
    "closing",
    "error_at",
    "place",
    "quoted",
    "text_literal",
    "tokenize",
]

Kind = Literal["word", "quoted", "text", "number", "mark", "end"]

#: words that DuckDB never takes as the name of a column, a table or an alias
RESERVED = frozenset(
    (
        "ALL", "ANALYSE", "ANALYZE", "AND", "ANTI", "ANY", "ARRAY", "AS", "ASC", "ASOF", "ASYMMETRIC", "BOTH",
        "CASE", "CAST", "CHECK", "COLLATE", "COLUMN", "CONSTRAINT", "CREATE", "CROSS", "DEFAULT", "DEFERRABLE",
        "DESC", "DESCRIBE", "DISTINCT", "DO", "ELSE", "END", "EXCEPT", "FALSE", "FETCH", "FOR", "FOREIGN",
        "FROM", "FULL", "GLOB", "GRANT", "GROUP", "HAVING", "ILIKE", "IN", "INITIALLY", "INNER", "INTERSECT",
        "INTO", "IS", "ISNULL", "JOIN", "LAMBDA", "LATERAL", "LEADING", "LEFT", "LIKE", "LIMIT", "NATURAL",
        "NOT", "NOTNULL", "NULL", "OFFSET", "ON", "ONLY", "OR", "ORDER", "OUTER", "OVERLAPS", "PIVOT",
        "PIVOT_LONGER", "PIVOT_WIDER", "PLACING", "POSITIONAL", "PRIMARY", "QUALIFY", "REFERENCES", "RETURNING",
        "RIGHT", "SELECT", "SEMI", "SHOW", "SIMILAR", "SOME", "SUMMARIZE", "SYMMETRIC", "TABLE", "TABLESAMPLE",
        "THEN", "TO", "TRAILING", "TRUE", "UNION", "UNIQUE", "UNPIVOT", "USING", "VARIADIC", "WHEN", "WHERE",
        "WINDOW", "WITH",
    )
)  # fmt: skip

#: words that begin a clause of a SELECT
_CLAUSES = frozenset(
    (
        "SELECT", "FROM", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "UNION",
        "EXCEPT", "INTERSECT", "VALUES", "RETURNING",
    )
)  # fmt: skip

#: of these, the ones after which another SELECT may stand
_SET_OPERATIONS = frozenset(("UNION", "EXCEPT", "INTERSECT"))


@dataclass(frozen=True, slots=True)
class Token:
    """One token.

    Attributes
    ----------
    kind : str
        "word" (keywords too), "quoted" (a name in double quotes), "text" (in single quotes), "number", "mark", "end".
    text : str
        As it was written.
    value : str
        The name or the text without its quotes; a word in upper case; else as written.
    start, end : int
        Offsets into the text; `text[start:end]`.
    """

    kind: Kind
    text: str
    value: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """Return whether this is one of the words (upper case), not quoted."""
        return self.kind == "word" and self.value in words

    def is_mark(self, mark: str) -> bool:
        """Return whether this is the mark."""
        return self.kind == "mark" and self.text == mark

    @property
    def name(self) -> str:
        """The name that a word or a quoted name stands for, in its own case."""
        return self.value if self.kind == "quoted" else self.text

    @property
    def is_name(self) -> bool:
        """Whether it can name a column, a table or an alias."""
        return self.kind == "quoted" or (self.kind == "word" and self.value not in RESERVED)


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a text, comments left out; the last one is of kind "end".

    Raises
    ------
    WorkbenchError
        If a quote or comment is not closed.
    """
    from sqlglot.dialects import DuckDB
    from sqlglot.errors import TokenError

    try:
        found = DuckDB().tokenize(text)
    except TokenError as error:
        raise _unclosed(text) from error
    tokens: list[Token] = []
    for item in found:
        tokens += _split(text, item.token_type.name, item.text, item.start, item.end + 1)
    return [*tokens, Token("end", "", "", len(text), len(text))]


def place(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset, both from 1."""
    before = text[:offset]
    return before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1


def error_at(text: str, offset: int, message: str, hint: str) -> WorkbenchError:
    """Return an error that says where it is; `message` is completed with `(line 2, column 1).`"""
    line, column = place(text, offset)
    return WorkbenchError(f"{message} (line {line}, column {column}).", hint, line=line, column=column - 1)


def closing(tokens: Sequence[Token], index: int) -> int | None:
    """Return the index of the token that closes the parenthesis at `index`; None if nothing does."""
    depth = 0
    for position in range(index, len(tokens)):
        token = tokens[position]
        if token.kind == "mark":
            depth += (token.text == "(") - (token.text == ")")
            if depth == 0:
                return position
    return None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a token stands.

    Attributes
    ----------
    depth : int
        Parentheses open around it; a parenthesis itself counts as outside.
    clause : str
        The clause word it comes after within its parentheses ("FROM"; the word itself is its clause); "" before any.
    item : bool
        Whether an item of FROM begins here.
    """

    depth: int
    clause: str
    item: bool


def clauses(tokens: Sequence[Token]) -> list[Standing]:
    """Return for each token where it stands."""
    found: list[Standing] = []
    stack = [("", False)]  # clause, and whether an item of FROM comes next
    for index, token in enumerate(tokens):
        clause, item = stack[-1]
        before = tokens[index - 1] if index else None
        starts = token.kind == "word" and not (before is not None and before.is_mark("."))
        if token.is_mark(")") and len(stack) > 1:
            stack.pop()
            clause, item = stack[-1]
            found.append(Standing(len(stack) - 1, clause, False))
            continue
        if starts and token.value in _CLAUSES and not _is_operator(token, before):
            clause = token.value
            found.append(Standing(len(stack) - 1, clause, False))
            stack[-1] = ("" if clause in _SET_OPERATIONS else clause, clause == "FROM")
            continue
        found.append(Standing(len(stack) - 1, clause, item))
        if token.is_mark("("):
            stack[-1] = (clause, False)
            side = before is not None and before.is_word("DIFF") and found[-2].item
            stack.append(("FROM", True) if item or side else ("", False))
        else:
            joins = starts and token.value == "JOIN"
            same = item and starts and token.value == "LATERAL"
            stack[-1] = (clause, clause == "FROM" and (joins or same or token.is_mark(",")))
    return found


def quoted(name: str) -> str:
    """Write a name for SQL: in double quotes."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Write a text for SQL: in single quotes."""
    return "'" + text.replace("'", "''") + "'"


# ----------------------------------------------------------------------------------------------------------- private

_NAMES = {"IDENTIFIER": "quoted", "STRING": "text", "NUMBER": "number"}
_STRINGS = ("HEREDOC_STRING", "BYTE_STRING", "HEX_STRING", "BIT_STRING", "NATIONAL_STRING", "RAW_STRING")


def _split(text: str, kind: str, value: str, start: int, end: int) -> Iterator[Token]:
    """Yield our tokens for one of sqlglot's: words that it glues (`GROUP BY`) stand alone."""
    written = text[start:end]
    if kind in _NAMES:
        yield Token(_NAMES[kind], written, value, start, end)  # type: ignore[arg-type]
    elif kind in _STRINGS:
        yield Token("text", written, value, start, end)
    elif written[:1].isalpha() or written[:1] == "_" or written[:1] > "\x7f":
        for word in re.finditer(r"\S+", written):
            yield Token("word", word[0], word[0].upper(), start + word.start(), start + word.end())
    else:
        yield Token("mark", written, value, start, end)


def _is_operator(token: Token, before: Token | None) -> bool:
    """Return whether a clause word is none here: `IS DISTINCT FROM`, `* EXCEPT (...)`."""
    if before is None:
        return False
    if token.value == "FROM":
        return before.is_word("DISTINCT")
    return token.value == "EXCEPT" and before.is_mark("*")


_PIECES = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$|(?P<open>['"]|/\*|\$\w*\$)|.""",
    re.DOTALL,
)


def _unclosed(text: str) -> WorkbenchError:
    """Return the error for a text that could not be split: where a quote or comment is opened and not closed."""
    for piece in _PIECES.finditer(text):
        if piece["open"]:
            what = "comment" if piece["open"] == "/*" else "quote"
            return error_at(
                text, piece.start(), f"The {what} {piece['open']} is not closed", "Text goes in single quotes."
            )
    return WorkbenchError("The SQL could not be split into words.", "Check its quotes and comments.")
