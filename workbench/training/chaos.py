"""Workers stopped on purpose: killed, stalled, cut off from the others, or told that they will go."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from workbench.engine.errors import WorkbenchError
from workbench.training import errors
from workbench.training.errors import TrainingError
from workbench.training.units import as_duration

if TYPE_CHECKING:
    from workbench.training.crew import Crew

__all__ = ["Chaos", "Unrest"]

KINDS = ("kill", "stall", "cut", "notice")
#: a rank or "random", and "10s" or "step120"
Strike = tuple["int | str", str]
_STEP = re.compile(r"step\s*(\d+)\Z")


@dataclass(frozen=True)
class Chaos:
    """What is done to workers, and when.

    Parameters
    ----------
    kill, stall, cut, notice : tuple of (target, when)
        Target is a rank or "random"; when is "10s" after the start, or "step120": once so many steps are committed.
        `kill` ends the process (SIGKILL), `stall` stops it (SIGSTOP), `cut` drops its traffic, and `notice` tells it
        that it will go (SIGTERM).
    """

    kill: tuple[Strike, ...] = ()
    stall: tuple[Strike, ...] = ()
    cut: tuple[Strike, ...] = ()
    notice: tuple[Strike, ...] = ()

    def __post_init__(self) -> None:
        for kind in KINDS:
            for target, when in getattr(self, kind):
                known = target == "random" or (isinstance(target, int) and not isinstance(target, bool) and target >= 0)
                if not known:
                    raise _wrong(f"{kind}={target}@{when}", "The target is a rank, such as 2, or random.")
                _when(kind, target, when)

    @classmethod
    def parse(cls, text: str) -> Chaos:
        """Read "kill=2@10s,stall=random@step5".

        Raises
        ------
        TrainingError
            For anything else.
        """
        found: dict[str, list[Strike]] = {kind: [] for kind in KINDS}
        for part in str(text).split(","):
            kind, equals, strike = part.strip().partition("=")
            target, at, when = strike.strip().partition("@")
            if kind not in KINDS and equals:
                raise errors.unknown("chaos", kind, KINDS)
            if not (equals and at and when.strip() and (target == "random" or target.isdecimal())):
                raise _wrong(part.strip(), 'Write "kill=2@10s" or "stall=random@step120".')
            found[kind].append((target if target == "random" else int(target), when.strip()))
        return cls(**{kind: tuple(strikes) for kind, strikes in found.items()})

    @classmethod
    def of(cls, value: Any) -> Chaos | None:
        """Return the chaos that is meant by a text, a `Chaos` or None."""
        return value if value is None or isinstance(value, cls) else cls.parse(value)

    def strikes(self) -> list[tuple[str, int | str, float | None, int | None]]:
        """Return kind, target, and seconds or step, of each."""
        return [(kind, target, *_when(kind, target, when)) for kind in KINDS for target, when in getattr(self, kind)]


class Unrest:
    """A `Chaos` at work on the workers of a run.

    Parameters
    ----------
    chaos : Chaos
    seed : int
        Of the random targets.
    """

    def __init__(self, chaos: Chaos, seed: int = 0) -> None:
        self._due = chaos.strikes()
        self._random = random.Random(seed)
        self._crew: Crew | None = None
        self._pids: dict[int, int] = {}
        self._stopped: dict[int, float] = {}
        self._stalled: list[int] = []
        self._since: float | None = None

    def begin(self, crew: Crew, ranks: int) -> None:
        """Work on these workers from now on."""
        from workbench.training import worker

        for kind, target, _, _ in self._due:
            if self._crew is None and isinstance(target, int) and target >= ranks:  # later there may be fewer
                raise _wrong(f"{kind}={target}", f"Ranks are 0 to {ranks - 1}.")
        self._crew, self._stopped = crew, {}
        answers = crew.call(worker.pid, ranks=range(ranks))
        self._pids = {rank: answer for rank, answer in enumerate(answers) if isinstance(answer, int)}

    def tick(self, committed: int) -> None:
        """Do what is due."""
        now = time.monotonic()
        self._since = self._since if self._since is not None else now
        for strike in list(self._due):
            kind, target, seconds, step = strike
            if (step is not None and committed >= step) or (seconds is not None and now - self._since >= seconds):
                self._due.remove(strike)
                self._strike(kind, target)

    def when(self, rank: int) -> float:
        """Return the Unix time at which a rank was stopped; 0 if it was not."""
        return self._stopped.get(rank, 0.0)

    def end(self) -> None:
        """Let go on what was stalled."""
        for pid in self._stalled:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stalled.clear()

    def _strike(self, kind: str, target: int | str) -> None:
        from workbench.training import worker

        left = sorted(set(self._pids) - set(self._stopped))
        rank = self._random.choice(left) if target == "random" and left else target
        if not isinstance(rank, int) or rank not in left or self._crew is None:
            return  # it is gone already
        self._stopped[rank] = time.time()
        with contextlib.suppress(ProcessLookupError):
            if kind == "cut":
                self._crew.tell(worker.cut_off, ranks=[rank])
            else:
                number = {"kill": signal.SIGKILL, "stall": signal.SIGSTOP, "notice": signal.SIGTERM}[kind]
                if kind == "stall":
                    self._stalled.append(self._pids[rank])
                os.kill(self._pids[rank], number)


def _when(kind: str, target: int | str, when: str) -> tuple[float | None, int | None]:
    """Return seconds or a step."""
    step = _STEP.match(str(when).strip())
    if step:
        return None, int(step[1])
    try:
        return as_duration(when, "chaos"), None
    except WorkbenchError:
        raise _wrong(f"{kind}={target}@{when}", 'The time is "10s" or "step120".') from None


def _wrong(text: str, hint: str) -> TrainingError:
    return TrainingError(f'"{text}" is no chaos.', hint)
