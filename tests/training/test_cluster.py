from __future__ import annotations

import pickle

import numpy as np
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.training import Cluster, ClusterError


def test_texts_are_read_and_one_level_needs_no_list() -> None:
    assert Cluster() == Cluster([4], [1e9], None) == Cluster(4, "1GB/s")
    cluster = Cluster([4, np.int64(2)], ["100mbit", 5], "2GiB")
    assert (cluster.machines, cluster.bandwidth, cluster.memory) == ((4, 2), (12.5e6, 5.0), 2.0**31)
    assert cluster.size == 8 and pickle.loads(pickle.dumps(cluster)) == cluster and hash(cluster) == hash(cluster)


def test_what_does_not_fit_together() -> None:
    with pytest.raises(ClusterError) as caught:
        Cluster([4, 4], [1e9])
    assert caught.value.lines() == [
        "machines has 2 levels, bandwidth has 1.",
        "Give one bandwidth (bytes/s) for each level.",
    ]
    for machines in ([], [0], [-1], [1.5], [True], ["4"]):
        with pytest.raises(ClusterError):
            Cluster(machines, [1e9] * len(machines))
    for bandwidth, memory in ((0, None), (float("nan"), None), ("1GB", None), (1e9, "1GB/s"), (1e9, -1)):
        with pytest.raises(WorkbenchError):
            Cluster([4], [bandwidth], memory)
