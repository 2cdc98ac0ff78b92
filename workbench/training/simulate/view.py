"""What is seen of a simulation: its line, machines and throughput over time, and the figures beside on-demand ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.engine.svg import at, escape
from workbench.training.units import show_seconds

if TYPE_CHECKING:
    import pandas as pd

    from workbench.training.simulate.result import Simulation

__all__ = ["explained", "simulation_view"]

#: of the page where it has one, else readable on white and on black
_ACCENT, _SECOND = "var(--wb-accent,#2b7bd3)", "var(--wb-warn,#c26a00)"
_TEXT, _MUTED = "var(--wb-text,currentColor)", "var(--wb-muted,#808080)"
_WIDTH, _PANEL, _LEFT, _RIGHT = 760.0, 96.0, 64.0, 110.0
#: points of a line; more cannot be told apart
_POINTS = 600

_FIGURES = (
    ("machines", "instances", "{:.1f}"),
    ("samples/s", "throughput", "{:.4g}"),
    ("$/h", "cost", "{:.4g}"),
    ("value", "value", "{:.3g}"),
)


def simulation_view(simulation: Simulation) -> dict[str, Any]:
    """Return the blocks: summary, note, picture, figures beside on-demand machines, and what was counted."""
    blocks: list[dict[str, Any]] = [
        {"kind": "summary", "text": repr(simulation)},
        {"kind": "note", "level": "info", "text": "Simulated: no worker ran. Value is samples/s for each $/h."},
    ]
    drawn = picture(simulation)
    if drawn is not None:
        blocks.append({"kind": "svg", "svg": drawn[0], "alt": drawn[1], "text": ""})
    blocks.append({"kind": "table", "name": "figures", "frame": figures(simulation)})
    blocks.append({"kind": "table", "name": "counts", "frame": counts(simulation)})
    return {"blocks": blocks}


def explained(simulation: Simulation) -> str:
    """Say what was assumed and what came out."""
    costs = simulation.costs
    lines = [repr(simulation), "", "Simulated: no worker ran. Seconds assumed:"]
    lines.append(
        f"  a machine is ready after {costs.create:g}; pipelines form in {costs.global_rendezvous:g}, "
        f"between steps in {costs.local_rendezvous:g}"
    )
    if simulation.policy != "compat":
        lines.append(
            f"  a loss is noticed after {costs.detect:g}, and {costs.rebuild:g} later training goes on; "
            f"a restart takes {costs.restart:g}"
        )
    for policy, told in _TOLD.items():
        if simulation.policy == policy:
            lines.append(f"  {told}")
    lines += ["", _rows_text(figures(simulation)), "", _rows_text(counts(simulation))]
    return "\n".join(lines)


_TOLD = {
    "none": "no copies: a loss throws away all that was trained",
    "checkpoint": "a loss throws away what was trained since the last complete save",
    "redundant": "a loss costs the step in flight; a loss of neighbours goes back to the last complete save",
    "compat": "the rules of Bamboo's simulator: no work is lost, a fatal loss costs a rendezvous",
}


def figures(simulation: Simulation) -> pd.DataFrame:
    """Return machines, samples/s, $/h and value beside those of on-demand machines, and their ratio."""
    import pandas as pd

    ours = [float(getattr(simulation, name)) for _, name, _ in _FIGURES]
    theirs = [simulation.on_demand[name] for _, name, _ in _FIGURES]
    ratios = [a / b if b else float("nan") for a, b in zip(ours, theirs, strict=True)]
    return pd.DataFrame(
        {"figure": [label for label, _, _ in _FIGURES], "simulated": ours, "on_demand": theirs, "ratio": ratios}
    )


def counts(simulation: Simulation) -> pd.DataFrame:
    """Return what was counted, one row for each."""
    import pandas as pd

    rows = [
        ("steps", f"{simulation.steps:,}"),
        ("samples", f"{simulation.samples:,}"),
        ("samples lost", f"{simulation.lost_samples:,}"),
        ("machines taken away", f"{simulation.preemptions:,}"),
        ("losses that went back", f"{simulation.fatal_failures:,}"),
        ("time between losses", show_seconds(simulation.interval_hours * 3600)),
        ("life of a machine", show_seconds(simulation.lifetime_hours * 3600)),
    ]
    return pd.DataFrame(rows, columns=["count", "of"])


def picture(simulation: Simulation) -> tuple[str, str] | None:
    """Draw machines, throughput, cost and value over time, each with the level of on-demand machines.

    Returns
    -------
    svg, alt : str
        None where nothing changed or no time passed.
    """
    curve = simulation.curve
    if not len(curve) or not simulation.seconds > 0:
        return None
    times = [*curve["time"].tolist(), simulation.seconds]
    panels = (
        ("machines", curve["nodes"].tolist(), simulation.on_demand["instances"], _ACCENT),
        ("samples/s", curve["throughput"].tolist(), simulation.on_demand["throughput"], _SECOND),
        ("$/h", curve["cost"].tolist(), simulation.on_demand["cost"], _ACCENT),
        ("value", curve["value"].fillna(0.0).tolist(), simulation.on_demand["value"], _SECOND),
    )
    shapes: list[str] = []
    for k, (label, values, level, colour) in enumerate(panels):
        shapes += _panel(_PANEL * k + 8, label, times, values, level, colour, simulation.seconds)
    height = _PANEL * len(panels) + 22
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * share
        shapes.append(_label(x, height - 8, show_seconds(simulation.seconds * share), _MUTED, "middle"))
    alt = (
        f"Over {show_seconds(simulation.seconds)}: {simulation.instances:.1f} machines on average, "
        f"{simulation.throughput:.4g} samples/s, ${simulation.cost:.4g}/h; on demand "
        f"{simulation.on_demand['throughput']:.4g} samples/s for ${simulation.on_demand['cost']:.4g}/h"
    )
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{escape(alt)}" '
        f'viewBox="0 0 {at(_WIDTH)} {at(height)}" width="{at(_WIDTH)}" height="{at(height)}" '
        f'font-family="sans-serif" style="max-width:100%;height:auto">{"".join(shapes)}</svg>'
    )
    return svg, alt


def _panel(
    top: float,
    label: str,
    times: Sequence[float],
    values: Sequence[float],
    level: float,
    colour: str,
    end: float,
) -> list[str]:
    highest = max([value for value in [*values, level] if value == value], default=0.0) or 1.0
    wide, tall = _WIDTH - _LEFT - _RIGHT, _PANEL - 22

    def x(time: float) -> float:
        return _LEFT + wide * min(max(time / end, 0.0), 1.0)

    def y(value: float) -> float:
        return top + tall * (1 - value / highest)

    every = max(1, len(values) // _POINTS)
    path, before = [], None
    for k in range(0, len(values), every):
        value = max(values[k : k + every])
        if before is not None:
            path.append(f"H{at(x(times[k]))}")
        path.append(f"{'M' if before is None else 'L'}{at(x(times[k]))} {at(y(value))}")
        before = value
    path.append(f"H{at(x(end))}")
    shapes = [
        f'<line x1="{at(_LEFT)}" y1="{at(top + tall)}" x2="{at(_LEFT + wide)}" y2="{at(top + tall)}" '
        f'stroke="{_MUTED}" stroke-width="1"/>',
        f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="1.5"/>',
        _label(_LEFT - 8, top + 10, f"{highest:.3g}", _MUTED, "end"),
        _label(_LEFT - 8, top + tall, "0", _MUTED, "end"),
        _label(_LEFT - 8, top + tall / 2 + 4, label, _TEXT, "end"),
    ]
    if level == level:
        shapes.append(
            f'<line x1="{at(_LEFT)}" y1="{at(y(level))}" x2="{at(_LEFT + wide)}" y2="{at(y(level))}" '
            f'stroke="{_MUTED}" stroke-width="1" stroke-dasharray="5 4"/>'
        )
        shapes.append(_label(_LEFT + wide + 6, y(level) + 4, f"on demand {level:.3g}", _MUTED, "start"))
    return shapes


def _label(x: float, y: float, text: str, colour: str, anchor: str) -> str:
    return f'<text x="{at(x)}" y="{at(y)}" font-size="11" fill="{colour}" text-anchor="{anchor}">{escape(text)}</text>'


def _rows_text(frame: pd.DataFrame) -> str:
    return str(frame.to_string(index=False, float_format="{:.4g}".format))
