"""The doctor names what is missing, and what to do about it."""

from __future__ import annotations

import os
import time
from importlib import metadata
from pathlib import Path

import pytest

from workbench import doctor
from workbench.engine import fetch


def row(name: str) -> doctor.Row:
    return next(row for row in doctor.rows() if row.name == name)


def test_required_rows_come_first_in_their_order() -> None:
    rows = doctor.rows()
    required = [row.required for row in rows]
    assert required == sorted(required, reverse=True)
    names = [row.name for row in rows]
    wanted = ["Python", "workbench", "numpy", "JupyterLab extension", "store", "free disk", "mirror", "detector",
              "torch", "GPU", "triton", "Node.js", "Chromium", "scheduler"]  # fmt: skip
    assert [name for name in names if name in wanted] == wanted


def test_versions_are_those_installed() -> None:
    assert row("numpy") == doctor.Row("numpy", True, True, metadata.version("numpy"))


def test_an_old_package_is_not_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    true = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "1.0" if name == "pandas" else true(name))
    found = row("pandas")
    assert not found.found
    assert found.detail == "1.0, but >=2.2 is needed"
    assert not doctor.ok(doctor.rows())


def test_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    assert row("mirror").found
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path))
    assert row("mirror") == doctor.Row("mirror", True, True, str(tmp_path))
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path / "gone"))
    assert not row("mirror").found
    monkeypatch.setenv("WORKBENCH_MIRROR", "https://user:secret@example.org/data?token=1")
    assert row("mirror").detail == "https://example.org/data"


def test_detector(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_MIRROR", raising=False)
    assert not row("detector").found
    assert row("detector").detail.endswith("workbench fetch yolox-nano")
    (tmp_path / fetch.asset("yolox-nano").path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / fetch.asset("yolox-nano").path).write_bytes(b"")
    monkeypatch.setenv("WORKBENCH_MIRROR", str(tmp_path))
    assert row("detector") == doctor.Row("detector", True, False, "yolox-nano")


def test_scheduler_is_shown_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_SCHEDULER", "tls://user:secret@host:8786")
    assert row("scheduler") == doctor.Row("scheduler", True, False, "tls://host:8786")


def test_chromium_is_the_named_one_or_the_first_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("google-chrome", "chromium-browser", "mine"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("WORKBENCH_CHROMIUM", raising=False)
    assert doctor.chromium() == str(tmp_path / "chromium-browser")
    monkeypatch.setenv("WORKBENCH_CHROMIUM", str(tmp_path / "mine"))
    assert doctor.chromium() == str(tmp_path / "mine")
    monkeypatch.setenv("WORKBENCH_CHROMIUM", str(tmp_path / "gone"))
    assert doctor.chromium() is None


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty clone that the doctor takes for its own."""
    (tmp_path / "workbench").mkdir()
    (tmp_path / "extensions" / "workbench-lab" / "src").mkdir(parents=True)
    monkeypatch.setattr(doctor, "__file__", str(tmp_path / "workbench" / "doctor.py"))
    monkeypatch.setattr("jupyter_core.paths.jupyter_path", lambda *parts: [str(tmp_path.joinpath("share", *parts))])
    return tmp_path


def test_an_extension_that_was_not_built(house: Path) -> None:
    assert doctor.extension_state() == (
        False,
        "not built (the npm registry was not reachable).\npip install --force-reinstall --no-deps -e .",
    )
    (house / "extensions" / "workbench-lab" / "node_modules").mkdir()
    assert doctor.extension_state()[1].startswith("not built (the build failed).")


def test_an_extension_that_is_not_installed(house: Path) -> None:
    built = house / "workbench" / "labextension" / "package.json"
    built.parent.mkdir()
    built.write_text("{}")
    found, detail = doctor.extension_state()
    assert not found
    assert detail.startswith("built, but not where JupyterLab looks")


def test_an_installed_extension_and_a_stale_one(house: Path) -> None:
    installed = house / "share" / "labextensions" / "workbench-lab" / "package.json"
    built = house / "workbench" / "labextension" / "package.json"
    for path in (installed, built):
        path.parent.mkdir(parents=True)
        path.write_text("{}")
    assert doctor.extension_state() == (True, str(installed.parent))
    source = house / "extensions" / "workbench-lab" / "src" / "view.ts"
    source.write_text("")
    os.utime(source, (time.time() + 60, time.time() + 60))
    found, detail = doctor.extension_state()
    assert found
    assert detail.startswith("older than its source")
