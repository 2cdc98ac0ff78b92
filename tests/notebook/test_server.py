"""The server's routes: refused without a login, kept inside the server's folder, and right in what they answer."""

from __future__ import annotations

import http.cookiejar
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.notebook.report import notebooks as nb
from workbench.notebook import runs

UNKNOWN = "f" * 32


@dataclass
class Server:
    """A running Jupyter server with our extension."""

    url: str
    token: str
    root: Path
    home: Path

    def call(self, method: str, path: str, body: Any = None, *, login: bool = True) -> tuple[int, Any, Any]:
        """Return status, content (JSON read) and headers of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method=method)
        if login:
            request.add_header("Authorization", f"token {self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                status, content, headers = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                status, content, headers = error.code, error.read(), error.headers
        if content and "json" in headers.get("Content-Type", ""):
            content = json.loads(content)
        return status, content, headers

    def record(self, run_id: str, **values: Any) -> None:
        """Write the record of a run, by default one that this process is at."""
        zero: dict[type, Any] = {str: "", float: None, int: 0, bool: False}
        record = {name: zero[kind] for name, kind in runs.COLUMNS.items()}
        record |= {"run_id": run_id, "state": "running", "pid": os.getpid(), "started": time.time(), **values}
        (runs.folder(self.home) / f"{run_id}.json").write_text(json.dumps(record))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    place = tmp_path_factory.mktemp("server")
    for name in ("config/jupyter_server_config.d", "data", "runtime", "root/sub", "home"):
        (place / name).mkdir(parents=True)
    enabled = {"ServerApp": {"jpserver_extensions": {"workbench.notebook.server": True}}}
    (place / "config/jupyter_server_config.d/workbench.json").write_text(json.dumps(enabled))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(16)
    environment = {
        **os.environ,
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_DATA_DIR": str(place / "data"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "WORKBENCH_HOME": str(place / "home"),
    }
    words = [
        sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={place / 'root'}",
    ]  # fmt: skip
    with open(place / "log", "wb") as log:
        process = subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=place)
    found = Server(f"http://127.0.0.1:{port}", token, place / "root", place / "home")
    try:
        for _ in range(400):
            try:
                if found.call("GET", "api/status")[0] == 200:
                    break
            except OSError:
                if process.poll() is not None:
                    break
            time.sleep(0.1)
        else:
            pytest.fail((place / "log").read_text()[-2000:])
        yield found
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(autouse=True)
def clean(server: Server) -> None:
    shutil.rmtree(server.home / "runs", ignore_errors=True)


ROUTES = [
    ("GET", "workbench/runs"),
    ("POST", f"workbench/runs/{UNKNOWN}/cancel"),
    ("DELETE", f"workbench/runs/{UNKNOWN}"),
    ("GET", "workbench/report?path=n.ipynb"),
    ("POST", "workbench/report"),
    ("GET", "workbench/status"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_without_a_token(server: Server, method: str, path: str) -> None:
    status, content, _ = server.call(method, path, {"path": "n.ipynb"} if method == "POST" else None, login=False)
    assert status == 403
    assert b"cell" not in (content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] != "GET"])
def test_a_cookie_alone_changes_nothing(server: Server, method: str, path: str) -> None:
    jar = http.cookiejar.CookieJar()
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    opener.open(f"{server.url}/api/status?token={server.token}").close()
    assert any(cookie.name.startswith("username-") for cookie in jar)
    with opener.open(f"{server.url}/workbench/runs") as answer:
        assert answer.status == 200
    request = urllib.request.Request(f"{server.url}/{path}", data=b"{}", method=method)
    with pytest.raises(urllib.error.HTTPError) as caught:
        opener.open(request)
    with caught.value as error:
        assert error.code == 403
        assert b"_xsrf" in error.read()


def test_runs_are_newest_first(server: Server) -> None:
    now = time.time()
    server.record("a" * 32, started=now, title="first")
    server.record("b" * 32, started=now + 0.5, title="second", total=10.0)
    server.record("c" * 32, started=now - 5, state="running", pid=2**22 + 1)
    (runs.folder(server.home) / f"{'d' * 32}.json").write_text("{half")
    status, content, _ = server.call("GET", "workbench/runs")
    assert status == 200
    assert [record["run_id"][0] for record in content["runs"]] == ["b", "a", "c"]
    assert list(content["runs"][0]) == list(runs.COLUMNS)
    assert (content["runs"][0]["total"], content["runs"][1]["total"]) == (10.0, None)
    assert content["runs"][2]["state"] == "lost"


def test_cancel(server: Server) -> None:
    run_id, ended = "a" * 32, "b" * 32
    server.record(run_id)
    server.record(ended, state="finished")
    status, content, _ = server.call("POST", f"workbench/runs/{run_id}/cancel", {})
    assert (status, content) == (202, {"run_id": run_id, "state": "running"})
    assert (server.home / "runs" / f"{run_id}.cancel").exists()
    assert server.call("POST", f"workbench/runs/{ended}/cancel", {})[0] == 409
    assert server.call("POST", f"workbench/runs/{UNKNOWN}/cancel", {})[0] == 404


@pytest.mark.slow
def test_a_kernel_that_does_not_listen_is_interrupted_while_it_runs_that_run(server: Server) -> None:
    from jupyter_client import BlockingKernelClient

    kernel = server.call("POST", "api/kernels", {"name": "python3"})[1]["id"]
    client = BlockingKernelClient(connection_file=str(server.home.parent / "runtime" / f"kernel-{kernel}.json"))
    client.load_connection_file()
    client.start_channels()

    def reply(message: str) -> Any:
        while (answer := client.get_shell_msg(timeout=30))["parent_header"].get("msg_id") != message:
            pass
        return answer["content"]

    stuck, prompt = "1" * 32, "2" * 32  # no other test's: what that one asked for may still be on its way
    try:
        assert reply(client.execute("import time"))["status"] == "ok"
        server.record(stuck, kernel_id=kernel)
        server.record(prompt, kernel_id=kernel)
        message = client.execute("time.sleep(4)")
        assert server.call("POST", f"workbench/runs/{prompt}/cancel", {})[0] == 202
        server.record(prompt, kernel_id=kernel, state="cancelled")  # it ended by itself in time
        assert reply(message)["status"] == "ok"
        message = client.execute("time.sleep(60)")
        assert server.call("POST", f"workbench/runs/{stuck}/cancel", {})[0] == 202
        assert reply(message)["ename"] == "KeyboardInterrupt"
    finally:
        client.stop_channels()
        server.call("DELETE", f"api/kernels/{kernel}")


def test_remove(server: Server) -> None:
    run_id, ended = "a" * 32, "b" * 32
    server.record(run_id)
    server.record(ended, state="cancelled")
    assert server.call("DELETE", f"workbench/runs/{ended}")[0] == 204
    assert server.call("DELETE", f"workbench/runs/{ended}")[0] == 404
    assert server.call("DELETE", f"workbench/runs/{run_id}")[0] == 409


@pytest.mark.parametrize("run_id", ["..%2F" + "a" * 29, "A" * 32, "a" * 31, "a" * 33, "%00" + "a" * 31])
def test_other_ids_are_no_route(server: Server, run_id: str) -> None:
    assert server.call("DELETE", f"workbench/runs/{run_id}")[0] == 404
    assert server.call("POST", f"workbench/runs/{run_id}/cancel", {})[0] == 404


def test_report(server: Server) -> None:
    output = nb.ours(nb.video(b"x" * 600), [nb.player()])
    path = nb.write(server.root / "sub" / "n b.ipynb", [nb.code("secret = 1", [output])])
    before = sorted(server.root.rglob("*"))
    status, content, _ = server.call("GET", "workbench/report?path=sub/n%20b.ipynb")
    assert status == 200
    assert {row["kind"] for row in content["assets"]} == {"clip", "view", "script"}
    status, page, headers = server.call("POST", "workbench/report", {"path": "sub/n b.ipynb"})
    assert status == 200
    assert len(page) == content["bytes"]
    assert headers["Content-Type"].startswith("text/html")
    assert headers["Content-Disposition"].startswith("attachment")
    assert "n%20b.html" in headers["Content-Disposition"]
    assert b"secret" in page
    body = {"path": "/sub/n b.ipynb", "hide_code": True, "limit": "1MiB"}
    status, page, _ = server.call("POST", "workbench/report", body)
    assert status == 200
    assert b"secret" not in page
    assert sorted(server.root.rglob("*")) == before
    assert path.exists()


def test_report_stays_inside_the_root(server: Server, tmp_path: Path) -> None:
    outside = nb.write(tmp_path / "outside.ipynb", [])
    link = server.root / "link.ipynb"
    link.unlink(missing_ok=True)
    link.symlink_to(outside)
    up = os.path.relpath(outside, server.root)
    assert server.call("POST", "workbench/report", {"path": up})[0] == 403
    assert server.call("POST", "workbench/report", {"path": "link.ipynb"})[0] == 403
    assert server.call("GET", f"workbench/report?path={up}")[0] == 403
    assert server.call("GET", f"workbench/report?path={outside}")[0] == 404  # read as below the root


def test_report_says_what_is_wrong(server: Server) -> None:
    (server.root / "text.txt").write_text("x")
    (server.root / "broken.ipynb").write_text("{")
    nb.write(server.root / "fine.ipynb", [])
    nb.write(server.root / ".hidden.ipynb", [])
    for body, status in (({}, 400), ({"path": ""}, 400), ({"path": 1}, 400), ({"path": "gone.ipynb"}, 404),
                         ({"path": "text.txt"}, 400), ({"path": "broken.ipynb"}, 400), ({"path": "sub"}, 404),
                         ({"path": ".hidden.ipynb"}, 404), ({"path": "fine.ipynb", "limit": "20"}, 400)):  # fmt: skip
        assert server.call("POST", "workbench/report", body)[0] == status, body


def test_status_is_what_the_doctor_says(server: Server) -> None:
    from workbench import doctor

    status, content, _ = server.call("GET", "workbench/status")
    assert status == 200
    assert [row["name"] for row in content["rows"]] == [row.name for row in doctor.rows()]
    assert isinstance(content["ok"], bool)
