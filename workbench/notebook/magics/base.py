"""What all magics have in common: their specification, usage text, registration and dispatch.

A magic is a `MagicSpec`: positionals, own options, whether it has a body, an example, and the function to call. The
rest (common options, errors, binding, display) is the same for all: see `parse` for the line, `running` for the run.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from workbench.engine.errors import WorkbenchError
from workbench.notebook.magics.line import Scope

__all__ = [
    "COMMON",
    "Argument",
    "Call",
    "MagicSpec",
    "Option",
    "Positional",
    "number",
    "register",
    "specs",
    "unregister",
    "whole",
]


def whole(value: Any) -> int:
    """Convert text, or a number without a fraction, to int; ValueError otherwise."""
    if isinstance(value, str):
        return int(value)
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ValueError
    return int(value.__index__())


def number(low: float = float("-inf"), high: float = float("inf")) -> Callable[[Any], float]:
    """Return a converter to float between two bounds, both included."""

    def convert(value: Any) -> float:
        if isinstance(value, bool) or not (isinstance(value, str) or hasattr(value, "__float__")):
            raise ValueError
        result = float(value)
        if not low <= result <= high:
            raise ValueError
        return result

    return convert


def anything(value: Any) -> Any:
    """Take a value as it is."""
    return value


@dataclass(frozen=True)
class Option:
    """An option of a magic.

    Parameters
    ----------
    name : str
        Long name without dashes: `"min-support"`.
    help : str
        One line for the usage.
    kind : {"value", "flag", "list", "sql"}
        A list and SQL run to the next option.
    dest : str
        The function's keyword argument; the name with `_` by default.
    metavar, short : str
        What stands for the value in the usage; the short name without dash.
    convert : callable
        From text, or the object of a reference, to the value; ValueError means the wrong type.
    says, example : str
        For the error: what it is (`"a number from 0 to 1"`), and a good value.
    default : object
    choices : callable or None
        Values that completion offers.
    columns : bool
        Whether its values are columns of the table that the magic names.
    """

    name: str
    help: str
    kind: Literal["value", "flag", "list", "sql"] = "value"
    dest: str = ""
    metavar: str = ""
    short: str = ""
    convert: Callable[[Any], Any] = anything
    says: str = "text"
    example: str = ""
    default: Any = None
    choices: Callable[[], Iterable[str]] | None = None
    columns: bool = False

    @property
    def key(self) -> str:
        """The keyword argument that it sets."""
        return self.dest or self.name.replace("-", "_")

    @property
    def initial(self) -> Any:
        """Its value where it is not given."""
        return False if self.kind == "flag" and self.default is None else self.default

    @property
    def flags(self) -> list[str]:
        """The ways to write it, short first."""
        return ([f"-{self.short}"] if self.short else []) + [f"--{self.name}"]

    def left(self) -> str:
        """Return the left column of its line in the usage."""
        value = "" if self.kind == "flag" else f" {self.metavar or self.name.upper()}"
        return ", ".join(self.flags) + value + (", ..." if self.kind == "list" else "")


@dataclass(frozen=True)
class Positional:
    """A positional argument: its name in capitals, what it may be, one line for the usage."""

    name: str
    says: str
    help: str = ""
    required: bool = True


COMMON = (
    Option(
        "out", "bind the result to NAME in the notebook; it is still shown", metavar="NAME", short="o", example="result"
    ),
    Option("background", "return a Run at once; the output goes on updating", kind="flag", short="b"),
    Option("quiet", "no progress, no rich output; one summary line only", kind="flag", short="q"),
    Option("help", "show this and run nothing", kind="flag", short="h"),
)


@dataclass(frozen=True)
class MagicSpec:
    """A magic: all that its parser, usage, completion and dispatch need.

    Parameters
    ----------
    name, summary : str
    call : callable
        Gets the `Call`, returns a `Run` or the value itself.
    example : str
        A runnable example, from its `%%` on.
    positionals, options : tuple
        Its own; the common four are added.
    body : {"required", "optional", "none"}
    kinds : tuple of {"line", "cell"}
    background : bool
        Whether `--background` is possible; False where the body runs in the notebook.
    requires : dict of str to str
        Packages that are not part of every install, and the extra that brings each.
    prepare : callable
        From the line as written to one whose words can be split.
    binds : bool
        Whether `call` binds what `--out` names itself: something else than the cell's value.
    notes : tuple of str
        Lines of the usage on how to read what it shows.
    endless : tuple of str
        Own flags that imply `--background`.
    again : str
        What to do when a run was stopped.
    """

    name: str
    summary: str
    call: Callable[[Call], Any]
    example: str
    positionals: tuple[Positional, ...] = ()
    options: tuple[Option, ...] = ()
    body: Literal["required", "optional", "none"] = "required"
    kinds: tuple[Literal["line", "cell"], ...] = ("cell",)
    background: bool = True
    requires: Mapping[str, str] = field(default_factory=dict)
    prepare: Callable[[str], str] = anything
    binds: bool = False
    notes: tuple[str, ...] = ()
    endless: tuple[str, ...] = ()
    again: str = "Run the cell again to go on from there."

    @property
    def title(self) -> str:
        """The name as the person writes it: `%%vquery`, `%workbench`."""
        return ("%%" if "cell" in self.kinds else "%") + self.name

    @property
    def first_line(self) -> str:
        """The first line of the example."""
        return self.example.splitlines()[0]

    @property
    def all_options(self) -> tuple[Option, ...]:
        """Its own options, then the common ones."""
        return self.options + COMMON

    def usage(self) -> str:
        """Return the usage text: what `--help` prints, and the magic's docstring."""
        shown = [f"[{p.name}]" if not p.required else p.name for p in self.positionals]
        lines = [self.summary, "", f"    {' '.join([self.title, *shown, '[OPTIONS]'])}"]
        lines += ["    BODY"] if self.body == "required" else ["    [BODY]"] if self.body == "optional" else []
        rows = [(p.name, p.help or p.says) for p in self.positionals]
        common = [option for option in COMMON if self.background or option.name != "background"]
        for title, part in (
            ("Arguments", rows),
            ("Options", [(option.left(), option.help) for option in self.options]),
            ("Common options", [(option.left(), option.help) for option in common]),
        ):
            if part:
                width = max(len(left) for left, _ in part)
                lines += ["", f"{title}:"] + [f"    {left:<{width}}  {right}" for left, right in part]
        lines += ["", *self.notes] if self.notes else []
        return "\n".join([*lines, "", "Example:", *(f"    {line}" for line in self.example.splitlines()), ""])


@dataclass(frozen=True, slots=True)
class Argument:
    """A positional as written: its value, and whether it came as the object of a reference."""

    value: Any
    referred: bool = False


@dataclass(frozen=True)
class Call:
    """A magic that was written: everything its function needs.

    `options` holds each own option by its keyword argument; `out`, `background` and `quiet` are the common ones.
    """

    spec: MagicSpec
    scope: Scope
    arguments: tuple[Argument, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    body: str = ""
    out: str | None = None
    background: bool = False
    quiet: bool = False

    @property
    def has_body(self) -> bool:
        """Whether the cell has more than blanks and comments."""
        return not all(not line.strip() or line.strip().startswith("#") for line in self.body.splitlines())


# ------------------------------------------------------------------------------------------------------- registration

_SPECS: dict[str, MagicSpec] = {}


def specs() -> MappingProxyType[str, MagicSpec]:
    """Return the registered magics by name."""
    return MappingProxyType(_SPECS)


def register(holder: Any, spec: MagicSpec) -> None:
    """Make a magic known to the shell of `holder`, an IPython `Magics` object: its line form, cell form, or both."""
    from IPython.core.magic import needs_local_scope, no_var_expand

    shell = holder.shell

    # Frames that say `__tracebackhide__` are left out where IPython shows an error of the reader's own code.
    def line_magic(line: str, local_ns: Any = None) -> Any:
        __tracebackhide__ = True
        return _dispatch(shell, spec, line, "", local_ns)

    def cell_magic(line: str, cell: str, local_ns: Any = None) -> Any:
        __tracebackhide__ = True
        return _dispatch(shell, spec, line, cell, local_ns)

    for kind, function in (("line", line_magic), ("cell", cell_magic)):
        if kind in spec.kinds:
            function.__name__ = function.__qualname__ = spec.name
            function.__doc__ = spec.usage()
            holder.magics[kind][spec.name] = needs_local_scope(no_var_expand(function))
    shell.register_magics(holder)
    _SPECS[spec.name] = spec


def unregister(shell: Any) -> None:
    """Take all our magics out of a shell again."""
    for name in list(_SPECS):
        for table in shell.magics_manager.magics.values():
            table.pop(name, None)
        del _SPECS[name]


def _dispatch(shell: Any, spec: MagicSpec, line: str, body: str, local_ns: Any) -> Any:
    __tracebackhide__ = True
    from workbench.notebook.magics import running
    from workbench.notebook.magics.parse import parse

    scope = Scope(_caller_locals(local_ns), shell.user_ns)
    call = parse(spec, spec.prepare(line), body, scope)
    if call is None:
        print(spec.usage())
        return None
    for package, extra in spec.requires.items():
        if importlib.util.find_spec(package) is None:
            raise WorkbenchError(
                f"{spec.title} needs {package}, which is not installed.", f'pip install "workbench[{extra}]"'
            )
    return running.execute(shell, call)


def _caller_locals(local_ns: Any) -> Any:
    """Return the locals of the frame that wrote the magic (IPython hands cell magics the notebook's names instead)."""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code.co_name not in ("run_cell_magic", "run_line_magic"):
        frame = frame.f_back  # type: ignore[assignment]
    caller = frame.f_back if frame is not None else None
    return caller.f_locals if caller is not None else (local_ns or {})
