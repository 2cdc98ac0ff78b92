"""Pictures of an answer as inline SVG without script, in the page's colours: the histogram with its cutoffs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.engine.ranked import count, number
from workbench.engine.svg import at, escape, fit

if TYPE_CHECKING:
    import pandas as pd

    from workbench.anomaly.score import Cutoff

__all__ = ["cutoff_words", "histogram", "in_out"]

#: colours of the page, and what stands for them where it has none
_COLOURS = {
    "text": "var(--wb-text,currentColor)",
    "muted": "var(--wb-muted,currentColor)",
    "grid": "var(--wb-grid,#808080)",
    "rows": "var(--wb-searched,#9e9e9e)",
    "outliers": "var(--wb-warn,#c26a00)",
    "selected": "var(--wb-accent,#2b7bd3)",
}
_WIDTH = 760.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 8.0, 8.0, 38.0, 20.0


def histogram(
    frame: pd.DataFrame, name: str, cutoff: Cutoff | None = None, *, selected: str = "", on_score: bool = False
) -> tuple[str, str]:
    """Draw a histogram; heights go by the square root, so that the few outliers are seen beside the many rows.

    Parameters
    ----------
    frame : DataFrame
        `left, right, rows, outliers, selected`, with rows.
    name : str
        What is measured.
    cutoff : Cutoff, optional
        Its ends are drawn as lines, in the units of what is measured.
    selected : str
        The explanation that is overlaid, in words; empty for none.
    on_score : bool
        What is measured is the score itself, so its cutoff is `cutoff.score`.

    Returns
    -------
    svg, alt : str
    """
    rows, outliers, chosen = (frame[kind].to_numpy(dtype=float) for kind in ("rows", "outliers", "selected"))
    series = [("rows", "rows", rows, 0.9)]
    if not np.array_equal(rows, outliers):  # where every row counts as one, as for a mean deviation, nothing stands out
        series.append(("outliers", "outliers", outliers, 0.9))
    if selected:
        series.append(("selected", f"{fit(selected, 60)} ({count(chosen.sum())})", chosen, 0.42))
    alt = f"Histogram of {name}: {count(rows.sum())} rows, {count(outliers.sum())} outliers"
    more = f"; {selected}: {count(chosen.sum())} rows" if selected else ""
    return _picture(frame, name, series, _cutoff_lines(cutoff, on_score), 170.0, alt, more)


def in_out(
    frame: pd.DataFrame, name: str, cutoff: Cutoff | None, selected: str, on_score: bool = False
) -> tuple[str, str]:
    """Draw how the rows of an explanation are spread beside all others, each as shares of their own number.

    Parameters and returns as `histogram`.
    """
    inside = frame["selected"].to_numpy(dtype=float)
    outside = frame["rows"].to_numpy(dtype=float) - inside
    n_in, n_out = float(inside.sum()), float(outside.sum())
    series = [
        ("rows", f"outside ({count(n_out)} rows)", outside / max(n_out, 1e-300), 0.9),
        ("selected", f"inside ({count(n_in)} rows)", inside / max(n_in, 1e-300), 0.5),
    ]
    alt = f"Histogram of {name} inside and outside of {selected}, as shares: {count(n_in)} and {count(n_out)} rows"
    return _picture(frame, name, series, _cutoff_lines(cutoff, on_score), 130.0, alt, "")


def _picture(
    frame: pd.DataFrame,
    name: str,
    series: list[tuple[str, str, Any, float]],
    lines: list[tuple[float, str]],
    height: float,
    alt: str,
    more: str,
) -> tuple[str, str]:
    """Draw series of bars, one in front of the other: (colour, words, heights, width as a share of the bin's)."""
    inner = frame["left"].to_numpy(dtype=float)[1:]
    step = float(inner[1] - inner[0]) if len(inner) > 1 else 1.0
    low, high = float(inner[0]) - step, float(inner[-1]) + step
    wide, tall = _WIDTH - _LEFT - _RIGHT, height - _TOP - _BOTTOM
    base = height - _BOTTOM
    top = max((float(part.max(initial=0)) for _, _, part, _ in series), default=0.0) or 1.0
    shapes = [
        _bars(tall * np.sqrt(np.maximum(part, 0.0) / top), wide / len(frame), share, base, _COLOURS[kind])
        for kind, _, part, share in series
    ]
    shapes.append(_line(_LEFT, base, _WIDTH - _RIGHT, base, "grid"))

    def place(value: float) -> float:
        # Halved only where the ends are further apart than any float: half of the least float is nothing.
        part = 1.0 if math.isfinite(high - low) else 0.5
        return _LEFT + wide * (min(max(value, low), high) * part - low * part) / (high * part - low * part)

    for value, words in lines:
        shapes += _cutoff_mark(place(value), words, beyond=not low <= value <= high, base=base)
    shapes += _legend(name, [(kind, words) for kind, words, _, _ in series])
    shapes += _axis(low, high, place, base)
    alt += f", from {number(low)} to {number(high)}"
    if lines:
        alt += f"; cutoff {' or '.join(words for _, words in reversed(lines))}"
    alt += more
    size = f'viewBox="0 0 {at(_WIDTH)} {at(height)}" width="{at(_WIDTH)}" height="{at(height)}"'
    inside = "".join(shapes)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(alt)}">{inside}</svg>', alt


def cutoff_words(cutoff: Cutoff | None, name: str, on_score: bool = False) -> str:
    """Write `latency > 150.2 or < 49.8`; empty where there is no cutoff."""
    lines = _cutoff_lines(cutoff, on_score)
    return f"{name} {' or '.join(words for _, words in reversed(lines))}" if lines else ""


def _cutoff_lines(cutoff: Cutoff | None, on_score: bool) -> list[tuple[float, str]]:
    """Return each finite cutoff and its words, the low one first."""
    if cutoff is None:
        return []
    if on_score:
        return [(float(cutoff.score), f"> {_measure(cutoff.score)}")] if math.isfinite(cutoff.score) else []
    ends = ((float(cutoff.low), "<"), (float(cutoff.high), ">"))
    return [(value, f"{sign} {_measure(value)}") for value, sign in ends if math.isfinite(value)]


def _measure(value: float) -> str:
    """Write a cutoff: 4 significant digits, and never fewer than stand before the point."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e15 else number(value)


def _bars(heights: Any, step: float, share: float, base: float, colour: str) -> str:
    """Draw all bars of one kind as one path, which is a tenth of as many rectangles."""
    width = step * share
    parts = []
    for index, tall in enumerate(heights):
        if tall > 0:
            x = _LEFT + index * step + (step - width) / 2
            parts.append(f"M{at(x)} {at(base)}v{at(-max(float(tall), 1.0))}h{at(width)}V{at(base)}z")
    return f'<path d="{"".join(parts)}" style="fill:{colour}"/>' if parts else ""


def _cutoff_mark(x: float, words: str, *, beyond: bool, base: float) -> list[str]:
    """Draw a cutoff; one outside of the picture stands at its edge with an arrow."""
    low = words.startswith("<")
    text = f"{'←' if low else '→'} {words}" if beyond else words
    end = x > _WIDTH / 2 if beyond else (not low and x > _WIDTH - 110) or (low and x > 110)
    return [
        _line(x, _TOP - 8, x, base, "text", dash="4 3"),
        _text(x - 4 if end else x + 4, _TOP - 2, text, "text", "end" if end else "start"),
    ]


def _legend(name: str, series: list[tuple[str, str]]) -> list[str]:
    """Draw what the colours are."""
    shapes, x = [_text(_LEFT, 13, fit(name, 26), "text", weight=600)], _LEFT + 7.2 * min(len(name), 26) + 16
    for kind, words in series:
        shapes.append(f'<rect x="{at(x)}" y="4" width="10" height="10" rx="2" style="fill:{_COLOURS[kind]}"/>')
        shapes.append(_text(x + 14, 13, words, "muted"))
        x += 34 + 6.0 * len(words)
    note = "heights by square root"
    if x < _WIDTH - 130:
        shapes.append(_text(_WIDTH - _RIGHT, 13, note, "muted", "end"))
    return shapes


def _axis(low: float, high: float, place: Any, base: float) -> list[str]:
    shapes = []
    for tick in _ticks(low, high):
        x = place(tick)
        anchor = "start" if x < 30 else "end" if x > _WIDTH - 30 else "middle"
        shapes += [_line(x, base, x, base + 4, "grid"), _text(x, base + 15, number(tick), "muted", anchor)]
    return shapes


def _ticks(low: float, high: float, most: int = 8) -> list[float]:
    raw = (high - low) / most
    if not (math.isfinite(raw) and raw > 0):
        return [low]
    base = 10.0 ** math.floor(math.log10(raw))
    step = next((base * factor for factor in (1, 2, 5, 10) if base * factor >= raw * 0.999), raw)
    if not step > 0 or low + step == low:
        return [low]
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    more = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<line x1="{at(x1)}" y1="{at(y1)}" x2="{at(x2)}" y2="{at(y2)}" style="stroke:{_COLOURS[colour]}" '
        f'stroke-width="1"{more}/>'
    )


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start", weight: int = 400) -> str:
    more = f' text-anchor="{anchor}"' if anchor != "start" else ""
    more += f' font-weight="{weight}"' if weight != 400 else ""
    return f'<text x="{at(x)}" y="{at(y)}" font-size="11"{more} style="fill:{_COLOURS[colour]}">{escape(text)}</text>'
