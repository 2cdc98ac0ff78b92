"""JAX as a peer of the fusion benchmark: `jit` on one thread, in float64, inputs already on its device."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["black_scholes", "crime", "group", "haversine"]

Names = Mapping[str, Any]
Run = Callable[[], Any]
LAT1, LON1 = 0.70984286, -1.29145282
ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


@functools.cache
def _jax() -> Any:
    os.environ.setdefault("XLA_FLAGS", ONE_THREAD)  # read when the package starts
    import jax

    jax.config.update("jax_enable_x64", True)
    return jax


def _run(function: Callable[..., Any], *arrays: np.ndarray) -> Run:
    jax = _jax()
    compiled, held = jax.jit(function), [jax.numpy.asarray(each) for each in arrays]

    def run() -> Any:
        found = jax.block_until_ready(compiled(*held))
        return tuple(np.asarray(each) for each in found) if isinstance(found, tuple) else np.asarray(found)

    return run


def _columns(names: Names, *wanted: str) -> list[np.ndarray]:
    return [np.ascontiguousarray(names["df"][each].to_numpy()) for each in wanted]


def black_scholes(names: Names) -> Run:
    """Call and put."""
    jnp, ndtr = _jax().numpy, _jax().scipy.special.ndtr

    def formula(price: Any, strike: Any, t: Any, rate: Any, vol: Any) -> Any:
        d1 = (jnp.log(price / strike) + (rate + vol * vol / 2) * t) / (vol * jnp.sqrt(t))
        d2 = d1 - vol * jnp.sqrt(t)
        e = strike * jnp.exp(-rate * t)
        return price * ndtr(d1) - e * ndtr(d2), e * ndtr(-d2) - price * ndtr(-d1)

    return _run(formula, *(names[key] for key in ("price", "strike", "t", "rate", "vol")))


def haversine(names: Names) -> Run:
    """The distance of each point to one."""
    jnp, cosine = _jax().numpy, float(np.cos(LAT1))

    def formula(lat: Any, lon: Any) -> Any:
        lat2, lon2 = jnp.radians(lat), jnp.radians(lon)
        a = jnp.sin((lat2 - LAT1) / 2) ** 2 + cosine * jnp.cos(lat2) * jnp.sin((lon2 - LON1) / 2) ** 2
        return 3959 * 2 * jnp.arcsin(jnp.sqrt(a))

    return _run(formula, names["lat"], names["lon"])


def crime(names: Names) -> Run:
    """Filter by a mask, weigh, cut off, add up."""
    jnp = _jax().numpy

    def formula(people: Any, adults: Any, robberies: Any) -> Any:
        x = (people + 2 * adults - 2000 * robberies) / 1e5
        x = jnp.where(x >= 0.02, 0.032, x)
        x = jnp.where(x < 0.01, 0.005, x)
        return jnp.where(people > 500_000, x, 0.0).sum()

    return _run(formula, *_columns(names, "people", "adults", "robberies"))


def group(names: Names) -> Run:
    """Filter by a mask and add to 1,000 sums."""
    jnp = _jax().numpy

    def formula(a: Any, b: Any, k: Any) -> Any:
        return jnp.zeros(1000).at[k].add(jnp.where(b > 0.5, a * (1 - b), 0.0))

    run = _run(formula, *_columns(names, "A", "B", "K"))
    return lambda: pd.Series(run())
