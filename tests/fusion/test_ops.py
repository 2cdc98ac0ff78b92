from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest

from workbench.fusion.ops import DTYPES, OPS, REDUCERS, call_dtype, loop_dtypes, reduce_dtype

KINDS = [*sorted(DTYPES, key=str), int, float, bool]


@pytest.mark.parametrize("name", sorted(OPS))
def test_dtypes_are_those_of_numpy(name: str) -> None:
    op = OPS[name]
    for kinds in itertools.product(KINDS, repeat=op.arity) if op.arity < 3 else [(k, k, k) for k in KINDS[:-3]]:
        if all(isinstance(kind, type) for kind in kinds):
            continue
        inputs = [kind(1) if isinstance(kind, type) else np.ones(1, kind) for kind in kinds]
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            try:
                wanted = op.function(*inputs).dtype
            except TypeError:
                with pytest.raises(TypeError):
                    call_dtype(name, kinds)
                continue
        assert call_dtype(name, kinds) == wanted, kinds
        assert loop_dtypes(name, kinds)[-1] == wanted


@pytest.mark.parametrize("name", sorted(set(REDUCERS) - {"count", "first", "last"}))
def test_reductions_have_the_dtype_of_numpy(name: str) -> None:
    for dtype in DTYPES:
        assert reduce_dtype(name, dtype, None) == np.asarray(getattr(np, name)(np.ones(3, dtype))).dtype
