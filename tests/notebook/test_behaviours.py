"""The list of what a person sees (1 to 42): each has a test that is named after its number, `test_n<number>_…`.

Those of one module stand beside that module's tests; here are those that hold for all magics, errors and results.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlglot

from workbench.engine.errors import WorkbenchError
from workbench.engine.result import Result
from workbench.notebook.display import PLOTLY_MIME, WIDGET_MIME, mimebundle
from workbench.notebook.magics import base
from workbench.notebook.magics.line import Scope
from workbench.notebook.magics.parse import parse
from workbench.notebook.theme import SERIES

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
MAGICS = ["diff", "fuse", "outliers", "pipeline", "tta", "vquery", "workbench"]

#: tells in one line of JSON what `%load_ext workbench` did besides registering
LOADED = """
import json, sys, threading
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
seen, threads = [], threading.active_count()
def hook(event, arguments):
    if event.startswith(('socket.', 'subprocess.', 'os.posix_spawn', 'os.fork', 'os.mkdir', 'os.rename', 'os.remove')):
        seen.append(event)
    elif event == 'open' and isinstance(arguments[1], str) and set(arguments[1]) & set('wax+'):
        seen.append(f'{event} {arguments[0]}')
sys.addaudithook(hook)
before = set(shell.magics_manager.magics['cell']) | set(shell.magics_manager.magics['line'])
shell.run_line_magic('load_ext', 'workbench')
now = {kind: sorted(names) for kind, names in shell.magics_manager.magics.items()}
print(json.dumps([now, sorted(before), seen, threading.active_count() - threads]))
"""


def test_each_behaviour_has_a_test_of_its_number() -> None:
    found = set()
    for folder in ("notebook", "browser", "engine"):
        for path in (TESTS / folder).rglob("test_*.py"):
            for numbers in re.findall(r"^def test_((?:n\d+_)+)", path.read_text(), re.MULTILINE):
                found |= {int(number) for number in re.findall(r"\d+", numbers)}
    assert found == set(range(1, 43))


def test_n01_loading_registers_every_magic_and_touches_nothing() -> None:
    done = subprocess.run([sys.executable, "-B", "-c", LOADED], capture_output=True, text=True, check=True)
    now, before, seen, threads = json.loads(done.stdout.splitlines()[-1])
    assert (set(now["cell"]) | set(now["line"])) - set(before) == set(MAGICS)
    assert set(MAGICS) - {"workbench"} <= set(now["cell"]) and {"outliers", "pipeline", "workbench"} <= set(now["line"])
    assert (seen, threads) == ([], 0), "no network, process, thread or file before the first use"


def spec(name: str) -> base.MagicSpec:
    return base.specs()[name]


@pytest.mark.parametrize("name", MAGICS)
def test_n02_n03_n04_usage_docstring_and_help_are_one(
    front: Any, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    usage = spec(name).usage()
    for option in spec(name).all_options:
        if option.name == "background" and not spec(name).background:
            assert "--background" not in usage, "its body runs in the notebook"
            continue
        assert f"--{option.name}" in usage
        assert not option.short or f"-{option.short}, --{option.name}" in usage
    assert all(line.strip() in usage for line in spec(name).example.splitlines())
    for kind in spec(name).kinds:
        mark = "%%" if kind == "cell" else "%"
        found = front.shell.object_inspect(f"{mark}{name}")  # what `?` and Shift-Tab show
        assert found["found"] and found["docstring"].strip() == inspect.cleandoc(usage).strip()
        for word in ("--help", "-h"):
            assert front.value(f"{mark}{name} {word}") is None
            assert capsys.readouterr().out.strip() == usage.strip()
    assert front.shown == []


@pytest.mark.parametrize("name", MAGICS)
def test_n03_the_example_can_be_run_as_it_stands(front: Any, name: str) -> None:
    first, _, body = spec(name).example.partition("\n")
    mark, line = re.fullmatch(r"(%%?)\w+ ?(.*)", first).groups()  # type: ignore[union-attr]
    assert (mark == "%%") == bool(body)
    assert parse(spec(name), line, body, Scope({}, {})) is not None
    if name in ("diff", "outliers"):
        sqlglot.parse_one(re.sub(r"(?s)FROM DIFF .*", "FROM t", body))
    else:
        ast.parse(body)


@pytest.mark.parametrize("name", [name for name in MAGICS if name not in ("outliers", "pipeline", "workbench")])
def test_n06_an_empty_cell_gives_an_example(front: Any, name: str) -> None:
    words = " x>=1" if name == "tta" else " a.mp4" if name == "vquery" else ""
    said = front.error(f"%%{name}{words}\n\n# only a comment\n")
    assert said == [f"%%{name}: the cell is empty.", spec(name).example.splitlines()[0]]


@pytest.mark.parametrize("value", ["--limit 0", "'; DROP TABLE t; --", "{name}", "$name", "a b, c", "__import__('os')"])
def test_n08_a_value_is_never_read_again(front: Any, value: str) -> None:
    front.shell.user_ns.update(given=value, name="expanded")
    for written in ("{given}", "$given"):
        found = front.value(f"%echo {written} --metric {written} --by {written}")
        assert (found["arguments"], found["metric"], found["limit"]) == ([value], value, None)
        assert found["by"] in (value, [value])
    assert front.value("%echo $$name --metric {{name}}")["arguments"] == ["$name"]
    front.value("def inside():\n    given = 'of the function'\n    %echo {given} -o kept\ninside()")
    assert front.names["kept"]["arguments"] == ["of the function"]


def derived(base: type) -> set[type]:
    """Return all classes of the package that derive from one of its classes; only their modules are imported."""
    names, found = {base.__name__}, set[str]()
    sources = {path: path.read_text("utf-8") for path in (ROOT / "workbench").rglob("*.py")}
    while True:
        wanted = re.compile(rf"^class (\w+)\((?:[^)]*\W)?(?:{'|'.join(names)})\b", re.MULTILINE)
        held = {path: wanted.findall(text) for path, text in sources.items()}
        more = {name for classes in held.values() for name in classes} | names
        found = {".".join(path.relative_to(ROOT).with_suffix("").parts) for path, classes in held.items() if classes}
        if more == names:
            break
        names = more
    for module in found:
        importlib.import_module(module.removesuffix(".__init__"))
    return set(below(base))


def below(base: type) -> Iterator[type]:
    for each in base.__subclasses__():
        if each.__module__.startswith("workbench."):
            yield each
            yield from below(each)


def test_n15_every_result_has_what_a_result_has() -> None:
    results = derived(Result)
    assert len(results) > 10
    for each in results:
        assert each.to_pandas is not Result.to_pandas, each
        for name in ("to_polars", "to_arrow", "__len__", "__iter__", "__getitem__", "explain", "_repr_mimebundle_"):
            assert callable(getattr(each, name)), (each, name)
        assert each.partial is False or isinstance(inspect.getattr_static(each, "partial"), property), each


def test_n25_no_error_of_ours_is_a_usage_error() -> None:
    from IPython.core.error import UsageError

    errors = derived(WorkbenchError)
    assert len(errors) > 3
    assert not [each for each in errors if issubclass(each, UsageError)]


@pytest.mark.parametrize(
    ("cell", "meant"),
    [
        ("%%vquery a.mp4\nclass R(Query):\n    car: Carr\n    where = car.score > 0.5", "Did you mean 'Car'?"),
        ("%%vquery a.mp4\nclass R(Query):\n    car: Car\n    where = car.scor > 0.5", "Did you mean 'score'?"),
        ("%%vquery a.mp4 --limt 3\nx", "Did you mean --limit?"),
        ("%outliers {lgo} --metric latency", 'Did you mean "log"?'),
        ("%outliers lgo --metric latency", 'Did you mean "log"?'),
        ("%outliers log --metric latncy", 'Did you mean "latency"?'),
        ("%outliers log --metric latency --by hots", 'Did you mean "host"?'),
        ("%%diff\nSELECT * FROM DIFF (SPLIT lgo WHERE latency > 5) ON host", 'Did you mean "log"?'),
        ("%%diff\nSELECT * FROM DIFF (SPLIT log WHERE latncy > 5) ON host", 'Did you mean "latency"?'),
    ],
)
def test_n28_what_was_meant(front: Any, cell: str, meant: str) -> None:
    front.shell.user_ns["log"] = pd.DataFrame({"latency": range(200), "host": ["a", "b"] * 100})
    assert front.error(cell)[-1].startswith(meant)


def test_n29_pipelines_without_torch(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "torch" else find(name, *more))
    assert front.error("%%pipeline net data\npass") == [
        "%%pipeline needs torch, which is not installed.", 'pip install "workbench[train]"'
    ]  # fmt: skip
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert any(line.startswith("torch") for line in extras["train"])


class Drawn(Result):
    """A result that is one figure of plotly."""

    def to_pandas(self) -> pd.DataFrame:
        return pd.DataFrame()

    def view_data(self) -> dict[str, Any]:
        lines = [{"type": "scatter", "x": [1, 2], "y": [3, 4], "name": name} for name in "ab"]
        return {"blocks": [{"kind": "figure", "plotly": {"data": lines}, "alt": "two lines"}]}


def test_n36_a_figure_is_plain_plotly_in_our_theme_and_no_widget() -> None:
    bundle: Any = mimebundle(Drawn(), live=True)
    assert WIDGET_MIME not in bundle
    layout = bundle[PLOTLY_MIME]["layout"]
    assert layout["autosize"] is True and "width" not in layout
    assert len(layout["template"]["layout"]["colorway"]) == len(SERIES)
    assert len(json.dumps(bundle)) < 100_000
    named = [path for path in (ROOT / "workbench").rglob("*.py") if "FigureWidget" in path.read_text("utf-8")]
    assert named == [], "it keeps 5 MB in a notebook for each figure"
