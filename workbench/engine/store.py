"""The artefact store: content-addressed tables, arrays and files, bounded in size."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from workbench.engine import formats
from workbench.engine.errors import warn
from workbench.engine.keys import key
from workbench.engine.units import as_bytes

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import pyarrow as pa

__all__ = ["Store", "home", "key", "store"]

T = TypeVar("T")

#: columns of `Store.entries()`
COLUMNS = {
    "key": "str",
    "kind": "str",
    "bytes": "int64",
    "created": "float64",
    "used": "float64",
    "cost_s": "float64",
}

#: seconds after which a file that no entry names is what a killed process left
ORPHAN_AGE = 3600.0


def home() -> Path:
    """Return `WORKBENCH_HOME`, else the platform's cache folder; made if it is not there and can be."""
    named = os.environ.get("WORKBENCH_HOME")
    if named:
        folder = Path(named).expanduser()
    else:
        import platformdirs

        folder = Path(platformdirs.user_cache_dir("workbench", appauthor=False))
    with suppress(OSError):  # whoever writes there says so
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


class Store:
    """Artefacts by key, as files in one folder that several processes may share.

    An entry is a data file and a small JSON file that names it; the second is written last, by rename, so that a
    killed process leaves no half entry. Content is checked against its hash when it is read.

    Parameters
    ----------
    root : path, optional
        The folder; default `store` under `home()`.
    limit : str
        How large it may grow ("20GiB"); beyond, what is cheapest to recompute per byte goes first.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, limit: str = "20GiB") -> None:
        self.root = Path(root) if root is not None else home() / "store"
        self.limit = as_bytes(limit, "limit")
        self._lock = threading.RLock()
        self._bytes: int | None = None  # of all entries, as far as this process knows
        self._counted = 0.0
        self._verified: dict[str, tuple[str, int, int]] = {}  # key -> (file, size, mtime) whose hash was right
        self._warned: set[str] = set()

    # tables, arrays, JSON, files

    def put_table(self, key: str, table: pa.Table, *, kind: str, cost_s: float = 0.0) -> bool:
        """Keep an Arrow table with its schema and metadata.

        Parameters
        ----------
        key : str
            From `key(...)`.
        table : pyarrow.Table
        kind : str
            What it is ("detections"), shown by `workbench cache`.
        cost_s : float
            Seconds that it took to compute: what evicting it would cost.

        Returns
        -------
        bool
            Whether it was kept; False, with one warning, if the disk is full or cannot be written.
        """
        return self._put(key, lambda path: formats.write_table(path, table), ".arrow", kind, cost_s)

    def get_table(self, key: str) -> pa.Table | None:
        """Return the table, or None if there is none."""
        return self._get(key, ".arrow", formats.read_table)

    def put_arrays(self, key: str, arrays: dict[str, np.ndarray], *, kind: str, cost_s: float = 0.0) -> bool:
        """Keep named NumPy arrays (no objects); see `put_table`."""
        return self._put(key, lambda path: formats.write_arrays(path, arrays), ".npz", kind, cost_s)

    def get_arrays(self, key: str) -> dict[str, np.ndarray] | None:
        """Return the arrays by name, or None if there are none."""
        return self._get(key, ".npz", formats.read_arrays)

    def put_json(self, key: str, value: Any, *, kind: str, cost_s: float = 0.0) -> bool:
        """Keep what JSON can hold; see `put_table`."""
        return self._put(key, json.dumps(value).encode(), ".json.data", kind, cost_s)

    def get_json(self, key: str) -> Any:
        """Return the value, or None if there is none."""
        return self._get(key, ".json.data", lambda path: json.loads(path.read_bytes()))

    def put_file(
        self, key: str, content: str | os.PathLike[str] | bytes, *, suffix: str, kind: str, cost_s: float = 0.0
    ) -> Path | None:
        """Keep a file: its bytes, or the path of one that is copied.

        Returns
        -------
        Path or None
            Where it is kept, not to be written to; None, with one warning, if it could not be.
        """
        if isinstance(content, bytes):
            kept = self._put(key, content, suffix, kind, cost_s)
        else:
            os.stat(content)  # that there is no such file is the caller's error, not the store's
            kept = self._put(key, lambda path: shutil.copyfile(content, path), suffix, kind, cost_s)
        return self.get_file(key) if kept else None

    def get_file(self, key: str) -> Path | None:
        """Return the path of the file, or None if there is none."""
        return self._get(key, "", lambda path: path)

    # the whole

    def has(self, key: str) -> bool:
        """Return whether there is an entry; its content is not looked at."""
        entry = self._entry(key)
        return entry is not None and (self._folder(key) / entry["file"]).exists()

    def entries(self) -> pd.DataFrame:
        """Return one row for each entry: key, kind, bytes, created and used (Unix s), cost_s; newest first."""
        return _frame(self._scan())

    def clear(self) -> pd.DataFrame:
        """Delete all entries; return what there was, as `entries()`."""
        with self._lock:
            found = self._scan()
            shutil.rmtree(self.root, ignore_errors=True)
            self._bytes, self._verified = 0, {}
        return _frame(found)

    def evict(self, keep: str | None = None) -> int:
        """Bring the store under its limit; return how many entries went.

        Parameters
        ----------
        keep : str, optional
            A key that stays: the one just written.
        """
        with self._lock:
            found = self._scan()
            total = sum(entry["bytes"] for entry in found)
            gone = 0
            if total > self.limit:
                # To nine tenths, so that the next write does not evict again.
                cheapest = sorted(found, key=lambda e: (e["cost_s"] / max(1, e["bytes"]), e["used"], e["key"]))
                for entry in cheapest:
                    if total <= 0.9 * self.limit:
                        break
                    if entry["key"] != keep:
                        self._drop(entry["key"])
                        total -= entry["bytes"]
                        gone += 1
            self._bytes, self._counted = total, time.monotonic()
            self._sweep()
            return gone

    # below: files

    def _folder(self, key: str) -> Path:
        if not key.isalnum():
            raise ValueError(f"a key is letters and digits; got {key!r}")
        return self.root / key[:2]

    def _sidecar(self, key: str) -> Path:
        return self._folder(key) / f"{key}.json"

    def _entry(self, key: str) -> dict[str, Any] | None:
        try:
            entry = json.loads(self._sidecar(key).read_bytes())
            if not isinstance(entry, dict) or {"file", "sha256", "bytes"} - entry.keys():
                raise ValueError("not an entry")
        except FileNotFoundError:
            return None
        except OSError:
            return None
        except ValueError:
            self._damaged(key)
            return None
        return entry

    def _put(self, key: str, content: bytes | Callable[[Path], object], suffix: str, kind: str, cost_s: float) -> bool:
        folder = self._folder(key)
        temporary = folder / f"{uuid.uuid4().hex}.tmp"
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if isinstance(content, bytes):
                temporary.write_bytes(content)
            else:
                content(temporary)
            digest, size = _sha256(temporary), temporary.stat().st_size
            entry = {
                "file": f"{key}-{digest[:16]}{suffix}",
                "sha256": digest,
                "bytes": size,
                "kind": kind,
                "cost_s": float(cost_s),
                "created": time.time(),
            }
            with self._lock:
                self._commit(key, temporary, entry)
        except BaseException as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            if not isinstance(error, OSError):
                raise
            self._not_kept(error)
            return False
        return True

    def _commit(self, key: str, temporary: Path, entry: dict[str, Any]) -> None:
        """Give the data its name, then write the file that names it; the lock is held."""
        folder, before = self._folder(key), self._entry(key)
        os.replace(temporary, folder / entry["file"])
        temporary.write_text(json.dumps(entry))
        os.replace(temporary, self._sidecar(key))
        self._verified.pop(key, None)
        if before is not None and before["file"] != entry["file"]:
            (folder / before["file"]).unlink(missing_ok=True)
        if self._bytes is not None:
            self._bytes += entry["bytes"] - (before["bytes"] if before else 0)
        # Other processes write too: count anew from time to time.
        if self._bytes is None or self._bytes > self.limit or time.monotonic() - self._counted > 60:
            self.evict(keep=key)

    def _get(self, key: str, suffix: str, read: Callable[[Path], T]) -> T | None:
        entry = self._entry(key)
        if entry is None or not entry["file"].endswith(suffix):
            return None
        path = self._folder(key) / entry["file"]
        try:
            if not self._intact(key, path, entry):
                raise ValueError("content differs from its hash")
            value = read(path)
        except OSError as error:
            again = self._entry(key)  # another process may have replaced or evicted it meanwhile
            if again is not None and again["file"] != entry["file"]:
                return self._get(key, suffix, read)
            if isinstance(error, FileNotFoundError):
                if again is not None:
                    self._damaged(key)
                return None
            self._damaged(key)
            return None
        except Exception:
            self._damaged(key)
            return None
        with suppress(OSError):  # a store that cannot be written can still be read
            os.utime(self._sidecar(key))  # its time of change is when the entry was last used
        return value

    def _intact(self, key: str, path: Path, entry: dict[str, Any]) -> bool:
        facts = path.stat()
        seen = (path.name, facts.st_size, facts.st_mtime_ns)
        if self._verified.get(key) == seen:
            return True
        if facts.st_size != entry["bytes"] or _sha256(path) != entry["sha256"]:
            return False
        self._verified[key] = seen
        return True

    def _drop(self, key: str) -> None:
        entry = None
        with suppress(OSError, ValueError):  # the sidecar itself may be what is damaged
            entry = json.loads(self._sidecar(key).read_bytes())
        self._sidecar(key).unlink(missing_ok=True)
        if isinstance(entry, dict) and isinstance(entry.get("file"), str):
            (self._folder(key) / Path(entry["file"]).name).unlink(missing_ok=True)
        self._verified.pop(key, None)

    def _damaged(self, key: str) -> None:
        with suppress(OSError):  # a read-only store: the entry is passed over each time
            self._drop(key)
        self._warn_once("damaged", "A stored result was damaged and has been dropped.", "It is computed again.")

    def _not_kept(self, error: OSError) -> None:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self._warn_once(
                "full",
                "The disk of the store is full: results are not kept.",
                "Make room, or set WORKBENCH_HOME to a folder on another disk; the work goes on.",
            )
        else:
            self._warn_once(
                "unwritable",
                f"The store cannot be written ({error.strerror or error}): results are not kept.",
                "Set WORKBENCH_HOME to a folder that can be written; the work goes on.",
            )

    def _warn_once(self, what: str, message: str, hint: str) -> None:
        with self._lock:
            if what in self._warned:
                return
            self._warned.add(what)
        warn(message, hint, stacklevel=4)

    def _scan(self) -> list[dict[str, Any]]:
        found = []
        for sidecar in self.root.glob("??/*.json"):
            try:
                entry = json.loads(sidecar.read_bytes())
                entry["used"] = sidecar.stat().st_mtime
            except (OSError, ValueError):
                continue  # gone meanwhile, or damaged: found out when it is asked for
            found.append({"key": sidecar.stem, **entry})
        return sorted(found, key=lambda entry: (-entry["created"], entry["key"]))

    def _sweep(self) -> None:
        """Delete files that no entry names: what killed writers left behind."""
        now = time.time()
        for path in self.root.glob("??/*"):
            if path.suffix == ".json":
                continue
            owner = path.name.split("-")[0]
            try:
                if now - path.stat().st_mtime < ORPHAN_AGE:
                    continue
                entry = None if path.suffix == ".tmp" else self._entry(owner)
                if entry is None or entry["file"] != path.name:
                    path.unlink(missing_ok=True)
            except OSError:
                continue  # another process was quicker


_stores: dict[tuple[str, str], Store] = {}
_stores_lock = threading.Lock()


def store() -> Store:
    """Return the store of this process: under `home()`, limited by `WORKBENCH_STORE_LIMIT` (default 20 GiB)."""
    place = (str(home() / "store"), os.environ.get("WORKBENCH_STORE_LIMIT", "20GiB"))
    with _stores_lock:
        if place not in _stores:
            _stores[place] = Store(*place)
        return _stores[place]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _frame(entries: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: [e[name] for e in entries] for name in COLUMNS}).astype(COLUMNS)
