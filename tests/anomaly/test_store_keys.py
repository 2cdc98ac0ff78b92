"""Codes of parts of files in the store: under their content, and never a wrong one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.anomaly.parts import Serial, serial
from workbench.anomaly import dask_parts, encode, file_parts, kept_answers, plan, store_keys
from workbench.anomaly.frames import read
from workbench.engine import store as artefacts
from workbench.engine.errors import WorkbenchWarning

__all__ = ["serial"]

BY = ["a", "b", "c"]


def frame(n: int = 3000, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.normal(size=n),
            "a": rng.choice(np.array(["p", "q", "", None], dtype=object), n),
            "b": rng.integers(0, 500, n),
            "c": rng.choice([0.5, 1.0, np.nan], n),
        }
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have everything kept, and small files read in parts."""
    monkeypatch.setattr(store_keys, "WORTH", 0.0)
    monkeypatch.setattr(kept_answers, "WORTH", 1e9)
    monkeypatch.setattr(plan, "LARGE", 1000)
    monkeypatch.setattr(file_parts, "BLOCK", 20_000)
    dask_parts._held.clear()


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_codes_come_back_as_they_were(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{form}"
    frame().to_parquet(path, row_group_size=900) if form == "parquet" else frame().to_csv(path, index=False)
    for part in read(path).partitions():
        for name in BY:
            first, second = store_keys.stored_codes(part, name, None), store_keys.stored_codes(part, name, None)
            assert (first.hit, second.hit) == (False, True)
            expected = encode.encode_array(name, part.load([name]).column(name))
            for found in (first.codes, second.codes):
                assert found.values.equals(expected.values)
                assert found.codes.dtype == expected.codes.dtype
                np.testing.assert_array_equal(found.codes, expected.codes)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_keys_follow_the_content(form: str, tmp_path: Path) -> None:
    def keys(table: pd.DataFrame, name: str) -> list[str | None]:
        path = tmp_path / f"{name}.{form}"
        table.to_parquet(path, row_group_size=900) if form == "parquet" else table.to_csv(path, index=False)
        return [store_keys.part_key(part, "b") for part in read(path).partitions()]

    first, copy = keys(frame(), "first"), keys(frame(), "copy")
    assert len(first) > 2
    assert None not in first
    assert first == copy
    changed = frame()
    changed.loc[0, "b"] += 1
    other = keys(changed, "other")
    assert other[0] != first[0]
    assert form == "csv" or other[1:] == first[1:]
    first_again = keys(frame(seed=1), "first")  # the same file, written anew
    assert not set(first_again) & set(first)


def test_rows_in_memory_are_not_kept() -> None:
    (part,) = read(frame()).partitions()
    assert store_keys.part_key(part, "a") is None


def ask(path: Path) -> Any:
    return wb.outliers(path, "x", BY, min_ratio=0.5)


def hits(answer: Any) -> float:
    node = answer.explain("dict")["root"]
    while node["op"] != "Encode":
        (node,) = node["children"]
    return float(node["cache_hits"])


def test_c46_a_second_question_on_a_large_file_encodes_nothing(serial: Serial, tmp_path: Path) -> None:
    frame().to_parquet(tmp_path / "t.parquet", row_group_size=900)
    first, second = ask(tmp_path / "t.parquet"), ask(tmp_path / "t.parquet")
    dask_parts._held.clear()  # as on another worker
    third = ask(tmp_path / "t.parquet")
    assert (hits(first), hits(second), hits(third)) == (0.0, 1.0, 1.0)
    pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas())
    pd.testing.assert_frame_equal(first.to_pandas(), third.to_pandas())


def test_a_damaged_store_costs_a_warning(
    serial: Serial, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame().to_parquet(tmp_path / "t.parquet", row_group_size=900)
    first = ask(tmp_path / "t.parquet")
    for file in (home / "store").rglob("*.arrow"):
        file.write_bytes(b"nothing of the kind")
    artefacts._stores.clear()
    dask_parts._held.clear()
    with pytest.warns(WorkbenchWarning, match="damaged") as caught:
        second = ask(tmp_path / "t.parquet")
    assert len(caught) == 1
    pd.testing.assert_frame_equal(first.to_pandas(), second.to_pandas())
    assert hits(second) == 0.0


def test_a_full_store_costs_a_warning(serial: Serial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from workbench.engine import formats

    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    frame().to_parquet(tmp_path / "t.parquet", row_group_size=900)
    monkeypatch.setattr(formats, "write_table", full)
    with pytest.warns(WorkbenchWarning, match="The disk of the store is full") as caught:
        answer = ask(tmp_path / "t.parquet")
    assert len(caught) == 1
    assert len(answer) > 0
