"""Whether a page can be read and used by all: contrast of its text, and the rules of axe."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.notebook.theme import contrast

#: the visible elements of a selector: their text, colour and ground, with what shines through mixed in
_SEEN = """what => {
  const parse = text => { const [r, g, b, a] = text.match(/[0-9.]+/g).map(Number); return [r, g, b, a ?? 1]; };
  const over = (top, below) => [0, 1, 2].map(k => top[k] * top[3] + below[k] * (1 - top[3])).concat(1);
  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255, 1]);
  };
  const hex = colour => '#' + colour.slice(0, 3).map(each => Math.round(each).toString(16).padStart(2, '0')).join('');
  return [...document.querySelectorAll(what)].filter(each => each.textContent.trim() && each.getClientRects().length)
    .map(each => {
      const [style, below] = [getComputedStyle(each), ground(each)];
      const colour = parse(each instanceof SVGElement ? style.fill : style.color);
      return [each.textContent.trim().slice(0, 40), hex(over(colour, below)), hex(below)];
    });
}"""

_AXE = """async selectors => {
  const include = selectors.filter(each => document.querySelector(each)).map(each => [each]);
  const found = await axe.run({ include }, { resultTypes: ['violations'], rules: { region: { enabled: false } } });
  return found.violations.map(each => ({ id: each.id, nodes: each.nodes.map(node => ({
    target: node.target.join(' '), html: node.html.slice(0, 160), why: node.failureSummary }))
  }));
}"""


def poor(page: Any, selector: str, least: float = 4.5) -> list[tuple[str, str, str, float]]:
    """Return text, colour, ground and contrast of the visible elements whose contrast is below `least`."""
    seen = page.evaluate(_SEEN, selector)
    assert seen, f"nothing to be seen of {selector}"
    rated = [(text, colour, ground, contrast(colour, ground)) for text, colour, ground in seen]
    return [each for each in rated if each[3] < least]


def faults(page: Any, *selectors: str) -> list[str]:
    """Return what axe finds wrong within the elements of these selectors: WCAG 2.2 A and AA, and best practices."""
    script = pytest.importorskip("axe_playwright_python.base").AXE_SCRIPT
    page.evaluate(script)
    found = page.evaluate(_AXE, list(selectors))
    return [f"{each['id']}: {' '.join(node.values())}" for each in found for node in each["nodes"]]
