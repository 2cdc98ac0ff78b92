from __future__ import annotations

import logging
import os
import signal
import socket
import time
from typing import Any

import pytest
from dask import system

from workbench.engine import local, session
from workbench.engine.errors import WorkbenchError
from workbench.engine.tasks import stream


def test_default_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORKBENCH_WORKERS", raising=False)
    assert 1 <= local.default_workers() <= min(8, os.cpu_count() or 8)
    monkeypatch.setattr(system, "_try_extract_cgroup_cpu_quota", lambda: (50_000, 100_000))  # half a core of many
    assert local.default_workers() == 1
    monkeypatch.setattr(system, "cpu_count", lambda: 64)
    assert local.default_workers() == 8
    monkeypatch.setattr(system, "cpu_count", lambda: 3)
    assert local.default_workers() == 3
    monkeypatch.setenv("WORKBENCH_WORKERS", " 12 ")
    assert local.default_workers() == 12


@pytest.mark.parametrize("text", ["many", "0", "-1", "1.5"])
def test_a_wrong_number_of_workers(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("WORKBENCH_WORKERS", text)
    with pytest.raises(WorkbenchError) as caught:
        local.default_workers()
    assert caught.value.lines() == [
        f"WORKBENCH_WORKERS is a whole number of at least 1; got {text!r}.",
        "Unset it to use all cores.",
    ]


def test_workers_are_scaled(cluster: Any) -> None:
    assert session.session(workers=3) is cluster
    assert session.workers() == 3
    session.session(workers=2)
    deadline = time.monotonic() + 10
    while session.workers() != 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert session.workers() == 2


def test_workers_that_are_being_replaced_are_waited_for(cluster: Any) -> None:
    # one that was scaled away may still be closing: it has no process any more
    for process in [nanny.process for nanny in cluster.cluster.workers.values() if nanny.process is not None]:
        os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while session.workers() == 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    assert session.session(workers=2) is cluster and session.workers() == 2


def test_a_worker_that_dask_gave_up_is_replaced(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "PATIENCE", 0.5)
    nanny = cluster.cluster.workers[0]
    cluster.sync(nanny.close)
    answers = stream(lambda item: time.sleep(0.05), iter(int, 1), in_flight=2)
    deadline = time.monotonic() + 60
    for _ in answers:
        if session.workers() == 2 or time.monotonic() > deadline:
            break
    answers.close()
    assert session.workers() == 2
    assert nanny not in cluster.cluster.workers.values()


def test_a_busy_port_makes_no_noise(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        monkeypatch.setattr(local, "DASHBOARD_PORT", port)
        with session.local_workers(1) as client:  # a warning would be an error here
            assert f":{port}/" not in client.dashboard_link
            assert client.dashboard_link.startswith("http://127.0.0.1:")


def test_the_loggers_are_silent(cluster: Any) -> None:
    for name in ("distributed", "distributed.scheduler", "distributed.nanny", "distributed.client", "bokeh"):
        assert not logging.getLogger(name).isEnabledFor(logging.CRITICAL)
