"""`%%tta`: the cell runs with `tta` bound, and its run is bound and shown however it ends."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.conftest import Front
from workbench.notebook import live
from workbench.notebook.magics import tta as magic
from workbench.tta import language
from workbench.tta.record import CLOCKS
from workbench.tta.run import Run

TRAIN = """
tta.plan(steps=15, schedule="onecycle-15")
for epoch in range(15):
    with tta.span("train"):
        sum(range(1000))
    tta.eval(step=epoch, n=300, top1=lambda: 90.0 + epoch)
"""


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    return tmp_path


def text(front: Front) -> str:
    return str(front.shown[-1][0]["text/plain"])


def test_c07_the_cell_runs_and_its_value_is_the_run(front: Front) -> None:
    run = front.value(f"%%tta top1>=97 --stop --confirm 2 --name digits -o kept{TRAIN}")
    assert isinstance(run, Run) and front.names["kept"] is run
    assert (run.name, run.state, run.goal, run.target, run.clock) == (
        "digits",
        "reached",
        "max",
        {"top1": 97.0},
        "dawnbench",
    )
    assert list(run.evals["step"]) == list(range(9)) and (run.steps, run.schedule) == (15, "onecycle-15")
    assert front.names["epoch"] == 8, "names of the cell are the notebook's"
    assert [display_id for _, display_id, _ in front.shown] != [] and text(front).startswith(
        "digits: top1 >= 97 reached at"
    )
    assert sum("digits: top1 >= 97 reached" in str(data["text/plain"]) for data, _, _ in front.shown) == 1


@pytest.mark.parametrize("how", ["ends", "fails", "is interrupted", "stops"])
def test_tta_is_put_back(front: Front, how: str) -> None:
    last = {
        "ends": "",
        "fails": "1 / 0",
        "is interrupted": "raise KeyboardInterrupt",
        "stops": "tta.stop(); tta.log(0)",
    }
    front.run(f"%%tta top1>=97 -q\nassert tta.eval(top1=50.0, step=0)\n{last[how]}")
    assert "tta" not in front.names
    front.run("tta = 'mine'")
    front.run(f"%%tta top1>=97 -q\nassert tta != 'mine'\n{last[how]}")
    assert front.names["tta"] == "mine"


def test_o_binds_when_the_cell_fails_and_its_error_is_the_readers_own(front: Front) -> None:
    result = front.run("%%tta top1>=97 -o run\ntta.eval(step=0, n=300, top1=lambda: 50.0)\nraise ValueError('no')")
    assert isinstance(result.error_in_exec, ValueError)
    run = front.names["run"]
    assert (run.state, len(run.evals)) == ("failed", 1)
    assert "ValueError: no" in text(front) and "97.00 not reached: best 50.00" in text(front)


def test_o_binds_when_the_cell_is_interrupted(front: Front) -> None:
    cell = "%%tta top1>=97 -o run\ntta.plan(15)\ntta.eval(step=3, n=300, top1=lambda: 50.0)\nraise KeyboardInterrupt"
    assert front.error(cell) == [
        "Stopped at step 3 of 15; what was logged is kept in run.", "Run the cell again for a new run.",
    ]  # fmt: skip
    assert front.names["run"].state == "interrupted" and "Stopped at step 3 of 15" in text(front)


def test_a_syntax_error_starts_no_run(front: Front, own_home: Path) -> None:
    lines = front.error("%%tta top1>=97 -o run\nx = 1\ny = (2")
    assert lines == [
        "SyntaxError in line 3 of the cell: '(' was never closed.",
        "    y = (2",
        "        ^",
        "Nothing was run.",
    ]
    assert "run" not in front.names and "x" not in front.names and front.shown == []
    assert not list(own_home.glob("tta/*")) and not list(own_home.glob("runs/*"))


def test_magics_and_await_in_the_cell(front: Front) -> None:
    run = front.value("%%tta loss<=0.5 -q\n%who_ls int\nvalues = !echo 0.4\ntta.eval(loss=lambda: float(values[0]))")
    assert run.goal == "min" and not math.isnan(run.time_to())


def test_c60_an_unchanged_cell_has_a_history(front: Front) -> None:
    import workbench as wb

    first = front.value(f"%%tta top1>=97 -q{TRAIN}")
    again = front.value(f"%%tta top1>=97 -q\n# with a remark{TRAIN}")
    assert first.name == again.name and first.name.startswith("cell-") and len(first.name) == 13
    assert front.value(f"%%tta top1>=97 -q{TRAIN}pass").name != first.name
    assert [one.id for one in wb.tta.runs(first.name)] == [first.id, again.id]
    assert [one.id for one in again.earlier] == [first.id]
    roles = [one.get("role") for one in again.view_data()["blocks"][1]["state"]["series"]]
    assert roles == ["history", None]


def test_quiet_leaves_one_line(front: Front) -> None:
    run = front.value(f"%%tta top1>=97 -q{TRAIN}")
    assert [data for data, _, _ in front.shown] == [{"text/plain": repr(run)}]


@pytest.mark.filterwarnings("always")
def test_warnings_are_said_once(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("warnings.showwarning", live.note_hook(None))
    run = front.value("%%tta top1>=97\ntta.eval(step=0, top1=50.0)\nimport warnings, workbench\n"
                      "warnings.warn(workbench.engine.errors.WorkbenchWarning('other', 'do this'))")  # fmt: skip
    assert len(run.warnings) == 1 and "outside an eval span" in run.warnings[0]
    shown = [str(data["text/plain"]) for data, _, _ in front.shown]
    assert sum("outside an eval span" in one for one in shown) == 1
    assert "warning: other\ndo this" in shown


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        ("top1>=94 --goal min", ["top1>=94 means goal max, but --goal says min.", "Drop --goal, or write top1<=94."]),
        ("top1>=94 --prize 3", ["No option --prize.", "Did you mean --price?"]),
        ("top1>=94 --max-time 20", ["--max-time 20 has no unit.", "Write 20s, 20min or 20h."]),
        ("top1>=94 --task cifar10", ["No task cifar10.", "Did you mean CIFAR10?"]),
        ("top1>=nan",
         ['Target must be one metric with a finite number, such as {"top1": 94}.', 'Found {"top1": nan}.']),
        ("top1>=94 -b", ["%%tta cannot run in the background: its body runs in this notebook.", "Drop --background."]),
        ("", ["%%tta needs a METRIC>=TARGET: what is to be reached, such as top1>=97 or val_loss<=0.1.",
              "Example: %%tta top1>=97 --stop --confirm 2 --name digits-cnn -o run"]),
    ],
)  # fmt: skip
def test_errors_say_the_fix(front: Front, line: str, lines: list[str]) -> None:
    assert front.error(f"%%tta {line}\ntta.eval(top1=1)") == lines


def test_an_empty_cell_is_an_error(front: Front) -> None:
    assert front.error("%%tta top1>=97")[0] == "%%tta: the cell is empty."


@pytest.mark.parametrize(
    "line", ["top1>=97", "top1 >= 97", "--stop top1 >=97", "top1>= 97 --stop", "top1>={goal}", "top1 >= $goal"]
)
def test_the_target_stands_anywhere_with_blanks_and_references(front: Front, line: str) -> None:
    front.run("goal = 97")
    assert front.value(f"%%tta {line} -q\npass").target == {"top1": 97.0}


def test_references_are_values(front: Front) -> None:
    front.run(
        "import workbench as wb\nprice = wb.tta.Price(1.5, kind='spot', date='2026-11-01')\nk = 2\nname = 'a b --stop'"
    )
    with pytest.warns(wb_warning()):
        run = front.value("%%tta top1>=97 --price {price} --confirm {k} --name {name} -q\npass")
    assert run.price.date == "2026-11-01" and run.record.confirm == 2 and run.name == "a b --stop"
    assert front.value("%%tta top1>=97 --price $5 -q\npass").price.usd_per_hour == 5.0


def wb_warning() -> Any:
    from workbench.tta.problems import TTAWarning

    return TTAWarning


def test_the_specification_is_that_of_the_language_and_the_tracker() -> None:
    ours = {f"--{option.name}" for option in magic.SPEC.all_options if option.name != "background"}
    assert ours == set(language.OPTIONS)
    from workbench.tta.tracker import Tracker

    assert {option.key for option in magic.OPTIONS} <= set(inspect.signature(Tracker).parameters)
    assert set(magic.CLOCKS) == set(CLOCKS) and set(magic.TASKS) == set(language.TASKS)
    assert language.parse_line(magic.SPEC.first_line).name == "digits-cnn"
    compile(magic.SPEC.example.split("\n", 1)[1], "example", "exec")


def test_help_and_completion(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    assert front.value("%%tta --help") is None
    assert "METRIC>=TARGET" in capsys.readouterr().out
    from workbench.notebook.completion import complete_line

    def offered(before: str) -> list[str]:
        return [word for word, _ in complete_line(magic.SPEC, before, {})[0]]

    assert offered("top1>=97 --max") == ["--max-cost", "--max-time"]
    assert offered("top1>=97 --clock ") == list(magic.CLOCKS)
    assert offered("top1>=97 --task Im") == ["ImageNet"]


def test_the_tracker_is_completed_in_the_body() -> None:
    from workbench.notebook import completion
    from workbench.tta.clock import KINDS
    from workbench.tta.tracker import Tracker

    def offered(before: str) -> list[str]:
        return [word for word, _ in completion.complete_tta("%%tta val_loss<=0.1", before)[0]]

    assert set(completion._TRACKER) <= set(dir(Tracker)) and completion._SPANS == KINDS
    assert offered("    tta.s") == ["span", "stop", "status", "seed"]
    assert offered('with tta.span("tr') == ["train"]
    assert offered("tta.eval(step=3, ") == ["val_loss=", "n=", "epoch="]
    assert offered("x = tta") == offered("data.tta.e") == offered("print(") == []
