"""IMPORT, INTO OUTFILE and paths in FROM."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.anomaly.asking import BASE, explained, frame_of, sample
from workbench.anomaly import sql_tables
from workbench.anomaly.diffs import diff
from workbench.engine.errors import WorkbenchError

MIRROR = Path(os.environ.get("WORKBENCH_MIRROR", "")) / "macrobase"
needs_data = pytest.mark.skipif(not MIRROR.is_dir(), reason="WORKBENCH_MIRROR names no folder with macrobase/")

COUNTS = ["risk_ratio", "global_ratio", "prevalence_ratio", "prevalence_difference"]


@pytest.fixture(autouse=True)
def no_imports(monkeypatch: pytest.MonkeyPatch) -> None:
    """What one test imports no other sees."""
    monkeypatch.setattr(sql_tables, "_imported", {})


texts = st.none() | st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\x00"), max_size=6)


@pytest.mark.slow
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(
        st.tuples(texts, st.none() | st.integers(-(2**62), 2**62), st.none() | st.floats(allow_nan=False)), max_size=8
    ),
    st.sampled_from([",", "\\t", ";", "|"]),
    st.sampled_from(["\\n", "\\r\\n"]),
)
def test_c29_what_is_written_is_read(tmp_path: Path, rows: list[tuple], fields: str, lines: str) -> None:
    path = tmp_path / "it's.csv"
    a, b, c = ([row[i] for row in rows] for i in range(3))
    t = pa.table({"a a": pa.array(a, pa.string()), "b": pa.array(b, pa.int64()), "C": pa.array(c, pa.float64())})
    name = str(path).replace("'", "''")
    written = frame_of(
        f"SELECT * FROM t INTO OUTFILE '{name}' FIELDS TERMINATED BY '{fields}' LINES TERMINATED BY '{lines}'", t=t
    )
    assert len(written) == len(rows)
    got = frame_of(
        f"IMPORT FROM CSV FILE '{name}' INTO again (\"A a\" VARCHAR, b BIGINT, c DOUBLE); SELECT * FROM again"
    )
    assert list(got.columns) == ["A a", "b", "c"]
    assert [None if pd.isna(v) else v for v in got["A a"]] == a
    assert [None if pd.isna(v) else int(v) for v in got["b"]] == b
    assert [None if pd.isna(v) else v for v in got["c"]] == c
    assert not list(tmp_path.glob(".it*"))


def test_c29_other_separators_and_answers_in_files(tmp_path: Path) -> None:
    t = sample()
    path = tmp_path / "out.txt"
    r = explained(
        f"SELECT * FROM {BASE} LIMIT 2 INTO OUTFILE '{path}' FIELDS TERMINATED BY '<>' LINES TERMINATED BY ';'", t=t
    )
    lines = path.read_text().split(";")
    assert lines[0] == "app<>os<>day<>support<>global_ratio<>outlier_count<>total_count"
    first = r.to_pandas().iloc[0]
    cells = ["" if pd.isna(value) else str(value) for value in first]
    assert lines[1].replace('"', "") == "<>".join(cells)
    assert len(lines) == 4 and lines[3] == ""
    with pytest.raises(WorkbenchError, match="No folder for"):
        diff(f"SELECT 1 INTO OUTFILE '{tmp_path}/none/out.csv'")


def test_c29_imports_stay_for_later_scripts(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('usage,where,"n, n"\n1.5,a,3\n,"",\n7,"x ""y""",4\n')
    got = frame_of(f'IMPORT FROM CSV FILE \'{path}\' INTO kept_sample ("n, n" INTEGER, usage DOUBLE, "where" string)')
    assert got["usage"].tolist()[::2] == [1.5, 7.0]
    assert got["where"].tolist() == ["a", "", 'x "y"']
    later = frame_of("SELECT count(usage) AS n FROM kept_sample")
    assert later["n"].tolist() == [2]
    given_ = frame_of("SELECT count(*) AS n FROM kept_sample", kept_sample=pd.DataFrame({"a": [1]}))
    assert given_["n"].tolist() == [1]
    path.write_text("1|2\n3|4\n")
    bare = frame_of(
        f"IMPORT FROM CSV FILE '{path}' INTO kept_bare (a INTEGER, b VARCHAR); SELECT a + 1 AS a, b FROM kept_bare"
    )
    assert bare.to_dict("list") == {"a": [2, 4], "b": ["2", "4"]}
    free = frame_of(f"IMPORT FROM CSV FILE '{path}' INTO kept_free")
    assert len(free) == 1


@pytest.mark.parametrize(
    ("columns", "message", "hint"),
    [
        ("(usge DOUBLE)", 'No column "usge" in {}.', 'Did you mean "usage"? Columns: usage, where'),
        (
            '("where" INTEGER)',
            '"in.csv" has "a" in column "where" on line 2, which is no INTEGER.',
            "Check the types: IMPORT FROM CSV FILE 'f' INTO t (a INTEGER, b VARCHAR)",
        ),
    ],
)
def test_c45_imports_that_fail(tmp_path: Path, columns: str, message: str, hint: str) -> None:
    path = tmp_path / "in.csv"
    path.write_text("usage,where\n1.5,a\n")
    with pytest.raises(WorkbenchError) as caught:
        diff(f"IMPORT FROM CSV FILE '{path}' INTO bad {columns}")
    assert caught.value.lines() == [message.format(path), hint]
    with pytest.raises(WorkbenchError, match=r'No file "nowhere\.csv"'):
        diff("IMPORT FROM CSV FILE 'nowhere.csv' INTO bad (a INTEGER)")


def test_c29_paths_in_from(tmp_path: Path) -> None:
    t = sample()
    pq.write_table(pa.Table.from_pandas(t), tmp_path / "t.parquet")
    t.to_csv(tmp_path / "t.csv", index=False)
    want = explained(f"SELECT * FROM {BASE}", t=t).sets
    for name in ("t.parquet", "t.csv"):
        split = f"DIFF (SPLIT '{tmp_path}/{name}' WHERE x > 90) ON app, day"
        got = explained(f"SELECT * FROM {split} WITH MIN RATIO 0.5 MIN SUPPORT 0.02")
        assert next(line for line in want if "os" not in line) in got.sets
        assert got.n_rows == 400
        assert len(got.rows(0)) == got.to_pandas()["total_count"][0]
    assert frame_of(f"SELECT count(*) AS n FROM '{tmp_path}/t.parquet' a, t WHERE a.x = t.x", t=t.head(1))["n"][0] > 0
