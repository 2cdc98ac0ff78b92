"""What a run gets before it begins: random generators seeded alike on any worker, and so many threads."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.util
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

__all__ = ["cores", "seed_all", "set_up"]

#: what BLAS and OpenMP read when they are loaded, and programs that a run starts
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def cores() -> int:
    """Return the number of cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def seed_all(seed: int) -> None:
    """Seed `random`, NumPy's global generator, and torch if it is loaded."""
    random.seed(seed)
    with suppress(ImportError):
        import numpy as np

        np.random.seed(seed % 2**32)
    if (torch := _loaded("torch")) is not None:
        torch.manual_seed(seed)


@contextmanager
def set_up(seed: int, threads: int | None = None) -> Iterator[None]:
    """Run a block with generators seeded and `threads` threads for torch and BLAS; the threads are put back.

    A block may load torch itself. It is not loaded here for its sake, as that takes seconds and most of a GB for those
    that do without: it is seeded when it is.

    Parameters
    ----------
    seed : int
    threads : int, optional
        None leaves them as they are.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    torch_before: list[tuple[Any, int]] = []

    def ready(torch: Any) -> None:
        torch.manual_seed(seed)
        if threads is not None:
            torch_before.append((torch, torch.get_num_threads()))
            torch.set_num_threads(threads)

    if threads is not None:
        os.environ.update(dict.fromkeys(THREADS, str(threads)))
    seed_all(seed)
    limited = _limited(threads)
    waiting = None
    if (torch := _loaded("torch")) is not None:
        ready(torch)
    else:
        waiting = _WhenLoaded("torch", ready)
        sys.meta_path.insert(0, waiting)
    try:
        yield
    finally:
        if waiting is not None:
            with suppress(ValueError):
                sys.meta_path.remove(waiting)
        for torch, count in torch_before:
            torch.set_num_threads(count)
        if limited is not None:
            limited.restore_original_limits()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class _WhenLoaded(importlib.abc.MetaPathFinder):
    """Calls back when a module has been loaded."""

    def __init__(self, name: str, then: Callable[[Any], None]) -> None:
        self.name, self.then = name, then

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> Any:
        if fullname != self.name:
            return None
        with suppress(ValueError):
            sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is None or spec.loader is None:
            return None
        loader, then = spec.loader, self.then
        load = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            then(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _loaded(name: str) -> Any:
    """Return a module that is loaded whole."""
    module = sys.modules.get(name)
    return module if hasattr(module, "manual_seed") else None


def _limited(threads: int | None) -> Any:
    """Limit BLAS and OpenMP libraries that are loaded; they read the environment only once."""
    if threads is None:
        return None
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return None
    return threadpoolctl.threadpool_limits(threads)
