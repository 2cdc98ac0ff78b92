"""Colours of everything that is drawn: JupyterLab's variables where they exist, readable fallbacks elsewhere.

In `auto` a colour is `var(--jp-…, fallback)`, so an output follows the theme of the page it stands in; text falls
back to the page's own colour. `light` and `dark` set every colour, the background too; PNG has these fixed values.
"""

from __future__ import annotations

from typing import Any, Literal

__all__ = ["ROLES", "SERIES", "STYLE", "ThemeName", "contrast", "css", "plotly_template", "rgb", "root_class"]

ThemeName = Literal["auto", "light", "dark"]

#: role -> (JupyterLab variable, fallback where the page gives none, light, dark)
ROLES: dict[str, tuple[str, str, str, str]] = {
    "text": ("--jp-content-font-color1", "currentColor", "#1f1f1f", "#e6e6e6"),
    "muted": ("--jp-content-font-color2", "currentColor", "#5f5f5f", "#b0b0b0"),
    "page": ("--jp-layout-color0", "transparent", "#ffffff", "#111111"),
    "grid": ("--jp-border-color2", "rgba(128,128,128,.35)", "#dadada", "#404040"),
    "track": ("--jp-layout-color2", "rgba(128,128,128,.18)", "#ececec", "#2a2a2a"),
    "searched": ("--jp-border-color1", "rgba(128,128,128,.45)", "#bdbdbd", "#616161"),
    "accent": ("--jp-brand-color1", "#2b7bd3", "#1976d2", "#4a9eea"),
    "warn": ("--jp-warn-color1", "#c26a00", "#b35900", "#e8963c"),
    "error": ("--jp-error-color1", "#d64545", "#c62828", "#ef6f6f"),
    "good": ("--jp-success-color1", "#35863a", "#2e7d32", "#62b366"),
}

#: Roles or plain colours of series and bars, in order; all of 3:1 or more on white and on #111.
SERIES = ("accent", "#c26a00", "#35863a", "#a35cc4", "#d64545", "#15858f", "#8a7300", "#c2528b")


def css(role: str) -> str:
    """Return the CSS colour of a role; anything else is given back as it is."""
    return f"var(--wb-{role})" if role in ROLES else role


def rgb(role: str, theme: ThemeName = "light") -> str:
    """Return the fixed `#rrggbb` of a role for pictures without a style sheet."""
    if role not in ROLES:
        return role
    return ROLES[role][3 if theme == "dark" else 2]


def root_class(theme: ThemeName) -> str:
    """Return the class of an output's root element."""
    return "wb" if theme == "auto" else f"wb wb-{theme}"


def contrast(first: str, second: str) -> float:
    """Return the WCAG contrast ratio of two `#rrggbb` colours, 1 to 21."""
    light, dark = sorted((_luminance(first), _luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def plotly_template(theme: ThemeName = "auto") -> dict[str, Any]:
    """Return the layout template for plotly figures: transparent, fitted to the cell, our series colours."""
    dark = theme == "dark"
    text = rgb("text", "dark") if dark else ("#767676" if theme == "auto" else rgb("text"))
    axis = {
        "gridcolor": "rgba(128,128,128,.3)",
        "linecolor": "rgba(128,128,128,.6)",
        "zeroline": False,
        "automargin": True,
    }
    return {
        "layout": {
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"color": text, "size": 12},
            "colorway": [rgb(name, "dark" if dark else "light") for name in SERIES],
            "margin": {"l": 48, "r": 16, "t": 32, "b": 40},
            "autosize": True,
            "xaxis": axis,
            "yaxis": axis,
        }
    }


def _variables(column: int) -> str:
    return "".join(f"--wb-{role}:{row[column]};" for role, row in ROLES.items())


#: One style sheet for each output; every rule is below `.wb`, so nothing else of the page changes.
STYLE = (
    ".wb{"
    + "".join(f"--wb-{role}:var({row[0]},{row[1]});" for role, row in ROLES.items())
    + "color:var(--wb-text);font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);max-width:960px}"
    f".wb-light{{{_variables(2)}background:#fff;padding:8px 10px}}"
    f".wb-dark{{{_variables(3)}background:#111;padding:8px 10px}}"
    ".wb>*{margin:0 0 8px}.wb>:last-child{margin-bottom:0}"
    ".wb-summary{font-weight:600;font-variant-numeric:tabular-nums}"
    ".wb-note{border-left:3px solid var(--wb-accent);padding:1px 0 1px 8px;white-space:pre-line}"
    ".wb-note.wb-warning{border-color:var(--wb-warn)}.wb-note.wb-error{border-color:var(--wb-error)}"
    ".wb svg,.wb img,.wb video{display:block;max-width:100%;height:auto}"
    ".wb img,.wb video{border-radius:3px}"
    ".wb-drawn{display:grid;max-width:fit-content}.wb-drawn>*{grid-area:1/1;max-width:100%;height:auto}"
    ".wb-clips{display:flex;flex-wrap:wrap;gap:10px}.wb-clips>*{max-width:100%}"
    ".wb figure{margin:0;max-width:min(100%,470px)}"
    ".wb figcaption,.wb-muted{color:var(--wb-muted);font-size:12px}"
    ".wb-scroll{overflow-x:auto}"
    ".wb table{border-collapse:collapse;font-size:12px;font-variant-numeric:tabular-nums;margin:0;border:0}"
    # twice the class: JupyterLab puts all cells of tables on the right, with a rule that else is the stronger one
    ".wb.wb th,.wb.wb td{padding:3px 10px;text-align:left;border:0;border-bottom:1px solid var(--wb-grid);"
    "background:none;white-space:nowrap;color:inherit}"
    ".wb.wb th{font-weight:600;border-bottom-width:2px;white-space:normal;vertical-align:bottom}"
    ".wb.wb .wb-n{text-align:right}.wb table.wb-many{font-size:11px}"
    ".wb.wb .wb-many th,.wb.wb .wb-many td{padding:3px 5px}"
    ".wb th span{font-weight:400;color:var(--wb-muted)}"
    ".wb caption{caption-side:top;text-align:left;color:var(--wb-muted);padding:0 0 2px}"
    ".wb details>summary{cursor:pointer;color:var(--wb-muted)}"
    ".wb summary:focus-visible,.wb .wb-scroll:focus-visible{outline:2px solid var(--wb-accent);outline-offset:2px}"
    ".wb pre{margin:4px 0 0;font:12px/1.4 var(--jp-code-font-family,monospace);overflow-x:auto;white-space:pre;"
    "color:inherit;background:none}"
    ".wb progress{width:100%;height:6px;accent-color:var(--wb-accent)}"
)
