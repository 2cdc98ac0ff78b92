"""The JupyterLab server's part: runs of all kernels, reports, videos, status, over HTTP below `workbench/`.

The handlers hold no logic of their own: records are `notebook.runs`, reports are `notebook.report`. Every route needs a
login, is authorised as the resource `workbench`, and keeps the server's check of the XSRF token; what only reads, but
costs much or can be shown by a page of another site, is checked as well. Files are below the server's folder, links
followed.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import ensure_async, url_path_join
from tornado.iostream import StreamClosedError
from tornado.web import Finish, HTTPError, authenticated

from workbench.engine.errors import WorkbenchError

__all__ = ["handlers"]

#: seconds that a cancelled run has to end by itself before its kernel is interrupted
PATIENCE = 2.0
#: endings of the files that the video route serves, and their types
VIDEOS = {
    ".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm", ".ogv": "video/ogg",
    ".mkv": "video/x-matroska", ".avi": "video/x-msvideo", ".mpg": "video/mpeg", ".mpeg": "video/mpeg",
}  # fmt: skip
_CHUNK = 256 * 1024

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _guarded(method: _Method) -> _Method:
    """Let only who is logged in, and may use `workbench`, call a handler's method."""
    return cast(_Method, authenticated(authorized(method)))


class _Handler(APIHandler):  # type: ignore[misc]
    auth_resource = "workbench"

    def answer(self, status: int, content: Any) -> None:
        self.set_status(status)
        self.finish(json.dumps(content, allow_nan=False))

    def root(self) -> Path:
        """Return the folder of the contents manager."""
        return Path(os.path.expanduser(getattr(self.contents_manager, "root_dir", "") or ".")).resolve()

    def file(self, path: str) -> Path:
        """Return the file that a path of the contents manager names; links are followed, then checked."""
        if not path.strip("/") or "\0" in path:
            raise HTTPError(400, "No file is named.")
        root = self.root()
        try:
            found = Path(os.path.realpath(root / path.strip("/")))
            is_file = found.is_file()
        except (OSError, ValueError):  # longer than names are, or of letters that no name has
            raise HTTPError(404, "There is no such file.") from None
        if not found.is_relative_to(root):
            raise HTTPError(403, "That is outside the server's folder.")
        hidden = any(part.startswith(".") for part in found.relative_to(root).parts)
        if not is_file or (hidden and not getattr(self.contents_manager, "allow_hidden", False)):
            raise HTTPError(404, "There is no such file.")
        return found


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
        """Answer with what the report would hold; nothing is written. `hide_code` and `limit` as in `POST`."""
        self.check_xsrf_cookie()
        source = self._notebook(self.get_query_argument("path", ""))
        hide = self.get_query_argument("hide_code", "") in ("1", "true")
        limit = self.get_query_argument("limit", "20MiB")
        work = partial(_estimate, source, roots=self._roots(), hide_code=hide, limit=limit)
        async with self._turn():
            self.answer(200, await self._made(work))

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

    def _roots(self) -> list[Path]:
        """Return the folders from which a report may take a video."""
        from workbench.engine.store import home

        return [self.root(), home()]

    def _notebook(self, path: str) -> Path:
        found = self.file(path)
        if found.suffix != ".ipynb":
            raise HTTPError(400, "That is not a notebook.")
        return found


class VideoHandler(_Handler):
    """`GET` and `HEAD workbench/video`: a video, whole or the part that a player asks for."""

    @_guarded
    async def get(self) -> None:
        """Answer with the bytes of one range, or of the whole file."""
        self.check_xsrf_cookie()
        found = self.file(self.get_query_argument("path", ""))
        kind = VIDEOS.get(found.suffix.lower())
        if kind is None:
            raise HTTPError(400, "That is not a video.")
        with await _aside(open, found, "rb") as file:
            facts = os.fstat(file.fileno())
            tag, size = f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"', facts.st_size
            self.set_header("Accept-Ranges", "bytes")
            self.set_header("Cache-Control", "private, no-cache")
            self.set_header("Cross-Origin-Resource-Policy", "same-origin")
            self.set_header("ETag", tag)
            if self.request.headers.get("If-None-Match") == tag:
                self.set_status(304)
                self.finish(set_content_type=kind)
                return
            asked = self.request.headers.get("Range", "")
            if self.request.headers.get("If-Range", tag) != tag:
                asked = ""  # a part of another file than the one that the client began with
            part = byte_range(asked, size)
            if part is None:
                self.set_header("Content-Range", f"bytes */{size}")
                self.answer(416, {"message": "One range of bytes that the file has."})
                return
            start, end = part
            if re.match(r"\s*bytes\s*=", asked, re.IGNORECASE):  # the whole file too: a player learns that it may seek
                self.set_status(206)
                self.set_header("Content-Range", f"bytes {start}-{end - 1}/{size}")
            self.set_header("Content-Type", kind)
            self.set_header("Content-Length", end - start)
            if self.request.method == "GET":
                await self._send(file, start, end)
        self.finish(set_content_type=kind)

    head = get

    def compute_etag(self) -> None:
        """Leave the tag that `get` has set: Tornado's own is a hash of what it holds in memory."""

    async def _send(self, file: Any, start: int, end: int) -> None:
        """Write a part of a file as fast as the client takes it; Tornado breaks off one that has become shorter."""
        await _aside(file.seek, start)
        while start < end and (chunk := await _aside(file.read, min(_CHUNK, end - start))):
            start += len(chunk)
            self.write(chunk)
            try:
                await self.flush()
            except StreamClosedError:  # the player wants another part now
                raise Finish from None


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return start and end of the bytes that a `Range` header asks for.

    Parameters
    ----------
    header : str
        The header; without one, or in a unit that is not bytes, all is asked for.
    size : int
        Bytes of the file.

    Returns
    -------
    (int, int) or None
        The end is exclusive. None: several ranges, none that can be read, or one that the file does not have.
    """
    unit, equals, asked = header.partition("=")
    if not header or (equals and unit.strip().lower() != "bytes"):
        return 0, size
    found = re.fullmatch(r"\s*([0-9]{0,18})-([0-9]{0,18})\s*", asked)
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
    return (start, end) if start < end else None


class StatusHandler(_Handler):
    """`GET workbench/status`."""

    @_guarded
    async def get(self) -> None:
        """Answer with the rows of `workbench doctor`."""
        from workbench import doctor

        found = await _aside(doctor.rows)
        self.answer(200, {"ok": doctor.ok(found), "rows": [row._asdict() for row in found]})


class TourHandler(_Handler):
    """`GET workbench/tour`."""

    @_guarded
    async def get(self) -> None:
        """Answer with the notebook of the tour, which the launcher's card copies to the reader's folder."""
        from workbench.notebook.tour import tour

        try:
            path = await _aside(tour)
        except WorkbenchError as error:
            raise HTTPError(404, " ".join(error.lines())) from error
        self.finish(await _aside(path.read_bytes))


def handlers(base_url: str) -> list[tuple[str, type[_Handler]]]:
    """Return the routes below the server's base URL."""
    run_id = r"(?P<run_id>[0-9a-f]{32})"
    routes: list[tuple[str, type[_Handler]]] = [
        (r"runs", RunsHandler),
        (rf"runs/{run_id}/cancel", CancelHandler),
        (rf"runs/{run_id}", RunHandler),
        (r"report", ReportHandler),
        (r"video", VideoHandler),
        (r"status", StatusHandler),
        (r"tour", TourHandler),
    ]
    return [(url_path_join(base_url, "workbench", path), handler) for path, handler in routes]


def _estimate(source: Path, **options: Any) -> dict[str, Any]:
    from workbench.notebook.report.exporter import estimate

    return estimate(source, **options)


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
    server.log.info("Workbench: runs, reports, videos and status are served below workbench/.")
