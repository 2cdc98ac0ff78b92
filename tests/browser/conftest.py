"""One real JupyterLab and one Chromium for all tests of this folder; without Chromium they are skipped, and say why."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
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

from tests.browser.serving import free_port, serving
from workbench import doctor

ROOT = Path(__file__).parents[2]
#: the Python of an environment in which Workbench was installed: its JupyterLab is tested, not that of this tree
INSTALLED = os.environ.get("WORKBENCH_LAB_PYTHON", "")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
#: seconds for things that take long where two cores do everything
PATIENCE = 120_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Return Chromium."""
    sync_api = pytest.importorskip("playwright.sync_api")
    path = doctor.chromium()
    if path is None:
        pytest.skip(f"no Chromium: set WORKBENCH_CHROMIUM, or put {' or '.join(doctor.CHROMIUM_NAMES)} on PATH")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@dataclass
class Told:
    """What a page asked for and complained about."""

    requests: list[str]
    errors: list[str]

    def watch(self, page: Any) -> None:
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda entry: self.errors.append(entry.text) if entry.type == "error" else None)

    @property
    def outside(self) -> list[str]:
        """Requests that are not of the page itself."""
        return [url for url in self.requests if not url.startswith(("file:", "data:", "blob:", "about:"))]


@pytest.fixture
def offline(browser: Any) -> Iterator[tuple[Any, Told]]:
    """Return a page without a network, and what it tells."""
    context = browser.new_context(offline=True, viewport={"width": 1100, "height": 900})
    page, told = context.new_page(), Told([], [])
    told.watch(page)
    yield page, told
    context.close()


@dataclass
class Lab:
    """A running JupyterLab."""

    url: str
    token: str
    folder: Path
    home: Path
    extension: bool

    def needs_extension(self) -> None:
        """Skip what is left of a test where the extension was not built: there is nothing that it could look at."""
        if not self.extension:
            pytest.skip("the JupyterLab extension is not built here; `make test` builds it")

    def open(self, browser: Any, notebook: Path) -> Any:
        """Return a page with a notebook whose kernel is idle."""
        page = browser.new_context(viewport={"width": 1280, "height": 1000}).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(f"{self.url}/lab/tree/{notebook.relative_to(self.folder)}?token={self.token}&reset")
        wait_idle(page)
        return page

    def call(self, method: str, path: str, body: Any = None, *, token: str | None = "") -> tuple[int, bytes]:
        """Send a request to the server and return status and content."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data=data, method=method)
        if token is not None:
            request.add_header("Authorization", f"token {token or self.token}")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


def wait_idle(page: Any) -> None:
    """Wait for the status bar: the idle attribute is true before there is a kernel."""
    page.get_by_text("Python 3 (ipykernel) | Idle").wait_for(timeout=PATIENCE)


def command(page: Any, name: str, **arguments: Any) -> None:
    """Execute a command of JupyterLab."""
    page.evaluate("([name, given]) => window.jupyterapp.commands.execute(name, given)", [name, arguments])


def themed(page: Any, name: str) -> None:
    """Change JupyterLab's theme, to "Dark" or "Light", and wait until the last colour has faded over."""
    command(page, "apputils:change-theme", theme=f"JupyterLab {name}")
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light &&"
        " !document.getAnimations().some(each => each instanceof CSSTransition)",
        arg=str(name == "Light").lower(), timeout=PATIENCE,
    )  # fmt: skip


@pytest.fixture(scope="session")
def lab(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return a JupyterLab with settings, data and notebooks of its own."""
    with running_lab(tmp_path_factory.mktemp("lab")) as found:
        yield found


@contextlib.contextmanager
def running_lab(place: Path, base: str = "") -> Iterator[Lab]:
    """Run a JupyterLab in a folder until the block ends, below a path such as `/user/x` if it is given."""
    if not INSTALLED and shutil.which("jupyter-lab", path=Path(sys.executable).parent) is None:
        pytest.skip('no JupyterLab: pip install "workbench[lab]"')
    for name in ("config/jupyter_server_config.d", "data", "runtime", "notebooks", "home", "settings/overrides.d"):
        (place / name).mkdir(parents=True)
    quiet = {"@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False}}
    (place / "settings/overrides.d/tests.json").write_text(json.dumps(quiet))
    built = ROOT / "workbench" / "labextension"
    if not INSTALLED:
        server = {"ServerApp": {"jpserver_extensions": {"workbench.notebook.server": True}}}
        (place / "config/jupyter_server_config.d/workbench.json").write_text(json.dumps(server))
        if built.is_dir():
            shutil.copytree(built, place / "data/labextensions/workbench-lab")
    port, token = free_port(), secrets.token_hex(16)
    environment = {
        **os.environ,
        # an extension that was installed earlier hides the one that is built, unless that is the one to be tested
        "JUPYTER_PREFER_ENV_PATH": "1" if INSTALLED else "0",
        "JUPYTER_CONFIG_DIR": str(place / "config"),
        "JUPYTER_DATA_DIR": str(place / "data"),
        "JUPYTER_RUNTIME_DIR": str(place / "runtime"),
        "WORKBENCH_HOME": str(place / "home"),
        "WORKBENCH_WORKERS": "2",
    }
    words = [
        INSTALLED or sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.ip=127.0.0.1", f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={place / 'notebooks'}", f"--LabApp.app_settings_dir={place / 'settings'}",
        f"--LabApp.user_settings_dir={place / 'user'}", f"--LabApp.workspaces_dir={place / 'workspaces'}",
        "--LabApp.expose_app_in_browser=True", f"--ServerApp.base_url={base}/",
    ]  # fmt: skip
    url, extension = f"http://127.0.0.1:{port}{base}", bool(INSTALLED) or built.is_dir()
    found = Lab(url, token, place / "notebooks", place / "home", extension)
    with serving(words, environment, place) as (process, log):
        _wait_until_up(found, process, log)
        yield found


def _wait_until_up(lab: Lab, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError):
            if lab.call("GET", "api/status")[0] == 200:
                return
        time.sleep(0.1)
    pytest.fail(f"JupyterLab does not start:\n{log.read_text('utf-8', 'replace')[-2000:]}")
