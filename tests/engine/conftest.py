"""A cluster of two workers for the modules that ask for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from workbench.engine import session


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    with session.local_workers(2) as client:
        yield client
