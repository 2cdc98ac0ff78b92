"""`%config Workbench`: listed, checked, in force at once."""

from __future__ import annotations

from typing import Any

import pytest
from traitlets import TraitError

from workbench.notebook.config import ConfigError, Workbench, settings

DEFAULTS = {
    "display_limit": 20, "clip_limit": "8MiB", "report_limit": "20MiB", "short_errors": True, "progress_after": "0.5s",
    "theme": "auto",
}  # fmt: skip


def test_defaults() -> None:
    fresh = Workbench()
    assert {name: getattr(fresh, name) for name in fresh.class_own_traits(config=True)} == DEFAULTS
    assert fresh.delay == 0.5 and fresh.clip_bytes == 8 * 2**20


def test_n10_config_lists_them(front: Any, capsys: pytest.CaptureFixture[str]) -> None:
    front.value("%config Workbench")
    out = capsys.readouterr().out
    for name, value in DEFAULTS.items():
        assert f"Workbench.{name}" in out and f"Current: {value!r}" in out


def test_config_sets_them(front: Any) -> None:
    front.value("%config Workbench.display_limit = 3")
    front.value("%config Workbench.theme = 'dark'")
    assert settings().display_limit == 3 and settings().theme == "dark"


def test_a_configuration_file_sets_them() -> None:
    from traitlets.config import Config

    assert Workbench(config=Config({"Workbench": {"display_limit": 7}})).display_limit == 7


@pytest.mark.parametrize(
    ("name", "value", "lines"),
    [
        (
            "display_limit",
            "ten",
            [
                "Workbench.display_limit is a whole number of at least -1; got 'ten'.",
                "Example: %config Workbench.display_limit = 20",
            ],
        ),
        (
            "display_limit",
            -2,
            [
                "Workbench.display_limit is a whole number of at least -1; got -2.",
                "Example: %config Workbench.display_limit = 20",
            ],
        ),
        ("clip_limit", 8, ["Workbench.clip_limit needs a unit, got 8.", 'Write "8MiB".']),
        ("report_limit", "8s", ['Workbench.report_limit is a size; got "8s".', 'Write "64MiB" or "2GB".']),
        ("progress_after", 1, ["Workbench.progress_after needs a unit, got 1.", 'Write "1s".']),
        (
            "progress_after",
            "1MiB",
            ['Workbench.progress_after is a time and "1MiB" is not.', 'Write "0.5s" or "2min".'],
        ),
        (
            "theme",
            "drak",
            [
                'Workbench.theme is "auto", "light" or "dark"; got \'drak\'.',
                'Example: %config Workbench.theme = "dark"',
            ],
        ),
        (
            "short_errors",
            "yes",
            ["Workbench.short_errors is True or False; got 'yes'.", "Example: %config Workbench.short_errors = True"],
        ),
    ],
)
def test_n10_wrong_values_are_refused(name: str, value: Any, lines: list[str]) -> None:
    fresh = Workbench()
    with pytest.raises(ConfigError) as caught:
        setattr(fresh, name, value)
    assert caught.value.lines() == lines
    assert isinstance(caught.value, TraitError)
    assert getattr(fresh, name) == DEFAULTS[name]
