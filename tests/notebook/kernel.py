"""A real kernel for the tests: run cells, see every message with its time."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from jupyter_client.manager import KernelManager


@dataclass
class Cell:
    """What came back from a cell."""

    reply: dict[str, Any]
    messages: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    started: float = 0.0
    replied: float = 0.0

    def of(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the content of the messages of these kinds, in order."""
        return [message["content"] for _, message in self.messages if message["msg_type"] in kinds]

    @property
    def outputs(self) -> list[str]:
        """The kinds of all messages that a reader sees, updates and comms left out."""
        shown = ("display_data", "execute_result", "stream", "error")
        return [message["msg_type"] for _, message in self.messages if message["msg_type"] in shown]


class Kernel:
    """A kernel with both extensions loaded."""

    def __init__(self, env: dict[str, str]) -> None:
        self._replies: dict[str, tuple[float, dict[str, Any]]] = {}
        self._messages: dict[str, list[tuple[float, dict[str, Any]]]] = {}
        self.manager = KernelManager()
        self.manager.start_kernel(env=env)
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)
        cell = self.run("%load_ext workbench\n%load_ext tests.notebook.slow")
        assert cell.reply["status"] == "ok", cell.of("error", "stream")

    def close(self) -> None:
        """Stop it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()

    def send(self, code: str) -> str:
        """Queue a cell and return the id of its message."""
        return str(self.client.execute(code))

    def wait(self, message_id: str, timeout: float = 30) -> Cell:
        """Return what came of a queued cell, once it is done (or was left out after an error)."""
        cell = Cell({}, started=time.monotonic())
        deadline = cell.started + timeout
        while time.monotonic() < deadline:
            self._collect()
            if message_id in self._replies:
                cell.replied, cell.reply = self._replies[message_id]
            cell.messages = self._messages.get(message_id, [])
            idle = any(
                message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
                for _, message in cell.messages
            )
            if cell.reply and (idle or cell.reply["status"] == "aborted"):
                return cell
        raise AssertionError(f"no reply within {timeout} s")

    def _collect(self) -> None:
        """Take in what has come, by the cell that it belongs to."""
        try:
            reply = self.client.get_shell_msg(timeout=0)
            self._replies[reply["parent_header"].get("msg_id")] = (time.monotonic(), reply["content"])
        except queue.Empty:
            pass
        try:
            message = self.client.get_iopub_msg(timeout=0.02)
            parent = message["parent_header"].get("msg_id")
            self._messages.setdefault(parent, []).append((time.monotonic(), message))
        except queue.Empty:
            pass

    def run(self, code: str) -> Cell:
        """Run a cell."""
        return self.wait(self.send(code))

    def more(self, cell: Cell, seconds: float) -> Cell:
        """Go on collecting what belongs to a cell that has ended (`cell.messages` grows)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._collect()
        return cell

    def until(self, cell: Cell, come: Callable[[Cell], bool], seconds: float = 30.0) -> Cell:
        """Go on collecting until something has come, at most for some seconds."""
        deadline = time.monotonic() + seconds
        while not come(cell) and time.monotonic() < deadline:
            self._collect()
        return cell

    def value(self, code: str) -> str:
        """Run a cell and return the text of its value."""
        (content,) = self.run(code).of("execute_result")
        return str(content["data"]["text/plain"])
