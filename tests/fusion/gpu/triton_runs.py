"""Triton's interpreter in a process of its own: it has to be chosen before Triton is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]


def interpret(module: str, *names: str) -> dict[str, Any]:
    """Return what a module of these tests prints as JSON under the interpreter."""
    triton = pytest.importorskip("triton", reason="Triton is there for Linux on x86-64 only")
    if _version(triton.__version__) < (3, 7) and _version(np.__version__) >= (2, 4):
        pytest.skip("the interpreter of Triton 3.6 makes numbers of arrays in a way that NumPy 2.4 refuses")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", module, *names],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def _version(text: str) -> tuple[int, ...]:
    return tuple([int(each) for each in text.split(".")[:2]])
