"""Workers for the tests that train: one session for each file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.engine import session
from workbench.engine.run import stop_all

PATIENCE = 60.0  # seconds that a run has to end


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """Two local workers, and as many threads in this process as each of them has by itself."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # else the workers spin for each other's cores
    with session.local_workers(2) as client:
        yield client
    torch.set_num_threads(threads)


@pytest.fixture
def stores() -> Iterator[Callable[[], Any]]:
    """What gives a store to each of some threads, by which they find each other; torch has one thread in each."""
    import datetime

    import torch
    from torch import distributed

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    server = distributed.TCPStore("127.0.0.1", 0, None, True, wait_for_workers=False)
    minute = datetime.timedelta(seconds=60)
    yield lambda: distributed.TCPStore("127.0.0.1", server.port, None, False, timeout=minute)
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _runs_end() -> Iterator[None]:
    """Leave no run behind: after a failed test one may go on, and hold the workers that the next test trains on."""
    yield
    stop_all(PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let tests be silent on layers that dominate: where times are measured, any layer may, on a busy machine."""
    ignored = pytest.mark.filterwarnings("ignore::workbench.training.errors.UnbalancedPlanWarning")
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(ignored)
