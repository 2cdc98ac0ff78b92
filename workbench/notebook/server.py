"""The JupyterLab server's part: runs of all kernels, reports, status, over HTTP below `workbench/`.

The handlers hold no logic of their own: records are `notebook.runs`, reports are `notebook.report`. Every route needs a
login, is authorised as the resource `workbench`, and keeps the server's check of the XSRF token.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async, url_path_join
from tornado.web import HTTPError, authenticated

from workbench.engine.errors import WorkbenchError

__all__ = ["handlers"]

#: seconds that a cancelled run has to end by itself before its kernel is interrupted
PATIENCE = 2.0

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _guarded(method: _Method) -> _Method:
    """Let only who is logged in, and may use `workbench`, call a handler's method."""
    return cast(_Method, authenticated(authorized(method)))


class _Handler(APIHandler):  # type: ignore[misc]
    auth_resource = "workbench"

    def answer(self, status: int, content: Any) -> None:
        self.set_status(status)
        self.finish(json.dumps(content, allow_nan=False))


class RunsHandler(_Handler):
    """`GET workbench/runs`."""

    @_guarded
    async def get(self) -> None:
        """Answer with the records of all kernels, newest first."""
        from workbench.notebook import runs

        self.answer(200, {"runs": await _aside(runs.records)})


class RunHandler(_Handler):
    """`DELETE workbench/runs/<run_id>`."""

    @_guarded
    async def delete(self, run_id: str) -> None:
        """Remove the record of a run that is over."""
        from workbench.notebook import runs

        try:
            await _aside(runs.remove, run_id)
        except KeyError:
            raise HTTPError(404, f"No run {run_id}.") from None
        except runs.Ended:
            raise HTTPError(409, "The run has not ended.") from None
        self.set_status(204)
        self.finish()


class CancelHandler(_Handler):
    """`POST workbench/runs/<run_id>/cancel`."""

    @_guarded
    async def post(self, run_id: str) -> None:
        """Ask the kernel that holds the run to cancel it; interrupt it if it does not."""
        from workbench.notebook import runs

        try:
            state = await _aside(runs.request_cancel, run_id)
        except KeyError:
            raise HTTPError(404, f"No run {run_id}.") from None
        except runs.Ended:
            raise HTTPError(409, "The run has already ended.") from None
        background: set[asyncio.Task[None]] = self.settings.setdefault("workbench_cancels", set())
        task = asyncio.get_running_loop().create_task(self._insist(run_id))
        background.add(task)
        task.add_done_callback(background.discard)
        self.answer(202, {"run_id": run_id, "state": state})

    async def _insist(self, run_id: str) -> None:
        """Interrupt the kernel of a run that is still going on, but only while its record shows this run."""
        from workbench.notebook import runs

        await asyncio.sleep(PATIENCE)
        try:
            record = await _aside(runs.read, run_id)
        except KeyError:
            return
        if record["state"] in runs.ENDED or record["kernel_id"] not in self.kernel_manager:
            return
        await ensure_async(self.kernel_manager.interrupt_kernel(record["kernel_id"]))


class ReportHandler(_Handler):
    """`GET` and `POST workbench/report`."""

    @_guarded
    async def get(self) -> None:
        """Answer with what the report would hold; nothing is written."""
        from workbench.notebook.report.exporter import estimate

        source = self._notebook(self.get_query_argument("path", ""))
        async with self._turn():
            self.answer(200, await self._made(partial(estimate, source, roots=self._roots())))

    @_guarded
    async def post(self) -> None:
        """Answer with the report as a download. The notebook is not executed."""
        body = self.get_json_body() or {}
        if not isinstance(body, dict) or not isinstance(body.get("path", ""), str):
            raise HTTPError(400, "No notebook is named.")
        source = self._notebook(body.get("path", ""))
        hide, limit = bool(body.get("hide_code", False)), str(body.get("limit", "20MiB"))
        async with self._turn():
            page: bytes = await self._made(partial(_page, source, roots=self._roots(), hide_code=hide, limit=limit))
        name = source.with_suffix(".html").name
        self.set_attachment_header(name)
        self.finish(page, set_content_type="text/html; charset=utf-8")

    async def _made(self, work: Any) -> Any:
        try:
            return await _aside(work)
        except WorkbenchError as error:
            raise HTTPError(400, " ".join(error.lines())) from error

    def _turn(self) -> asyncio.Lock:
        """Return the lock of this user: one report at a time."""
        user = getattr(self.current_user, "username", None) or str(self.current_user)
        locks: dict[str, asyncio.Lock] = self.settings.setdefault("workbench_report_locks", {})
        return locks.setdefault(user, asyncio.Lock())

    def _root(self) -> Path:
        return Path(os.path.expanduser(getattr(self.contents_manager, "root_dir", "") or ".")).resolve()

    def _roots(self) -> list[Path]:
        """Return the folders from which a report may take a video."""
        from workbench.engine.store import home

        return [self._root(), home()]

    def _notebook(self, path: str) -> Path:
        """Return the file that a path of the contents manager names; links are followed, then checked."""
        if not path.strip("/"):
            raise HTTPError(400, "No notebook is named.")
        root = self._root()
        if "\0" in path:
            raise HTTPError(400, "No notebook is named.")
        named = root / path.strip("/")
        found = Path(os.path.realpath(named))
        if not found.is_relative_to(root):
            raise HTTPError(403, "That is outside the server's folder.")
        hidden = any(part.startswith(".") for part in found.relative_to(root).parts)
        if not found.is_file() or (hidden and not getattr(self.contents_manager, "allow_hidden", False)):
            raise HTTPError(404, "There is no such file.")
        if found.suffix != ".ipynb":
            raise HTTPError(400, "That is not a notebook.")
        return found


class StatusHandler(_Handler):
    """`GET workbench/status`."""

    @_guarded
    async def get(self) -> None:
        """Answer with the rows of `workbench doctor`."""
        from workbench import doctor

        found = await _aside(doctor.rows)
        self.answer(200, {"ok": doctor.ok(found), "rows": [row._asdict() for row in found]})


def handlers(base_url: str) -> list[tuple[str, type[_Handler]]]:
    """Return the routes below the server's base URL."""
    run_id = r"(?P<run_id>[0-9a-f]{32})"
    routes: list[tuple[str, type[_Handler]]] = [
        (r"runs", RunsHandler),
        (rf"runs/{run_id}/cancel", CancelHandler),
        (rf"runs/{run_id}", RunHandler),
        (r"report", ReportHandler),
        (r"status", StatusHandler),
    ]
    return [(url_path_join(base_url, "workbench", path), handler) for path, handler in routes]


def _page(source: Path, *, limit: str, hide_code: bool, roots: list[Path]) -> bytes:
    from workbench.engine.units import as_bytes
    from workbench.notebook.report import exporter

    size = as_bytes(limit, "limit")
    return exporter.render(exporter.read(source), source, limit=size, hide_code=hide_code, roots=roots)[0]


async def _aside(work: Any, *arguments: Any) -> Any:
    """Run what touches the disk in a thread, so that the server goes on answering."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(work, *arguments))


def _load_jupyter_server_extension(server: Any) -> None:
    server.web_app.add_handlers(".*$", handlers(server.web_app.settings["base_url"]))
    server.log.info("Workbench: runs, reports and status are served below workbench/.")
