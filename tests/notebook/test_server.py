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
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.notebook.report import notebooks as nb
from workbench.notebook import runs
from workbench.notebook.server import byte_range

UNKNOWN = "f" * 32


@dataclass
class Server:
    """A running Jupyter server with our extension."""

    url: str
    token: str
    root: Path
    home: Path

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        login: bool = True,
        sent: dict[str, str] | None = None,
        opener: urllib.request.OpenerDirector | None = None,
    ) -> tuple[int, Any, Any]:
        """Return status, content (JSON read) and headers of an answer."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method=method, headers=sent or {})
        if login and opener is None:
            request.add_header("Authorization", f"token {self.token}")
        try:
            with (opener or urllib.request.build_opener()).open(request, timeout=60) as answer:
                status, content, headers = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            with error:
                status, content, headers = error.code, error.read(), error.headers
        if content and "json" in headers.get("Content-Type", ""):
            content = json.loads(content)
        return status, content, headers

    def browser(self) -> urllib.request.OpenerDirector:
        """Return what asks with the cookie of a login, as a page does."""
        jar = http.cookiejar.CookieJar()
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        opener.open(f"{self.url}/api/status?token={self.token}").close()
        assert any(cookie.name.startswith("username-") for cookie in jar)
        return opener

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
    ("GET", "workbench/video?path=cam.mp4"),
    ("HEAD", "workbench/video?path=cam.mp4"),
    ("GET", "workbench/status"),
    ("GET", "workbench/tour"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nobody_gets_in_without_a_token(server: Server, method: str, path: str) -> None:
    status, content, _ = server.call(method, path, {"path": "n.ipynb"} if method == "POST" else None, login=False)
    assert status == 403
    assert b"cell" not in (content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.mark.parametrize(("method", "path"), [route for route in ROUTES if route[0] in ("POST", "DELETE")])
def test_a_cookie_alone_changes_nothing(server: Server, method: str, path: str) -> None:
    opener = server.browser()
    assert server.call("GET", "workbench/runs", opener=opener)[0] == 200
    status, content, _ = server.call(method, path, {}, opener=opener)
    assert status == 403
    assert "_xsrf" in json.dumps(content)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_page_of_another_site_is_refused(server: Server, method: str, path: str) -> None:
    """It has the reader's cookie, which the browser adds, but says where it is from; a scheme or a port is enough."""
    (server.root / "cam.mp4").write_bytes(b"film")
    nb.write(server.root / "n.ipynb", [nb.code("secret = 1")])
    body, opener = {"path": "n.ipynb"} if method == "POST" else None, server.browser()
    for origin in ("http://elsewhere.example", server.url.replace("127.0.0.1", "localhost"), "null"):
        status, content, headers = server.call(method, path, body, sent={"Origin": origin}, opener=opener)
        assert status in (403, 404), origin
        assert "film" not in str(content) and "secret" not in str(content)
        assert headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("path", ["workbench/video?path=cam.mp4", "workbench/report?path=n.ipynb"])
def test_what_costs_or_can_be_embedded_is_not_read_from_another_site(server: Server, path: str) -> None:
    """A `<video>` of another site sends no Origin, only a Referer, or none."""
    (server.root / "cam.mp4").write_bytes(b"film")
    nb.write(server.root / "n.ipynb", [])
    opener = server.browser()
    assert server.call("GET", path, opener=opener)[0] == 403
    assert server.call("GET", path, opener=opener, sent={"Referer": "http://elsewhere.example/"})[0] == 403
    status, _, headers = server.call("GET", path, opener=opener, sent={"Referer": f"{server.url}/lab"})
    assert status == 200
    assert headers["X-Content-Type-Options"] == "nosniff"


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
    estimate = "workbench/report?path=sub/n%20b.ipynb&hide_code=1&limit=1MiB"
    assert server.call("GET", estimate)[1]["bytes"] == len(page)
    assert server.call("GET", "workbench/report?path=sub/n%20b.ipynb&limit=20")[0] == 400
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


@pytest.fixture
def film(server: Server) -> bytes:
    """Return the bytes of `sub/cam 1.mp4`: more than one chunk."""
    content = b"".join(number.to_bytes(4, "big") for number in range(150_001))
    (server.root / "sub" / "cam 1.mp4").write_bytes(content)
    return content


FILM = "workbench/video?path=sub/cam%201.mp4"


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=5-", 5, None),
        ("bytes=-7", -7, None),
        ("bytes=262140-262150", 262140, 262151),
        ("bytes=600000-99999999999", 600_000, None),
        ("bytes=-99999999999", 0, None),
        ("Bytes = 3-4", 3, 5),
        ("items=0-5", 0, None),  # of a unit that nobody knows: to be ignored
    ],
)
def test_a_video_in_parts(server: Server, film: bytes, asked: str, start: int, end: int | None) -> None:
    wanted = film[start:end]
    status, content, headers = server.call("GET", FILM, sent={"Range": asked})
    assert content == wanted
    assert headers["Content-Type"] == "video/mp4"
    assert status == (200 if asked.startswith("items") else 206)
    first = slice(start, end).indices(len(film))[0]
    said = f"bytes {first}-{first + len(wanted) - 1}/{len(film)}" if status == 206 else None
    assert headers["Content-Range"] == said
    status, content, headers = server.call("HEAD", FILM, sent={"Range": asked})
    assert (content, headers["Content-Length"], headers["Content-Range"]) == (b"", str(len(wanted)), said)


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=0-1,3-4",
        "bytes=" + ",".join(["0-"] * 500),
        "bytes=600004-",  # the file has 600,004 bytes
        "bytes=9-3",
        "bytes=-0",
        "bytes=-",
        "bytes=",
        "bytes",
        "bytes=a-b",
        "bytes=1-2-3",
        "bytes=+1-2",
        "bytes=--5",
        "bytes=0x1-0x2",
        "bytes=٣-٤",
        "bytes=0-" + "9" * 4000,
    ],
)
def test_other_ranges_are_refused(server: Server, film: bytes, asked: str) -> None:
    sent = {"Range": asked.encode().decode("latin-1")}
    status, content, headers = server.call("GET", FILM, sent=sent)
    assert status == 416
    assert len(json.dumps(content)) < 200
    assert headers["Content-Range"] == f"bytes */{len(film)}"


@given(size=st.integers(1, 50), start=st.integers(0, 60), end=st.none() | st.integers(0, 60))
def test_a_range_is_a_slice(size: int, start: int, end: int | None) -> None:
    content = bytes(range(size))
    for header, slice_ in (
        (f"bytes={start}-{'' if end is None else end}", slice(start, None if end is None else end + 1)),
        (f"bytes=-{start}", slice(max(0, size - start), None)),
    ):
        found = byte_range(header, size)
        assert (content[found[0] : found[1]] if found else b"") == content[slice_]
        assert found is None or 0 <= found[0] < found[1] <= size


def test_a_part_of_another_version_is_the_whole(server: Server, film: bytes) -> None:
    tag = server.call("HEAD", FILM)[2]["ETag"]
    assert server.call("GET", FILM, sent={"If-None-Match": tag})[0] == 304
    sent = {"Range": "bytes=0-3", "If-Range": tag}
    assert server.call("GET", FILM, sent=sent)[:2] == (206, film[:4])
    (server.root / "sub" / "cam 1.mp4").write_bytes(b"another film")
    assert server.call("GET", FILM, sent=sent)[:2] == (200, b"another film")
    assert server.call("GET", FILM, sent={"If-None-Match": tag})[0] == 200


def test_videos_stay_inside_the_root(server: Server, tmp_path: Path) -> None:
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"film")
    (server.root / "empty.mp4").write_bytes(b"")
    (server.root / ".hidden.mp4").write_bytes(b"film")
    (server.root / "notes.txt").write_text("secret")
    for name, target in (("link.mp4", outside), ("linked", tmp_path), ("to_text.mp4", server.root / "notes.txt")):
        (server.root / name).unlink(missing_ok=True)
        (server.root / name).symlink_to(target)
    up = os.path.relpath(outside, server.root)
    for path, wanted in ((up, 403), (f"sub/../{up}", 403), (up.replace("..", "%2e%2e").replace("/", "%2f"), 403),
                         ("link.mp4", 403), ("linked/outside.mp4", 403), (str(outside), 404), ("sub", 404),
                         (".hidden.mp4", 404), ("gone.mp4", 404), ("notes.txt", 400), ("to_text.mp4", 400), ("", 400),
                         ("cam%00.mp4", 404), ("empty.mp4", 200)):  # fmt: skip
        status, content, _ = server.call("GET", f"workbench/video?path={path}")
        assert status == wanted, path
        assert "film" not in str(content) and "secret" not in str(content), path
    assert server.call("GET", "workbench/video")[0] == 400


@pytest.mark.parametrize(
    "path",
    ["x" * 300, "x/" * 3000, "\ud800", "a\0b", "loop.ipynb", "loop.ipynb/n.ipynb", "n.ipynb/n.ipynb", "%2e%2e/n.ipynb",
     "..\\n.ipynb", "~/n.ipynb", "file:///etc/passwd", "//etc/passwd", "pipe.ipynb", "CON", "\u202ebpyni.n", "*"],
)  # fmt: skip
def test_strange_paths_are_no_fault_of_the_server(server: Server, path: str) -> None:
    for name in ("loop.ipynb", "pipe.ipynb"):
        (server.root / name).unlink(missing_ok=True)
    (server.root / "loop.ipynb").symlink_to("loop.ipynb")
    os.mkfifo(server.root / "pipe.ipynb")  # to open it would wait for ever
    nb.write(server.root / "n.ipynb", [])
    assert server.call("POST", "workbench/report", {"path": path})[0] in (400, 404)
    asked = urllib.parse.quote(path, errors="surrogatepass")
    for route in ("report", "video"):
        assert server.call("GET", f"workbench/{route}?path={asked}")[0] in (400, 404)


@pytest.mark.parametrize(
    "body", [[], "n.ipynb", 7, {"path": ["n.ipynb"]}, {"limit": "9e999MiB"}, {"limit": "-1MiB"}, {"limit": None}]
)
def test_strange_requests_are_refused(server: Server, body: Any) -> None:
    nb.write(server.root / "n.ipynb", [])
    asked = {"path": "n.ipynb"} | body if isinstance(body, dict) else body
    assert server.call("POST", "workbench/report", asked)[0] == 400


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_name_that_was_bent_to_this_machine_is_refused(server: Server, method: str, path: str) -> None:
    """A page of elsewhere.example, once that name means 127.0.0.1 (DNS rebinding): its host is not one of ours."""
    body = {"path": "n.ipynb"} if method == "POST" else None
    sent = {"Host": "elsewhere.example", "Authorization": f"token {server.token}"}
    assert server.call(method, path, body, sent=sent, login=False)[0] == 403


def test_the_tour_is_the_notebook_of_the_demo(server: Server) -> None:
    from workbench.notebook.tour import tour

    status, content, headers = server.call("GET", "workbench/tour")
    assert (status, content) == (200, json.loads(tour().read_text("utf-8")))
    assert headers["Content-Type"] == "application/json"


def test_status_is_what_the_doctor_says(server: Server) -> None:
    from workbench import doctor

    status, content, _ = server.call("GET", "workbench/status")
    assert status == 200
    assert [row["name"] for row in content["rows"]] == [row.name for row in doctor.rows()]
    assert isinstance(content["ok"], bool)
