"""What the parts of a plan cost: milliseconds and selectivities, guessed at first and then measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from workbench.video.language.catalogue import PROPERTIES
from workbench.video.language.show import show
from workbench.video.language.tree import (
    And,
    Before,
    Compare,
    Contains,
    Crosses,
    During,
    Inner,
    InRegion,
    Known,
    Lasts,
    Never,
    Node,
    Not,
    ObjectType,
    Or,
    OwnRelation,
    Property,
    Quantified,
    Relation,
    Sequence,
    Truth,
    Turns,
)  # fmt: skip

#: CPU milliseconds for one frame of a detector, on one core
DETECT_MS = {
    "yolox-nano": 18.0, "light-person": 4.0, "nanodet": 25.0, "fastestdet": 8.0, "hog-person": 60.0, "motion": 3.0,
    "given": 0.0,
}  # fmt: skip
UNKNOWN_DETECTOR_MS = 20.0
DECODE_MS_PER_PIXEL = 4e-6
TRACK_MS = 0.3
#: milliseconds for one row of one array operation
ROW_MS = 2e-5
CALL_MS, WINDOW_CALL_MS, PIXEL_CALL_MS, MODEL_CALL_MS = 0.02, 0.03, 8.0, 3.0
#: crops that a once-property looks at
CROPS = 5
ROWS_PER_FRAME = 3.0
ROWS_PER_TRACK = 100.0

#: share of rows that a test keeps, where nothing has been measured
_SELECTIVITY = {"==": 0.15, "!=": 0.85, "<": 0.4, "<=": 0.4, ">": 0.4, ">=": 0.4}
_METHODS = {"inside": 0.25, "enters": 0.005, "leaves": 0.005}


@dataclass(frozen=True)
class Figures:
    """Measured figures, as kept in the store.

    Attributes
    ----------
    ms : Mapping
        ``decode``, ``detect`` and ``track`` for one frame; ``Type.property`` for one call.
    selectivity : Mapping
        Text of a node -> share of the rows that it keeps.
    rows_per_frame, rows_per_track : float
        Objects in a frame, and frames of an object.
    """

    ms: Mapping[str, float] = field(default_factory=dict)
    selectivity: Mapping[str, float] = field(default_factory=dict)
    rows_per_frame: float = ROWS_PER_FRAME
    rows_per_track: float = ROWS_PER_TRACK

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for the store."""
        return {
            "ms": dict(self.ms), "selectivity": dict(self.selectivity),
            "rows_per_frame": self.rows_per_frame, "rows_per_track": self.rows_per_track,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, data: Mapping[str, Any] | None) -> Figures:
        """Return the figures that `to_dict` wrote; what is missing or makes no sense is guessed."""
        data = data if isinstance(data, Mapping) else {}
        return cls(
            {str(name): float(value) for name, value in _numbers(data.get("ms")) if value >= 0},
            {str(name): float(value) for name, value in _numbers(data.get("selectivity")) if 0 <= value <= 1},
            *(
                float(value) if isinstance(value := data.get(name), (int, float)) and value > 0 else default
                for name, default in (("rows_per_frame", ROWS_PER_FRAME), ("rows_per_track", ROWS_PER_TRACK))
            ),
        )

    def learn(
        self,
        *,
        ms: Mapping[str, float] | None = None,
        kept: Mapping[Node, tuple[int, int]] | None = None,
        rows_per_frame: float | None = None,
        rows_per_track: float | None = None,
    ) -> Figures:
        """Return figures with what a run has measured.

        Parameters
        ----------
        ms : Mapping, optional
            As the attribute; half of the old figure is kept.
        kept : Mapping, optional
            Node -> (rows looked at, rows kept).
        rows_per_frame, rows_per_track : float, optional
        """
        times = dict(self.ms)
        for name, value in (ms or {}).items():
            times[name] = (times[name] + value) / 2 if name in times else value
        shares = dict(self.selectivity)
        for node, (seen, left) in (kept or {}).items():
            if seen > 0:
                shares[show(node)] = min(max(left / seen, 0.0), 1.0)
        return Figures(times, shares, rows_per_frame or self.rows_per_frame, rows_per_track or self.rows_per_track)


def _numbers(data: Any) -> Iterator[tuple[Any, float]]:
    for name, value in data.items() if isinstance(data, Mapping) else ():
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
            yield name, value


@dataclass(frozen=True)
class Costs:
    """Costs of the nodes of one query.

    Attributes
    ----------
    types : Mapping
        Variable -> its type, those that exist inside parts of the condition included.
    """

    types: Mapping[str, ObjectType]
    figures: Figures = field(default_factory=Figures)

    # -------------------------------------------------------------------------------------------------- properties

    def costly(self, node: Node) -> tuple[tuple[str, str], ...]:
        """Return the (variable, property) pairs below a node that need calls, in the order of need."""
        found: dict[tuple[str, str], None] = {}
        for part in node.walk():
            if isinstance(part, Property) and part.var:
                for name in self._needs(self.types[part.var], part.name, ()):
                    found[(part.var, name)] = None
            elif isinstance(part, Relation) and part.name == "same_as":
                found |= {(part.var, "embedding"): None, (part.other, "embedding"): None}
        return tuple(found)

    def _needs(self, kind: ObjectType, name: str, path: tuple[str, ...]) -> Iterator[str]:
        own = kind.property(name)
        if own is not None:
            for argument in own.arguments:
                if argument != name and argument not in path:
                    yield from self._needs(kind, argument, (*path, name))
            yield name
        elif (known := PROPERTIES.get(name)) is not None and known.model:
            yield name

    def reads_pixels(self, var: str, name: str) -> bool:
        """Return whether a property's own calls need crops."""
        own = self.types[var].property(name)
        return own.reads_pixels if own is not None else name in PROPERTIES and PROPERTIES[name].model

    def once(self, var: str, name: str) -> bool:
        """Return whether a property has one value for a track."""
        own = self.types[var].property(name)
        return own.once if own is not None else name in PROPERTIES and PROPERTIES[name].model

    def call_ms(self, var: str, name: str) -> float:
        """Return the milliseconds of one call."""
        kind = self.types[var]
        own = kind.property(name)
        key = f"{own.owner}.{name}" if own is not None else name
        if key in self.figures.ms:
            return self.figures.ms[key]
        if own is None:
            return MODEL_CALL_MS
        return PIXEL_CALL_MS if own.reads_pixels else WINDOW_CALL_MS if own.window else CALL_MS

    def calls(self, var: str, name: str, rows: float, tracks: float) -> float:
        """Return how many calls a property takes for that many rows, which belong to that many tracks."""
        if not self.once(var, name):
            return rows
        own = self.types[var].property(name)
        crops = own is None or "image" in own.arguments
        return tracks * (CROPS if crops else 1)

    def row_ms(self, node: Node, known: Iterable[tuple[str, str]] = ()) -> float:
        """Return the milliseconds that a node costs for each row, without the properties in `known`."""
        had = set(known)
        per_track = 1 / self.figures.rows_per_track
        calls = sum(
            self.call_ms(var, name) * self.calls(var, name, 1.0, per_track)
            for var, name in self.costly(node)
            if (var, name) not in had
        )
        views = sum(isinstance(part, OwnRelation) for part in node.walk())
        return calls + views * CALL_MS + ROW_MS * sum(1 for _ in node.walk())

    # ------------------------------------------------------------------------------------------------- selectivity

    def selectivity(self, node: Node) -> float:
        """Return the share of rows that a condition keeps, 0 to 1."""
        if self.figures.selectivity and (measured := self.figures.selectivity.get(show(node))) is not None:
            return measured
        match node:
            case And(operands=operands):
                share = 1.0
                for operand in operands:
                    share *= self.selectivity(operand)
                return share
            case Or(operands=operands):
                rest = 1.0
                for operand in operands:
                    rest *= 1 - self.selectivity(operand)
                return 1 - rest
            case Not(operand=operand):
                return 1 - self.selectivity(operand)
            case Compare(op=op):
                return _SELECTIVITY[op]
            case Contains(collection=collection):
                return min(0.15 * len(collection.value), 0.9)
            case InRegion(name=name):
                return _METHODS[name]
            case Crosses():
                return 0.005
            case Relation():
                return 0.1
            case Known():
                return 0.8
            case Truth(value=Property(name="still")):
                return 0.3
            case Truth(value=value):
                constant = getattr(value, "value", None)
                return float(constant) if isinstance(constant, bool) else 0.3
            case Quantified(name=name, condition=condition):
                some = 1 - (1 - self.selectivity(condition)) ** 2
                return some if name == "any" else self.selectivity(condition) ** 2
            case Lasts(operand=operand):
                return 0.5 * self.selectivity(operand)
            case Sequence(steps=steps):
                return min(0.5 * self.selectivity(step) for step in steps)
            case Before(first=first) | During(inner=first) | Never(after=first):
                return 0.5 * self.selectivity(first)
            case Inner(where=where):
                return self.selectivity(where)
            case Turns():
                return 0.02
        return 1.0


def detect_ms(detector: str, figures: Figures) -> float:
    """Return the milliseconds that a detector takes for a frame."""
    return figures.ms.get(f"detect:{detector}", DETECT_MS.get(detector, UNKNOWN_DETECTOR_MS))
