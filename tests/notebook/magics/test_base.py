"""Specifications: usage, help, docstrings, and one spec for both."""

from __future__ import annotations

import inspect
import sys
from typing import Any

import pytest

import workbench as wb
from tests.notebook import slow
from workbench.notebook.magics.base import COMMON, specs, whole
from workbench.notebook.magics.vquery import SPEC
from workbench.notebook.magics.workbench import SPEC as WORKBENCH

#: all options, frozen: adding one is a decision
OPTIONS = ["from", "to", "every", "limit", "accuracy", "detector", "explain", "fresh", "live"]


def test_the_options_are_frozen() -> None:
    assert [option.name for option in SPEC.options] == OPTIONS
    assert [(option.short, option.name) for option in COMMON] == [
        ("o", "out"), ("b", "background"), ("q", "quiet"), ("h", "help")
    ]  # fmt: skip


def test_spec_equals_signature() -> None:
    parameters = inspect.signature(wb.vquery).parameters
    public = {n: p.default for n, p in parameters.items() if p.kind is p.KEYWORD_ONLY and n != "namespace"}
    own = {option.key: option.initial for option in SPEC.options if option.name not in ("explain", "live")}
    assert own == public


@pytest.mark.parametrize("cell", ["%%vquery --help", "%%vquery -h\n", "%%vquery a --zzz 3 -h\nbody", "%%vquery -qh\nx"])
def test_n04_help_prints_the_usage_and_runs_nothing(front: Any, capsys: pytest.CaptureFixture[str], cell: str) -> None:
    assert front.value(cell) is None
    assert capsys.readouterr().out.strip() == SPEC.usage().strip()
    assert front.shown == []


def test_n02_usage_is_the_docstring(front: Any) -> None:
    magic = front.shell.find_cell_magic("vquery")
    assert magic.__doc__ == SPEC.usage()
    found = front.shell.object_inspect("%%vquery")
    assert found["found"] and found["docstring"].strip() == inspect.cleandoc(SPEC.usage()).strip()


def test_usage_names_every_option_and_the_example() -> None:
    usage = SPEC.usage()
    for option in SPEC.all_options:
        assert f"--{option.name}" in usage
    assert SPEC.first_line in usage
    assert "--background" not in WORKBENCH.usage()


def test_n08_no_text_expansion_by_ipython(front: Any) -> None:
    for spec, kind in ((SPEC, "cell"), (WORKBENCH, "line")):
        function = getattr(front.shell, f"find_{kind}_magic")(spec.name)
        assert function._ipython_magic_no_var_expand
        assert function.needs_local_scope


def test_n25_no_error_is_a_usage_error() -> None:
    from IPython.core.error import UsageError

    from workbench.engine.errors import Stopped, WorkbenchError

    assert not issubclass(WorkbenchError, UsageError)
    assert not issubclass(Stopped, UsageError)


def test_n01_loading_registers_all_and_has_no_side_effects(front: Any) -> None:
    import subprocess

    assert set(specs()) >= {"vquery", "workbench"}
    code = (
        "from IPython.core.interactiveshell import InteractiveShell as S; s = S.instance(); "
        "import sys, threading, time; count = threading.active_count(); before = time.process_time();"
        "s.run_line_magic('load_ext', 'workbench'); took = time.process_time() - before;"
        "heavy = {'torch','cv2','plotly','numba','triton','distributed','duckdb','av','onnxruntime','ipywidgets'};"
        "print(sorted(heavy & set(sys.modules)), threading.active_count() - count, took)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy, threads, took = done.stdout.rsplit(maxsplit=2)
    assert (heavy, threads) == ("[]", "0"), done.stdout + done.stderr
    assert float(took) < 0.5, "CPU seconds, as the machine may be busy"


def test_loading_twice_and_unloading(front: Any) -> None:
    from workbench.notebook import load, unload

    load(front.shell)
    matchers = front.shell.Completer.custom_matchers
    assert sum(getattr(matcher, "matcher_identifier", "") == "workbench" for matcher in matchers) == 1
    unload(front.shell)
    try:
        assert front.shell.find_cell_magic("vquery") is None
        assert not any(getattr(matcher, "matcher_identifier", "") == "workbench" for matcher in matchers)
    finally:
        load(front.shell)
        slow.load_ipython_extension(front.shell)
    assert front.shell.find_cell_magic("vquery") is not None


def test_n09_locals_of_the_calling_function(front: Any) -> None:
    value = front.value(
        "thing = 'outer'\n"
        "def ask():\n"
        "    thing = [1, 2]\n"
        "    return get_ipython().run_line_magic('echo', '{thing} --metric $name')\n"
        "name = 'notebook'\n"
        "ask()"
    )
    assert value["arguments"] == [[1, 2]]
    assert value["metric"] == "notebook"


def test_out_in_a_function_binds_in_the_notebook(front: Any) -> None:
    front.value(
        "def ask():\n    get_ipython().run_line_magic('echo', 'a -o kept')\n    return 'kept' in locals()\nask()"
    )
    assert front.names["kept"]["arguments"] == ["a"]


def test_n29_a_missing_package_is_named_with_its_extra(front: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert front.error("%train") == [
        "%train needs no_torch, which is not installed.", 'pip install "workbench[train]"'
    ]  # fmt: skip
    assert front.value("%train --help") is None and "%train" in capsys.readouterr().out


def test_n09_in_a_script_that_is_run(front: Any, tmp_path: Any) -> None:
    script = tmp_path / "script.ipy"
    script.write_text("inner = 'from the script'\n%echo {inner} -o kept\n")
    front.value(f"%run -i {script}")
    assert front.names["kept"]["arguments"] == ["from the script"]


@pytest.mark.parametrize("bad", [True, 1.5, "x", "1.5", None])
def test_whole_numbers(bad: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        whole(bad)
