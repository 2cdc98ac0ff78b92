"""Every published file against readers of its own; the quirks of files, made up."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tta.published import METRICS, OFFICIAL, THRESHOLDS, Published, first, published, root
from workbench.engine.errors import WorkbenchError
from workbench.tta.crossings import crossing
from workbench.tta.dawnbench_read import parse_json, parse_tsv, read_dawnbench
from workbench.tta.dawnbench_validate import validate_dawnbench
from workbench.tta.entries import Entries
from workbench.tta.leaderboard import leaderboard
from workbench.tta.problems import TTAWarning
from workbench.tta.record import EVAL_COLUMNS

FIELDS = {"version": "v1.0", "author": "a", "authorEmail": "a@b", "framework": "f", "model": "m", "hardware": "h"}


@pytest.fixture(scope="module")
def entries() -> Entries:
    return read_dawnbench(root())


@pytest.fixture(scope="module")
def reference() -> list[Published]:
    return published()


def made(folder: Path, tsv: bytes | str, name: str = "x", **raw: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(json.dumps(FIELDS | {"timestamp": "2018-04-20"} | raw))
    (folder / f"{name}.tsv").write_bytes(tsv.encode() if isinstance(tsv, str) else tsv)
    return folder


def test_c46_all_files_are_read(entries: Entries, reference: list[Published]) -> None:
    assert len(reference) == len(entries) == 118
    assert entries.problems == []
    for entry in reference:
        assert entries.raw(entry.task, entry.kind, entry.name) == entry.raw
        assert list(entries.raw(entry.task, entry.kind, entry.name)) == list(entry.raw)
    assert sum(1 for _ in root().rglob("*.tsv")) == 69


def test_c46_every_point_is_exact(entries: Entries) -> None:
    points = entries.points
    whole = 0
    for file in sorted(root().rglob("*.tsv")):
        expected = pd.read_csv(file, sep="\t", encoding="utf-8-sig", dtype=str).map(float)
        task = file.parent.parent.name
        found = points[(points["task"] == task) & (points["entry"] == file.stem)]
        assert found["row"].tolist() == list(range(len(expected)))
        whole += len(expected)
        for column, name in (
            ("epoch", "epoch"), ("hours", "hours"), ("top1Accuracy", "top1_accuracy"),
            ("top5Accuracy", "top5_accuracy"), ("f1Score", "f1_score"),
        ):  # fmt: skip
            if column in expected:
                assert found[name].tolist() == expected[column].tolist()
            else:
                assert found[name].isna().all()
        assert found["seconds"].tolist() == (expected["hours"] * 3600).tolist()
    assert len(points) == whole


def test_table_of_entries(entries: Entries, reference: list[Published]) -> None:
    table = entries.to_pandas()
    assert dict(table.dtypes.astype(str)) == {
        "task": "str", "kind": "str", "entry": "str", "version": "str", "author": "str", "author_email": "str",
        "framework": "str", "model": "str", "hardware": "str", "code_url": "str", "timestamp": "datetime64[us]",
        "cost_per_hour": "float64", "latency_ms": "float64", "cost_per_item": "float64", "metric": "str",
        "value": "float64", "used_blacklist": "boolean", "n_points": "int64",
    }  # fmt: skip
    assert list(zip(table["task"], table["kind"], table["entry"], strict=True)) == [
        (entry.task, entry.kind, entry.name) for entry in reference
    ]
    for row, entry in zip(table.to_dict("records"), reference, strict=True):
        metric = METRICS[entry.task]
        value = max(r[metric] for r in entry.rows) if entry.rows else entry.raw[metric]
        if entry.task == "SQuAD" and value > 1:
            value /= 100
        assert (row["metric"], row["value"], row["n_points"]) == (metric, value, len(entry.rows))
        year, month, day = map(int, entry.raw["timestamp"].split("-"))
        assert row["timestamp"] == pd.Timestamp(year, month, day)
        for name, field in (("cost_per_hour", "costPerHour"), ("latency_ms", "latency"), ("cost_per_item", "cost")):
            stated = entry.raw.get(field)
            assert row[name] == stated if stated is not None else math.isnan(row[name])
        used = entry.raw.get("usedBlacklist")
        assert pd.isna(row["used_blacklist"]) if used is None else row["used_blacklist"] == used
        assert row["author_email"] == entry.raw["authorEmail"]
    assert entries.table.equals(table)


def test_tables_are_copies(entries: Entries) -> None:
    table, points = entries.table, entries.points
    table.loc[0, "author"], points.loc[0, "hours"] = "someone", -1.0
    entries.raw("CIFAR10", "train", "basenet")["author"] = "someone"
    assert entries.table.loc[0, "author"] != "someone"
    assert entries.points.loc[0, "hours"] >= 0
    assert entries.raw("CIFAR10", "train", "basenet")["author"] == "bkj"


def test_c01_time_of_each_entry_at_each_threshold(entries: Entries, reference: list[Published]) -> None:
    judged = 0
    for task, thresholds in THRESHOLDS.items():
        for threshold in thresholds:
            board = leaderboard(entries, task, threshold=threshold).set_index("entry")
            for entry in (e for e in reference if e.task == task and e.kind == "train"):
                judged += 1
                at = first(entry, threshold)
                if at is None:
                    assert entry.name in board.attrs["not_reached"]
                    assert entry.name not in board.index
                    continue
                row = board.loc[entry.name]
                hours = entry.rows[at]["hours"]
                assert (row["row"], row["hours"], row["seconds"]) == (at, hours, hours * 3600)
                assert (row["epoch"], row["metric_value"]) == (entry.rows[at]["epoch"], entry.rows[at][METRICS[task]])
                later = [r[METRICS[task]] for r in entry.rows[at + 1 :]]
                assert row["stable"] == all(value >= threshold for value in later)
                sure = first(entry, threshold, 2)
                expected = math.nan if sure is None else entry.rows[sure]["hours"] * 3600
                np.testing.assert_equal(row["confirmed_seconds"], expected)
    assert judged == 483


def test_c01_records_tell_the_same_times(entries: Entries, reference: list[Published]) -> None:
    for task in METRICS:
        records = {record.name: record for record in entries.records(task)}
        for entry in (e for e in reference if e.task == task and e.kind == "train"):
            record = records[entry.name]
            assert dict(record.evals.dtypes.astype(str)) == EVAL_COLUMNS
            judged = record.evals[record.evals["metric"] == METRICS[task]]
            assert judged["step"].tolist() == list(range(len(entry.rows)))
            assert judged["dawnbench_s"].tolist() == [row["hours"] * 3600 for row in entry.rows]
            assert judged["wall_s"].isna().all()
            for threshold in THRESHOLDS[task]:
                assert crossing(judged["value"].to_numpy(), threshold) == first(entry, threshold)
            price = entry.raw.get("costPerHour")
            assert (record.price.usd_per_hour if record.price is not None else None) == price
            if price is not None and record.hours_cost is not None:
                assert record.hours_cost(3, price) == entry.rows[3]["hours"] * price


def test_few_entries_keep_a_stricter_threshold(entries: Entries) -> None:
    assert len(leaderboard(entries, "CIFAR10")) == 31
    assert len(leaderboard(entries, "ImageNet")) == 27
    assert len(leaderboard(entries, "CIFAR10", threshold=94.25)) == 18
    assert len(leaderboard(entries, "ImageNet", threshold=93.25)) == 4
    unconfirmed = [leaderboard(entries, task)["confirmed_seconds"].isna().sum() for task in OFFICIAL]
    assert (sum(unconfirmed), sum(len(entries.records(task)) for task in OFFICIAL)) == (21, 69)


def test_imagenet_records_hold_both_metrics_and_the_set_judged(entries: Entries) -> None:
    record = entries.record("fastai_pytorch", "ImageNet")
    assert record.evals["metric"].tolist()[:4] == ["top1Accuracy", "top5Accuracy"] * 2
    assert record.eval_count == 48_238
    assert (record.clock, record.clocks, record.state, record.seed) == ("dawnbench", ("dawnbench",), "finished", None)
    cifar = entries.record("apple_resnet9_8v100_pytorch")
    assert cifar.evals["se"].iloc[15] == pytest.approx(0.2337, abs=1e-4)
    squad = entries.records("SQuAD")[0]
    assert squad.evals["n"].isna().all()
    assert squad.evals["se"].isna().all()


def test_runs(entries: Entries) -> None:
    run = entries.run("apple_resnet9_8v100_pytorch")
    assert run.time_to(94) == pytest.approx(9.43, abs=0.005)
    assert run.name == "apple_resnet9_8v100_pytorch"
    assert len(entries.runs("SQuAD")) == 11
    cost = entries.run("basenet").cost_to(94)
    hours = entries.points.query("entry == 'basenet' and top1_accuracy >= 94")["hours"].iloc[0]
    assert cost == hours * entries.raw("CIFAR10", "train", "basenet")["costPerHour"]


def test_names(entries: Entries) -> None:
    with pytest.raises(WorkbenchError) as stem:
        entries.record("fastai_pytorch")
    assert stem.value.lines() == [
        "Entry fastai_pytorch is in CIFAR10 and ImageNet.", 'Pass task="CIFAR10" or task="ImageNet".'
    ]  # fmt: skip
    with pytest.raises(WorkbenchError, match=r"(?s)No entry basenett\..*Did you mean basenet\?"):
        entries.record("basenett")
    with pytest.raises(WorkbenchError, match="is an inference entry"):
        entries.record("HuaweiCloud_resnet8_modelarts_aibox")
    with pytest.raises(WorkbenchError, match=r"(?s)No task Cifar10\..*Did you mean CIFAR10\?"):
        entries.record("basenet", "Cifar10")
    with pytest.raises(WorkbenchError, match=r"No CIFAR10 train entry nobody\."):
        entries.raw("CIFAR10", "train", "nobody")
    assert repr(entries).startswith("118 DAWNBench entries: CIFAR10 31 train, 21 inference; ")


@pytest.mark.parametrize("part", ["CIFAR10", "CIFAR10/train", "CIFAR10/train/basenet.json", "."])
def test_any_part_of_the_tree(part: str) -> None:
    found = read_dawnbench(root() / part)
    assert found.record("basenet", "CIFAR10").task == "CIFAR10"


def test_an_entrys_own_folder_tells_its_task_by_columns(tmp_path: Path) -> None:
    for task, name in (("CIFAR10", "basenet"), ("ImageNet", "fastai_pytorch"), ("SQuAD", "dawn_drqa_1k80-ec2")):
        folder = tmp_path / f"my-{task.lower()}"
        folder.mkdir()
        for suffix in (".json", ".tsv"):
            shutil.copy(root() / task / "train" / f"{name}{suffix}", folder)
        found = read_dawnbench(str(folder))
        assert found.table[["task", "kind", "entry"]].iloc[0].tolist() == [task, "train", name]
    shutil.copy(root() / "SQuAD/inference/dawn_fastfusionnet-1080ti.json", tmp_path)
    alone = read_dawnbench(tmp_path / "dawn_fastfusionnet-1080ti.json").table.iloc[0]
    assert (alone["task"], alone["kind"], alone["value"]) == ("SQuAD", "inference", 82.52085997573373 / 100)


QUIRKS = {
    "bom": b"\xef\xbb\xbfepoch\thours\ttop1Accuracy\n1\t0.1\t90\n2\t0.2\t94.5\n",
    "crlf": b"epoch\thours\ttop1Accuracy\r\n1\t0.1\t90\r\n2\t0.2\t94.5\r\n",
    "cr": b"epoch\thours\ttop1Accuracy\r1\t0.1\t90\r2\t0.2\t94.5",
    "no final newline": b"epoch\thours\ttop1Accuracy\n1\t0.1\t90\n2\t0.2\t94.5",
    "order": b"top1Accuracy\tepoch\thours\n90\t1\t0.1\n94.5\t2\t0.2\n",
    "blank lines": b"\n\nepoch\thours\ttop1Accuracy\n\n1\t0.1\t90\n \t\t\n2\t0.2\t94.5\n\n",
    "exponents and spaces": b"epoch \thours\ttop1Accuracy\n1\t 1e-1\t9.0E1\n2\t2.0e-1 \t945e-1\n",
}


@pytest.mark.parametrize("quirk", QUIRKS)
def test_c46_quirks_of_files(quirk: str, tmp_path: Path) -> None:
    points = read_dawnbench(made(tmp_path, QUIRKS[quirk])).points
    assert points[["row", "epoch", "hours", "top1_accuracy"]].to_numpy().tolist() == [
        [0, 1.0, 0.1, 90.0], [1, 2.0, 0.2, 94.5]
    ]  # fmt: skip


def test_c46_epochs_may_repeat_and_hours_start_at_0(tmp_path: Path) -> None:
    tsv = "epoch\thours\ttop1Accuracy\n0\t0\t10\n0.5\t0.0\t50\n0.5\t0.1\t95\n"
    found = read_dawnbench(made(tmp_path, tsv, misc="as text", more={"b": 1, "a": [1.5]}, timestamp="2018-4-2"))
    assert found.points["epoch"].tolist() == [0, 0.5, 0.5]
    assert found.table["timestamp"].iloc[0] == pd.Timestamp("2018-04-02")
    assert found.raw("CIFAR10", "train", "x")["misc"] == "as text"
    assert list(found.raw("CIFAR10", "train", "x"))[-2:] == ["more", "timestamp"] or "more" in found.raw(
        "CIFAR10", "train", "x"
    )


def test_what_cannot_be_read_is_told_once_and_the_rest_is_kept(tmp_path: Path) -> None:
    train = made(tmp_path / "CIFAR10" / "train", "epoch\thours\ttop1Accuracy\n1\t0.1\t95\n", "good")
    made(train, "epoch\thours\ttop1Accuracy\n1\t0.1\tn/a\n2\t\t95\n3\tnan\t1_0\n", "cells")
    made(train, "", "empty")
    made(train, "epoch\thours\ttop1Accuracy\n", "headed")
    (train / "broken.json").write_text('{"version": "v1.0",')
    (train / "broken.tsv").write_text("")
    (train / "alone.json").write_text(json.dumps(FIELDS))
    (train / "orphan.tsv").write_text("epoch\thours\ttop1Accuracy\n1\t0.1\t95\n")
    with pytest.warns(TTAWarning, match="problems in") as caught:
        found = read_dawnbench(tmp_path)
    assert len(caught) == 1
    assert [(p.path.removeprefix("CIFAR10/train/"), p.row, p.code) for p in found.problems] == [
        ("alone.json", None, "missing_tsv"),
        ("broken.json", None, "bad_json"),
        ("cells.tsv", 1, "not_number"),
        ("cells.tsv", 2, "not_number"),
        ("cells.tsv", 3, "not_number"),
        ("cells.tsv", 3, "not_number"),
        ("empty.tsv", None, "empty"),
        ("headed.tsv", None, "empty"),
        ("orphan.tsv", None, "bad_json"),
    ]
    assert found.table["entry"].tolist() == ["alone", "cells", "empty", "good", "headed"]
    assert found.table["n_points"].tolist() == [0, 3, 0, 1, 0]
    board = leaderboard(found)
    assert board["entry"].tolist() == ["good"]
    assert board.attrs["not_reached"] == ["alone", "cells", "empty", "headed"]
    assert "9 problems" in repr(found)


def test_entries_are_shown(tmp_path: Path) -> None:
    made(tmp_path, "epoch\thours\ttop1Accuracy\n1\t0.1\t<b>\n")
    with pytest.warns(TTAWarning):
        found = read_dawnbench(tmp_path)
    assert found.explain().splitlines() == [
        "1 DAWNBench entry: CIFAR10 1 train; 1 problem, see .problems",
        "x.tsv row 1: top1Accuracy '<b>' is not a number.",
        "Write a finite number.",
    ]
    assert [block["kind"] for block in found.view_data()["blocks"]] == ["summary", "table", "table"]
    shown = found._repr_mimebundle_()
    html = str(shown.get("text/html", "")) if isinstance(shown, dict) else str(shown[0].get("text/html", ""))
    assert "<b>" not in html


@given(st.binary(max_size=200) | st.text("0123456789.e-\t\r\n,ab", max_size=200).map(str.encode))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    curve = parse_tsv(data)
    assert all(len(cells) == curve.rows for cells in curve.cells.values())
    assert isinstance(parse_json(data), dict | str)


def test_one_problem_is_the_warning(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps(FIELDS | {"top1Accuracy": 94.1}))
    with pytest.warns(TTAWarning) as caught:
        read_dawnbench(tmp_path)
    assert str(caught[0].message) == "x.json: the TSV file x.tsv does not exist.\nPut it beside the JSON file."


@pytest.mark.parametrize(
    "data",
    [b'{"a": ' + b"1" * 5000 + b"}", b"[1]", b"\xff\xfe{", b"", b"{" + b'"a":[' * 100_000, b'{"a": 1} x'],
    ids=["long", "list", "utf-16", "none", "deep", "tail"],
)  # fmt: skip
def test_broken_json_is_a_problem(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(data)
    with pytest.warns(TTAWarning, match="not readable as JSON"):
        found = read_dawnbench(tmp_path)
    assert [p.code for p in found.problems] == ["bad_json"]
    assert len(found) == 0
    assert found.table.dtypes.equals(found.to_pandas().dtypes)
    assert len(found.points) == 0


def test_no_entries(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="No DAWNBench entry in"):
        read_dawnbench(tmp_path)
    with pytest.raises(WorkbenchError, match="There is no"):
        read_dawnbench(tmp_path / "nowhere")


def test_unknown_task_is_a_problem(tmp_path: Path) -> None:
    made(tmp_path, "epoch\thours\tBLEU\n1\t0.1\t20\n")
    with pytest.warns(TTAWarning, match="needs columns epoch, hours and those of a task"):
        assert len(read_dawnbench(tmp_path)) == 0


@pytest.mark.parametrize("read", [read_dawnbench, validate_dawnbench])
def test_a_path_is_text(read: Any) -> None:
    with pytest.raises(WorkbenchError) as error:
        read(None)
    assert error.value.lines() == [
        "A path is text, not NoneType.",
        "Give a folder of DAWNBench entries, or one JSON file.",
    ]
