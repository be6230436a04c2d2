"""Runs one service of the shop: `python -m setpoint.demo.shop SERVICE --port N …`, as `runner` does.

It listens on loopback only. Beside the service's own routes there are two for the runner, which leave no
telemetry: GET `/_health`, and POST `/_fault`, which replaces the faults in force. The port is bound with
SO_REUSEPORT, so that the next version can take over while this one finishes its requests. `--ready-fd` gets
one byte once it serves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from setpoint.demo.child import follow_parent
from setpoint.demo.fault import GOOD_VERSION, SERVICES
from setpoint.demo.shop.service import Context, Service
from setpoint.demo.shop.switch import FaultSwitch

__all__ = ["main"]

_GRACE_S = 2


def main() -> None:
    """Serve until SIGTERM."""
    options = _options()
    if options.parent:
        follow_parent(options.parent)
    os.environ.setdefault(
        "OTEL_SEMCONV_STABILITY_OPT_IN", "http"
    )  # read when the instrumentations are imported
    from setpoint.demo.shop.instrument import instrument, traced

    end_telemetry = instrument(options.service, options.version, options.otlp)
    switch = FaultSwitch(options.version)
    switch.apply(options.faults)
    # verify=False spares each process the list of certificates; every address is a loopback http:// one.
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50)
    client = httpx.AsyncClient(verify=False, trust_env=False, limits=limits)
    service = _make(options.service, Context(switch, dict(options.peer), options.data, client))

    def serving() -> None:
        logging.getLogger("shop").info(
            "%s %s serves on port %d", options.service, options.version, options.port
        )
        if options.ready_fd is not None:
            os.write(options.ready_fd, b"1")
            os.close(options.ready_fd)

    app: ASGIApp = traced(_application(service, switch, client, serving, end_telemetry), service.routes)
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACE_S, timeout_keep_alive=30
    )
    uvicorn.Server(config).run(sockets=[_listen(options.port)])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m setpoint.demo.shop", description="Run one service of the shop."
    )
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument(
        "--otlp", default="http://127.0.0.1:4318", help="where telemetry goes, over OTLP/HTTP"
    )
    parser.add_argument("--version", default=GOOD_VERSION)
    parser.add_argument(
        "--data", type=Path, default=Path("data/demo/shop"), help="folder of the SQL database"
    )
    parser.add_argument("--peer", type=_peer, action="append", default=[], metavar="SERVICE=URL")
    parser.add_argument(
        "--faults", type=json.loads, default={}, help="faults in force from the start, as JSON"
    )
    parser.add_argument("--parent", type=int, help="process to end with")
    parser.add_argument("--ready-fd", type=int, help="file descriptor that gets a byte when it serves")
    return parser.parse_args()


def _peer(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if name not in SERVICES or not url:
        raise argparse.ArgumentTypeError(f"'{text}' is not SERVICE=URL")
    return name, url


def _make(name: str, context: Context) -> Service:
    from setpoint.demo.shop import catalog, checkout, inventory, payment, storefront

    makers: dict[str, Callable[[Context], Service]] = {
        "storefront": storefront.make,
        "catalog": catalog.make,
        "checkout": checkout.make,
        "payment": payment.make,
        "inventory": inventory.make,
    }
    return makers[name](context)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _application(
    service: Service,
    switch: FaultSwitch,
    client: httpx.AsyncClient,
    serving: Callable[[], None],
    end_telemetry: Callable[[], None],
) -> Starlette:
    async def health(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "pid": os.getpid()})

    async def fault(request: Request) -> Response:
        # A page in a browser cannot send this type across origins without asking first.
        if request.headers.get("content-type") != "application/json":
            return JSONResponse({"error": "send application/json"}, 415)
        switch.apply(await request.json())
        return JSONResponse({"faults": switch.state})

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        works = [asyncio.create_task(work()) for work in (*service.background, switch.leak)]
        asyncio.get_running_loop().call_soon(serving)
        yield
        for work in works:
            work.cancel()
        await asyncio.gather(*works, return_exceptions=True)
        await client.aclose()
        await asyncio.to_thread(end_telemetry)

    routes = [Route("/_health", health), Route("/_fault", fault, methods=["POST"]), *service.routes]
    return Starlette(routes=routes, lifespan=lifespan)


if __name__ == "__main__":
    main()
