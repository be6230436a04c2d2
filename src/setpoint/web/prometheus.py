"""What every handler of Prometheus's HTTP API shares: parameters, instants and durations, and its envelope.

GET, or POST with a form. Answers and errors have Prometheus's shape and error types, not Setpoint's, so that Grafana,
promtool and client libraries work unchanged.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from setpoint.app import App
from setpoint.errors import InvalidInput, NotFound, SetpointError, TooLarge, Unavailable
from setpoint.promql import parse
from setpoint.promql.nodes import VectorSelector
from setpoint.telemetry import Matcher
from setpoint.web.page import KEPT_NOWHERE, Parts, json_answer
from setpoint.web.roles import needs
from setpoint.web.streamed import Streamed
from setpoint.web.waiting import run_while_wanted

__all__ = [
    "FORM_LIMIT_BYTES",
    "Answer",
    "Given",
    "Pieces",
    "answers",
    "answers_in_turn",
    "failure",
    "first_of",
    "parameters",
    "read_duration_ms",
    "read_instant_ms",
    "success",
    "text_of",
]

FORM_LIMIT_BYTES = 1 << 20
_SELECTORS_MAX = 500
_UNIT_MS = {
    "ms": 1,
    "s": 1000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
    "y": 31_536_000_000,
}
_ITEMS = 2_000
_BEGIN = b'{"status":"success","data":'
_HELD_BYTES = 1 << 20
"""An answer beyond this is sent while it is made: neither its text nor its compression holds up anybody."""
_TRUNCATED = "results truncated due to limit"
_BOUNDS_MS = {
    "-292273086-05-16T16:47:06Z": -(2**53),
    "292277025-08-18T07:12:54.999999999Z": 2**53,
}
"""What Go clients write for "from the first" and "to the last" sample."""
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DURATION = re.compile(r"(?:\d{1,18}(?:ms|[smhdwy]))+")
_DURATION_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_LONGEST_S = 9e12


@dataclass(frozen=True, slots=True)
class Pieces:
    """Data that is UTF-8 JSON already and comes in pieces, each made when it is sent."""

    json: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Answer:
    """Data (`Pieces` when there is much) with what Prometheus says beside it: `warnings` (the answer may be wrong)
    and `infos`.

    `check` is called now and then while the first pieces are made, and raises to end it.
    """

    data: Any
    warnings: Sequence[str] = ()
    infos: Sequence[str] = ()
    check: Callable[[], None] = lambda: None


def first_of(found: Sequence[Any], limit: int) -> Answer:
    """The first `limit` of `found` (0: all), plain JSON values, with Prometheus's warning when some are left out."""
    if limit and len(found) > limit:
        return Answer(Pieces(_list(found[:limit])), [_TRUNCATED])
    return Answer(Pieces(_list(found)))


def _list(items: Sequence[Any]) -> Iterator[bytes]:
    if not items:
        yield b"[]"
    for start in range(0, len(items), _ITEMS):
        text = json.dumps(items[start : start + _ITEMS], separators=(",", ":"))
        is_last = start + _ITEMS >= len(items)
        yield f"{',' if start else '['}{text[1:-1]}{']' if is_last else ''}".encode()


class Given:
    """The parameters of a request: those of the form before those of the URL."""

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def all(self, name: str) -> list[str]:
        """Every value of `name`, empty ones left out."""
        return [value for value in self._values.get(name, ()) if value]

    def get(self, name: str) -> str:
        """The first value of `name`, or the empty string."""
        for value in self._values.get(name, ()):
            if value:
                return value
        return ""

    @property
    def names(self) -> frozenset[str]:
        """The names of all parameters."""
        return frozenset(self._values)

    def needed(self, name: str) -> str:
        """The first value of `name`. Raises InvalidInput when there is none."""
        value = self.get(name)
        if not value:
            raise InvalidInput(f'invalid parameter "{name}": it is missing')
        return value

    def limit(self) -> int:
        """The parameter `limit`; 0 stands for none. Raises InvalidInput."""
        limit = self.whole("limit", 0)
        if limit < 0:
            raise InvalidInput('invalid parameter "limit": limit must be non-negative')
        return limit

    def whole(self, name: str, default: int) -> int:
        """The parameter `name` as a whole number. Raises InvalidInput."""
        text = self.get(name)
        if not text:
            return default
        if not _WHOLE.fullmatch(text):
            raise InvalidInput(f'invalid parameter "{name}": {text!r} is no whole number')
        return int(text)

    def range_ms(self, default_ms: tuple[int, int]) -> tuple[int, int]:
        """The parameters `start` and `end`; the end may be before the start. Raises InvalidInput."""
        start, end = self.get("start"), self.get("end")
        start_ms = read_instant_ms("start", start) if start else default_ms[0]
        end_ms = read_instant_ms("end", end) if end else default_ms[1]
        return start_ms, end_ms

    def selectors(self) -> list[list[Matcher]]:
        """Every different `match[]` as matchers, also an empty one, which is an error. Raises InvalidInput."""
        texts = dict.fromkeys(self._values.get("match[]", ()))
        if len(texts) > _SELECTORS_MAX:
            raise InvalidInput(
                f'invalid parameter "match[]": {len(texts)} selectors are too many; send {_SELECTORS_MAX} at most'
            )
        return [_matchers(text) for text in texts]


def _matchers(text: str) -> list[Matcher]:
    node = parse(text)
    is_plain = isinstance(node, VectorSelector) and not node.offset_ms and node.at is None
    if not isinstance(node, VectorSelector) or not is_plain or text.lstrip().startswith("("):
        raise InvalidInput(
            f'invalid parameter "match[]": {text} is no plain selector; write metric{{label="value"}}'
        )
    return [Matcher(matcher.name, matcher.op, matcher.value) for matcher in node.matchers]


def answers(
    router: APIRouter, path: str
) -> Callable[[Callable[[App, Given], Any]], Callable[..., Awaitable[Response]]]:
    """Serve a function of the wired server and its parameters at `path`, on a thread, in Prometheus's envelope."""

    def register(compute: Callable[[App, Given], Any]) -> Callable[..., Awaitable[Response]]:
        @router.api_route(path, methods=["GET", "POST"], name=compute.__name__)
        @needs("viewer")
        async def handler(request: Request, parts: Parts) -> Response:
            try:
                given = await parameters(request)
                return await run_in_threadpool(lambda: success(compute(parts, given)))
            except SetpointError as error:
                return failure(error)

        return handler

    return register


def answers_in_turn(
    router: APIRouter, path: str
) -> Callable[[Callable[[App, Given, threading.Event], Any]], Callable[..., Awaitable[Response]]]:
    """As `answers`, for what waits long: on threads apart, and told by an event that nobody waits any more."""

    def register(compute: Callable[[App, Given, threading.Event], Any]) -> Callable[..., Awaitable[Response]]:
        @router.api_route(path, methods=["GET", "POST"], name=compute.__name__)
        @needs("viewer")
        async def handler(request: Request, parts: Parts) -> Response:
            try:
                given = await parameters(request)
                return await run_while_wanted(request, lambda gone: success(compute(parts, given, gone)))
            except SetpointError as error:
                return failure(error)

        return handler

    return register


async def parameters(request: Request) -> Given:
    """What the form and the URL of a request give. Raises TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > FORM_LIMIT_BYTES:
            raise TooLarge(f"the form is larger than {FORM_LIMIT_BYTES >> 20} MiB; send a shorter query")
    pairs = list(request.path_params.items())
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        pairs += parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    return Given([*pairs, *request.query_params.multi_items()])


def read_instant_ms(name: str, text: str) -> int:
    """Unix seconds, or RFC 3339, as Unix milliseconds. Raises InvalidInput with Prometheus's words."""
    if text in _BOUNDS_MS:
        return _BOUNDS_MS[text]
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
    if not math.isfinite(seconds) or abs(seconds) > _LONGEST_S:
        raise InvalidInput(f'invalid parameter "{name}": cannot parse "{text}" to a valid timestamp')
    return round(seconds * 1000)


def read_duration_ms(name: str, text: str) -> int:
    """Seconds, or a Prometheus duration such as `1h30m`, as milliseconds. Raises InvalidInput."""
    try:
        if _DURATION.fullmatch(text):
            parts = _DURATION_PART.findall(text)
            seconds = sum(int(amount) * _UNIT_MS[unit] for amount, unit in parts) / 1000
        else:
            seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds) or abs(seconds) > _LONGEST_S:
        raise InvalidInput(f'invalid parameter "{name}": cannot parse "{text}" to a valid duration')
    return round(seconds * 1000)


def text_of(said: Answer) -> bytes:
    """The whole text of an answer that is small."""
    assert isinstance(said.data, Pieces)
    return b"".join(chain([_BEGIN], said.data.json, [_end(said)]))


def _end(said: Answer) -> bytes:
    beside = {"warnings": list(said.warnings), "infos": list(said.infos)}
    return (
        "".join(f",{json.dumps(name)}:{json.dumps(texts)}" for name, texts in beside.items() if texts) + "}"
    ).encode()


def success(computed: Any) -> Response:
    """Encoded in the thread that computed it: millions of samples would hold up the event loop for seconds."""
    said = computed if isinstance(computed, Answer) else Answer(computed)
    beside = {"warnings": list(said.warnings), "infos": list(said.infos)}
    beside = {name: texts for name, texts in beside.items() if texts}
    if not isinstance(said.data, Pieces):
        return json_answer({"status": "success", "data": said.data, **beside})
    pieces = chain([_BEGIN], said.data.json, [_end(said)])
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        said.check()
        held.append(piece)
        size += len(piece)
        if size > _HELD_BYTES:
            return Streamed(chain(held, pieces), KEPT_NOWHERE, "application/json")
    return Response(b"".join(held), headers=KEPT_NOWHERE, media_type="application/json")


def failure(error: SetpointError) -> Response:
    """Prometheus's error envelope: bad_data 400, execution 422, unavailable 503, internal 500."""
    if isinstance(error, Unavailable):
        kind, status = "unavailable", 503
    elif isinstance(error, NotFound):
        kind, status = "not_found", 404
    elif error.http_status == 422:
        kind, status = "execution", 422
    elif error.code in ("timeout", "canceled"):
        kind, status = error.code, error.http_status
    elif isinstance(error, InvalidInput | TooLarge):
        kind, status = "bad_data", 400
    else:
        kind, status = "internal", 500
    return json_answer({"status": "error", "errorType": kind, "error": error.message}, status)
