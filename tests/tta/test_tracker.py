from __future__ import annotations

import math
import pickle
import threading
import time
import warnings

import numpy as np
import pytest

from tests.tta.ticking import Ticking
from workbench.tta.price import Price
from workbench.tta.run import Run
from workbench.tta.sink import MemorySink, Sink, new_id
from workbench.tta.status import Status, StopTraining
from workbench.tta.tracker import Tracker

pytestmark = pytest.mark.usefixtures("closed")


def tracker(target: float = 97.0, **more: object) -> Tracker:
    more.setdefault("store", MemorySink())
    return Tracker("digits", {"top1": target}, **more)  # type: ignore[arg-type]


CURVE = [80.0, 96.0, 97.0, 96.9, 97.5, 98.0, 98.1]


def train(t: Tracker, clock: Ticking, values: list[float] = CURVE) -> None:
    for epoch, value in enumerate(values):
        with t.span("train"):
            clock.forward(10)
        t.eval(step=epoch, n=300, epoch=epoch + 1, top1=clock.takes(2, value))


def test_c08_c09_a_callable_is_timed_as_evaluation(clock: Ticking) -> None:
    with tracker() as t:
        train(t, clock)
    evals = t.run.evals
    assert evals["dawnbench_s"].tolist() == [10.0 * (i + 1) for i in range(7)]
    assert evals["wall_s"].tolist() == [12.0 * (i + 1) for i in range(7)]
    assert evals["mlperf_s"].tolist() == evals["wall_s"].tolist()
    assert evals["algoperf_s"].tolist() == evals["dawnbench_s"].tolist()
    assert evals["cpu_s"].tolist() == [24.0 * (i + 1) for i in range(7)]
    assert evals["n"].tolist() == [300] * 7 and evals["eval"].tolist() == list(range(7))
    assert evals.dtypes.astype(str).tolist() == [
        "int64", "int64", "float64", "str", "float64", "Int64", *["float64"] * 7,
    ]  # fmt: skip
    spans = t.run.spans
    assert spans["kind"].tolist() == ["train", "eval"] * 7 and spans["seconds"].tolist() == [10.0, 2.0] * 7
    assert t.run.state == "finished" and isinstance(t.run, Run)
    assert t.run.time_to(97) == 30.0 and t.run.time_to(97, confirm=2) == 60.0
    assert t.run.time_to([96, 97, 99]).tolist()[:2] == [20.0, 30.0] and math.isnan(t.run.time_to(99))


@pytest.mark.parametrize(("confirm", "at"), [(1, 2), (2, 5), (3, 6)])
def test_c10_it_stops_at_the_confirmed_crossing(clock: Ticking, confirm: int, at: int) -> None:
    seen = []
    with tracker(stop=True, confirm=confirm) as t:
        train(t, clock)
        seen.append("not here")
    assert not seen and t.run.state == "reached"
    assert len(t.run.evals) == at + 1 and t.status.step == at
    assert t.status.reached and t.status.confirmed and t.status.stop and t.status.reason == "target"
    assert t.run.crossings["confirm"].tolist() == sorted({1, 2, confirm})


def test_c10_without_stop_it_goes_on_and_says_so(clock: Ticking) -> None:
    found: list[Status] = []
    with tracker(confirm=2) as t:
        for step, value in enumerate(CURVE):
            clock.forward(1)
            found.append(t.eval(step=step, top1=clock.takes(0, value)))
    assert [s.reached for s in found] == [False, False, True, True, True, True, True]
    assert [s.confirmed for s in found] == [False] * 5 + [True] * 2
    assert not any(s.stop for s in found) and t.run.state == "finished"


def test_c10_the_goal_may_be_to_make_it_small(clock: Ticking) -> None:
    with Tracker("loss", {"val_loss": 0.1}, goal="min", clock="wall", stop=True, store=MemorySink()) as t:
        for step, value in enumerate([1.0, 0.5, 0.1, 0.05]):
            clock.forward(5)
            status = t.eval(step=step, val_loss=clock.takes(1, value))
            assert math.isnan(status.se)
    assert t.run.time_to() == 18.0 and t.run.state == "reached" and t.run.goal == "min"


def test_c06_the_standard_error_is_that_of_an_accuracy(clock: Ticking) -> None:
    with tracker(94.0, eval_count=10_000) as t:
        assert t.eval(n=10_000, top1=lambda: 94.0).se == pytest.approx(0.2374868417407583)
        assert t.eval(top1=lambda: 94.0).se == pytest.approx(0.2374868417407583)  # the count that was declared
    with tracker(0.94) as t:
        assert t.eval(n=10_000, top1=lambda: 0.94).se == pytest.approx(0.002374868417407583)
        assert math.isnan(t.eval(top1=lambda: 0.94).se)
    assert t.run.evals["se"].tolist()[0] == pytest.approx(0.002374868417407583)


def test_c06_what_is_no_accuracy_has_no_standard_error(clock: Ticking) -> None:
    with tracker(94.0) as t:
        t.eval(n=10_000, top1=lambda: 94.0, top5=lambda: 99.0, val_loss=lambda: 0.3)
    assert t.run.evals["se"].round(4).tolist()[:2] == [0.2375, 0.0995] and math.isnan(t.run.evals["se"][2])


def test_c11_time_cost_and_energy_are_budgets(clock: Ticking) -> None:
    with tracker(max_time="35s") as t:
        train(t, clock)
    # on the clock of the run: at 40 s of training, 8 s of evaluation later
    assert t.run.state == "budget" and t.status.reason == "time" and len(t.run.evals) == 4
    with tracker(max_cost=36 / 3600, price=1.0) as t:
        train(t, clock)
    assert t.status.reason == "cost" and len(t.run.evals) == 3  # on the wall clock: at 36 s
    with tracker(max_time="25s", clock="wall") as t:
        train(t, clock)
    assert len(t.run.evals) == 3


def test_c11_log_leaves_when_a_budget_is_spent(clock: Ticking) -> None:
    steps = 0
    with tracker(max_time="100s") as t:
        with t.span("eval"):
            clock.forward(1000)  # not on this clock
        for step in range(1000):
            clock.forward(1)
            steps += 1
            t.log(step, loss=1.0)
    assert steps == 100 and t.run.state == "budget" and len(t.run.points) == 100
    # who swallows it is asked again
    with tracker(max_time="3s") as t:
        left = 0
        for step in range(10):
            clock.forward(1)
            if step < 2:
                t.log(step, loss=1.0)
                continue
            with pytest.raises(StopTraining) as raised:
                t.log(step, loss=1.0)
            stop = raised.value
            assert stop.reason == "time" and stop.status.stop and stop.run_id == t.id
            left += 1
    assert left == 8 and t.run.state == "finished"


def test_c11_energy_is_a_budget_where_it_can_be_measured(clock: Ticking) -> None:
    with tracker(max_energy=50) as t:
        assert t._tracking.beside is not None
        meter = t._tracking.beside.energy
        for step in range(10):
            clock.forward(10)
            meter.read = lambda step=step: 1000 * 10 * (step + 1)  # type: ignore[method-assign]
            t.eval(step=step, top1=lambda: 50.0)
    assert t.status.reason == "energy" and t.status.energy_j == 50.0 and t.run.state == "budget"
    assert t.run.evals["energy_j"].tolist() == [10.0, 20.0, 30.0, 40.0, 50.0]
    assert math.isnan(t.run.energy_to()) and t.run.energy_to(50) == 10.0


def test_c12_it_cannot_tell_without_a_plan_or_a_history(clock: Ticking) -> None:
    with tracker() as t:
        assert t.eval(top1=lambda: 50.0).projection.text == "cannot tell: no planned length"
        t.plan(steps=15, schedule="onecycle-15")
        status = t.eval(top1=lambda: 50.0)
        assert status.projection.text == "cannot tell: fewer than 3 earlier runs with this schedule"
        assert not status.projection.known and status.projection.history == 0
        assert t.run.steps == 15 and t.run.schedule == "onecycle-15"
        assert t.eval(top1=lambda: 99.0).projection.known  # it is there


def test_c12_c60_earlier_runs_with_the_same_schedule_project(clock: Ticking) -> None:
    def one(seed: int, schedule: str = "onecycle-10", **more: object) -> Tracker:
        return Tracker("digits", {"top1": 97}, steps=10, schedule=schedule, seed=seed, **more)  # type: ignore[arg-type]

    for seed in range(4):
        with one(seed) as t:
            train(t, clock, [90.0] * (3 + seed % 2) + [97.5])
    with one(9) as t:
        clock.forward(10)
        first = t.eval(step=0, top1=lambda: 90.0).projection
        clock.forward(10)
        second = t.eval(step=1, top1=lambda: 90.0).projection
    assert first.known and first.history == 4 and first.reached == 4
    assert (second.low, second.high) == (20.0 + 2 * 10.0, 20.0 + 3 * 10.0)  # steps 3 and 4 at 10 s a step
    assert second.text == "40 s to 50 s, from 4 earlier runs; 4 reached"
    with one(10, schedule="other") as t:
        clock.forward(10)
        assert not t.eval(step=0, top1=lambda: 90.0).projection.known


def test_c11_hopeless_runs_are_left(clock: Ticking) -> None:
    def one(seed: int, **more: object) -> Tracker:
        return Tracker("d", {"top1": 97}, steps=20, schedule="s", seed=seed, **more)  # type: ignore[arg-type]

    for seed in range(8):
        with one(seed, stop=True) as t:
            train(t, clock, [90.0] * 4 + [97.5])
    with one(99, hopeless=True) as t:
        train(t, clock, [90.0] * 20)
    assert t.run.state == "hopeless" and t.status.reason == "hopeless" and t.status.step == 6  # past 1.25 x 4 of 20


def test_c14_c15_cost_is_hours_times_price(clock: Ticking) -> None:
    with tracker(price=3.06) as t:
        train(t, clock)
        assert t.status.cost_usd == t.status.seconds / 3600 * 3.06
    assert t.run.cost_to(97) == pytest.approx(30 / 3600 * 3.06) and t.run.price == Price(3.06)
    for none in (0.0, -1.0, None):
        with tracker(price=none) as t:
            assert math.isnan(t.eval(top1=lambda: 50.0).cost_usd)
    dated = Price(1.0, kind="spot", source="a list", date="2026-11-20")
    with pytest.warns(match="The spot price is shown"):
        entered = tracker(price=dated).__enter__()
    entered.__exit__(None, None, None)
    assert entered.run.price == dated and "spot" in repr(entered.run)


def test_c37_values_inside_an_eval_span_count_from_its_start(clock: Ticking) -> None:
    with tracker(94.0, clock="dawnbench") as t:
        with t.span("data"):
            clock.forward(3)
        for epoch in range(3):
            with t.span("train"):
                clock.forward(10)
            with t.span("eval"):
                clock.forward(4)
                t.eval(step=epoch, n=10_000, top1=94.0)
                clock.forward(1)
    assert t.run.evals["dawnbench_s"].tolist() == [13.0, 23.0, 33.0]
    assert t.run.evals["wall_s"].tolist() == [17.0, 32.0, 47.0]
    assert t.run.warnings == []
    # outside of a span the evaluation counts as training, with one warning
    with tracker() as t:
        clock.forward(5)
        with pytest.warns(match="its time counts as training"):
            t.eval(top1=50.0)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            t.eval(top1=51.0)
    assert t.run.evals["dawnbench_s"].tolist() == [5.0, 5.0] and len(t.run.warnings) == 1


def test_c39_utc_may_jump_and_the_clocks_do_not(clock: Ticking) -> None:
    begun = clock.utc
    with tracker() as t:
        clock.forward(10)
        clock.set_utc(-86_400)
        t.eval(top1=clock.takes(1, 50.0))
        clock.set_utc(+3)
        clock.forward(10)
        t.eval(top1=clock.takes(1, 97.0))
    assert t.run.evals["wall_s"].tolist() == [11.0, 22.0]
    started = t.run.record.started
    assert started is not None and abs(started.timestamp() - begun / 1e9) < 1e-6
    assert t.run.warnings == [
        "The system clock moved by -86397 s during the run. Times are of the monotonic clock."
    ]  # fmt: skip


def test_c40_edges_are_synchronised(clock: Ticking) -> None:
    def sync() -> None:
        clock.forward(0.5)  # work that the device still had

    with tracker(sync=sync) as t:
        with t.span("train"):
            clock.forward(10)
        t.eval(top1=lambda: 50.0)
        with t.span("eval"):
            t.eval(top1=50.0)
    # before the span 0.5, at its end 0.5, before the evaluation 0.5: that is training; at its end 0.5
    assert t.run.spans["seconds"].tolist() == [10.5, 0.5, 1.0]
    assert t.run.evals["dawnbench_s"].tolist()[0] == 11.5


def test_c41_an_evaluation_judges_each_sample(clock: Ticking) -> None:
    with tracker(task="ImageNet") as t:
        assert t.eval(n=50_000, top1=lambda: 70.0).step == 0
    assert t.run.record.eval_count == 50_000 and t.run.task == "ImageNet"
    with tracker(task="SQuAD") as t:
        t.eval(n=17, top1=lambda: 70.0)


def test_c42_the_set_has_a_hash(clock: Ticking) -> None:
    ids = list(range(300))
    hashes = []
    for given in (ids, np.array(ids, np.int32), tuple(ids), np.array(ids, np.uint8 if len(ids) < 256 else np.int16)):
        with tracker(eval_set=given) as t:
            t.eval(n=300, top1=lambda: 50.0)
        hashes.append(t.run.record.eval_hash)
        assert t.run.record.eval_count == 300
    assert len(set(hashes)) == 1 and len(hashes[0]) == 64
    with tracker(eval_set=ids[::-1]) as t:
        pass
    assert t.run.record.eval_hash not in hashes
    with tracker(eval_set="validation") as t:
        pass
    assert t.run.record.eval_hash == "" and t.run.environment["eval_set"] == "validation"


def test_c43_fresh_data_are_judged_once_at_the_confirmed_crossing(clock: Ticking) -> None:
    calls: list[int] = []

    def fresh() -> float:
        calls.append(1)
        clock.forward(5)
        return 95.5

    with tracker(confirm=2, fresh=fresh) as t:
        train(t, clock)
    assert calls == [1] and t.run.gap == pytest.approx(95.5 - 98.0)  # the second of two in a row was 98.0
    assert t.run.spans["kind"].tolist().count("eval") == 8 and t.run.evals["dawnbench_s"].tolist()[-1] == 70.0
    assert "gap -2.50 on fresh data" in t.run.explain()
    calls.clear()
    with tracker(99.9, fresh=fresh) as t:
        train(t, clock, [80.0, 96.0])
    assert calls == [1] and t.run.gap == pytest.approx(-0.5)  # at the end
    with tracker(fresh=fresh) as t:
        pass
    assert math.isnan(t.run.gap)  # nothing was judged
    with pytest.raises(KeyError), tracker(99.9, fresh=fresh) as t:  # noqa: PT012
        train(t, clock, [80.0])
        raise KeyError
    assert math.isnan(t.run.gap) and calls == [1]


def test_c43_fresh_data_that_fail_cost_the_gap_alone(clock: Ticking) -> None:
    with pytest.warns(match="fresh= failed") as said, tracker(fresh=lambda: 1 / 0, stop=True) as t:
        train(t, clock)
    assert t.run.state == "reached" and math.isnan(t.run.gap)
    assert str(said[0].message).splitlines()[0] == (
        "fresh= failed (ZeroDivisionError: division by zero), so there is no gap."
    )


# ------------------------------------------------------------------------------------------------- how a run is left


def test_a_failure_keeps_all_that_was_logged(clock: Ticking) -> None:
    with pytest.raises(ValueError, match="boom"), tracker() as t:  # noqa: PT012
        train(t, clock, [80.0, 90.0])
        t.log(2, loss=3.0)
        t.note("before it")
        raise ValueError("boom")
    assert t.run.state == "failed" and len(t.run.evals) == 2 and len(t.run.points) == 1
    assert t.run.notes == ["before it", "failed: ValueError: boom"]


@pytest.mark.parametrize(
    ("error", "state"),
    [(KeyboardInterrupt(), "interrupted"), (SystemExit(0), "finished"), (SystemExit(1), "failed"),
     (MemoryError(), "failed"), (GeneratorExit(), "interrupted")],
)  # fmt: skip
def test_what_leaves_the_block_names_the_end(error: BaseException, state: str) -> None:
    with pytest.raises(type(error)), tracker() as t:
        raise error
    assert t.run.state == state


def test_stop_is_asked_for_from_any_thread() -> None:
    with tracker() as t:
        asked = threading.Thread(target=t.stop)
        asked.start()
        asked.join()
        assert t.live()["stopping"]
        with pytest.raises(StopTraining) as raised:
            t.eval(top1=lambda: pytest.fail("it is asked for before"))
        assert raised.value.reason == "cancelled"
        with pytest.raises(StopTraining):
            t.log(0, loss=1.0)
        t.log(1, loss=1.0)
    assert t.run.state == "interrupted" and len(t.run.points) == 2


def test_a_run_stopped_by_hand_after_its_target_has_reached_it(clock: Ticking) -> None:
    with tracker() as t:
        t.eval(top1=lambda: 98.0)
        t.stop()
        t.log(1, loss=0.5)
    assert t.run.state == "reached"


def test_except_exception_does_not_swallow_a_stop() -> None:
    after = []
    with tracker(stop=True) as t:
        for _ in range(3):
            try:
                t.eval(top1=lambda: 98.0)
            except Exception:
                after.append("swallowed")
        after.append("not here")
    assert not after and t.run.state == "reached"


def test_an_inner_tracker_leaves_the_outer_one_alone(clock: Ticking) -> None:
    with tracker(stop=True) as outer:
        with tracker(90.0, stop=True) as inner:
            inner.eval(top1=lambda: 91.0)
            raise AssertionError("not here")
        outer.eval(top1=lambda: 91.0)
        with tracker() as other:
            outer.eval(top1=lambda: 98.0)
        raise AssertionError("not here")
    assert (inner.run.state, outer.run.state, other.run.state) == ("reached", "reached", "interrupted")


def test_a_stop_of_ones_own_is_swallowed_too() -> None:
    with tracker() as t:
        raise StopTraining
    assert t.run.state == "interrupted"


# ------------------------------------------------------------------------------------------------------ what is logged


def test_c08_points_are_kept_in_the_order_logged(clock: Ticking) -> None:
    with tracker() as t:
        for step in range(5):
            clock.forward(1)
            t.log(step, loss=1 / (step + 1), lr=np.float32(0.5))
        t.log(step=5, loss=3)
    points = t.run.points
    assert points["metric"].tolist() == ["loss", "lr"] * 5 + ["loss"]
    assert points["wall_s"].tolist() == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 4.0, 4.0, 5.0, 5.0, 5.0]
    assert points["value"].tolist()[-1] == 3.0 and points["step"].tolist()[-1] == 5
    assert points.dtypes.astype(str).tolist() == ["int64", "str", "float64", "float64"]


def test_c08_numbers_of_other_libraries_are_numbers() -> None:
    class Tensor:
        """As torch has it: not a number, but it has an item."""

        shape = (1,)

        def item(self) -> float:
            return 0.25

    with tracker() as t:
        for value in (0.25, np.float64(0.25), np.float32(0.25), np.array([0.25]), np.array(0.25), Tensor()):
            t.log(np.int64(3), loss=value)
        with t.span("eval"):
            t.eval(step=np.int32(4), top1=np.float32(50.0), n=np.int64(10), epoch=np.float64(1.5))
    assert t.run.points["value"].tolist() == [0.25] * 6 and t.run.points["step"].tolist() == [3] * 6
    assert t.run.evals["value"].tolist() == [50.0] and t.run.evals["epoch"].tolist() == [1.5]


def test_c08_steps_default_to_the_index_of_the_evaluation() -> None:
    with tracker() as t:
        assert [t.eval(top1=lambda: 50.0).step for _ in range(3)] == [0, 1, 2]
        assert t.eval(step=100, top1=lambda: 50.0).step == 100
        assert t.eval(top1=lambda: 50.0, top5=lambda: 90.0, n=10) is t.status
        assert t.status.step == 4
    assert t.run.evals["metric"].tolist() == ["top1"] * 5 + ["top5"]


def test_other_metrics_may_be_evaluated_alone(clock: Ticking) -> None:
    with tracker() as t:
        t.eval(step=0, top1=lambda: 98.0)
        status = t.eval(step=0, val_loss=lambda: 3.0)
    assert math.isnan(status.value) and status.reached and len(t.run.curve()) == 1


def test_c08_many_threads_log_at_once() -> None:
    with tracker(max_time="1h") as t:

        def work(number: int) -> None:
            for step in range(500):
                t.log(step, **{f"m{number}": float(step)})
                if step % 100 == 0:
                    with t.span("data"):
                        t.eval(step=step, **{f"e{number}": lambda: 1.0})

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    points, evals = t.run.points, t.run.evals
    assert len(points) == 3000 and points.groupby("metric")["value"].sum().tolist() == [500 * 499 / 2] * 6
    assert sorted(evals["eval"]) == list(range(30))
    assert all(own.is_monotonic_increasing for _, own in points.groupby("metric")["step"])
    assert (t.run.spans["end_s"] >= t.run.spans["start_s"]).all() and len(t.run.spans) == 60


def test_c37_no_clock_stops_for_what_a_thread_does_beside(clock: Ticking) -> None:
    with tracker() as t:
        with t.span("train"):
            clock.forward(5)

            def judge() -> None:
                with t.span("eval"):
                    clock.forward(10)
                    t.eval(top1=50.0)

            thread = threading.Thread(target=judge)
            thread.start()
            thread.join()
            clock.forward(5)
        t.eval(top1=clock.takes(1, 60.0))
    assert t.run.spans["depth"].tolist() == [0, -1, 0] and t.run.spans["seconds"].tolist() == [20.0, 10.0, 1.0]
    assert t.run.evals["dawnbench_s"].tolist() == [15.0, 20.0]
    assert t.run.warnings == []


def test_spans_left_open_end_with_the_run(clock: Ticking) -> None:
    with tracker() as t:
        span = t.span("train")
        span.__enter__()
        inner = t.span("data")
        inner.__enter__()
        clock.forward(3)
        assert t.run.spans["seconds"].tolist() == [0.0, 3.0]
        with t.span("other"), pytest.raises(RuntimeError), t.span("warmup"):
            raise RuntimeError
    clock.forward(5)
    span.__exit__(None, None, None)
    assert t.run.spans["kind"].tolist() == ["train", "data", "other", "warmup"]
    assert t.run.spans["end_s"].max() == 3.0


def test_the_live_run_tells_what_there_is(clock: Ticking) -> None:
    with tracker(price=3600.0) as t:
        assert t.run.state == "running" and "No evaluation was logged" in repr(t.run)
        clock.forward(2)
        t.log(0, loss=1.0)
        assert len(t.run.points) == 1
        t.eval(step=3, top1=lambda: 97.5)
        assert t.run.time_to(97) == 2.0 and t.run.crossings["reached"].tolist() == [True, False]
        now = t.live()
        assert now["seconds"] == 2.0 and now["cost_usd"] == 2.0 and not now["stopping"]
        assert t.live_record().state == "running"
        before = now["version"]
        t.note("a\nnote")
        assert t.live()["version"] > before and t.run.notes == ["a note"]
    assert t.run.state == "finished" and t.live()["seconds"] == 2.0
    again = pickle.loads(pickle.dumps(t.run))
    assert type(again) is Run and again.evals.equals(t.run.evals) and again.points.equals(t.run.points)
    assert repr(t) == "<Tracker digits: top1 >= 97, finished>"


def test_first_in_process_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.tta import lifetime

    monkeypatch.setattr(lifetime, "_begun", 0)
    found = []
    for _ in range(3):
        with tracker() as t:
            pass
        found.append(t.run.record.first_in_process)
    assert found == [True, False, False]


# ------------------------------------------------------------------------------------------------------------ the sink


def test_the_sink_gets_everything_in_order(clock: Ticking) -> None:
    sink = MemorySink()
    assert isinstance(sink, Sink)
    with Tracker("r", {"top1": 97}, seed=3, steps=9, price=2.0, confirm=3, store=sink) as t:
        assert sink.row["state"] == "running" and sink.row["pid"] and sink.row["seed"] == 3
        train(t, clock)
        t.plan(7, "cosine")
        assert sink.row["steps"] == 7 and sink.row["schedule"] == "cosine"
        t.log(1, loss=0.5)
        t.note("hello")
        assert [row["confirm"] for row in sink.crossings] == [1, 2, 3]
        assert [row["seq"] for row in sink.crossings] == [2, 5, 6]
        assert [row["seconds"] for row in sink.crossings] == [30.0, 60.0, 70.0]
    assert sink.state == "finished" and sink.closed and sink.notes == ["hello"]
    assert sink.row["end_ns"] == 84 * 10**9 and sink.row["ended_ns"] - sink.row["started_ns"] == 84 * 10**9
    assert [row[0] for row in sink.spans] == list(range(14)) and sink.spans[0][1:] == ("train", 0, 10 * 10**9, 0)
    assert [row[0] for row in sink.evals] == list(range(7)) and len(sink.dense) == 1
    assert sink.dense[0] == ("loss", 1, 84 * 10**9, 0.5, 0)


def test_points_reach_a_sink_while_the_run_goes_on() -> None:
    sink = MemorySink()
    with Tracker("r", {"top1": 97}, store=sink) as t:
        t.log(0, loss=1.0)
        until = time.monotonic() + 30
        while not sink.dense and time.monotonic() < until:
            time.sleep(0.02)
        assert len(sink.dense) == 1


def test_ids_are_in_the_order_of_time_and_no_two_alike() -> None:
    made = [new_id() for _ in range(2000)]
    assert made == sorted(made) and len(set(made)) == 2000 and all(len(one) == 26 for one in made)
    assert not set("".join(made)) & set("ILOUilou")
