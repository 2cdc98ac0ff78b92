"""The workloads of the fusion benchmark: seeded inputs, the plain code, and how answers are compared."""

from __future__ import annotations

import functools
import textwrap
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import fusion_jax, fusion_weld
from benchmarks import fusion_peers as peers

__all__ = ["WORKLOADS", "Workload"]

TOLERANCE = 1e-9


@dataclass
class Workload:
    """One computation.

    Attributes
    ----------
    name : str
    rows : int
    names : dict
        What the code reads.
    code : str
        Plain NumPy and pandas; `answer` is what it gives.
    library : str
        "NumPy" or "pandas": whose code it is.
    others : dict
        Peer -> function of the names that returns a function without arguments.
    targets : dict
        Peer -> how many times as long it has to take.
    notes : dict
        Peer -> what makes it not quite the same.
    tolerances : dict
        Peer -> relative tolerance of its answer; "" is everybody's, 1e-9 unless sums cancel.
    """

    name: str
    rows: int
    names: dict[str, Any]
    code: str
    library: str
    others: dict[str, Callable[..., Callable[[], Any]]] = field(default_factory=dict)
    targets: dict[str, float] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    tolerances: dict[str, float] = field(default_factory=dict)

    def contestants(self) -> dict[str, Callable[[], Callable[[], Any]]]:
        """Return what makes each contestant; plain code first, as its answer is the measure."""
        found: dict[str, Callable[[], Callable[[], Any]]] = {self.library: lambda: self._plain}
        found["workbench"] = lambda: self._fused
        found["as a cell"] = lambda: self._cell
        for name, make in self.others.items():
            found[name] = lambda make=make: make(self.names)  # type: ignore[misc]
        return found

    @functools.cached_property
    def function(self) -> Callable[..., Any]:
        """The code as a function of its data: what it names on its way is gone when it returns, as in the peers."""
        scope = {key: value for key, value in self.names.items() if not self._is_data(value)}
        body = textwrap.indent(self.code.strip(), "    ")
        head = f"def work({', '.join(key for key in self.names if key not in scope)}):\n"
        exec(compile(f"{head}{body}\n    return answer\n", "<workload>", "exec"), scope)
        found: Callable[..., Any] = scope["work"]
        return found

    @functools.cached_property
    def fused(self) -> Any:
        """The same function under `wb.fusion.fuse`."""
        from workbench.fusion import fuse

        return fuse(self.function)

    @staticmethod
    def _is_data(value: Any) -> bool:
        return isinstance(value, np.ndarray | pd.DataFrame | pd.Series)

    @functools.cached_property
    def _data(self) -> dict[str, Any]:
        return {key: value for key, value in self.names.items() if self._is_data(value)}

    def _plain(self) -> Any:
        with np.errstate(all="ignore"):
            return self.function(**self._data)

    def _fused(self) -> Any:
        with warnings.catch_warnings(action="ignore"):  # what ran unfused is in the result file
            return self.fused(**self._data)

    def _cell(self) -> Any:
        """Run the code as a cell, after which every name that it wrote is there, whether read or not."""
        from workbench.fusion import run_cell

        with warnings.catch_warnings(action="ignore"):
            return run_cell(self.code, dict(self.names)).names["answer"]

    def plan(self) -> Any:
        """Return the plan of the last fused run."""
        return self.fused.plan

    def same(self, wanted: Any, found: Any, name: str = "") -> bool:
        """Return whether a peer's answer agrees: by key, to its relative tolerance."""
        return _same(wanted, found, self.tolerances.get(name, self.tolerances.get("", TOLERANCE)))


def _same(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, tuple):
        return len(a) == len(b) and all(_same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if isinstance(a, (pd.Series, pd.DataFrame)) and isinstance(b, (pd.Series, pd.DataFrame)):
        a, b = a.sort_index(), b.sort_index()
        if not np.array_equal(np.asarray(a.index), np.asarray(b.index)):
            return False
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype.kind not in "biuf":
        return [str(each) for each in x.ravel()] == [str(each) for each in y.ravel()]
    if x.shape != y.shape:
        return False
    scale = float(np.nanmax(np.abs(x))) if x.size else 0.0
    return bool(np.allclose(x, y, rtol=tolerance, atol=tolerance * scale * 1e-3, equal_nan=True))


# --------------------------------------------------------------------------------------------------------- arrays


def black_scholes(rows: int) -> Workload:
    """Five inputs, call and put."""
    from scipy.special import ndtr

    random = np.random.default_rng(1)
    ranges = {"price": (10, 50), "strike": (10, 50), "t": (1, 2), "rate": (0.01, 0.05), "vol": (0.1, 0.5)}
    names: dict[str, Any] = {key: random.uniform(*ends, rows) for key, ends in ranges.items()}
    code = """
d1 = (np.log(price/strike) + (rate + vol*vol/2)*t) / (vol*np.sqrt(t)); d2 = d1 - vol*np.sqrt(t)
e = strike*np.exp(-rate*t); call = price*ndtr(d1) - e*ndtr(d2); put = e*ndtr(-d2) - price*ndtr(-d1)
answer = call, put
"""
    return Workload(
        "Black-Scholes", rows, {**names, "np": np, "ndtr": ndtr}, code, "NumPy",
        {
            "pandas": peers.black_scholes_pandas, "Polars": peers.black_scholes_polars,
            "Numba": peers.black_scholes_numba, "JAX": fusion_jax.black_scholes,
            "torch.compile": peers.black_scholes_torch, "Weld": fusion_weld.black_scholes,
        },
        {"NumPy": 10, "pandas": 14, "Polars": 8, "Numba": 7, "JAX": 7, "torch.compile": 2.5, "Weld": 6.5},
        {"Polars": "erf by Abramowitz and Stegun 7.1.26: right to 1.5e-7, of prices to 1e-5"},
        tolerances={"": 1e-8, "Polars": 1e-3},  # puts and calls near zero are differences of larger numbers
    )  # fmt: skip


def haversine(rows: int) -> Workload:
    """Distance of each point to one."""
    random = np.random.default_rng(2)
    names: dict[str, Any] = {"lat": random.uniform(-90, 90, rows), "lon": random.uniform(-180, 180, rows), "np": np}
    code = """
lat1, lon1 = 0.70984286, -1.29145282
lat2, lon2 = np.radians(lat), np.radians(lon)
a = np.sin((lat2 - lat1)/2)**2 + np.cos(lat1)*np.cos(lat2)*np.sin((lon2 - lon1)/2)**2
answer = 3959 * 2 * np.arcsin(np.sqrt(a))
"""
    others = {
        "pandas": peers.haversine_pandas, "Polars": peers.haversine_polars, "DuckDB": peers.haversine_duckdb,
        "Numba": peers.haversine_numba, "JAX": fusion_jax.haversine, "torch.compile": peers.haversine_torch,
        "Weld": fusion_weld.haversine,
    }  # fmt: skip
    targets = {
        "NumPy": 10, "pandas": 10, "Polars": 8, "DuckDB": 13, "Numba": 8, "JAX": 7.5, "torch.compile": 1.8, "Weld": 7.5,
    }  # fmt: skip
    return Workload("Haversine", rows, names, code, "NumPy", others, targets)


def nbody(rows: int) -> Workload:
    """Pairwise forces by broadcasting; rows is the number of pairs."""
    count = max(8, int(rows**0.5))
    random = np.random.default_rng(3)
    names: dict[str, Any] = {key: random.normal(size=count) for key in ("x", "y", "z")}
    code = """
dx, dy, dz = x[None, :] - x[:, None], y[None, :] - y[:, None], z[None, :] - z[:, None]
inverse = (dx*dx + dy*dy + dz*dz + 0.01) ** -1.5
answer = (dx*inverse*mass).sum(axis=1), (dy*inverse*mass).sum(axis=1), (dz*inverse*mass).sum(axis=1)
"""
    names |= {"mass": random.uniform(0.5, 2, count), "np": np}
    return Workload("n-body", count * count, names, code, "NumPy", tolerances={"": 1e-7})


def whitening(rows: int) -> Workload:
    """Images of bytes: standardise each pixel, then a logistic regression's answer."""
    from scipy.special import expit

    random = np.random.default_rng(4)
    images = random.integers(0, 256, (max(16, rows // 784), 784), dtype=np.uint8)
    names = {"images": images, "weights": random.normal(0, 0.05, 784), "expit": expit, "np": np}
    code = """
pixels = images.astype("float64") / 255
white = (pixels - pixels.mean(axis=0)) / (pixels.std(axis=0) + 1e-6)
answer = expit((white * weights).sum(axis=1))
"""
    return Workload("image whitening", images.size, names, code, "NumPy", tolerances={"": 1e-8})


def pagerank(rows: int) -> Workload:
    """One step of power iteration over an edge list."""
    random = np.random.default_rng(5)
    count = max(4, rows // 20)
    names = {
        "source": random.integers(0, count, rows), "target": random.integers(0, count, rows),
        "rank": random.uniform(0, 1, count), "count": count, "np": np,
    }  # fmt: skip
    code = """
degree = np.bincount(source, minlength=count)
share = rank / np.maximum(degree, 1)
answer = 0.15 / count + 0.85 * np.bincount(target, weights=share[source], minlength=count)
"""
    return Workload("PageRank step", rows, names, code, "NumPy")


def vector_sum(rows: int) -> Workload:
    """The sum of a vector."""
    x = np.random.default_rng(6).normal(1, 1, rows)
    return Workload("vector sum", rows, {"x": x, "np": np}, "answer = x.sum()", "NumPy")


def map_reduce(rows: int) -> Workload:
    """A map and two reductions."""
    x = np.random.default_rng(7).uniform(0, 2, rows)
    code = "y = np.exp(-x*x) + 2*x + 1\nanswer = y.sum(), y.max()"
    return Workload("map-reduce", rows, {"x": x, "np": np}, code, "NumPy")


# --------------------------------------------------------------------------------------------------------- tables


def _cities(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(8)
    return pd.DataFrame(
        {
            "people": random.uniform(0, 1_000_000, rows), "adults": random.uniform(0, 500_000, rows),
            "robberies": random.uniform(0, 1_000, rows), "state": random.integers(0, 50, rows),
        }
    )  # fmt: skip


def crime_index(rows: int) -> Workload:
    """Filter, weigh, cut off, add up."""
    code = """
big = df[df.people > 500_000]
ci = (big.people + 2*big.adults - 2000*big.robberies) / 1e5
ci = ci.mask(ci >= 0.02, 0.032)
answer = ci.mask(ci < 0.01, 0.005).sum()
"""
    others = {
        "NumPy": peers.crime_numpy, "Polars": peers.crime_polars, "DuckDB": peers.crime_duckdb,
        "Numba": peers.crime_numba, "JAX": fusion_jax.crime, "torch.compile": peers.crime_torch,
        "Weld": fusion_weld.crime,
    }  # fmt: skip
    targets = {
        "pandas": 11, "NumPy": 13, "Polars": 2.5, "DuckDB": 4.5, "Numba": 0.9, "JAX": 2.7, "torch.compile": 1.0,
        "Weld": 4.5,
    }  # fmt: skip
    return Workload("crime index", rows, {"df": _cities(rows).drop(columns="state")}, code, "pandas", others, targets)


def crime_full(rows: int) -> Workload:
    """The same with exp, normalised, and summed by state."""
    code = """
big = df[df.people > 500_000]
ci = np.exp((big.people + 2*big.adults - 2000*big.robberies) / 1e6)
ci = (ci - ci.mean()) / ci.std()
answer = ci.groupby(big.state).sum()
"""
    return Workload(
        "crime index, full", rows, {"df": _cities(rows), "np": np}, code, "pandas",
        tolerances={"": 1e-6},
    )  # fmt: skip


def filter_group(rows: int) -> Workload:
    """B > 0.5, then the sum of A (1 - B) by one of 1,000 keys."""
    random = np.random.default_rng(9)
    df = pd.DataFrame(
        {"A": random.uniform(size=rows), "B": random.uniform(size=rows), "K": random.integers(0, 1000, rows)}
    )
    code = """
few = df[df.B > 0.5]
answer = (few.A * (1 - few.B)).groupby(few.K).sum()
"""
    others = {
        "NumPy": peers.group_numpy, "Polars": peers.group_polars, "DuckDB": peers.group_duckdb,
        "Numba": peers.group_numba, "Numba, predicated": peers.group_numba_predicated,
        "JAX": fusion_jax.group, "torch.compile": peers.group_torch, "Weld, dictmerger": fusion_weld.group_dict,
        "Weld, vecmerger": fusion_weld.group_vec,
    }  # fmt: skip
    targets = {
        "pandas": 7, "NumPy": 8, "Polars": 2.3, "DuckDB": 2.8, "Numba": 2, "Numba, predicated": 0.9, "JAX": 2.5,
        "torch.compile": 0.95, "Weld, dictmerger": 7, "Weld, vecmerger": 2.2,
    }  # fmt: skip
    return Workload("filter and group-by", rows, {"df": df}, code, "pandas", others, targets)


def cleaning(rows: int) -> Workload:
    """Zip codes of 311 calls: five characters, and no 00000."""
    random = np.random.default_rng(10)
    zips = [f"{z:05d}" for z in random.integers(10_000, 11_700, 400)]
    odd = np.array([*zips, *(f"{z}-1234" for z in zips[:80]), "00000"])
    requests = pd.DataFrame({"zip": odd[random.integers(0, len(odd), max(1, rows // 10))]})
    code = """
z = requests["zip"].str.slice(0, 5)
answer = z.mask(z == "00000").dropna().unique()
"""
    return Workload("311 cleaning", len(requests), {"requests": requests}, code, "pandas")


def births(rows: int) -> Workload:
    """The most frequent names of each year and sex, those with lesl, and the share of each sex."""
    random = np.random.default_rng(11)
    many = max(200, rows // 10)
    stems = np.array([f"{a}{b}{c}" for a in "ABCDEFGHKLMN" for b in ("an", "el", "in") for c in "abcdefghijkl"])
    stems = np.concatenate([stems, ["Leslie", "Lesley", "Leslee", "Lesli", "Lesly"]])
    names = pd.DataFrame(
        {
            "name": stems[random.integers(0, len(stems), many)],
            "sex": np.array(["F", "M"])[random.integers(0, 2, many)],
            "year": random.integers(1920, 2010, many), "births": random.permutation(many),
        }
    )  # fmt: skip
    code = """
top = names.sort_values("births", ascending=False).groupby(["year", "sex"]).head(1000)
les = top[top.name.str.lower().str.contains("lesl")]
table = les.pivot_table("births", index="year", columns="sex", aggfunc="sum")
answer = table.div(table.sum(axis=1), axis=0)
"""
    return Workload("birth analysis", many, {"names": names}, code, "pandas")


def movielens(rows: int) -> Workload:
    """Ratings merged with users and titles; the titles that the sexes agree on least."""
    random = np.random.default_rng(12)
    many = max(2000, rows // 10)
    users = pd.DataFrame({"user": np.arange(6000), "sex": np.array(["F", "M"])[random.integers(0, 2, 6000)]})
    movies = pd.DataFrame({"movie": np.arange(3000), "title": [f"Movie {k}" for k in range(3000)]})
    ratings = pd.DataFrame(
        {
            "user": random.integers(0, 6000, many), "movie": (random.pareto(1.5, many) * 60).astype(int) % 3000,
            "rating": random.integers(1, 6, many),
        }
    )  # fmt: skip
    code = """
data = ratings.merge(users, on="user").merge(movies, on="movie")
means = data.pivot_table("rating", index="title", columns="sex", aggfunc="mean")
sizes = data.groupby("title").size()
active = sizes[sizes >= 250].index
spread = data.groupby("title").rating.std().loc[active].sort_values(ascending=False)[:10]
answer = means.loc[active], spread
"""
    return Workload("movielens", many, {"ratings": ratings, "users": users, "movies": movies}, code, "pandas")


def _lineitem(rows: int) -> pd.DataFrame:
    random = np.random.default_rng(13)
    return pd.DataFrame(
        {
            "quantity": random.integers(1, 51, rows).astype(float), "price": random.uniform(900, 105_000, rows),
            "discount": random.integers(0, 11, rows) / 100, "tax": random.integers(0, 9, rows) / 100,
            "returnflag": random.integers(0, 3, rows), "linestatus": random.integers(0, 2, rows),
            "shipdate": random.integers(8035, 10591, rows),
        }
    )  # fmt: skip


def tpch_q1(rows: int) -> Workload:
    """TPC-H Q1 on a generated lineitem; flags are codes."""
    code = """
few = line[line.shipdate <= 10471]
few = few.assign(net=few.price*(1 - few.discount), charge=few.price*(1 - few.discount)*(1 + few.tax))
groups = few.groupby(["returnflag", "linestatus"])
sums = groups[["quantity", "price", "net", "charge"]].sum()
answer = sums, groups[["quantity", "price", "discount"]].mean(), groups.size()
"""
    return Workload("TPC-H Q1", rows, {"line": _lineitem(rows)}, code, "pandas")


def tpch_q6(rows: int) -> Workload:
    """TPC-H Q6 on a generated lineitem."""
    code = """
few = line[(line.shipdate >= 8766) & (line.shipdate < 9131) & (line.discount >= 0.05) & (line.discount <= 0.07)
           & (line.quantity < 24)]
answer = (few.price * few.discount).sum()
"""
    return Workload("TPC-H Q6", rows, {"line": _lineitem(rows)}, code, "pandas")


WORKLOADS: Mapping[str, Callable[[int], Workload]] = {
    "black_scholes": black_scholes, "haversine": haversine, "crime_index": crime_index, "crime_full": crime_full,
    "filter_group": filter_group, "cleaning": cleaning, "births": births, "movielens": movielens, "tpch_q1": tpch_q1,
    "tpch_q6": tpch_q6, "nbody": nbody, "whitening": whitening, "pagerank": pagerank, "vector_sum": vector_sum,
    "map_reduce": map_reduce,
}  # fmt: skip
