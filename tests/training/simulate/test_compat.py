"""The rules of Bamboo's simulator, against themselves written down step by step: on all kinds of trace."""

from __future__ import annotations

import math
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.simulate.reference import ADD, PRICE, REMOVE, Market, NoStepTime, Reference, Row, rows_of
from workbench.training import ModelSpec, RandomTrace, SimulationError, Trace, TrainingError, read_trace, simulate
from workbench.training.simulate.models import MODELS

DATA = Path(__file__).parents[4] / "shared" / "data" / "traces"
FILES = sorted(path for path in DATA.rglob("*") if path.suffix in (".csv", ".txt"))
needs_data = pytest.mark.skipif(not FILES, reason="needs the traces of ../shared/data")


def agree(ran: Any, expected: dict[str, float]) -> None:
    for name, value in expected.items():
        assert getattr(ran, name) == pytest.approx(value, rel=1e-9, abs=1e-12), name
    if "value" not in expected:  # nothing was trained
        assert ran.samples == 0 and math.isnan(ran.value)


def check(spec: ModelSpec, trace: Any, market: list[Row] | Market, duration: float | None = None) -> None:
    """Compare with the reference; a model without an end ends with its trace."""
    until = duration
    if duration is None and spec.steps is None and isinstance(trace, Trace):
        until = trace.duration
    reference = Reference(spec, market, None if until is None else round(until * 1000))
    try:
        expected = reference.run()
    except NoStepTime as missing:
        with pytest.raises(SimulationError, match=f"has no step time for {missing} pipelines"):
            simulate(spec, trace=trace, compat=True, duration=duration)
        return
    agree(simulate(spec, trace=trace, compat=True, duration=duration, price=PRICE), expected)


def small(steps: int | None = 400) -> ModelSpec:
    return ModelSpec("small", 3, 8, {n: 40.0 / n for n in range(1, 20)}, 12, 15.0, 4, 1.0, steps)


def of_any_width(name: str, steps: int | None) -> ModelSpec:
    """Return a model of the table that no number of machines is too many for."""
    known = MODELS[name]
    table = {count: round(8000 / count) / 1000 for count in range(1, 40)}
    return ModelSpec(name, known.stages, known.samples_per_step, table, 48, known.local_rendezvous, 20, 2.0, steps)


#: steps, removals, fatal losses, samples/s and value of the nine cases that the tables allow: for the other models the
#: machines of p3 are enough for a fifth pipeline
CASES = {
    ("p3-trace", "GPT-2"): (30143, 167, 6, 23.6843223122131, 1.1441266477372904),
    ("p3-trace", "BERT"): (11375, 167, 6, 73.73451934190506, 3.344008935891188),
    ("p3-trace", "ResNet"): (13655, 167, 13, 128.39128863226128, 5.614733508575934),
    ("g4dn-trace", "GPT-2"): (18035, 74, 1, 15.346344433852263, 1.15766044084263),
    ("g4dn-trace", "BERT"): (5097, 74, 1, 35.781328772269234, 2.683947309958933),
    ("g4dn-trace", "ResNet"): (6939, 74, 2, 70.17173875315659, 5.826083400090171),
    ("g4dn-trace", "GNMT"): (17682, 74, 3, 133.71220614994394, 11.314990838777907),
    ("g4dn-trace", "VGG"): (5991, 74, 3, 60.556358702737825, 5.1068998558350645),
    ("g4dn-trace", "AlexNet"): (9442, 74, 3, 95.20964499316204, 7.987932586076896),
}


@needs_data
@pytest.mark.parametrize(("trace", "name"), list(CASES))
def test_the_traces_of_the_paper(trace: str, name: str) -> None:
    steps, preemptions, fatal, throughput, value = CASES[trace, name]
    ran = simulate(name, trace=DATA / f"{trace}.csv", compat=True)
    assert (ran.steps, ran.preemptions, ran.fatal_failures) == (steps, preemptions, fatal)
    assert (ran.throughput, ran.value) == pytest.approx((throughput, value), rel=1e-9)
    assert ran.lost_samples == 0 and len(ran.timeline) == 0


@pytest.mark.slow
@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_trace_step_by_step(path: Path) -> None:
    seed = len(path.name)
    rows, length = rows_of(path, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one goes back in time
        trace = read_trace(path, seed=seed)
    assert trace.duration == pytest.approx(length / 1000, abs=1e-6)
    check(MODELS["BERT"], trace, rows)
    check(of_any_width("VGG", None), trace, rows)
    check(of_any_width("ResNet", 3000), trace, rows, duration=length / 2000 or 5000.0)


@needs_data
@pytest.mark.parametrize("name", ["GNMT", "VGG", "AlexNet"])
def test_a_fifth_pipeline_has_no_step_time(name: str) -> None:
    with pytest.raises(SimulationError) as caught:
        simulate(name, trace=DATA / "p3-trace.csv", compat=True)
    assert caught.value.lines() == [
        f"{name} has no step time for 5 pipelines.",
        "Use compat=False with a plan, or fewer nodes.",
    ]
    rows, length = rows_of(DATA / "p3-trace.csv")
    with pytest.raises(NoStepTime, match="5"):
        Reference(MODELS[name], rows, length).run()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    removal=st.sampled_from([None, 0.0, 0.05, 0.5, 1.0]),
    addition=st.sampled_from([None, 0.1, 0.8, "random"]),
    capacity=st.integers(1, 14),
    hour=st.integers(0, 23),
    hours=st.one_of(st.none(), st.integers(1, 12)),
)
def test_random_markets_step_by_step(
    seed: int, removal: float | None, addition: float | str | None, capacity: int, hour: int, hours: int | None
) -> None:
    if hours is None and capacity < 6:
        return  # such a market may never finish so many steps
    trace = RandomTrace(removal, addition, capacity, hour) if hours else RandomTrace(0.05, 0.8, capacity, hour)
    spec = small(None if hours else 150)
    duration = hours * 3600.0 if hours else None
    expected = Reference(spec, Market(trace, capacity, seed), None if hours is None else hours * 3_600_000).run()
    agree(simulate(spec, trace=trace, seed=seed, duration=duration, compat=True, price=PRICE), expected)


def written(kind: str, path: Path, draw: random.Random) -> Path:
    """Write a trace of a kind: grains of time are coarse, so that much happens at once."""
    lines, time, count, living = [], 0, draw.randrange(12), [f"n{number}" for number in range(6)]
    if kind == "events":
        lines = [f"0,add,{node}" for node in living]
    else:
        lines = [_counted(kind, 0, count)]
    for number in range(draw.randrange(5, 60)):
        time += draw.randrange(0, 6) * draw.choice([20, 45, 60, 36])
        if kind == "events":
            if living and draw.random() < 0.45:
                lines.append(f"{time * 1000},remove,{living.pop(draw.randrange(len(living)))}")
            else:
                living.append(f"m{number}")
                lines.append(f"{time * 1000},add,{living[-1]}")
        else:
            count = max(0, min(14, count + draw.randrange(-3, 4)))
            lines.append(_counted(kind, time, count))
    path.write_text("\n".join(lines) + "\n")
    return path


def _counted(kind: str, seconds: int, count: int) -> str:
    if kind == "seconds":
        return f"{seconds},{count}"
    if kind == "hours":
        return f"{seconds / 3600:.6f},{count}"
    hours, rest = divmod(seconds, 3600)
    return f"2021-12-{11 + hours // 24:02}, {hours % 24:02}:{rest // 60:02}:{rest % 60:02}, {count}"


@pytest.mark.parametrize("kind", ["events", "seconds", "hours", "dates"])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_written_traces_of_each_kind(kind: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = written(kind, tmp_path_factory.getbasetemp() / f"{kind}.csv", random.Random(seed))
    rows, _ = rows_of(path, seed)
    trace = read_trace(path, seed=seed)
    check(small(None), trace, rows)
    check(small(60), trace, rows, duration=2500.0)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), grain=st.sampled_from([1000, 20000, 60000]))
def test_events_of_one_time_leave_the_queue_as_the_heap_has_them(seed: int, grain: int) -> None:
    draw = random.Random(seed)
    rows, living, named, time = list[Row](), list[str](), 0, 0
    for _ in range(40):
        time += draw.randrange(0, 6) * grain
        for _ in range(draw.randrange(1, 6)):
            if living and draw.random() < 0.4:
                rows.append((time, REMOVE, living.pop(draw.randrange(len(living)))))
            else:
                named += 1
                living.append(f"n{named}")
                rows.append((time, ADD, living[-1]))
    check(small(None), trace_of(rows), rows, duration=time / 1000 + 100)


def trace_of(rows: list[Row]) -> Trace:
    import pandas as pd

    columns = {
        "time": [time / 1000 for time, _, _ in rows],
        "action": ["add" if kind == ADD else "remove" for _, kind, _ in rows],
        "node": [node for _, _, node in rows],
    }
    return Trace(pd.DataFrame(columns), "rows", rows[-1][0] / 1000)


def test_monte_carlo_means() -> None:
    spec, trace = MODELS["BERT"], RandomTrace(0.1, 0.5)
    runs = [simulate(spec, trace=trace, seed=seed, compat=True, price=PRICE) for seed in range(60)]
    naive = [Reference(spec, Market(trace, spec.capacity, seed), None).run() for seed in range(60, 64)]
    for name in ("throughput", "instances", "value"):
        mean = sum(getattr(run, name) for run in runs) / len(runs)
        other = sum(run[name] for run in naive) / len(naive)
        assert mean == pytest.approx(other, rel=0.05)


def test_on_demand_and_what_is_missing() -> None:
    trace = RandomTrace(0.0, 1.0, 24)
    found = simulate("bert", trace=trace, compat=True, duration="2h")
    assert found.on_demand == {
        "instances": 20.0,
        "throughput": 264 / 2.51,
        "cost": pytest.approx(61.2),
        "value": pytest.approx(264 / 2.51 / 61.2),
    }
    assert found.instances == 24
    assert found.cost == pytest.approx(24 * 0.91) and found.throughput == pytest.approx(264 / 2.39)
    assert repr(found).startswith("Simulation BERT · compat · random · ")
    with pytest.raises(SimulationError, match="train without end"):
        simulate("ResNet", trace=RandomTrace(), compat=True)
    with pytest.raises(TrainingError, match="needs a trace"):
        simulate("ResNet", compat=True)
    with pytest.raises(TrainingError) as caught:
        simulate("BART", trace=RandomTrace(), compat=True)
    assert caught.value.lines()[0] == 'Unknown model "BART"; did you mean "BERT"?'
