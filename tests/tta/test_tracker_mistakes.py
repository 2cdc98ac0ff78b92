"""What is wrong with arguments, values and the order of calls, word for word."""

from __future__ import annotations

import copy
import datetime as dt
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.tta.price import Price
from workbench.tta.problems import TTAWarning
from workbench.tta.sink import MemorySink
from workbench.tta.tracker import Tracker


def tracker(target: Any = None, name: Any = "r", **more: Any) -> Tracker:
    more.setdefault("store", MemorySink())
    return Tracker(name, {"top1": 94} if target is None else target, **more)


def opened(**more: Any) -> Tracker:
    with tracker(**more) as t:
        return t


def told(call: Any) -> tuple[str, str]:
    with pytest.raises(WorkbenchError) as raised:
        call()
    return raised.value.message, raised.value.hint


def warned(call: Any) -> list[tuple[str, str]]:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        call()
    assert all(one.category is TTAWarning and one.filename == __file__ for one in said)
    return [(one.message.message, one.message.hint) for one in said]  # type: ignore[union-attr]


def evaluated(values: list[float], target: Any = None, **more: Any) -> Tracker:
    with tracker(target, **more) as t, t.span("eval"):
        for value in values:
            t.eval(top1=value)
    return t


# ----------------------------------------------------------------------------------------- rows of the design's table


def test_values_in_percent_of_a_target_in_fractions() -> None:
    assert told(lambda: evaluated([71.3], {"top1": 0.94})) == (
        "Target 0.94, but top1 has values up to 71.3.", "Use target 94, or log fractions.",
    )  # fmt: skip
    # what shows it is not kept: it would have reached the target
    with pytest.raises(WorkbenchError), tracker({"top1": 0.94}) as t, t.span("eval"):  # noqa: PT012
        t.eval(top1=0.2)
        t.eval(top1=20.0)
    assert t.run.state == "failed" and t.run.evals["value"].tolist() == [0.2] and math.isnan(t.run.time_to())
    for unit in ("any", "percent"):
        assert not evaluated([71.3], {"top1": 0.94}, unit=unit).run.warnings
    assert not evaluated([71.3], {"top1": 0.5}, goal="min").run.warnings
    assert told(lambda: evaluated([1.6], {"top1": 1}))[1] == "Use target 100, or log fractions."
    assert not evaluated([1.5], {"top1": 1}).run.warnings


def test_values_in_fractions_of_a_target_in_percent() -> None:
    said = ("Target 94, but top1 has never been above 0.71.", "Use target 0.94, or log percent.")
    assert warned(lambda: evaluated([0.5, 0.71, 0.6, 0.9])) == [said]  # once, at the third
    assert warned(lambda: evaluated([0.5, 0.71])) == []
    assert warned(lambda: evaluated([0.5, 0.71, 2.0, 0.5])) == []
    assert warned(lambda: evaluated([0.5, 0.71, 0.6], unit="any")) == []
    assert warned(lambda: evaluated([0.5, 0.71, 0.6], goal="min")) == []
    assert evaluated([0.5, 0.7], {"top1": 94}).run.warnings == []
    with pytest.warns(TTAWarning):
        assert evaluated([0.5, 0.71, 0.6]).run.warnings == [" ".join(said)]


BAD = 'Target must be one metric with a finite number, such as {"top1": 94}.'


@pytest.mark.parametrize(
    ("target", "hint"),
    [
        ({"top1": math.nan}, 'Found {"top1": nan}.'),
        ({"top1": math.inf}, 'Found {"top1": inf}.'),
        ({"top1": "94"}, "Found {\"top1\": '94'}."),
        ({"top1": None}, 'Found {"top1": None}.'),
        ({"top1": True}, 'Found {"top1": True}.'),
        ({"top1": 94, "top5": 99}, 'Found {"top1": 94, "top5": 99}.'),
        ({}, "Found {}."),
        ({3: 94}, "Found {3: 94}."),
        ({"": 94}, 'Found {"": 94}.'),
        (94, "Found 94."),
        ("top1>=94", "Found top1>=94."),
        (["top1", 94], "Found ['top1', 94]."),
        (object, "Found <class 'object'>."),
    ],
)
def test_a_bad_target(target: Any, hint: str) -> None:
    assert told(lambda: tracker(target)) == (BAD, hint)


def test_an_official_task_in_other_letters() -> None:
    assert told(lambda: tracker(task="cifar10")) == ("No task cifar10.", "Did you mean CIFAR10?")


def test_a_time_without_a_unit() -> None:
    assert told(lambda: tracker(max_time=20)) == ("max_time 20 has no unit.", "Write 20s, 20min or 20h.")
    assert told(lambda: tracker(max_time="20")) == ("max_time 20 has no unit.", "Write 20s, 20min or 20h.")


@pytest.mark.parametrize("given", [{"task": "ImageNet"}, {"eval_count": 50_000}, {"eval_set": 50_000},
                                   {"eval_set": np.arange(50_000)}])  # fmt: skip
def test_c41_an_incomplete_evaluation(given: dict[str, Any]) -> None:
    ran = []
    with tracker(**given) as t:
        assert told(lambda: t.eval(n=49_152, top1=lambda: ran.append(1))) == (
            "Evaluated 49,152 of 50,000 samples: not a valid evaluation.",
            "Set drop_last=False, or a batch size that divides 50,000.",
        )  # fmt: skip
        assert told(lambda: t.eval(n=50_001, top1=lambda: 3.0))[0].startswith("Evaluated 50,001 of 50,000 samples")
    assert not ran and not len(t.run.evals)


def test_c41_counts_that_contradict() -> None:
    assert told(lambda: tracker(task="CIFAR10", eval_count=300)) == (
        "eval_count says 300 evaluation items, but CIFAR10 says 10,000.", "Drop eval_count.",
    )  # fmt: skip
    assert told(lambda: tracker(eval_set=[1, 2, 3], eval_count=4)) == (
        "eval_set says 3 evaluation items, but eval_count says 4.", "Drop eval_count.",
    )  # fmt: skip


def test_an_evaluation_on_the_clock() -> None:
    def run() -> None:
        with tracker({"val_loss": 0.1}, goal="min") as t:
            t.eval(val_loss=3.0)
            t.eval(val_loss=2.0)

    assert warned(run) == [
        ("eval got a value outside an eval span, so its time counts as training.", "Pass val_loss=lambda: ….")
    ]


@pytest.mark.parametrize("name", ["test", "Test", "mnist-test", "test_set", "the test set", "CIFAR10/test"])
def test_c43_a_target_on_the_test_set(name: str) -> None:
    text = (f"The target is judged on the set named '{name}'.", "Give fresh=, or honest=False to acknowledge it.")
    assert warned(lambda: opened(eval_set=name)) == [text]
    assert warned(lambda: opened(eval_set=name, honest=False)) == []
    assert warned(lambda: opened(eval_set=name, fresh=lambda: 3.0)) == []
    assert warned(lambda: opened(eval_set="contest")) == []


def test_c43_items_of_the_training_set() -> None:
    ids = np.arange(10_000)
    text = (
        "37 of 10,000 evaluation items are in the training set.", "Remove them, or the result overstates accuracy.",
    )  # fmt: skip
    train = np.arange(9_963, 60_000)
    assert warned(lambda: opened(eval_set=ids, train_set=train)) == [text]
    assert warned(lambda: opened(eval_set=ids, train_set=np.arange(20_000, 30_000))) == []
    names = [f"n{i}" for i in range(10_000)]
    assert warned(lambda: opened(eval_set=names, train_set=names[:37])) == [text]
    pictures = np.random.default_rng(0).integers(0, 255, (10_000, 4, 4))
    assert warned(lambda: opened(eval_set=pictures, train_set=pictures[100:137])) == [text]
    with pytest.warns(TTAWarning), tracker(eval_set=ids, train_set=train) as t:
        pass
    assert t.run.environment["overlap"] == 37 and t.run.warnings == [" ".join(text)]


def test_a_metric_that_is_nan() -> None:
    def run(value: float, **more: Any) -> Tracker:
        with tracker(**more) as t:
            t.eval(step=900, top1=lambda: value)
            t.eval(step=901, top1=lambda: value)
            t.eval(step=902, top1=lambda: 95.0)
        return t

    hint = "Check the loss; the run goes on."
    assert warned(lambda: run(math.nan)) == [("top1 is NaN at step 900: it never counts as reached.", hint)]
    assert warned(lambda: run(math.inf)) == [("top1 is inf at step 900: it never counts as reached.", hint)]
    assert warned(lambda: run(-math.inf, goal="min")) == [
        ("top1 is -inf at step 900: it never counts as reached.", hint)
    ]  # fmt: skip
    with pytest.warns(TTAWarning):
        t = run(math.inf)
    assert t.run.time_to(unit="steps") == 902.0 and t.run.crossings["step"].tolist()[0] == 902


def test_c15_a_spot_price() -> None:
    assert warned(lambda: opened(price=Price(1.0, kind="spot"))) == [
        ("The spot price is shown, but boards rank by on-demand.", 'Pass Price(…, kind="ondemand").')
    ]


def test_no_evaluation() -> None:
    with tracker() as t:
        pass
    assert t.run.explain().splitlines()[:2] == [
        "r: top1 >= 94: No evaluation was logged, so there is no TTA.",
        "Call tta.eval(top1=…, n=…) in the loop.",
    ]


def test_never_reached() -> None:
    with tracker(eval_count=10_000) as t:
        t.eval(epoch=22, top1=lambda: 93.87)
    lines = t.run.explain().splitlines()
    assert lines[0].startswith("r: 94.00 not reached: best 93.87 at ") and lines[0].endswith("(epoch 22), 0.13 below.")
    assert lines[1] == "10,000 images give +-0.47 at 95 %; no TTA is reported."


# ----------------------------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ({"name": ""}, "The name of a recipe is text, not ''.", 'Write Tracker("resnet9", ...).'),
        ({"name": 3}, "The name of a recipe is text, not 3.", 'Write Tracker("resnet9", ...).'),
        ({"clock": "dawn"}, 'No clock "dawn".', 'Did you mean "dawnbench"?'),
        ({"clock": None}, 'No clock "None".', "Known: wall, dawnbench, mlperf, algoperf."),
        ({"goal": "up"}, "No goal 'up'.", 'Write goal="max" or goal="min".'),
        ({"goal": "maxx"}, "No goal 'maxx'.", 'Did you mean "max"?'),
        ({"unit": "%"}, "No unit '%'.", 'Write unit="percent" or unit="fraction" or unit="any".'),
        ({"task": 3}, "The task is a name, not 3.", "Known: CIFAR10, ImageNet, SQuAD; or a name of your own."),
        ({"steps": 0}, "steps is a whole number from 1, not 0.", "Write steps=15."),
        ({"steps": 1.5}, "steps is a whole number from 1, not 1.5.", "Write steps=15."),
        ({"steps": True}, "steps is a whole number from 1, not True.", "Write steps=15."),
        ({"schedule": 3}, "schedule is a name, not 3.", 'Write schedule="onecycle-15".'),
        ({"seed": "0"}, "seed is a whole number, not '0'.", "Write seed=0."),
        ({"seed": True}, "seed is a whole number, not True.", "Write seed=0."),
        ({"seed": 2**70}, f"seed is a whole number, not {2**70}.", "Write seed=0."),
        ({"confirm": 0}, "confirm is a whole number of evaluations from 1, not 0.", "Write confirm=2."),
        ({"confirm": True}, "confirm is a whole number of evaluations from 1, not True.", "Write confirm=2."),
        ({"confirm": 2.0}, "confirm is a whole number of evaluations from 1, not 2.0.", "Write confirm=2."),
        ({"stop": 1}, "stop is True or False, not 1.", "Write stop=True."),
        ({"hopeless": "yes"}, "hopeless is True or False, not 'yes'.", "Write hopeless=True."),
        ({"honest": None}, "honest is True or False, not None.", "Write honest=True."),
        ({"fresh": 95.0}, "fresh is a function, not 95.0.", "Write fresh=lambda: …."),
        ({"sync": True}, "sync is a function, not True.", "Write sync=lambda: …."),
        ({"max_time": "soon"}, "max_time is a time above 0, not 'soon'.", 'Write max_time="20min".'),
        ({"max_time": "-3s"}, "max_time is a time above 0, not '-3s'.", 'Write max_time="20min".'),
        ({"max_time": "20px"}, "max_time is a time above 0, not '20px'.", 'Write max_time="20min".'),
        ({"max_time": True}, "max_time is a time above 0, not True.", 'Write max_time="20min".'),
        ({"max_cost": 5}, "max_cost needs a price.", "Pass price= in USD per hour of the whole cluster."),
        ({"max_cost": 5, "price": 0}, "max_cost needs a price.", "Pass price= in USD per hour of the whole cluster."),
        ({"max_cost": 0, "price": 1}, "max_cost is a number of USD above 0, not 0.", "Write max_cost=5."),
        ({"max_cost": "x", "price": 1}, "max_cost is a number of USD above 0, not 'x'.", "Write max_cost=5."),
        ({"max_cost": math.nan, "price": 1}, "max_cost is a number of USD above 0, not nan.", "Write max_cost=5."),
        ({"max_energy": -1}, "max_energy is a number of joules above 0, not -1.", "Write max_energy=5000."),
        ({"max_energy": "5"}, "max_energy is a number of joules above 0, not '5'.", "Write max_energy=5000."),
        ({"price": "3"}, "The price is a number of USD per hour, not '3'.", "Write price=3.06."),
        ({"price": True}, "The price is a number of USD per hour, not True.", "Write price=3.06."),
        ({"eval_set": ""}, "eval_set is an empty name.", 'Write eval_set="validation", or leave it out.'),
        ({"eval_set": 0}, "eval_set is a whole number of samples from 1, not 0.", "Write eval_set=10_000."),
        ({"eval_set": True}, "eval_set is a name, a count, or an array of ids or labels, not bool.",
         "Write eval_set=ids."),
        ({"eval_set": 3.5}, "eval_set is a name, a count, or an array of ids or labels, not float.",
         "Write eval_set=ids."),
        ({"eval_set": []}, "eval_set is empty.", "Give the ids or labels of its items."),
        ({"eval_count": 2.5}, "eval_count is a whole number of samples from 1, not 2.5.", "Write eval_count=10_000."),
        ({"train_set": "train"}, "train_set is an array of ids, not str.", "Write train_set=ids."),
        ({"unit": "fraction"}, "Target 94 is no fraction.", 'Use target 0.94, or unit="percent".'),
        ({"store": 3}, "store is a folder, not 3.", 'Write store="runs".'),
        ({"resume": 3}, "resume is the id of a run, not 3.", "Write resume=run.id."),
        ({"resume": "x"}, "Only a run in a store can be resumed.", "Pass store=, the folder of the run."),
    ],
)  # fmt: skip
def test_arguments_that_cannot_be(given: dict[str, Any], message: str, hint: str) -> None:
    assert told(lambda: opened(**given)) == (message, hint)


def test_arguments_that_can_be() -> None:
    settings = tracker(
        max_time=dt.timedelta(minutes=2), max_cost="$5", price=3, seed=np.int64(-4), steps=np.int32(5), confirm=3,
    )._tracking.settings  # fmt: skip
    assert settings.max_time == 120.0 and settings.max_cost == 5.0 and settings.seed == -4 and settings.steps == 5
    assert type(settings.seed) is int and settings.confirm == 3


# ---------------------------------------------------------------------------------------------------------------- calls


@pytest.mark.parametrize(
    ("step", "message", "hint"),
    [
        (-1, "step is a whole number from 0, not -1.", "Write step=3."),
        (True, "step is a whole number from 0, not True.", "Write step=3."),
        (np.bool_(True), "step is a whole number from 0, not np.True_.", "Write step=3."),
        (3.0, "step is a whole number from 0, not 3.0.", "Write step=3; a part of an epoch is epoch=3.5."),
        (np.float64(3.0), "step is a whole number from 0, not np.float64(3.0).",
         "Write step=3; a part of an epoch is epoch=3.5."),
        ("3", "step is a whole number from 0, not '3'.", "Write step=3."),
        (2**63, f"step is a whole number from 0, not {2**63}.", "Write step=3."),
        (np.array([1, 2]), "step is a whole number from 0, not array([1, 2]).", "Write step=3."),
    ],
)  # fmt: skip
def test_steps_that_cannot_be(step: Any, message: str, hint: str) -> None:
    with tracker() as t:
        assert told(lambda: t.log(step, loss=1.0)) == (message, hint)
        assert told(lambda: t.eval(step=step, top1=lambda: 1.0)) == (message, hint)
        assert told(lambda: t.resume(step)) == (message, hint)
    assert not len(t.run.points) and not len(t.run.evals)


@pytest.mark.parametrize(
    ("value", "message", "hint"),
    [
        ("0.5", "top1 is a real number, not '0.5'.", "Write top1=93.2."),
        (None, "top1 is a real number, not None.", "Write top1=93.2."),
        (True, "top1 is a real number, not True.", "Write top1=93.2."),
        (np.bool_(False), "top1 is a real number, not np.False_.", "Write top1=93.2."),
        (1 + 2j, "top1 is a real number, not (1+2j).", "Write top1=93.2."),
        (10**400, "top1 is a real number, not int.", "Write top1=93.2."),
        ([1.0], "top1 is a real number, not [1.0].", "Write top1=93.2."),
        ({"a": 1}, "top1 is a real number, not {'a': 1}.", "Write top1=93.2."),
        (np.array([1.0, 2.0]), "top1 is one number, not 2 of them.", "Take the mean: top1=top1.mean()."),
        (np.array([]), "top1 is one number, not 0 of them.", "Take the mean: top1=top1.mean()."),
        (np.array(["x"]), "top1 is a real number, not array(['x'], dtype='<U1').", "Write top1=93.2."),
    ],
)
def test_values_that_cannot_be(value: Any, message: str, hint: str) -> None:
    with tracker() as t:
        assert told(lambda: t.log(0, top1=value)) == (message, hint)
        with t.span("eval"):
            assert told(lambda: t.eval(top1=value)) == (message, hint)
        assert told(lambda: t.eval(top1=lambda: value)) == (message, hint)
    assert not len(t.run.points) and not len(t.run.evals) and t.run.spans["kind"].tolist() == ["eval", "eval"]


def test_calls_that_cannot_be() -> None:
    with tracker() as t:
        assert told(lambda: t.eval()) == ("eval needs a metric.", "Write eval(top1=…).")
        assert told(lambda: t.eval(n=0, top1=lambda: 1.0)) == ("n is a whole number from 1, not 0.", "Write n=10_000.")
        assert told(lambda: t.eval(n=2.0, top1=lambda: 1.0))[0] == "n is a whole number from 1, not 2.0."
        assert told(lambda: t.eval(epoch=-1, top1=lambda: 1.0)) == (
            "epoch is a number from 0, not -1.", "Write epoch=3.5.",
        )  # fmt: skip
        assert told(lambda: t.eval(epoch="1", top1=lambda: 1.0))[0] == "epoch is a real number, not '1'."
        assert told(lambda: t.span("trian")) == ('No kind of span "trian".', 'Did you mean "train"?')
        assert told(lambda: t.span("down")) == (
            'No kind of span "down".', "Known: init, data, compile, warmup, train, eval, checkpoint, other.",
        )  # fmt: skip
        assert told(lambda: t.span(["train"]))[0] == "No kind of span \"['train']\"."
        assert told(lambda: t.plan(0)) == ("steps is a whole number from 1, not 0.", "Write steps=15.")
        assert told(lambda: t.plan(5, schedule=3))[0] == "schedule is a name, not 3."
        assert told(lambda: t.resume(3)) == (
            "There is no attempt to go on with.", "Pass resume=, the id of an unfinished run.",
        )  # fmt: skip
        with pytest.raises(TypeError):
            t.log(loss=1.0)  # type: ignore[call-arg]
        with pytest.raises(ZeroDivisionError):
            t.eval(top1=lambda: 1 / 0)
    assert not len(t.run.evals) and t.run.state == "finished"


def test_steps_that_go_back() -> None:
    def run(*steps: int) -> None:
        with tracker() as t:
            for step in steps:
                t.eval(step=step, top1=lambda: 50.0)

    assert warned(lambda: run(0, 5, 3, 2)) == [
        ("Step 3 comes after step 5: evaluations count in the order logged.",
         "After going back to a checkpoint, call resume(step).")
    ]  # fmt: skip
    assert warned(lambda: run(0, 0, 1, 1)) == []


def test_a_metric_that_is_nearly_the_targets() -> None:
    def run(**metrics: Any) -> None:
        with tracker() as t:
            t.eval(**metrics)
            t.eval(**metrics)

    assert warned(lambda: run(top_1=lambda: 50.0)) == [
        ('The target is of "top1", but eval got "top_1".', "Did you mean top1=…?")
    ]
    assert warned(lambda: run(val_loss=lambda: 50.0)) == []


def test_outside_of_its_block() -> None:
    t = tracker()
    new = ("The tracker has not been entered.", "Write with wb.tta.Tracker(…) as t: around it.")
    for call in (lambda: t.log(0, loss=1.0), lambda: t.eval(top1=1.0), lambda: t.plan(3), lambda: t.note("x"),
                 lambda: t.resume(1), lambda: t.run, lambda: t.span("train").__enter__(), t.live_record):  # fmt: skip
        assert told(call) == new
    assert t.live()["seconds"] == 0.0 and repr(t) == "<Tracker r: top1 >= 94, new>" and not t.resumed
    with t:
        log = t.log
        assert told(t.__enter__) == ("A tracker is used once.", "Make a new one for each run.")
    for name, call in (("log", lambda: log(0, loss=1.0)), ("log", lambda: t.log(0, loss=1.0)),
                       ("eval", lambda: t.eval(top1=lambda: 1.0)), ("plan", lambda: t.plan(3)),
                       ("span", lambda: t.span("train").__enter__()), ("note", lambda: t.note("x"))):  # fmt: skip
        assert told(call) == ("The run has ended: nothing more is logged.", f"Call {name} inside the with block.")
    assert told(t.__enter__) == ("A tracker is used once.", "Make a new one for each run.")
    t.stop()
    assert t.run.state == "finished" and not len(t.run.points)


def test_a_tracker_stays_where_it_is() -> None:
    with tracker() as t:
        for call in (lambda: pickle.dumps(t), lambda: copy.deepcopy(t), lambda: copy.copy(t)):
            assert told(call) == (
                "A tracker cannot be sent to another process or copied.", "Make it there, or use wb.tta.repeat.",
            )  # fmt: skip


def test_warnings_that_are_errors_leave_nothing_behind() -> None:
    sink = MemorySink()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TTAWarning):
            tracker(eval_set="test", store=sink).__enter__()
        assert sink.row == {}
        with pytest.raises(TTAWarning), tracker(store=sink) as t:
            t.eval(top1=95.0)
    assert sink.state == "failed" and t.run.state == "failed" and len(t.run.evals) == 1
