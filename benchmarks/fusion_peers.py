"""Hand-written peers of the fusion benchmark: each takes the names of a workload and returns what runs."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

Names = Mapping[str, Any]
Run = Callable[[], Any]
ALL = ("price", "strike", "t", "rate", "vol")
LAT1, LON1 = 0.70984286, -1.29145282


@functools.cache
def _njit(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    compiled: Callable[..., Any] = numba.njit(function)
    return compiled


def _torch(function: Callable[..., Any], *arrays: np.ndarray) -> Run:
    import torch

    torch.set_num_threads(1)
    compiled = torch.compile(function)
    tensors = [torch.from_numpy(np.ascontiguousarray(each)) for each in arrays]

    def run() -> Any:
        with torch.no_grad():
            found = compiled(*tensors)
        return tuple(each.numpy() for each in found) if isinstance(found, tuple) else found.numpy()

    return run


# Black-Scholes


def black_scholes_pandas(names: Names) -> Run:
    from scipy.special import ndtr

    columns = {key: pd.Series(names[key], copy=False) for key in ALL}

    def run() -> Any:
        price, strike, t, rate, vol = (columns[key] for key in ALL)
        d1 = (np.log(price / strike) + (rate + vol * vol / 2) * t) / (vol * np.sqrt(t))
        d2 = d1 - vol * np.sqrt(t)
        e = strike * np.exp(-rate * t)
        return price * ndtr(d1) - e * ndtr(d2), e * ndtr(-d2) - price * ndtr(-d1)

    return run


def black_scholes_polars(names: Names) -> Run:
    import polars as pl

    table = pl.DataFrame({key: names[key] for key in ALL}).lazy()
    price, strike, t, rate, vol = (pl.col(key) for key in ALL)

    def ndtr(x: Any) -> Any:  # Abramowitz and Stegun 7.1.26, as Polars has no erf
        z = x.abs() * 0.7071067811865476
        k = 1 / (1 + 0.3275911 * z)
        steps = ((((1.061405429 * k - 1.453152027) * k + 1.421413741) * k - 0.284496736) * k + 0.254829592) * k
        tail = 0.5 * steps * (-z * z).exp()
        return pl.when(x < 0).then(tail).otherwise(1 - tail)

    d1 = ((price / strike).log() + (rate + vol * vol / 2) * t) / (vol * t.sqrt())
    d2 = d1 - vol * t.sqrt()
    e = strike * (-rate * t).exp()
    call, put = price * ndtr(d1) - e * ndtr(d2), e * ndtr(-d2) - price * ndtr(-d1)
    query = table.select(call.alias("call"), put.alias("put"))

    def run() -> Any:
        found = query.collect(engine="streaming")
        return found["call"].to_numpy(), found["put"].to_numpy()

    return run


def _black_scholes_loop(price, strike, t, rate, vol):  # type: ignore[no-untyped-def]
    call, put = np.empty_like(price), np.empty_like(price)
    for i in range(len(price)):
        root = vol[i] * math.sqrt(t[i])
        d1 = (math.log(price[i] / strike[i]) + (rate[i] + vol[i] * vol[i] / 2) * t[i]) / root
        d2 = d1 - root
        e = strike[i] * math.exp(-rate[i] * t[i])
        half = 0.7071067811865476
        call[i] = price[i] * 0.5 * math.erfc(-d1 * half) - e * 0.5 * math.erfc(-d2 * half)
        put[i] = e * 0.5 * math.erfc(d2 * half) - price[i] * 0.5 * math.erfc(d1 * half)
    return call, put


def black_scholes_numba(names: Names) -> Run:
    kernel = _njit(_black_scholes_loop)
    return lambda: kernel(*(names[key] for key in ALL))


def black_scholes_torch(names: Names) -> Run:
    import torch

    def formula(price: Any, strike: Any, t: Any, rate: Any, vol: Any) -> Any:
        d1 = (torch.log(price / strike) + (rate + vol * vol / 2) * t) / (vol * torch.sqrt(t))
        d2 = d1 - vol * torch.sqrt(t)
        e = strike * torch.exp(-rate * t)
        ndtr = torch.special.ndtr
        return price * ndtr(d1) - e * ndtr(d2), e * ndtr(-d2) - price * ndtr(-d1)

    return _torch(formula, *(names[key] for key in ALL))


# haversine


def haversine_pandas(names: Names) -> Run:
    lat, lon = pd.Series(names["lat"], copy=False), pd.Series(names["lon"], copy=False)

    def run() -> Any:
        lat2, lon2 = np.radians(lat), np.radians(lon)
        a = np.sin((lat2 - LAT1) / 2) ** 2 + np.cos(LAT1) * np.cos(lat2) * np.sin((lon2 - LON1) / 2) ** 2
        return (3959 * 2 * np.arcsin(np.sqrt(a))).to_numpy()

    return run


def haversine_polars(names: Names) -> Run:
    import polars as pl

    table = pl.DataFrame({"lat": names["lat"], "lon": names["lon"]}).lazy()
    lat2, lon2 = pl.col("lat").radians(), pl.col("lon").radians()
    a = ((lat2 - LAT1) / 2).sin() ** 2 + float(np.cos(LAT1)) * lat2.cos() * ((lon2 - LON1) / 2).sin() ** 2
    query = table.select((3959 * 2 * a.sqrt().arcsin()).alias("answer"))
    return lambda: query.collect(engine="streaming")["answer"].to_numpy()


def haversine_duckdb(names: Names) -> Run:
    cosine = float(np.cos(LAT1))
    query = f"""select 3959*2*asin(sqrt(pow(sin((radians(lat) - {LAT1})/2), 2)
        + {cosine}*cos(radians(lat))*pow(sin((radians(lon) - {LON1})/2), 2))) as answer from given"""
    connection = _duckdb({"lat": names["lat"], "lon": names["lon"]})
    return lambda: connection.execute(query).fetchnumpy()["answer"]


def haversine_numba(names: Names) -> Run:
    def loop(lat, lon, lat1, lon1):  # type: ignore[no-untyped-def]
        out = np.empty_like(lat)
        cosine = np.cos(lat1)
        for i in range(len(lat)):
            lat2, lon2 = np.radians(lat[i]), np.radians(lon[i])
            a = np.sin((lat2 - lat1) / 2) ** 2 + cosine * np.cos(lat2) * np.sin((lon2 - lon1) / 2) ** 2
            out[i] = 3959 * 2 * np.arcsin(np.sqrt(a))
        return out

    kernel = _njit(loop)
    return lambda: kernel(names["lat"], names["lon"], LAT1, LON1)


def haversine_torch(names: Names) -> Run:
    import torch

    def formula(lat: Any, lon: Any) -> Any:
        lat2, lon2 = torch.deg2rad(lat), torch.deg2rad(lon)
        cosine = float(np.cos(LAT1))
        a = torch.sin((lat2 - LAT1) / 2) ** 2 + cosine * torch.cos(lat2) * torch.sin((lon2 - LON1) / 2) ** 2
        return 3959 * 2 * torch.asin(torch.sqrt(a))

    return _torch(formula, names["lat"], names["lon"])


# crime index


def _columns(names: Names, *wanted: str) -> list[np.ndarray]:
    return [np.ascontiguousarray(names["df"][each].to_numpy()) for each in wanted]


def crime_numpy(names: Names) -> Run:
    people, adults, robberies = _columns(names, "people", "adults", "robberies")

    def run() -> Any:
        big = people > 500_000
        x = (people[big] + 2 * adults[big] - 2000 * robberies[big]) / 1e5
        x = np.where(x >= 0.02, 0.032, x)
        return np.where(x < 0.01, 0.005, x).sum()

    return run


def crime_polars(names: Names) -> Run:
    import polars as pl

    table = pl.DataFrame({each: names["df"][each].to_numpy() for each in names["df"]}).lazy()
    x = (pl.col("people") + 2 * pl.col("adults") - 2000 * pl.col("robberies")) / 1e5
    x = pl.when(x >= 0.02).then(0.032).otherwise(x)
    x = pl.when(x < 0.01).then(0.005).otherwise(x)
    query = table.filter(pl.col("people") > 500_000).select(x.sum().alias("answer"))
    return lambda: query.collect(engine="streaming")["answer"][0]


def crime_duckdb(names: Names) -> Run:
    query = """select sum(case when x >= 0.02 then 0.032 when x < 0.01 then 0.005 else x end) as answer from
        (select (people + 2*adults - 2000*robberies)/1e5 as x from given where people > 500000)"""
    connection = _duckdb({each: names["df"][each].to_numpy() for each in names["df"]})
    return lambda: connection.execute(query).fetchone()[0]


def crime_numba(names: Names) -> Run:
    def loop(people, adults, robberies):  # type: ignore[no-untyped-def]
        total = 0.0
        for i in range(len(people)):
            if people[i] > 500_000:
                x = (people[i] + 2 * adults[i] - 2000 * robberies[i]) / 1e5
                x = 0.032 if x >= 0.02 else x
                total += 0.005 if x < 0.01 else x
        return total

    kernel, arrays = _njit(loop), _columns(names, "people", "adults", "robberies")
    return lambda: kernel(*arrays)


def crime_torch(names: Names) -> Run:
    import torch

    def formula(people: Any, adults: Any, robberies: Any) -> Any:
        x = (people + 2 * adults - 2000 * robberies) / 1e5
        x = torch.where(x >= 0.02, 0.032, x)
        x = torch.where(x < 0.01, 0.005, x)
        return torch.where(people > 500_000, x, 0.0).sum()

    return _torch(formula, *_columns(names, "people", "adults", "robberies"))


# filter and group-by


def group_numpy(names: Names) -> Run:
    a, b, k = _columns(names, "A", "B", "K")

    def run() -> Any:
        few = b > 0.5
        return pd.Series(np.bincount(k[few], weights=a[few] * (1 - b[few]), minlength=1000))

    return run


def group_polars(names: Names) -> Run:
    import polars as pl

    table = pl.DataFrame({each: names["df"][each].to_numpy() for each in names["df"]}).lazy()
    value = (pl.col("A") * (1 - pl.col("B"))).sum().alias("answer")
    query = table.filter(pl.col("B") > 0.5).group_by("K").agg(value).sort("K")

    def run() -> Any:
        found = query.collect(engine="streaming")
        return pd.Series(found["answer"].to_numpy(), index=found["K"].to_numpy())

    return run


def group_duckdb(names: Names) -> Run:
    connection = _duckdb({each: names["df"][each].to_numpy() for each in names["df"]})
    query = "select K, sum(A*(1 - B)) as answer from given where B > 0.5 group by K order by K"

    def run() -> Any:
        found = connection.execute(query).fetchnumpy()
        return pd.Series(found["answer"], index=found["K"])

    return run


def group_numba(names: Names) -> Run:
    def loop(a, b, k):  # type: ignore[no-untyped-def]
        table = np.zeros(1000)
        for i in range(len(a)):
            if b[i] > 0.5:
                table[k[i]] += a[i] * (1 - b[i])
        return table

    kernel, arrays = _njit(loop), _columns(names, "A", "B", "K")
    return lambda: pd.Series(kernel(*arrays))


def group_numba_predicated(names: Names) -> Run:
    def loop(a, b, k):  # type: ignore[no-untyped-def]
        tables = np.zeros((4, 1000))
        for i in range(len(a)):
            tables[i & 3, k[i]] += a[i] * (1 - b[i]) if b[i] > 0.5 else 0.0
        return tables.sum(axis=0)

    kernel, arrays = _njit(loop), _columns(names, "A", "B", "K")
    return lambda: pd.Series(kernel(*arrays))


def group_torch(names: Names) -> Run:
    import torch

    def formula(a: Any, b: Any, k: Any) -> Any:
        value = torch.where(b > 0.5, a * (1 - b), 0.0)
        return torch.zeros(1000, dtype=torch.float64).index_add(0, k, value)

    run = _torch(formula, *_columns(names, "A", "B", "K"))
    return lambda: pd.Series(run())


# helpers


def _duckdb(columns: Mapping[str, np.ndarray]) -> Any:
    import duckdb
    import pyarrow as pa

    connection = duckdb.connect()
    connection.execute("set threads to 1")
    connection.register("given", pa.table(dict(columns)))
    connection.execute("create table held as select * from given")
    connection.unregister("given")
    connection.execute("alter table held rename to given")
    return connection
