"""When the events were: bars over time, as inline SVG and as the state of the timeline module."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from workbench.engine.paths import short_names
from workbench.engine.units import format_clock

__all__ = ["Timeline"]

#: bars drawn at most; the rest is counted in one line
MOST_BARS = 2000
_MOST_LANES = 8
_WIDTH, _LEFT, _RIGHT, _ROW, _TOP, _AXIS = 720, 8, 8, 14, 6, 20
#: drawn with the theme's colours where there is a theme, readable on light and dark where there is none
_INK, _QUIET, _BAR = (
    "var(--jp-ui-font-color1, #666)",
    "var(--jp-border-color2, #9995)",
    "var(--jp-brand-color1, #1976d2)",
)


@dataclass(frozen=True)
class Timeline:
    """Events of one video over its time.

    Parameters
    ----------
    video : str
    duration : float
        Length of the video in seconds.
    bars : list of (start, end, label, kind)
        Events in seconds, in order; kind is `event` or `ongoing`.
    searched, skipped : list of (start, end)
        Ranges in seconds that were searched, and that could not be.
    """

    video: str
    duration: float
    bars: Sequence[tuple[float, float, str, str]] = ()
    searched: Sequence[tuple[float, float]] = ()
    skipped: Sequence[tuple[float, float]] = ()
    _lanes: list[int] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        # Bars that overlap go to the first lane that is free; beyond the last lane they lie over one another.
        free: list[float] = []
        for start, end, *_ in self.bars:
            lane = next((index for index, until in enumerate(free) if until <= start + 1e-9), len(free))
            if lane == len(free):
                if len(free) < _MOST_LANES:
                    free.append(end)
                else:
                    lane = _MOST_LANES - 1
            free[lane] = max(free[lane], end)
            self._lanes.append(lane)

    @property
    def lanes(self) -> int:
        """Number of lanes, at least one."""
        return max(self._lanes, default=0) + 1

    def state(self) -> dict[str, Any]:
        """Return the state of the timeline module (see the design of the notebook room)."""
        return {
            "lanes": [{"id": str(lane), "label": self._name if lane == 0 else ""} for lane in range(self.lanes)],
            "bars": [
                {"lane": str(lane), "start": start, "end": end, "kind": kind, "label": label}
                for lane, (start, end, label, kind) in list(zip(self._lanes, self.bars, strict=True))[:MOST_BARS]
            ],
            "duration": self.duration,
            "searched": [list(span) for span in self.searched],
            "skipped": [list(span) for span in self.skipped],
            "selected": None,
            "time": 0.0,
        }

    def to_svg(self) -> str:
        """Return the drawing: bars are events, grey is what was searched, hatched what could not be."""
        height = _TOP + self.lanes * _ROW + _AXIS
        floor = _TOP + self.lanes * _ROW
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="100%" '
            f'height="{height}" preserveAspectRatio="none" role="img" aria-label="{html.escape(self.alt)}">'
        ]
        for start, end in self.searched:
            parts.append(self._rect(start, end, _TOP, floor - _TOP, f'fill="{_QUIET}" fill-opacity="0.35"', "searched"))
        for start, end in self.skipped:
            parts.append(self._hatch(start, end, floor))
        shown = list(zip(self._lanes, self.bars, strict=True))[:MOST_BARS]
        for lane, (start, end, label, kind) in shown:
            style = f'fill="{_BAR}"' + (' fill-opacity="0.5"' if kind == "ongoing" else "")
            title = f"{label}: {format_clock(start)} to {format_clock(end)}"
            parts.append(self._rect(start, end, _TOP + lane * _ROW + 2, _ROW - 4, style, title))
        parts.append(f'<line x1="{_LEFT}" y1="{floor}" x2="{_WIDTH - _RIGHT}" y2="{floor}" stroke="{_INK}"/>')
        for at, anchor in ((0.0, "start"), (self.duration / 2, "middle"), (self.duration, "end")):
            parts.append(
                f'<text x="{self._x(at):.1f}" y="{floor + 14}" font-size="11" font-family="sans-serif" '
                f'fill="{_INK}" text-anchor="{anchor}">{format_clock(at)}</text>'
            )
        if len(self.bars) > MOST_BARS:
            parts.append(
                f'<text x="{_LEFT}" y="{_TOP + 10}" font-size="11" font-family="sans-serif" fill="{_INK}">'
                f"first {MOST_BARS:,} of {len(self.bars):,} events</text>"
            )
        return "".join([*parts, "</svg>"])

    @property
    def alt(self) -> str:
        """What the drawing shows, in words."""
        count = f"{len(self.bars):,} event{'' if len(self.bars) == 1 else 's'}"
        return f"Timeline of {self._name}: {count} in {format_clock(self.duration)}"

    def _repr_svg_(self) -> str:
        return self.to_svg()

    @property
    def _name(self) -> str:
        return short_names([self.video])[self.video]

    def _x(self, at: float) -> float:
        share = min(max(at / self.duration, 0.0), 1.0) if self.duration > 0 else 0.0
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def _rect(self, start: float, end: float, top: float, height: float, style: str, title: str) -> str:
        left, width = self._x(start), max(self._x(end) - self._x(start), 1.5)
        return (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" {style}>'
            f"<title>{html.escape(title)}</title></rect>"
        )

    def _hatch(self, start: float, end: float, floor: float) -> str:
        # Lines one by one: a pattern would need an id, and ids of two drawings in a page could meet.
        left, right = self._x(start), max(self._x(end), self._x(start) + 3)
        lines = []
        at = left
        while at < right:
            lines.append(
                f'<line x1="{at:.1f}" y1="{floor}" x2="{min(at + 6, right):.1f}" y2="{_TOP}" stroke="{_INK}"/>'
            )
            at += 6
        return f"<g>{''.join(lines)}<title>skipped</title></g>"


def timeline_of(video: str, duration: float, events: pd.DataFrame, labels: Sequence[str], kinds: Sequence[str],
                searched: pd.DataFrame, skipped: Sequence[tuple[float, float]]) -> Timeline:  # fmt: skip
    """Return the timeline of one video of a result's tables."""
    mine = events["video"] == video
    bars = [
        (float(start), float(end), label, kind)
        for start, end, label, kind, keep in zip(events["start"], events["end"], labels, kinds, mine, strict=True)
        if keep
    ]
    spans = searched[searched["video"] == video]
    return Timeline(
        video,
        duration,
        bars,
        [(float(a), float(b)) for a, b in zip(spans["start"], spans["end"], strict=True)],
        list(skipped),
    )
