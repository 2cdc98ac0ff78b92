from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import workbench
from workbench.engine import session
from workbench.engine.errors import WorkbenchError
from workbench.engine.run import Run
from workbench.engine.tasks import stream

ROOT = str(Path(workbench.__file__).parents[1])


def python(code: str, *options: str, timeout: float = 60, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script without a main guard in a process of its own."""
    script = Path(os.environ["WORKBENCH_HOME"]) / "script.py"
    script.write_text(textwrap.dedent(code))
    variables = os.environ | {"PYTHONPATH": ROOT} | environment
    command = [sys.executable, *options, str(script)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=timeout, check=False)


def test_the_session_is_one(cluster: Any) -> None:
    assert session.session() is cluster
    assert session.is_started()
    assert session.workers() == 2
    assert workbench.session() is cluster


def test_workers_are_processes_of_one_thread_with_a_memory_limit(cluster: Any) -> None:
    found = cluster.scheduler_info(n_workers=-1)["workers"].values()
    assert [worker["nthreads"] for worker in found] == [1, 1]
    assert all(worker["memory_limit"] > 0 for worker in found)
    assert len(set(cluster.run(os.getpid).values()) - {os.getpid()}) == 2


def test_members_are_known_whenever_the_client_looks_itself(cluster: Any) -> None:
    """What a client keeps of its scheduler for itself has no workers, and is fetched every two seconds."""
    expected = set(cluster.scheduler_info(n_workers=-1)["workers"])
    for _ in range(5):
        cluster.sync(cluster._update_scheduler_info)
        assert set(session.members(cluster)) == expected and expected
    assert not cluster._scheduler_identity["workers"]


def test_all_ports_are_on_loopback(cluster: Any) -> None:
    addresses = [cluster.scheduler.address, *cluster.scheduler_info(n_workers=-1)["workers"]]
    assert all(address.startswith("tcp://127.0.0.1:") for address in addresses)
    assert cluster.cluster.scheduler.http_server.address == "127.0.0.1"
    assert session.address() == cluster.scheduler.address


def test_workers_before_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    session.close()
    monkeypatch.setenv("WORKBENCH_WORKERS", "3")
    assert session.workers() == 3
    assert not session.is_started()
    assert session.address() == ""


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("tls://host:8786", "tls://host:8786"),
        ("tls://ann:secret@host:8786", "tls://host:8786"),
        ("wss://host/path?token=secret", "wss://host/path"),
        ("tls://a:b@c@host:1#secret", "tls://c@host:1"),
    ],
)
def test_redact(address: str, shown: str) -> None:
    assert session.redact(address) == shown or "secret" not in session.redact(address)
    assert "secret" not in session.redact(address)


def test_n30_a_cluster_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "CONNECT_TIMEOUT", 0.5)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    with pytest.raises(WorkbenchError) as caught:
        workbench.connect(f"tcp://ann:secret@127.0.0.1:{port}")
    assert caught.value.lines() == [
        f"The cluster at tcp://127.0.0.1:{port} does not answer.",
        "Restart it, or %workbench connect ADDRESS; finished work is in the store.",
    ]
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "secret" not in str(chain)
        chain = chain.__cause__
    monkeypatch.setenv("WORKBENCH_SCHEDULER", f"tcp://127.0.0.1:{port}")
    with pytest.raises(WorkbenchError, match="does not answer"):
        session.session()
    assert not session.is_started()


@pytest.fixture
def remote() -> Iterator[tuple[str, list[subprocess.Popen[bytes]]]]:
    """Start a scheduler and two workers as programs of their own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    environment = os.environ | {"PYTHONPATH": ROOT}
    started = []

    def start(*arguments: str) -> None:
        command = [sys.executable, "-m", "dask", *arguments]
        started.append(subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    start("scheduler", "--host", "127.0.0.1", "--port", address.rpartition(":")[2], "--no-dashboard", "--no-show")
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", int(address.rpartition(":")[2]))) == 0:
                break
        time.sleep(0.05)
    for _ in range(2):
        start("worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    try:
        yield address, started
    finally:
        for process in started:
            process.kill()
            process.wait(10)


@pytest.mark.slow
def test_a_real_cluster(remote: tuple[str, list[subprocess.Popen[bytes]]], monkeypatch: pytest.MonkeyPatch) -> None:
    address, processes = remote
    monkeypatch.setattr(session, "CONNECT_TIMEOUT", 3.0)
    client = workbench.connect(address)
    try:
        client.wait_for_workers(2, timeout=30)
        assert session.session() is client
        assert session.address() == address
        assert session.workers() == 2
        with pytest.raises(WorkbenchError, match="sets its own number of workers"):
            session.session(workers=3)

        def slow_square(item: int) -> tuple[int, int]:
            time.sleep(0.02)
            return item * item, os.getpid()

        def work(run: Run[list[int]]) -> list[int]:
            answers = {}
            for outcome in stream(slow_square, range(40), run=run):
                value, pid = outcome.unwrap()
                if outcome.index == 8:
                    os.kill(pid, signal.SIGKILL)
                answers[outcome.index] = value
            return [answers[index] for index in sorted(answers)]

        # A worker that nothing restarts: the other one does its tasks.
        run = Run.start(work, kind="test", title="a remote worker dies")
        assert run.result(timeout=60) == [i * i for i in range(40)]
        assert [event.kind for event in run.events()].count("worker_lost") == 1

        # The scheduler goes away in the midst of a stream: two lines, not a hang.
        answers = stream(slow_square, range(2000))
        next(answers)
        processes[0].kill()
        with pytest.raises(WorkbenchError, match="does not answer"):
            list(answers)
    finally:
        session.close()


def test_a_script_without_main_guard_and_a_quiet_end() -> None:
    done = python(
        """
        import os
        import workbench as wb
        from workbench.engine.run import Run
        from workbench.engine.tasks import stream

        def square(item):
            if item == 3:
                raise ValueError("no")
            return item * item

        print("hello")
        print([o.value for o in sorted(stream(square, range(5)), key=lambda o: o.index)])

        def endless(run):
            return len(list(stream(lambda item: item, iter(int, 1), run=run)))

        run = Run.start(endless, kind="test", title="still running at the end")
        """,
        "-X",
        "dev",
        "-W",
        "error",
        WORKBENCH_WORKERS="2",
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["hello", "[0, 1, 4, None, 16]"]
    assert done.returncode == 0


def test_no_process_is_left_when_the_program_is_killed() -> None:
    done = python(
        """
        import os, signal
        import workbench as wb
        print(*wb.session().run(os.getpid).values(), flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        WORKBENCH_WORKERS="2",
    )
    pids = [int(pid) for pid in done.stdout.split()]
    assert len(pids) == 2
    deadline = time.monotonic() + 15
    while (left := [pid for pid in pids if _runs(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert left == []


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_an_interrupt_of_the_whole_group_leaves_the_workers_alone() -> None:
    done = python(
        """
        import os, signal, time
        import workbench as wb
        from workbench.engine.run import Run
        from workbench.engine.tasks import stream

        os.setpgrp()
        client = wb.session()
        before = sorted(client.run(os.getpid).values())
        run = Run.start(
            lambda run: len(list(stream(lambda item: time.sleep(0.05), range(1000), run=run))), kind="k", title="t"
        )
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGINT))
        try:
            run.result()
        except KeyboardInterrupt:
            print(run.state)
            begin = time.monotonic()
            run.cancel()
            assert run.wait(1.0)
            print(run.state, time.monotonic() - begin < 1.0)
        time.sleep(0.3)
        print(sorted(client.run(os.getpid).values()) == before)
        """,
        WORKBENCH_WORKERS="2",
    )
    assert done.stdout.splitlines() == ["running", "cancelled True", "True"], done.stderr
    assert done.stderr == ""


@pytest.mark.slow
def test_a_dying_worker_makes_no_noise() -> None:
    done = python(
        """
        import os, signal
        from workbench.engine.tasks import stream

        def die(item):
            if item == 1:
                os.kill(os.getpid(), signal.SIGKILL)
            return item

        print(sorted(o.index for o in stream(die, range(3))))
        """,
        WORKBENCH_WORKERS="1",
    )
    assert done.stdout == "[0, 1, 2]\n"
    assert done.stderr == ""


def test_a_forked_process_starts_its_own() -> None:
    done = python(
        """
        import os
        import workbench as wb
        from workbench.engine import session
        wb.session()
        if os.fork() == 0:
            print(session.is_started(), flush=True)
            os._exit(0)
        os.wait()
        print(session.is_started())
        """,
        WORKBENCH_WORKERS="1",
    )
    assert done.stdout.splitlines() == ["False", "True"]
