"""`%%outliers`: what it hands to the functions, with these faked, and the whole way with real ones."""

from __future__ import annotations

import inspect
import os
import re
import signal
import subprocess
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.notebook.slow import Count
from workbench.anomaly import api, compare, language
from workbench.engine.errors import Stopped
from workbench.engine.run import Run
from workbench.notebook.display import VIEW_MIME
from workbench.notebook.magics.outliers import COMPARES, SCORES, SPEC

#: all options, frozen: adding one is a decision
OPTIONS = [
    "metric", "by", "score", "top", "tail", "min-support", "min-ratio", "max-combo", "compare", "where", "labels",
    "threshold", "all", "max-candidates", "seed", "time", "period", "phases", "count", "mean", "std", "quantiles",
    "window", "slide", "decay", "lateness", "follow",
]  # fmt: skip


def log(rows: int = 2000) -> pd.DataFrame:
    """Return requests of which those of one host in one version are slow."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "host": rng.choice(["a", "b", "c", "d"], rows),
            "Ship Mode": rng.choice(["air", "sea"], rows),
            "size": rng.integers(0, 100, rows),
            "latency": rng.normal(100, 10, rows).round(3),
            "bad": False,
            "distance:10": rng.choice(["x", "y"], rows),
        }
    )
    slow = (frame["host"] == "b") & (frame["Ship Mode"] == "sea") & (rng.random(rows) < 0.15)
    frame.loc[slow, "latency"] += 300
    frame.loc[slow, "bad"] = True
    return frame


class Asked:
    """What the last call was given."""

    data: Any = None
    metric: Any = None
    by: Any = None
    options: dict[str, Any]


@pytest.fixture
def asked(front: Any, monkeypatch: pytest.MonkeyPatch) -> Asked:
    seen = Asked()

    def start_outliers(data: Any, metric: Any = None, by: Any = "*", **options: Any) -> Run[Count]:
        seen.data, seen.metric, seen.by, seen.options = data, metric, by, options
        return Run.start(lambda run: Count(2, 2), kind="outliers", title="faked", unit="orders")

    monkeypatch.setattr(api, "start_outliers", start_outliers)
    front.shell.user_ns.update(log=log(), limit=150)
    return seen


DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(wb.outliers).parameters.items()
    if parameter.kind is parameter.KEYWORD_ONLY
}


def given(asked: Asked) -> dict[str, Any]:
    return {name: value for name, value in asked.options.items() if name != "name"}


def test_the_options_are_frozen() -> None:
    assert [option.name for option in SPEC.options] == OPTIONS


def test_spec_equals_signature() -> None:
    others = {"metric", "by", "all", *OPTIONS[OPTIONS.index("time") :]}
    own = {option.key: option.initial for option in SPEC.options if option.name not in others}
    assert own == {name: value for name, value in DEFAULTS.items() if name != "minimal"}


def test_names_are_those_of_the_functions() -> None:
    assert COMPARES == compare.NAMES
    assert set(SCORES) - {"seasonal"} == set(language.SCORES)


@pytest.mark.parametrize("magic", ["%outliers", "%%outliers"])
def test_defaults(front: Any, asked: Asked, magic: str) -> None:
    value = front.value(f"{magic} log --metric latency -o why")
    assert asked.data.name == "log" and asked.data.n_rows == 2000
    assert (asked.metric, asked.by) == ("latency", "*")
    assert given(asked) == DEFAULTS
    assert front.names["why"] is value


def test_all_options(front: Any, asked: Asked) -> None:
    front.value(
        '%%outliers log --metric latency, size --by host, "Ship Mode", size:4 --score mcd --top 0.05 --tail high '
        "--min-support 0.02 --min-ratio 5 --max-combo 2 --compare global_ratio --threshold 3.5 --all "
        "--max-candidates 1000 --seed 7"
    )
    assert asked.metric == ["latency", "size"]
    assert asked.by == ["host", "Ship Mode", ("size", 4)]
    assert given(asked) == DEFAULTS | {
        "score": "mcd", "top": 0.05, "tail": "high", "min_support": 0.02, "min_ratio": 5.0, "max_combo": 2,
        "compare": "global_ratio", "threshold": 3.5, "minimal": False, "max_candidates": 1000, "seed": 7,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("written", "by"),
    [
        ("--by *", "*"),
        ("--by host,size:10", ["host", ("size", 10)]),
        ("--by host , size:3 --top 0.1", ["host", ("size", 3)]),
        ('--by "Ship Mode":2', [("Ship Mode", 2)]),
        ("--by distance:10", ["distance:10"]),
        ("--by {columns}", ["host", ("size", 5)]),
        ("--by {one}, size", ["host", "size"]),
        ("--by=host", ["host"]),
    ],
)
def test_by(front: Any, asked: Asked, written: str, by: Any) -> None:
    front.shell.user_ns.update(columns=["host", ("size", 5)], one="host")
    front.value(f"%outliers log --metric latency {written}")
    assert asked.by == by


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ('--where "latency > 150"', "latency > 150"),
        ("--where latency > 150 --top 0.1", "latency > 150"),
        ("--where host = 'a' and latency > -5", "host = 'a' and latency > -5"),
        ("--where host='a'", "host='a'"),
        ("--where \"host = 'a'\"", "host = 'a'"),
        ("--where \"Ship Mode\" = 'sea'", "\"Ship Mode\" = 'sea'"),
        ("--where latency > {limit}", "latency > 150"),
        ("--where host = $evil", "host = 'a'' OR true --'"),
        ("--where {condition}", "latency > 9"),
    ],
)
def test_where(front: Any, asked: Asked, written: str, where: str) -> None:
    front.shell.user_ns.update(evil="a' OR true --", condition="latency > 9")
    front.value(f"%outliers log --by host {written}")
    assert asked.options["where"] == where and asked.metric is None


def test_labels_and_scores_of_the_notebook(front: Any, asked: Asked) -> None:
    marks, score = np.zeros(2000, int), len
    front.shell.user_ns.update(marks=marks, own=score, host=3, mad=print)
    front.value("%outliers log --by host --labels bad")
    assert asked.options["labels"] == "bad"
    front.value("%outliers log --by host --labels host")
    assert asked.options["labels"] == "host", "a column comes before a variable"
    front.value("%outliers log --by host --labels marks")
    assert asked.options["labels"] is marks
    front.value("%outliers log --by host --labels {marks}")
    assert asked.options["labels"] is marks
    front.value("%outliers log --metric latency --score own")
    assert asked.options["score"] is score
    front.value("%outliers log --metric latency --score mad")
    assert asked.options["score"] == "mad"


def test_seasonal(front: Any, asked: Asked) -> None:
    front.value("%outliers log --metric latency --score seasonal --time size --period 7d --phases 12")
    assert asked.options["score"] == wb.anomaly.Seasonal("size", "7d", 12)
    assert set(given(asked)) == set(DEFAULTS)
    assert front.error("%outliers log --metric latency --score seasonal --period 7d") == [
        "--score seasonal needs --time.", "Example: --score seasonal --time ts --period 7d"
    ]  # fmt: skip


def test_cubes(front: Any, asked: Asked) -> None:
    front.value("%outliers log --count size --mean latency --std latency --by host")
    assert asked.metric == wb.anomaly.Cube("size", "latency", "latency")
    front.value("%outliers log --count size --quantiles latency=0, size=0.5,latency=1 --by host")
    assert asked.metric == wb.anomaly.Cube("size", quantiles={0.0: "latency", 0.5: "size", 1.0: "latency"})
    assert front.error("%outliers log --mean latency --by host")[0] == "--mean describes the rows of a cube."
    assert front.error("%outliers log --metric latency --count size")[1] == "Give one."
    assert front.error("%outliers log --count size --quantiles p50")[0] == (
        '--quantiles is a list of COLUMN=SHARE; got "p50".'
    )


def test_a_body_is_the_table_and_the_name_its_title(front: Any, asked: Asked) -> None:
    front.value(
        "%%outliers slow --metric latency --by host\n# of one kind\nSELECT * FROM log\n"
        "  # those\nWHERE latency > $limit AND host <> '#'"
    )
    frame = front.names["log"]
    assert asked.data.n_rows == int((frame["latency"] > 150).sum())
    assert asked.data.name == asked.options["name"] == "slow"
    front.value("%%outliers --metric latency --by host\nSELECT host, latency FROM LOG LIMIT 7")
    assert asked.data.n_rows == 7 and list(asked.data.schema) == ["host", "latency"]


@pytest.mark.parametrize("cell", ["%%outliers log --metric latency", "%%outliers log --metric latency\n\n# nothing\n"])
def test_an_empty_body_is_none(front: Any, asked: Asked, cell: str) -> None:
    front.value(cell)
    assert asked.data.name == "log"


def test_n07_a_table_by_reference_attribute_or_path(front: Any, asked: Asked, tmp_path: Any) -> None:
    frame = front.names["log"]
    front.shell.user_ns["kept"] = types.SimpleNamespace(objects=frame.head(5))
    front.value("%outliers {log} --metric latency")
    assert asked.data.n_rows == 2000
    front.value("%outliers kept.objects --metric latency")
    assert asked.data.n_rows == 5
    front.value("%outliers {kept.objects} --metric latency")
    assert asked.data.n_rows == 5
    path = tmp_path / "log.csv"
    frame.to_csv(path, index=False)
    front.value(f"%outliers {path} --metric latency")
    assert asked.data.n_rows == 2000
    front.shell.user_ns["path"] = str(path)
    front.value("%outliers {path} --metric latency")
    assert asked.data.n_rows == 2000


def test_a_stream_goes_to_the_stream(front: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}

    def start_follow(source: Any, **options: Any) -> Run[Count]:
        seen.update(options, source=source)
        return Run.start(lambda run: Count(2, 2), kind="outliers", title="faked", unit="panes")

    fake = types.SimpleNamespace(start_follow=start_follow)
    monkeypatch.setitem(sys.modules, "workbench.anomaly.stream", fake)
    monkeypatch.setattr(wb.anomaly, "stream", fake, raising=False)
    feed = [log(10)]
    front.shell.user_ns["feed"] = feed
    front.value("%outliers feed --metric latency --by host, size:4 --time ts --window 10m --slide 1m --follow")
    assert seen == {
        "source": feed, "name": "feed", "metric": "latency", "by": ["host", ("size", 4)], "score": "mad", "top": 0.01,
        "tail": "both", "where": None, "min_support": 0.01, "min_ratio": 3.0, "max_combo": 3, "compare": "risk_ratio",
        "seed": 0, "time": "ts", "window": "10m", "slide": "1m", "decay": 0.0, "lateness": "0s", "follow": True,
    }  # fmt: skip
    front.value("%outliers in/ --metric latency --by host --decay 0.1")
    assert seen["source"] == "in/" and seen["decay"] == 0.1 and seen["follow"] is False
    assert front.error("%outliers feed --metric latency --by host --decay 0.1 --all") == [
        "--all does not go with --follow, --window, --slide or --decay.", "Leave it out."
    ]  # fmt: skip
    assert front.error("%%outliers --metric latency --window 10m\nSELECT 1")[0] == (
        "%%outliers follows a SOURCE: an iterable of tables, or a folder that receives files."
    )


EXAMPLE = "Example: %%outliers flights --metric arr_delay --by carrier"


def days(seconds: float, count: int) -> Iterator[pd.DataFrame]:
    """Yield a table a pane, slowly."""
    for number in range(count):
        yield log(500).assign(day=pd.Timestamp("2026-11-01") + pd.Timedelta(days=number))
        time.sleep(seconds)


QUESTION = "--metric latency --tail high --by host --top 0.02 --time day --window 3d --slide 1d"


def test_c40_a_stream_to_its_end(front: Any) -> None:
    front.shell.user_ns["feed"] = days(0.0, 6)
    value = front.value(f"%outliers feed {QUESTION} -o last")
    assert front.names["last"] is value and value.n_rows == 1500 and not value.partial
    assert value.sets[0] == {"host": "b"}
    assert "1,500 rows" in front.shown[-1][0]["text/plain"]


def test_c40_an_interrupted_stream_keeps_its_last_state(front: Any) -> None:
    front.shell.user_ns["feed"] = days(0.2, 1000)
    threading.Timer(1.3, signal.raise_signal, (signal.SIGINT,)).start()
    error = front.run(f"%outliers feed {QUESTION} --follow -o last").error_in_exec
    assert isinstance(error, Stopped) and "what was found is kept in last" in error.message
    kept = front.names["last"]
    assert kept is error.result and kept.partial and kept.n_rows in (500, 1000, 1500)
    bundle = front.shown[-1][0]
    assert error.message in bundle["text/html"] and "host = b" in bundle["text/plain"]


def test_c40_a_folder_that_receives_files(front: Any, tmp_path: Any) -> None:
    for number, frame in enumerate(days(0.0, 3)):
        frame.to_parquet(tmp_path / f"{number}.parquet")
    value = front.value(f"%outliers {tmp_path} {QUESTION}")
    assert value.n_rows == 1500


def test_c44_plain_ipython_shows_the_text_form(tmp_path: Path) -> None:
    log().to_csv(tmp_path / "log.csv", index=False)
    cells = ["%load_ext workbench", '%outliers log.csv --metric latency --tail high --top 0.02 --by host, "Ship Mode"']
    (tmp_path / "cells.ipy").write_text("\n".join(f"get_ipython().run_cell({cell!r})" for cell in cells))
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--quick", "--colors=NoColor", "cells.ipy"],
        capture_output=True, text=True, timeout=120, cwd=tmp_path, env={**os.environ, "IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert re.search(r"^2,000 rows, 40 outliers \(2\.00 %\), latency > [\d.]+, [\d.]+ s$", done.stdout, re.M)
    assert len(re.findall(r"^1  host = b +ratio ∞ \[[\d.]+, ∞\] +support 100 % +40 of \d+$", done.stdout, re.M)) == 1


ERRORS = [
    ("%%outliers", ["%%outliers needs a TABLE: a variable, a path, or a SELECT in the cell.", EXAMPLE]),
    ("%outliers lgo --metric latency", ['No table or DataFrame named "lgo".', 'Did you mean "log"?']),
    (
        "%outliers log --metric lattency",
        [
            'No column "lattency" in log.',
            'Did you mean "latency"? Columns: host, Ship Mode, size, latency, bad, distance:10',
        ],
    ),
    ("%outliers log --metric host", ['"host" is text; a metric must be a number.', "Use it in --by instead."]),
    ("%outliers log --by host", ["No metric, where or labels given.", "Name a metric, or mark the rows with where."]),
    ("%outliers log --where bad --labels bad", ["Both where and labels mark outliers.", "Give one."]),
    (
        "%outliers log --metric latency --top 1.5",
        ["top is 1.5; it is a share of rows.", "Give 0 < top < 1, such as 0.01."],
    ),
    (
        "%outliers log --metric latency --top ten",
        ['--top is a number from 0 to 1; got "ten".', "Example: --top 0.01"],
    ),
    (
        "%outliers log --metric latency --compare nosuch_ratio",
        ['No compare metric "nosuch_ratio".', f"Known: {', '.join(COMPARES)}"],
    ),
    ("%outliers log --metric", ["--metric needs a value.", EXAMPLE]),
    ("%outliers log --metrc latency", ["No option --metrc.", "Did you mean --metric?"]),
    ("%outliers {lgo}", ['No variable named "lgo" in this notebook.', 'Did you mean "log"?']),
]


@pytest.mark.parametrize(("cell", "lines"), ERRORS, ids=[cell for cell, _ in ERRORS])
def test_errors_are_two_lines(front: Any, cell: str, lines: list[str]) -> None:
    front.shell.user_ns["log"] = log(100)
    assert front.error(cell) == lines
    assert front.shown == []


def test_the_answer_is_shown_once_bound_and_the_value(front: Any) -> None:
    front.shell.user_ns["log"] = log()
    value = front.value('%outliers log --metric latency --tail high --by host, "Ship Mode" --top 0.02 -o why')
    assert front.names["why"] is value and front.names["_"] is value
    assert value.sets[0] == {"host": "b"}
    ((bundle, _, update),) = front.shown
    assert not update and VIEW_MIME in bundle
    assert "host = b" in bundle["text/plain"] and "host = b" in bundle["text/html"].replace("</span>", "")
    front.value('%outliers log --metric latency --tail high --by host, "Ship Mode" --top 0.02 -q')
    assert front.shown[-1][0] == {"text/plain": repr(value)}


def test_help(front: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for cell in ("%outliers --help", "%%outliers -h"):
        assert front.value(cell) is None
        assert capsys.readouterr().out.strip() == SPEC.usage().strip()
