"""Whether the text of a page is told from what it stands on."""

from __future__ import annotations

from typing import Any

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


def poor(page: Any, selector: str, least: float = 4.5) -> list[tuple[str, str, str, float]]:
    """Return text, colour, ground and contrast of the visible elements whose contrast is below `least`."""
    seen = page.evaluate(_SEEN, selector)
    assert seen, f"nothing to be seen of {selector}"
    rated = [(text, colour, ground, contrast(colour, ground)) for text, colour, ground in seen]
    return [each for each in rated if each[3] < least]
