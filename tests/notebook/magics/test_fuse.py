"""`%%fuse`: the value is the cell's, a line about the plan follows it, and names are as if it had run plainly."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest

from tests.notebook.conftest import Front
from workbench.engine.errors import Stopped, WorkbenchError
from workbench.fusion import CellResult, errors, run
from workbench.notebook import live
from workbench.notebook.magics import fuse as magic


@pytest.fixture(autouse=True)
def names(front: Front) -> None:
    front.shell.user_ns.update(
        np=np, pd=pd, a=np.arange(10.0), df=pd.DataFrame({"people": [1.0, 3.0, 5.0], "tax": [2.0, 2.0, 4.0]})
    )


def texts(front: Front) -> list[str]:
    return [str(data["text/plain"]) for data, _, _ in front.shown]


def test_c48_the_value_is_the_cells_and_a_line_follows(front: Front) -> None:
    assert front.value("%%fuse\nbig = df[df.people > 2]\n(big.tax * 2).sum()") == 12.0
    assert type(front.names["big"]) is pd.DataFrame
    assert texts(front)[-1].count("→") == 2
    assert "ops →" in texts(front)[-1]


def test_c48_o_binds_the_cell_result(front: Front) -> None:
    assert front.value("%%fuse -o kept  # twice\n(a * 2).sum()") == 90.0
    kept = front.names["kept"]
    assert isinstance(kept, CellResult)
    assert kept.value == 90.0
    assert list(kept.to_pandas()["kind"]) == ["reduce"]


def test_a_semicolon_shows_no_value(front: Front) -> None:
    assert front.value("%%fuse\na + 1;") is None


@pytest.mark.parametrize("options", ["", " --explain"])
def test_a_cell_of_which_nothing_is_fused_says_why(front: Front, options: str) -> None:
    assert front.value(f"%%fuse{options}\nx = df.people.to_numpy()\n(x * 2).sum()") == 18.0
    assert "Nothing was fused: that begins at arrays and tables that the cell reads by name" in texts(front)[-1]
    assert front.value(f"%%fuse{options}\nx = df.people.values\n(x * 2).sum()") == 18.0
    assert "Nothing was fused" not in texts(front)[-1]


def test_quiet_shows_no_line(front: Front) -> None:
    before = len(front.shown)
    assert front.value("%%fuse -q\n(a * 2).sum()") == 90.0
    assert len(front.shown) == before


@pytest.mark.filterwarnings("ignore:interpolate ran in pandas, unfused")
def test_c44_c45_explain_shows_kernels_and_what_did_not_fuse(front: Front) -> None:
    front.value("%%fuse --explain\nx = np.exp(a)\ny = df.people.interpolate()\nx.sum()")
    said = texts(front)[-1]
    assert "reduce" in said
    assert all(name in said for name in ("kernel ", "scheme", "predicted", "measured")), "a line a kernel in a console"
    assert max(len(line) for line in said.splitlines()) < 100
    assert "interpolate" in said
    assert "unsupported operation" in said


@pytest.mark.filterwarnings("always")
def test_what_ran_unfused_is_warned_of_each_time_the_cell_runs(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "showwarning", live.note_hook(None))
    for _ in range(2):
        begin = len(front.shown)
        front.value("%%fuse\nx = df.tax.rank()\ny = df.people.interpolate()\n(x + y).sum()")
        told = [text for text in texts(front)[begin:] if text.startswith("warning: ")]
        assert told == [
            "warning: rank ran in pandas, unfused (line 2).\ninterpolate ran in pandas, unfused (line 3).\n"
            "See plan.reasons for the cause."
        ]


def test_a_traceback_names_the_cell_that_raised(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    # run_cell is told of the cell by its text alone: the number is that of the front end's prompt
    result = front.shell.run_cell("%%fuse\nb = a + 1\nb.missing", store_history=True)
    assert isinstance(result.error_in_exec, AttributeError)
    shown = re.findall(r"In\[\d+\], line \d+", re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out))
    number = result.execution_count
    assert shown[0] == f"In[{number}], line 1" and shown[-1] == f"In[{number}], line 3"


def test_c49_check_is_told(front: Front) -> None:
    front.run("%%fuse --check\nnp.exp(a).sum()")
    assert "checked: largest error" in texts(front)[-1]


def test_ir_and_asm_are_shown(front: Front) -> None:
    front.run("%%fuse --ir --asm\nb = a + 1")
    assert any(text.startswith("program(") for text in texts(front))


def test_a_gpu_that_is_not_here_is_planned_for_and_the_cell_runs(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.fusion.gpu import running

    monkeypatch.setattr(running, "available", lambda: False)
    line = "%%fuse --device cuda --explain -o kept"
    value = front.value(f"{line}\nb = np.exp(-a)\nbig = df[df.people > 2]\n(b * 2).sum()")
    assert value == pytest.approx(2 / (1 - np.exp(-1)), rel=1e-3)
    said = texts(front)[-1]
    assert "ms predicted for cuda:sm_90" in said
    assert "No GPU is here: the cell ran on the CPU (" in said
    assert "not measured" in said
    assert "not fused: filter: filtered rows on the GPU (<cell>:" in said
    data = front.shown[-1][0]
    assert "not measured" in data["text/html"]
    assert data["text/html"].count("<svg") == 2
    kept = front.names["kept"]
    assert kept.plan.device == "cuda:sm_90"
    assert kept.ran.device == "cpu"
    assert kept.plan.kernels_before == kept.ran.kernels_before
    assert kept.plan.bytes_before == kept.ran.bytes_before
    assert "tl.store" in kept.plan.triton
    assert front.value("%%fuse --device cuda --triton\na + 1")[0] == 1.0
    assert "@triton.jit" in texts(front)[-1]


def test_a_syntax_error_starts_nothing(front: Front) -> None:
    error = front.run("%%fuse\nx = 1\ny = (").error_in_exec
    assert isinstance(error, WorkbenchError)
    assert str(error).startswith("SyntaxError in line 3 of the cell")
    assert "x" not in front.names


def test_c48_an_error_is_the_readers_own_and_what_was_written_before_is_written(front: Front) -> None:
    frame = front.names["df"]
    error = front.run('%%fuse\ndf["z"] = df.tax + 1\n1 / 0').error_in_exec
    assert isinstance(error, ZeroDivisionError)
    assert list(frame["z"]) == [3.0, 3.0, 5.0]
    assert front.names["df"] is frame


def test_c64_an_interrupt_leaves_originals_as_they_were(front: Front) -> None:
    error = front.run("%%fuse\na += 1\nraise KeyboardInterrupt").error_in_exec
    assert isinstance(error, Stopped)
    np.testing.assert_array_equal(front.names["a"], np.arange(10.0))


@pytest.mark.parametrize(
    ("line", "first", "second"),
    [
        ("--devise cpu", "No option --devise.", "Did you mean --device?"),
        ("--device gpu", 'Unknown device "gpu".', "Did you mean"),
        ("--device cuda --exact", "exact=True runs on the CPU only.", 'Use device="cpu"'),
        ("--threads 0", '--threads is a number of threads, 1 or more; got "0".', "Example: --threads 2"),
        ("--compare spark", 'Unknown peer "spark".', "Peers: numpy, pandas, numba, polars, jax, inductor."),
        ("-b", "%%fuse cannot run in the background", "Drop --background."),
    ],
)
def test_bad_lines(front: Front, line: str, first: str, second: str) -> None:
    error = front.run(f"%%fuse {line}\nx = 1").error_in_exec
    assert isinstance(error, WorkbenchError)
    assert error.message.startswith(first)
    assert (error.hint or "").startswith(second)
    assert "x" not in front.names


def test_an_empty_cell_is_an_error_with_an_example(front: Front) -> None:
    error = front.run("%%fuse --explain\n").error_in_exec
    assert str(error).startswith("%%fuse: the cell is empty.")


def test_help_is_enough_to_use_it(front: Front, capsys: pytest.CaptureFixture[str]) -> None:
    front.run("%%fuse --help\n")
    said = capsys.readouterr().out
    assert all(f"--{option.name}" in said for option in magic.OPTIONS)
    assert max(len(line) for line in said.splitlines()) <= 100, "JupyterLab would break longer lines"
    assert "as if the cell had run plainly" in said and "-o NAME binds the CellResult" in said


def test_choices_are_those_of_the_subsystem() -> None:
    assert magic.PEERS == errors.PEERS
    assert set(magic.DEVICES) <= set(run.DEVICES)
