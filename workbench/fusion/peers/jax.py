"""JAX: one jitted function, 64-bit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workbench.fusion.expr import Expr
from workbench.fusion.peers.tensors import Traced

__all__ = ["build"]


def build(exprs: Sequence[Expr], threads: int) -> Callable[[], list[Any]]:
    """Return a function that runs jitted code; the size of XLA's thread pool is not ours to say."""
    import jax  # type: ignore[import-not-found,unused-ignore]
    import jax.numpy as jnp  # type: ignore[import-not-found,unused-ignore]

    traced = Traced(exprs, torch=False)
    scope: dict[str, Any] = {"jax": jax, "jnp": jnp}
    exec(traced.source, scope)
    with jax.enable_x64(True):
        inputs = [jnp.asarray(each.data) for each in traced.leaves]
        compiled = jax.jit(scope["traced"])

    def run() -> list[Any]:
        with jax.enable_x64(True):
            return traced.finish([np.asarray(each) for each in jax.block_until_ready(compiled(*inputs))])

    return run
