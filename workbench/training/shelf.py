"""The folders of checkpoints: which of them stay, and how the others go.

A checkpoint goes in an order that a crash may cut anywhere: its manifest first, without which it is none. Who reads one
holds its manifest by a shared lock, and a run its folder by a lock of its own, so that nobody deletes what another
process is at. All are locks of the system, which end with the process that has them.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

__all__ = ["KEPT", "MANIFEST", "Hold", "claim", "complete", "hold", "remove", "surplus", "sweep", "sweeping"]

MANIFEST = "manifest.json"
LOCK = ".lock"
TRIES, NAP = 20, 0.02  # to have a lock that another one has, and seconds between two
KEPT = 2  # checkpoints of a run that stay, beside those that were asked for


class Hold:
    """A lock on a file, until it is let go of."""

    def __init__(self, path: Path, *, alone: bool, make: bool = False) -> None:
        """Take it.

        Raises
        ------
        BlockingIOError
            If another one has it.
        FileNotFoundError
        """
        self._file: int | None = None
        self._file = file = os.open(path, (os.O_RDWR | os.O_CREAT) if make else os.O_RDONLY, 0o666)
        try:
            _lock(file, alone)
            there, mine = os.stat(path), os.fstat(file)  # it may have been deleted before it was locked
            if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
                raise FileNotFoundError(path)
        except OSError:
            self.free()
            raise

    def free(self) -> None:
        """Let it go."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def __del__(self) -> None:
        self.free()


def hold(folder: Path) -> Hold:
    """Keep a checkpoint from being deleted.

    Raises
    ------
    OSError
        If it is none, or is being deleted.
    """
    return Hold(folder / MANIFEST, alone=False)


def claim(root: Path) -> Hold | None:
    """Make a run's folder, and say that the run goes on; None if another one has it."""
    for _ in range(TRIES):
        root.mkdir(parents=True, exist_ok=True)
        with suppress(OSError):
            return Hold(root / LOCK, alone=True, make=True)
        time.sleep(NAP)  # who tidies has it for a moment
    return None


def complete(root: Path) -> list[Path]:
    """Return the checkpoints in a run's folder by their steps; their content is not looked at."""
    found = []
    for manifest in root.glob(f"*/{MANIFEST}"):
        number = manifest.parent.name.removeprefix("step-").split("-")
        if all(part.isdecimal() for part in number):
            found.append(([int(part) for part in number], manifest.parent))
    return [path for _, path in sorted(found)]


def remove(folder: Path) -> bool:
    """Delete a checkpoint, or what was never finished; return whether it is gone: not while somebody reads it."""
    with suppress(FileNotFoundError):
        try:
            held = Hold(folder / MANIFEST, alone=True)
        except (BlockingIOError, PermissionError):
            return False
        try:
            (folder / MANIFEST).unlink()
        except OSError:
            return False
        finally:
            held.free()
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def surplus(own: Sequence[Path]) -> list[Path]:
    """Delete all but the newest of a run's checkpoints, oldest first; return those that are still there."""
    return [*(path for path in own[:-KEPT] if not remove(path)), *own[-KEPT:]]


def sweep(checkpoints: Path) -> None:
    """Tidy the folders of runs whose process is gone: what was never finished, and what it would have deleted.

    The newest whole ones stay, and those that somebody asked for.
    """
    for root in sorted(path for path in checkpoints.glob("*") if (path / LOCK).exists()):
        try:
            held = Hold(root / LOCK, alone=True)
        except OSError:  # it goes on, or is of another user
            continue
        whole = complete(root)
        for folder in root.glob("step-*"):
            if folder not in whole:
                remove(folder)
        surplus([path for path in whole if not _asked(path)])
        if not any(root.glob("step-*")):
            with suppress(OSError):
                (root / LOCK).unlink()
                root.rmdir()
        held.free()


def sweeping(checkpoints: Path) -> None:
    """Do so beside all else."""
    threading.Thread(target=sweep, args=(checkpoints,), name="workbench-training-sweep", daemon=True).start()


def _asked(folder: Path) -> bool:
    """Whether a checkpoint was asked for; of what does not say so, it is supposed."""
    try:
        return bool(json.loads((folder / MANIFEST).read_bytes())["asked"])
    except (OSError, ValueError, KeyError, TypeError):
        return True


def _lock(file: int, alone: bool) -> None:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return
    try:
        fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return
