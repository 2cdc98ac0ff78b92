"""What the tests of the tracker and of repeats share."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.tta.ticking import Ticking, ticking
from workbench.engine import session
from workbench.tta.store import open_store


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ticking]:
    """Time that passes when a test says so."""
    with ticking(monkeypatch) as made:
        yield made


@pytest.fixture
def closed() -> Iterator[None]:
    """The store's connections end with the test."""
    yield
    open_store().close()


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """A cluster of two."""
    with session.local_workers(2) as client:
        yield client
