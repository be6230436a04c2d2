"""Errors as answers: `{"error": {...}}` for programs, a page that says what to do for people.

Registered by `routes.create_app`. The status comes from the error itself; an unexpected failure is logged
with its trace and answered without it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from setpoint.errors import InvalidInput, NotFound, Problem, SetpointError, Unavailable
from setpoint.web.page import SECURITY_HEADERS, json_answer, render_bare, wants_json

__all__ = ["answer", "register"]

log = logging.getLogger(__name__)

_PROGRAMS = ("/api/", "/v1/", "/-/", "/events", "/static/")
_HTTP_CODES = {
    401: "forbidden",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
}
_TITLES = {
    400: "That request is not valid",
    401: "Not allowed",
    403: "Not allowed",
    404: "There is nothing here",
    405: "Not this way",
    503: "Not available now",
}


def answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    problems: tuple[Problem, ...] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The error as JSON, or as a page when a person asked for one."""
    if request.url.path.startswith(_PROGRAMS) or wants_json(request) or not _is_browser(request):
        error: dict[str, Any] = {"code": code, "message": message, "problems": problems}
        return json_answer({"error": error}, status, headers)
    title = _TITLES.get(status, "Something went wrong in Setpoint" if status >= 500 else "That did not work")
    page = render_bare("error.html", status, title=title, status=status, message=message, problems=problems)
    page.headers.update(headers or {})
    return page


def register(application: FastAPI) -> None:
    """Make every error of `application` answer in these shapes."""
    application.add_exception_handler(SetpointError, _on_setpoint_error)
    application.add_exception_handler(RequestValidationError, _on_invalid_request)
    application.add_exception_handler(HTTPException, _on_http_error)
    application.add_exception_handler(Exception, _on_failure)


def _is_browser(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


async def _on_setpoint_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SetpointError)
    problems = error.problems if isinstance(error, InvalidInput) else ()
    headers = {"Retry-After": f"{error.retry_after_s:.0f}"} if isinstance(error, Unavailable) else None
    return answer(request, error.http_status, error.code, error.message, problems=problems, headers=headers)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    problems = tuple(
        Problem(message=item["msg"], path=".".join(str(part) for part in item["loc"][1:]) or None)
        for item in error.errors()
    )
    message = "; ".join(str(problem) for problem in problems)
    return answer(request, InvalidInput.http_status, InvalidInput.code, message, problems=problems)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    message = str(error.detail)
    if error.status_code == NotFound.http_status:
        pages = "/objectives, /alerts, /releases, /reports, /telemetry, /targets, /explore and /timeline"
        message = f"{request.url.path} is not a page of Setpoint; the pages are {pages}."
    elif error.status_code == 405:
        message = f"{request.url.path} does not take {request.method}."
    code = _HTTP_CODES.get(error.status_code, "invalid_input")
    return answer(request, error.status_code, code, message, headers=error.headers)


async def _on_failure(request: Request, error: Exception) -> Response:
    log.error("%s %s failed: %r", request.method, request.url.path, error)  # uvicorn logs the trace
    message = "Setpoint failed at this; the server's log holds the details. Try again."
    # This handler stands outside every layer, so it adds the headers itself.
    return answer(request, 500, SetpointError.code, message, headers=SECURITY_HEADERS)
