"""MLPerf logs: what is written, that it comes back, that mlperf_logging parses it."""

from __future__ import annotations

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.engine.errors import WorkbenchError
from workbench.tta.importers import read_mllog
from workbench.tta.mllog import export_mllog, mllog_lines, mllog_records
from workbench.tta.record import EVAL_COLUMNS, Record, evals_table, spans_table

STARTED = dt.datetime(2026, 3, 4, 5, 6, 7, 89000, tzinfo=dt.UTC)


def run(values: list[float], wall: list[float], init: float = 0.0, **fields: Any) -> Record:
    size = len(values)
    columns = {
        "eval": range(size), "step": [10 * (i + 1) for i in range(size)], "epoch": [0.5 * (i + 1) for i in range(size)],
        "metric": ["top1"] * size, "value": values, "n": [300] * size, "wall_s": wall,
        "mlperf_s": [t - init for t in wall],
    }  # fmt: skip
    given: dict[str, Any] = {"started": STARTED, "seed": 7, "eval_count": 300, "clocks": ("wall", "mlperf")} | fields
    return Record(id="r", name="r", metric="top1", target=97.0, evals=evals_table(columns), **given)


def parsed(lines: list[str]) -> list[dict[str, Any]]:
    assert all(line.startswith(":::MLLOG {") for line in lines)
    return [json.loads(line.removeprefix(":::MLLOG ")) for line in lines]


def test_c49_lines() -> None:
    record = run([90.0, 97.5], [1.23456, 2.5], init=0.75)
    lines = parsed(mllog_lines(record, benchmark="digits"))
    assert all(list(line) == ["namespace", "time_ms", "event_type", "key", "value", "metadata"] for line in lines)
    times = [line["time_ms"] for line in lines]
    assert times == sorted(times)
    assert all(isinstance(time, int) for time in times)
    assert [line["key"] for line in lines] == [
        "init_start", "submission_benchmark", "submission_division", "quality_target", "seed", "eval_samples",
        "init_stop", "run_start", "eval_accuracy", "eval_accuracy", "run_stop",
    ]  # fmt: skip
    by_key = {line["key"]: line for line in lines}
    base = round(STARTED.timestamp() * 1000)
    assert by_key["init_start"]["time_ms"] == base
    assert by_key["run_start"]["time_ms"] == by_key["init_stop"]["time_ms"] == base + 750
    assert by_key["run_stop"]["metadata"] == {"status": "success"}
    assert (by_key["seed"]["value"], by_key["eval_samples"]["value"]) == (7, 300)
    assert by_key["submission_division"]["value"] == "open"
    first = next(line for line in lines if line["key"] == "eval_accuracy")
    assert (first["time_ms"], first["value"], first["metadata"]["epoch_num"]) == (base + 1235, 90.0, 0.5)
    missed = parsed(mllog_lines(run([90.0], [1.0]), benchmark="digits"))
    assert missed[-1]["metadata"] == {"status": "aborted"}


@pytest.mark.parametrize("init", [0.0, 0.75])
def test_c49_export_and_import_are_identity(init: float, tmp_path: Path) -> None:
    record = run([90.0, math.nan, 97.5, 96.0], [1.23456, 1.9, 2.5000001, 3.0], init)
    path = export_mllog(record, tmp_path / "run.log", benchmark="digits")
    back = mllog_records(path)[0]
    assert dict(back.evals.dtypes.astype(str)) == EVAL_COLUMNS
    for column in EVAL_COLUMNS:
        if column != "se":
            assert back.evals[column].equals(record.evals[column]), column
    assert back.evals["se"].iloc[0] == pytest.approx(100 * math.sqrt(0.9 * 0.1 / 300))
    assert (back.metric, back.target, back.goal, back.eval_count) == ("top1", 97.0, "max", 300)
    assert (back.name, back.state, back.seed, back.clocks) == ("run", "finished", None, ("wall", "mlperf"))
    assert back.started == STARTED
    assert back.environment["seed"] == 7
    lines = path.read_text()
    export_mllog(record, path, benchmark="digits", overwrite=True)
    assert path.read_text() == lines
    with pytest.raises(WorkbenchError, match=r"run\.log exists\."):
        export_mllog(record, path, benchmark="digits")


def test_c49_several_metrics_and_goal_min(tmp_path: Path) -> None:
    columns = {
        "eval": [0, 0, 1, 1], "metric": ["loss", "top1"] * 2, "value": [0.5, 90.0, 0.1, 98.0],
        "wall_s": [1.0, 1.0, 2.0, 2.0],
    }  # fmt: skip
    record = Record(id="r", name="r", metric="loss", goal="min", target=0.2, evals=evals_table(columns))
    path = export_mllog(record, tmp_path / "r.log", benchmark="digits")
    assert parsed(path.read_text().splitlines())[-1]["metadata"]["status"] == "success"
    back = mllog_records(path)[0]
    assert (back.goal, back.metric, back.evals["value"].tolist()) == ("min", "loss", [0.5, 0.1])
    assert back.evals["epoch"].isna().all()
    assert back.clock == "wall"
    other = mllog_records(path, {"top1": 95})[0]
    assert (other.metric, other.target, other.evals["value"].tolist()) == ("top1", 95.0, [90.0, 98.0])


def test_c49_end_is_that_of_the_spans() -> None:
    spans = spans_table([{"kind": "train", "start_s": 0.0, "end_s": 9.0, "seconds": 9.0, "depth": 0}])
    lines = parsed(mllog_lines(run([90.0], [1.0], spans=spans), benchmark="digits"))
    assert lines[-1]["key"] == "run_stop"
    assert lines[-1]["time_ms"] - lines[0]["time_ms"] == 9000


def log(*events: tuple[int, str, Any, dict[str, Any]], before: str = "") -> str:
    return "\n".join(
        f"{before}:::MLLOG "
        + json.dumps(
            {"namespace": "", "time_ms": t, "event_type": "POINT_IN_TIME", "key": key, "value": v, "metadata": m}
        )
        for t, key, v, m in events
    )


MLPERF = log(
    (1_000_000, "init_start", None, {"file": "main.py", "lineno": 3}),
    (1_000_000, "submission_benchmark", "resnet", {}),
    (1_030_000, "init_stop", None, {}),
    (1_030_500, "run_start", None, {}),
    (1_060_500, "eval_accuracy", 0.5, {"epoch_num": 4}),
    (1_090_500, "eval_accuracy", 0.7591, {"epoch_num": 8}),
    (1_090_600, "run_stop", None, {"status": "success"}),
    before="0: [rank 0] ",
)


def test_c49_logs_of_others(tmp_path: Path) -> None:
    path = tmp_path / "result_0.txt"
    path.write_text("noise\n" + MLPERF + '\n:::MLLOG {"broken\nmore noise\n')
    record = mllog_records(path)[0]
    assert (record.metric, record.target, record.clock) == ("eval_accuracy", 0.759, "mlperf")
    assert record.evals["wall_s"].tolist() == [60.5, 90.5]
    assert record.evals["mlperf_s"].tolist() == [30.0, 60.0]
    assert record.evals["epoch"].tolist() == [4.0, 8.0]
    assert record.evals["n"].isna().all()
    assert record.environment["status"] == "success"
    assert record.warnings == ("result_0.txt: 1 broken line passed over.",)
    named = mllog_records(path, {"top1": 0.5})[0]
    assert (named.metric, named.evals["metric"].tolist()) == ("top1", ["top1", "top1"])
    (run_,) = read_mllog(path)
    assert run_.time_to(0.759) == 60.0
    assert run_.time_to(0.759, clock="wall") == 90.5
    with pytest.raises(WorkbenchError):
        run_.time_to(0.759, clock="dawnbench")


def test_c49_init_of_more_than_half_an_hour_counts(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(
        log((0, "init_start", None, {}), (2_000_000, "run_start", None, {}), (2_100_000, "eval_accuracy", 1.0, {}))
    )
    record = mllog_records(tmp_path / "a.log", {"eval_accuracy": 1})[0]
    assert record.evals["mlperf_s"].tolist() == [300.0]


def test_c49_a_folder_is_a_run_per_log(tmp_path: Path) -> None:
    folder = tmp_path / "resnet"
    folder.mkdir()
    for name in ("b.log", "a.log"):
        (folder / name).write_text(MLPERF)
    (folder / "notes.txt").write_text("nothing")
    records = mllog_records(folder)
    assert [(record.id, record.name) for record in records] == [("resnet/a", "resnet"), ("resnet/b", "resnet")]


def test_c49_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("nothing\n")
    with pytest.raises(WorkbenchError, match=r"x\.log has no :::MLLOG line\."):
        mllog_records(path)
    path.write_text(log((0, "eval_accuracy", 0.5, {})))
    with pytest.raises(WorkbenchError) as target:
        mllog_records(path)
    assert target.value.lines() == ["x.log states no target.", 'Pass target={"eval_accuracy": 0.759}.']
    path.write_text(log((0, "eval_accuracy", 0.5, {"metric": "top1"})))
    with pytest.raises(WorkbenchError, match=r"(?s)No metric top2\..*Did you mean top1\?"):
        mllog_records(path, {"top2": 1})
    with pytest.raises(WorkbenchError, match="There is no"):
        mllog_records(tmp_path / "nowhere")
    dawn = run([1.0], [1.0], clocks=("dawnbench",), clock="dawnbench")
    with pytest.raises(WorkbenchError, match=r"This run was imported with dawnbench times only\."):
        mllog_lines(dawn, benchmark="x")


def test_c49_a_log_without_evaluations(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(log((0, "init_start", None, {})))
    record = mllog_records(path, {"eval_accuracy": 1})[0]
    assert (len(record.evals), dict(record.evals.dtypes.astype(str))) == (0, EVAL_COLUMNS)


def test_c49_mlperf_logging_parses_an_export(tmp_path: Path) -> None:
    pytest.importorskip("mlperf_logging", reason="the peer is not installed")
    from mlperf_logging.compliance_checker.mlp_parser import parse_file  # type: ignore[import-not-found]

    path = export_mllog(run([90.0, 97.5], [1.0, 2.0], 0.5), tmp_path / "x.log", benchmark="digits")
    lines, failed = parse_file(str(path), ruleset="5.0.0")
    assert failed == []
    assert [line.key for line in lines][-1] == "run_stop"
    accuracies = [line.value["value"] for line in lines if line.key == "eval_accuracy"]
    np.testing.assert_array_equal(accuracies, [90.0, 97.5])
