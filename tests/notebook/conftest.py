"""One IPython shell for all tests of the front, with what it shows caught."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from workbench.notebook.config import settings


@dataclass
class Front:
    """The shell, and what it has published: (bundle, display id, whether it was an update)."""

    shell: Any
    shown: list[tuple[dict[str, Any], str | None, bool]] = field(default_factory=list)

    def run(self, cell: str) -> Any:
        """Run a cell and return IPython's result."""
        return self.shell.run_cell(cell)

    def value(self, cell: str) -> Any:
        """Run a cell that must succeed and return its value."""
        result = self.run(cell)
        result.raise_error()
        return result.result

    def error(self, cell: str) -> list[str]:
        """Run a cell that must fail and return the lines in the red box."""
        result = self.run(cell)
        error = result.error_in_exec or result.error_before_exec
        assert error is not None, f"no error from {cell!r}"
        assert hasattr(error, "_render_traceback_"), repr(error)
        return list(error._render_traceback_())

    @property
    def names(self) -> dict[str, Any]:
        """The notebook's variables."""
        return dict(self.shell.user_ns)


class _Publisher:
    """Stands in for the shell's display publisher."""

    is_publishing = False

    def __init__(self, front: Front) -> None:
        self.front = front

    def publish(
        self, data: Any, metadata: Any = None, *, transient: Any = None, update: bool = False, **_: Any
    ) -> None:
        self.front.shown.append((dict(data), (transient or {}).get("display_id"), update))


def real_shell() -> Any:
    """Return the one shell of this process, with the magics loaded."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from IPython.core.getipython import get_ipython
        from IPython.testing.globalipapp import start_ipython

        shell = get_ipython() or start_ipython()
    if "fuse" not in shell.magics_manager.magics["cell"]:
        shell.run_line_magic("load_ext", "workbench")
    return shell


@pytest.fixture(scope="session")
def _shell() -> Any:
    shell = real_shell()
    shell.run_line_magic("load_ext", "tests.notebook.slow")
    return shell


@pytest.fixture
def front(_shell: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Front]:
    """A clean name space and default settings."""
    front = Front(_shell)
    monkeypatch.setattr(_shell, "display_pub", _Publisher(front))
    before = dict(_shell.user_ns)
    yield front
    for name in set(_shell.user_ns) - set(before):
        if name.startswith("_"):
            continue  # IPython's own: `_`, `_1`, `_i`
        del _shell.user_ns[name]
    holder = settings(_shell)
    for name, trait in holder.traits(config=True).items():
        if name in type(holder).class_own_traits():
            setattr(holder, name, trait.default_value)
