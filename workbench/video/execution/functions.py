"""How a person's own functions reach the workers."""

from __future__ import annotations

import contextlib
import sys
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["by_value"]


@contextlib.contextmanager
def by_value(function: Callable[..., Any] | None) -> Iterator[None]:
    """Send functions of the person's own modules as a whole, not by name.

    A worker may not find a module beside the notebook, or may have imported it before its last edit. Installed
    packages and this one go by name.
    """
    import cloudpickle

    module = sys.modules.get(getattr(function, "__module__", None) or "")
    if module is None or not _is_own(module) or module.__name__ in cloudpickle.list_registry_pickle_by_value():
        yield
        return
    cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _is_own(module: Any) -> bool:
    name, file = module.__name__, getattr(module, "__file__", None)
    if name == "__main__" or file is None or name.partition(".")[0] == "workbench":
        return False
    installed = {sysconfig.get_path(scheme) for scheme in ("stdlib", "platstdlib", "purelib", "platlib")}
    return not any(Path(file).is_relative_to(folder) for folder in installed)
