"""The folder for checkpoints of a recipe and seed: kept between attempts of a run, and empty when a new run begins."""

from __future__ import annotations

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.tta import liveness
from workbench.tta.store import open_store

if TYPE_CHECKING:
    from workbench.tta.tracking import Tracking

__all__ = ["checkpoint_dir", "own"]

#: says whose run a folder's checkpoints are; beside the folder, which holds nothing but checkpoints
_OWNER = ".run.json"
#: states of runs that nothing goes on from
ENDED = ("finished", "reached", "budget", "hopeless")


def checkpoint_dir(tracking: Tracking) -> Path:
    """Return the folder, made if it is not there.

    A run that starts anew must not find what one that has ended has trained: it would reach the target in no time. So
    that is put aside under `<folder>.before`, one generation of it. What an unfinished run has left stays, for
    `Tracker.resume` to go on from; and beside a run that still goes on, this one gets a folder of its own.
    """
    if tracking.checkpoints is not None:
        return tracking.checkpoints
    settings = tracking.settings
    store = tracking.store if tracking.store is not None else open_store()
    place = store.checkpoint_dir(settings.name, settings.seed)
    if tracking.rank:
        tracking.checkpoints = place
        return place  # rank 0 looks after it
    if tracking.previous is None and (owner := _owner(place)) is not None and owner["run"] != tracking.id:
        if _goes_on(owner):
            place = place.with_name(f"{place.name}-{tracking.id}")
        elif owner.get("state") in ENDED:
            before = place.with_name(f"{place.name}.before")
            shutil.rmtree(before, ignore_errors=True)
            with suppress(OSError):
                place.rename(before)
    place.mkdir(parents=True, exist_ok=True)
    own(place, tracking.id)
    tracking.checkpoints = place
    return place


def _owner(place: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(_beside(place).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and "run" in found else None


def own(place: Path, run: str, state: str = "running") -> None:
    """Say whose run a folder's checkpoints are, and what has become of it."""
    facts = {
        "run": run, "state": state, "host": liveness.host(), "boot_id": liveness.boot_id(), "pid": os.getpid(),
        "pid_started": liveness.process_started(),
    }  # fmt: skip
    with suppress(OSError):  # who writes checkpoints there will say so
        _beside(place).write_text(json.dumps(facts), encoding="utf-8")


def _beside(place: Path) -> Path:
    return place.with_name(place.name + _OWNER)


def _goes_on(owner: dict[str, Any]) -> bool:
    """Return whether the run that a folder belongs to may still write there."""
    if owner.get("state") != "running":
        return False
    from workbench.tta.lifetime import is_open

    if owner.get("host") != liveness.host() or owner.get("boot_id") != liveness.boot_id():
        return False
    if owner.get("pid") == os.getpid():
        return is_open(str(owner["run"]))
    return liveness.running(int(owner.get("pid") or 0), owner.get("pid_started"))
