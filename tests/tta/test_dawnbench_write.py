"""Writing: what was read comes back equal, a second writing is equal in bytes; runs become entries."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tta.published import root
from workbench.engine.errors import WorkbenchError
from workbench.tta.dawnbench_read import parse_tsv, read_dawnbench
from workbench.tta.dawnbench_validate import validate_dawnbench
from workbench.tta.dawnbench_write import export_dawnbench, tsv_text
from workbench.tta.price import Price
from workbench.tta.problems import TTAWarning
from workbench.tta.record import Record, evals_table

WHO = {
    "author": "A. Bé",
    "author_email": "a@b.c",
    "framework": "torch 2.9",
    "model": "CNN_small",
    "hardware": "2 cores/x",
}


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_c48_what_is_written_reads_back_equal(tmp_path: Path) -> None:
    entries = read_dawnbench(root())
    assert entries.write(tmp_path / "one") == tmp_path / "one"
    again = read_dawnbench(tmp_path / "one")
    assert again.table.equals(entries.table)
    assert again.points.equals(entries.points)
    for task, kind, name in entries.table[["task", "kind", "entry"]].itertuples(index=False):
        one, two = entries.raw(task, kind, name), again.raw(task, kind, name)
        assert one == two
        assert json.dumps(one) == json.dumps(two)  # keys in their order too
    again.write(tmp_path / "two")
    again.write(tmp_path / "one")
    first = files(tmp_path / "one")
    assert len(first) == 187
    assert files(tmp_path / "two") == first


def test_c48_form_of_the_files(tmp_path: Path) -> None:
    read_dawnbench(root()).write(tmp_path)
    for name, data in files(tmp_path).items():
        assert b"\r" not in data
        assert not data.startswith(b"\xef\xbb\xbf")
        assert data.endswith(b"\n")
        if name.endswith(".json"):
            assert data.decode() == json.dumps(json.loads(data), indent=4, ensure_ascii=False) + "\n"
    tsv = (tmp_path / "SQuAD/train/dawn_bidaf_1k80-ec2_tensorflow.tsv").read_text()
    original = (root() / "SQuAD/train/dawn_bidaf_1k80-ec2_tensorflow.tsv").read_text().splitlines()[0]
    assert tsv.splitlines()[0] == original


NUMBERS = ("epoch", "hours", "f1Score")
ROWS = st.lists(
    st.fixed_dictionaries(
        dict.fromkeys(NUMBERS, st.floats(allow_nan=False, allow_infinity=False))
        | {"note": st.sampled_from(["a", "b c"])}
    ),
    min_size=1,
    max_size=8,
)


@given(ROWS, st.permutations([*NUMBERS, "note"]), st.sampled_from(["\n", "\r\n", "\r"]))
@settings(max_examples=50)
def test_write_read_write_is_identity(rows: list[dict[str, Any]], names: list[str], end: str) -> None:
    text = end.join(["\t".join(names), *("\t".join(str(row[name]) for name in names) for row in rows)])
    curve = parse_tsv(text.encode())
    for name in NUMBERS:
        assert curve.numbers(name).tolist() == [row[name] for row in rows]
    once = tsv_text(curve)
    assert once == text.replace(end, "\n") + "\n"
    assert tsv_text(parse_tsv(once.encode())) == once


def run(values: list[float], seconds: list[float], metric: str = "top1", **fields: Any) -> Record:
    columns = {"eval": range(len(values)), "metric": [metric] * len(values), "value": values, "dawnbench_s": seconds}
    evals = fields.pop("evals", None)
    given = {"task": "CIFAR10", "started": dt.datetime(2026, 3, 4, 23, 30, tzinfo=dt.UTC)} | fields
    return Record(
        id="r", name="r", metric=metric, target=94.0, clock="dawnbench", clocks=("wall", "dawnbench"),
        evals=evals_table(columns) if evals is None else evals, **given,
    )  # fmt: skip


def test_c48_a_run_becomes_an_entry(tmp_path: Path) -> None:
    record = run([90.0, 94.2], [3600.0, 5400.0], price=Price(3.06))
    paths = export_dawnbench(record, tmp_path, **WHO, code_url="https://x", misc={"batch": 128})
    assert [path.name for path in paths] == [
        "A.-B-_CNN-small_2-cores-x_torch-2.9.json", "A.-B-_CNN-small_2-cores-x_torch-2.9.tsv"
    ]  # fmt: skip
    assert json.loads(paths[0].read_text(encoding="utf-8")) == {
        "version": "v1.0", "author": "A. Bé", "authorEmail": "a@b.c", "framework": "torch 2.9", "codeURL": "https://x",
        "model": "CNN_small", "hardware": "2 cores/x", "costPerHour": 3.06, "timestamp": "2026-03-04",
        "misc": {"batch": 128},
    }  # fmt: skip
    assert paths[1].read_bytes() == b"epoch\thours\ttop1Accuracy\n0.0\t1.0\t90.0\n1.0\t1.5\t94.2\n"
    assert validate_dawnbench(tmp_path) == []
    back = read_dawnbench(tmp_path).records("CIFAR10")[0]
    assert back.evals["dawnbench_s"].tolist() == [3600.0, 5400.0]
    with pytest.raises(WorkbenchError, match=r"(?s)json exists\..*overwrite=True"):
        export_dawnbench(record, tmp_path, **WHO)
    export_dawnbench(record, tmp_path, **WHO, overwrite=True)


def test_c48_published_entries_are_exported_as_they_were(tmp_path: Path) -> None:
    entries = read_dawnbench(root())
    for task in ("CIFAR10", "ImageNet", "SQuAD"):
        for number, record in enumerate(entries.records(task)):
            _, tsv = export_dawnbench(record, tmp_path / f"{task}{number}", **WHO)
            back = read_dawnbench(tsv.parent).points
            points = entries.points.query("task == @task and entry == @record.name")
            columns = ["row", "epoch", "hours", "seconds", "top1_accuracy", "top5_accuracy", "f1_score"]
            assert back[columns].equals(points[columns].reset_index(drop=True))


def test_c48_epochs_units_and_names(tmp_path: Path) -> None:
    evals = evals_table(
        {
            "eval": [0, 0, 1, 1], "step": [5, 5, 10, 10], "epoch": [0.5, 0.5, 1.0, 1.0],
            "metric": ["top5", "acc"] * 2, "value": [0.91, 0.71, 0.93, 0.29], "dawnbench_s": [1.0, 1.0, 2.0, 2.0],
        }
    )  # fmt: skip
    record = run([], [], "top5", evals=evals, task="ImageNet")
    _, tsv = export_dawnbench(record, tmp_path, **WHO)
    assert tsv.read_text().splitlines() == [
        "epoch\thours\ttop1Accuracy\ttop5Accuracy",
        f"0.5\t{1 / 3600!r}\t71.0\t91.0",
        f"1.0\t{2 / 3600!r}\t29.0\t93.0",
    ]
    squad = run([70.0, 75.5], [1.0, 2.0], "f1", task=None)
    _, tsv = export_dawnbench(squad, tmp_path / "squad", **WHO, task="SQuAD")
    assert [line.split("\t")[2] for line in tsv.read_text().splitlines()] == ["f1Score", "0.7", "0.755"]


def test_c48_what_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as task:
        export_dawnbench(run([94.0], [1.0], task=None), tmp_path, **WHO)
    assert task.value.lines() == ["The run has no task.", 'Pass task="CIFAR10", task="ImageNet" or task="SQuAD".']
    with pytest.raises(WorkbenchError, match="'digits' is no task of DAWNBench"):
        export_dawnbench(run([94.0], [1.0], task="digits"), tmp_path, **WHO)
    with pytest.raises(WorkbenchError) as metric:
        export_dawnbench(run([94.0], [1.0], "loss"), tmp_path, **WHO)
    assert metric.value.lines() == [
        "CIFAR10 needs top1Accuracy; the run logged loss.", "Log it under this name, or as top1 or acc or accuracy."
    ]  # fmt: skip
    wall = Record(id="r", name="r", metric="top1", target=94.0, task="CIFAR10", evals=evals_table([]))
    with pytest.raises(WorkbenchError, match=r"This run was imported with wall times only\."):
        export_dawnbench(wall, tmp_path, **WHO)
    assert files(tmp_path) == {}


def test_c48_prices_and_nan(tmp_path: Path) -> None:
    with pytest.warns(TTAWarning, match="boards rank by on-demand"):
        paths = export_dawnbench(run([94.0], [1.0], price=Price(1.0, "spot")), tmp_path / "spot", **WHO)
    assert json.loads(paths[0].read_text(encoding="utf-8"))["costPerHour"] is None
    with pytest.warns(TTAWarning, match="1 evaluation without a finite top1Accuracy: not written"):
        paths = export_dawnbench(run([math.nan, 94.0], [1.0, 2.0]), tmp_path / "nan", **WHO)
    assert len(paths[1].read_text().splitlines()) == 2
