"""Emulated hosts: their rate, their counters, and that nothing of them is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.engine import session
from workbench.training import Cluster, TrainingError, links, namespaces

here = pytest.mark.skipif(bool(namespaces.missing()), reason=f"no emulated hosts: {namespaces.missing()}")
RATE = 2.5e6  # a slow link holds its rate on a busy machine, too

#: emulates hosts for ever
FOREVER = """
import time
from workbench.training import namespaces
with namespaces.hosts(1):
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture(autouse=True)
def no_session() -> Iterator[None]:
    yield
    session.close()


def named(owner: int) -> list[str]:
    """Return namespaces and interfaces of a process."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout.split()
    devices = [path.name for path in Path("/sys/class/net").iterdir()]
    return [name for name in (*listed, *devices) if name.startswith(f"{namespaces.PREFIX}{owner}")]


@pytest.mark.slow
@here
def test_a_link_holds_its_rate_and_its_bytes_are_counted() -> None:
    with namespaces.hosts(2, "20mbit") as found:
        client = wb.connect(found.address)
        workers = client.scheduler_info(n_workers=-1)["workers"]
        assert sorted(worker["host"] for worker in workers.values()) == sorted(found.hosts)
        addresses = sorted(workers, key=lambda address: found.hosts.index(workers[address]["host"]))
        rate, count = 0.0, 0
        for _ in range(3):  # whatever else runs here may slow one down, and never makes one faster
            before = found.traffic()
            measured = links._measured(client, *addresses)
            first, second = (now - then for now, then in zip(found.traffic(), before, strict=True))
            assert measured <= 1.15 * 2 * RATE  # of both directions
            assert first.sent == pytest.approx(second.received, rel=0.05)
            assert first.received == pytest.approx(second.sent, rel=0.05)
            rate, count = max(rate, measured), first.sent
        assert rate >= 0.85 * 2 * RATE
        assert count >= 2 * 2**20  # two blocks at least, and their headers
        assert max(measured_at(found, client, addresses, "40mbit") for _ in range(3)) > 1.15 * 2 * RATE
        assert max(measured_at(found, client, addresses, None) for _ in range(3)) > 2.3 * 2 * RATE
        session.close()
    assert named(os.getpid()) == []


@here
@pytest.mark.slow  # the workers begin by importing torch
def test_a_run_between_hosts_sends_what_it_says() -> None:
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(64, 512), torch.nn.ReLU(), torch.nn.Linear(512, 8))
    data = torch.randn(256, 64), torch.randn(256, 8)
    plan = wb.training.partition(
        wb.training.profile(net, data, loss=torch.nn.functional.mse_loss), Cluster([2], [1e9]), straight=True
    )
    with namespaces.hosts(2) as found:
        wb.connect(found.address)
        before = found.traffic()
        run = wb.training.train(
            net, data, torch.nn.functional.mse_loss, torch.optim.SGD(net.parameters(), lr=0.01), plan=plan,
            schedule="1f1b", microbatches=4, batch_size=64, epochs=8, wait=True,
        )  # fmt: skip
        sent = sum((now - then).sent for now, then in zip(found.traffic(), before, strict=True))
        session.close()
    assert run.steps == 32
    assert run.bytes_sent > 100 * 1024
    assert run.bytes_sent < sent  # it also has headers, and reports to the driver


@here
def test_processes_of_a_host_end_with_it() -> None:
    with namespaces.hosts(1) as found:
        process = found.start(0, ["sleep", "600"])
        told = found.start(0, ["ip", "-j", "addr", "show", "eth0"], stdout=subprocess.PIPE)
        assert json.loads(told.communicate()[0])[0]["addr_info"][0]["local"] == found.hosts[0]
        folder = found.folder
        with pytest.raises(TrainingError, match="has emulated hosts already"), namespaces.hosts(1):
            pass
    assert process.returncode == -signal.SIGTERM
    assert all(each.returncode is not None for each in found.processes)
    assert not folder.exists()
    assert named(os.getpid()) == []


@here
def test_an_error_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError), namespaces.hosts(1, 1e6):
        raise ZeroDivisionError
    assert named(os.getpid()) == []


@here
def test_what_a_killed_process_left_is_removed_by_the_next() -> None:
    with subprocess.Popen([sys.executable, "-c", FOREVER], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        space = f"{namespaces.PREFIX}{process.pid}h0"
        inside = subprocess.run(["ip", "netns", "pids", space], capture_output=True, text=True, check=True).stdout
        process.kill()
    assert inside.split()
    assert len(named(process.pid)) == 5  # two namespaces, two pairs, a bridge
    with namespaces.hosts(1):
        assert named(process.pid) == []
        until = time.monotonic() + 120
        while any(_alive(int(worker)) for worker in inside.split()):
            assert time.monotonic() < until
            time.sleep(0.05)


def test_where_there_is_none_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    if sys.platform.startswith("linux"):
        assert namespaces.missing.__wrapped__() == "it needs root"
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        monkeypatch.setattr(shutil, "which", lambda tool: None)
        assert namespaces.missing.__wrapped__() == "it needs iproute2, and there is no `ip`"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert namespaces.missing.__wrapped__() == "it needs Linux"
    monkeypatch.setattr(namespaces, "missing", lambda: "it needs Linux")
    with pytest.raises(TrainingError, match=r"^Hosts cannot be emulated here: it needs Linux\."), namespaces.hosts(2):
        pass


@pytest.mark.parametrize("count", [0, 201])
def test_too_many_or_none(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(namespaces, "missing", lambda: "")
    with pytest.raises(TrainingError, match=r"1 to 200 emulated hosts"), namespaces.hosts(count):
        pass


def measured_at(found: namespaces.Hosts, client: Any, addresses: list[str], rate: str | None) -> float:
    found.limit(rate)
    return links._measured(client, addresses[0], addresses[1])


def _alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
