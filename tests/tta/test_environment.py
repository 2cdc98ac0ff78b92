"""What a run was made with, what disturbed it, and what it used."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from workbench.tta import contention, energy, environment
from workbench.tta.contention import Contention, Sample
from workbench.tta.energy import Counter, EnergyMeter, find_counters
from workbench.tta.sink import MemorySink
from workbench.tta.tracker import Tracker


@pytest.fixture(autouse=True)
def _anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "_machine", {})
    monkeypatch.setattr(environment, "_git", {})


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", *identity, "-C", str(folder), *words], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_c44_what_a_run_was_made_with() -> None:
    with Tracker("r", {"top1": 94}, store=MemorySink()) as t:
        first = t.run.environment
        assert first["python"] and first["host"] and first["cores"] >= 1
    found = t.run.environment
    assert found["platform"] and found["cpu"] and found["memory_gib"] > 0 and "cores of" in found["hardware"]
    import numpy

    assert found["packages"]["numpy"] == numpy.__version__ and "os" not in found["packages"]
    assert isinstance(found["threads"], dict) and found["energy"]


def test_c44_git_tells_the_commit_and_a_hash_of_the_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "git" not in environment.in_time()
    git(tmp_path, "init", "-q")
    (tmp_path / "train.py").write_text("lr = 0.1\n")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "-q", "-m", "a")
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    clean = environment.in_time()["git"]
    assert clean == {"commit": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    hashes = set()
    for rate in ("0.2", "0.3", "0.2"):
        (tmp_path / "train.py").write_text(f"lr = {rate}\n")
        monkeypatch.setattr(environment, "_git", {})
        found = environment.in_time()["git"]
        assert found["dirty"] and found["commit"] == clean["commit"]
        hashes.add(found["diff"])
    assert len(hashes) == 2


def test_c44_a_program_that_does_not_answer_costs_the_fact_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: Any, **__: Any) -> Any:
        raise subprocess.TimeoutExpired("git", 5)

    monkeypatch.setattr(subprocess, "run", late)
    found = environment.in_time()
    assert "git" not in found and found["packages"]


def test_c44_frameworks_and_gpus_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    cuda = types.SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 2, get_device_name=lambda index: "H100",
    )  # fmt: skip
    torch = types.ModuleType("torch")
    torch.__dict__.update(__version__="2.13.0", cuda=cuda, version=types.SimpleNamespace(cuda="13.0"))
    torch.__dict__["get_num_threads"] = lambda: 7
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = environment.in_time()
    assert found["framework"] == "PyTorch 2.13.0" and found["hardware"] == "2 x H100" and found["cuda"] == "13.0"
    assert found["threads"]["torch"] == 7
    # and without it as NVIDIA's own program says
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(environment, "_machine", {})
    monkeypatch.setattr(environment.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(environment, "_said", lambda *words: "H100 80GB, 570.1\nH100 80GB, 570.1\n")
    found = environment.in_time()
    assert found["hardware"] == "2 x H100 80GB" and found["driver"] == "570.1"


# ---------------------------------------------------------------------------------------------------------- contention


def looked(monkeypatch: pytest.MonkeyPatch, *samples: Sample, cores: int = 4) -> Contention:
    monkeypatch.setattr(contention, "cores", lambda: cores)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    todo = iter(samples)
    monkeypatch.setattr(contention, "sample", lambda: next(todo))
    found = Contention()
    for _ in samples[1:]:
        found.look(least=-1e18)
    return found


def at(seconds: float, busy: float = 0.0, own: float = 0.0, stolen: float = 0.0, load: float = 1.0) -> Sample:
    return Sample(1000.0 + seconds, 500.0 + busy, 50.0 + own, 7.0 + stolen, load)


def test_c45_other_work_steal_and_load_are_contention(monkeypatch: pytest.MonkeyPatch) -> None:
    quiet = looked(monkeypatch, at(0), at(2, busy=8.0, own=7.5), at(4, busy=16.0, own=15.0))
    assert not quiet.contended and quiet.told() == {"other_cpu": 0.0625, "steal": 0.0, "load": 1.0, "samples": 2}
    busy = looked(monkeypatch, at(0), at(2, busy=1.0, own=1.0), at(4, busy=4.0, own=3.0), at(6, busy=4.1, own=3.1))
    assert busy.contended and busy.told()["other_cpu"] == 0.125
    assert looked(monkeypatch, at(0), at(2, stolen=1.0)).contended
    assert not looked(monkeypatch, at(0), at(2, stolen=0.5)).contended
    assert looked(monkeypatch, at(0), at(2, load=5.0)).contended
    assert not looked(monkeypatch, at(0), at(2, load=4.2)).contended
    assert looked(monkeypatch, at(0)).told() == {}


def test_c45_the_samples_are_real() -> None:
    first, second = contention.sample(), contention.sample()
    assert first is not None and second is not None and second.busy >= first.busy and second.own >= first.own > 0
    found = Contention()
    assert found.cores >= 1
    found.look(least=-1.0)
    assert found.samples == 1


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="children are told by /proc")
def test_c45_children_are_no_other_work() -> None:
    script = "import sys\nfor i in range(3_000_000): pass\nprint('done', flush=True)\nsys.stdin.read()"
    before = contention._own()
    child = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        spent = sum(os.times()[:4])
        if not any(Path(f"/proc/{os.getpid()}/task").glob("*/children")):
            pytest.skip("this kernel does not list children")
        assert contention._own() > spent and contention._own() > before
    finally:
        child.communicate()


def test_c45_it_is_part_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with Tracker("r", {"top1": 94}, store=MemorySink()) as t:
        assert t._tracking.beside is not None
        t._tracking.beside.contention.contended = True
    assert t.run.record.contended and t._tracking.sink.row["contended"]


# -------------------------------------------------------------------------------------------------------------- energy


def test_c16_a_counter_that_starts_again_is_corrected_by_its_range() -> None:
    readings = iter([900.0, 950.0, 30.0, 60.0, 10.0])
    counter = Counter(lambda: next(readings), 1000.0)
    assert [counter.total() for _ in range(4)] == [50.0, 130.0, 160.0, 1110.0]
    readings = iter([900.0, 950.0, 30.0])  # without a range the driver has begun anew
    counter = Counter(lambda: next(readings))
    assert [counter.total() for _ in range(2)] == [50.0, 80.0]


def test_c16_cpu_packages_are_read_where_they_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, title, micro in (("intel-rapl:0", "package-0", 5_000_000), ("intel-rapl:1", "package-1", 1_000_000),
                               ("intel-rapl:0:0", "core", 7), ("intel-rapl:2", "psys", 9)):  # fmt: skip
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(f"{title}\n")
        (tmp_path / name / "energy_uj").write_text(f"{micro}\n")
        (tmp_path / name / "max_energy_range_uj").write_text("10000000\n")
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    monkeypatch.setitem(sys.modules, "pynvml", None)
    meter = EnergyMeter()
    assert meter.read() is None and meter.reason == "not looked for yet"
    meter.start()
    assert meter.reason == "" and meter.read() == 0
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("2000000\n")  # it has wrapped: 7 J
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("1500000\n")
    assert meter.read() == 7500
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    assert meter.read() is None and meter.reason == "FileNotFoundError while reading the counter"


def test_c16_gpus_tell_their_total(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    totals = [1000, 2000]
    nvml = types.SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetCount=lambda: 2, nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: totals[handle],
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(energy, "_POWERCAP", tmp_path)
    meter = EnergyMeter()
    meter.start()
    totals[:] = [1500, 2250]
    assert meter.read() == 750

    def broken() -> None:
        raise RuntimeError("Driver Not Loaded")

    nvml.nvmlInit = broken
    assert find_counters() == ([], "NVML: Driver Not Loaded; no CPU package counter")
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_counters() == ([], "nvidia-ml-py is not installed; no CPU package counter")


def test_c16_a_run_tells_its_energy_or_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.tta.energy.find_counters", lambda: ([], "no counter here"))
    with Tracker("r", {"top1": 94}, max_energy=5, store=MemorySink()) as t:
        beside = t._tracking.beside
        assert beside is not None
        while not beside.looked:
            pass
        with pytest.warns(match="Energy is not measurable") as said:
            t.eval(top1=lambda: 95.0)
    assert str(said[0].message) == "Energy is not measurable: no counter here.\nmax_energy= is not watched."
    assert t.run.environment["energy"] == "no counter here" and t.run.evals["energy_j"].isna().all()
    readings = iter(range(0, 10**9, 4000))
    monkeypatch.setattr("workbench.tta.energy.find_counters", lambda: ([Counter(lambda: float(next(readings)))], ""))
    with Tracker("r", {"top1": 94}, store=MemorySink()) as t:
        beside = t._tracking.beside
        assert beside is not None
        while not beside.looked:
            pass
        t.eval(top1=lambda: 90.0)
        t.eval(top1=lambda: 95.0)
    joules = t.run.evals["energy_j"].tolist()
    assert joules[1] > joules[0] > 0 and t.run.energy_to() == joules[1] and "energy" not in t.run.environment


# ---------------------------------------------------------------------------------------------------- distributed runs


def test_other_ranks_are_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.tta.history import runs

    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        with Tracker("r", {"top1": 94}) as t:
            place = t.checkpoint_dir
            with t.span("train"):
                t.eval(top1=lambda: 95.0)
        assert t._tracking.rank == int(rank) and place.name == "seed-none"
    assert len(runs("r")) == 1
    from workbench.tta.store import open_store

    open_store().close()
