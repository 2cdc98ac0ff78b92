import numpy as np

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
