"""Pages and JSON: which of the two a request wants, and how each is written.

Every handler module uses it. Templates come from `templates/`, escaped always and strict about missing
names; static files carry a hash in their URL, so that a browser keeps them until they change.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlencode

import jinja2
import numpy as np
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, Response

from setpoint import __version__
from setpoint.access import Identity, allows
from setpoint.app import App
from setpoint.objective import State
from setpoint.objective.overview import STATES as NUMBERED
from setpoint.web import chart, format
from setpoint.web.alert_rows import paging_count

__all__ = [
    "KEPT_NOWHERE",
    "SECURITY_HEADERS",
    "STATES",
    "Actor",
    "Parts",
    "json_answer",
    "plain",
    "query_string",
    "render",
    "render_bare",
    "text_of",
    "wants_json",
]

HERE = Path(__file__).parent
STATES: dict[State, str] = {"exhausted": "out", "burning": "burn", "no data": "none", "healthy": "ok"}
"""Objective states from worst to best, and the class that gives each its colour."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
"""On every answer: only our own files run or load, nobody frames us or guesses types."""

KEPT_NOWHERE = {"Cache-Control": "no-store", "Vary": "Accept"}


async def _parts(request: Request) -> App:
    parts: App = request.app.state.parts
    return parts


Parts = Annotated[App, Depends(_parts)]
"""What a handler declares to be given the wired server."""


async def _actor(request: Request) -> str:
    actor: str = request.state.actor
    return actor


Actor = Annotated[str, Depends(_actor)]
"""Who asks, for the timeline: the name of the user or token; `access` knows it. Give it no default."""


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({name: getattr(format, name) for name in format.__all__})
    environment.filters |= {"spark": chart.sparkline, "shown": _shown}
    environment.globals.update(asset=_asset, state_class=STATES, version=__version__)
    return environment


def _shown(value: Any) -> str:
    """A value of an event's data: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@cache
def _asset(name: str) -> str:
    """The URL of a static file, with a hash of its content."""
    digest = hashlib.blake2b((HERE / "static" / name).read_bytes(), digest_size=5).hexdigest()
    return f"/static/{name}?{digest}"


_TEMPLATES = _environment()


def wants_json(request: Request) -> bool:
    """True when `Accept` prefers application/json to text/html; a browser and a bare `*/*` get the page."""
    quality = {"application/json": 0.0, "text/html": 0.0, "*/*": 0.0}
    for part in request.headers.get("accept", "*/*").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if kind not in quality:
            continue
        weight = next((piece[2:] for piece in parameters if piece.startswith("q=")), "1")
        quality[kind] = float(weight) if weight.replace(".", "", 1).isdecimal() else 0.0
    return quality["application/json"] > max(quality["text/html"], quality["*/*"])


def render(request: Request, template: str, /, **context: Any) -> HTMLResponse:
    """A page of the frame with the rail; `context` goes to the template. Asks the parts, so call it off the
    loop. A template shows what changes something only to who may: `{% if may("editor") %}`."""
    parts: App = request.app.state.parts
    states = parts.objectives.overview().state
    identity: Identity = request.state.identity
    context.setdefault("now_ms", parts.clock.now_ms())
    text = _TEMPLATES.get_template(template).render(
        path=request.url.path,
        here=request.url.path + (f"?{request.url.query}" if request.url.query else ""),
        is_refresh="hx-request" in request.headers,
        unhealthy=int((states != NUMBERED.index("healthy")).sum()),
        objectives_total=len(states),
        targets_down=parts.scraper.down,
        releases_held=parts.policies.held_services,
        alerts_paging=paging_count(parts.alert_book.alerts(), parts.dispatcher.status, parts.clock.now_ms()),
        who=identity if identity.kind != "local" else None,
        may=partial(allows, identity.role),
        **context,
    )
    return HTMLResponse(text, headers=KEPT_NOWHERE)


def render_bare(template: str, http_status: int = 200, /, **context: Any) -> HTMLResponse:
    """A page without the rail, for what must work when nothing else does: login and errors. Asks no part."""
    text = _TEMPLATES.get_template(template).render(**context)
    return HTMLResponse(text, http_status, headers=KEPT_NOWHERE)


def text_of(template: str, /, **context: Any) -> str:
    """What a template makes of `context`, for what is no page of ours, such as an e-mail."""
    return _TEMPLATES.get_template(template).render(**context)


def query_string(**parameters: Any) -> str:
    """`?name=value…` of those that are neither empty nor None; a list gives its name several times."""
    kept = {name: value for name, value in parameters.items() if value not in ("", None, [])}
    return f"?{urlencode(kept, doseq=True)}" if kept else ""


def plain(value: Any) -> Any:
    """`value` as what JSON knows: dataclasses as objects, NaN and infinities as null, enums as their
    value."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.generic):
        number = value.item() if isinstance(value, np.generic) else value
        return None if isinstance(number, float) and not math.isfinite(number) else number
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(item) for item in (value.tolist() if isinstance(value, np.ndarray) else value)]
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as a JSON response that no cache keeps."""
    body = json.dumps(plain(value), separators=(",", ":"), allow_nan=False)
    return Response(body, status, KEPT_NOWHERE | dict(headers or {}), media_type="application/json")
