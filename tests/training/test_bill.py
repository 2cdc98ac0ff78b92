"""What a run costs: machine-hours times a price, as the simulator counts them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tests.training.test_watch import run_of, step
from workbench.training import bill as module
from workbench.training import view
from workbench.training.bill import Bill


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that a bill sees."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_machines_are_integrated_over_time(clock: list[float]) -> None:
    bill = Bill(0.9, 3.0)
    assert math.isnan(bill.hourly) and bill.dollars == 0
    clock[0] += 50  # nobody is there yet
    bill.staff(4)
    clock[0] += 1800
    bill.staff(3)
    clock[0] += 900
    bill.staff(4)
    clock[0] += 900
    hours = (4 * 1800 + 3 * 900 + 4 * 900) / 3600
    assert bill.dollars == pytest.approx(0.9 * hours) and bill.hourly == pytest.approx(0.9 * hours)
    bill.close()
    clock[0] += 5000
    assert bill.dollars == pytest.approx(0.9 * hours) and bill.machines == 0


def test_all_are_gone_for_a_while(clock: list[float]) -> None:
    bill = Bill(2.0)
    bill.staff(2)
    clock[0] += 1800
    bill.staff(0)
    clock[0] += 1800
    assert bill.dollars == pytest.approx(2.0) and bill.hourly == pytest.approx(2.0)


def test_without_a_price_there_is_no_panel() -> None:
    run = run_of()
    run.bill.staff(2)
    step(run, 0)
    assert math.isnan(run.cost) and math.isnan(run.value) and math.isnan(run.bill.dollars)
    assert not view._costs(run) and "$" not in view.line(run)


def table(data: dict[str, Any]) -> dict[str, list[str]]:
    (block,) = [block for block in data["blocks"] if block.get("name") == "cost"]
    return {row[0]: list(row[1:]) for row in block["frame"].itertuples(index=False)}


def test_the_panel_is_live_and_still(clock: list[float]) -> None:
    run = run_of()
    run.bill = Bill(0.9, 3.0)
    run.bill.staff(2)
    clock[0] += 3600
    for batch in range(6):
        seconds = [0, 2, 4, 6, 18, 20][batch]  # a machine was lost for a while
        run._note_loss(batch, 0, 1.0, float(seconds), 0, [run.batch_size])
    run._spent = 20.0
    pace = 6 * run.batch_size / 20
    assert run.cost == pytest.approx(1.8) and run.value == pytest.approx(pace / 1.8)
    assert "$1.80/h" in view.line(run)
    for data in (view.preview(run), view.run_view(run)):
        found = table(data)
        assert found["machines"] == ["2", "2"] and found["all, $/h"] == ["1.8", "6"]
        assert found["samples/s"] == [f"{pace:.4g}", f"{run.batch_size / 2:.4g}"]
        assert float(found["value, samples/s for $1/h"][1]) == pytest.approx(run.batch_size / 2 / 6, rel=1e-3)
        dollars = found["$ for 1,000,000 samples"]
        assert float(dollars[0]) == pytest.approx(1e6 / pace / 3600 * 1.8, rel=1e-3)
        assert found["$ so far"][0] == "1.8"


def test_machines_for_nothing(clock: list[float]) -> None:
    run = run_of()
    run.bill = Bill(0.0)
    run.bill.staff(2)
    clock[0] += 10
    step(run, 0)
    found = table(view.preview(run))
    assert found["machines"] == ["2"] and found["value, samples/s for $1/h"] == [""] and math.isnan(run.value)
