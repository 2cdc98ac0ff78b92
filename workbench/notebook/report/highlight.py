"""Colours of query cells in a report: Python's, and the words that mean something in a query."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pygments.lexers import PythonLexer  # type: ignore[import-untyped]
from pygments.token import Comment, Keyword, Name, String, Token  # type: ignore[import-untyped]

__all__ = ["highlight_cell"]

_QUERY = re.compile(r"\s*%%vquery\b")
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
        head, newline, body = text.partition("\n")
        for match in _HEAD.finditer(head):
            yield match.start(), _KINDS[match.lastgroup or "text"], match.group()
        start = len(head)
        if newline:
            yield start, Token.Text, newline
        for position, token, word in super().get_tokens_unprocessed(body, stack):
            if token in Name:
                if word in _CLAUSES:
                    token = Keyword
                elif word in types or word == "Query":
                    token = Name.Class
                elif word in words:
                    token = Name.Builtin
            yield start + 1 + position, token, word


def highlight_cell(plain: Any) -> Any:
    """Return nbconvert's filter `highlight_code`: queries by our lexer, other cells by `plain`."""

    def highlight(source: str, language: str | None = None, metadata: Any = None) -> str:
        if not _QUERY.match(source):
            return str(plain(source, language, metadata))
        from pygments import highlight as paint  # type: ignore[import-untyped]
        from pygments.formatters import HtmlFormatter  # type: ignore[import-untyped]

        return str(paint(source, QueryLexer(stripnl=False), HtmlFormatter(cssclass=" highlight hl-vquery")))

    return highlight
