"""What drawings that are written as SVG text have in common."""

from __future__ import annotations

import html

__all__ = ["at", "escape", "fit"]


def fit(text: str, most: int) -> str:
    """Return text of at most so many characters; what is cut off is an ellipsis."""
    return text if len(text) <= most else text[: most - 1] + "…"


def at(value: float) -> str:
    """Return a coordinate with two digits, or fewer."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


def escape(text: str) -> str:
    """Escape text for XML, which has no place for control characters at all."""
    clean = "".join(c if c >= " " or c in "\t\n" else "�" for c in text)
    return html.escape(clean, quote=True)
