"""Pictures of a plan as inline SVG without script: the work before and after, and a bar for each peer."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from workbench.engine.svg import at, escape, fit
from workbench.fusion.result import LIBRARY, bytes_text

if TYPE_CHECKING:
    import pandas as pd

    from workbench.fusion.result import FusionPlan, Kernel

__all__ = ["MOST_NODES", "after", "before", "peers"]

#: operations and levels beyond which there is one box a kernel
MOST_NODES, MOST_LEVELS = 200, 40
#: kernels beyond which the rest is a number
MOST_KERNELS = 60

#: scheme -> colour: of the page where it has one, else readable on white and on black
_COLOURS = {
    "local": "var(--wb-accent,#2b7bd3)", "warp": "#15858f", "regional": "#a35cc4", "global": "var(--wb-warn,#c26a00)",
    "packed": "var(--wb-good,#35863a)", "none": "var(--wb-muted,#808080)",
}  # fmt: skip
_TEXT, _MUTED = "var(--wb-text,currentColor)", "var(--wb-muted,currentColor)"
_WIDTH = 760.0
_HIDDEN = ("Const", "View", "Broadcast", "Item", "Rows")


@dataclass
class _Box:
    """A node of a picture."""

    lines: list[str]
    colour: str = _MUTED
    dashed: bool = False
    plain: bool = False
    title: str = ""
    level: int = 0
    x: float = 0.0
    y: float = 0.0
    inputs: dict[Any, float] = field(default_factory=dict)

    @property
    def width(self) -> float:
        first = 6.6 * len(self.lines[0])
        return max(first, *(6.0 * len(line) for line in self.lines), 26.0) + 14

    @property
    def height(self) -> float:
        return 7.0 + 13.0 * len(self.lines)


def before(plan: FusionPlan) -> tuple[str, str] | None:
    """Draw the captured operations, each coloured by the scheme of the kernel that it went into.

    Returns
    -------
    svg, alt : str
        None where there is nothing to draw, or too much of it.
    """
    boxes = _operations(plan)
    if not boxes or len(boxes) > MOST_NODES:
        return None
    levels = _levels(boxes)
    if levels > MOST_LEVELS:
        return None
    title = f"Before: {_count(plan.kernels_before, 'op')}, {bytes_text(plan.bytes_before)} moved"
    return _picture(boxes, title, "")


def after(plan: FusionPlan) -> tuple[str, str] | None:
    """Draw the kernels: scheme and kind, the operations inside, traffic, and predicted beside measured time.

    Returns
    -------
    svg, alt : str
        None for a plan without kernels.
    """
    if not plan.kernels:
        return None
    nodes = {node["id"]: node for node in plan.graph["nodes"]}
    homes = _homes(plan)
    brief = len(plan.kernels) > 12 or len(plan.op_rows) > MOST_NODES
    boxes: dict[Any, _Box] = {}
    for kernel in plan.kernels[:MOST_KERNELS]:
        boxes[kernel.name] = _kernel_box(kernel, brief)
    sizes = _bytes_of(plan)
    reached = _through(plan, lambda k: bool(homes.get(k)) or nodes[k]["kind"] == "Leaf")
    for target, sources in reached.items():
        home = homes.get(target)
        if home not in boxes:
            continue
        for source in sources:
            node = nodes[source]
            size = sizes.get(source, sizes.get(target, 0.0))
            if node["kind"] == "Leaf":
                key = ("leaf", node["op"] or "array") if node["op"] else ("leaf", source)
                box = boxes.setdefault(key, _Box([fit(node["op"] or "array", 18)], plain=True))
                del box
                boxes[home].inputs[key] = max(boxes[home].inputs.get(key, 0.0), size)
            elif homes[source] != home and homes[source] in boxes:
                boxes[home].inputs[homes[source]] = max(boxes[home].inputs.get(homes[source], 0.0), size)
    _levels(boxes)
    ours = plan.launches
    more = f", {len(plan.kernels) - ours} of them in the library" if ours < len(plan.kernels) else ""
    title = f"After: {_count(len(plan.kernels), 'kernel')}{more}, {bytes_text(plan.bytes_after)} moved"
    left = len(plan.kernels) - MOST_KERNELS
    return _picture(boxes, title, f"and {left} more kernels" if left > 0 else "", legend=_schemes(plan))


def peers(frame: pd.DataFrame) -> tuple[str, str] | None:
    """Draw a comparison: a bar for each engine, as long as its median time.

    Parameters
    ----------
    frame : DataFrame
        Columns of `compare`.
    """
    times = frame["ms"].dropna()
    if not len(times):
        return None
    longest, row, left, right = float(times.max()), 20.0, 84.0, 150.0
    shapes, said = [], []
    for k, (peer, ms, ratio, status) in enumerate(
        zip(frame["peer"], frame["ms"], frame["ratio"], frame["status"], strict=True)
    ):
        y = 4 + row * k
        shapes.append(_text(left - 8, y + 12, peer, _TEXT, "end", 600 if k == 0 else 400))
        if ms == ms:
            wide = max((_WIDTH - left - right) * ms / longest, 1.5)
            colour = _COLOURS["local"] if k == 0 else "var(--wb-searched,#9e9e9e)"
            words = f"{_ms(ms)} ms" + (f" · {ratio:.3g}× ours" if k else "")
            words += "" if status == "ok" else f" · {status}"
            shapes.append(
                f'<rect x="{at(left)}" y="{at(y + 2)}" width="{at(wide)}" height="13" rx="2" style="fill:{colour}"/>'
            )
            shapes.append(_text(left + wide + 6, y + 12, words, _TEXT))
            said.append(f"{peer} {words}")
        else:
            shapes.append(_text(left, y + 12, status, _MUTED))
            said.append(f"{peer} {status}")
    alt = f"Median times: {'; '.join(said)}"
    return _svg(_WIDTH, 8 + row * len(frame), "".join(shapes), alt), alt


# what is drawn


def _operations(plan: FusionPlan) -> dict[Any, _Box]:
    nodes = {node["id"]: node for node in plan.graph["nodes"]}
    homes, sizes = _homes(plan), _bytes_of(plan)
    schemes = {kernel.name: kernel for kernel in plan.kernels}
    constants: dict[int, list[str]] = defaultdict(list)
    for edge in plan.graph["edges"]:
        if nodes[edge["from"]]["kind"] == "Const":
            constants[edge["to"]].append(_number(nodes[edge["from"]]["op"]))
    boxes: dict[Any, _Box] = {}
    for k, node in nodes.items():
        if node["kind"] == "Leaf":
            boxes[k] = _Box([fit(node["op"] or "array", 18)], plain=True)
        elif homes.get(k):
            kernel = schemes.get(homes[k])
            scheme = kernel.scheme if kernel is not None else "none"
            label = fit(" ".join([node["op"], *constants[k]]), 24)
            where = f" ({node['where']})" if node["where"] else ""
            boxes[k] = _Box(
                [label],
                _COLOURS.get(scheme, _MUTED),
                dashed=scheme == "none",
                title=f"{node['op']}{where} in {homes[k]}, {scheme}",
            )
    for target, sources in _through(plan, lambda k: k in boxes).items():
        if target in boxes:
            boxes[target].inputs = {k: sizes.get(k, sizes.get(target, 0.0)) for k in sources}
    used = {k for box in boxes.values() for k in box.inputs}
    boxes = {k: box for k, box in boxes.items() if not box.plain or k in used}
    for k, row in enumerate(plan.op_rows):
        kernel = schemes.get(row.kernel)
        if kernel is not None and kernel.kind == "fallback":
            where = f" ({row.where})" if row.where else ""
            boxes["fallback", k] = _Box([row.op, "unfused"], dashed=True, title=f"{row.op}{where} ran unfused")
    return boxes


def _homes(plan: FusionPlan) -> dict[int, str]:
    """Return the kernel of each node of the graph; library calls are told by their names."""
    found = {node["id"]: node["kernel"] for node in plan.graph["nodes"]}
    named = set(found.values())
    waiting: dict[str, deque[str]] = defaultdict(deque)
    for kernel in plan.kernels:
        if kernel.name not in named and kernel.kind != "fallback":
            waiting[kernel.name.partition("_")[2]].append(kernel.name)
    for node in plan.graph["nodes"]:
        if not node["kernel"] and node["kind"] not in ("Leaf", *_HIDDEN) and waiting[node["op"]]:
            found[node["id"]] = waiting[node["op"]].popleft()
    return found


def _through(plan: FusionPlan, shown: Any) -> dict[int, list[int]]:
    """Return for each node the drawn nodes that it needs, through those that are not drawn."""
    nearest: dict[int, list[int]] = {}
    needs: dict[int, list[int]] = defaultdict(list)
    for edge in plan.graph["edges"]:
        needs[edge["to"]].append(edge["from"])
    for node in plan.graph["nodes"]:  # inputs come first
        found: dict[int, None] = {}
        for k in needs[node["id"]]:
            found.update(dict.fromkeys([k] if shown(k) else nearest.get(k, [])))
        nearest[node["id"]] = list(found)
    return nearest


def _bytes_of(plan: FusionPlan) -> dict[int, float]:
    """Return the bytes of the value of each node, as far as its shape is told."""
    rows: dict[tuple[str, str], deque[Any]] = defaultdict(deque)
    for row in plan.op_rows:
        rows[row.kernel, row.op].append(row)
    found = {}
    for node in plan.graph["nodes"]:
        queue = rows[node["kernel"], node["op"]]
        if node["kernel"] and queue:
            row = queue.popleft()
            count = 1.0
            for part in row.shape.strip("()").split(","):
                count *= float(part) if part.strip().isdigit() else 1.0
            found[node["id"]] = count * _itemsize(row.dtype)
    return found


def _itemsize(dtype: str) -> float:
    digits = "".join(c for c in dtype if c.isdigit())
    return float(digits) / 8 if digits else 1.0


def _kernel_box(kernel: Kernel, brief: bool) -> _Box:
    took = [] if kernel.measured_ms is None else [f"took {_ms(kernel.measured_ms)} ms"]
    # nothing is predicted of what ran by itself
    told = [] if kernel.kind == "fallback" else [f"predicted {_ms(kernel.predicted_ms)} ms"]
    time = ", ".join([*told, *took])
    lines = [f"{kernel.name} · {kernel.kind}{'' if kernel.scheme == 'none' else f' · {kernel.scheme}'}"]
    lines += [_count(len(kernel.ops), "op")] if brief else _wrapped(kernel.ops)
    lines.append(f"{bytes_text(kernel.bytes_read)} read, {bytes_text(kernel.bytes_written)} written")
    lines.append(time)
    library = kernel.kind in LIBRARY
    return _Box(lines, _COLOURS.get(kernel.scheme, _MUTED), dashed=library, title=" ".join(kernel.ops))


def _wrapped(ops: Sequence[str], most: int = 46, lines: int = 6) -> list[str]:
    found = [""]
    counted: list[str] = []
    for op in ops:
        if counted and counted[-1].split(" ×")[0] == op:
            many = int(counted[-1].partition(" ×")[2] or 1) + 1
            counted[-1] = f"{op} ×{many}"
        else:
            counted.append(op)
    for k, op in enumerate(counted):
        text = op + ("," if k + 1 < len(counted) else "")
        if found[-1] and len(found[-1]) + len(text) > most:
            found.append(text)
        else:
            found[-1] = f"{found[-1]} {text}".strip()
    return found if len(found) <= lines else [*found[: lines - 1], f"… {len(ops)} in all"]


def _schemes(plan: FusionPlan) -> list[tuple[str, str]]:
    there = {kernel.scheme for kernel in plan.kernels}
    return [(name, colour) for name, colour in _COLOURS.items() if name in there]


# where it stands


def _levels(boxes: dict[Any, _Box]) -> int:
    """Give each box a level below all that it needs, inputs right above who needs them first; return how many."""
    order = [k for k, box in boxes.items() if box.plain] + [k for k, box in boxes.items() if not box.plain]
    for _ in range(len(order)):
        changed = False
        for k in order:
            box = boxes[k]
            level = 1 + max((boxes[source].level for source in box.inputs if source in boxes), default=-1)
            if not box.plain and level > box.level:
                box.level, changed = level, True
        if not changed:
            break
    for k in order:
        if boxes[k].plain:
            users = [box.level for box in boxes.values() if k in box.inputs]
            boxes[k].level = max(min(users, default=1) - 1, 0)
    return 1 + max(box.level for box in boxes.values())


def _placed(boxes: dict[Any, _Box], top: float) -> float:
    """Place boxes in rows, each row near the middle of what it needs; return where the last row ends."""
    rows: dict[int, list[_Box]] = defaultdict(list)
    for box in boxes.values():
        rows[box.level].append(box)
    y = top
    for level in sorted(rows):
        row = rows[level]
        for box in row:
            above = [boxes[k] for k in box.inputs if k in boxes and boxes[k].level < level]
            box.x = sum(each.x for each in above) / len(above) if above else _WIDTH / 2
        users = {
            id(box): [each.x for each in boxes.values() if any(boxes.get(k) is box for k in each.inputs)] for box in row
        }
        row.sort(key=lambda box: (box.x, sum(users[id(box)])))
        for part in _split(row):
            y = _in_a_row(part, y)
    return y


def _split(row: list[_Box]) -> list[list[_Box]]:
    parts: list[list[_Box]] = [[]]
    wide = 0.0
    for box in row:
        if parts[-1] and wide + box.width + 12 > _WIDTH - 16:
            parts.append([])
            wide = 0.0
        parts[-1].append(box)
        wide += box.width + 12
    return parts


def _in_a_row(row: list[_Box], y: float) -> float:
    """Place the boxes of one row without overlap, as near to where each wants to be as that allows."""
    wanted = [box.x for box in row]
    _push(row)
    off = sum(want - box.x for want, box in zip(wanted, row, strict=True)) / len(row)
    for box in row:
        box.x += off
    _push(row)
    edge = _WIDTH - 8.0
    for box in reversed(row):
        box.x = min(box.x, edge - box.width / 2)
        edge = box.x - box.width / 2 - 12
    tall = max(box.height for box in row)
    for box in row:
        box.y = y + (tall - box.height) / 2
    return y + tall + 18


def _push(row: list[_Box]) -> None:
    """Move boxes to the right until none overlaps the one before it."""
    edge = 8.0
    for box in row:
        box.x = max(box.x, edge + box.width / 2)
        edge = box.x + box.width / 2 + 12


# shapes


def _picture(boxes: dict[Any, _Box], title: str, note: str, legend: Sequence[tuple[str, str]] = ()) -> tuple[str, str]:
    bottom = _placed(boxes, 28.0)
    most = max((size for box in boxes.values() for size in box.inputs.values()), default=0.0) or 1.0
    shapes = [_text(8, 14, title, _TEXT, weight=600)]
    x = _WIDTH - 8
    for name, colour in reversed(legend):
        words = "in the library" if name == "none" else name
        x -= 6.0 * len(words) + 8
        shapes.append(_text(x, 14, words, _MUTED))
        x -= 15
        dash = ' stroke-dasharray="3 2"' if name == "none" else ""
        shapes.append(
            f'<rect x="{at(x)}" y="5" width="10" height="10" rx="2" fill-opacity="0.25" stroke-width="1.5"{dash} '
            f'style="fill:{colour};stroke:{colour}"/>'
        )
        x -= 6
    for box in boxes.values():
        for key, size in box.inputs.items():
            if key in boxes:
                shapes.append(_edge(boxes[key], box, 1.0 + 3.0 * (size / most) ** 0.5, size))
    shapes += [_drawn(box) for box in boxes.values()]
    if note:
        shapes.append(_text(8, bottom + 4, note, _MUTED))
        bottom += 16
    return _svg(_WIDTH, bottom - 8, "".join(shapes), title), title


def _drawn(box: _Box) -> str:
    x, y = box.x - box.width / 2, box.y
    if box.plain:
        frame = (
            f'<rect x="{at(x)}" y="{at(y)}" width="{at(box.width)}" height="{at(box.height)}" rx="10" '
            f'style="fill:var(--wb-track,#80808030)"/>'
        )
    else:
        dash = ' stroke-dasharray="4 3"' if box.dashed else ""
        # what is behind a box are edges: they must not run through its words
        back = (
            f'<rect x="{at(x)}" y="{at(y)}" width="{at(box.width)}" height="{at(box.height)}" rx="4" '
            f'style="fill:var(--wb-page,transparent)"/>'
        )
        frame = back + (
            f'<rect x="{at(x)}" y="{at(y)}" width="{at(box.width)}" height="{at(box.height)}" rx="4" '
            f'fill-opacity="0.12" stroke-width="1.3"{dash} style="fill:{box.colour};stroke:{box.colour}"/>'
        )
    words = "".join(
        _text(
            box.x,
            y + 13.5 + 13 * k,
            line,
            _TEXT if k == 0 else _MUTED,
            "middle",
            600 if k == 0 < len(box.lines) - 1 else 400,
        )
        for k, line in enumerate(box.lines)
    )
    title = f"<title>{escape(box.title)}</title>" if box.title else ""
    return f"<g>{title}{frame}{words}</g>"


def _edge(source: _Box, target: _Box, wide: float, size: float) -> str:
    x1, y1, x2, y2 = source.x, source.y + source.height, target.x, target.y
    bend = max((y2 - y1) / 2, 6.0)
    title = f"<title>{bytes_text(int(size))}</title>" if size else ""
    return (
        f'<path d="M{at(x1)} {at(y1)}C{at(x1)} {at(y1 + bend)} {at(x2)} {at(y2 - bend)} {at(x2)} {at(y2)}" '
        f'stroke-width="{at(wide)}" stroke-opacity="0.7" '
        f'style="fill:none;stroke:var(--wb-searched,#9e9e9e)">{title}</path>'
    )


def _svg(width: float, height: float, inside: str, alt: str) -> str:
    size = f'viewBox="0 0 {at(width)} {at(height)}" width="{at(width)}" height="{at(height)}"'
    style = 'style="max-width:100%;height:auto"'
    label = f'role="img" aria-label="{escape(alt)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style} {label}>{inside}</svg>'


def _text(x: float, y: float, text: str, colour: str, anchor: str = "start", weight: int = 400) -> str:
    more = f' text-anchor="{anchor}"' if anchor != "start" else ""
    more += f' font-weight="{weight}"' if weight != 400 else ""
    return f'<text x="{at(x)}" y="{at(y)}" font-size="11"{more} style="fill:{colour}">{escape(text)}</text>'


def _number(text: str) -> str:
    """Return a constant in as few characters as tell what it is."""
    plain = text.removeprefix("np.float64(").removeprefix("np.int64(").removesuffix(")")
    try:
        value = float(plain)
    except ValueError:
        return fit(plain, 10)
    return f"{value:.6g}"


def _count(many: int, what: str) -> str:
    return f"{many} {what}{'' if many == 1 else 's'}"


def _ms(value: float) -> str:
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
