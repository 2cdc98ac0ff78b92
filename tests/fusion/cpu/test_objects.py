"""Object code in the store: found by the next process, made again where it is damaged."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from tests.fusion.cpu.programs import Maker
from workbench.engine.errors import WorkbenchWarning
from workbench.engine.store import store
from workbench.fusion import cpu
from workbench.fusion.cpu import machine, objects
from workbench.fusion.loop import Program


def program(factor: float = 2.0, exact: bool = False) -> Program:
    maker = Maker()
    n = maker.size("n")
    maker.buffer("a", "float64", (n,))
    maker.buffer("o", "float64", (n,), "out")
    body = maker.body()
    body.store("o", ("i",), (body.v(body.load("a", "i")) * factor).id)
    maker.loop([("i", n)], body)
    return maker.program(exact)


def doubled(kernel: cpu.Compiled) -> list[float]:  # type: ignore[name-defined]
    return list(kernel.run({"a": np.arange(3.0)}, {"n": 3})["o"])


def test_c47_code_is_made_once() -> None:
    first, second = cpu.compile(program()), cpu.compile(program())
    assert (first.cache, second.cache) == ("miss", "disk")
    assert doubled(first) == doubled(second) == [0.0, 2.0, 4.0]


def test_c47_code_survives_the_process(home: Path) -> None:
    text = (
        "import tests.fusion.cpu.test_objects as t\nfrom workbench.fusion import cpu\n"
        "k = cpu.compile(t.program())\nprint(k.cache, t.doubled(k))"
    )
    told = [
        subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout for _ in "ab"
    ]
    assert told == ["miss [0.0, 2.0, 4.0]\n", "disk [0.0, 2.0, 4.0]\n"] or [t.split()[0] for t in told] == [
        "miss",
        "disk",
    ]


@pytest.mark.parametrize("left", [b"", b"not code", None])
def test_damaged_code_warns_and_is_made_again(left: bytes | None) -> None:
    cpu.compile(program())
    key = store().entries()["key"][0]
    path = store().get_file(key)
    assert path is not None
    path.write_bytes(path.read_bytes()[:100] if left is None else left)
    with pytest.warns(WorkbenchWarning, match=r"A stored kernel was damaged and is compiled again\.\nNothing to do\."):
        kernel = cpu.compile(program())
    assert kernel.cache == "miss" and doubled(kernel) == [0.0, 2.0, 4.0]
    assert cpu.compile(program()).cache == "disk"


def test_a_store_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("WORKBENCH_HOME", str(blocked))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert doubled(cpu.compile(program())) == [0.0, 2.0, 4.0]


def test_the_key_tells_programs_widths_and_exactness_apart() -> None:
    from workbench.fusion.loop import text

    hosts = [machine.host(), machine.host(128)]
    keys = {objects.key_of(text(p), h) for p in (program(), program(3.0), program(exact=True)) for h in hosts}
    assert len(keys) == 3 * len(set(hosts))


def test_clear_drops_kernels_and_nothing_else() -> None:
    cpu.compile(program())
    store().put_json("ab12", 1, kind="other")
    cpu.clear()
    assert store().entries()["kind"].tolist() == ["other"]
    assert cpu.compile(program()).cache == "miss"
