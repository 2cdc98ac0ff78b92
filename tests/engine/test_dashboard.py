from __future__ import annotations

import urllib.error
import urllib.request
from typing import Any

import pytest


@pytest.mark.slow
def test_the_dashboard_comes_when_it_is_looked_at(cluster: Any) -> None:
    assert cluster.dashboard_link.startswith("http://127.0.0.1:")
    for _ in range(2):
        with urllib.request.urlopen(cluster.dashboard_link, timeout=30) as page:
            assert page.status == 200
            assert b"Dask Diagnostic UI" in page.read()
    with urllib.request.urlopen(cluster.dashboard_link.replace("status", "health"), timeout=30) as page:
        assert page.read() == b"ok"


def test_other_pages_are_not_found(cluster: Any) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(cluster.dashboard_link.replace("status", "nothing"), timeout=30)
    assert caught.value.code == 404
    caught.value.close()
