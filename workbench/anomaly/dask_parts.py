"""Rounds over the parts of a table: one pure task a part, on the session's workers."""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from workbench.anomaly.data import Part
    from workbench.engine.run import Run

__all__ = ["Parts", "anchors", "is_kept", "kept", "metric_rows", "used_rows"]

T = TypeVar("T")

#: what a worker keeps of the parts it has read, in bytes: the next round need not read them again
WORKER_CACHE = 256 << 20
#: tasks a worker has before it, so that it need not wait for the next: most are done within milliseconds
IN_FLIGHT = 8


class Parts:
    """The parts of a table, and the run that works on them.

    Parameters
    ----------
    parts : sequence of Part
    run : Run, optional
        Told how far each round is; when it is cancelled, a round ends at the next task.
    content : str, optional
        What tells the content of the parts, where anything does.

    Attributes
    ----------
    seconds : dict
        Seconds of all workers together, by round.
    """

    def __init__(self, parts: Sequence[Part], run: Run[Any] | None = None, content: str | None = None) -> None:
        self.parts, self.run, self.content = list(parts), run, content
        self.seconds: dict[str, float] = {}
        self._anchors: list[Any] | None = None

    def __len__(self) -> int:
        return len(self.parts)

    def each(
        self, function: Callable[[Any], T], stage: str, extra: Sequence[Any] | None = None
    ) -> Iterator[tuple[int, T]]:
        """Call `function((part, extra, ...))` for every part and yield (index, answer) as they complete.

        In all rounds a part goes to the same worker, as long as that is no busier than others: what it read is there.

        Parameters
        ----------
        function : callable
            Pure and picklable.
        stage : str
            What the round is called.
        extra : sequence, optional
            One for each part: what only its own task needs.

        Raises
        ------
        RunCancelled
            If the run was cancelled before all parts were done.
        """
        from workbench.engine import session, tasks

        run, total = self.run, len(self.parts)
        if self._anchors is None:
            self._anchors = anchors(total, self.content)
        own = [None] * total if extra is None else extra
        items = list(zip(self.parts, own, self._anchors, strict=True))
        if run is not None:
            run.check()
            run.update(stage=stage, done=0, total=total, unit="parts")
        outcomes = tasks.stream(
            function, items, run=run, key=f"outliers-{stage}", in_flight=IN_FLIGHT * max(1, session.workers())
        )
        for done, outcome in enumerate(outcomes, 1):
            value = outcome.unwrap()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + outcome.seconds
            if run is not None:
                run.update(done=done)
            yield outcome.index, value
        if run is not None:
            run.check()

    def ms(self, stage: str) -> float:
        """Return the milliseconds of all workers together in a round."""
        return self.seconds.get(stage, 0.0) * 1e3

    def all(self, function: Callable[[Any], T], stage: str, extra: Sequence[Any] | None = None) -> list[T]:
        """Return the answers of all parts, in the order of the parts."""
        found = dict(self.each(function, stage, extra))
        return [found[index] for index in range(len(self.parts))]


# ------------------------------------------------------------------------------------------------------ on a worker


#: anchors of files asked about before, and the client that they belong to: their parts are read already
_anchored: OrderedDict[str, tuple[Any, list[Any]]] = OrderedDict()


def anchors(count: int, content: str | None = None) -> list[Any]:
    """Return next to nothing for each part, spread over the workers: Dask runs a task where its input lies.

    Unlike a restriction to a worker, it does not hold a task back when that worker dies.

    Parameters
    ----------
    count : int
        Number of parts.
    content : str, optional
        What tells their content: the same parts get the same anchors again.
    """
    from workbench.engine import session

    client = session.session()
    if session.workers() < 2 or count < 2:
        return [None] * count
    owner, known = _anchored.get(content or "", (None, []))
    if owner is client and len(known) == count:
        return known
    name = uuid.uuid4().hex
    made = [client.submit(_nothing, pure=False, key=f"outliers-at-{name}-{index}") for index in range(count)]
    if content is not None:
        _anchored[content] = client, made
        while len(_anchored) > 4:
            _anchored.popitem(last=False)
    return made


def _nothing() -> None:
    """Be somewhere."""


_held: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()
_lock = threading.Lock()


def is_kept(key: Hashable) -> bool:
    """Return whether `kept` has what was made under `key`."""
    with _lock:
        return key in _held


def kept(key: Hashable, make: Callable[[], T], size: Callable[[T], int]) -> T:
    """Return what was made under `key` in this process, or make it: what goes first is what was not used longest."""
    with _lock:
        if key in _held:
            _held.move_to_end(key)
            return _held[key][0]
    value = make()
    held = size(value)
    if held <= WORKER_CACHE // 2:
        with _lock:
            _held[key] = value, held
            while sum(each for _, each in _held.values()) > WORKER_CACHE:
                _held.popitem(last=False)
    return value


def metric_rows(part: Part, token: str | None, names: Sequence[str]) -> np.ndarray:
    """Return the metrics of a part, float64 (rows,) or (rows, p), null as NaN; kept under `token`, if there is one."""
    if token is None:
        return _metrics(part, names)
    return kept((token, part.index, "metrics", tuple(names)), lambda: _metrics(part, names), lambda x: x.nbytes)


def used_rows(x: np.ndarray) -> np.ndarray | None:
    """Return which rows have every metric; None if all have."""
    missing = np.isnan(x) if x.ndim == 1 else np.isnan(x).any(axis=1)
    return None if not missing.any() else ~missing


def _metrics(part: Part, names: Sequence[str]) -> np.ndarray:
    from workbench.anomaly.data import as_float64

    table = part.load(list(names))
    columns = [as_float64(table.column(name)) for name in names]
    return columns[0] if len(columns) == 1 else np.column_stack(columns)


@dataclass(frozen=True)
class OnRows:
    """Calls a task on the metrics of a part, rows without one left out."""

    task: Callable[[np.ndarray, int], Any]
    token: str
    names: tuple[str, ...]

    def __call__(self, item: tuple[Any, ...]) -> Any:
        part = item[0]
        x = metric_rows(part, self.token, self.names)
        used = used_rows(x)
        return self.task(x if used is None else x[used], part.index)
