from __future__ import annotations

import random
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchWarning
from workbench.training import RandomTrace, Trace, TraceError, TrainingError, read_trace
from workbench.training.traces import Arrivals

DATA = Path(__file__).parents[3] / "shared" / "data" / "traces"
FILES = sorted(path for path in DATA.rglob("*") if path.suffix in (".csv", ".txt"))
needs_data = pytest.mark.skipif(not FILES, reason="needs the traces of ../shared/data")


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    return path


@needs_data
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_trace_reads(path: Path) -> None:
    if path.name == "v100x1-east1c.txt":
        with pytest.warns(WorkbenchWarning, match="rows go back in time") as warned:
            trace = read_trace(path)
        assert len(warned) == 1
    else:
        trace = read_trace(path)
    events = trace.events
    assert dict(events.dtypes.astype(str)) == {"time": "float64", "action": "str", "node": "str"}
    assert events["time"].is_monotonic_increasing and trace.name == path.stem
    assert trace.duration >= events["time"].iloc[-1]
    living: set[str] = set()
    for action, node in zip(events["action"], events["node"], strict=True):
        assert (node in living) == (action == "remove")
        living ^= {node}
    curve = trace.nodes()
    assert curve["time"].iloc[0] == 0 and curve["time"].is_unique and (curve["count"] >= 0).all()
    assert curve["count"].iloc[-1] == len(living)
    last = path.read_text().splitlines()[-1].split(",")
    if last[1] not in ("add", "remove") and path.name != "v100x1-east1c.txt":
        assert curve["count"].iloc[-1] == int(last[-1])


@needs_data
def test_rows_of_events_are_taken_as_they_are() -> None:
    path = DATA / "p3-trace.csv"
    trace = read_trace(path, seed=1)
    rows = pd.read_csv(path, header=None, names=["ms", "action", "node"])
    assert (trace.events["time"] * 1000).round().astype(int).tolist() == rows["ms"].tolist()
    assert trace.events["node"].tolist() == rows["node"].tolist()
    assert trace.duration == 40920.0
    assert repr(trace).startswith("<Trace p3-trace: 11.4 h, at most ")


def test_counts_become_machines(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, "0,2\n10,4\n10,3\n20,1\n30,2\n"), seed=5)
    gone = random.Random(5).sample([1, 2, 3], 2)
    expected = [(0.0, "add", "node1"), (0.0, "add", "node2"), (10.0, "add", "node3")]
    expected += [(20.0, "remove", f"node{number}") for number in gone] + [(30.0, "add", "node4")]
    assert list(trace.events.itertuples(index=False, name=None)) == expected
    assert trace.nodes()["count"].tolist() == [2, 3, 1, 2]
    hours = read_trace(written(tmp_path, "0.000,2\r\n0.500,1\r\n"))
    assert hours.events["time"].tolist() == [0.0, 0.0, 1800.0] and hours.duration == 1800
    dates = read_trace(written(tmp_path, "2021-12-11, 23:59:30, 1\n2021-12-12, 00:00:30, 2\n"))
    assert dates.events["time"].tolist() == [0.0, 60.0]
    one = read_trace(written(tmp_path, "0,8\n"))
    assert len(one.events) == 8 and one.duration == 0
    late = read_trace(written(tmp_path, "5000,add,a\n"))
    assert late.nodes()["count"].tolist() == [0, 1] and late.nodes()["time"].tolist() == [0.0, 5.0]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ("0,add,node1\n5,stop,node1\n", 2),
        ("0,add\n", 1),
        ("x,3\n", 1),
        ("0,3\n1,2,3\n", 2),
        ("0,3\n-1,2\n", 2),
        ("0,1.5\n", 1),
        ("2021-13-01, 00:00:00, 4\n", 1),
        ("0,add,node1\n7,3\n", 2),
        ("nan,3\n", 1),
    ],
)
def test_rows_that_are_none(tmp_path: Path, text: str, line: int) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TraceError) as caught:
        read_trace(path)
    shown = text.splitlines()[line - 1] if text else ""
    assert caught.value.lines() == [
        f'{path}:{line}: "{shown}" is neither "ms,add|remove,name" nor a count row.',
        "See read_trace.",
    ]


def test_machines_that_were_not_there(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=':2: "a" is removed and was not there'):
        read_trace(written(tmp_path, "0,add,b\n1,remove,a\n"))
    with pytest.raises(TraceError, match=':2: "a" is added again'):
        read_trace(written(tmp_path, "0,add,a\n1,add,a\n"))
    with pytest.raises(TraceError, match="No such file"):
        read_trace(tmp_path / "none.csv")


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="0123456789,.adremov -:\n", max_size=60))
def test_any_text_reads_or_says_where_it_does_not(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    import warnings

    path = tmp_path_factory.mktemp("fuzz") / "trace.csv"
    path.write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WorkbenchWarning)
        try:
            assert isinstance(read_trace(path), Trace)
        except TraceError as error:
            said = str(error)
        else:
            said = f"{path}:"
    assert said.startswith(f"{path}:")


def test_arrivals_by_their_rule() -> None:
    trace = RandomTrace(removal=0.5, addition=0.5, capacity=6, start_hour=23)
    arrivals, draw = Arrivals(trace, 99, 3), random.Random(3)
    first = [draw.random() < 0.5 for _ in range(6)]
    names = arrivals.first()
    assert names == [f"node{i + 1}" for i in range(sum(first))]
    living = list(names)
    for hour in range(30):
        events = arrivals.hour(hour * 3_600_000, living)
        at = [moment for moment, _, _ in events]
        assert all(hour * 3_600_000 <= moment < (hour + 1) * 3_600_000 for moment in at)
        for moment, action, node in sorted(events, key=lambda event: (event[0], event[1])):
            del moment
            living.append(node) if action == "add" else living.remove(node)
            assert len(living) <= 6 + 1
        assert len(living) <= 6


def test_random_traces_by_the_hour() -> None:
    many = Arrivals(RandomTrace(capacity=4000, start_hour=3), 1, 0)
    assert abs(len(many.first()) / 4000 - 0.5) < 0.05
    drawn = Arrivals(RandomTrace(addition="random", start_hour=2, capacity=4000), 1, 7)
    generator = random.Random(7)
    chances = [generator.random() for _ in range(24)]
    assert drawn.addition == chances
    for wrong in ({"removal": 2.0}, {"addition": "often"}, {"capacity": 0}, {"start_hour": 24}, {"removal": "random"}):
        with pytest.raises(TrainingError):
            RandomTrace(**wrong)  # type: ignore[arg-type]
