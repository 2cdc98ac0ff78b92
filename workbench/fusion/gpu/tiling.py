"""How a task is cut into tiles: rows and columns of each, parts that reductions are split into, warps."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workbench.fusion.gpu.tasks import WHOLE, Task

__all__ = ["Tile", "power_of_two", "tile_of"]


def power_of_two(n: int) -> int:
    """Return the least power of two that is not below a number."""
    return 1 << max(0, n - 1).bit_length()


@dataclass(frozen=True)
class Tile:
    """How a task is cut into tiles.

    Attributes
    ----------
    rows : int
        Of a tile.
    columns : int
        Of a step along the longest side; all of it if the task's rows are whole.
    whole : bool
        Whether a tile holds all columns.
    pieces : int
        How many parts reductions are split into; a part takes `length` columns, or every so many tiles of rows.
    length : int
    count : int
        Tiles altogether.
    warps : int
    """

    rows: int
    columns: int
    whole: bool
    pieces: int
    length: int
    count: int
    warps: int


def tile_of(task: Task, units: int, small: int = WHOLE, symbolic: bool = False) -> Tile:
    """Return how a task is cut.

    Parameters
    ----------
    task : Task
    units : int
        Of the device.
    small : int
        Elements that a row may have to be held whole.
    symbolic : bool
        Whether the cut is to be the same for any number of rows.
    """
    sides = [int(side[1:]) for side in task.sides]
    longest = max(sides, default=1)
    if task.mode == "flat":
        columns = 1024 if symbolic else min(1024, power_of_two(longest))
        return Tile(1, columns, True, 1, columns, math.ceil(longest / columns), 4)
    first = task.works[0]
    moving = [axis for axis in first.axes if axis is not None]
    down = bool(moving) and moving[-1].side == "r" and bool(sides)  # neighbours in memory are rows
    if task.mode == "split":
        store = first.how == "store"
        rows = 32 if store else 64 if down else 1
        rows = min(rows, power_of_two(task.rows))
        columns = min(32 if store or down else 2048, power_of_two(longest))
        steps, high = math.ceil(longest / columns), math.ceil(task.rows / rows)
        pieces = steps if store else max(1, min(steps, _below(4 * units / high)))
        length = math.ceil(steps / pieces) * columns
        pieces = math.ceil(longest / length)
        return Tile(rows, columns, False, pieces, length, high * pieces, 4)
    if down and longest > 16:
        rows, columns = min(64, power_of_two(task.rows)), min(32, power_of_two(longest))
        return Tile(rows, columns, columns >= longest, 1, longest, math.ceil(task.rows / rows), 4)
    if first.how == "finish":
        rows = min(16, power_of_two(task.rows))
        return Tile(rows, 1, True, 1, 1, math.ceil(task.rows / rows), 4)
    whole = longest <= small
    columns = power_of_two(longest) if whole else 2048
    rows = max(1, 512 // columns if symbolic else min(2048 // columns, power_of_two(task.rows)))
    while not symbolic and rows * columns > 256 and rows > 1 and task.rows / rows < units:
        rows //= 2
    count = math.ceil(task.rows / rows)
    warps = max(1, min(16, rows * columns // 512))
    if task.across:
        pieces = _below(2 * units) if symbolic else max(1, min(count, _below(2 * units)))
        return Tile(rows, columns, True, pieces, rows, pieces, warps)
    return Tile(rows, columns, whole, 1, longest, count, warps)


def _below(n: float) -> int:
    """Return the largest power of two that is not above a number, 1 at least."""
    return 1 << max(0, int(n).bit_length() - 1)
