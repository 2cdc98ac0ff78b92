"""The result of a pane: its table, notes and plan are made when somebody looks at them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.anomaly.results import Explanations
from workbench.engine.errors import WorkbenchError

if TYPE_CHECKING:
    from workbench.anomaly.answer import Answer

__all__ = ["PaneExplanations"]


class PaneExplanations(Explanations):
    """What a search found in a pane; ranks, intervals and texts of panes that nobody looks at are not made.

    Parameters
    ----------
    make : callable
        Gives the answer; reads only what later panes do not change.
    """

    partial = False

    def __init__(self, make: Callable[[], Explanations]) -> None:
        self._make: Callable[[], Explanations] | None = make
        self._made: Answer | None = None

    @property
    def _answer(self) -> Answer:  # type: ignore[override]  # made late, else the same
        make = self._make
        if self._made is None and make is not None:
            self._made = make()._answer
            self._make = None  # with it go the rows of the pane
        assert self._made is not None
        return self._made

    @property
    def _rows(self) -> Any:
        raise _no_rows()

    def _again(self, i: int, keep: bool, changes: dict[str, Any]) -> Explanations:
        raise _no_rows()

    def __reduce__(self) -> Any:
        return Explanations, (self._answer,)


def _no_rows() -> WorkbenchError:
    return WorkbenchError(
        "A stream without a window keeps no rows.",
        'Give a window, such as window="100000rows", or filter your own table by r.sql(i) or r.code(i).',
    )
