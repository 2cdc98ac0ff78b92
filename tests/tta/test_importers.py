"""TensorBoard event files, MLflow's files and CSV: made up byte by byte, and by their own writers where installed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.engine.errors import WorkbenchError
from workbench.tta.importers import read_csv, read_mlflow, read_tensorboard
from workbench.tta.importers.csv_files import csv_records
from workbench.tta.importers.mlflow import mlflow_records
from workbench.tta.importers.tensorboard import crc32c, masked, tensorboard_records
from workbench.tta.problems import TTAWarning
from workbench.tta.record import EVAL_COLUMNS, POINT_COLUMNS

# a writer of event files of its own


def slow_crc(data: bytes) -> int:
    """CRC-32C bit by bit."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 * (crc & 1))
    return crc ^ 0xFFFFFFFF


def masked_slow(data: bytes) -> bytes:
    crc = slow_crc(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) % 2**32)


def varint(value: int) -> bytes:
    value %= 2**64
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def part(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def frame(data: bytes) -> bytes:
    size = struct.pack("<Q", len(data))
    return size + masked_slow(size) + data + masked_slow(data)


def event(time: float, step: int, *values: bytes) -> bytes:
    head = b"\x09" + struct.pack("<d", time) + (b"\x10" + varint(step) if step else b"")
    return frame(head + (part(5, b"".join(part(1, value) for value in values)) if values else b""))


def simple(tag: str, value: float) -> bytes:
    return part(1, tag.encode()) + b"\x15" + struct.pack("<f", value)


def tensor(tag: str, dtype: int, body: bytes) -> bytes:
    return part(1, tag.encode()) + part(8, b"\x08" + varint(dtype) + b"\x12\x00" + body)


VERSION = frame(b"\x09" + struct.pack("<d", 1000.0) + part(3, b"brain.Event:2"))


@given(st.binary(max_size=200))
def test_crc_is_that_bit_by_bit(data: bytes) -> None:
    assert crc32c(data) == slow_crc(data)
    assert struct.pack("<I", masked(crc32c(data))) == masked_slow(data)


def test_crc_of_the_standard() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_c50_event_file(tmp_path: Path) -> None:
    data = (
        VERSION + event(1001.0, 0, simple("top1", 90.5), simple("loss", 0.25)) + event(1002.5, 7, simple("top1", 97.0))
    )
    data += event(1003.0, -1, simple("top1", 97.5))
    folder = tmp_path / "digits"
    folder.mkdir()
    (folder / "events.out.tfevents.1000.host").write_bytes(data)
    (record,) = tensorboard_records(folder, {"top1": 97})
    assert dict(record.evals.dtypes.astype(str)) == EVAL_COLUMNS
    assert record.evals[["step", "value", "wall_s"]].to_numpy().tolist() == [
        [0, 90.5, 1.0],
        [7, 97.0, 2.5],
        [-1, 97.5, 3.0],
    ]
    assert (record.id, record.name, record.state, record.seed) == ("digits", "digits", "finished", None)
    points = record.points()
    assert dict(points.dtypes.astype(str)) == POINT_COLUMNS
    assert points.to_numpy().tolist() == [[0, "loss", 1.0, 0.25]]
    assert record.started is not None
    assert record.started.timestamp() == 1000.0
    (run,) = read_tensorboard(folder, {"top1": 97})
    assert run.time_to(97) == 2.5
    (loss,) = tensorboard_records(folder, {"val": 0.3}, goal="min", metric="loss")
    assert (loss.metric, loss.goal, loss.evals["metric"].tolist()) == ("val", "min", ["val"])


FORMS = {
    "content float": tensor("a", 1, part(4, struct.pack("<f", 1.5))),
    "content double": tensor("a", 2, part(4, struct.pack("<d", 1.5))),
    "packed float": tensor("a", 1, part(5, struct.pack("<f", 1.5))),
    "packed double": tensor("a", 2, part(6, struct.pack("<d", 1.5))),
    "float": tensor("a", 1, b"\x2d" + struct.pack("<f", 1.5)),
    "double": tensor("a", 2, b"\x31" + struct.pack("<d", 1.5)),
    "simple": simple("a", 1.5),
}


@pytest.mark.parametrize("form", FORMS)
def test_c50_forms_of_a_scalar(form: str, tmp_path: Path) -> None:
    other = tensor("text", 7, part(8, b"words")), tensor("many", 1, part(5, struct.pack("<ff", 1, 2)))
    (tmp_path / "events.out.tfevents.1").write_bytes(VERSION + event(1001.0, 1, FORMS[form], *other))
    (record,) = tensorboard_records(tmp_path, {"a": 1})
    assert record.evals["value"].tolist() == [1.5]
    assert record.points().empty


def test_c50_a_run_per_folder(tmp_path: Path) -> None:
    for name, value in (("b/val", 1.0), ("a", 2.0), ("b/train", None)):
        folder = tmp_path / "logs" / name
        folder.mkdir(parents=True)
        body = event(1001.0, 1, simple("acc" if value else "loss", value or 0.5))
        (folder / "events.out.tfevents.1000").write_bytes(VERSION + body)
    # a run that was taken up again has a second file; the clock of the host went back
    (tmp_path / "logs/a/events.out.tfevents.2000").write_bytes(VERSION + event(1000.5, 2, simple("acc", 3.0)))
    records = tensorboard_records(tmp_path / "logs", {"acc": 1})
    assert [(record.id, record.name, record.evals["value"].tolist()) for record in records] == [
        ("logs/a", "logs", [2.0, 3.0]), ("logs/b/val", "logs", [1.0])
    ]  # fmt: skip
    assert records[0].evals["wall_s"].tolist() == [1.0, 1.0]
    with pytest.raises(WorkbenchError) as tag:
        tensorboard_records(tmp_path / "logs", {"ac": 1})
    assert tag.value.lines() == ["No metric ac.", "Did you mean acc?"]


def test_c50_damaged_event_files(tmp_path: Path) -> None:
    whole = VERSION + event(1001.0, 1, simple("a", 1.0)) + event(1002.0, 2, simple("a", 2.0))
    file = tmp_path / "events.out.tfevents.1"
    for cut in range(len(VERSION) + len(event(1001.0, 1, simple("a", 1.0))) + 1, len(whole)):
        file.write_bytes(whole[:cut])
        with pytest.warns(TTAWarning, match=r"record 3 is damaged \(cut off\)"):
            (record,) = tensorboard_records(tmp_path, {"a": 1})
        assert record.evals["value"].tolist() == [1.0]
        assert record.warnings == ("events.out.tfevents.1: record 3 is damaged (cut off).",)
    for flipped in range(len(VERSION) + len(event(1001.0, 1, simple("a", 1.0))), len(whole)):
        file.write_bytes(whole[:flipped] + bytes([whole[flipped] ^ 1]) + whole[flipped + 1 :])
        with pytest.warns(TTAWarning, match="record 3 is damaged"):
            (record,) = tensorboard_records(tmp_path, {"a": 1})
        assert record.evals["value"].tolist() == [1.0]


def test_c50_what_is_no_event_file(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="No event file in"):
        tensorboard_records(tmp_path, {"a": 1})
    (tmp_path / "events.out.tfevents.1").write_bytes(b"not an event file, but long enough for one")
    with pytest.raises(WorkbenchError, match=r"is no TensorBoard event file: wrong checksum in its first record\."):
        tensorboard_records(tmp_path, {"a": 1})
    with pytest.raises(WorkbenchError, match="There is no"):
        tensorboard_records(tmp_path / "nowhere", {"a": 1})


@given(st.binary(max_size=120))
def test_c50_random_frames_never_crash(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "events.out.tfevents.1").write_bytes(VERSION + event(1.0, 1, simple("a", 1.0)) + frame(data))
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TTAWarning)
        (record,) = tensorboard_records(folder, {"a": 1})
    assert record.evals["value"].iloc[0] == 1.0


def test_c50_tensorboards_own_writer(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the peer is not installed")
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-not-found]
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-not-found]
    from tensorboard.summary.writer.event_file_writer import EventFileWriter  # type: ignore[import-not-found]
    from tensorboard.util.tensor_util import make_tensor_proto  # type: ignore[import-not-found]

    values = np.random.default_rng(0).normal(size=50).astype(np.float32)
    for form in ("simple", "tensor"):
        writer = EventFileWriter(str(tmp_path / form))
        for step, value in enumerate(values):
            stated = {"simple_value": value} if form == "simple" else {"tensor": make_tensor_proto(value)}
            scalars = [Summary.Value(tag="val/top1", **stated)]
            many = [Summary.Value(tag="many", tensor=make_tensor_proto(values))]
            writer.add_event(Event(wall_time=1000.0 + step, step=step, summary=Summary(value=scalars + many)))
        writer.close()
    records = tensorboard_records(tmp_path, {"top1": 1}, metric="val/top1")
    assert len(records) == 2
    for record in records:
        assert record.evals["value"].tolist() == values.astype(float).tolist()
        assert record.evals["step"].tolist() == list(range(50))
        assert record.points().empty


def mlflow_run(root: Path, name: str, metrics: dict[str, str], **meta: Any) -> Path:
    run = root / name
    for key, text in metrics.items():
        file = run / "metrics" / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    lines = [f"{key}: {value}" for key, value in ({"lifecycle_stage": "active"} | meta).items()]
    (run / "meta.yaml").write_text("\n".join(lines) + "\n")
    return run


def test_c50_mlflow(tmp_path: Path) -> None:
    root = tmp_path / "mlruns"
    run = mlflow_run(
        root / "0", "aaa", {"val/top1": "5000 90.5 0\n6000 97 5\n7000 nan 9 set 3f19\n", "loss": "4500 0.5\n"},
        start_time=4000, end_time=9000, run_name="'best run'",
    )  # fmt: skip
    (run / "params").mkdir()
    (run / "params" / "lr").write_text("0.1")
    mlflow_run(root / "0", "early", {"val/top1": "1500 10\n2000 20\n"}, start_time=1000)
    mlflow_run(root / "0", "gone", {"val/top1": "1500 10 1\n"}, lifecycle_stage="deleted")
    mlflow_run(root / ".trash", "old", {"val/top1": "1500 10 1\n"})
    mlflow_run(root / "1", "other", {"f1": "1500 10 1\n"})
    records = mlflow_records(root, {"val/top1": 97})
    assert [record.id for record in records] == ["mlruns/early", "mlruns/aaa"]
    record = records[1]
    assert record.evals["step"].tolist() == [0, 5, 9]
    assert record.evals["wall_s"].tolist() == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(record.evals["value"], [90.5, 97.0, np.nan])
    assert record.points().to_numpy().tolist() == [[0, "loss", 0.5, 0.5]]
    assert record.environment == {"run_name": "best run", "params": {"lr": "0.1"}, "duration_s": 5.0}
    assert records[0].evals["step"].tolist() == [0, 1]
    assert len(mlflow_records(root / "0", {"val/top1": 97})) == 2
    alone = read_mlflow(root / "0" / "aaa", {"val/top1": 97})
    assert (len(alone), alone[0].time_to(97), alone[0].name) == (1, 2.0, "aaa")


def test_c50_mlflow_that_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="No MLflow run in"):
        mlflow_records(tmp_path, {"a": 1})
    mlflow_run(tmp_path / "0", "aaa", {"top1": "5000 90.5 0\n6000 x 1\n"})
    with pytest.raises(WorkbenchError, match=r"(?s)No metric top\..*Did you mean top1\?"):
        mlflow_records(tmp_path, {"top": 1})
    with pytest.raises(WorkbenchError, match=r"top1 line 2: '6000 x 1' is not `milliseconds value step`\."):
        mlflow_records(tmp_path, {"top1": 1})


CSV = "step,seconds,top1,loss\n10,1.5,90,0.5\n20,3.0,97,\n"


@pytest.mark.parametrize(
    "text",
    [CSV, "\ufeff" + CSV, CSV.replace("\n", "\r\n"), CSV.rstrip(), CSV.replace(",", ";"), CSV.replace(",", "\t"),
     "\n".join(["loss , top1,seconds,step", "0.5,90, 1.5 ,10", "", ",97,3.0,20"])],
    ids=["plain", "bom", "crlf", "no final newline", "semicolons", "tabs", "order"],
)  # fmt: skip
def test_c50_csv(text: str, tmp_path: Path) -> None:
    file = tmp_path / "digits.csv"
    file.write_bytes(text.encode())
    (record,) = csv_records(file, {"top1": 97})
    assert record.evals[["eval", "step", "value", "wall_s"]].to_numpy().tolist() == [[0, 10, 90, 1.5], [1, 20, 97, 3]]
    assert (record.id, record.name, record.state, record.seed, record.clocks) == (
        "digits", "digits", "finished", None, ("wall",)
    )  # fmt: skip
    assert record.points().to_numpy().tolist() == [[10, "loss", 1.5, 0.5]]
    (run,) = read_csv(file, {"top1": 97})
    assert run.time_to(97) == 3.0
    with pytest.raises(WorkbenchError) as clock:
        run.time_to(97, clock="dawnbench")
    assert clock.value.lines() == ["This run was imported with wall times only.", 'Use clock="wall".']


def test_c50_csv_columns(tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("epoch,t,val acc,i\n0.5,1,nan,3\n1,2,0.9,4\n,3,,5\n")
    (record,) = csv_records(file, {"acc": 0.9}, step="i", seconds="t", value="val acc")
    assert record.evals["epoch"].tolist() == [0.5, 1.0]
    assert record.evals["step"].tolist() == [3, 4]
    np.testing.assert_array_equal(record.evals["value"], [np.nan, 0.9])
    (record,) = csv_records(file, {"acc": 0.9}, seconds="t", value="val acc")
    assert record.evals["step"].tolist() == [0, 1]


def test_c50_csv_folder(tmp_path: Path) -> None:
    folder = tmp_path / "digits.runs"
    folder.mkdir()
    for name in ("b", "a"):
        (folder / f"{name}.csv").write_text(CSV)
    (folder / "notes.txt").write_text("x")
    records = csv_records(folder, {"top1": 97})
    assert [(record.id, record.name) for record in records] == [
        ("digits.runs/a", "digits.runs"),
        ("digits.runs/b", "digits.runs"),
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", ["x.csv is empty.", "Its first line names the columns, such as step,seconds,top1."]),
        ("step,second,top1\n", ["x.csv has no column seconds.", "Did you mean second?"]),
        ("step,seconds,top\n", ["x.csv has no column top1.", "Did you mean top?"]),
        ("step,seconds,top1\n1,1,high\n",
         ["x.csv row 1: top1 'high' is not a number.", "Correct the file, or name another column."]),
        ("step,seconds,top1\n1,,90\n",
         ["x.csv row 1: seconds is missing.", "Correct the file, or name another column."]),
        ("step,seconds,top1\n1,inf,90\n",
         ["x.csv row 1: seconds 'inf' is not a number.", "Correct the file, or name another column."]),
        ("step,seconds,top1\n1,0.34,90\n2,0.31,91\n",
         ["x.csv row 2: seconds 0.31 after 0.34.", "Time must not go back."]),
        ("step,seconds,top1\n1.5,1,90\n", ["x.csv row 1: step 1.5 is not a whole number.", "Correct the file."]),
    ],
)  # fmt: skip
def test_c50_csv_that_is_wrong(text: str, lines: list[str], tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(WorkbenchError) as error:
        csv_records(tmp_path / "x.csv", {"top1": 94})
    assert error.value.lines() == lines


@pytest.mark.parametrize(
    ("target", "found"),
    [({"top1": float("nan")}, '{"top1": nan}'), ({}, "{}"), ({"a": 1, "b": 2}, '{"a": 1, "b": 2}'), (94, "94")],
)
def test_c50_bad_target(target: Any, found: str, tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError) as error:
        csv_records(tmp_path, target)
    assert error.value.lines() == [
        'Target must be one metric with a finite number, such as {"top1": 94}.', f"Found {found}."
    ]  # fmt: skip


def test_c50_an_empty_folder_and_a_wrong_goal(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match=r"No \*\.csv in"):
        csv_records(tmp_path, {"a": 1})
    with pytest.raises(WorkbenchError, match='goal is "max" or "min"'):
        csv_records(tmp_path, {"a": 1}, goal="up")
