"""Drawing primitives that become SVG text in the page's colours, and PNG with Pillow for viewers without SVG."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.notebook.theme import ThemeName, css, rgb

__all__ = ["Bar", "Drawing", "Line", "Path", "Text", "nice_ticks", "short_number"]

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A straight stroke; `dash` is an SVG dash pattern."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str = "grid"
    width: float = 1.0
    dash: str = ""


@dataclass(frozen=True)
class Bar:
    """A filled box; `hatch` fills it with slanted strokes; `title` is its tooltip."""

    x: float
    y: float
    width: float
    height: float
    colour: str = "accent"
    title: str = ""
    opacity: float = 1.0
    hatch: bool = False
    radius: float = 0.0


@dataclass(frozen=True)
class Path:
    """A line through points, or with `fill` the area inside them."""

    points: Sequence[Point]
    colour: str = "accent"
    width: float = 1.5
    fill: bool = False
    opacity: float = 1.0


@dataclass(frozen=True)
class Text:
    """A line of text; `anchor` says which part of it stands at x."""

    x: float
    y: float
    text: str
    colour: str = "muted"
    anchor: str = "start"
    size: float = 11.0


Shape = Line | Bar | Path | Text


@dataclass
class Drawing:
    """Shapes on a canvas, in px.

    Parameters
    ----------
    width, height : float
    alt : str
        What a reader hears who does not see it.
    shapes : list of shapes
    """

    width: float
    height: float
    alt: str = ""
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        """Put shapes on top."""
        self.shapes += shapes

    # ------------------------------------------------------------------------------------------------------------ SVG

    def svg(self) -> str:
        """Return the drawing as one `<svg>` element without ids or script."""
        inner = "".join(_svg_shape(shape) for shape in self.shapes)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_n(self.width)} {_n(self.height)}" '
            f'width="{_n(self.width)}" height="{_n(self.height)}" role="img" aria-label="{_e(self.alt)}">{inner}</svg>'
        )

    # ------------------------------------------------------------------------------------------------------------ PNG

    def png(self, theme: ThemeName = "light", scale: int = 2) -> bytes:
        """Return the drawing as a PNG on the theme's background.

        Parameters
        ----------
        theme : {"auto", "light", "dark"}
            `auto` is drawn light.
        scale : int
            Device pixels for one px.
        """
        from PIL import Image, ImageDraw

        size = (max(1, round(self.width * scale)), max(1, round(self.height * scale)))
        image = Image.new("RGBA", size, rgb("page", theme))
        for shape in self.shapes:
            opacity = getattr(shape, "opacity", 1.0)
            layer = Image.new("RGBA", size, (0, 0, 0, 0)) if opacity < 1 else image
            _paint(ImageDraw.Draw(layer), shape, theme, scale)
            if layer is not image:
                layer.putalpha(layer.getchannel("A").point(lambda a, o=opacity: round(a * o)))
                image.alpha_composite(layer)
        out = io.BytesIO()
        image.convert("RGB").quantize(64).save(out, "PNG", optimize=True)
        return out.getvalue()


def _svg_shape(shape: Shape) -> str:
    if isinstance(shape, Line):
        dash = f' stroke-dasharray="{shape.dash}"' if shape.dash else ""
        return (
            f'<line x1="{_n(shape.x1)}" y1="{_n(shape.y1)}" x2="{_n(shape.x2)}" y2="{_n(shape.y2)}" '
            f'style="stroke:{css(shape.colour)}" stroke-width="{_n(shape.width)}"{dash}/>'
        )
    if isinstance(shape, Bar):
        title = f"<title>{_e(shape.title)}</title>" if shape.title else ""
        more = (f' opacity="{_n(shape.opacity)}"' if shape.opacity < 1 else "") + (
            f' rx="{_n(shape.radius)}"' if shape.radius else ""
        )
        box = f'<rect x="{_n(shape.x)}" y="{_n(shape.y)}" width="{_n(shape.width)}" height="{_n(shape.height)}"{more} '
        if not shape.hatch:
            return (
                f'{box}style="fill:{css(shape.colour)}">{title}</rect>'
                if title
                else f'{box}style="fill:{css(shape.colour)}"/>'
            )
        strokes = "".join(f"M{_n(a)} {_n(b)}L{_n(c)} {_n(d)}" for a, b, c, d in _hatching(shape))
        return (
            f'<g>{title}{box}style="fill:none;stroke:{css(shape.colour)}" stroke-width="0.7"/>'
            f'<path d="{strokes}" style="stroke:{css(shape.colour)}" stroke-width="0.7"/></g>'
        )
    if isinstance(shape, Path):
        points = " ".join(f"{_n(x)},{_n(y)}" for x, y in shape.points)
        if shape.fill:
            return f'<polygon points="{points}" style="fill:{css(shape.colour)}" opacity="{_n(shape.opacity)}"/>'
        return (
            f'<polyline points="{points}" style="fill:none;stroke:{css(shape.colour)}" '
            f'stroke-width="{_n(shape.width)}" opacity="{_n(shape.opacity)}"/>'
        )
    anchor = f' text-anchor="{shape.anchor}"' if shape.anchor != "start" else ""
    return (
        f'<text x="{_n(shape.x)}" y="{_n(shape.y)}" font-size="{_n(shape.size)}"{anchor} '
        f'style="fill:{css(shape.colour)}">{_e(shape.text)}</text>'
    )


def _paint(pen: Any, shape: Shape, theme: ThemeName, scale: int) -> None:
    colour = rgb(shape.colour, theme)
    if isinstance(shape, Line):
        points = [(shape.x1 * scale, shape.y1 * scale), (shape.x2 * scale, shape.y2 * scale)]
        pen.line(points, fill=colour, width=max(1, round(shape.width * scale)))
    elif isinstance(shape, Bar):
        left, top = shape.x * scale, shape.y * scale
        # At least one device pixel wide, so that no event is lost; Pillow includes the right and lower edge.
        box = (left, top, max(left, left + shape.width * scale - 1), max(top, top + shape.height * scale - 1))
        if shape.hatch:
            pen.rectangle(box, outline=colour)
            for a, b, c, d in _hatching(shape):
                pen.line((a * scale, b * scale, c * scale, d * scale), fill=colour)
        else:
            pen.rectangle(box, fill=colour)
    elif isinstance(shape, Path):
        points = [(x * scale, y * scale) for x, y in shape.points]
        if shape.fill and len(points) > 2:
            pen.polygon(points, fill=colour)
        elif not shape.fill and len(points) > 1:
            pen.line(points, fill=colour, width=max(1, round(shape.width * scale)), joint="curve")
    else:
        from PIL import ImageFont

        font = ImageFont.load_default(shape.size * scale)
        # Pillow's own font has Latin letters only; anything else would be an error or a box.
        text = shape.text.encode("latin-1", "replace").decode("latin-1")
        place = (shape.x * scale, shape.y * scale)
        pen.text(place, text, fill=colour, font=font, anchor={"start": "ls", "middle": "ms", "end": "rs"}[shape.anchor])


def _hatching(bar: Bar, step: float = 6.0) -> list[tuple[float, float, float, float]]:
    """Return slanted strokes that fill a bar, cut at its edges (at most 400)."""
    strokes = []
    step = max(step, (bar.width + bar.height) / 400)
    offset = step
    while offset < bar.width + bar.height:
        x1, y1 = (bar.x + offset, bar.y) if offset <= bar.width else (bar.x + bar.width, bar.y + offset - bar.width)
        x2, y2 = (bar.x, bar.y + offset) if offset <= bar.height else (bar.x + offset - bar.height, bar.y + bar.height)
        strokes.append((x1, y1, x2, y2))
        offset += step
    return strokes


def nice_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Return about `count` round values from `low` to `high`, both included where they are round."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / max(1, count)
    base = 10.0 ** math.floor(math.log10(raw))
    step = next(base * factor for factor in (1, 2, 5, 10) if base * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def short_number(value: float) -> str:
    """Write an axis value: at most 4 significant digits, commas for thousands."""
    from workbench.notebook.tables import number

    return number(value)


def _n(value: float) -> str:
    """Write a coordinate with at most two decimals, so that equal pictures are equal text."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value == value else "0"


def _e(text: str) -> str:
    return html.escape(str(text), quote=True)
