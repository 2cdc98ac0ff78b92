"""Answers about files in the store: under the files' content, the question, and the versions that made them."""

from __future__ import annotations

import json
import math
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.anomaly.answer import Answer
from workbench.anomaly.encode import Codes
from workbench.anomaly.sets import Found, Sets

if TYPE_CHECKING:
    import pyarrow as pa

    from workbench.anomaly.data import Data
    from workbench.anomaly.execution import Work
    from workbench.anomaly.language import Request
    from workbench.anomaly.results import Explanations

__all__ = ["WORTH", "answer_key", "load", "save"]

#: of the format and of the search; answers kept by another version are not read
VERSION = 1
#: what an answer must have taken at least, in seconds, to be worth a file
WORTH = 0.2

_SETS = tuple(field.name for field in fields(Sets))
_TESTED = ("tested_o", "tested_t", "tested_index")
_MOMENTS = ("moments_out", "moments_in")
_SAID = ("n_left_out", "marked_by", "measured_name", "weighted")


def answer_key(data: Data, request: Request) -> str | None:
    """Return what an answer is kept under; None if it is not about files, or follows from more than files and text."""
    from workbench.anomaly.parted_files import PartedFiles
    from workbench.anomaly.store_keys import VERSION as CODES
    from workbench.engine.keys import key
    from workbench.engine.version import __version__

    if data.kind != "path" and not isinstance(data, PartedFiles):
        return None
    labels = request.labels
    if not (labels is None or isinstance(labels, str)):
        return None
    if not isinstance(request.score, str) and not hasattr(request.score, "period"):
        return None
    # Notes on columns belong to the request where one process reads the files, and to the answer where tasks do.
    parted, spec = isinstance(data, PartedFiles), json.dumps(request.spec(), sort_keys=True)
    return key("outlier answer", VERSION, CODES, __version__, data.key(), parted, spec)


def save(key: str, result: Explanations, request: Request) -> bool:
    """Keep an answer; return whether it was kept."""
    from workbench.engine.store import store

    answer = result._answer
    found = answer.found
    arrays = {f"answers {name}": getattr(found.answers, name) for name in _SETS}
    arrays |= {name: getattr(found, name) for name in _TESTED}
    if found.closest is not None:
        arrays |= {f"closest {name}": getattr(found.closest, name) for name in _SETS}
    for name in _MOMENTS:
        for part, moment in enumerate(getattr(found, name) or ()):
            arrays[f"{name} {part}"] = moment
    for place, column in enumerate(answer.columns):
        arrays[f"values {place}"] = _bytes(column.values)
        if column.edges is not None:
            arrays[f"edges {place}"] = column.edges
    cutoff = answer.cutoff
    head = {
        "columns": [[column.name, column.distinct] for column in answer.columns],
        "found": {name: _plain(getattr(found, name)) for name in ("O", "N", "candidates", "finished", "stopped")},
        "dependencies": [list(pair) for pair in found.dependencies],
        "said": {name: _plain(getattr(answer, name)) for name in _SAID},
        "cutoff": None if cutoff is None else [cutoff.low.hex(), cutoff.high.hex(), cutoff.score.hex()],
        "notes": list(answer.notes)[len(request.notes) :],
    }
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    return store().put_arrays(key, arrays, kind="outlier answer", cost_s=answer.seconds)


def load(key: str, work: Work) -> Explanations | None:
    """Return a kept answer, or None if there is none; the rows behind it are read when they are asked for."""
    from workbench.anomaly.execution import metric_of
    from workbench.anomaly.parted_files import PartedFiles
    from workbench.anomaly.plan import filled, planned
    from workbench.anomaly.ranking import rank
    from workbench.anomaly.results import Explanations
    from workbench.anomaly.scorers import Cutoff
    from workbench.engine.store import store

    arrays = store().get_arrays(key)
    if arrays is None:
        return None
    request, actuals = work.request, work.actuals
    head = json.loads(arrays["head"].tobytes())
    columns = tuple(
        Codes(name, np.empty(0, np.uint8), _array(arrays[f"values {place}"]), arrays.get(f"edges {place}"), distinct)
        for place, (name, distinct) in enumerate(head["columns"])
    )
    closest = None if "closest value" not in arrays else Sets(*(arrays[f"closest {name}"] for name in _SETS))
    moments = {name: tuple(arrays[f"{name} {part}"] for part in range(3)) for name in _MOMENTS if f"{name} 0" in arrays}
    told: dict[str, Any] = {name: arrays[name] for name in _TESTED} | head["found"] | moments
    told["dependencies"] = [(a, b) for a, b in head["dependencies"]]
    found = Found(Sets(*(arrays[f"answers {name}"] for name in _SETS)), closest=closest, **told)
    order = rank(found, columns)
    actuals.set("Rank", rows=float(len(order)), cache_hits=1.0)
    actuals.note("the ranked table is the store's; rows are read when they are asked for")
    cutoff = head["cutoff"]
    answer = Answer(
        columns=columns, found=found, order=order, compare=request.compare, metric=metric_of(request), n_rows=found.N,
        n_outliers=found.O, cutoff=None if cutoff is None else Cutoff(*map(float.fromhex, cutoff)),
        notes=(*request.notes, *head["notes"]), spec=request.spec(), seconds=actuals.seconds, rerun=work.rerun,
        plan=filled(planned(work.data, request, tasks=work.tasks), actuals), name=work.data.name,
        rows=work.data.files if isinstance(work.data, PartedFiles) else work.data, **head["said"],
    )  # fmt: skip
    answer.access = rows = LaterRows(work, answer)
    if work.tasks:
        answer.marked = rows.frame
    return Explanations(answer)


class LaterRows:
    """The rows behind a kept answer: marked anew when somebody asks for them.

    Parameters
    ----------
    work : Work
    answer : Answer
        What was kept.
    """

    def __init__(self, work: Work, answer: Answer) -> None:
        self._work, self._kept = work, answer
        self._made: Any = None

    def frame(self) -> Any:
        """Return the source as a Dask DataFrame with its marks, where the table is in parts."""
        return self._answer().marked()

    def _answer(self) -> Any:
        if self._made is None:
            self._made = self._in_parts() if self._work.tasks else self._here()
        return self._made

    def _here(self) -> Answer:
        """Mark the rows: nothing is encoded or searched for that."""
        from workbench.anomaly.execution import fields_of
        from workbench.anomaly.marking import mark
        from workbench.anomaly.plan import Actuals

        marked = mark(self._work.data, self._work.request, Actuals())
        return replace(self._kept, access=None, **fields_of(marked))

    def _in_parts(self) -> Answer:
        from workbench.anomaly.execution import Work

        return Work(self._work.data, self._work.request).compute()._answer

    def __getattr__(self, name: str) -> Any:
        """Return what the rows of the answer, made anew, have."""
        if name.startswith("__"):
            raise AttributeError(name)
        from workbench.anomaly.drill import access

        return getattr(access(self._answer()), name)


# ----------------------------------------------------------------------------------------------------------- private


def _plain(value: Any) -> Any:
    """Return a NumPy number as Python's own."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not to be kept")
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _bytes(values: pa.Array) -> np.ndarray:
    """Return an Arrow array as the bytes of an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    table = pa.table({"values": values})
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return np.frombuffer(sink.getvalue(), np.uint8)


def _array(data: np.ndarray) -> pa.Array:
    import pyarrow as pa

    column = pa.ipc.open_stream(pa.BufferReader(data.tobytes())).read_all().column("values")
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
