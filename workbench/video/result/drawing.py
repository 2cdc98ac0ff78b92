"""A region or a line drawn on a frame, and the code that stands for it."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.engine import render
from workbench.engine.errors import WorkbenchError
from workbench.video.language.shapes import Line, Region

__all__ = ["DrawnShape", "draw_region"]

#: the still picture that is kept in a notebook: at most this wide, px
_WIDTH, _QUALITY = 960, 80
_HOW = "To draw on it, run <code>%load_ext workbench</code>, then this cell again."


class DrawnShape:
    """A frame with the corners of a region on it; see `draw_region`.

    In JupyterLab its picture takes clicks and keys, with a kernel or without one: corners are added, moved and taken
    away, and the code below follows. The corners that Python knows are those of `points`; `widget()` gives a picture
    whose corners Python follows.

    Attributes
    ----------
    name : str
    points : list of (float, float)
        Corners in px of the source.
    """

    def __init__(self, name: str, image: NDArray[np.uint8], points: Sequence[tuple[float, float]]) -> None:
        self.name, self.points = name, list(points)
        self._image = image
        self._picture: bytes | None = None

    @property
    def region(self) -> Region:
        """The region that was drawn."""
        if len(self.points) < 3:
            raise WorkbenchError(f"{self.name} has {len(self.points)} of 3 corners.", "Set more on the picture.")
        return Region(*self.points)

    @property
    def line(self) -> Line:
        """The line through the first two corners."""
        if len(self.points) < 2:
            raise WorkbenchError(f"{self.name} has {len(self.points)} of 2 ends.", "Set both ends on the picture.")
        return Line(*self.points[:2])

    @property
    def code(self) -> str:
        """The line to paste into a cell."""
        return shape_code(self.name, self.points)

    def widget(self) -> Any:
        """Return the picture as a widget whose corners `points` follows; for a kernel that runs.

        Raises
        ------
        WorkbenchError
            If there are no widgets.
        """
        made = render.make_widget("region", self.state())
        made.observe(lambda change: setattr(self, "points", [(x, y) for x, y in change.new]), "points")
        return made

    def state(self) -> dict[str, Any]:
        """Return the state of the module that draws it."""
        height, width = self._image.shape[:2]
        return {
            "asset": self.picture(), "width": width, "height": height, "name": self.name,
            "points": [list(point) for point in self.points], "code": self.code,
        }  # fmt: skip

    def picture(self) -> bytes:
        """Return the frame as a JPEG."""
        if self._picture is None:
            from PIL import Image

            image = Image.fromarray(self._image[..., ::-1])
            image.thumbnail((_WIDTH, _WIDTH))
            out = io.BytesIO()
            image.save(out, "JPEG", quality=_QUALITY)
            self._picture = out.getvalue()
        return self._picture

    def view_data(self) -> dict[str, Any]:
        """Return what is to be seen, as plain data."""
        return {"blocks": [{"kind": "region", "state": self.state()}]}

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        bundle = render.mimebundle(self, include, exclude)
        if "text/html" in bundle and bundle["text/html"] == render.plain_bundle(self)["text/html"]:
            # Nobody draws it: the frame, and what lets one draw on it.
            picture = base64.b64encode(self.picture()).decode()
            bundle["text/html"] = (
                f'<div class="wb-result"><img alt="The frame" src="data:image/jpeg;base64,{picture}">'
                f"<pre>{html.escape(self.code)}</pre><p>{_HOW}</p></div>"
            )
        return bundle

    def __repr__(self) -> str:
        height, width = self._image.shape[:2]
        return f"<DrawnShape {self.name}: {len(self.points)} corners on {width}x{height}>"


def shape_code(name: str, points: Sequence[tuple[float, float]]) -> str:
    """Return the line of code for corners: a line for two, else a region."""
    corners = ", ".join(f"({x:.0f}, {y:.0f})" for x, y in points)
    return f"{name} = {'Line' if len(points) == 2 else 'Region'}({corners})"


def draw_region(
    source: Any, at: Any = "0s", *, name: str = "region", points: Sequence[tuple[float, float]] = ()
) -> DrawnShape:
    """Show a frame to draw a region or a line on, and give its code.

    A click sets a corner, dragging moves it. With keys: arrows move the cross by 10 px (with Shift by 1), Enter sets a
    corner there, `[` and `]` choose one, which arrows then move and Delete takes away, Escape lets go of it. Two
    corners are a `Line`, more a `Region`.

    Parameters
    ----------
    source : path-like, str, Sample or Source
        As for `vquery`; one video.
    at : int or str
        Frame index, or time (`"12.5s"`, `"01:30"`).
    name : str
        What the code assigns to.
    points : sequence of (float, float)
        Corners to begin with, px.

    Returns
    -------
    DrawnShape

    Raises
    ------
    WorkbenchError
        For a name that Python does not take, and for what `read_frame` cannot read.
    """
    from workbench.video.source import read_frame

    if not isinstance(name, str) or not name.isidentifier():
        raise WorkbenchError(f"{name!r} is no name of a variable.", 'Write name="yard".')
    try:
        corners = [(float(x), float(y)) for x, y in points]
    except (TypeError, ValueError):
        raise WorkbenchError(
            f"points are corners in px, got {points!r}.", "Write points=[(360, 367), (773, 267), (1143, 480)]."
        ) from None
    return DrawnShape(name, read_frame(source, at), corners)
