"""Labels of any detector: bool, -1 and 1, 0 and 1, fitted objects."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import frames
from workbench.anomaly.labels import marks_of, marks_of_array
from workbench.anomaly.language import request
from workbench.engine.errors import WorkbenchError

DF = pd.DataFrame({"a": list("xyxyx"), "n": range(5)})
HINT = "Pass a bool array: labels == 1 or labels == -1."
HINT_EACH = "Give one label a row, in order."


def marks(labels: Any) -> list[int]:
    return np.flatnonzero(marks_of(frames.read(DF), labels)).tolist()


def said(labels: Any, data: pd.DataFrame = DF) -> list[str]:
    with pytest.raises(WorkbenchError) as error:
        marks_of(frames.read(data), labels)
    return error.value.lines()


@pytest.mark.parametrize(
    ("values", "outliers"),
    [
        ([True, False, True, False, False], [0, 2]),
        ([True, None, True, False, False], [0, 2]),
        ([-1, 1, 1, -1, 1], [0, 3]),
        ([0, 1, 1, 0, 0], [1, 2]),
        ([0, 0, 0, 0, 0], []),
        ([-1, -1, -1, -1, -1], [0, 1, 2, 3, 4]),
        ([-1, 0, 1, 2, 3], [0]),
        ([0, 1, None, None, 0], [1]),
        ([1.0, 0.0, float("nan"), 1.0, 0.0], [0, 3]),
        ([-1.0, 1.0, 1.0, 1.0, 1.0], [0]),
        ([True] * 5, [0, 1, 2, 3, 4]),
        ([None] * 5, []),
    ],
)
@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        lambda v: np.array(v, object if None in v else None),
        lambda v: pd.Series(v, index=range(10, 15)),
        lambda v: pd.Series(v).convert_dtypes(),
        lambda v: pl.Series(v, strict=False),
        lambda v: pa.array(v, from_pandas=True),
        lambda v: pa.chunked_array([pa.array(v, from_pandas=True)]),
    ],
)
def test_c08_labels_of_any_detector(values: list[Any], outliers: list[int], form: Any) -> None:
    assert marks(form(values)) == outliers


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.float32, np.bool_])
def test_c08_labels_of_any_numpy_type(kind: Any) -> None:
    assert marks(np.array([0, 1, 0, 1, 0]).astype(kind)) == [1, 3]
    assert marks(np.array([[0], [1], [0], [1], [0]]).astype(kind)) == [1, 3]


def test_c08_a_column_marks_the_rows() -> None:
    df = DF.assign(label=[0, 1, 0, 0, 1], text="x")
    assert np.flatnonzero(marks_of(frames.read(df), "label")).tolist() == [1, 4]
    assert said("text", df) == ["A label is text; it must be true or false, -1 or 1, or 0 or 1.", HINT]
    assert said("lable", df)[0] == 'No column "lable" in the table.'


def test_c08_fitted_objects_give_their_labels() -> None:
    from sklearn.cluster import DBSCAN
    from sklearn.ensemble import IsolationForest

    x = np.array([[0.0], [0.1], [0.2], [0.1], [9.0]])
    clusters = DBSCAN(eps=0.5, min_samples=2).fit(x)
    assert marks(clusters) == [4]
    forest = IsolationForest(random_state=0, contamination=0.2).fit(x)
    assert marks(forest.predict(x)) == [4]
    assert said(forest) == [
        "IsolationForest has no labels_.",
        "Fit it first, or pass what it says: labels=model.predict(X).",
    ]


@pytest.mark.filterwarnings("ignore")
def test_c08_pyod_says_0_and_1() -> None:
    from pyod.models.knn import KNN

    model = KNN(n_neighbors=1, contamination=0.2)
    model.fit(np.array([[0.0], [0.1], [0.2], [0.1], [9.0]]))
    assert marks(model) == [4]


@pytest.mark.parametrize("one", [1, 1.0])
def test_every_label_one(one: Any) -> None:
    assert said([one] * 5) == ["Every label is 1: normal in scikit-learn, outlier in PyOD.", HINT]
    assert said([one, None, one, one, one]) == ["Every label is 1: normal in scikit-learn, outlier in PyOD.", HINT]


def test_length() -> None:
    df = pd.DataFrame({"a": range(1000)})
    assert said(np.zeros(900), df) == ["labels has 900 entries for 1,000 rows.", "Give one label a row, in order."]


def test_what_is_no_label() -> None:
    assert said([0, 1, 2, 3, 0]) == ["labels holds 2, 3; a label is true or false, -1 or 1, or 0 or 1.", HINT]
    assert said([0.5, 0, 1, 1, 0])[0] == "labels holds fractions; a label is true or false, -1 or 1, or 0 or 1."
    assert said(list("abcde")) == ["A label is text; it must be true or false, -1 or 1, or 0 or 1.", HINT]
    assert said([0, "a", 1, 1, 0]) == ["labels holds values of several types.", HINT]
    assert said(np.zeros((5, 2)))[0] == "labels has 2 dimensions; it is one label a row."
    assert said(3)[0] == "labels has 0 dimensions; it is one label a row."
    assert said(x for x in range(5)) == ["labels is a generator; it is one label a row.", HINT_EACH]
    assert said({}) == ["labels is a dict; it is one label a row.", HINT_EACH]
    assert said(SimpleNamespace(labels_=None))[0] == "SimpleNamespace has no labels_."


@given(st.lists(st.sampled_from([-1, 0, 1, None, True]), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_c08_by_the_rule(values: list[Any]) -> None:
    integers = [None if value is None else int(value) for value in values]
    held = {value for value in integers if value is not None}
    array = pa.array(integers, pa.int64())
    if held == {1}:
        with pytest.raises(WorkbenchError):
            marks_of_array(array)
        return
    outlier = -1 if -1 in held else 1
    assert marks_of_array(array).tolist() == [value == outlier for value in integers]


def test_labels_become_positions_in_a_spec() -> None:
    asked = request(frames.read(DF), by=["a"], labels=np.array([1, -1, 1, 1, -1]))
    spec = asked.spec()
    assert spec["labels"] == {"rows": 5, "outliers": [1, 4]}
    assert marks(spec["labels"]) == [1, 4]
    assert said({"rows": 4, "outliers": []}) == ["labels has 4 entries for 5 rows.", "Give one label a row, in order."]


def test_c08_a_dask_series_marks_a_dask_frame(cluster: None) -> None:
    import dask.dataframe as dd

    df = DF.assign(label=[-1, 1, 1, -1, 1])
    frame = dd.from_pandas(df, npartitions=2)
    data = frames.read(frame)
    assert np.flatnonzero(marks_of(data, frame["label"])).tolist() == [0, 3]
    assert np.flatnonzero(marks_of(data, "label")).tolist() == [0, 3]
    assert np.flatnonzero(marks_of(data, df["label"])).tolist() == [0, 3]
