"""The order of answers: the strongest first, and every tie broken by what is written, never by chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from workbench.anomaly.sets import Found, Sets

__all__ = ["rank", "rank_sets"]


def rank(found: Found, values: Sequence[Any]) -> NDArray[np.int64]:
    """Return the positions of `found.answers` in rank order; see `rank_sets`."""
    return rank_sets(found.answers, values)


def rank_sets(sets: Sets, values: Sequence[Any]) -> NDArray[np.int64]:
    """Return the positions of sets in rank order.

    Value descending; support descending; fewer values first; then positions of the columns; then the values, null
    first, numbers by size, text by code point, ranges by size.

    Parameters
    ----------
    sets : Sets
    values : sequence of pyarrow.Array or Codes
        For each column, the value of each code; `Codes` where a column may be of ranges, whose text does not tell
        their order.

    Returns
    -------
    int64 array (m,)
    """
    if not len(sets):
        return np.empty(0, np.int64)
    keys: list[NDArray] = []
    places: NDArray[np.int64] = np.zeros(sets.codes.shape, np.int64)
    for c in np.unique(sets.columns):
        if c >= 0:
            here = sets.columns == c
            places[here] = _places(values[c], sets.codes[here])
    # lexsort looks at its last key first
    keys.extend(places[:, k] for k in reversed(range(places.shape[1])))
    keys.extend(sets.columns[:, k] for k in reversed(range(sets.columns.shape[1])))
    keys += [sets.sizes, -sets.support, -sets.value]
    return np.lexsort(keys).astype(np.int64)


def _places(values: Any, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the value of each code stands in the order of values; only these codes are looked at."""
    import pyarrow as pa
    import pyarrow.compute as pc

    used, where = np.unique(codes, return_inverse=True)
    ranges = getattr(values, "edges", None) is not None
    array = getattr(values, "values", values)
    if array.type == pa.string_view():  # Arrow can neither take nor sort these
        array = array.cast(pa.large_string())
    chosen = array.take(pa.array(used))
    if pa.types.is_dictionary(chosen.type):
        chosen = chosen.dictionary_decode()
    places = np.empty(len(used), np.int64)
    if ranges:  # codes ascend with the edges; null is a further code
        null = np.asarray(pc.is_null(chosen))
        places[:] = np.where(null, -1, used)
    else:
        order = pc.array_sort_indices(chosen, null_placement="at_start")
        places[np.asarray(order)] = np.arange(len(used))
    return places[where]
