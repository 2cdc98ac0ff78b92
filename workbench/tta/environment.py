"""What a run was made with: Python, packages, git, threads, CPU, GPU. What takes long is looked for beside the run."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.tta.contention import cores

__all__ = ["at_once", "in_time"]

#: seconds that another program may take to answer
_PATIENCE = 5.0
#: packages that do the training, as boards name them
_FRAMEWORKS = {
    "torch": "PyTorch", "jax": "JAX", "tensorflow": "TensorFlow", "mxnet": "MXNet", "paddle": "PaddlePaddle",
    "sklearn": "scikit-learn",
}  # fmt: skip
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")

#: what does not change while this process lives, and the state of git by folder: (when, what)
_machine: dict[str, Any] = {}
_git: dict[str, tuple[float, dict[str, Any]]] = {}


def at_once() -> dict[str, Any]:
    """Return what is known without looking for it, in under a millisecond."""
    found: dict[str, Any] = {
        "python": platform.python_version(),
        "host": platform.node(),
        "cores": cores(),
        "threads": _threads(),
    }
    with suppress(OSError, AttributeError):
        found["load"] = round(os.getloadavg()[0], 2)
    return found


def in_time() -> dict[str, Any]:
    """Return what has to be looked for: packages, git, CPU, memory, GPU and driver, operating system."""
    if not _machine:
        _machine.update({"platform": platform.platform(), "cpu": _cpu(), "memory_gib": _memory()})
    found = {name: value for name, value in _machine.items() if value}
    found |= _gpus()
    found["hardware"] = _hardware(found)
    packages = _packages()
    found["packages"] = packages
    for name, title in _FRAMEWORKS.items():
        if name in packages:
            found["framework"] = f"{title} {packages[name]}"
            break
    if git := _git_state(os.getcwd()):
        found["git"] = git
    found["threads"] = _threads()
    return found


# --------------------------------------------------------------------------------------------------------- private


def _threads() -> dict[str, Any]:
    found: dict[str, Any] = {name: os.environ[name] for name in _THREADS if name in os.environ}
    torch = sys.modules.get("torch")
    with suppress(Exception):  # half imported
        found["torch"] = torch.get_num_threads()  # type: ignore[union-attr]
    return found


def _packages() -> dict[str, str]:
    """Return the versions of the packages that are imported: a thousand others had no part in it."""
    found = {}
    for name, module in sorted(sys.modules.copy().items()):
        if "." in name or name.startswith("_") or name in sys.stdlib_module_names:
            continue
        version = getattr(module, "__dict__", {}).get("__version__")
        if isinstance(version, str):
            found[name] = version
    return found


def _cpu() -> str:
    with suppress(OSError), open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> float:
    with suppress(Exception):  # where psutil has no such figure
        import psutil

        return round(psutil.virtual_memory().total / 2**30, 1)
    return 0.0


def _gpus() -> dict[str, Any]:
    """Return names, driver and libraries of GPUs: as torch has them, else as NVIDIA's own program says."""
    torch = sys.modules.get("torch")
    found: dict[str, Any] = {}
    with suppress(Exception):  # a driver that does not fit
        if torch is not None and torch.cuda.is_initialized():
            count = torch.cuda.device_count()
            found["gpu"] = [torch.cuda.get_device_name(index) for index in range(count)]
            found["cuda"] = torch.version.cuda
    if "driver" in _machine:
        return {"gpu": _machine["gpu"], "driver": _machine["driver"]} | found if _machine["gpu"] else found
    _machine["gpu"], _machine["driver"] = [], ""
    if shutil.which("nvidia-smi"):
        text = _said("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
        rows = [line.rpartition(",") for line in (text or "").splitlines() if "," in line]
        _machine["gpu"] = [name.strip() for name, _, _ in rows]
        _machine["driver"] = rows[0][2].strip() if rows else ""
    return {"gpu": _machine["gpu"], "driver": _machine["driver"]} | found if _machine["gpu"] else found


def _hardware(found: dict[str, Any]) -> str:
    names = found.get("gpu")
    if names:
        kinds = {name: names.count(name) for name in names}
        return " + ".join(f"{count} x {name}" for name, count in kinds.items())
    return f"{cores()} cores of {found.get('cpu') or platform.machine()}"


def _git_state(folder: str) -> dict[str, Any]:
    """Return the commit, whether tracked files differ from it, and a hash of how."""
    if not any((place / ".git").exists() for place in (Path(folder), *Path(folder).parents)):
        return {}
    known = _git.get(folder)
    if known is not None and time.monotonic() - known[0] < 10:
        return known[1]
    found: dict[str, Any] = {}
    commit = _said("git", "-C", folder, "rev-parse", "HEAD")
    if commit:
        found["commit"] = commit.strip()
        difference = _said("git", "-C", folder, "diff", "HEAD", "--no-ext-diff", "--no-color")
        if difference is not None:
            found["dirty"] = bool(difference)
            if difference:
                found["diff"] = hashlib.sha256(difference.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    _git[folder] = (time.monotonic(), found)
    return found


def _said(*command: str) -> str | None:
    """Return what a program says, None if it fails or takes too long."""
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=_PATIENCE, check=False, stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return done.stdout.decode("utf-8", "surrogateescape") if done.returncode == 0 else None
