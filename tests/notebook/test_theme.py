"""Colours are readable in both themes."""

from __future__ import annotations

import re

import pytest

from workbench.notebook.theme import ROLES, SERIES, STYLE, contrast, css, plotly_template, rgb, root_class

#: JupyterLab 4's own values for the variables that text uses, over its page: (light, dark)
JUPYTER = {"text": ("#212121", "#ffffff"), "muted": ("#757575", "#b3b3b3")}


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize(("theme", "page"), [("light", "#ffffff"), ("dark", "#111111")])
def test_n37_contrast_in_both_themes(theme: str, page: str) -> None:
    assert rgb("page", theme) == page  # type: ignore[arg-type]
    for role in ("text", "muted"):
        assert contrast(rgb(role, theme), page) >= 4.5  # type: ignore[arg-type]
        assert contrast(JUPYTER[role][theme == "dark"], page) >= 4.5
    for name in SERIES:
        assert contrast(rgb(name, theme), page) >= 3.0, name  # type: ignore[arg-type]


def test_text_falls_back_to_the_colour_of_the_page() -> None:
    for role in ("text", "muted"):
        assert ROLES[role][1] == "currentColor"


def test_every_rule_is_below_our_root() -> None:
    for selector in re.findall(r"([^{}]+)\{[^}]*\}", STYLE):
        for part in selector.split(","):
            assert part.strip().startswith(".wb"), part


def test_n37_roles_become_variables_and_colours_stay() -> None:
    assert css("text") == "var(--wb-text)" and css("#123456") == "#123456"
    assert root_class("auto") == "wb" and root_class("dark") == "wb wb-dark"


@pytest.mark.parametrize("theme", ["auto", "light", "dark"])
def test_n36_plotly_template(theme: str) -> None:
    import plotly.graph_objects as go

    template = go.layout.Template(plotly_template(theme))  # type: ignore[arg-type]
    assert template.layout.autosize is True and len(template.layout.colorway) == len(SERIES)
