"""The mirror of test data, where there is one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

needs_mirror = pytest.mark.skipif(not os.environ.get("WORKBENCH_MIRROR"), reason="WORKBENCH_MIRROR is not set")


def mirrored(path: str) -> Path:
    """Return a file of the mirror."""
    return Path(os.environ["WORKBENCH_MIRROR"]) / path
