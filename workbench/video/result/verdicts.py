"""What a person says of events, right or wrong, and the precision that follows; kept across reruns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from workbench.engine import store as artefacts

if TYPE_CHECKING:
    from workbench.video.result.result import VideoResult

__all__ = ["Verdicts"]

#: Verdicts are a person's work: nothing in the store costs more to make again (seconds).
_COST = 1e9


class Verdicts:
    """The verdicts on the events of one result.

    An event is known again by its video's content, the detector, its objects and its times, so that a rerun or another
    condition that finds the same event finds its verdict, too.

    Parameters
    ----------
    result : VideoResult
    """

    def __init__(self, result: VideoResult) -> None:
        self._result = result
        detect = [node.detail for _, node in result.plan.walk() if node.op == "detect"]
        variables = [(variable.name, variable.type.name) for variable in result.query.variables]
        self._keys = {
            facts.source.name: artefacts.key("verdicts", facts.source.video_id(), detect, variables)
            for facts in result.videos
        }
        self._known = {name: self._stored(key) for name, key in self._keys.items()}

    def mark(self, event: Any, right: bool) -> None:
        """Keep a verdict on a row of `.events`."""
        name = str(event.video)
        # Others may have marked meanwhile.
        self._known[name] = {**self._stored(self._keys[name]), self._name(event): right}
        artefacts.store().put_json(self._keys[name], self._known[name], kind="verdicts", cost_s=_COST)

    def of(self, events: Iterable[Any]) -> list[bool]:
        """Return the verdicts on those of these rows of `.events` that have one."""
        found = [self._known[str(event.video)].get(self._name(event)) for event in events]
        return [verdict for verdict in found if verdict is not None]

    def _stored(self, key: str) -> dict[str, bool]:
        found = artefacts.store().get_json(key)
        return found if isinstance(found, dict) else {}

    def _name(self, event: Any) -> str:
        ids = [str(getattr(event, f"{variable.name}_id")) for variable in self._result.query.variables]
        return " ".join([*ids, f"{event.start:.3f}", f"{event.end:.3f}"])
