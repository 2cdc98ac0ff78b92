"""Object code that survives the process: in the store, by what it depends on."""

from __future__ import annotations

import functools
import hashlib
import time
import warnings
from collections.abc import Callable
from pathlib import Path

from workbench.engine.store import store
from workbench.fusion.cpu import machine

__all__ = ["KIND", "clear", "get", "key_of"]

#: how `workbench cache` calls them
KIND = "fusion kernel"


@functools.cache
def _version() -> str:
    """Return what this back end writes its code with: its own source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def key_of(text: str, host: machine.Host) -> str:
    """Return the key of a program's object code on a processor."""
    parts = (text, host.identity, _version())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def get(text: str, host: machine.Host, make: Callable[[], str]) -> tuple[bytes, str]:
    """Return object code and where it came from: "disk" or "miss".

    Parameters
    ----------
    text : str
        The program's.
    host : Host
    make : callable
        Gives the text of the LLVM module.
    """
    kept, key = store(), key_of(text, host)
    if kept.has(key):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the store's own words for it
            path = kept.get_file(key)
        if path is not None:
            try:
                return path.read_bytes(), "disk"
            except OSError:
                path = None
        if path is None:
            from workbench.fusion.errors import warn_damaged

            warn_damaged()
    start = time.process_time()
    content = machine.object_code(make(), host)
    assert isinstance(content, bytes)
    kept.put_file(key, content, suffix=".o", kind=KIND, cost_s=time.process_time() - start)
    return content, "miss"


def clear() -> None:
    """Drop all object code from the store."""
    kept = store()
    entries = kept.entries()
    for key in entries.loc[entries["kind"] == KIND, "key"]:
        kept._drop(key)
