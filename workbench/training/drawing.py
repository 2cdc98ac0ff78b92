"""A profile as bars, and the stages of a plan as blocks behind them: inline SVG without script."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from workbench.engine.svg import at, escape, fit
from workbench.training.graph import Node, Profile, topological
from workbench.training.plan import Stage
from workbench.training.units import show_bytes, show_seconds

__all__ = ["bars"]

#: bars beyond which neighbours share one
MOST = 220

_WIDTH, _LEFT, _HEIGHT, _GAP = 760.0, 84.0, 46.0, 12.0
_TEXT, _MUTED = "var(--wb-text,currentColor)", "var(--wb-muted,currentColor)"
#: of the page where it has one, else readable on white and on black
_STAGES = ("var(--wb-accent,#2b7bd3)", "var(--wb-warn,#c26a00)", "#15858f", "#a35cc4", "var(--wb-good,#35863a)")
_BAR = "var(--wb-searched,#8a8a8a)"


def bars(profile: Profile, stages: Sequence[Stage] = ()) -> tuple[str, str]:
    """Draw time, activations and parameters of each node, in topological order.

    Parameters
    ----------
    profile : Profile
    stages : sequence of Stage
        Each is a block behind the bars of its nodes, which then stand in the order of the stages.

    Returns
    -------
    svg, alt : str
    """
    by_name = {node.id: node for node in profile.nodes}
    order = [name for stage in stages for name in stage.nodes] or topological(profile.nodes, profile.edges)
    groups = _grouped([by_name[name] for name in order], [len(stage.nodes) for stage in stages])
    columns = [nodes for group in groups for nodes in group]
    wide = (_WIDTH - _LEFT - 4) / max(len(columns), 1)
    top = 34.0 if stages else 8.0
    shapes: list[str] = []
    x = _LEFT
    bottom = top + 3 * (_HEIGHT + _GAP)
    for stage, group in zip(stages, groups, strict=False):
        shapes += _block(stage, x, wide * len(group), bottom)
        x += wide * len(group)
    for row, (title, show, value) in enumerate(_ROWS):
        base = top + row * (_HEIGHT + _GAP) + _HEIGHT
        heights = [sum(value(node) for node in nodes) for nodes in columns]
        most = max(heights, default=0.0)
        shapes.append(_words(4, base - _HEIGHT + 12, title, _TEXT))
        shapes.append(_words(4, base - _HEIGHT + 26, f"up to {show(most)}", _MUTED))
        for place, (nodes, height) in enumerate(zip(columns, heights, strict=True)):
            if height <= 0:
                continue
            tall = max(height / most * _HEIGHT, 0.6)
            named = nodes[0].id if len(nodes) == 1 else f"{nodes[0].id} to {nodes[-1].id}"
            told = f"{named}: {show(height)}" + (f", {fit(nodes[0].description, 60)}" if len(nodes) == 1 else "")
            shapes.append(
                f'<rect x="{at(_LEFT + place * wide)}" y="{at(base - tall)}" width="{at(max(wide * 0.85, 0.6))}" '
                f'height="{at(tall)}" style="fill:{_BAR}"><title>{escape(told)}</title></rect>'
            )
    count = len(profile.nodes)
    cut = f", cut into {len(stages)} stages" if len(stages) > 1 else ", in one stage" if stages else ""
    alt = f"Time, activations and parameters of {count} nodes{cut}"
    size = f'viewBox="0 0 {at(_WIDTH)} {at(bottom)}" width="{at(_WIDTH)}" height="{at(bottom)}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} style="max-width:100%;height:auto" role="img" '
        f'aria-label="{escape(alt)}">{"".join(shapes)}</svg>',
        alt,
    )


#: what each row of bars is of: title, how a number is written, number of a node
_ROWS: tuple[tuple[str, Callable[[float], str], Callable[[Node], float]], ...] = (
    ("time", show_seconds, lambda node: (node.forward_ms + node.backward_ms) / 1000),
    ("activations", show_bytes, lambda node: sum(node.activation_bytes)),
    ("parameters", show_bytes, lambda node: node.parameter_bytes),
)


def _grouped(nodes: Sequence[Node], sizes: Sequence[int]) -> list[list[list[Node]]]:
    """Return the nodes of each stage in columns of equally many neighbours, so that not too many bars are drawn."""
    each = -(-len(nodes) // MOST)
    groups, start = [], 0
    for size in sizes or [len(nodes)]:
        part = nodes[start : start + size]
        groups.append([list(part[place : place + each]) for place in range(0, len(part), each)])
        start += size
    return groups


def _block(stage: Stage, x: float, wide: float, bottom: float) -> list[str]:
    colour = _STAGES[stage.index % len(_STAGES)]
    told = (
        f"stage {stage.index}: {stage.nodes[0]} to {stage.nodes[-1]}, {len(stage.nodes)} nodes on {stage.replicas} "
        f"machines, {show_seconds(stage.time)}"
    )
    label = f"stage {stage.index}" + (f" ×{stage.replicas}" if stage.replicas > 1 else "")
    if wide < 6.2 * len(label):
        label = str(stage.index) if wide >= 9 else ""
    time = show_seconds(stage.time) if wide >= 52 else ""
    return [
        f'<rect x="{at(x + 0.5)}" y="1" width="{at(max(wide - 1, 0.5))}" height="{at(bottom - 2)}" rx="4" '
        f'fill-opacity="0.14" stroke-width="1.2" style="fill:{colour};stroke:{colour}"><title>{escape(told)}</title>'
        "</rect>",
        _words(x + wide / 2, 14, label, _TEXT, "middle"),
        _words(x + wide / 2, 27, time, _MUTED, "middle"),
    ]


def _words(x: float, y: float, text: str, colour: str, anchor: str = "start") -> str:
    if not text:
        return ""
    more = f' text-anchor="{anchor}"' if anchor != "start" else ""
    return f'<text x="{at(x)}" y="{at(y)}" font-size="11"{more} style="fill:{colour}">{escape(text)}</text>'
