"""Each code of `validate_dawnbench` with an entry made up for it; the published entries have no error."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.tta.published import METRICS, root
from workbench.tta.dawnbench_rules import Problem
from workbench.tta.dawnbench_validate import validate_dawnbench

TRAIN = {
    "version": "v1.0", "author": "a", "authorEmail": "a@b", "framework": "f", "model": "m", "hardware": "h",
    "costPerHour": 3.06, "timestamp": "2018-04-20", "misc": {},
}  # fmt: skip
CURVES = {
    "CIFAR10": "epoch\thours\ttop1Accuracy\n1\t0.1\t90\n2\t0.2\t94.0\n",
    "ImageNet": "epoch\thours\ttop1Accuracy\ttop5Accuracy\n1\t0.1\t70\t90\n2\t0.2\t75\t93.0\n",
    "SQuAD": "epoch\thours\tf1Score\n1\t0.1\t0.7\n2\t0.2\t0.75\n",
}


def train(folder: Path, task: str = "CIFAR10", tsv: str | None = None, **fields: Any) -> list[Problem]:
    place = folder / task / "train"
    place.mkdir(parents=True, exist_ok=True)
    raw = {name: value for name, value in (TRAIN | fields).items() if value is not ...}
    (place / "x.json").write_text(json.dumps(raw))
    (place / "x.tsv").write_text(CURVES[task] if tsv is None else tsv)
    return validate_dawnbench(folder)


def inference(folder: Path, task: str = "CIFAR10", **fields: Any) -> list[Problem]:
    place = folder / task / "inference"
    place.mkdir(parents=True, exist_ok=True)
    value = {"CIFAR10": 94.5, "ImageNet": 93.5, "SQuAD": 0.76}[task]
    given = {**TRAIN, "latency": 1.5, METRICS[task]: value, "cost": None, "costPerHour": ..., **fields}
    (place / "x.json").write_text(json.dumps({name: v for name, v in given.items() if v is not ...}))
    return validate_dawnbench(folder)


def told(problems: list[Problem]) -> list[tuple[str, int | None, str, str]]:
    return [(p.code, p.row, p.message, p.fix) for p in problems]


def test_c47_published_entries_have_no_error() -> None:
    problems = validate_dawnbench(root())
    assert Counter((p.severity, p.code) for p in problems) == {
        ("warning", "date_form"): 5,
        ("warning", "epoch_order"): 2,
        ("warning", "type"): 1,
        ("warning", "unit"): 1,
    }
    assert problems == sorted(problems, key=lambda p: (p.path, p.row or 0, p.code))
    for problem in problems:
        assert problem.message.startswith(problem.path)
        assert (root() / problem.path).is_file()


@pytest.mark.parametrize("task", CURVES)
def test_sound_entries(task: str, tmp_path: Path) -> None:
    assert train(tmp_path, task) == []
    assert inference(tmp_path, task) == []
    assert train(tmp_path, task, costPerHour=None, misc=..., more=1) == []


def test_c47_columns(tmp_path: Path) -> None:
    found = train(tmp_path, tsv="epoch\thour\ttop1Accuracy\n1\t0.1\t95\n")
    assert told(found) == [
        ("columns", None, "CIFAR10/train/x.tsv: needs columns epoch, hours, top1Accuracy; "
         "found epoch, hour, top1Accuracy.", "Rename."),
    ]  # fmt: skip
    extra = train(tmp_path, tsv="epoch\thours\ttop1Accuracy\tloss\n1\t0.1\t95\t0.1\n")
    assert [p.code for p in extra] == ["columns"]
    twice = train(tmp_path, tsv="epoch\thours\ttop1Accuracy\thours\n1\t0.1\t95\t0.1\n")
    assert [p.code for p in twice] == ["columns"]
    assert [p.code for p in train(tmp_path, tsv="hours\ttop1Accuracy\tepoch\n0.1\t95\t1\n")] == []
    long = train(tmp_path, tsv="epoch\thours\ttop1Accuracy\n1\t0.1\t95\t7\n")
    assert told(long) == [
        ("columns", 1, "CIFAR10/train/x.tsv row 1: 4 cells for 3 columns.", "Separate cells by one tab.")
    ]


def test_c47_missing_tsv(tmp_path: Path) -> None:
    train(tmp_path)
    (tmp_path / "CIFAR10/train/x.tsv").unlink()
    assert told(validate_dawnbench(tmp_path)) == [
        (
            "missing_tsv",
            None,
            "CIFAR10/train/x.json: the TSV file x.tsv does not exist.",
            "Put it beside the JSON file.",
        )
    ]


@pytest.mark.parametrize("tsv", ["", "\n\n", "epoch\thours\ttop1Accuracy\n", "epoch\thours\ttop1Accuracy\n\n \n"])
def test_c47_empty(tsv: str, tmp_path: Path) -> None:
    assert [(p.code, p.row) for p in train(tmp_path, tsv=tsv)] == [("empty", None)]


def test_c47_bad_json(tmp_path: Path) -> None:
    train(tmp_path)
    (tmp_path / "CIFAR10/train/x.json").write_text('{"a": }')
    assert told(validate_dawnbench(tmp_path)) == [
        ("bad_json", None, "CIFAR10/train/x.json: not readable as JSON: Expecting value at line 1, column 7.",
         "Correct the file."),
    ]  # fmt: skip


def test_c47_threshold(tmp_path: Path) -> None:
    assert told(train(tmp_path, tsv="epoch\thours\ttop1Accuracy\n1\t0.1\t93.99\n2\t0.2\t93.5\n")) == [
        ("threshold", None, "CIFAR10/train/x.tsv: best top1Accuracy 93.99 does not reach 94.0.",
         "Only runs that reach it can be submitted."),
    ]  # fmt: skip
    (tmp_path / "CIFAR10/train/x.tsv").write_text(CURVES["CIFAR10"])
    assert [p.code for p in inference(tmp_path, top1Accuracy=93.99)] == ["threshold"]
    assert [p.code for p in inference(tmp_path, "SQuAD", f1Score=0.7499)][-1:] == ["threshold"]


def test_c47_time_order(tmp_path: Path) -> None:
    rows = "".join(f"{row}\t{0.31 if row == 17 else 0.34}\t95\n" for row in range(1, 19))
    assert told(train(tmp_path, tsv="epoch\thours\ttop1Accuracy\n" + rows)) == [
        ("time_order", 17, "CIFAR10/train/x.tsv row 17: hours 0.31 after 0.34.", "Time must not go back.")
    ]


def test_c47_epoch_order(tmp_path: Path) -> None:
    found = train(tmp_path, tsv="epoch\thours\ttop1Accuracy\n1\t0.1\t95\n1\t0.2\t95\n")
    assert [(p.severity, p.code, p.row) for p in found] == [("warning", "epoch_order", 2)]


@pytest.mark.parametrize("cell", ["", "n/a", "nan", "inf", "1_0", "0,5"])
def test_c47_not_number(cell: str, tmp_path: Path) -> None:
    found = train(tmp_path, tsv=f"epoch\thours\ttop1Accuracy\n1\t0.1\t95\n2\t{cell}\t95\n")
    assert [(p.severity, p.code, p.row) for p in found] == [("error", "not_number", 2)]
    assert found[0].message.startswith("CIFAR10/train/x.tsv row 2: hours ")


def test_c47_range(tmp_path: Path) -> None:
    assert told(train(tmp_path, tsv="epoch\thours\ttop1Accuracy\n1\t0.1\t101.0\n2\t0.2\t-1\n")) == [
        ("range", 1, "CIFAR10/train/x.tsv row 1: top1Accuracy 101.0 is outside 0..100.", "Write percent."),
        ("range", 2, "CIFAR10/train/x.tsv row 2: top1Accuracy -1.0 is outside 0..100.", "Write percent."),
    ]
    (tmp_path / "CIFAR10/train/x.tsv").write_text(CURVES["CIFAR10"])
    assert [p.code for p in train(tmp_path, "SQuAD", "epoch\thours\tf1Score\n1\t0.1\t75.5\n")] == ["range"]
    (tmp_path / "SQuAD/train/x.tsv").write_text(CURVES["SQuAD"])
    assert [p.code for p in inference(tmp_path, "SQuAD", f1Score=101.0)] == ["range"]


def test_c47_f1_in_percent(tmp_path: Path) -> None:
    inference(tmp_path, "SQuAD", f1Score=82.52)
    assert told(validate_dawnbench(tmp_path / "SQuAD/inference/x.json")) == [
        ("unit", None, "x.json: f1Score 82.52 is outside 0..1; read as 0.8252.", "Write the fraction.")
    ]


@pytest.mark.parametrize("name", ["version", "author", "authorEmail", "framework", "model", "hardware", "timestamp"])
@pytest.mark.parametrize("value", [..., None, ""])
def test_c47_missing_field(name: str, value: Any, tmp_path: Path) -> None:
    found = train(tmp_path, **{name: value})
    assert [(p.code, p.message) for p in found] == [("missing_field", f"CIFAR10/train/x.json: {name} is missing.")]


@pytest.mark.parametrize("name", ["latency", "top1Accuracy"])
def test_c47_missing_field_of_inference(name: str, tmp_path: Path) -> None:
    assert [p.code for p in inference(tmp_path, **{name: ...})] == ["missing_field"]
    assert [p.code for p in inference(tmp_path, **{name: "1.5"})] == ["not_number"]
    assert [p.code for p in inference(tmp_path, **{name: True})] == ["not_number"]


def test_c47_version(tmp_path: Path) -> None:
    assert told(train(tmp_path, version="v2")) == [
        ("bad_version", None, "CIFAR10/train/x.json: version 'v2' is not v1.0.", "Write v1.0.")
    ]


@pytest.mark.parametrize("stamp", ["20-04-2018", "2018/04/20", "04/20/2018"])
def test_c47_timestamp(stamp: str, tmp_path: Path) -> None:
    train(tmp_path, timestamp=stamp)
    assert told(validate_dawnbench(tmp_path / "CIFAR10" / "train")) == [
        ("bad_timestamp", None, f"x.json: timestamp '{stamp}' is not YYYY-MM-DD.", "Write 2018-04-20.")
    ]


def test_c47_timestamp_of_no_known_form(tmp_path: Path) -> None:
    for stamp in ("April", 20180420.5, ["2018-04-20"]):
        found = train(tmp_path, timestamp=stamp)
        assert [(p.code, p.fix) for p in found] == [("bad_timestamp", "Write the day as YYYY-MM-DD.")]


def test_c47_date_form(tmp_path: Path) -> None:
    found = train(tmp_path, timestamp="2018-4-20")
    assert [(p.severity, p.code, p.fix) for p in found] == [("warning", "date_form", "Write 2018-04-20.")]


@pytest.mark.parametrize("price", [0, -1.5, "3.06", True, float("inf"), 10**400])
def test_c47_price(price: Any, tmp_path: Path) -> None:
    assert [p.code for p in train(tmp_path, costPerHour=price)] == ["bad_price"]
    train(tmp_path)
    assert [p.code for p in inference(tmp_path, cost=price)] == ["bad_price"]


@pytest.mark.parametrize(("misc", "kind"), [("text", "a string"), ([1], "a list"), (None, "null"), (1, "a number")])
def test_c47_type(misc: Any, kind: str, tmp_path: Path) -> None:
    found = train(tmp_path, misc=misc)
    assert [(p.severity, p.code, p.message) for p in found] == [
        ("warning", "type", f"CIFAR10/train/x.json: misc is {kind}, not an object.")
    ]


def test_problems_are_sorted_by_path_row_and_code(tmp_path: Path) -> None:
    tsv = "epoch\thours\ttop1Accuracy\n2\t0.2\t101\n1\t0.1\t1\n1\tx\t1\n"
    found = train(tmp_path, tsv=tsv, version="v2", author="")
    assert [(p.path[-4:], p.row, p.code) for p in found] == [
        ("json", None, "bad_version"),
        ("json", None, "missing_field"),
        (".tsv", 1, "range"),
        (".tsv", 2, "epoch_order"),
        (".tsv", 2, "time_order"),
        (".tsv", 3, "epoch_order"),
        (".tsv", 3, "not_number"),
    ]
