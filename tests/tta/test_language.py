from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.tta.language import TASKS, Request, parse_line, recipe_name
from workbench.tta.tracker import Tracker


def facts(request: Request) -> dict[str, object]:
    """What differs from a request for `top1>=97`."""
    plain = parse_line("top1>=97")
    return {name: value for name, value in vars(request).items() if value != getattr(plain, name)}


def test_c07_the_cells_of_the_design() -> None:
    first = parse_line("top1>=97 --stop --confirm 2 --name digits-cnn -o run")
    assert facts(first) == {"stop": True, "confirm": 2, "name": "digits-cnn", "out": "run"}
    second = parse_line("val_loss<=0.10 --goal min --clock wall --max-time 20min")
    assert facts(second) == {"metric": "val_loss", "target": 0.1, "goal": "min", "clock": "wall", "max_time": 1200.0}
    third = parse_line("top1>=94 --task CIFAR10 --price 3.06 --max-cost 5 --name resnet9")
    assert facts(third) == {"target": 94.0, "task": "CIFAR10", "price": 3.06, "max_cost": 5.0, "name": "resnet9"}
    issue = parse_line("top1>=97 --clock dawnbench --price 3.06 --stop -o run")
    assert facts(issue) == {"price": 3.06, "stop": True, "out": "run"}


def test_a_request_makes_a_tracker() -> None:
    request = parse_line("val_loss<=0.10 --clock wall --max-time 20min --price 3 --max-cost $5 --confirm 2")
    tracker = Tracker(**request.arguments("x = 1"))
    settings = tracker._tracking.settings
    assert str(settings.target) == "val_loss <= 0.1" and settings.max_time == 1200.0 and settings.max_cost == 5.0
    assert settings.name == recipe_name("x = 1") and settings.confirm == 2 and settings.clock == "wall"


METRICS = st.sampled_from(["top1", "val_loss", "größe", "_m", "f1"])
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
OPTIONS = {
    "--task": ("task", st.sampled_from([("CIFAR10", "CIFAR10"), ("my-task", "my-task"), ('"my task"', "my task")])),
    "--clock": ("clock", st.sampled_from([(c, c) for c in ("wall", "mlperf", "algoperf", "dawnbench")])),
    "--price": ("price", st.sampled_from([("3.06", 3.06), ("$3", 3.0), ("0", 0.0)])),
    "--confirm": ("confirm", st.sampled_from([("2", 2), ("+3", 3)])),
    "--max-cost": ("max_cost", st.sampled_from([("5", 5.0), ("5.0", 5.0), ("$5", 5.0), ("$ 5".replace(" ", ""), 5.0)])),
    "--max-time": ("max_time", st.sampled_from([("90s", 90.0), ("20min", 1200.0), ("1.5h", 5400.0)])),
    "--name": ("name", st.sampled_from([("a", "a"), ("'a b'", "a b")])),
    "-o": ("out", st.sampled_from([("run", "run"), ("_x", "_x")])),
}  # fmt: skip


@given(METRICS, st.sampled_from([">=", "<="]), NUMBERS, st.sampled_from(["", " ", "  "]), st.data())
def test_c07_options_stand_in_any_order(metric: str, sign: str, number: float, gap: str, data: st.DataObject) -> None:
    chosen = data.draw(st.permutations(sorted(OPTIONS))) if data.draw(st.booleans()) else ["--name"]
    parts, expected = [], {}
    for name in chosen:
        field, values = OPTIONS[name]
        text, value = data.draw(values)
        parts.append(f"{name}={text}" if data.draw(st.booleans()) and name != "-o" else f"{name} {text}")
        expected[field] = value
    flags = data.draw(st.sampled_from([[], ["--stop"], ["-q"], ["--stop", "-q"]]))
    parts += flags
    place = data.draw(st.sampled_from([0, len(parts)]))
    goal = "max" if sign == ">=" else "min"
    parts.insert(place, f"{metric}{gap}{sign}{gap}{number!r}")
    if data.draw(st.booleans()):
        parts.append(f"--goal {goal}")
    request = parse_line(" ".join(parts))
    assert (request.metric, request.target, request.goal) == (metric, number, goal)
    assert request.stop is ("--stop" in flags) and request.quiet is ("-q" in flags)
    for field, value in expected.items():
        assert getattr(request, field) == value


BAD = 'Target must be one metric with a finite number, such as {"top1": 94}.'
USE = "Example: %%tta top1>=97 --stop --confirm 2"


@pytest.mark.parametrize(
    ("line", "message", "hint"),
    [
        # the rows of the design's table
        ("top1>=nan", BAD, 'Found {"top1": nan}.'),
        ("top1>=94 --goal min", "top1>=94 means goal max, but --goal says min.", "Drop --goal, or write top1<=94."),
        ("loss<=0.10 --goal max", "loss<=0.10 means goal min, but --goal says max.",
         "Drop --goal, or write loss>=0.10."),
        ("top1>=94 --prize 3", "No option --prize.", "Did you mean --price?"),
        ("top1>=94 --task cifar10", "No task cifar10.", "Did you mean CIFAR10?"),
        ("top1>=94 --task image-net", "No task image-net.", "Did you mean ImageNet?"),
        ("top1>=94 --max-time 20", "--max-time 20 has no unit.", "Write 20s, 20min or 20h."),
        ("top1>=94 --max-time 1.5", "--max-time 1.5 has no unit.", "Write 1.5s, 1.5min or 1.5h."),
        # and what else can be wrong
        ("top1>=inf", BAD, 'Found {"top1": inf}.'),
        ("top1>=1e999", BAD, 'Found {"top1": inf}.'),
        ("top1>=94%", BAD, "Found top1>=94%."),
        ("top1>94", BAD, "Found top1>94. Write top1>=94."),
        ("top1 < 94", BAD, "Found top1 < 94. Write top1<=94."),
        ("top1 == 94", BAD, "Found top1 == 94. Write top1>=94."),
        ("94>=top1", BAD, "Found 94>=top1."),
        ("top1", BAD, "Found top1."),
        ("", BAD, USE),
        ("--stop", BAD, USE),
        ("class>=3", BAD, "class is a word of Python, so it cannot be logged."),
        ("step>=3", '"step" is an argument of eval, so it cannot be the metric.', 'Name it otherwise, such as "top1".'),
        ("top1>=94 top5>=99", '%%tta does not take "top5>=99".', USE),
        ("top1>=94 --zzz", "No option --zzz.", "%%tta --help lists all options."),
        ("top1>=94 -out x", "No option -out.", "Did you mean --out?"),
        ("top1>=94 --confirm 0", '--confirm is a whole number from 1; got "0".', "Example: --confirm 2"),
        ("top1>=94 --confirm 1.5", '--confirm is a whole number from 1; got "1.5".', "Example: --confirm 2"),
        ("top1>=94 --confirm", "--confirm needs a value.", "Example: --confirm 2"),
        ("top1>=94 --max-cost --stop", "--max-cost needs a value.", "Example: --max-cost 5"),
        ("top1>=94 --max-cost 0", '--max-cost is a number of USD above 0; got "0".', "Example: --max-cost 5"),
        ("top1>=94 --max-cost nan", '--max-cost is a number of USD above 0; got "nan".', "Example: --max-cost 5"),
        ("top1>=94 --price cheap", '--price is USD per hour of the whole cluster; got "cheap".',
         "Example: --price 3.06"),
        ("top1>=94 --max-time 20px", '--max-time is a time above 0; got "20px".', "Example: --max-time 20min"),
        ("top1>=94 --max-time 0s", '--max-time is a time above 0; got "0s".', "Example: --max-time 20min"),
        ("top1>=94 --goal up", '--goal is max or min; got "up".', "Example: --goal min"),
        ("top1>=94 --clock dawn", 'No clock "dawn".', 'Did you mean "dawnbench"?'),
        ("top1>=94 --clock x", 'No clock "x".', "Known: wall, dawnbench, mlperf, algoperf."),
        ("top1>=94 --name ''", '--name is a name; got "".', "Example: --name digits-cnn"),
        ("top1>=94 -o 1x", '-o needs a variable name; got "1x".', "Example: -o run"),
        ("top1>=94 -o for", '-o needs a variable name; got "for".', "Example: -o run"),
        ("top1>=94 --stop=yes", "--stop takes no value.", "Write --stop alone."),
        ("top1>=94 --stop --stop", "--stop stands twice.", USE),
        ("top1>=94 -b", "%%tta cannot run in the background: its body runs in this notebook.", "Drop --background."),
        ("top1>=94 --name 'a", "A quote is not closed.", USE),
        ("top1>=94 --name a\\", "A backslash ends the line.", USE),
    ],
)  # fmt: skip
def test_mistakes_are_told(line: str, message: str, hint: str) -> None:
    with pytest.raises(WorkbenchError) as raised:
        parse_line(line)
    assert (raised.value.message, raised.value.hint) == (message, hint)


@given(st.text(max_size=40))
def test_any_line_is_read_or_refused(line: str) -> None:
    with contextlib.suppress(WorkbenchError):
        request = parse_line(line)
        assert request.help or math.isfinite(request.target)


def test_help_is_asked_for_anywhere() -> None:
    for line in ("-h", "--help", "top1>=94 -h", "--stop --help", "top1>=94 -qh", "%%tta -h"):
        assert parse_line(line).help, line


def test_a_free_task_is_free_and_official_ones_bring_their_counts() -> None:
    assert parse_line("top1>=94 --task CIFAR100").task == "CIFAR100"
    counts = {name: task.eval_count for name, task in TASKS.items()}
    assert counts == {"CIFAR10": 10_000, "ImageNet": 50_000, "SQuAD": None}
    assert parse_line("top1>=90 --task CIFAR10").target == 90.0  # it never changes the target


def test_a_recipe_is_its_code_not_its_layout() -> None:
    first = recipe_name("for i in range(3):\n    tta.eval(top1 = 3)  # why\n\n\n")
    assert first == recipe_name("for i in range(3): tta.eval(top1=3)") and first.startswith("cell-")
    assert len(first) == 13 and int(first[5:], 16) >= 0
    assert first != recipe_name("for i in range(4): tta.eval(top1=3)")
    with pytest.raises(SyntaxError):
        recipe_name("for i in")
