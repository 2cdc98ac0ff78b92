"""Dask frames of every make: the same parts, rows and filters as the frame that they came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from workbench.anomaly import dask_frames, frames
from workbench.anomaly.encode import encode_array, merge_values
from workbench.anomaly.language import request

DF = pd.DataFrame(
    {
        "text": ["x", "y", None, "it's"] * 50,
        "number": np.arange(200.0) / 7,
        "category": pd.Categorical(["u", "v"] * 100),
        "nothing": [None] * 200,
        "id": range(200),
    }
)


def parquet(folder: Path) -> Any:
    import dask.dataframe as dd

    DF.to_parquet(folder / "t.parquet", row_group_size=45)
    return dd.read_parquet(folder / "t.parquet", split_row_groups=True)


def filtered(folder: Path) -> Any:
    frame = parquet(folder)
    return frame[frame["id"] >= 0].assign(one=1)


def made() -> Any:
    import dask.dataframe as dd

    return dd.from_pandas(DF, npartitions=3)


def persisted() -> Any:
    from workbench.engine import session

    return session.session().persist(made())


MAKES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "from pandas": (lambda folder: made(), "Graph"),
    "Parquet": (lambda folder: parquet(folder), "Expression"),
    "filtered": (lambda folder: filtered(folder), "Expression"),
    "mapped": (lambda folder: made().map_partitions(lambda frame: frame), "Graph"),
    "persisted": (lambda folder: persisted(), "Held"),
    "persisted, then changed": (lambda folder: persisted().assign(one=1), "Held"),
    "joined": (lambda folder: parquet(folder).merge(made()[["id"]], on="id"), "Held"),
}


@pytest.mark.parametrize("make", sorted(MAKES))
def test_c33_dask_frames_of_every_make(make: str, tmp_path: Path, cluster: None) -> None:
    build, recipe = MAKES[make]
    frame = build(tmp_path)
    data = frames.read(frame, name="flights")
    assert data.kind == "dask" and data.n_rows == len(DF) and data.size == 0
    parts = data.partitions()
    assert {type(part.recipe).__name__ for part in parts} == {recipe}  # type: ignore[attr-defined]
    assert all(len(cloudpickle.dumps(part)) < 200_000 for part in parts)

    tables = [part.load(["id", "text", "category"]) for part in parts]
    ids = np.concatenate([table.column("id").to_numpy() for table in tables])
    assert sorted(ids.tolist()) == list(range(200))
    texts = pa.concat_tables(table.select(["text"]) for table in tables).column("text")
    assert texts.to_pylist() == [None if pd.isna(DF["text"][row]) else DF["text"][row] for row in ids]
    encoded = [encode_array("text", table.column("text")) for table in tables]
    values, maps = merge_values([codes.values for codes in encoded])
    assert values.to_pylist() == [None, "it's", "x", "y"]
    whole = encode_array("text", pa.array(DF["text"], from_pandas=True).take(pa.array(ids)))
    codes = np.concatenate([new[part.codes] for part, new in zip(encoded, maps, strict=True)])
    assert np.array_equal(codes, whole.codes)

    assert np.array_equal(data.numbers("number"), DF["number"].to_numpy()[ids])
    assert data.where("text = 'it''s' AND number > 3").sum() == ((DF["text"] == "it's") & (DF["number"] > 3)).sum()
    assert data.distinct(["text", "category", "nothing"]) == {"text": 4, "category": 2, "nothing": 1}
    rows = np.array([170, 3, 3, 0])
    assert data.take(rows)["id"].tolist() == ids[rows].tolist()
    conditions = (("text", None), ("category", "u"))
    assert len(frame[data.native(conditions)]) == 50
    assert data.sql(conditions) == '"text" IS NULL AND "category" = \'u\''
    assert data.key() == frames.read(frame).key()


def test_c26_the_choice_of_columns_of_a_dask_frame(cluster: None) -> None:
    question = request(frames.read(made()), "number")
    assert question.by == (("text", None), ("category", None))
    assert 'Left out "id": numbers.' in question.notes


def test_only_the_columns_asked_for_are_read_from_parquet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = frames.read(parquet(tmp_path)).partitions()[1]
    frame = part.recipe.frame[["id"]]  # type: ignore[attr-defined]
    reads = [node for node in frame.optimize(fuse=False).expr.walk() if "ReadParquet" in type(node).__name__]
    assert [node.columns for node in reads] == [["id"]]
    assert part.load(["id"]).column_names == ["id"]


def test_a_partition_that_the_cluster_lost(cluster: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.engine.errors import WorkbenchError

    monkeypatch.setattr(dask_frames, "PATIENCE", 0.1)
    with pytest.raises(WorkbenchError, match="no longer held by the cluster"):
        dask_frames.Held("no-such-key")(["id"])
