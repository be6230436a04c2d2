"""The HTTP API as OpenAPI 3.1, `GET /openapi.json`: every route and door with what it takes and which role it needs.

FastAPI tells what the signatures say. What they do not is added here: the parameters of Prometheus's API, which each
handler reads by itself; the bodies of forms; the doors that are applications of their own; errors, which look the same
everywhere; and that a page's address answers JSON too. `tests/web/test_openapi.py` sends requests made from it.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.routing import Route

from setpoint import __version__
from setpoint.web.doors import DOORS, Guarded, need_of
from setpoint.web.form import read_form
from setpoint.web.openapi_answers import ANSWERS, PROMETHEUS, SCHEMAS
from setpoint.web.openapi_bodies import BODIES, PARAMETERS
from setpoint.web.page import json_answer
from setpoint.web.roles import Need, needs

__all__ = ["description_of", "router"]

router = APIRouter()

Schema = dict[str, Any]

_PROGRAMS = ("/api/", "/v1/", "/v2/", "/-/")
_GUARD = threading.Lock()
_ERROR: Schema = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string", "description": "What is wrong and what to do next."},
                "problems": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["code", "message"],
        }
    },
}
_SECURITY: Schema = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token, or the server's own."},
    "basic": {"type": "http", "scheme": "basic", "description": "The token as password, with any user."},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": "setpoint_session",
        "description": "From POST /login.",
    },
}
_ABOUT = (
    "One address for pages, this API and telemetry. A page answers JSON to `Accept: application/json`. `x-needs` is "
    "the role that an operation needs. Instants are Unix milliseconds (`…_ms`), durations seconds (`…_s`)."
)


@router.get("/openapi.json")
@needs("viewer")
def show_description(request: Request) -> Response:
    """This description."""
    state = request.app.state
    with _GUARD:
        if not hasattr(state, "description"):
            state.description = description_of(request.app)
    return json_answer(state.description)


def description_of(application: FastAPI) -> Schema:
    """The OpenAPI document of a made application."""
    routes = [
        route.route
        for route in application.router.routes
        if isinstance(route, Guarded) and isinstance(route.route, APIRoute)
    ]
    with warnings.catch_warnings():  # a route of two methods has one name; names are given below
        warnings.simplefilter("ignore", UserWarning)
        document: Schema = get_openapi(
            title="Setpoint", version=__version__, description=_ABOUT, routes=routes, openapi_version="3.1.0"
        )
    document.setdefault("components", {})["securitySchemes"] = _SECURITY
    document["components"].setdefault("schemas", {}).update(SCHEMAS | {"Error": _ERROR})
    paths = document["paths"]
    forms = {route.path for route in routes if _takes_form(route)}
    for route in routes:
        for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
            operation = paths[route.path_format].get(method.lower())
            if operation is not None:
                _complete(operation, method, route.path_format, need_of(route), route.path in forms)
    for path, method, need in [*_doors(), *_plain(application)]:
        operation = paths.setdefault(path, {}).setdefault(method.lower(), {"responses": {}})
        _complete(operation, method, path, need, takes_form=False)
    document["paths"] = dict(sorted(paths.items()))
    return document


def _doors() -> Iterator[tuple[str, str, Need]]:
    """Path, method and need of the applications of their own."""
    for path, need in DOORS.items():
        if path != "/static":
            yield path, "POST", need
            if need == "viewer":
                yield path, "GET", need


def _plain(application: FastAPI) -> Iterator[tuple[str, str, Need]]:
    """The same of routes that FastAPI knows nothing of, because they read their bodies themselves."""
    for guarded in application.router.routes:
        route = guarded.route if isinstance(guarded, Guarded) else guarded
        if isinstance(route, Route) and not isinstance(route, APIRoute) and route.path not in DOORS:
            for method in sorted((route.methods or set()) - {"HEAD", "OPTIONS"}):
                yield route.path, method, need_of(route) or "admin"


def _takes_form(route: APIRoute) -> bool:
    return any(dependency.call is read_form for dependency in route.dependant.dependencies)


def _complete(operation: Schema, method: str, path: str, need: Need | None, takes_form: bool) -> None:
    """Add what the signature does not say."""
    operation["operationId"] = (
        f"{method.lower()}_{re.sub('[^a-z0-9]+', '_', path.lower()).strip('_') or 'root'}"
    )
    operation["x-needs"] = need or "admin"
    operation["security"] = [] if need == "anyone" else [{name: []} for name in _SECURITY]
    parameters = operation.setdefault("parameters", [])
    said = {parameter["name"] for parameter in parameters}
    for name in re.findall(r"\{(\w+)(?::\w+)?\}", path):
        if name not in said:
            parameters.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})
    if method == "GET":
        parameters += [parameter for parameter in PARAMETERS.get(path, []) if parameter["name"] not in said]
    body = BODIES.get(f"{method} {path}")
    if body is None and method == "POST" and path in PARAMETERS:
        body = _form_of(PARAMETERS[path])
    if body is None and takes_form:
        body = {"application/json": {"schema": {"type": "object"}}}
    if body is not None:
        operation["requestBody"] = {"content": body}
    if not parameters:
        del operation["parameters"]
    _complete_responses(operation["responses"], method, path)


def _form_of(parameters: list[Schema]) -> Schema:
    properties = {one["name"]: one["schema"] for one in parameters}
    required = [one["name"] for one in parameters if one.get("required")]
    schema: Schema = {"type": "object", "properties": properties}
    if required:
        schema["required"] = required
    return {"application/x-www-form-urlencoded": {"schema": schema}}


def _complete_responses(responses: Schema, method: str, path: str) -> None:
    responses.pop("422", None)  # what is not valid is answered 400, as an error like every other
    done: Schema = next(iter(responses.values())) if responses else {"description": "Done."}
    if not responses:
        responses["200"] = done
    content = done.setdefault("content", {})
    known = ANSWERS.get(f"{method} {path}") or (PROMETHEUS if path.startswith("/api/v1/") else {})
    content["application/json"] = {"schema": known}
    if not path.startswith(_PROGRAMS) and method == "GET":
        content["text/html"] = {"schema": {"type": "string"}}
    error: Mapping[str, Any] = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for status, description in (
        ("400", "Not valid; nothing was changed."),
        ("401", "Not known who asks."),
        ("403", "Known, and not allowed: the message names the role that is missing."),
        ("default", "An error in the same form: 404, 409, 411, 413, 415, 422, 423, 424, 429, 503 …"),
    ):
        responses.setdefault(status, {"description": description, "content": error})
