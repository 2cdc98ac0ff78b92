"""The static form of the `curve` block around its drawing: title, figures and shares, as `static/curve.js` has them."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

from workbench.notebook.theme import SERIES, css

__all__ = ["card_html"]

#: twice the class, as pages have rules of their own for lists
_ROOT = ".wb .wb-cv.wb-cv"
STYLE = (
    ".wb .wb-cv.wb-cv{max-width:760px;font-variant-numeric:tabular-nums}"
    f"{_ROOT} dl{{display:flex;flex-wrap:wrap;gap:6px 26px;margin:2px 0 8px}}"
    f"{_ROOT} dl>div{{min-width:74px;max-width:300px}}"
    f"{_ROOT} dt{{color:var(--wb-muted);font-size:12px;font-weight:400;margin:0;padding:0;float:none;width:auto}}"
    f"{_ROOT} dd{{margin:0;padding:0;font-size:16px;font-weight:600;line-height:1.25;white-space:nowrap}}"
    f"{_ROOT} dd+dd{{font-size:12px;font-weight:400;color:var(--wb-muted);line-height:1.35;white-space:normal}}"
    f"{_ROOT} .wb-cv-warning dd:first-of-type{{color:var(--wb-warn)}}"
    f"{_ROOT} .wb-cv-good dd:first-of-type{{color:var(--wb-good)}}"
    f"{_ROOT} .wb-cv-bar{{display:flex;height:14px;border-radius:3px;overflow:hidden;background:var(--wb-track);"
    "margin:6px 0 4px}"
    f"{_ROOT} .wb-cv-bar i{{display:block;min-width:1px}}{_ROOT} i.wb-cv-out{{opacity:.45}}"
    f"{_ROOT} .wb-cv-key{{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:12px;color:var(--wb-muted)}}"
    f"{_ROOT} .wb-cv-key i{{display:inline-block;width:10px;height:10px;border-radius:2px;margin-right:5px}}"
)
_LEVELS = ("good", "warning")


def card_html(state: Mapping[str, Any], drawing: str) -> str:
    """Return a curve with its title, figures and shares as HTML; the drawing alone where it has none of these."""
    foot = str(state.get("foot") or "")
    below = f'<div class="wb-muted">{_e(foot)}</div>' if foot else ""
    parts = [_head(state), _facts(state), drawing, _shares(state), below]
    if not any((*parts[:2], *parts[3:])):
        return drawing
    return f'<style>{STYLE}</style><div class="wb-cv">{"".join(parts)}</div>'


def _head(state: Mapping[str, Any]) -> str:
    title, status = str(state.get("title") or ""), str(state.get("status") or "")
    if not title and not status:
        return ""
    return f'<div><strong>{_e(title)}</strong> <span class="wb-muted">{_e(status)}</span></div>'


def _facts(state: Mapping[str, Any]) -> str:
    boxes = []
    for fact in state.get("facts") or []:
        level = str(fact.get("level") or "")
        mark = f' class="wb-cv-{level}"' if level in _LEVELS else ""
        note = f"<dd>{_e(fact['note'])}</dd>" if fact.get("note") else ""
        boxes.append(f"<div{mark}><dt>{_e(fact['label'])}</dt><dd>{_e(fact['value'])}</dd>{note}</div>")
    return f"<dl>{''.join(boxes)}</dl>" if boxes else ""


def _shares(state: Mapping[str, Any]) -> str:
    shares = [one for one in state.get("shares") or [] if one["value"] > 0]
    whole = sum(one["value"] for one in shares)
    if not shares:
        return ""
    bars, keys, words = [], [], []
    for index, one in enumerate(shares):
        colour = css(SERIES[index % len(SERIES)])
        out = ' class="wb-cv-out"' if one.get("counted") is False else ""
        word = _e(f"{one['name']} {one['text']}")
        bars.append(f'<i{out} style="width:{100 * one["value"] / whole:.2f}%;background:{colour}" title="{word}"></i>')
        keys.append(f'<span><i{out} style="background:{colour}"></i>{word}</span>')
        words.append(word)
    label = f"Time: {', '.join(words)}"
    bar = f'<div class="wb-cv-bar" role="img" aria-label="{label}">{"".join(bars)}</div>'
    return f'{bar}<div class="wb-cv-key">{"".join(keys)}</div>'


def _e(text: Any) -> str:
    return html.escape(str(text), quote=True)
