"""Old checkpoints go, whatever crashes meanwhile, and never one that is read."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from workbench.training import shelf


def made(folder: Path, *, asked: bool | None = False) -> Path:
    folder.mkdir(parents=True)
    (folder / "__0_0.distcp").write_bytes(b"weights")
    (folder / shelf.MANIFEST).write_text(json.dumps({} if asked is None else {"asked": asked}))
    return folder


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("step-*"))


def test_the_newest_stay(tmp_path: Path) -> None:
    own = [made(tmp_path / f"step-{step}") for step in range(5)]
    assert shelf.surplus(own) == own[-shelf.KEPT :] == shelf.complete(tmp_path)
    assert names(tmp_path) == ["step-3", "step-4"]
    assert shelf.surplus(own[3:4]) == own[3:4]


def test_what_is_read_stays(tmp_path: Path) -> None:
    own = [made(tmp_path / f"step-{step}") for step in range(4)]
    first, second = shelf.hold(own[1]), shelf.hold(own[1])  # as many readers as there are
    assert shelf.surplus(own) == own[1:] and names(tmp_path) == ["step-1", "step-2", "step-3"]
    first.free()
    assert shelf.surplus(own[1:]) == own[1:]
    second.free()
    assert shelf.surplus(own[1:]) == own[2:]
    with pytest.raises(FileNotFoundError):
        shelf.hold(own[1])


def test_a_crash_while_it_goes_leaves_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "run" / "step-7")
    remove = shutil.rmtree

    def crash(*arguments: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", crash)
    with pytest.raises(KeyboardInterrupt):
        shelf.remove(folder)
    assert folder.exists() and shelf.complete(folder.parent) == []
    monkeypatch.setattr(shutil, "rmtree", remove)
    shelf.claim(folder.parent)
    shelf.sweep(tmp_path)
    assert not folder.parent.exists()  # nothing was left in it


_RUN = """
import sys
from pathlib import Path
from tests.training.test_shelf import made
from workbench.training import shelf
root = Path(sys.argv[1])
held = shelf.claim(root)
for step in range(5):
    made(root / f"step-{step}", asked=step == 1)
(root / "step-5").mkdir()  # it is being written
print("there", flush=True)
sys.stdin.read()
"""


def test_a_run_whose_process_is_gone_is_tidied(tmp_path: Path) -> None:
    other = made(tmp_path / "old" / "step-1")  # of a run that has no lock: of an earlier version
    run = subprocess.Popen(
        [sys.executable, "-c", _RUN, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert run.stdout is not None and run.stdout.readline() == b"there\n"
        shelf.sweep(tmp_path)
        assert names(tmp_path / "run") == [f"step-{step}" for step in range(6)]  # it goes on
        assert shelf.claim(tmp_path / "run") is None
    finally:
        run.send_signal(signal.SIGKILL)
        run.communicate()
    reader = shelf.hold(tmp_path / "run" / "step-2")
    shelf.sweep(tmp_path)
    assert names(tmp_path / "run") == ["step-1", "step-2", "step-3", "step-4"]
    reader.free()
    shelf.sweep(tmp_path)
    assert names(tmp_path / "run") == ["step-1", "step-3", "step-4"] and other.exists()


@pytest.mark.parametrize("text", ["", "[]", "null", '{"asked": true}', "{}"])
def test_what_is_not_known_to_be_superfluous_stays(tmp_path: Path, text: str) -> None:
    held = shelf.claim(tmp_path / "run")
    assert held is not None
    held.free()
    for step in range(4):
        (made(tmp_path / "run" / f"step-{step}", asked=None) / shelf.MANIFEST).write_text(text)
    shelf.sweep(tmp_path)
    assert len(names(tmp_path / "run")) == 4


def test_nobody_holds_what_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that opens the manifest a moment before it is deleted has nothing."""
    folder, lock = made(tmp_path / "step-1"), shelf._lock
    calls = itertools.count()

    def late(file: int, alone: bool) -> None:
        if next(calls) == 0:
            shutil.rmtree(folder)
        lock(file, alone)

    monkeypatch.setattr(shelf, "_lock", late)
    with pytest.raises(FileNotFoundError):
        shelf.hold(folder)
