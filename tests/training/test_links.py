"""The cluster of a session's workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import workbench as wb
from workbench.training import Cluster, ClusterError, links
from workbench.training.pace import Pace


class Hosts:
    """A client that knows workers, and whose links have given rates."""

    def __init__(self, hosts: dict[str, int], memory: int = 8) -> None:
        self.workers = {
            f"tcp://{host}:{1000 + number}": {"host": host, "memory_limit": memory}
            for host, count in hosts.items()
            for number in range(count)
        }

    @property
    def scheduler(self) -> Any:
        return self

    def identity(self, n_workers: int) -> dict[str, Any]:
        assert n_workers == -1
        return {"workers": self.workers}

    def sync(self, function: Any, **options: Any) -> Any:
        return function(**options)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(client: Any, first: str, second: str) -> float:
        same = links._host(first) == links._host(second)
        return 1e9 if same else 1e6 * max(int(links._host(first)[-1]), int(links._host(second)[-1]))

    monkeypatch.setattr(links, "_measured", rate)


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine import store

    kept = store.Store(tmp_path / "store")
    monkeypatch.setattr(store, "store", lambda: kept)
    monkeypatch.setattr(links, "pace", lambda: Pace(1e-9, 2e-9))
    monkeypatch.setattr(links, "calibrated", lambda pace, *rest: pace)


@pytest.mark.parametrize(
    ("hosts", "cluster"),
    [
        ({"h1": 1}, Cluster([1], [1e9], 8)),
        ({"h1": 3}, Cluster([3], [1e9], 8)),
        ({"h3": 1, "h2": 1, "h4": 1}, Cluster([3], [3e6], 8)),
        ({"h2": 2, "h1": 2, "h3": 2}, Cluster([2, 3], [1e9, 2e6], 8)),
        ({"h2": 2, "h1": 1}, Cluster([3], [2e6], 8)),
    ],
)
@pytest.mark.usefixtures("rates")
def test_hosts_are_levels(hosts: dict[str, int], cluster: Cluster) -> None:
    found = Cluster.detect(Hosts(hosts))
    assert found == cluster and found.pace == Pace(1e-9, 2e-9, one_way=0.5) and cluster.pace == Pace()


def test_a_rate_is_kept_for_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = iter([1e6, 2e6])
    monkeypatch.setattr(links, "_measured", lambda *_: next(measured))
    client = Hosts({"h1": 1, "h2": 1}, memory=0)
    assert Cluster.detect(client) == Cluster.detect(client) == Cluster([2], [1e6])
    now = links.time.time()
    monkeypatch.setattr(links.time, "time", lambda: now + links.KEPT + 1)
    assert Cluster.detect(client) == Cluster([2], [2e6])


def test_no_workers() -> None:
    with pytest.raises(ClusterError, match="no workers"):
        Cluster.detect(Hosts({}))


def test_a_session_is_measured() -> None:
    client = wb.session(workers=2)
    client.wait_for_workers(2, timeout=300)
    cluster = Cluster.detect()
    assert cluster.machines == (len(client.scheduler_info(n_workers=-1)["workers"]),)
    assert cluster.bandwidth[0] > 1e6 and cluster.memory
