"""A place in the tokens of a script, and how to go on from it: what the parser's parts share."""

from __future__ import annotations

from typing import NoReturn

from workbench.anomaly.sql_tokens import Token, clauses, closing, error_at, place, tokenize
from workbench.engine.errors import WorkbenchError

__all__ = ["HINT", "Cursor", "short"]

HINT = "DIFF (SPLIT t WHERE …) ON a, b [WITH MIN RATIO r] …"


class Cursor:
    """Reads the tokens of a text; `at` is the index of the next one.

    Parameters
    ----------
    text : str
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.standing = clauses(self.tokens)
        self.at = 0
        #: what errors advise
        self.hint = HINT

    @property
    def token(self) -> Token:
        """The next token."""
        return self.tokens[self.at]

    @property
    def last(self) -> Token:
        """The one before it."""
        return self.tokens[self.at - 1]

    def ahead(self, steps: int) -> Token:
        """Return the token so many steps on; at most the end."""
        return self.tokens[min(self.at + steps, len(self.tokens) - 1)]

    def words(self, *words: str) -> bool:
        """Go past these words if they are next, one after the other."""
        if not all(self.ahead(step).is_word(word) for step, word in enumerate(words)):
            return False
        self.at += len(words)
        return True

    def mark(self, mark: str) -> bool:
        """Go past this mark if it is next."""
        found = self.token.is_mark(mark)
        self.at += found
        return found

    def fail(self, expected: str, after: str, token: Token | None = None) -> NoReturn:
        """Raise for a token that is not what the grammar has here; by default the next one."""
        token = token or self.token
        found = "the end" if token.kind == "end" else short(token.text)
        raise error_at(self.text, token.start, f"Expected {expected} after {after}, found {found}", self.hint)

    def plain_error(self, message: str, hint: str) -> WorkbenchError:
        """Return an error about the next token whose text does not tell its place."""
        line, column = place(self.text, self.token.start)
        return WorkbenchError(message, hint, line=line, column=column - 1)

    def need(self, after: str, *words: str) -> None:
        """Go past these words, or fail at the first that is not there."""
        for word in words:
            if not self.words(word):
                self.fail(" ".join(words), after)

    def need_mark(self, mark: str, after: str) -> None:
        """Go past this mark, or fail."""
        if not self.mark(mark):
            self.fail(mark, after)

    def need_name(self, what: str, after: str) -> str:
        """Go past a name and return it, or fail."""
        if not self.token.is_name:
            self.fail(what, after)
        self.at += 1
        return self.last.name

    def need_text(self, what: str, after: str) -> str:
        """Go past a text in single quotes and return it, or fail."""
        if self.token.kind != "text":
            self.fail(what, after)
        self.at += 1
        return self.last.value

    def close(self, opening: int) -> int:
        """Return the index of what closes the parenthesis."""
        found = closing(self.tokens, opening)
        if found is None:
            raise error_at(self.text, self.tokens[opening].start, "The parenthesis ( is not closed", self.hint)
        return found

    def cut(self, first: int, end: int) -> str:
        """Return the text of these tokens, for a message."""
        return short(self.text[self.tokens[first].start : self.tokens[end - 1].end])


def short(text: str) -> str:
    """Write a piece of SQL so that it fits into a message."""
    text = " ".join(text.split())
    return text if len(text) <= 30 else f"{text[:29]}…"
