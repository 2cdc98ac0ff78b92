"""Tables in parts without a cluster: the tasks of a round run here, one after the other, in an order of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import cloudpickle
import pyarrow as pa
import pytest

from workbench.anomaly import dask_parts
from workbench.anomaly.data import Part, TablePart
from workbench.anomaly.memory import ArrowData
from workbench.engine import tasks


class PartedData(ArrowData):
    """An Arrow table that is cut into parts, as a Dask frame is."""

    kind = "dask"  # type: ignore[assignment]

    def __init__(self, table: pa.Table, cuts: Sequence[int], name: str | None = None) -> None:
        super().__init__(table, name)
        self.cuts = list(cuts)

    def partitions(self) -> list[Part]:
        ends = [0, *self.cuts, self.source.num_rows]
        return [TablePart(i, b - a, self.source.slice(a, b - a)) for i, (a, b) in enumerate(pairwise(ends))]


class Serial:
    """Stands in for `tasks.stream`: everything is pickled as if it travelled.

    Attributes
    ----------
    rounds : list of (key, number of tasks)
    before : callable, optional
        Called with key and index before each task.
    """

    def __init__(self) -> None:
        self.rounds: list[tuple[str, int]] = []
        self.before: Callable[[str, int], None] | None = None
        self.sent: dict[str, int] = {}

    def __call__(
        self, function: Callable[[Any], Any], items: Iterable[Any], *, run: Any = None, key: str = "", **options: Any
    ) -> Iterator[tasks.Outcome[Any]]:
        code = cloudpickle.dumps(function)
        blobs = [cloudpickle.dumps(item) for item in items]
        self.rounds.append((key, len(blobs)))
        for index in reversed(range(len(blobs))):
            if self.before is not None:
                self.before(key, index)
            if run is not None and run.cancelled.is_set():
                return
            answer = cloudpickle.dumps(cloudpickle.loads(code)(cloudpickle.loads(blobs[index])))
            self.sent[key] = self.sent.get(key, 0) + len(answer)
            yield tasks.Outcome(index, cloudpickle.loads(answer), None, 1e-3)


@pytest.fixture
def serial(monkeypatch: pytest.MonkeyPatch) -> Serial:
    """Have rounds run in this process."""
    made = Serial()
    monkeypatch.setattr(tasks, "stream", made)
    monkeypatch.setattr(dask_parts, "anchors", lambda count, content=None: [None] * count)
    return made
