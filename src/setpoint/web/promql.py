"""Prometheus's query API, so that Grafana and promtool work unchanged: `/api/v1/query` and
`/api/v1/query_range`.

GET, or POST with a form. Answers and errors have Prometheus's envelope and error types, not Setpoint's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from setpoint.app import App
from setpoint.errors import InvalidInput, SetpointError, TooLarge, Unavailable
from setpoint.promql import parse
from setpoint.promql.evaluate import evaluate, evaluate_instant
from setpoint.promql.format import to_api
from setpoint.promql.plan import check_resolution
from setpoint.web.page import Parts, json_answer

__all__ = ["read_duration_ms", "read_instant_ms", "router"]

_FORM_LIMIT_BYTES = 1 << 20
_UNIT_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdwy])")

router = APIRouter(prefix="/api/v1")


@router.api_route("/query", methods=["GET", "POST"])
async def query(request: Request, parts: Parts) -> Response:
    try:
        given = await _parameters(request)
        return await run_in_threadpool(_query, parts, given)
    except SetpointError as error:
        return _failure(error)


@router.api_route("/query_range", methods=["GET", "POST"])
async def query_range(request: Request, parts: Parts) -> Response:
    try:
        given = await _parameters(request)
        return await run_in_threadpool(_query_range, parts, given)
    except SetpointError as error:
        return _failure(error)


def _query(parts: App, given: Mapping[str, str]) -> Response:
    at_ms = read_instant_ms("time", given["time"]) if given.get("time") else parts.clock.now_ms()
    return _success(to_api(evaluate_instant(parse(_needed(given, "query")), at_ms, parts.reader.select)))


def _query_range(parts: App, given: Mapping[str, str]) -> Response:
    node = parse(_needed(given, "query"))
    start_ms = read_instant_ms("start", _needed(given, "start"))
    end_ms = read_instant_ms("end", _needed(given, "end"))
    step_ms = read_duration_ms("step", _needed(given, "step"))
    check_resolution(start_ms, end_ms, step_ms)
    return _success(to_api(evaluate(node, start_ms, end_ms, step_ms, parts.reader.select), is_range=True))


async def _parameters(request: Request) -> Mapping[str, str]:
    """Parameters of the URL and of a form body; the first of a name counts, the form before the URL."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _FORM_LIMIT_BYTES:
            raise TooLarge(f"the form is larger than {_FORM_LIMIT_BYTES >> 20} MiB; send a shorter query")
    found = dict(request.query_params)
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        found |= dict(reversed(parse_qsl(body.decode("utf-8", "replace"))))
    return found


def _needed(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if not value:
        raise InvalidInput(f'invalid parameter "{name}": it is missing')
    return value


def read_instant_ms(name: str, text: str) -> int:
    """Unix seconds, or RFC 3339, as Unix milliseconds. Raises InvalidInput with Prometheus's words."""
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise InvalidInput(
                f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp'
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return round(moment.timestamp() * 1000)
    if not math.isfinite(seconds) or abs(seconds) > 9e12:
        raise InvalidInput(f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp')
    return round(seconds * 1000)


def read_duration_ms(name: str, text: str) -> int:
    """Seconds, or a Prometheus duration such as `1h30m`, as milliseconds. Raises InvalidInput."""
    if _DURATION.fullmatch(text):
        return sum(int(amount) * _UNIT_MS[unit] for amount, unit in _DURATION_PART.findall(text))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or abs(seconds) > 9e12:
        raise InvalidInput(f'invalid parameter "{name}": cannot parse "{text}" to a valid duration')
    return round(seconds * 1000)


def _success(data: Any) -> Response:
    """Encoded in the thread that computed it: millions of samples would hold up the event loop for seconds."""
    return json_answer({"status": "success", "data": data})


def _failure(error: SetpointError) -> Response:
    """Prometheus's error envelope: bad_data 400, execution 422, unavailable 503, internal 500."""
    if isinstance(error, Unavailable):
        kind, status = "unavailable", 503
    elif error.http_status == 422:
        kind, status = "execution", 422
    elif isinstance(error, InvalidInput | TooLarge):
        kind, status = "bad_data", 400
    else:
        kind, status = "internal", 500
    return json_answer({"status": "error", "errorType": kind, "error": error.message}, status)
