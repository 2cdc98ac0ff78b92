from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import workbench
from workbench.engine import store as store_module
from workbench.engine.errors import WorkbenchError, WorkbenchWarning
from workbench.engine.store import Store, home, key, store

A, B, C = key("a"), key("b"), key("c")


@pytest.fixture
def kept(tmp_path: Path) -> Store:
    return Store(tmp_path / "kept")


def files(kept: Store) -> list[Path]:
    return sorted(path for path in kept.root.rglob("*") if path.is_file())


def test_tables_come_back_with_schema_and_metadata(kept: Store) -> None:
    schema = pa.schema([("frame", pa.int64()), ("score", pa.float32())], metadata={"video": "cam1"})
    table = pa.table({"frame": [1, 2, None], "score": [0.5, None, 1.0]}, schema=schema)
    assert kept.get_table(A) is None
    assert kept.put_table(A, table, kind="detections", cost_s=2.0)
    found = kept.get_table(A)
    assert found is not None
    assert found.equals(table, check_metadata=True)
    assert kept.has(A)
    assert not kept.has(B)


def test_an_empty_table(kept: Store) -> None:
    table = pa.table({"frame": pa.array([], pa.int64())})
    assert kept.put_table(A, table, kind="detections")
    found = kept.get_table(A)
    assert found is not None
    assert found.equals(table)


def test_arrays_of_any_name(kept: Store) -> None:
    arrays = {"file": np.arange(3), "x/y": np.zeros((0, 4)), "": np.array("text"), "mask": np.array([True, False])}
    assert kept.put_arrays(A, arrays, kind="tracks")
    found = kept.get_arrays(A)
    assert found is not None
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_arrays_of_objects_are_refused(kept: Store) -> None:
    with pytest.raises(TypeError, match="array 'a' holds Python objects"):
        kept.put_arrays(A, {"a": np.array([{}], dtype=object)}, kind="tracks")
    assert files(kept) == []


def test_json(kept: Store) -> None:
    value = {"ms": 1.5, "names": ["a", None]}
    assert kept.put_json(A, value, kind="figures")
    assert kept.get_json(A) == value
    assert kept.get_json(B) is None


def test_files_from_bytes_and_paths(kept: Store, tmp_path: Path) -> None:
    path = kept.put_file(A, b"clip", suffix=".mp4", kind="clip", cost_s=1.0)
    assert path is not None
    assert path.suffix == ".mp4"
    assert path.read_bytes() == b"clip"
    assert kept.get_file(A) == path
    source = tmp_path / "source.bin"
    source.write_bytes(b"model")
    copied = kept.put_file(B, source, suffix=".onnx", kind="asset")
    assert copied is not None
    assert copied.read_bytes() == b"model"
    assert source.exists()


def test_a_missing_source_is_the_error_of_the_caller(kept: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        kept.put_file(A, tmp_path / "none.mp4", suffix=".mp4", kind="clip")


def test_a_kind_of_content_is_not_read_as_another(kept: Store) -> None:
    kept.put_json(A, [1], kind="figures")
    assert kept.get_table(A) is None
    assert kept.get_arrays(A) is None
    assert kept.get_json(A) == [1]


def test_a_second_write_replaces_the_first(kept: Store) -> None:
    kept.put_json(A, [1], kind="figures")
    kept.put_json(A, [2], kind="figures")
    assert kept.get_json(A) == [2]
    assert len(files(kept)) == 2  # one data file, one that names it
    assert len(kept.entries()) == 1


def test_entries_and_clear(kept: Store) -> None:
    begin = time.time()
    kept.put_json(A, [1], kind="figures", cost_s=0.5)
    time.sleep(0.01)
    kept.put_file(B, b"12345", suffix=".bin", kind="asset", cost_s=7)
    frame = kept.entries()
    assert list(frame.columns) == ["key", "kind", "bytes", "created", "used", "cost_s"]
    assert [str(dtype) for dtype in frame.dtypes[2:]] == ["int64", "float64", "float64", "float64"]
    assert frame["key"].tolist() == [B, A]
    assert frame["kind"].tolist() == ["asset", "figures"]
    assert frame["bytes"].tolist() == [5, 3]
    assert frame["cost_s"].tolist() == [7.0, 0.5]
    assert (frame["created"] >= begin - 1).all()
    assert kept.clear()["key"].tolist() == [B, A]
    assert len(kept.entries()) == 0
    assert [str(dtype) for dtype in kept.entries().dtypes[2:]] == ["int64", "float64", "float64", "float64"]
    assert kept.get_json(A) is None


def test_using_an_entry_is_noted(kept: Store) -> None:
    kept.put_json(A, [1], kind="figures")
    os.utime(kept.root / A[:2] / f"{A}.json", (1000, 1000))
    assert kept.entries()["used"].tolist() == [1000.0]
    kept.get_json(A)
    assert kept.entries()["used"][0] > 1e9


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "sidecar"])
def test_a_damaged_file_is_dropped_with_one_warning(kept: Store, damage: str) -> None:
    kept.put_table(A, pa.table({"a": list(range(1000))}), kind="detections")
    kept.put_table(B, pa.table({"a": list(range(1000))}), kind="detections")
    for name in (A, B):
        (data,) = kept.root.glob(f"??/{name}-*")
        if damage == "flip":
            content = bytearray(data.read_bytes())
            content[len(content) // 2] ^= 1
            data.write_bytes(content)
        elif damage == "cut":
            data.write_bytes(data.read_bytes()[:100])
        elif damage == "empty":
            data.write_bytes(b"")
        elif damage == "gone":
            data.unlink()
        else:
            (data.parent / f"{name}.json").write_bytes(b'{"file": ')
    with pytest.warns(WorkbenchWarning, match="was damaged and has been dropped"):
        assert kept.get_table(A) is None
    assert kept.get_table(B) is None  # a second warning would be an error
    assert not kept.has(A)
    assert kept.get_table(A) is None
    assert kept.put_table(A, pa.table({"a": [1]}), kind="detections")
    assert kept.get_table(A) is not None


def test_damage_after_a_first_look_is_found(kept: Store) -> None:
    path = kept.put_file(A, b"12345", suffix=".bin", kind="asset")
    assert path is not None
    path.write_bytes(b"1234x")
    os.utime(path, ns=(0, 0))
    with pytest.warns(WorkbenchWarning, match="damaged"):
        assert kept.get_file(A) is None


def test_a_killed_writer_leaves_no_half_file(tmp_path: Path) -> None:
    code = f"""
import os, signal, sys
import pyarrow as pa
from workbench.engine import store
kept = store.Store({str(tmp_path / "kept")!r})
step = sys.argv[1]
if step == "data":       # killed while the data is being written
    hashed = store._sha256
    store._sha256 = lambda path: os.kill(os.getpid(), signal.SIGKILL)
else:                    # killed between the data and the file that names it
    replaced = os.replace
    def replace(a, b):
        if str(b).endswith(".json"):
            os.kill(os.getpid(), signal.SIGKILL)
        replaced(a, b)
    os.replace = replace
kept.put_table({A!r}, pa.table({{"a": [2] * 1000}}), kind="detections")
"""
    kept = Store(tmp_path / "kept")
    kept.put_table(A, pa.table({"a": [1]}), kind="detections")
    environment = os.environ | {"PYTHONPATH": str(Path(workbench.__file__).parents[1])}
    for step in ("data", "name"):
        done = subprocess.run([sys.executable, "-c", code, step], env=environment, check=False)
        assert done.returncode == -signal.SIGKILL
        found = Store(tmp_path / "kept").get_table(A)  # a warning would be an error
        assert found is not None
        assert found.to_pydict() == {"a": [1]}
    left = set(files(kept)) - {kept.root / A[:2] / f"{A}.json", *kept.root.glob(f"??/{A}-*.arrow")}
    assert left  # what the killed ones had written under temporary names
    for path in files(kept):
        os.utime(path, (1, 1))
    kept.evict()
    assert len(files(kept)) == 2
    found = kept.get_table(A)
    assert found is not None
    assert found.to_pydict() == {"a": [1]}


def test_the_cheapest_per_byte_goes_first(tmp_path: Path) -> None:
    kept = Store(tmp_path / "kept", limit="10kB")
    costs = {"cheap": 0.1, "dear": 10.0, "middle": 1.0}
    for name, cost in costs.items():
        assert kept.put_file(key(name), os.urandom(3000), suffix=".bin", kind="clip", cost_s=cost)
    assert len(kept.entries()) == 3
    assert kept.put_file(key("new"), os.urandom(3000), suffix=".bin", kind="clip", cost_s=0.0)
    assert {name for name in [*costs, "new"] if kept.has(key(name))} == {"dear", "middle", "new"}
    # A small dear entry is worth more for each byte than a large one of the same cost.
    assert kept.put_file(key("small"), os.urandom(100), suffix=".bin", kind="clip", cost_s=5.0)
    assert kept.put_file(key("large"), os.urandom(4000), suffix=".bin", kind="clip", cost_s=5.0)
    assert kept.has(key("small"))
    assert kept.entries()["bytes"].sum() <= 10_000


def test_of_equal_cost_the_longest_unused_goes_first(tmp_path: Path) -> None:
    kept = Store(tmp_path / "kept", limit="10kB")
    for number, name in enumerate("abc"):
        kept.put_file(key(name), os.urandom(3000), suffix=".bin", kind="clip", cost_s=1.0)
        os.utime(kept.root / key(name)[:2] / f"{key(name)}.json", (1000 + number, 1000 + number))
    kept.get_file(key("a"))
    kept.put_file(key("d"), os.urandom(3000), suffix=".bin", kind="clip", cost_s=1.0)
    assert [name for name in "abcd" if kept.has(key(name))] == ["a", "c", "d"]


def test_the_bound_holds_over_several_processes(tmp_path: Path) -> None:
    first, second = (Store(tmp_path / "kept", limit="10kB") for _ in range(2))
    for number in range(6):
        first.put_file(key(number), os.urandom(1500), suffix=".bin", kind="clip", cost_s=1.0)
    second.put_file(key("s"), os.urandom(1500), suffix=".bin", kind="clip", cost_s=1.0)
    assert second.entries()["bytes"].sum() <= 10_000


def test_an_evicted_entry_is_missing_without_a_warning(kept: Store) -> None:
    kept.put_json(A, [1], kind="figures")
    other = Store(kept.root)
    other.clear()
    assert kept.get_json(A) is None


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_warns_once_and_the_work_goes_on(kept: Store, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    kept.put_json(A, [1], kind="figures")

    def full(*arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", full)
    monkeypatch.setattr(shutil, "copyfile", full)
    monkeypatch.setattr(pa, "OSFile", full)
    with pytest.warns(WorkbenchWarning, match="The disk of the store is full: results are not kept"):
        assert not kept.put_json(B, [2], kind="figures")
    assert not kept.put_table(B, pa.table({"a": [1]}), kind="detections")  # a second warning would be an error
    assert kept.put_file(B, __file__, suffix=".py", kind="asset") is None
    assert kept.get_json(A) == [1]
    assert not kept.has(B)
    assert len(files(kept)) == 2


def test_a_store_that_cannot_be_made_warns_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    kept = Store(tmp_path / "file" / "store")
    with pytest.warns(WorkbenchWarning, match="cannot be written"):
        assert not kept.put_json(A, [1], kind="figures")
    assert not kept.put_json(A, [1], kind="figures")
    assert kept.get_json(A) is None
    assert not kept.has(A)
    assert len(kept.entries()) == 0


def test_threads_may_write_and_read_together(kept: Store) -> None:
    errors = []

    def work(number: int) -> None:
        try:
            with warnings.catch_warnings():
                for step in range(30):
                    kept.put_json(A, [number, step], kind="figures")
                    found = kept.get_json(A)
                    assert found is None or len(found) == 2
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert kept.get_json(A) is not None
    assert len(kept.entries()) == 1


def test_a_key_is_no_path(kept: Store) -> None:
    with pytest.raises(ValueError, match="letters and digits"):
        kept.get_json("../../etc/passwd")


def test_the_store_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert store() is store()
    assert store().root == home() / "store"
    assert store().limit == 20 * 2**30
    monkeypatch.setenv("WORKBENCH_STORE_LIMIT", "3MiB")
    assert store().limit == 3 * 2**20
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "elsewhere"))
    assert store().root == tmp_path / "elsewhere" / "store"
    monkeypatch.setenv("WORKBENCH_STORE_LIMIT", "3")
    with pytest.raises(WorkbenchError, match="limit is a size"):
        store()


def test_home_defaults_to_the_cache_of_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WORKBENCH_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert home().name == "workbench"
    if sys.platform == "linux":
        assert home() == tmp_path / "cache" / "workbench"
        assert home().stat().st_mode & 0o777 == 0o700


def test_columns_are_those_of_the_magic() -> None:
    assert list(store_module.COLUMNS) == ["key", "kind", "bytes", "created", "used", "cost_s"]
