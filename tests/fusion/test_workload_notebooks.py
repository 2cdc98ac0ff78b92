"""The notebooks of the workload list, plain and with `%%fuse` above each cell, in a real shell: all is the same."""

from __future__ import annotations

import contextlib
import io
import re
import types
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import workbench as wb
from tests.fusion.workload_cells import WORKLOADS
from tests.notebook.conftest import real_shell

NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


class Played:
    """What a notebook left behind: values and prints by cell, all names, and which are what they first were."""

    def __init__(self, cells: Sequence[str], head: str) -> None:
        self.values: list[Any] = []
        self.prints: list[str] = []
        shell = real_shell()
        before = dict(shell.user_ns)
        #: name -> object, when its first cell that binds it had run
        first: dict[str, Any] = {}
        try:
            for cell in cells:
                out = io.StringIO()
                with contextlib.redirect_stdout(out), warnings.catch_warnings():
                    warnings.filterwarnings("ignore", ".*unfused")  # told in the plan; counted below
                    found = shell.run_cell(head + cell)
                found.raise_error()
                self.values.append(found.result)
                self.prints.append(out.getvalue())
                for name, value in self._names(shell, before).items():
                    first.setdefault(name, value)
            self.names = self._names(shell, before)
        finally:
            for name in set(shell.user_ns) - set(before):
                if not name.startswith("_"):
                    del shell.user_ns[name]
        self.same_object = {name: value is first[name] for name, value in self.names.items()}

    @staticmethod
    def _names(shell: Any, before: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in shell.user_ns.items() if name not in before and not name.startswith("_")}


def assert_same(ours: Any, plain: Any) -> None:
    assert type(ours) is type(plain)
    if isinstance(plain, pd.DataFrame):
        pd.testing.assert_frame_equal(ours, plain, rtol=1e-9)
    elif isinstance(plain, pd.Series):
        pd.testing.assert_series_equal(ours, plain, rtol=1e-9)
    elif isinstance(plain, pd.Index):
        pd.testing.assert_index_equal(ours, plain)
    elif isinstance(plain, pd.api.extensions.ExtensionArray):
        pd.testing.assert_extension_array_equal(ours, plain)
    elif isinstance(plain, np.ndarray):
        assert ours.dtype == plain.dtype
        if plain.dtype.kind == "f":
            np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-12)
        else:
            np.testing.assert_array_equal(ours, plain)
    elif isinstance(plain, float):
        np.testing.assert_allclose(ours, plain, rtol=1e-9, atol=1e-12)
    elif isinstance(plain, list | tuple):
        assert len(ours) == len(plain)
        for mine, theirs in zip(ours, plain, strict=True):
            assert_same(mine, theirs)
    elif isinstance(plain, dict):
        assert ours.keys() == plain.keys()
        for key in plain:
            assert_same(ours[key], plain[key])
    elif not isinstance(plain, types.ModuleType | types.FunctionType | np.random.Generator):
        assert ours == plain


def assert_same_prints(ours: str, plain: str) -> None:
    """Compare what was printed: words exactly, numbers with a point to 1e-9."""
    assert NUMBER.sub("#", ours) == NUMBER.sub("#", plain)
    np.testing.assert_allclose(
        [float(each) for each in NUMBER.findall(ours)],
        [float(each) for each in NUMBER.findall(plain)],
        rtol=1e-9,
        atol=1e-12,
    )


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_notebook_is_the_same_with_fuse_above_each_cell(name: str) -> None:
    plain = Played(WORKLOADS[name], "")
    ours = Played(WORKLOADS[name], "%%fuse -q\n")
    for mine, theirs in zip(ours.values, plain.values, strict=True):
        assert_same(mine, theirs)
    for mine, theirs in zip(ours.prints, plain.prints, strict=True):
        assert_same_prints(mine, theirs)
    assert ours.names.keys() == plain.names.keys()
    for key, value in plain.names.items():
        assert_same(ours.names[key], value)
    # what was written to stays the object that it was, and nothing else becomes another one
    assert ours.same_object == plain.same_object


#: workload -> operations that pandas or NumPy may do itself, with their reasons; all else has to be compiled
UNFUSED = {
    "crime_full": {"argsort", "idxmax"},
    "vector_sum": set(),
    "tpc_h": {"argsort", "DataFrame"},
    "n_body": {"trace"},
    "map_reduce": set(),
}


@pytest.mark.parametrize("name", UNFUSED)
def test_hardly_anything_runs_unfused(name: str) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    unfused = set()
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.filterwarnings("ignore", ".*unfused")
        for cell in WORKLOADS[name]:
            reasons = wb.fusion.run_cell(cell, names).plan.reasons
            # what the planner keeps apart is compiled all the same
            compiled = reasons.reason.isin(["value needed by Python", "predicted slower fused"])
            unfused |= set(reasons[~compiled].op)
    assert unfused <= UNFUSED[name]


def test_nbclient_runs_one(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    def outputs(head: str) -> list[str]:
        cells = [new_code_cell("%load_ext workbench")]
        cells += [new_code_cell(head + cell) for cell in WORKLOADS["crime_full"]]
        cells += [new_code_cell("print(by_state.round(6).to_dict()); print(big.shape, type(big).__name__)")]
        book = new_notebook(cells=cells)
        NotebookClient(
            book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        nbformat.validate(book)
        return [each.get("text", each.get("data", {}).get("text/plain", "")) for each in book.cells[-1].outputs]

    [plain], [ours] = outputs(""), outputs("%%fuse\n")
    assert_same_prints(ours, plain)
