"""Records of runs: one small file each, so that other processes can list, watch and cancel them.

`runs/<run_id>.json` below the home folder is written whole to a temporary name and renamed; the folder is for its owner
only. A file `runs/<run_id>.cancel` asks the kernel that holds the run to cancel it. Records hold no source code.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from workbench.engine.errors import warn

__all__ = [
    "COLUMNS",
    "ENDED",
    "Ended",
    "Recorder",
    "cancel_here",
    "folder",
    "frame",
    "read",
    "records",
    "remove",
    "request_cancel",
    "watch",
]

RUN_ID = re.compile(r"[0-9a-f]{32}")
#: States in which a run is over.
ENDED = frozenset({"finished", "cancelled", "failed", "lost"})
#: field -> type, in the order of `%workbench runs`
COLUMNS: dict[str, type] = {
    "run_id": str, "kind": str, "title": str, "state": str, "done": float, "total": float, "unit": str, "eta_s": float,
    "started": float, "updated": float, "ended": float, "workers": int, "partial": bool, "message": str,
    "kernel_id": str, "pid": int, "notebook": str, "cell_id": str,
}  # fmt: skip
_KEPT = 200  # ended records; older ones are removed when a run starts


class Ended(Exception):
    """The run is over, so it cannot be cancelled; or it is not, so it cannot be removed."""


def folder(home: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of the records, made with mode 0700 if needed."""
    if home is None:
        from workbench.engine.store import home as engine_home

        home = engine_home()
    path = Path(home) / "runs"
    if not path.is_dir():
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


# ------------------------------------------------------------------------------------------------------------- reading


def read(run_id: str, home: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Return one record, with the `lost` rule applied.

    Raises
    ------
    KeyError
        If there is no readable record of this id.
    """
    if not RUN_ID.fullmatch(run_id):
        raise KeyError(run_id)
    record = _load(folder(home) / f"{run_id}.json")
    if record is None:
        raise KeyError(run_id)
    return record


def records(home: str | os.PathLike[str] | None = None) -> list[dict[str, Any]]:
    """Return all records of this home, newest first; half-written and foreign files are ignored."""
    found = [_load(path) for path in folder(home).glob("*.json") if RUN_ID.fullmatch(path.stem)]
    return newest_first(record for record in found if record is not None)


def newest_first(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order records by start, newest first; ties by id."""
    return sorted(found, key=lambda record: (-(record["started"] or 0.0), record["run_id"]))


def _load(path: Path) -> dict[str, Any] | None:
    try:
        raw = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(raw, dict) or raw.get("run_id") != path.stem or set(raw) != set(COLUMNS):
        return None
    for name, kind in COLUMNS.items():
        value = raw[name]
        if kind is float and value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return None
        if kind is not float and type(value) is not kind:
            return None
    if raw["state"] not in ENDED and not _alive(raw["pid"], raw["started"]):
        raw["state"] = "lost"
    return raw


def _alive(pid: int, started: float | None) -> bool:
    """Whether the process that wrote a record still runs, and is no later one with the same number."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= (started or math.inf) + 1.0
    except psutil.AccessDenied:
        return True
    except psutil.Error:
        return False


def frame(found: Iterable[Mapping[str, Any]]) -> Any:
    """Return records as a DataFrame with the columns and dtypes of `%workbench runs`."""
    import pandas as pd

    dtypes = {str: "str", float: "float64", int: "int64", bool: "bool"}
    rows = list(found)
    return pd.DataFrame(
        {name: pd.Series([row[name] for row in rows], dtype=dtypes[kind]) for name, kind in COLUMNS.items()}
    )


# --------------------------------------------------------------------------------------------- asked for from outside


def request_cancel(run_id: str, home: str | os.PathLike[str] | None = None) -> str:
    """Ask the kernel that holds a run to cancel it; return the state of the record.

    Raises
    ------
    KeyError, Ended
        If the run is not known, or over.
    """
    record = read(run_id, home)
    if record["state"] in ENDED:
        raise Ended(record["state"])
    _write(folder(home) / f"{run_id}.cancel", b"")
    return str(record["state"])


def remove(run_id: str, home: str | os.PathLike[str] | None = None) -> None:
    """Remove the record of a run that is over.

    Raises
    ------
    KeyError, Ended
        If the run is not known, or still running.
    """
    if read(run_id, home)["state"] not in ENDED:
        raise Ended("running")
    for suffix in (".json", ".cancel"):
        (folder(home) / f"{run_id}{suffix}").unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------------------- writing


class Recorder:
    """Keeps the record of one run of this process.

    Parameters
    ----------
    run : Run
    where : mapping
        `kernel_id`, `notebook` and `cell_id` of the cell that started it.
    """

    _warned = False

    def __init__(self, run: Any, where: Mapping[str, str]) -> None:
        self.run: Any = run  # let go of when it is over, so that no record keeps a result alive
        self.run_id: str = run.run_id
        self.where = dict(where)
        self._final: dict[str, Any] | None = None
        self.started = time.time()
        self.ended = math.nan
        self._last: tuple[Any, ...] = ()
        self._written = 0.0

    def record(self) -> dict[str, Any]:
        """Return the record as it stands now."""
        if self._final is not None:
            return dict(self._final)
        run, progress = self.run, self.run.progress
        state = str(run.state)
        if state in ENDED and math.isnan(self.ended):
            self.ended = time.time()
        record: dict[str, Any] = {
            "run_id": run.run_id, "kind": str(run.kind), "title": _cut(run.title), "state": state,
            "done": _float(progress.done), "total": _float(progress.total), "unit": str(progress.unit or ""),
            "eta_s": _float(progress.eta_s), "started": self.started, "updated": time.time(), "ended": self.ended,
            "workers": int(progress.workers or 0), "partial": bool(run.partial_result),
            "message": str(progress.message or ""), "kernel_id": self.where.get("kernel_id", ""), "pid": os.getpid(),
            "notebook": self.where.get("notebook", ""), "cell_id": self.where.get("cell_id", ""),
        }  # fmt: skip
        if state in ENDED:
            self._final, self.run = record, None
        return record

    def cancel(self) -> bool:
        """Cancel the run; False if it is over."""
        run = self.run
        if run is None or run.state in ENDED:
            return False
        run.cancel()
        return True

    def save(self, every: float = 0.5) -> None:
        """Write the record if it has changed: a new state at once, all else at most each `every` seconds."""
        record = self.record()
        content = tuple(str(value) for name, value in record.items() if name != "updated")
        now = time.monotonic()
        new_state = not self._last or self._last[3] != content[3]
        if content == self._last or (not new_state and now - self._written < every):
            return
        self._last, self._written = content, now
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in record.items()}
        try:
            _write(folder() / f"{self.run_id}.json", json.dumps(plain).encode())
        except OSError as error:
            if not Recorder._warned:
                Recorder._warned = True
                warn(
                    f"Runs cannot be recorded: {error.strerror or error}.",
                    "The run goes on; the runs panel will not show it.",
                )


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _cut(title: Any) -> str:
    text = " ".join(str(title).split())
    return text if len(text) <= 80 else text[:79] + "…"


# ------------------------------------------------------------------------------------------------ runs of this process

_recorders: dict[str, Recorder] = {}
_wake = threading.Event()
_watcher: threading.Thread | None = None
_guard = threading.Lock()


def watch(run: Any, where: Mapping[str, str]) -> Recorder:
    """Begin to record a run and to look for its cancel file; the first call starts the watcher thread."""
    global _watcher
    recorder = Recorder(run, where)
    with _guard:
        for old in [key for key, kept in _recorders.items() if kept.run is None][:-_KEPT]:
            del _recorders[old]
        _recorders[run.run_id] = recorder
        if _watcher is None or not _watcher.is_alive():
            _watcher = threading.Thread(target=_look, name="workbench-cancel", daemon=True)
            _watcher.start()
    _wake.set()
    recorder.save()
    return recorder


def own_records() -> list[dict[str, Any]]:
    """Return the records of the runs of this process, newest first."""
    return newest_first(recorder.record() for recorder in list(_recorders.values()))


def cancel_here(run_id: str) -> str:
    """Cancel a run of this process, or ask the process that holds it; `cancelled` or `already finished`.

    Raises
    ------
    KeyError
        If the run is not known.
    """
    recorder = _recorders.get(run_id)
    if recorder is None:
        try:
            request_cancel(run_id)
        except Ended:
            return "already finished"
        return "cancelled"
    return "cancelled" if recorder.cancel() else "already finished"


def _look() -> None:
    """Look for cancel files each 0.25 s while a run of this process goes on; sleep while none does."""
    with contextlib.suppress(OSError):
        prune()
    while True:
        active = {key: kept for key, kept in list(_recorders.items()) if kept.run is not None}
        if not active:
            _wake.wait()
            _wake.clear()
            continue
        try:
            for path in folder().glob("*.cancel"):
                if path.stem in active:
                    path.unlink(missing_ok=True)
                    active[path.stem].cancel()
        except OSError:
            pass  # the folder is not to be had just now: look again
        time.sleep(0.25)


def prune(home: str | os.PathLike[str] | None = None, keep: int = _KEPT) -> None:
    """Remove the oldest ended records beyond `keep`."""
    ended = [record for record in records(home) if record["state"] in ENDED]
    for record in ended[keep:]:
        with contextlib.suppress(KeyError, Ended):
            remove(record["run_id"], home)
