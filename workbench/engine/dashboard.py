"""Dask's dashboard, put into the scheduler's web server when somebody first looks at it."""

from __future__ import annotations

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
    loaded: list[bool] = []

    class Load(web.RequestHandler):  # type: ignore[misc]
        def get(self) -> None:
            if loaded:  # the real application comes after this rule and did not know the path either
                raise web.HTTPError(404)
            loaded.append(True)
            rules = scheduler.http_application.wildcard_router.rules
            rules.remove(next(rule for rule in rules if rule.target is Load))
            try:
                import distributed.dashboard.scheduler as pages
            except ImportError as error:  # bokeh is not installed
                raise web.HTTPError(404) from error
            pages.connect(scheduler.http_application, scheduler.http_server, scheduler)
            self.redirect(self.request.uri or "/status")

    scheduler.http_application.add_handlers(r".*", [(r".*", Load)])
