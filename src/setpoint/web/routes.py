"""Joins every module of `web` into one ASGI application; `serve` runs it.

From the outside in: the count of requests, access rules and security headers, compression, routes, errors as
answers. The generated API description and its pages stay off, because they load scripts from elsewhere.
"""

from __future__ import annotations

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from starlette.middleware.gzip import GZipMiddleware

from setpoint import __version__
from setpoint.app import App
from setpoint.web import (
    adjustments,
    alert,
    alert_sources,
    alertmanager,
    alerts,
    audit,
    backtest,
    catalog,
    complete,
    datasource,
    demo,
    errors,
    events_in,
    explore,
    export,
    expressions,
    federate,
    gate,
    health,
    heartbeats,
    lint,
    live,
    metrics,
    noise,
    notifications,
    objective,
    objectives,
    openapi,
    releases,
    remote_read,
    report,
    resource,
    routing,
    rules,
    signin,
    silences,
    sla,
    spent,
    status,
    suggest,
    targets,
    timeline,
    tokens,
    usage,
    users,
)
from setpoint.web.access import Access
from setpoint.web.doors import Guarded, known_only
from setpoint.web.page import HERE
from setpoint.web.promql import query_doors
from setpoint.web.query_door import COMPRESS_FROM_BYTES
from setpoint.web.report_sent import Sender
from setpoint.web.requests import RequestCounter, Requests
from setpoint.web.telemetry import otlp_routes, remote_write_doors

__all__ = ["create_app"]


_ROUTED = (
    alertmanager,  # first: alerts wait for no other route to be looked at
    events_in,
    alert_sources,
    health,
    metrics,
    signin,
    users,
    tokens,
    audit,
    openapi,
    live,
    objectives,
    suggest,
    objective,
    adjustments,
    gate,
    releases,
    alerts,
    alert,
    silences,
    notifications,
    heartbeats,
    rules,
    routing,
    noise,
    lint,
    backtest,
    report,
    spent,
    sla,
    timeline,
    resource,
    catalog,
    export,
    expressions,
    federate,
    remote_read,
    status,
    usage,
    explore,
    complete,
    targets,
    datasource,
    demo,
)
"""Modules with routes, in the order in which a request is compared with them."""


def create_app(app: App) -> FastAPI:
    """The application for a wired server. Call `state.live.close()` on SIGTERM: open streams would hold it
    up."""
    application = FastAPI(
        title="Setpoint", version=__version__, openapi_url=None, docs_url=None, redoc_url=None
    )
    application.state.parts = app
    application.state.signing = signin.Signing(app)
    application.state.live = live.Live()
    application.state.requests = Requests()
    app.timeline.subscribe(application.state.live.announce)
    app.reports.send = Sender(app)
    errors.register(application)
    for module in _ROUTED:
        # The routes themselves: FastAPI's inclusion would look for each request twice, and hides them from guards.
        application.router.routes.extend(module.router.routes)
    application.router.routes.extend(otlp_routes(app))
    application.mount("/static", StaticFiles(directory=HERE / "static"))
    application.add_middleware(GZipMiddleware, minimum_size=COMPRESS_FROM_BYTES, compresslevel=4)
    doors = {**remote_write_doors(app), **query_doors(app)}
    guarded = [Guarded(route, app.directory) for route in application.router.routes]
    application.router.routes[:] = guarded
    application.router.default = known_only(application.router.default, app.directory)
    application.add_middleware(
        Access, directory=app.directory, address=app.settings.listen_address, direct=doors
    )
    application.add_middleware(RequestCounter, requests=application.state.requests, doors=doors)
    return application
