"""When kernels are compiled, where they are kept, and what answers until then."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["Kernel", "Loader", "coders", "kernel", "kernels"]

#: rows, of one question or of all so far, from which kernels are worth their loading; fewer where numba is in use
LOADED_FROM, NEAR_FROM = 1_000_000, 200_000
#: seconds waited, once, for kernels to be loaded from disk; and rows of a question for which compiling is waited out
PATIENCE, LARGE = 0.8, 10_000_000

_setting = threading.Lock()


class Kernel:
    """A function that numba compiles when it is first called, for one signature, and keeps on disk.

    The cache lies beside the module if that folder can be written, else in the folder of the workbench's store.
    """

    def __init__(self, function: Callable[..., Any], signature: str) -> None:
        self.function, self.signature = function, signature
        self._compiled: Any = None
        self._lock = threading.Lock()

    def load(self) -> Any:
        """Return the compiled function, loaded from disk or compiled now."""
        with self._lock:
            if self._compiled is None:
                self._compiled = _compile(self.function, self.signature)
        return self._compiled

    def __call__(self, *arguments: Any) -> Any:
        """Call the compiled function."""
        return (self._compiled or self.load())(*arguments)


def kernel(signature: str) -> Callable[[Callable[..., Any]], Kernel]:
    """Make a function of a module a kernel of this signature: a decorator."""
    return lambda function: Kernel(function, signature)


def _compile(function: Any, signature: str) -> Any:
    import numba

    options = {"nogil": True, "boundscheck": False}
    source = Path(function.__code__.co_filename)
    # numba looks at date and size of this one file; what it is made of stands in others too, and dates may not change.
    function.__qualname__ = f"{function.__name__}_{_digest(source)}"
    with _setting:
        before = numba.config.CACHE_DIR
        beside = source.parent / "__pycache__"
        try:
            if not before and not _writable(beside):
                from workbench.engine.store import home

                numba.config.CACHE_DIR = str(home() / "numba")
            return numba.njit(signature, cache=True, **options)(function)
        except RuntimeError as error:
            if "cannot cache" not in str(error):
                raise
            return numba.njit(signature, **options)(function)  # nowhere to keep it
        finally:
            numba.config.CACHE_DIR = before


def _digest(source: Path) -> str:
    """Return a few letters that change with the source of a kernel, or with the instructions it is made of."""
    import hashlib

    found = hashlib.sha256()
    for path in (source, Path(__file__).with_name("instructions.py")):
        found.update(path.read_bytes())
    return found.hexdigest()[:12]


def _writable(folder: Path) -> bool:
    import tempfile

    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


class Loader:
    """Gives a module of kernels to tables that gain by it, and None to others, for which NumPy or Arrow does the same.

    Importing numba and loading kernels from disk takes longer than NumPy needs for a few hundred thousand rows, so
    that they are loaded for large tables only. Where they are not on disk they are compiled meanwhile, on a thread of
    their own.

    Parameters
    ----------
    module : str
        It has a function `load`.
    adds_up : bool
        Many small questions, or panes of a stream, are worth it like a large one.
    without : str, optional
        What is told on a machine that numba does not know; the answers are the same there.
    """

    def __init__(self, module: str, *, adds_up: bool = False, without: str | None = None) -> None:
        self.module, self.adds_up, self.without = module, adds_up, without
        self.loaded: Any = None
        self.failed = False
        self.thread: threading.Thread | None = None
        self._seen = 0  # rows of all questions so far
        self._lock = threading.Lock()

    def __call__(self, rows: int) -> Any:
        """Return the module if it is to be used for so many rows; 0 asks for what is loaded, and loads nothing."""
        if self.loaded is not None or self.failed:
            return self.loaded
        with self._lock:
            self._seen += rows
            worth = max(rows, self._seen // 4 if self.adds_up else 0)
            if rows == 0 or worth < (NEAR_FROM if "numba" in sys.modules else LOADED_FROM):
                return None
            begin = self.thread is None
            if self.thread is None:
                self.thread = threading.Thread(target=self.load, name=f"load-{self.module.rpartition('.')[2]}")
                self.thread.start()
        if begin or rows >= LARGE:
            self.thread.join(None if rows >= LARGE else PATIENCE)
        return self.loaded

    def load(self) -> None:
        """Load the kernels now."""
        try:
            module: Any = importlib.import_module(self.module)
            module.load()
            self.loaded = module
        except Exception as error:
            from workbench.engine.errors import one_line, warn

            self.failed = True
            if self.without is not None:
                warn(f"{self.without} ({one_line(error)}).", "Answers are the same, but take longer.")


#: those that count sets
kernels = Loader("workbench.anomaly.kernels", adds_up=True, without="The fast counting is not available")
#: those that encode columns; whoever counts says that numba does not work
coders = Loader("workbench.anomaly.encode_kernels")
