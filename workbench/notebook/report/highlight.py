"""Colours of query cells in a report: Python's or SQL's, and the words that mean something in a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pygments.lexers import PythonLexer, SqlLexer  # type: ignore[import-untyped]
from pygments.token import Comment, Error, Keyword, Name, String, Token  # type: ignore[import-untyped]

__all__ = ["highlight_cell"]

_QUERY = re.compile(r"\s*%%vquery\b")
_SQL = re.compile(r"\s*%%(diff|outliers)\b")
_DIFF = frozenset(["DIFF", "SPLIT", "COMPARE", "RATIO", "SUPPORT", "COMBO", "IMPORT", "OUTFILE"])
_VALUES = re.compile(
    r"""(?P<name>\{[A-Za-z_][\w.]*\}|\$[A-Za-z_][\w.]*) | (?P<comment>^[ \t]*\#[^\n]*|--[^\n]*)
      | (?P<text>'(?:''|[^'])*') | (?P<quoted>"(?:""|[^"])*")""",
    re.MULTILINE | re.VERBOSE,
)
_PARTS = {"name": Name.Variable, "comment": Comment.Single, "text": String.Single, "quoted": Name.Attribute}
_CLAUSES = frozenset(["where", "select", "group", "order", "limit", "scale"])
_HEAD = re.compile(
    r"(?P<magic>%%\w+)|(?P<option>--?[A-Za-z][\w-]*)|(?P<name>\{[\w.]*\}|\$[A-Za-z_][\w.]*)|(?P<text>\S+)|(?P<blank>\s+)"
)
_KINDS = {
    "magic": Comment.Preproc,
    "option": Name.Attribute,
    "name": Name.Variable,
    "text": String,
    "blank": Token.Text,
}


class QueryLexer(PythonLexer):  # type: ignore[misc]
    """A `%%vquery` cell: its first line, then a body that is nearly Python."""

    name = "vquery"
    aliases = ()
    filenames = ()
    mimetypes = ()

    def get_tokens_unprocessed(self, text: str, stack: Any = ("root",)) -> Iterator[tuple[int, Any, str]]:
        """Yield (position, token, text)."""
        from workbench.video.language import catalogue

        types, words = frozenset(catalogue.type_names()), frozenset(catalogue.words())
        head, _, body = text.partition("\n")
        yield from _head(text)
        start = len(head)
        for position, token, word in super().get_tokens_unprocessed(body, stack):
            if token in Name:
                if word in _CLAUSES:
                    token = Keyword
                elif word in types or word == "Query":
                    token = Name.Class
                elif word in words:
                    token = Name.Builtin
            yield start + 1 + position, token, word


class DiffLexer(SqlLexer):  # type: ignore[misc]
    """A `%%diff` or `%%outliers` cell: its first line, then SQL with the words of DIFF and values of the notebook."""

    name = "workbench-diff"
    aliases = ()
    filenames = ()
    mimetypes = ()

    def get_tokens_unprocessed(self, text: str, stack: Any = ("root",)) -> Iterator[tuple[int, Any, str]]:
        """Yield (position, token, text)."""
        yield from _head(text)
        start = at = text.find("\n") + 1 or len(text)
        for match in _VALUES.finditer(text, start):
            yield from self._sql(text, at, match.start(), stack)
            yield match.start(), _PARTS[match.lastgroup or "name"], match.group()
            at = match.end()
        yield from self._sql(text, at, len(text), stack)

    def _sql(self, text: str, start: int, end: int, stack: Any) -> Iterator[tuple[int, Any, str]]:
        for position, token, word in super().get_tokens_unprocessed(text[start:end], stack):
            if token in Error:
                token = Token.Text
            elif token in Name and word.upper() in _DIFF:
                token = Keyword
            yield start + position, token, word


def _head(text: str) -> Iterator[tuple[int, Any, str]]:
    """Yield the tokens of the first line, and its end."""
    head, newline, _ = text.partition("\n")
    for match in _HEAD.finditer(head):
        yield match.start(), _KINDS[match.lastgroup or "text"], match.group()
    if newline:
        yield len(head), Token.Text, newline


def highlight_cell(plain: Any) -> Any:
    """Return nbconvert's filter `highlight_code`: queries by our lexer, other cells by `plain`."""

    def highlight(source: str, language: str | None = None, metadata: Any = None) -> str:
        lexers = ((_QUERY, QueryLexer, "hl-vquery"), (_SQL, DiffLexer, "hl-sql"))
        found = next(((lexer, name) for pattern, lexer, name in lexers if pattern.match(source)), None)
        if found is None:
            return str(plain(source, language, metadata))
        from pygments import highlight as paint  # type: ignore[import-untyped]
        from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

        lexer, name = found
        return str(paint(source, lexer(stripnl=False), HtmlFormatter(cssclass=f" highlight {name}")))

    return highlight
