"""Exact windows of a stream: the panes of the window, kept as they came, are one table each time a pane closes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.anomaly.dictionary import Dictionary
from workbench.anomaly.execution import Question, explain_marked
from workbench.anomaly.frames import read
from workbench.anomaly.marking import chosen, mark
from workbench.anomaly.plan import Actuals
from workbench.engine.errors import WorkbenchError
from workbench.engine.units import format_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.language import Request
    from workbench.anomaly.panes import Pane
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.score import Cutoff

__all__ = ["WindowState"]


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
        self.held: deque[tuple[int, pa.Table, list[NDArray[Any]]]] = deque()

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
        whole = pa.concat_tables([part for _, part, _ in held], promote_options="permissive")
        data, actuals = read(whole, name=self.name), Actuals()
        said = [*notes, *self._not_full(pane)]
        marked = mark(data, self.request, actuals)
        columns = []
        with actuals.step("Encode", rows=float(whole.num_rows)):
            for c, dictionary in enumerate(self.dictionaries):
                every = np.concatenate([arrays[c] for _, _, arrays in held])
                column = dictionary.column(every)
                columns.append(replace(column, codes=chosen(column.codes, marked.used)))
        request = replace(self.request, notes=())
        question = Question(data, request, actuals, None, marked, [*said, *marked.notes])
        question.extra["since"] = held[0][0]
        found = explain_marked(
            columns, marked.flags, data=data, request=request, weights=marked.weights,
            outlier_weights=marked.outlier_weights, metric=marked.metric, actuals=actuals, question=question,
        )  # fmt: skip
        self.held = held  # a pane that fails is not in
        flags = marked.source_flags()[whole.num_rows - table.num_rows :] == 1
        return found, flags, marked.cutoff

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
