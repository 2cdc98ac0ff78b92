"""The kernels give what NumPy gives, bit for bit, however the rows are stored and whichever way is taken."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.anomaly import compiled, counting, kernels, loading
from workbench.anomaly.counting import Rows, rows_of
from workbench.anomaly.explain import Found, Rules, search
from workbench.anomaly.lattice import Lattice
from workbench.anomaly.numbers import Number

TYPES = ("u1", "u2", "u4")


def random_columns(rng: np.random.Generator, n: int, cards: list[int]) -> list[np.ndarray]:
    """Return codes of which small ones are the most frequent, in types in turn."""
    return [
        np.minimum(rng.geometric(0.3, n) - 1, card - 1).astype("u4" if card > 60000 else TYPES[i % 3])
        for i, card in enumerate(cards)
    ]


def lattice_of(columns: list[np.ndarray], cards: list[int]) -> Lattice:
    pairs = [(c, code) for c, codes in enumerate(columns) for code in np.unique(codes).tolist()]
    return Lattice(np.array([c for c, _ in pairs], np.int32), np.array([v for _, v in pairs], np.int64), len(cards))


def all_sets(lattice: Lattice, k: int) -> np.ndarray:
    items = range(lattice.size)
    sets = [s for s in combinations(items, k) if len({int(lattice.columns[i]) for i in s}) == k]
    return np.array(sets, np.int32).reshape(len(sets), k)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 511, 512, 513, 5000, 70_001])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_c17_counts_of_sets_equal_numpy_at_any_length(n: int, k: int) -> None:
    rng = np.random.default_rng(n + k)
    cards = [3, 6, 4, 2, 7]
    columns = random_columns(rng, n, cards)
    lattice = lattice_of(columns, cards)
    sets = all_sets(lattice, k)
    ours, twin = rows_of(columns, cards, kernels), rows_of(columns, cards)
    masks = [columns[lattice.columns[i]] == lattice.codes[i] for i in range(lattice.size)]
    plain = np.array([np.logical_and.reduce([masks[i] for i in s]).sum() for s in sets], np.int64)
    np.testing.assert_array_equal(ours.count(lattice, sets)[0], plain)
    np.testing.assert_array_equal(twin.count(lattice, sets)[0], plain)
    if k == 1:
        np.testing.assert_array_equal(ours.values(lattice.columns, lattice.codes)[0], plain)
        np.testing.assert_array_equal(twin.values(lattice.columns, lattice.codes)[0], plain)


@pytest.mark.parametrize("way", ["bitmaps", "walked bitmaps", "tables", "keys", "chunks"])
def test_c17_each_way_of_counting_gives_the_same(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    cards = [5, 300, 4, 70_000]
    columns = random_columns(rng, 5000, cards)
    lattice = lattice_of(columns, cards)
    number = Number(rng.normal(10, 3, 5000))
    expected = {k: Rows(columns, cards, [number]).count(lattice, all_sets(lattice, k)) for k in (1, 2, 3)}
    if way == "walked bitmaps":
        monkeypatch.setattr(compiled, "MAPPED", (0, 0, 0, 0, 0))
    if way in ("tables", "keys"):
        monkeypatch.setattr(counting, "MANY", 0)
        monkeypatch.setattr(counting, "CELLS", 1 << 30 if way == "tables" else 0)
        monkeypatch.setattr(Rows, "heavy", 0)
        monkeypatch.setattr(compiled.CompiledRows, "heavy", 0)
    if way == "chunks":
        monkeypatch.setattr(counting, "CHUNK", 1024)
    for numbers in ([], [number]):
        for rows in (rows_of(columns, cards, kernels, numbers), rows_of(columns, cards, None, numbers)):
            for k, (t, sums) in expected.items():
                found, totals = rows.count(lattice, all_sets(lattice, k))
                np.testing.assert_array_equal(found, t)
                for mine, other in zip(totals, sums, strict=False):
                    np.testing.assert_array_equal(mine, other)


def test_c21_histograms_of_all_sizes_of_codes() -> None:
    rng = np.random.default_rng(0)
    cards = [256, 65536, 1_000_000]
    columns = [rng.integers(0, card, 50_000).astype(kind) for card, kind in zip(cards, TYPES, strict=True)]
    ours = rows_of(columns, cards, kernels)
    for c, card in enumerate(cards):
        np.testing.assert_array_equal(ours.histogram(c), np.bincount(columns[c], minlength=card))


def test_sums_are_exact_and_rounded_once() -> None:
    import math

    rng = np.random.default_rng(3)
    columns, cards = random_columns(rng, 3000, [3, 4]), [3, 4]
    lattice = lattice_of(columns, cards)
    sets = all_sets(lattice, 2)
    x = rng.normal(size=3000) * 10.0 ** rng.integers(-200, 200, 3000)
    for rows in (rows_of(columns, cards, kernels, [Number(x)]), rows_of(columns, cards, None, [Number(x)])):
        _, (sums,) = rows.count(lattice, sets)
        masks = [(columns[0] == lattice.codes[a]) & (columns[1] == lattice.codes[b]) for a, b in sets]
        assert sums.tolist() == [math.fsum(x[mask]) for mask in masks]


def same_bytes(one: Found, other: Found) -> None:
    for name in ("columns", "codes", "o", "t", "value", "support"):
        assert getattr(one.answers, name).tobytes() == getattr(other.answers, name).tobytes(), name
    assert one.tested_o.tobytes() == other.tested_o.tobytes() and one.tested_t.tobytes() == other.tested_t.tobytes()
    assert one.candidates == other.candidates and one.dependencies == other.dependencies
    for mine, theirs in zip(one.moments_out or (), other.moments_out or (), strict=True):
        assert mine.tobytes() == theirs.tobytes()


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["risk_ratio", "prevalence_difference", "mean_shift", "mean_deviation"]),
    st.booleans(),
    st.integers(1, 5),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_c47_the_same_bytes_with_and_without_numba_and_for_permuted_rows(
    seed: int, compare: str, weighted: bool, combo: int, minimal: bool
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 3000))
    cards = rng.integers(1, 9, int(rng.integers(1, 7))).tolist()
    columns = [(rng.integers(0, card, n) * rng.integers(0, 2, n)).astype(TYPES[seed % 3]) for card in cards]
    flags = rng.random(n) < rng.choice([0.02, 0.3])
    metric = rng.normal(100, 10, n).round(3)
    weights = rng.random(n).round(2) if weighted else None
    rules = Rules(compare, float(rng.choice([0.0, 0.01, 0.1])), float(rng.choice([0.2, 1.0, 1.4])), combo, minimal)

    def asked(order: np.ndarray) -> Found:
        return search(
            [codes[order] for codes in columns],
            cards,
            flags[order],
            rules,
            weights=None if weights is None else weights[order],
            metric=metric[order],
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loading.kernels, "loaded", kernels)
        fast, shuffled = asked(np.arange(n)), asked(rng.permutation(n))
        patch.setattr(loading.kernels, "loaded", None)
        patch.setattr(loading.kernels, "failed", True)
        slow = asked(np.arange(n))
    same_bytes(fast, slow)
    same_bytes(fast, shuffled)


def test_c48_small_tables_load_no_numba() -> None:
    code = """
        import sys
        import numpy as np
        from workbench.anomaly.explain import Rules, search
        rng = np.random.default_rng(0)
        search([rng.integers(0, 5, 300_000).astype(np.uint8)] * 2, [5, 5], rng.random(300_000) < 0.01, Rules())
        assert "numba" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], check=True)


def test_kernels_are_loaded_for_large_tables_and_after_many_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading.kernels, "loaded", None)
    monkeypatch.setattr(loading.kernels, "thread", None)
    monkeypatch.setattr(loading.kernels, "_seen", 0)
    assert loading.kernels(0) is None and loading.kernels(1000) is None and loading.kernels.thread is None
    found = [loading.kernels(100_000) for _ in range(50)]
    assert found[0] is None and loading.kernels.thread is not None
    loading.kernels.thread.join()
    assert loading.kernels(10) is kernels


def test_a_machine_without_numba_still_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("no such processor")

    monkeypatch.setattr(loading.kernels, "loaded", None)
    monkeypatch.setattr(loading.kernels, "failed", False)
    monkeypatch.setattr(kernels, "load", broken)
    with pytest.warns(match="fast counting is not available"):
        loading.kernels.load()
    assert loading.kernels(10**9) is None


@pytest.mark.parametrize("kept", [True, False])
def test_a_read_only_package_keeps_its_kernels_in_the_store(
    kept: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path if kept else tmp_path / "file"
    monkeypatch.setenv("WORKBENCH_HOME", str(home))
    if not kept:
        home.write_text("no folder can be made here")
    monkeypatch.setattr(loading, "_writable", lambda folder: False)
    fresh = loading.Kernel(kernels.histogram.function, kernels.histogram.signature)
    codes, table = np.array([0, 1, 1, 2], np.uint8), np.zeros(3, np.int32)
    fresh(compiled.address(codes), 1, 0, 0, 0, 0, 4, compiled.address(table))
    assert table.tolist() == [1, 2, 1]
    assert bool(list(tmp_path.glob("numba/**/*.nbi"))) == kept


def test_kernels_are_kept_by_what_they_are_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))
    monkeypatch.setattr(loading, "_writable", lambda folder: False)

    def kept() -> set[str]:
        loading.Kernel(kernels.histogram.function, kernels.histogram.signature).load()
        return {path.name for path in tmp_path.glob("numba/**/*.nbi")}

    once = kept()
    assert len(once) == 1 and kept() == once
    monkeypatch.setattr(loading, "_digest", lambda source: "other")  # as after an upgrade
    assert len(kept() - once) == 1
