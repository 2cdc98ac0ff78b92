"""Small work: programs whose loops are one chunk each, run again on arrays of the same form.

All that depends on lengths and strides is worked out once; a run fills in addresses and calls the code.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.fusion.cpu import memory
from workbench.fusion.cpu.address import address

if TYPE_CHECKING:
    from workbench.fusion.cpu.kernel import Compiled

__all__ = ["Single"]

Chunk = tuple[int, int, int, int]


class Single:
    """A program on arrays of one form.

    Parameters
    ----------
    code : Compiled
    sizes : mapping of str to int
    table : array of int64
        As the first run made it, whose addresses are replaced.
    given, made : mapping of str to ndarray
        The inputs as that run had them, and what it made: outputs, and what lies between.
    chunks : list of tuple
        Of each loop the one that it has.
    scratch : int
        Bytes for tiles.
    """

    def __init__(
        self,
        code: Compiled,
        sizes: Mapping[str, int],
        table: array[int],
        given: Mapping[str, np.ndarray],
        made: Mapping[str, np.ndarray],
        chunks: list[Chunk],
        scratch: int,
    ) -> None:
        slots = code.layout.addresses
        self._sizes, self._table, self._scratch = dict(sizes), table[:], scratch
        self._given = [(name, slots[name], x.shape, x.strides, x.dtype) for name, x in given.items()]
        self._made: list[tuple[str, int, Any, np.dtype, Callable[..., np.ndarray]]] = [
            (name, slots[name], x.shape, x.dtype, memory.zeros if name in code.partly else memory.empty)
            for name, x in made.items()
        ]
        self._outputs, self._all = code.outputs, list(made) == code.outputs
        self._loops = [
            (facts.function, facts.start, chunk, [pair for m in facts.merges for pair in zip(m[2], m[3], strict=True)])
            for facts, chunk in zip(code.facts, chunks, strict=True)
        ]

    def run(self, buffers: Mapping[str, np.ndarray], sizes: Mapping[str, int]) -> dict[str, np.ndarray] | None:
        """Return the outputs; None if the arrays are of another form."""
        if sizes != self._sizes:
            return None
        table = self._table[:]
        for name, slot, shape, strides, dtype in self._given:
            each = buffers[name]
            # a single value may come as a scalar, whose memory is elsewhere
            if type(each) is not np.ndarray or each.strides != strides or each.shape != shape:
                return None
            if each.dtype is not dtype:
                return None
            table[slot] = address(each)
        made = {}
        for name, slot, shape, dtype, make in self._made:
            found = made[name] = buffers[name] if name in buffers else make(shape, dtype)
            table[slot] = address(found)
        scratch = 0
        if self._scratch:
            tiles = np.empty(self._scratch + 64, np.uint8)
            scratch = -(-address(tiles) // 64) * 64
        start = table.buffer_info()[0]
        for function, record, chunk, results in self._loops:
            record = record[:]
            function(start, record.buffer_info()[0], scratch, *chunk)
            for slot, place in results:
                table[place] = record[slot]
        return made if self._all else {name: made[name] for name in self._outputs}
