"""Hosts on one machine, joined by links of a real rate: network namespaces, veth pairs and `tc tbf`.

For tests and benchmarks. Each host is a namespace with a Dask worker in it; a bridge in this process's namespace joins
them, and each pair has a token bucket at both ends, so that a link is full-duplex: its rate holds for each direction.
The scheduler has a namespace of its own, whose link has no limit. Needs Linux, root and iproute2; `missing` says what
is not there. The names of all that is made hold the process's id: what a killed process left is removed by the next.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.training.errors import TrainingError
from workbench.training.units import as_bandwidth

__all__ = ["Hosts", "Traffic", "hosts", "missing"]

PREFIX = "wbl"  # of all names; an interface's has at most 15 characters
NETWORK = "10.213"
#: seconds of the rate that a bucket holds, and its bytes at least: an idle link saves up no more than this
BURST, LEAST = 0.001, 16 * 1024
#: seconds that a packet may wait in a bucket's queue before it is dropped
QUEUE = 0.05
#: seconds that processes may take to start, and to end before they are killed
START, END = 60.0, 5.0

_SYSTEM = Path("/sys/class/net")
_NAME = re.compile(rf"{PREFIX}(\d+)[a-z]\d*\Z")
_one = threading.Lock()


@dataclass(frozen=True)
class Traffic:
    """Bytes that an interface has sent and received, with all their headers."""

    sent: int
    received: int

    def __sub__(self, before: Traffic) -> Traffic:
        return Traffic(self.sent - before.sent, self.received - before.received)


@dataclass
class Hosts:
    """Hosts that are up.

    Attributes
    ----------
    address : str
        Of the scheduler, for `wb.connect`.
    hosts : tuple of str
        IP addresses of the hosts.
    rate : float or None
        Bytes per second of each link and direction, as it is now.
    """

    address: str
    hosts: tuple[str, ...]
    folder: Path
    rate: float | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start(self, host: int, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a process on a host; it ends with the hosts at the latest.

        Parameters
        ----------
        host : int
        command : sequence of str
        options
            Of `subprocess.Popen`.
        """
        return self._start(_host(host), command, **options)

    def limit(self, rate: float | str | None) -> None:
        """Give all links another rate, at once; None: no limit."""
        self.rate = None if rate is None else as_bandwidth(rate, "rate")
        for number in range(len(self.hosts)):
            for namespace, device in ((None, _host(number)), (_host(number), "eth0")):
                _limit(namespace, device, self.rate)

    def traffic(self) -> list[Traffic]:
        """Return what each host has sent and received since it is there, by its interface's counters."""
        found = []
        for number in range(len(self.hosts)):
            counters = _SYSTEM / _host(number) / "statistics"
            # the bridge's end of the pair receives what the host sends
            sent, received = (int((counters / name).read_text()) for name in ("rx_bytes", "tx_bytes"))
            found.append(Traffic(sent, received))
        return found

    def _start(self, namespace: str, command: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(["ip", "netns", "exec", namespace, *command], **options)
        self.processes.append(process)
        return process

    def _serve(self, namespace: str, module: str, *arguments: str, threads: int = 1) -> None:
        log = self.folder / f"{namespace}.log"
        with log.open("wb") as told:
            self._start(
                namespace, [sys.executable, "-m", f"distributed.cli.{module}", *arguments], env=_environment(threads),
                stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT, cwd=self.folder,
            )  # fmt: skip

    def _ready(self) -> None:
        """Wait for the scheduler and all workers."""
        from distributed import Client

        from workbench.engine import local

        local.quiet()
        until = time.monotonic() + START
        while True:
            for process in self.processes:
                if process.poll() is not None:
                    raise self._failed(f"{process.args[4:6]!r} ended with {process.returncode}")  # type: ignore[index]
            try:
                # a scheduler that does not listen yet is not waited for: it would be asked again ever more seldom
                with Client(self.address, timeout=1.0, set_as_default=False) as client:
                    client.wait_for_workers(len(self.hosts), timeout=max(0.1, until - time.monotonic()))
                return
            except (OSError, TimeoutError) as error:
                if time.monotonic() > until:
                    raise self._failed(str(error)) from error
                time.sleep(0.1)

    def _failed(self, why: str) -> TrainingError:
        said = [log.read_text(errors="replace").strip()[-500:] for log in sorted(self.folder.glob("*.log"))]
        return TrainingError(f"The emulated hosts did not start: {why}.", "\n".join(filter(None, said)) or "Try again.")


@contextlib.contextmanager
def hosts(count: int, rate: float | str | None = None, *, threads: int = 1) -> Iterator[Hosts]:
    """Have `count` hosts with a worker each for the length of a block; a process has one set of them at a time.

    Parameters
    ----------
    count : int
    rate : float or str, optional
        Of each host's link, in each direction: "100mbit", or bytes per second. None: no limit.
    threads : int
        That numeric libraries take in each worker.

    Yields
    ------
    Hosts

    Raises
    ------
    TrainingError
        Where namespaces cannot be had, or what is started in them does not come up.

    Examples
    --------
    >>> with hosts(2, "100mbit") as found:  # doctest: +SKIP
    ...     wb.connect(found.address)
    ...     print(wb.training.Cluster.detect())
    ...     wb.engine.session.close()
    """
    if reason := missing():
        raise TrainingError(f"Hosts cannot be emulated here: {reason}.", 'train(link="100mbit") needs no privileges.')
    if not 1 <= count <= 200:
        raise TrainingError(f"There can be 1 to 200 emulated hosts; got {count}.", "Write hosts(2).")
    if rate is not None:
        rate = as_bandwidth(rate, "rate")
    if not _one.acquire(blocking=False):
        raise TrainingError("This process has emulated hosts already.", "Leave their block first.")
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}-"))
    made = Hosts("", (), folder)
    try:
        _sweep()
        network = _free_network()
        made.address, made.hosts = f"tcp://{network}.2:8786", tuple(f"{network}.{10 + at}" for at in range(count))
        _ip(f"link add {_bridge()} type bridge", f"addr add {network}.1/24 dev {_bridge()}", f"link set {_bridge()} up")
        _add(_hub(), f"{network}.2")
        for number, own in enumerate(made.hosts):
            _add(_host(number), own)
        made.limit(rate)
        made._serve(
            _hub(), "dask_scheduler", "--host", f"{network}.2", "--port", "8786", "--no-dashboard", "--no-show"
        )  # fmt: skip
        for number, own in enumerate(made.hosts):
            made._serve(
                _host(number), "dask_worker", made.address, "--host", own, "--name", str(number), "--nthreads", "1",
                "--no-nanny", "--no-dashboard", "--death-timeout", "60", "--local-directory", str(folder),
                threads=threads,
            )  # fmt: skip
        made._ready()
        yield made
    finally:
        try:
            _end(made.processes)
            _remove(os.getpid())
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            _one.release()


@functools.cache
def missing() -> str:
    """Return why hosts cannot be emulated here, or "" if they can."""
    if not sys.platform.startswith("linux"):
        return "it needs Linux"
    if os.geteuid() != 0:
        return "it needs root"
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"it needs iproute2, and there is no `{tool}`"
    # a container may be root and still have no right to namespaces, and a kernel may lack veth, bridges or tbf
    name = f"{PREFIX}{os.getpid()}t"
    try:
        _ip(f"netns add {name}", f"link add {name} type veth peer name eth0 netns {name}")
        _limit(None, name, 1e6)
        _ip(f"link del {name}", f"link add {name} type bridge")
    except TrainingError as error:
        return error.message
    finally:
        _ip(f"link del {name}", f"netns del {name}", check=False)
    return ""


# what runs `ip` and `tc`


def _bridge() -> str:
    return f"{PREFIX}{os.getpid()}b"


def _hub() -> str:
    return f"{PREFIX}{os.getpid()}s"


def _host(number: int) -> str:
    return f"{PREFIX}{os.getpid()}h{number}"


def _add(name: str, own: str) -> None:
    """Make a namespace that is joined to the bridge by an interface of the same name."""
    _ip(
        f"netns add {name}",
        f"link add {name} type veth peer name eth0 netns {name}",
        f"link set {name} master {_bridge()} up",
        f"-n {name} addr add {own}/24 dev eth0",
        f"-n {name} link set lo up",
        f"-n {name} link set eth0 up",
    )


def _limit(namespace: str | None, device: str, rate: float | None) -> None:
    """Put a token bucket on what leaves a device, or take it away."""
    command = ["tc", *(["-n", namespace] if namespace else []), "qdisc"]
    if rate is None:
        _run([*command, "del", "dev", device, "root"], check=False)  # there may be none
        return
    burst = max(LEAST, int(rate * BURST))
    queue = burst + max(65536, int(rate * QUEUE))
    bucket = ["tbf", "rate", f"{round(rate * 8)}bit", "burst", str(burst), "limit", str(queue)]
    _run([*command, "replace", "dev", device, "root", *bucket])


def _ip(*commands: str, check: bool = True) -> None:
    for command in commands:
        _run(["ip", *command.split()], check=check)


def _run(command: list[str], *, check: bool = True) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        said = " ".join(done.stderr.split()) or f"exit {done.returncode}"
        raise TrainingError(f"`{' '.join(command)}` failed: {said}", "Emulated hosts need all rights of root.")
    return done.stdout


def _free_network() -> str:
    """Return the first three numbers of a network that no interface here is in."""
    used = _run(["ip", "-o", "-4", "addr", "show"])
    for number in range(256):
        network = f"{NETWORK}.{(os.getpid() + number) % 256}"
        if f" {network}." not in used:
            return network
    raise TrainingError(f"No network of {NETWORK}.0.0/16 is free.", "Remove some interfaces.")


# how it ends


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    until = time.monotonic() + END
    for process in processes:
        try:
            process.wait(max(0.0, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _sweep() -> None:
    """Remove what processes that are gone, or an earlier block of this one, have left."""
    for owner in _owners():
        if owner == os.getpid() or not Path(f"/proc/{owner}").exists():
            _remove(owner)


def _owners() -> set[int]:
    names = [*_run(["ip", "netns", "list"]).split(), *(path.name for path in _SYSTEM.iterdir())]
    return {int(found[1]) for name in names if (found := _NAME.match(name))}


def _remove(owner: int) -> None:
    """Kill what runs in a process's namespaces, and remove these and its interfaces."""

    def own(names: list[str]) -> list[str]:
        return [name for name in names if (found := _NAME.match(name)) and int(found[1]) == owner]

    for namespace in own(_run(["ip", "netns", "list"]).split()):
        for process in _run(["ip", "netns", "pids", namespace], check=False).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(process), signal.SIGKILL)
        # the pair's other end goes with it
        _ip(f"link del {namespace}", f"netns del {namespace}", check=False)
    for device in own([path.name for path in _SYSTEM.iterdir()]):
        _ip(f"link del {device}", check=False)


def _environment(threads: int) -> dict[str, str]:
    """Return the environment of a scheduler or worker: as quiet as those of a local session."""
    from workbench.engine.local import KEPT_MEMORY

    return {
        **os.environ,
        **{name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")},
        "MALLOC_TRIM_THRESHOLD_": str(KEPT_MEMORY),
        "MALLOC_MMAP_THRESHOLD_": str(KEPT_MEMORY // 2),
        "MALLOC_ARENA_MAX": "1",
        "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
        "DASK_DISTRIBUTED__ADMIN__TICK__INTERVAL": "1s",
        "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "2s",
    }
