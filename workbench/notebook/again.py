"""What a panel in a page asks the kernel: the same question again, on a part of the rows.

A panel that is drawn from a saved notebook knows its result by a key made of what it shows; the kernel that holds such
a result answers, any other says that it has none. So a result of another session is never taken for this one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from workbench.engine.errors import WorkbenchError

__all__ = ["TARGET", "install", "key_of", "offer", "reply"]

#: name of the comm that a page opens
TARGET = "workbench.again"
WORDS = ("within", "without")

# Weak: a result lives as long as the notebook holds it.
_offered: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def key_of(state: Mapping[str, Any]) -> str:
    """Return the key of what a panel shows; the same rows and columns have the same key in every session."""
    shown = [state.get(name) for name in ("columns", "rows", "details")]
    text = json.dumps(shown, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def offer(result: Any, state: Mapping[str, Any]) -> str:
    """Let panels ask about a result that can be asked again; return its key, empty for any other."""
    if not all(callable(getattr(type(result), word, None)) for word in WORDS):
        return ""
    key = key_of(state)
    with contextlib.suppress(TypeError):
        _offered[key] = result
    return key


def reply(message: Mapping[str, Any], held: dict[str, Any]) -> dict[str, Any]:
    """Answer a panel.

    Parameters
    ----------
    message : mapping
        `do` ("hello", "details", "within" or "without"), `key`, `row` (the rank from 0), and `id`, which the answer
        repeats.
    held : dict
        Answers of this panel by key: kept while it is open.

    Returns
    -------
    dict
        `{"live": bool}` for "hello", `{"details": [block, ...]}` for "details", else `{"blocks": [...], "key": ...}`;
        or `{"error": [line, ...]}`.
    """
    number, key = message.get("id"), str(message.get("key", ""))
    result = held.get(key) or _offered.get(key)
    if message.get("do") == "hello":
        return {"id": number, "live": result is not None}
    try:
        if result is None:
            raise WorkbenchError("This answer is no longer in the kernel.", "Run the cell again.")
        if message.get("do") == "details":
            return {"id": number, "details": _details(result, int(message["row"]))}
        if message.get("do") not in WORDS:
            raise WorkbenchError("Nothing is known of that.", "Reload the page.")
        made, shown = _again(result, str(message["do"]), int(message["row"]))
        state: dict[str, Any] = next((block["state"] for block in shown if block["kind"] == "ranked"), {})
        new = offer(made, state)
    except WorkbenchError as error:
        return {"id": number, "error": error.lines()}
    except Exception as error:
        return {"id": number, "error": [f"{type(error).__name__}: {error}"]}
    held[new] = made
    return {"id": number, "blocks": shown, "key": new}


def _details(result: Any, row: int) -> list[dict[str, Any]]:
    """Return the drill-down of a row that has none in the page."""
    from workbench.anomaly.results import Explanations
    from workbench.notebook.page import plain

    if not isinstance(result, Explanations):
        return []
    from workbench.anomaly.details import details
    from workbench.anomaly.view import chips_at

    answer = result._answer
    state = {"rows": [[row + 1, {"chips": chips_at(answer, row), "same": []}]]}
    return [plain(block) for block in details(answer, state).get("0", [])]


def _again(result: Any, do: str, row: int) -> tuple[Any, list[dict[str, Any]]]:
    from workbench.notebook import live
    from workbench.notebook.page import plain

    # A run of its own would show its progress below whatever cell runs now.
    with live.attended("none", quiet=True):
        made = getattr(result, do)(row)
        blocks = made.view_data()["blocks"]
    kinds = ("summary", "note", "ranked", "svg")
    return made, [plain(block) for block in blocks if block["kind"] in kinds]


def install(shell: Any) -> Callable[[], None]:
    """Listen for panels, where the shell is a kernel's; the returned function ends that."""
    manager = getattr(getattr(shell, "kernel", None), "comm_manager", None)
    if manager is None:
        return lambda: None

    def opened(comm: Any, _: Any) -> None:
        held: dict[str, Any] = {}

        def answer(message: Mapping[str, Any]) -> None:
            comm.send(reply(message, held))

        def asked(message: Mapping[str, Any]) -> None:
            # On a thread: the kernel goes on with its cells.
            data = message["content"]["data"]
            threading.Thread(target=answer, args=(data,), name="workbench-again", daemon=True).start()

        comm.on_msg(asked)

    manager.register_target(TARGET, opened)

    def remove() -> None:
        with contextlib.suppress(KeyError):
            manager.unregister_target(TARGET, opened)

    return remove
