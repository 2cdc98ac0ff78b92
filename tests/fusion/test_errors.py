from __future__ import annotations

import pytest

from workbench.engine.errors import WorkbenchError
from workbench.fusion import errors

TEXTS = [
    (errors.cannot_fuse(object(), table=True), TypeError, "Cannot fuse a value of type object."),
    (errors.requires_grad(), TypeError, "This tensor requires grad."),
    (errors.no_gpu(), Exception, "No CUDA device is available."),
    (errors.interpreter_off(), Exception, "The Triton interpreter is off."),
    (errors.exact_on_gpu(), Exception, "exact=True runs on the CPU only."),
    (errors.arch_differs("cuda:sm_80", "sm_90"), Exception, "This plan is for cuda:sm_80, not sm_90."),
    (errors.unknown_peer("matlab"), Exception, 'Unknown peer "matlab".'),
    (errors.out_of_memory("9 GB", "2 GB"), Exception, "Not enough memory: the plan needs 9 GB, 2 GB is free."),
    (errors.fuse_of_module(), TypeError, "fuse() takes a function, not a torch module."),
    (errors.no_column("pric", ["price", "b"]), KeyError, 'No column "pric".'),
    (errors.shapes_differ((2,), (3,), "add", 7), ValueError, "Shapes (2,) and (3,) do not broadcast (add, line 7)."),
]


@pytest.mark.parametrize(("error", "kind", "message"), TEXTS)
def test_texts(error: errors.FusionError, kind: type[Exception], message: str) -> None:
    assert isinstance(error, kind) and isinstance(error, WorkbenchError)
    assert error.message == message and error.hint
    assert str(error) == "\n".join(error.lines())


def test_hints() -> None:
    assert errors.no_column("pric", ["price", "b"]).hint == 'Did you mean "price"? Columns: price, b.'
    assert errors.no_column("zzz", list("abcdefghij")).hint == "Columns: a, b, c, d, e, f, g, h."
    assert errors.unknown_peer("x").hint == "Peers: numpy, pandas, numba, polars, jax, inductor."
    assert errors.arch_differs("cpu", "sm_90").hint == 'Plan again with device="cuda:sm_90".'


@pytest.mark.parametrize(
    ("warn", "text"),
    [
        (lambda: errors.warn_fallback("apply", 3), r"apply ran in pandas, unfused \(line 3\)\."),
        (lambda: errors.warn_leaf_changed("x"), '"x" was changed outside the plan before it ran.'),
        (errors.warn_damaged, "A stored kernel was damaged and is compiled again."),
    ],
)
def test_warnings(warn: object, text: str) -> None:
    assert callable(warn)
    with pytest.warns(match=text):
        warn()
