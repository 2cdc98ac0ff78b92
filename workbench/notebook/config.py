"""The settings of the front: `%config Workbench` lists them, `%config Workbench.display_limit = 50` sets one."""

from __future__ import annotations

from typing import Any, ClassVar

from IPython.core.magic import Magics
from traitlets import Bool, Enum, Int, TraitError, Unicode

from workbench.engine.errors import WorkbenchError, _TwoLines
from workbench.engine.units import as_bytes, as_seconds

__all__ = ["ConfigError", "Workbench", "settings"]


class ConfigError(WorkbenchError, TraitError):  # type: ignore[misc]
    """A setting that cannot be: two lines for the reader, and a TraitError, so that traitlets keeps the old value."""


class _Checked:
    """Puts the two lines of an error in place of traitlets' own text; `hint` is an example of a good value."""

    name: str
    hint: str
    wants: str

    def error(self, obj: Any, value: Any, error: Any = None, info: Any = None) -> None:
        raise ConfigError(f"Workbench.{self.name} is {self.wants}; got {value!r}.", f"Example: {self.hint}")


class Whole(_Checked, Int):  # type: ignore[misc]
    wants = "a whole number of at least -1"
    hint = "%config Workbench.display_limit = 20"

    def validate(self, obj: Any, value: Any) -> Any:
        if isinstance(value, bool) or (isinstance(value, int) and value < -1):
            self.error(obj, value)
        return super().validate(obj, value)


class Switch(_Checked, Bool):  # type: ignore[misc]
    wants = "True or False"
    hint = "%config Workbench.short_errors = True"


class Choice(_Checked, Enum):  # type: ignore[misc]
    wants = '"auto", "light" or "dark"'
    hint = '%config Workbench.theme = "dark"'


class Size(_Checked, Unicode):  # type: ignore[misc]
    wants = "a size"
    hint = '%config Workbench.clip_limit = "32MiB"'

    def validate(self, obj: Any, value: Any) -> Any:
        _same_error(as_bytes, value, f"Workbench.{self.name}")
        return value


class Duration(_Checked, Unicode):  # type: ignore[misc]
    wants = "a duration"
    hint = '%config Workbench.progress_after = "0.5s"'

    def validate(self, obj: Any, value: Any) -> Any:
        if isinstance(value, str):
            _same_error(lambda v, name: as_seconds(v, name, clock=False), value, f"Workbench.{self.name}")
            return value
        _same_error(as_seconds, value, f"Workbench.{self.name}")
        return str(value)


def _same_error(read: Any, value: Any, name: str) -> None:
    try:
        read(value, name)
    except WorkbenchError as error:
        raise ConfigError(error.message, error.hint) from None


class Workbench(Magics):  # type: ignore[misc]
    """Settings of the workbench in this notebook, and the holder of its magics.

    IPython lists each `Magics` object of a shell under `%config`, so this one class is both.
    """

    registered = True
    magics: ClassVar[dict[str, dict[str, Any]]] = {"line": {}, "cell": {}}

    display_limit = Whole(20, help="Rows of a table that are shown: 0 none, -1 all (up to 1,000).").tag(config=True)
    clip_limit = Size("8MiB", help="Size of all clips stored in one output; the others are posters.").tag(config=True)
    report_limit = Size("20MiB", help="Size of all clips stored in one report.").tag(config=True)
    short_errors = Switch(True, help="Show our errors as two lines; False brings tracebacks back.").tag(config=True)
    progress_after = Duration("0.5s", help="Runs shorter than this show no progress.").tag(config=True)
    theme = Choice(["auto", "light", "dark"], "auto", help="Colours of outputs: auto, light or dark.").tag(config=True)

    def __init__(self, shell: Any = None, **kwargs: Any) -> None:
        super().__init__(shell, **kwargs)
        self.observe(lambda change: setattr(_TwoLines, "short", bool(change.new)), "short_errors")

    @property
    def delay(self) -> float:
        """Seconds after which a run shows its progress."""
        return as_seconds(self.progress_after, "progress_after", clock=False)

    @property
    def clip_bytes(self) -> int:
        """`clip_limit` in bytes."""
        return as_bytes(self.clip_limit, "clip_limit")


_settings: Workbench | None = None


def settings(shell: Any = None) -> Workbench:
    """Return the settings of this process; made on first use, or for another `shell` where one is given."""
    global _settings
    if _settings is None or (shell is not None and _settings.shell is not shell):
        _settings = Workbench(shell)
    return _settings
