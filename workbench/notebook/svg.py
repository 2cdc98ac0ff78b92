"""SVG from elsewhere, with all that is not on the list taken out: no script, no style sheet, no link to outside."""

from __future__ import annotations

import re
from xml.etree import ElementTree

__all__ = ["clean_svg"]

_SPACE = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_TAGS = frozenset(
    {
        "svg", "g", "rect", "line", "path", "polyline", "polygon", "circle", "ellipse", "text", "tspan",
        "title", "desc", "image",
    }
)  # fmt: skip
_ATTRIBUTES = frozenset(
    {
        "x", "y", "x1", "y1", "x2", "y2", "cx", "cy", "r", "rx", "ry", "width", "height", "d", "points",
        "viewBox", "preserveAspectRatio", "transform", "fill", "stroke", "stroke-width", "stroke-dasharray",
        "stroke-linecap", "stroke-linejoin", "stroke-opacity", "fill-opacity", "fill-rule", "opacity",
        "font-size", "font-family", "font-weight", "text-anchor", "dominant-baseline", "dx", "dy", "class", "style",
        "role", "aria-label", "aria-hidden",
    }
)  # fmt: skip
_STYLE = re.compile(r"[\w\s:;,.#%()-]*")
_PICTURE = re.compile(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/=\s]*")

ElementTree.register_namespace("", _SPACE)


def clean_svg(text: str) -> str:
    """Return the SVG with unknown elements and attributes dropped; empty if it is no SVG."""
    if "<!" in re.sub(r"<!--.*?-->", "", text, flags=re.S):
        return ""  # a document type can define entities
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return ""
    if _local(root.tag) != "svg":
        return ""
    _clean(root)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _clean(element: ElementTree.Element) -> None:
    for name, value in list(element.attrib.items()):
        if not _allowed(element, name, value):
            del element.attrib[name]
    for child in list(element):
        if not isinstance(child.tag, str) or _local(child.tag) not in _TAGS:
            element.remove(child)
            continue
        _clean(child)
    element.tag = f"{{{_SPACE}}}{_local(element.tag)}"


def _allowed(element: ElementTree.Element, name: str, value: str) -> bool:
    if name in ("href", _LINK):
        return _local(element.tag) == "image" and _PICTURE.fullmatch(value) is not None
    if name not in _ATTRIBUTES or "url(" in value.lower():
        return False
    return name != "style" or _STYLE.fullmatch(value) is not None


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]
