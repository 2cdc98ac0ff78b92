"""How a person's own functions and sources reach the workers."""

from __future__ import annotations

import contextlib
import copyreg
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from workbench.engine.errors import WorkbenchError, one_line

__all__ = ["by_value", "own_modules", "sendable"]

# cloudpickle's list of modules is global, and two runs may send functions of one module at the same time.
_lock = threading.Lock()
_held: dict[str, int] = {}


@contextlib.contextmanager
def by_value(function: Callable[..., Any] | None) -> Iterator[None]:
    """Send functions of the person's own modules as a whole, not by name.

    A worker may not find a module beside the notebook, or may have imported it before its last edit. Installed
    packages and this one go by name.

    Raises
    ------
    WorkbenchError
        If it holds or reads something that no other process can have, a lock or an open file.
    """
    import cloudpickle

    modules = own_modules(function)
    with _lock:
        for module in modules:
            if not _held.get(module.__name__):
                cloudpickle.register_pickle_by_value(module)
            _held[module.__name__] = _held.get(module.__name__, 0) + 1
    try:
        if function is not None:
            try:
                cloudpickle.dumps(function)
            except Exception as error:
                name = getattr(function, "__name__", type(function).__name__)
                raise WorkbenchError(
                    f"{name} cannot be sent to the workers ({one_line(error)}).",
                    "Make what it reads inside the function, at its first call.",
                ) from error
        yield
    finally:
        with _lock:
            for module in modules:
                _held[module.__name__] -= 1
                if not _held[module.__name__]:
                    cloudpickle.unregister_pickle_by_value(module)


def sendable(source: Any) -> None:
    """Make sure that a source of one's own can travel.

    Raises
    ------
    WorkbenchError
        If it holds something that no other process can have: a lock, an open file or connection.
    """
    import cloudpickle

    if type(source).__module__.partition(".")[0] == "workbench":
        return
    try:
        cloudpickle.dumps(source)
    except Exception as error:
        raise WorkbenchError(
            f"{type(source).__name__} cannot be sent to the workers ({one_line(error)}).",
            "Open files and connections inside read(), or leave them out in __getstate__().",
        ) from error


def own_modules(function: Any) -> list[ModuleType]:
    """Return the person's own modules that a function is from or reads, by name."""
    found: dict[str, ModuleType] = {}
    _collect(function, found, set())
    return [found[name] for name in sorted(found)]


def _collect(value: Any, found: dict[str, ModuleType], seen: set[int]) -> None:
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, ModuleType):
        module: Any = value
    else:
        module = sys.modules.get(str(getattr(value, "__module__", None)))
    if isinstance(module, ModuleType) and _is_own(module):
        found[module.__name__] = module
    if isinstance(value, FunctionType):
        if isinstance(module, ModuleType) and module.__name__.partition(".")[0] != "workbench" and not _is_own(module):
            installed = module.__name__ != "__main__" and getattr(module, "__file__", None) is not None
            if installed:
                return  # what an installed function reads is installed too
        cells = [cell.cell_contents for cell in value.__closure__ or () if _filled(cell)]
        names = {name for code in _codes(value.__code__) for name in code.co_names}
        for item in (*cells, *(value.__globals__[name] for name in sorted(names) if name in value.__globals__)):
            if isinstance(item, (ModuleType, FunctionType, type)):
                _collect(item, found, seen)


def _is_own(module: ModuleType) -> bool:
    name, file = module.__name__, getattr(module, "__file__", None)
    if name == "__main__" or file is None or name.partition(".")[0] == "workbench":
        return False
    installed = {sysconfig.get_path(scheme) for scheme in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(Path(file).is_relative_to(folder) for folder in installed)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _filled(cell: Any) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:  # a name that is bound only later
        return False
    return True


def _named_property(function: Callable[[Any], Any], name: str | None) -> cached_property[Any]:
    made = cached_property(function)
    if name is not None:
        made.__set_name__(object, name)
    return made


if sys.version_info < (3, 12):
    # Before 3.12 it holds a lock, so that no class of a notebook that has one could travel; its name is told only to
    # what stands in the body of a class.
    copyreg.pickle(cached_property, lambda known: (_named_property, (known.func, known.attrname)))
