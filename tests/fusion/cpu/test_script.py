import numpy as np
import pytest

from workbench.fusion.cpu import combine
from workbench.fusion.cpu.script import Script


def test_lines_are_done_in_order_and_addresses_may_change_between_two_calls():
    a, b, c, other = np.arange(5.0), np.zeros(5), np.zeros(5), np.zeros(5)
    script = Script()
    script()  # nothing
    script.copy(b.ctypes.data, a.ctypes.data, 24, (a, b))
    word = script.copy(c.ctypes.data, b.ctypes.data, 40, (b, c))
    script()
    assert b.tolist() == c.tolist() == [0, 1, 2, 0, 0]
    a[:] = 7
    script.words[word] = other.ctypes.data
    script()
    assert other.tolist() == [7, 7, 7, 0, 0]
    assert c.tolist() == [0, 1, 2, 0, 0]


@pytest.mark.parametrize("kinds", [("float64", "float64"), ("float64", "float32"), ("float32",) * 2, ("int64",) * 2])
@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 4, 33), (3, 1, 5), (2, 4, 128), (16, 8, 17)])
def test_tables_are_added_up_in_the_order_of_numpy(kinds, shape):
    table, out = kinds
    random = np.random.default_rng(sum(shape))
    for wide in (1, 3):  # alone, and a field of a row of several
        whole = np.zeros((*shape[:2], shape[2] + 1, wide), table)
        whole[...] = random.normal(size=whole.shape) * 10.0 ** random.integers(-3, 9, whole.shape)
        if table != "int64":
            whole[0, 0, 0], whole[-1, -1, 1] = np.inf, np.nan
        tables = whole[:, :, :-1, wide - 1]
        [wanted] = combine.tables("+", table, [tables])
        found = np.empty(shape[2], out)
        assert Script.adds(tables, found)
        script = Script()
        script.add(tables, found)
        script()
        np.testing.assert_array_equal(found, wanted.astype(out))


def test_what_numpy_adds_in_another_order_is_left_to_it():
    assert not Script.adds(np.zeros((16, 4, 1)), np.zeros(1))  # one key: in pairs
    assert not Script.adds(np.zeros((2, 4, 8), bool), np.zeros(8, bool))
    assert not Script.adds(np.zeros((2, 4, 8)), np.zeros(16)[::2])
