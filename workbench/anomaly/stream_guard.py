"""Steps that an interrupt must not cut in two."""

from __future__ import annotations

import signal
import threading
from typing import Any

__all__ = ["uninterrupted"]


class uninterrupted:  # used as a function
    """Let Ctrl-C wait until the end of a `with` block: for changes of which half would be none at all.

    Only the main thread is interrupted; on others, and where nothing of Python's handles the signal, nothing is done.
    """

    def __enter__(self) -> None:
        self._met: list[Any] = []
        self._handler: Any = None
        if threading.current_thread() is not threading.main_thread():
            return
        handler = _GET(signal.SIGINT)
        if callable(handler):
            _SET(signal.SIGINT, lambda *arguments: self._met.append(arguments))
            self._handler = handler

    def __exit__(self, *error: object) -> None:
        if self._handler is not None:
            _SET(signal.SIGINT, self._handler)
            if self._met:
                self._handler(*self._met[-1])


# without what the library puts around these to name signals, which takes ten times as long as they do
_PLAIN: Any = getattr(signal, "_signal", signal)
_GET, _SET = _PLAIN.getsignal, _PLAIN.signal
