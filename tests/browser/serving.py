"""Servers that tests start and end: JupyterLab, Voila."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    words: Sequence[Any], environment: Mapping[str, str], folder: Path, patience: float = 30.0
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """Run a program in a folder until the block ends; give its process and the file of what it says."""
    log = folder / "log"
    with open(log, "wb") as said:
        process = subprocess.Popen(
            [str(word) for word in words], cwd=folder, env=dict(environment), stdout=said, stderr=said
        )
    try:
        yield process, log
    finally:
        process.terminate()
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
