"""Checkpoints of a stream: one JSON file that says everything, and one Arrow file for its arrays and tables.

The JSON file names the Arrow file and is written last, by rename: a process that is killed in between leaves the
checkpoint before it whole.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from workbench.engine.errors import WorkbenchError, one_line

if TYPE_CHECKING:
    from workbench.anomaly.stream import OutlierStream

__all__ = ["load", "save"]

VERSION = 3


def save(stream: OutlierStream, path: str | os.PathLike[str]) -> None:
    """Write the state of a stream.

    Raises
    ------
    WorkbenchError
        If its score is a function, which a file cannot hold.
    """
    if callable(stream.options["score"]):
        raise WorkbenchError(
            "A stream whose score is a function cannot be saved.", "Use a named score, or keep the stream in memory."
        )
    parts: list[bytes] = []
    state = _packed(_state_of(stream), parts)
    blob = _arrow(parts)
    target = Path(os.fspath(path))
    data = target.with_name(f"{target.name}-{hashlib.sha256(blob).hexdigest()[:16]}.arrow")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _write(data, blob)
        _write(_facts(target), json.dumps({"version": VERSION, "data": data.name, "state": state}).encode())
    except OSError as error:
        raise WorkbenchError(
            f"The checkpoint cannot be written ({one_line(error)}).", "Give a path in a folder that can be written."
        ) from error
    for old in target.parent.glob(f"{target.name}-*.arrow"):
        if old != data:
            old.unlink(missing_ok=True)


def load(kind: type[OutlierStream], path: str | os.PathLike[str]) -> OutlierStream:
    """Return the stream that `save` wrote.

    Raises
    ------
    WorkbenchError
        If there is none, or a file of it is damaged.
    """
    target = Path(os.fspath(path))
    try:
        facts = json.loads(_facts(target).read_bytes())
    except FileNotFoundError:
        raise WorkbenchError(f"No checkpoint at {target}.", "Write one with stream.save(path).") from None
    except ValueError as error:
        raise _damaged(_facts(target)) from error
    if facts.get("version") != VERSION:
        raise WorkbenchError(
            f"{target} is a checkpoint of another version.", "Read it with the version that wrote it, or start anew."
        )
    data = target.with_name(facts["data"])
    try:
        table = pa.ipc.open_file(pa.BufferReader(data.read_bytes())).read_all()
    except (OSError, pa.ArrowInvalid) as error:
        raise _damaged(data) from error
    return _stream_of(kind, _unpacked(facts["state"], table.column("part")))


def _facts(target: Path) -> Path:
    return target.with_name(target.name + ".json")


def _damaged(path: Path) -> WorkbenchError:
    return WorkbenchError(f"{path.name} is damaged.", "Load another checkpoint, or start the stream anew.")


def _write(path: Path, blob: bytes) -> None:
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(blob)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _arrow(parts: list[bytes]) -> bytes:
    table = pa.table({"part": pa.array(parts, pa.large_binary())})
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return sink.getvalue()


# ------------------------------------------------------------------------------------------------- states of a stream


def _state_of(stream: OutlierStream) -> dict[str, Any]:
    options = dict(stream.options)
    if hasattr(options["score"], "period"):
        options["score"] = _season(options["score"])
    made: dict[str, Any] = {
        "options": options, "name": stream.name, "panes": stream.panes.state(), "history": stream._rows,
        "columns": stream._columns, "asked": stream._asked, "tried": stream._tried, "left_out": stream._left_out,
        "closed": [[p.number, p.start, p.end, p.table, p.origin, p.late, p.timeless] for p in stream._closed],
    }  # fmt: skip
    if stream.request is not None:
        request = {field.name: getattr(stream.request, field.name) for field in fields(stream.request)}
        if hasattr(request["score"], "period"):
            request["score"] = _season(request["score"])
        made["request"] = request
    if stream._state is not None:
        inner = stream._state.state()
        inner["dictionaries"] = [each.state() for each in inner["dictionaries"]]
        made["state"] = inner
    return made


def _stream_of(kind: type[OutlierStream], made: dict[str, Any]) -> OutlierStream:
    from workbench.anomaly.dictionary import Dictionary
    from workbench.anomaly.language import Request
    from workbench.anomaly.panes import Pane, Panes
    from workbench.anomaly.spec import seasonal_of

    options = made["options"]
    if isinstance(options["score"], dict):
        options["score"] = seasonal_of(options["score"])
    options["by"] = _by(options["by"])
    stream = kind(name=made["name"], **options)
    stream.panes = Panes.from_state(stream.panes.cut, made["panes"])
    stream._rows, stream._columns = made["history"], made["columns"]
    stream._asked, stream._tried = made["asked"], made["tried"]
    stream._left_out = [(number, note) for number, note in made["left_out"]]
    stream._closed = [Pane(*each) for each in made["closed"]]
    if "request" in made:
        asked = made["request"]
        asked |= {"by": tuple((name, bins) for name, bins in asked["by"]), "metrics": tuple(asked["metrics"])}
        asked["notes"] = tuple(asked["notes"])
        if isinstance(asked["score"], dict):
            asked["score"] = seasonal_of(asked["score"])
        stream.request = replace(Request(), **asked)
    if "state" in made:
        inner = made["state"]
        inner["dictionaries"] = [Dictionary.from_state(each) for each in inner["dictionaries"]]
        stream._make_state()
        assert stream._state is not None
        stream._state.restore(inner)
    return stream


def _season(score: Any) -> dict[str, Any]:
    return {"time": score.time, "period": score.period, "phases": score.phases}


def _by(by: Any) -> Any:
    return by if isinstance(by, str) else [tuple(item) if isinstance(item, list) else item for item in by]


# -------------------------------------------------------------------------------------------------------- as JSON holds


def _packed(value: Any, parts: list[bytes]) -> Any:
    """Return a value as JSON can hold it; arrays and tables become parts of the Arrow file."""
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        parts.append(buffer.getvalue())
        return {"$array": len(parts) - 1}
    if isinstance(value, pa.Table):
        parts.append(_table_bytes(value))
        return {"$table": len(parts) - 1}
    if isinstance(value, Mapping):
        return {"$map": [[key, _packed(item, parts)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(item, parts) for item in value]
    if isinstance(value, dt.timedelta):
        return {"$duration": [value.days, value.seconds, value.microseconds]}
    if isinstance(value, (dt.datetime, dt.date, dt.time)):
        kind = "datetime" if isinstance(value, dt.datetime) else type(value).__name__
        return {"$time": [kind, value.isoformat()]}
    if isinstance(value, float) and not math.isfinite(value):
        return {"$float": repr(value)}
    if isinstance(value, np.generic):
        return _packed(value.item(), parts)
    return value


def _unpacked(value: Any, parts: pa.ChunkedArray) -> Any:
    if isinstance(value, list):
        return [_unpacked(item, parts) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "$array":
        return np.load(io.BytesIO(parts[held].as_py()), allow_pickle=False)
    if kind == "$table":
        return pa.ipc.open_stream(parts[held].as_py()).read_all()
    if kind == "$map":
        return {key: _unpacked(item, parts) for key, item in held}
    if kind == "$duration":
        return dt.timedelta(*held)
    if kind == "$time":
        return {"datetime": dt.datetime, "date": dt.date, "time": dt.time}[held[0]].fromisoformat(held[1])  # type: ignore[attr-defined]
    return float(held)


def _table_bytes(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()
