"""The server's face: pages and their JSON, the HTTP API, Prometheus's query API, OTLP/HTTP, server-sent
events.

One module per domain package; `routes.create_app` joins them, `serve` runs them. A page and its JSON come
from one handler and one URL, by `Accept`. Nothing in here computes: handlers ask a part of `App` and show
what it says.
"""

from setpoint.web.routes import create_app

__all__ = ["create_app"]
