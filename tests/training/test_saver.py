"""When checkpoints are ordered, and what words of workers mean."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.training import CheckpointError
from workbench.training.saver import Saver
from workbench.training.units import Interval


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    run: Any = SimpleNamespace(add_incident=lambda *_, **__: None, saved_tables=lambda step: None)
    return Saver(run, tmp_path / "runs" / "one", None, lambda step: {})


def _ordered(saver: Saver) -> tuple[Any, Path]:
    """Ask for a checkpoint of commit 8, which one stage will write; return the question and its folder."""
    asked, folders = saver.ask(), list[str]()

    def order(step: int, folder: str) -> list[int]:
        folders.append(folder)
        return [0]

    saver.tick(order, [8], 7)
    assert len(folders) == 1
    return asked, Path(folders[0])


def test_a_late_word_of_what_was_given_up_says_nothing_of_what_came_after(saver: Saver) -> None:
    asked, before = _ordered(saver)
    saver.drop()  # a worker was lost: all go back, and come to the same commit again
    assert not before.exists()
    again, after = _ordered(saver)
    assert after != before and after.exists()
    # the worker that was writing finds its folder gone
    saver.hear({"kind": "unsaved", "rank": 0, "folder": str(before), "stage": 0, "error": "No such file or directory"})
    assert not asked.done.is_set() and not again.done.is_set() and after.exists()
    assert saver.pending(8)
    saver.hear({"kind": "unsaved", "rank": 0, "folder": str(after), "stage": 0, "error": "No space left on device"})
    for each in (asked, again):  # both were still waiting
        assert isinstance(each.found, CheckpointError) and "No space left" in each.found.message
    assert not saver.pending(8)
    saver.close()


def test_a_part_that_was_not_written_names_who_was_to_write_it(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = []
    run: Any = SimpleNamespace(
        add_incident=lambda kind, message, **place: rows.append({"message": message, **place}),
        saved_tables=lambda step: None,
    )
    saver, folders = Saver(run, tmp_path / "one", Interval(steps=4), lambda step: {}), list[str]()

    def order(step: int, folder: str) -> list[int]:
        folders.append(folder)
        return [0, 1]

    saver.tick(order, [8], 7)
    with pytest.warns(UserWarning, match="No space left"):
        saver.hear({"kind": "unsaved", "rank": 3, "folder": folders[0], "stage": 1, "error": "No space left on device"})
    assert [(row["worker"], row["stage"], row["step"]) for row in rows] == [(3, 1, 8)]
    saver.close()


def test_who_waits_is_told_when_the_run_ends(saver: Saver) -> None:
    asked, folder = _ordered(saver)
    saver.close()
    assert asked.done.is_set() and asked.found is None and not folder.exists()
