"""Exact windows of a stream: the panes of the window, kept as they came, are one table each time a pane closes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from workbench.anomaly.dictionary import Dictionary
from workbench.anomaly.execution import Question, Work, explain_marked
from workbench.anomaly.frames import read
from workbench.anomaly.marking import chosen, mark
from workbench.anomaly.plan import Actuals
from workbench.anomaly.stream_sparks import Sparks
from workbench.anomaly.stream_tables import as_text, put_together
from workbench.engine.errors import WorkbenchError
from workbench.engine.units import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.language import Request
    from workbench.anomaly.panes import Pane
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.score import Cutoff

__all__ = ["WindowState"]

#: panes: number, rows, and the codes of these
_Held: TypeAlias = "deque[tuple[int, pa.Table, list[NDArray[Any]]]]"


class WindowState:
    """The rows of the window.

    Parameters
    ----------
    request : Request
        The question, as checked on the first rows.
    panes : int
        Panes in a full window.
    memory : int
        Bytes that the rows may take.
    name : str
        What messages call the table.
    """

    def __init__(self, request: Request, panes: int, memory: int, name: str) -> None:
        self.request, self.panes, self.memory, self.name = request, panes, memory, name
        self.dictionaries = [Dictionary(column, bins) for column, bins in request.by]
        self.held: _Held = deque()
        self.sparks = Sparks()
        self._next: tuple[_Held, Sparks] | None = None

    def close(self, pane: Pane, notes: Sequence[str]) -> tuple[Explanations, NDArray[np.bool_], Cutoff | None]:
        """Answer the question on the window that ends with a pane.

        Returns
        -------
        Explanations
        bool (n,)
            Which rows of the pane are outliers of the window.
        Cutoff, optional
        """
        table = pane.table
        codes = [each.encode(table.column(each.name)) for each in self.dictionaries]
        held = deque(each for each in self.held if each[0] > pane.number - self.panes)
        held.append((pane.number, table, codes))
        size = sum(part.nbytes + sum(array.nbytes for array in arrays) for _, part, arrays in held)
        if size > self.memory:
            raise WorkbenchError(
                f"The rows of the window take {format_bytes(size)}; memory is {format_bytes(self.memory)}.",
                "Give a larger memory, or a shorter window.",
            )
        data, actuals = read(self._together([part for _, part, _ in held]), name=self.name), Actuals()
        said = [*notes, *self._not_full(pane)]
        marked = mark(data, self.request, actuals)
        columns, numbers = [], []
        with actuals.step("Encode", rows=float(data.n_rows)):
            for c, dictionary in enumerate(self.dictionaries):
                every = np.concatenate([arrays[c] for _, _, arrays in held])
                column = dictionary.column(every)
                columns.append(replace(column, codes=chosen(column.codes, marked.used)))
                numbers.append(dictionary.occurring(every))
        request = replace(self.request, notes=())
        question = Question(data, request, actuals, None, marked, [*said, *marked.notes])
        question.extra |= {"since": held[0][0], "rerun": Work(data, request).rerun}
        found = explain_marked(
            columns, marked.flags, data=data, request=request, weights=marked.weights,
            outlier_weights=marked.outlier_weights, metric=marked.metric, actuals=actuals, question=question,
        )  # fmt: skip
        answers = found._answer.found.answers
        codes_then = _numbered(answers.columns, answers.codes, numbers)
        sparks = self.sparks.after(lambda: [(answers.columns, codes_then, answers.value)])
        found._answer.sparks = sparks.of(replace(answers, codes=codes_then))
        self._next = held, sparks
        flags = marked.source_flags()[data.n_rows - table.num_rows :] == 1
        return found, flags, marked.cutoff

    def keep(self, pane: Pane) -> None:
        """Keep the pane that was closed last: one that fails is not in."""
        assert self._next is not None
        self.held, self.sparks = self._next
        self._next = None

    def _together(self, tables: list[pa.Table]) -> pa.Table:
        """Return the rows of the window; columns that have become text are text."""
        whole = put_together(tables)
        for each in self.dictionaries:
            place = whole.schema.get_field_index(each.name)
            if each.text:
                whole = whole.set_column(place, each.name, as_text(whole.column(place)))
        return whole

    def _not_full(self, pane: Pane) -> list[str]:
        had = pane.number + 1
        if had >= self.panes:
            return []
        return [f"The window is not full yet: {had} of {self.panes} panes."]

    def state(self) -> dict[str, Any]:
        """Return all there is to know, as tables and plain data."""
        return {"held": [(number, table) for number, table, _ in self.held], "dictionaries": self.dictionaries}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up a state."""
        self.dictionaries = state["dictionaries"]
        for number, table in state["held"]:
            self.held.append((number, table, [each.encode(table.column(each.name)) for each in self.dictionaries]))


def _numbered(
    columns: NDArray[np.int32], codes: NDArray[np.int64], numbers: Sequence[NDArray[np.int64]]
) -> NDArray[np.int64]:
    """Return codes among the values of a window as codes of the stream, which mean the same in all windows."""
    found = codes.copy()
    for c, each in enumerate(numbers):
        mine = columns == c
        found[mine] = each[codes[mine]]
    return found
