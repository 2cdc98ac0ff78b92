"""Dask's dashboard, put into the scheduler's web server when somebody first looks at it."""

from __future__ import annotations

import asyncio
import importlib
from typing import Any

__all__ = ["serve_on_demand"]


def serve_on_demand(cluster: Any) -> None:
    """Answer the first request for a page of the dashboard by loading the dashboard.

    Parameters
    ----------
    cluster : distributed.LocalCluster
        Started with `scheduler_kwargs={"dashboard": False}`, so its web server has no such pages yet.
    """
    import tornado.web as web

    scheduler = cluster.scheduler
    router = scheduler.http_application

    class Load(web.RequestHandler):  # type: ignore[misc]
        async def get(self) -> None:
            # On another thread: the import takes a second, and this loop is the scheduler's.
            try:
                pages = await asyncio.to_thread(importlib.import_module, "distributed.dashboard.scheduler")
            except ImportError as error:  # bokeh is not installed
                raise web.HTTPError(404) from error
            if placeholder in router.applications:
                router.applications.remove(placeholder)
                pages.connect(router, scheduler.http_server, scheduler)
            self.redirect(self.request.uri or "/status")

    placeholder = web.Application([(r"/(?:status|individual-.*|)", Load)])
    router.add_application(placeholder)
