"""`%workbench`: what is here, what runs, what is kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from workbench.engine.errors import WorkbenchError, suggest
from workbench.notebook.magics.base import Call, MagicSpec, Positional

__all__ = ["COMMANDS", "SPEC"]

#: sub-command -> what its argument is (empty: it takes none)
COMMANDS = {
    "status": "",
    "connect": "ADDRESS",
    "runs": "",
    "cancel": "RUN_ID",
    "cache": "[clear]",
}
_EXAMPLES = {"connect": "%workbench connect tls://host:8786", "cancel": "%workbench cancel RUN_ID"}


def run(call: Call) -> Any:
    """Do what the sub-command says."""
    name, *rest = [argument.value for argument in call.arguments] or ["status"]
    name = str(name)
    if name not in COMMANDS:
        hint = suggest(name, COMMANDS, f"Sub-commands: {', '.join(COMMANDS)}.", quote="{}")
        raise WorkbenchError(f'%workbench has no sub-command "{name}".', hint)
    wanted = COMMANDS[name]
    if wanted and not wanted.startswith("[") and not rest:
        article = "an" if wanted[0] in "AEIO" else "a"
        raise WorkbenchError(f"%workbench {name} needs {article} {wanted}.", f"Example: {_EXAMPLES[name]}")
    if rest and not wanted:
        raise WorkbenchError(f'%workbench {name} does not take "{rest[0]}".', f"Example: %workbench {name}")
    commands: dict[str, Callable[..., Any]] = {
        "status": _status, "connect": _connect, "runs": _runs, "cancel": _cancel, "cache": _cache,
    }  # fmt: skip
    return commands[name](*rest)


def _status() -> Any:
    """Return version, scheduler, workers, memory, GPU and store as a table."""
    import pandas as pd

    from workbench.engine.result import Table

    rows = _status_rows()
    frame = pd.DataFrame({"name": [name for name, _ in rows], "value": [value for _, value in rows]}, dtype="str")
    return Table(frame, "Workbench")


def _status_rows() -> list[tuple[str, str]]:
    import platform

    import psutil

    import workbench
    from workbench.engine import session, store
    from workbench.engine.units import format_bytes

    started = session.is_started()
    memory = psutil.virtual_memory()
    kept = store.store().entries()
    return [
        ("version", workbench.__version__),
        ("python", platform.python_version()),
        ("scheduler", _scheduler() if started else "not started"),
        ("workers", str(session.workers()) if started else "0"),
        ("memory", f"{format_bytes(memory.available)} free of {format_bytes(memory.total)}"),
        ("gpu", _gpu()),
        ("store", str(store.home())),
        ("stored", f"{len(kept):,} artefacts, {format_bytes(float(kept['bytes'].sum()))}"),
    ]


def _scheduler() -> str:
    """Return the scheduler's address without credentials."""
    from workbench.engine import session

    address = str(session.session().scheduler.address)
    scheme, mark, rest = address.rpartition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"


def _gpu() -> str:
    """Return the name of the GPU by the driver's own files: nothing heavy is imported for it."""
    folder = "/proc/driver/nvidia/gpus"
    try:
        names = []
        for entry in sorted(os.listdir(folder)):
            with open(os.path.join(folder, entry, "information"), encoding="utf-8") as file:
                names += [line.partition(":")[2].strip() for line in file if line.startswith("Model:")]
        return ", ".join(names) or "none"
    except OSError:
        return "none"


def _connect(address: Any) -> Any:
    from workbench.engine.session import connect

    connect(address)
    return _status()


def _runs() -> Any:
    from workbench.engine.result import Table
    from workbench.engine.units import format_moment
    from workbench.notebook import runs

    shown: dict[str, Callable[[Any], str]] = {"pid": str}
    shown |= dict.fromkeys(("started", "updated", "ended"), format_moment)
    return Table(runs.frame(runs.own_records()), "Runs of this kernel", units={"eta_s": "s"}, shown=shown)


def _cancel(run: Any) -> str:
    from workbench.notebook import runs

    run_id = str(getattr(run, "run_id", run))
    try:
        return runs.cancel_here(run_id)
    except KeyError:
        known = [record["run_id"] for record in runs.own_records()]
        hint = suggest(run_id, known, "%workbench runs lists them.", quote="{}")
        raise WorkbenchError(f'No run "{run_id}".', hint) from None


def _cache(action: str = "") -> Any:
    from workbench.engine.result import Table
    from workbench.engine.store import store
    from workbench.engine.units import format_bytes, format_moment

    if action not in ("", "clear"):
        raise WorkbenchError(f'%workbench cache does not take "{action}".', "Example: %workbench cache clear")
    rows = store().clear() if action else store().entries()
    shown = {"created": format_moment, "used": format_moment, "bytes": format_bytes}
    return Table(rows, "Removed from the store" if action else "Store", units={"cost_s": "s"}, shown=shown)


SPEC = MagicSpec(
    name="workbench",
    summary="Show what is here, what runs and what is kept.",
    call=run,
    example="%workbench runs",
    positionals=(
        Positional("COMMAND", "a sub-command", "status, connect ADDRESS, runs, cancel RUN_ID, or cache [clear]", False),
        Positional("ARGUMENT", "its argument", "ADDRESS, RUN_ID or clear", required=False),
    ),
    body="none",
    background=False,
    kinds=("line",),
)
