from __future__ import annotations

import numpy as np
import pytest

import workbench as wb
from workbench.fusion import expr as ir
from workbench.fusion import interpret
from workbench.fusion.lower import like, lower
from workbench.fusion.plan import pack, partition
from workbench.fusion.run import force

RNG = np.random.default_rng(3)
X, Y, M = RNG.normal(size=700), RNG.normal(size=300), RNG.normal(size=(40, 30))


def roots() -> list[ir.Expr]:
    x, y, m = ir.leaf(X), ir.leaf(Y), ir.leaf(M)
    return [
        ir.reduce_("sum", ir.map_("exp", x)),
        ir.map_("sqrt", ir.map_("absolute", y)),
        ir.reduce_("mean", m, [1]),
        ir.reduce_("argmax", y),
        ir.scan("cumsum", ir.leaf(RNG.normal(size=50))),
        ir.gather(x, ir.leaf(np.array([3, -1, 5]))),
    ]


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_c30_work_that_shares_nothing_is_one_kernel(device: str) -> None:
    nodes = roots()
    values, plan = force(nodes, device=device)
    [kernel] = plan.kernels
    assert (kernel.kind, kernel.scheme, plan.launches) == ("reduce", "packed", 1)
    assert len(kernel.ops) == plan.kernels_before == 8
    assert plan.bytes_after <= plan.bytes_before
    for value, wanted in zip(values, force(nodes, device="eager")[0], strict=True):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
        assert np.asarray(value).dtype == np.asarray(wanted).dtype


def test_threads_give_a_pack_the_same_bits() -> None:
    x, y = ir.leaf(RNG.normal(size=200_000)), ir.leaf(RNG.normal(size=150_000))
    nodes = [ir.reduce_("sum", ir.map_("sin", x)), ir.reduce_("var", y), ir.map_("cos", y)]
    first, plan = force(nodes, threads=1)
    assert plan.kernels[0].scheme == "packed"
    for value, other in zip(first, force(nodes, threads=3)[0], strict=True):
        assert np.asarray(value).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("device", ["cpu", "interpreter"])
def test_a_joined_array_is_packed_with_its_own_lengths(device: str) -> None:
    a, b = (wb.fusion.array(each) for each in (X, X[::-1]))
    y = np.hypot(a, b)
    t = y - b
    found, twice = wb.fusion.compute(y, np.concatenate([t, t]), device=device)
    wanted = np.hypot(X, X[::-1])
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(twice, np.concatenate([wanted - X[::-1]] * 2), rtol=1e-12, atol=1e-12)


def test_what_one_needs_of_the_other_is_not_packed_with_it() -> None:
    m = ir.leaf(M)
    column = ir.reduce_("mean", ir.map_("exp", m), [0])
    _, plan = force([ir.map_("sqrt", ir.map_("absolute", column)), ir.reduce_("sum", ir.map_("exp", m), [0])])
    assert [each.scheme for each in plan.kernels].count("packed") == 0


def test_a_pack_goes_up_to_so_many_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MOST_OPS", 3)
    wb.fusion.cache_clear(disk=False)
    values, plan = force(roots())
    assert len(plan.kernels) > 1 and max(len(each.ops) for each in plan.kernels) <= 3
    assert len({each.name for each in plan.kernels}) == len(plan.kernels)
    assert {row.kernel for row in plan.op_rows} == {each.name for each in plan.kernels}
    for value, wanted in zip(values, force(roots()[:4], device="eager")[0], strict=False):
        np.testing.assert_allclose(value, wanted, rtol=1e-12)
    wb.fusion.cache_clear(disk=False)


def test_an_index_out_of_bounds_is_told_from_within_a_pack() -> None:
    x, y = ir.leaf(X), ir.leaf(Y)
    nodes = [ir.reduce_("sum", x), ir.gather(y, ir.leaf(np.array([1, 300, 2])))]
    with pytest.raises(IndexError, match="out of bounds"):
        force(nodes)


def test_joined_programs_keep_names_and_numbers_apart() -> None:
    programs = []
    for node in (ir.reduce_("sum", ir.map_("exp", ir.leaf(X))), ir.reduce_("max", ir.leaf(M), [1])):
        parts = partition.partition([node])
        programs.append(lower(parts.groups[0], parts, lambda leaf: like(leaf.dtype, leaf.shape), "k").program)  # type: ignore[arg-type]
    both, names = pack.joined(*programs)
    three, again = pack.joined(both, programs[1])
    assert len({each.name for each in three.buffers}) == len(three.buffers)
    assert not set(names.values()) & set(again.values())
    given = {"a0": X, names["a0"]: M, again["a0"]: -M}
    sizes = {programs[0].sizes[0]: 700}
    for taken in (names, again):
        sizes.update({taken[name]: (40, 30)[k] for k, name in enumerate(programs[1].sizes)})
    found = interpret.run(three, given, sizes)
    np.testing.assert_allclose(found["o0"], np.exp(X).sum())
    np.testing.assert_array_equal(found[names["o0"]], M.max(1))
    np.testing.assert_array_equal(found[again["o0"]], (-M).max(1))
