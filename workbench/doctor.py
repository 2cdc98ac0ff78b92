"""What Workbench needs and what it found here: `workbench doctor`."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

__all__ = ["CHROMIUM_NAMES", "Row", "chromium", "ok", "rows"]

#: what is tried, in this order, where WORKBENCH_CHROMIUM is not set
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
#: free bytes below which the store cannot do much
_LEAST_DISK = 512 * 2**20
_REINSTALL = "pip install --force-reinstall --no-deps -e ."


class Row(NamedTuple):
    """One thing that was looked for."""

    name: str
    found: bool
    required: bool
    detail: str


def rows() -> list[Row]:
    """Return all rows, required ones first."""
    found = [_python(), *_packages(), *_extension(), _store(), _disk(), _mirror(), *_optional()]
    return sorted(found, key=lambda row: not row.required)


def ok(found: list[Row]) -> bool:
    """Return whether nothing required is missing."""
    return all(row.found for row in found if row.required)


def chromium() -> str | None:
    """Return the path of the browser that tests drive, or None."""
    named = os.environ.get("WORKBENCH_CHROMIUM")
    if named:
        return shutil.which(named)
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name)) is not None), None)


def _python() -> Row:
    return Row("Python", sys.version_info >= (3, 11), True, f"{platform.python_version()} at {sys.executable}")


def _packages() -> Iterator[Row]:
    from packaging.requirements import Requirement

    try:
        needed = [Requirement(line) for line in metadata.requires("workbench") or ()]
        yield Row("workbench", True, True, metadata.version("workbench"))
    except metadata.PackageNotFoundError:
        yield Row("workbench", False, True, "runs from its source, but is not installed: pip install -e .")
        return
    for requirement in sorted(needed, key=lambda requirement: requirement.name.lower()):
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Row(requirement.name, False, True, f'pip install "{requirement.name}{requirement.specifier}"')
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        yield Row(
            requirement.name, fits, True, version if fits else f"{version}, but {requirement.specifier} is needed"
        )


def _extension() -> Iterator[Row]:
    try:
        yield Row("JupyterLab", True, False, metadata.version("jupyterlab"))
    except metadata.PackageNotFoundError:
        yield Row("JupyterLab", False, False, 'pip install "workbench[lab]"')
        return
    found, detail = extension_state()
    yield Row("JupyterLab extension", found, True, detail)


def extension_state() -> tuple[bool, str]:
    """Return whether JupyterLab finds our extension, and where, or why not and what to do."""
    from jupyter_core.paths import jupyter_path

    package = Path(__file__).parent
    source = package.parent / "extensions" / "workbench-lab"
    built = package / "labextension" / "package.json"
    places = [Path(folder) / "workbench-lab" for folder in jupyter_path("labextensions")]
    installed = next((place for place in places if (place / "package.json").is_file()), None)
    if installed is not None:
        newest = max((path.stat().st_mtime for path in (source / "src").rglob("*.ts")), default=0.0)
        if built.is_file() and built.stat().st_mtime < newest:
            return True, f"older than its source: {_REINSTALL}"
        return True, os.fspath(installed)
    if built.is_file():
        return False, f"built, but not where JupyterLab looks: {_REINSTALL}"
    why = "the build failed" if (source / "node_modules").is_dir() else "the npm registry was not reachable"
    return False, f"not built ({why}).\n{_REINSTALL}"


def _store() -> Row:
    from workbench.engine.store import home, store

    folder = home()
    try:
        kept = store().entries()
    except OSError as error:
        return Row("store", False, True, f"{folder}: {error.strerror}")
    writable = os.access(folder, os.W_OK)
    from workbench.engine.units import format_bytes

    size = format_bytes(float(kept["bytes"].sum()))
    detail = f"{folder}, {len(kept):,} artefacts, {size}" if writable else f"{folder} cannot be written to"
    return Row("store", writable, True, detail)


def _disk() -> Row:
    from workbench.engine.store import home
    from workbench.engine.units import format_bytes

    try:
        free = shutil.disk_usage(home()).free
    except OSError as error:
        return Row("free disk", False, True, str(error.strerror))
    return Row("free disk", free >= _LEAST_DISK, True, format_bytes(free))


def _mirror() -> Row:
    named = os.environ.get("WORKBENCH_MIRROR", "").strip()
    if not named:
        return Row("mirror", True, True, "not set; assets come from upstream")
    if "://" in named:
        return Row("mirror", True, True, without_credentials(named))
    there = Path(named).expanduser().is_dir()
    return Row("mirror", there, True, named if there else f"no folder at {named}; see WORKBENCH_MIRROR")


def _optional() -> Iterator[Row]:
    yield _detector()
    yield _package("torch", 'pip install "workbench[train]"')
    yield _gpu()
    yield _package("triton", "comes with torch for CUDA")
    node = shutil.which("node") or shutil.which("nodejs")
    yield Row("Node.js", node is not None, False, node or "not needed: the build brings its own")
    browser = chromium()
    named = os.environ.get("WORKBENCH_CHROMIUM")
    missing = f"nothing to run at {named}; see WORKBENCH_CHROMIUM" if named else "only tests need it"
    yield Row("Chromium", browser is not None, False, browser or missing)
    scheduler = os.environ.get("WORKBENCH_SCHEDULER", "").strip()
    local = "not set; local processes start on first use"
    yield Row("scheduler", bool(scheduler), False, without_credentials(scheduler) if scheduler else local)


def _detector() -> Row:
    from workbench.engine.fetch import available

    name = "yolox-nano"
    if available(name):
        return Row("detector", True, False, name)
    return Row("detector", False, False, f"without weights only what moves is found: workbench fetch {name}")


def _package(name: str, hint: str) -> Row:
    # Asked for without importing it: torch alone takes seconds.
    if importlib.util.find_spec(name) is None:
        return Row(name, False, False, hint)
    try:
        return Row(name, True, False, metadata.version(name))
    except metadata.PackageNotFoundError:
        return Row(name, True, False, "version unknown")


def _gpu() -> Row:
    import subprocess

    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Row("GPU", False, False, "no NVIDIA driver; nothing here needs one")
    try:
        told = subprocess.run(
            [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True, text=True, timeout=10, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return Row("GPU", False, False, "nvidia-smi does not answer")
    names = [line.strip() for line in told.splitlines() if line.strip()]
    return Row("GPU", bool(names), False, "; ".join(names) or "none")


def without_credentials(address: str) -> str:
    """Return an address without `user:password@` and without its query."""
    scheme, mark, rest = address.rpartition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}{mark}{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
