"""Training over links of a real rate: what the parts `links`, `prediction` and `accuracy` of `benchmarks.training` do.

Two emulated hosts with one worker each, and a full-duplex link of the stated rate between them. What is measured is
what goes on between two losses, once all is set up; bytes are those of the interfaces' counters, whatever they carry.
Runs alternate between ours and its peers. What is predicted of a run comes from a profile made right before it, as the
machine is now faster and now slower; how the model is cut is decided once. A run during which other work took more
than `OTHERS` cores is not counted, and what was counted is kept at once: a part that was interrupted goes on where it
was. Only runs of the same code are put together: a median of runs before and after a change says nothing of either, nor
whether a prediction was right.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from benchmarks.measure import RESULTS, Figure, cpu_seconds
from benchmarks.training_recipes import RECIPES

if TYPE_CHECKING:
    from workbench.training import PipelinePlan, Profile
    from workbench.training.namespaces import Hosts

__all__ = ["accuracy", "links", "prediction"]

LINKS = {"100 Mbit": "100mbit", "1 Gbit": "1gbit", "no limit": None}
BATCH, MICRO = 64, 4
PEER = "torch DDP"
#: schedule -> microbatches in a batch, samples in a batch
SCHEDULES = {
    "ddp": (2, 2 * BATCH), "1f1b": (MICRO, BATCH), "gpipe": (MICRO, BATCH), "pipedream": (1, BATCH),
    "2bw": (MICRO, BATCH),
}  # fmt: skip
#: in this order: what has targets first
ORDER = ((PEER, "ddp", "1f1b", "pipedream"), ("gpipe", "2bw"))
#: samples/s of pipelines and of DDP, about: how many steps a first run has
GUESS = {"100 Mbit": (200.0, 20.0), "1 Gbit": (200.0, 120.0), "no limit": (200.0, 200.0)}
#: seconds that a run is measured for, about; steps before that, in which memory is had for the first time
SECONDS, WARM = 2.5, 3
#: cores that others may take while a run is measured
OTHERS = 0.4
#: targets: link -> schedule -> samples/s over those of DDP
TARGETS = {"100 Mbit": {"pipedream": 8.0, "1f1b": 5.0}, "1 Gbit": {"pipedream": 1.8, "1f1b": 1.3}}
FEWER = 95.0
#: share by which a prediction may miss
WITHIN = 15.0
SEEDS, GOAL, EPOCHS = 3, 97.0, 12
KEPT = RESULTS / "training_links.json"
#: modules of `workbench.training` on which the figures do not depend
ELSEWHERE = (
    "bill", "changes", "chaos", "checkpoint", "drawing", "errors", "failover", "handing", "kept_cuts", "kept_profiles",
    "labels", "resilience", "saver", "shelf", "told", "traces", "view",
)  # fmt: skip


@dataclass
class Span:
    """The tracker of a run that is measured: has the link limited while it trains, and notes time and bytes of that."""

    hosts: Hosts
    rate: str | None
    seconds: float = 0.0
    bytes: int = 0
    crossed: list[tuple[float, dict[str, float]]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return False  # it wants no evaluation

    @contextlib.contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Take one part of a run; training alone is limited and counted."""
        if name != "train":
            yield
            return
        self.hosts.limit(self.rate)
        before, begun = self.hosts.traffic(), time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - begun
            after = self.hosts.traffic()
            self.bytes += sum((now - then).sent for now, then in zip(after, before, strict=True))
            self.hosts.limit(None)

    def eval(self, *, step: int, n: int, **metrics: float) -> None:
        """Note what an evaluation found, by the seconds of training before it."""
        self.crossed.append((self.seconds, metrics))


class Peer:
    """torch's DistributedDataParallel, a process on each host."""

    def __init__(self, hosts: Hosts, recipe: str) -> None:
        self.hosts = hosts
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "eth0", "OMP_NUM_THREADS": "1"}
        self.ranks = [
            hosts.start(
                rank,
                [
                    sys.executable, "-m", "benchmarks.training_ddp", recipe, str(rank), str(len(hosts.hosts)),
                    hosts.hosts[0], "29511",
                ],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
            for rank in range(len(hosts.hosts))
        ]  # fmt: skip

    def ask(self, command: str) -> list[dict[str, list[float]]]:
        """Give all ranks a command, and return their answers."""
        for process in self.ranks:
            assert process.stdin is not None
            process.stdin.write(f"{command}\n".encode())
            process.stdin.flush()
        answers = []
        for process in self.ranks:
            assert process.stdout is not None
            answers.append(json.loads(process.stdout.readline()))
        return answers

    def run(self, rate: str | None, steps: int) -> dict[str, Any]:
        """Train some steps over a link, and return samples/s and bytes of a sample."""
        warm = self.ask(f"start {BATCH}")
        self.hosts.limit(rate)
        try:
            before, begun = self.hosts.traffic(), time.monotonic()
            found = self.ask(f"go {steps}")
            sent = sum((now - then).sent for now, then in zip(self.hosts.traffic(), before, strict=True))
        finally:
            self.hosts.limit(None)
        samples = BATCH * len(self.ranks)
        seconds = max(answer["ends"][-1] for answer in found) - begun
        losses = [
            statistics.mean(values)
            for answers in (warm, found)
            for values in zip(*(answer["losses"] for answer in answers), strict=True)
        ]
        return {"pace": samples * steps / seconds, "bytes": sent / samples / steps, "losses": losses}


def links(rounds: int, minutes: float = 60.0) -> list[Figure]:
    """Train a net like VGG over three links, with each schedule and with DDP, and say what `auto` picks."""
    until = time.monotonic() + 60 * minutes
    kept = _kept()
    with _quiet_session(None) as hosts:
        plans = _plans(hosts, kept)
        peer = Peer(hosts, "vgg")
        for names, round_, link in itertools.product(ORDER, range(rounds), LINKS):
            for name in names:
                runs = kept["runs"].setdefault(link, {}).setdefault(name, [])
                if len(runs) > round_:
                    continue
                if time.monotonic() + 4 + 2 * SECONDS > until:
                    return _link_figures(kept)
                pace = statistics.median(run["pace"] for run in runs) if runs else GUESS[link][name in (PEER, "ddp")]
                steps = max(2, round(SECONDS * pace / _samples(name)))
                # beside the run: a minute later the machine may be a third faster or slower
                told = None if name == PEER else _predicted(_anew(plans[link][name], name), name)
                with _alone() as others:
                    if name == PEER:
                        found = peer.run(LINKS[link], steps)
                    else:
                        found = _ours(hosts, plans[link][name], name, LINKS[link], steps)
                        found["predicted"] = told
                runs.append(found | _now(others))
                _keep(kept)
                line = f"{found['pace']:8.1f} samples/s {found['bytes'] / 1e3:9.1f} kB/sample"
                print(f"{link:9} {name:10} {line}", flush=True)
    return _link_figures(kept)


def prediction(rounds: int) -> list[Figure]:
    """Compare the time of a batch that is predicted with what `links` has measured."""
    kept = _kept()
    figures = []
    for link, schedules in kept["runs"].items():
        for name in SCHEDULES:
            if not schedules.get(name):
                continue
            seconds = [(_samples(name) / run["pace"], run["predicted"]) for run in schedules[name]]
            ratio = statistics.median(told / taken for taken, told in seconds)
            measured, off = statistics.median(taken for taken, _ in seconds), 100 * (ratio - 1)
            spent = schedules[name][-1]["busy"]
            update = max(spent.get(f"step {stage}", 0.0) for stage in (0, 1))
            figures.append(
                Figure(
                    f"prediction: {link}, {name}", off, "% off", f"within {WITHIN:g} %", abs(off) <= WITHIN,
                    "measured seconds of a batch", measured, ratio,
                    note=f"median of {len(seconds)} runs; the longest update took {update:.0f} ms",
                    details={
                        "measured, predicted": seconds, "pace": kept["pace"][link],
                        "bandwidth": kept["bandwidth"][link], "milliseconds": spent,
                    },
                )
            )  # fmt: skip
    return figures


def accuracy(rounds: int, seeds: int = SEEDS) -> list[Figure]:
    """Train on handwritten digits to 97 % over 100 Mbit, with each of three schedules."""
    import torch

    import workbench as wb
    from workbench.training import Cluster, partition, profile

    recipe, kept = RECIPES["digits"], _kept()
    train, judged = recipe.split()
    with _quiet_session(None) as hosts:
        for seed in range(seeds):
            for name in ("ddp", "1f1b", "pipedream"):
                runs = kept["accuracy"].setdefault(name, {})
                if str(seed) in runs:
                    continue
                micro = MICRO if name == "1f1b" else 2 if name == "ddp" else 1
                net = recipe.net(seed)
                piece = train[0][: BATCH // micro], train[1][: BATCH // micro]
                found = profile(net, piece, loss=torch.nn.functional.cross_entropy)
                plan = partition(found, Cluster([2], ["100mbit"]), straight=True)
                span = Span(hosts, "100mbit")
                with _alone() as others:
                    run = wb.training.train(
                        net, train, torch.nn.functional.cross_entropy, recipe.optimizer(net), plan=plan, schedule=name,
                        microbatches=micro, batch_size=BATCH, epochs=EPOCHS, seed=seed, validation=judged,
                        target=f"top1>={GOAL:g}", tracker=span, wait=True,
                    )  # fmt: skip
                runs[str(seed)] = {
                    "seconds": span.seconds, "reached": run.reached, "steps": run.steps, "config": run.config,
                    "top1": [metrics["top1"] for _, metrics in span.crossed], "bytes": span.bytes,
                } | _now(others)  # fmt: skip
                _keep(kept)
                print(
                    f"seed {seed} {name:10} {span.seconds:7.1f} s, {run.steps} steps, reached: {run.reached}",
                    flush=True,
                )
    return _accuracy_figures(kept)


# one run


def _ours(hosts: Hosts, plan: PipelinePlan, schedule: str, rate: str | None, steps: int) -> dict[str, Any]:
    import torch

    import workbench as wb

    micro, batch = SCHEDULES[schedule]
    recipe = RECIPES["vgg"]
    net = recipe.net(0)
    span = Span(hosts, rate)
    # the first steps fill the pipe, find out what messages look like, and have their memory from the system
    run = wb.training.train(
        net, recipe.data(), torch.nn.functional.cross_entropy, recipe.optimizer(net), plan=plan, schedule=schedule,
        microbatches=micro, batch_size=batch, steps=steps + WARM, shuffle=False, tracker=span, wait=True,
    )  # fmt: skip
    losses = run.losses
    seconds = losses["seconds"].iloc[-1] - losses["seconds"].iloc[WARM - 1]
    return {
        "pace": float(batch * steps / seconds), "bytes": span.bytes / batch / (steps + WARM),
        "sent": run.bytes_sent / batch / (steps + WARM), "config": run.config, "busy": _busy(run),
        "losses": losses["loss"].tolist(),
    }  # fmt: skip


def _now(others: list[float]) -> dict[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return {"others": round(others[0], 2), "at": at, "code": _code()}


@functools.cache
def _code() -> str:
    """Return what tells one state of what is measured from another."""
    root = Path(__file__).parents[1]
    files = sorted(path for path in (root / "workbench" / "training").rglob("*.py") if path.stem not in ELSEWHERE)
    files += [Path(__file__), root / "benchmarks" / "training_recipes.py", root / "benchmarks" / "training_ddp.py"]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:12]


def of_this_code(kept: dict[str, Any], made_by: str) -> dict[str, Any]:
    """Return what was kept without runs of other code; predictions and choices go with the runs."""
    runs = {
        link: {name: [run for run in found if run.get("code") == made_by] for name, found in schedules.items()}
        for link, schedules in kept.get("runs", {}).items()
    }
    accuracy = {
        name: {seed: run for seed, run in found.items() if run.get("code") == made_by}
        for name, found in kept.get("accuracy", {}).items()
    }
    return {**kept, "runs": runs, "accuracy": accuracy}


def _busy(run: Any) -> dict[str, float]:
    """Return the median milliseconds of each kind of operation at each stage, without the first batches."""
    timeline = run.timeline
    timeline = timeline[timeline["step"] >= WARM]
    spent = (timeline["end"] - timeline["start"]).groupby([timeline["stage"], timeline["op"]]).median()
    return {f"{kind} {stage}": round(1000 * seconds, 2) for (stage, kind), seconds in spent.items()}


def _plans(hosts: Hosts, kept: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the plan of each schedule for each link, as measured; note what `auto` picks."""
    from workbench.engine.store import store
    from workbench.training import Cluster, partition

    profiles = {size: _profile(size) for size in sorted({samples // micro for micro, samples in SCHEDULES.values()})}
    plans: dict[str, dict[str, Any]] = {}
    for link, rate in LINKS.items():
        hosts.limit(rate)
        store().clear()
        with _alone():
            cluster = Cluster.detect()
        hosts.limit(None)
        kept["bandwidth"][link] = cluster.bandwidth[0]
        kept["pace"][link] = dataclasses.asdict(cluster.pace)
        cluster = Cluster(cluster.machines, cluster.bandwidth).paced(cluster.pace)
        for name, (micro, samples) in SCHEDULES.items():
            found = profiles[samples // micro]
            plan = partition(found, cluster, straight=True, schedule="pipedream" if name == "ddp" else name)
            plans.setdefault(link, {})[name] = plan
        kept["auto"][link] = _picked(profiles, cluster)
    return plans


def _profile(size: int) -> Profile:
    """Return the profile of the net as the machine is now."""
    import torch

    from workbench.engine.store import store
    from workbench.training import profile

    recipe = RECIPES["vgg"]
    inputs, targets = recipe.data()
    store().clear()
    return profile(recipe.net(0), (inputs[:size], targets[:size]), loss=torch.nn.functional.cross_entropy)


def _anew(plan: PipelinePlan, name: str) -> PipelinePlan:
    """Return a plan with the times that its layers, and an update, take now."""
    from workbench.training.pace import pace

    micro, samples = SCHEDULES[name]
    profile, now = _profile(samples // micro), pace()
    nodes = {node.id: node for node in profile.nodes if not node.description.startswith("Input")}
    stages = tuple(
        dataclasses.replace(
            stage,
            compute_seconds=sum(
                nodes[id].forward_ms + nodes[id].backward_ms for id in stage.nodes if id in nodes
            ) / 1000 / stage.replicas,
        )
        for stage in plan.stages
    )  # fmt: skip
    alone = {each: getattr(now, each) for each in ("update", "reduce", "kept", "add")}
    cluster = plan.cluster.paced(dataclasses.replace(plan.cluster.pace, **alone))
    return dataclasses.replace(plan, profile=profile, stages=stages, cluster=cluster)


def _predicted(plan: PipelinePlan, name: str) -> float:
    """Return the seconds of a batch, as they are predicted."""
    from workbench.training.simulate.workload import PlanWork

    micro, samples = SCHEDULES[name]
    unit = PlanWork(plan, name, micro, None).unit((frozenset(),))
    return float(samples * unit.seconds / unit.samples)


def _picked(profiles: dict[int, Any], cluster: Any) -> dict[str, Any]:
    """Return what `auto` picks: of each size of microbatches the best, and the best of these."""
    from workbench.training import auto
    from workbench.training.auto import Choice

    choices = []
    for micro, samples in sorted({*SCHEDULES.values()}):
        names = [name for name, made in SCHEDULES.items() if made == (micro, samples)]
        choices.append(auto(profiles[samples // micro], cluster, schedules=names, microbatches=micro))
    best = Choice.of(choices)
    paces = {row.schedule: row.throughput for row in best.table.itertuples()}
    return {"schedule": best.schedule, "config": best.plan.config, "why": best.why, "samples/s": paces}


def _samples(name: str) -> int:
    return SCHEDULES["ddp" if name == PEER else name][1]


@contextlib.contextmanager
def _quiet_session(rate: str | None) -> Iterator[Hosts]:
    """Have two hosts, connected, with as many threads here as there."""
    import torch

    import workbench as wb
    from workbench.engine import session
    from workbench.training import namespaces

    if reason := namespaces.missing():
        sys.exit(f"Links cannot be emulated here: {reason}.")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    with namespaces.hosts(2, rate) as hosts:
        wb.connect(hosts.address)
        try:
            yield hosts
        finally:
            session.close()


@contextlib.contextmanager
def _alone() -> Iterator[list[float]]:
    """Measure how many cores others take during a block; end the program if that is too much."""
    own, (all_of_it, begun) = cpu_seconds(), _machine()
    others = [0.0]
    yield others
    now, (ended_all, ended) = cpu_seconds(), _machine()
    others[0] = max(0.0, (ended_all - all_of_it - (now - own)) / (ended - begun))
    if others[0] > OTHERS:
        sys.exit(f"Other work took {others[0]:.1f} cores: this run is not reported. Go on when that is over.")


def _machine() -> tuple[float, float]:
    """Return the CPU seconds of all processes, without the network's own interrupts, and the time."""
    times = psutil.cpu_times()
    return times.user + times.system + times.nice, time.monotonic()


def _kept() -> dict[str, Any]:
    found = of_this_code(json.loads(KEPT.read_text()), _code()) if KEPT.exists() else {}
    for name in ("runs", "bandwidth", "pace", "auto", "accuracy"):
        found.setdefault(name, {})
    return found


def _keep(kept: dict[str, Any]) -> None:
    temporary = KEPT.with_suffix(".tmp")
    temporary.write_text(json.dumps(kept, indent=1) + "\n")
    temporary.replace(KEPT)


# what comes of them


def _link_figures(kept: dict[str, Any]) -> list[Figure]:
    figures = []
    for link, schedules in kept["runs"].items():
        if not any(schedules.get(name) for name in SCHEDULES):
            continue
        _check(link, schedules)
        base = min((PEER, "ddp"), key=lambda name: -_pace(schedules, name))
        for name in (PEER, *SCHEDULES):
            if not schedules.get(name):
                continue
            ratio = _pace(schedules, name) / _pace(schedules, base)
            least = TARGETS.get(link, {}).get(name)
            figures.append(
                Figure(
                    f"links: {link}, {name}", _pace(schedules, name), "samples/s",
                    "" if least is None else f">= {least:g}x DDP", None if least is None else ratio >= least,
                    f"{base}, the faster DDP", _pace(schedules, base), ratio,
                    note=f"median of {len(schedules[name])} runs",
                    details={"rounds": [{key: run[key] for key in run if key != "losses"} for run in schedules[name]]},
                )
            )  # fmt: skip
            fewer = 100 * (1 - _bytes(schedules, name) / _bytes(schedules, base))
            if name not in (PEER, "ddp"):
                figures.append(
                    Figure(
                        f"links: {link}, {name}, bytes of a sample", _bytes(schedules, name), "bytes",
                        f">= {FEWER:g} % fewer", fewer >= FEWER, base, _bytes(schedules, base),
                        _bytes(schedules, name) / _bytes(schedules, base), note=f"{fewer:.1f} % fewer",
                    )
                )  # fmt: skip
        picked = kept["auto"][link]["schedule"]
        fastest = max((name for name in SCHEDULES if schedules.get(name)), key=lambda name: _pace(schedules, name))
        loss = _pace(schedules, picked) / _pace(schedules, fastest)
        figures.append(
            Figure(
                f"links: {link}, auto", loss, "of the fastest", "fastest", picked == fastest,
                fastest, 1.0, loss, note=f"it picks {picked}", details=kept["auto"][link],
            )
        )  # fmt: skip
    return figures


def _check(link: str, schedules: dict[str, Any]) -> None:
    """Stop if the runs did not train the same: gpipe and 1f1b to the bit, ours and torch's DDP nearly."""
    for first, second, tolerance in (("gpipe", "1f1b", 0.0), ("ddp", PEER, 1e-4)):
        for one, other in zip(schedules.get(first, ()), schedules.get(second, ()), strict=False):
            for ours, theirs in zip(one["losses"], other["losses"], strict=False):
                if abs(ours - theirs) > tolerance * abs(theirs):
                    sys.exit(f"{link}: {first} and {second} differ: losses {ours!r} and {theirs!r}")


def _accuracy_figures(kept: dict[str, Any]) -> list[Figure]:
    runs, figures = kept["accuracy"], []
    for name in ("1f1b", "pipedream"):
        both = [seed for seed in runs.get("ddp", {}) if seed in runs.get(name, {})]
        if not both:
            continue
        ratios = [runs["ddp"][seed]["seconds"] / runs[name][seed]["seconds"] for seed in both]
        reached = all(runs[each][seed]["reached"] for seed in both for each in ("ddp", name))
        middle = statistics.median(ratios)
        ours, theirs = (statistics.median(runs[each][seed]["seconds"] for seed in both) for each in (name, "ddp"))
        met = reached and middle >= 3 if len(both) >= SEEDS else None
        figures.append(
            Figure(
                f"accuracy: digits to {GOAL:g} % at 100 Mbit, {name}", ours, "s", ">= 3x DDP", met, "ddp", theirs,
                middle,
                note=f"{len(both)} of {SEEDS} seeds; seconds of training, evaluation not counted",
                details={"ratios": ratios, "reached": reached, name: runs[name], "ddp": runs["ddp"]},
            )
        )  # fmt: skip
    return figures


def _pace(schedules: dict[str, Any], name: str) -> float:
    runs = schedules.get(name)
    return statistics.median(run["pace"] for run in runs) if runs else 0.0


def _bytes(schedules: dict[str, Any], name: str) -> float:
    return statistics.median(run["bytes"] for run in schedules[name])
