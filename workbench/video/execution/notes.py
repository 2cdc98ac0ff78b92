"""What a run has to announce: kept in order, each once."""

from __future__ import annotations

import threading

__all__ = ["Notes"]


class Notes:
    """Messages of two lines, each kept once; safe to use from several threads."""

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, str], None] = {}
        self._lock = threading.Lock()

    def add(self, message: str, hint: str = "") -> None:
        """Keep a message."""
        with self._lock:
            self._pairs[message, hint] = None

    def drop(self, message: str, hint: str = "") -> None:
        """Take back what turned out to be wrong."""
        with self._lock:
            self._pairs.pop((message, hint), None)

    def pairs(self) -> list[tuple[str, str]]:
        """Return (message, hint) in the order in which they came."""
        with self._lock:
            return list(self._pairs)

    def lines(self) -> list[str]:
        """Return each message with its hint as one text."""
        return [f"{message} {hint}".strip() for message, hint in self.pairs()]
