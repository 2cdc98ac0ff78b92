"""When a run's workers write checkpoints, and what becomes of what they wrote; used by the thread of the run.

The workers are told of a commit before they come to it, so that all write the same one without waiting for each other.
One that has passed it already says so, and a later commit is chosen.
"""

from __future__ import annotations

import pickle
import queue
import shutil
import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import one_line, warn
from workbench.training import checkpoint, shelf
from workbench.training.errors import CheckpointError
from workbench.training.units import Interval, show_bytes

if TYPE_CHECKING:
    from workbench.training.run import TrainRun

__all__ = ["Asked", "Saver"]

#: (commit, folder) -> stages that will be written, or None if a worker has passed the commit
Order = Callable[[int, str], Collection[int] | None]


class Asked:
    """A checkpoint that somebody waits for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.found: Path | BaseException | None = None

    def answer(self, found: Path | BaseException | None) -> None:
        """Tell its path, or why there is none; None if the run ended before."""
        self.found = found
        self.done.set()


@dataclass
class _Save:
    """A checkpoint on its way."""

    step: int
    folder: Path
    missing: set[int]
    shards: dict[int, checkpoint.Shard] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)


class Saver:
    """Has checkpoints of a run written.

    Parameters
    ----------
    run : TrainRun
    root : Path
        Where its checkpoints stand.
    every : Interval or None
        Between two of them; None: only those that are asked for.
    describe : callable
        Step -> what the manifest says.
    newest : Checkpoint, optional
        What the run was resumed from.
    """

    def __init__(
        self,
        run: TrainRun,
        root: Path,
        every: Interval | None,
        describe: Callable[[int], dict[str, Any]],
        newest: checkpoint.Checkpoint | None = None,
    ) -> None:
        self._run, self.root, self._every, self._describe = run, root, every, describe
        self._complete: list[Path] = [] if newest is None else [newest.path]
        self._own: list[Path] = []
        #: keep others from deleting what the run was resumed from, and from tidying its folder
        self._held: list[Any] = [newest]
        self._claimed: shelf.Hold | None = None
        self._saves: dict[str, _Save] = {}
        #: folders that were given up, and all that workers were ever told of
        self._left: list[Path] = []
        self._named: set[Path] = set()
        self._asked: queue.Queue[Asked] = queue.Queue()
        self._waiting: list[Asked] = []
        #: commits that lie between where the run is known to be and what its workers are told to write
        self._ahead = 1
        self._due_step: int | None = None
        self._due = 0.0
        self._begun = newest is not None
        self._warned = False
        if newest is not None:
            self._plan_next(newest.step)

    @property
    def complete(self) -> list[Path]:
        """Checkpoints to go back to, newest first."""
        return self._complete[::-1]

    def ask(self) -> Asked:
        """Ask for a checkpoint of the next commit; from any thread."""
        asked = Asked()
        self._asked.put(asked)
        return asked

    def save_ended(self) -> Path:
        """Write what a run that has ended came to: the commit that is in its model.

        Raises
        ------
        CheckpointError
        """
        run = self._run
        names = {parameter: name for name, parameter in run.model.named_parameters()}
        kept = {names[parameter]: dict(state) for parameter, state in run.optimizer.state.items() if parameter in names}
        state = checkpoint.contents(dict(run.model.named_parameters()), dict(run.model.named_buffers()), kept)
        folder, tables = self._fresh(run.steps), run.saved_tables(run.steps)
        try:
            claimed = shelf.claim(self.root)
            folder.mkdir(parents=True)
            shard = checkpoint.write(folder, 0, state)
            facts = {**self._describe(run.steps), "asked": True}
            made = checkpoint.finish(folder, [shard], facts, tables or {})
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise _unwritten(run.steps, one_line(error)) from None
        if claimed is not None:
            claimed.free()
        return made.path

    # for the driver

    def tick(self, order: Order, ends: Sequence[int], committed: int) -> None:
        """Order what is due.

        Parameters
        ----------
        order : callable
        ends : sequence of int
            Commits that are still to come; where no worker is at work, the one that they stand at.
        committed : int
            What all workers have committed.
        """
        for save in [save for save in self._saves.values() if not save.missing]:
            self._finish(save)
        with suppress(queue.Empty):
            while True:
                self._waiting.append(self._asked.get_nowait())
        soon = min(committed + self._ahead, ends[-1])
        if self._waiting:
            self._order(order, ends, soon, self._waiting)
        elif self._every is not None and all(save.asked for save in self._saves.values()):
            if not self._begun or (self._due_step is None and time.monotonic() >= self._due):
                self._order(order, ends, soon, [])  # the first one at once: something to go back to
            elif self._due_step is not None and self._due_step <= ends[-1]:
                self._order(order, ends, self._due_step, [])

    def hear(self, message: dict[str, Any]) -> None:
        """Take a worker's word that it has written its part, or could not."""
        save = self._saves.get(message["folder"])
        if save is None:
            return
        if message["kind"] == "unsaved":
            self._failed(save, message["error"], worker=message["rank"], stage=message["stage"])
            return
        save.shards[message["stage"]] = pickle.loads(message["shard"])
        save.missing.discard(message["stage"])
        if not save.missing:
            self._finish(save)

    def pending(self, committed: int) -> bool:
        """Whether something is being written up to a commit."""
        return any(save.step <= committed for save in self._saves.values())

    def drop(self) -> None:
        """Forget what is on its way: a worker was lost, or all stand elsewhere now."""
        for save in list(self._saves.values()):
            self._waiting += save.asked
            self._forget(save)

    def close(self) -> None:
        """Forget what is on its way, and tell who waits that the run has ended."""
        self.drop()
        with suppress(queue.Empty):
            while True:
                self._waiting.append(self._asked.get_nowait())
        for asked in self._waiting:
            asked.answer(None)
        self._waiting = []
        self._sweep()
        self._own = shelf.surplus(self._own)
        self._held.clear()
        if self._claimed is not None:
            self._claimed.free()

    # below: ordering

    def _order(self, order: Order, ends: Sequence[int], wanted: int, asked: list[Asked]) -> None:
        """Have the first commit from `wanted` on written."""
        at = bisect_left(ends, wanted)
        step = ends[at]
        folder = self._fresh(step)
        save = _Save(step, folder, set(), asked=list(asked))
        try:
            if self._claimed is None and (claimed := shelf.claim(self.root)) is not None:
                self._claimed = claimed
                shelf.sweeping(self.root.parent)
            folder.mkdir(parents=True)
            parts = order(step, str(folder))
        except OSError as error:
            self._failed(save, one_line(error))
            self._waiting = []
            return
        if parts is None:
            self._forget(save)
            self._ahead = min(2 * self._ahead, 1 << 20)
            if wanted == self._due_step:
                self._plan_next(step + self._ahead - 1)
            return
        save.missing = set(parts)
        self._saves[str(folder)] = save
        self._begun = True
        if asked:
            self._waiting = []

    def _fresh(self, step: int) -> Path:
        """Return a folder that nobody has written to, nor may still say something of."""
        number, folder = 1, self.root / f"step-{step}"
        while folder.exists() or folder in self._named:
            number += 1
            folder = self.root / f"step-{step}-{number}"
        self._named.add(folder)
        return folder

    def _plan_next(self, step: int) -> None:
        if self._every is not None and self._every.steps is not None:
            self._due_step = (step // self._every.steps + 1) * self._every.steps
        elif self._every is not None:
            self._due = time.monotonic() + self._every.seconds

    # below: what became of it

    def _finish(self, save: _Save) -> None:
        """Make it a checkpoint, once the losses of all its steps are known too."""
        tables = self._run.saved_tables(save.step)
        if tables is None:
            return
        try:
            shards, facts = list(save.shards.values()), {**self._describe(save.step), "asked": bool(save.asked)}
            made = checkpoint.finish(save.folder, shards, facts, tables)
        except OSError as error:
            self._failed(save, one_line(error))
            return
        del self._saves[str(save.folder)]
        self._complete.append(save.folder)
        size = sum(known["bytes"] for known in made.facts["files"].values())
        self._run.add_incident("checkpoint", f"{save.folder} has step {save.step}, {show_bytes(size)}.", step=save.step)
        self._sweep()
        for asked in save.asked:
            asked.answer(save.folder)
        if not save.asked:
            self._own.append(save.folder)
            self._plan_next(save.step)
        self._own = shelf.surplus(self._own)
        self._complete = [path for path in self._complete if (path / shelf.MANIFEST).exists()]

    def _failed(self, save: _Save, why: str, *, worker: int = -1, stage: int = -1) -> None:
        """Tell that it was not written; of its part that was not, who was to write it."""
        self._forget(save)
        error = _unwritten(save.step, why)
        for asked in save.asked:
            asked.answer(error)
        if save.asked:
            return
        self._begun = True
        self._plan_next(save.step)
        self._run.add_incident("checkpoint", error.message, worker=worker, stage=stage, step=save.step)
        if not self._warned:
            self._warned = True
            warn(error.message, error.hint)

    def _forget(self, save: _Save) -> None:
        self._saves.pop(str(save.folder), None)
        self._left.append(save.folder)
        self._sweep()

    def _sweep(self) -> None:
        """Delete what was not finished; a worker that still writes there may keep it for a while."""
        for folder in self._left:
            shutil.rmtree(folder, ignore_errors=True)
        self._left = [folder for folder in self._left if folder.exists()]


def _unwritten(step: int, why: str) -> CheckpointError:
    return CheckpointError(
        f"The checkpoint of step {step} could not be written: {why}.",
        "Make room, or set WORKBENCH_HOME to a folder that all workers can write; training goes on.",
    )
