"""What every test gets: a home folder of its own, and no network by accident."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import settings

TESTS = Path(__file__).parent

# Browsers, kernels, clusters, killed processes: on a machine with other things to do one of their many clocks may run
# out. Such a test gets a second chance, which the summary names (RERUN); what is computed gets none.
REAL_TIME = (
    "anomaly/test_dask_rounds.py",
    "anomaly/test_stream",
    "browser/",
    "engine/",
    "fusion/dask/",
    "fusion/test_faults.py",
    "fusion/test_workload_notebooks.py",
    "notebook/",
    "test_cli.py",
    "training/",
    "tta/test_kill.py",
    "tta/test_liveness.py",
    "tta/test_repeat",
    "tta/test_worker",
    "video/execution/",
    "video/test_faults.py",
)

# A shell that starts the tests in its background lets them, and all kernels, ignore Ctrl-C: interrupts are tested.
signal.signal(signal.SIGINT, signal.default_int_handler)


# How long an example takes says how busy the machine is, not whether the answer is right.
settings.register_profile("workbench", deadline=None)
settings.load_profile("workbench")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give each test an empty WORKBENCH_HOME."""
    folder = tmp_path / "workbench-home"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_HOME", str(folder))
    return folder


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give tests that depend on the machine's clock a second chance."""
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).as_posix().startswith(REAL_TIME):
            item.add_marker(pytest.mark.flaky(reruns=1))
