"""The page and JSON of a backtest: alert policies over an objective's history, one set or two side by side.

A GET tries policies by name; a POST tries YAML, from the page's form, the command line, or curl. Nothing is stored, so
that nobody needs to be allowed more than to look; `access` sees to it that a form comes from our own page.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from setpoint.app import App
from setpoint.errors import InvalidInput, Problem, TooLarge
from setpoint.objective.backtest.backtest import LONGEST_S, Candidate, backtest
from setpoint.objective.backtest.candidates import DEFAULTS, OWN, named, written
from setpoint.objective.backtest.model import Backtest
from setpoint.objective.duration import parse_duration
from setpoint.web.backtest_picture import draw_backtest
from setpoint.web.page import Parts, json_answer, query_string, render, wants_json
from setpoint.web.roles import needs

__all__ = ["router"]

_BODY_MOST = 2 << 20
_DEFAULT_SINCE, _DEFAULT_LEAST = "30d", "2%"
_RANGES = ("1d", "7d", "30d", "90d")
_NONE = "none"
_SHOWN, _ALERTS_MOST = 100, 2000
_INSTANT_DIGITS = 16
_FIELDS = ("policies", "yaml", "file", "against", "against_yaml", "against_file", "since", "until", "least")

router = APIRouter()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be tried, and against what: `policies` and `against` are names, `yaml` and `against_yaml` documents
    (of a file of that name), which come first. Empty: what the way of asking means by itself.
    """

    policies: str = ""
    yaml: str = ""
    file: str = ""
    against: str = ""
    against_yaml: str = ""
    against_file: str = ""
    since: str = _DEFAULT_SINCE
    until: str = ""
    least: str = _DEFAULT_LEAST

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Asked:
        """Raises InvalidInput for a field that is not known or no text."""
        unknown = [name for name in given if name not in _FIELDS]
        if unknown:
            raise InvalidInput(f"'{unknown[0]}' is not known here; the fields are {', '.join(_FIELDS)}")
        for name, value in given.items():
            if not isinstance(value, str):
                raise InvalidInput(f"'{name}' must be a text")
        return cls(**{name: value for name, value in given.items() if value})

    def stretch(self, now_ms: int) -> tuple[int, int]:
        """From when to when, in Unix ms. Raises InvalidInput."""
        end_ms = _instant(self.until, now_ms) if self.until else now_ms
        return _instant(self.since, now_ms), min(end_ms, now_ms)

    @property
    def least_part(self) -> float:
        """The part of the budget from which on an episode counts. Raises InvalidInput."""
        text = self.least.strip()
        try:
            part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            part = -1.0
        if not 0 < part <= 1:
            raise InvalidInput(
                f"least: '{self.least[:40]}' is no part of a budget; write one such as 2% or 0.02"
            )
        return part


@router.get("/objectives/{name}/backtest")
@needs("viewer")
def show_backtest(
    request: Request,
    parts: Parts,
    name: str,
    *,
    policies: str = "",
    against: str = "",
    since: str = _DEFAULT_SINCE,
    until: str = "",
    least: str = _DEFAULT_LEAST,
) -> Response:
    asked = Asked(policies=policies, against=against, since=since, until=until, least=least)
    return _answer(request, parts, name, asked)


@router.post("/objectives/{name}/backtest")
@needs("viewer")
async def try_backtest(request: Request, parts: Parts, name: str) -> Response:
    given = await _given(request)
    return await run_in_threadpool(_answer, request, parts, name, given)


async def _given(request: Request) -> Asked:
    """A form, a JSON object, or YAML; what the address says comes first."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_MOST:
            raise TooLarge(f"the policies have more than {_BODY_MOST >> 20} MiB; try fewer")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the body is not UTF-8 text (byte {error.start})") from None
    given: Mapping[str, Any]
    if kind == "application/x-www-form-urlencoded":
        given = {name: values[-1] for name, values in parse_qs(text, keep_blank_values=True).items()}
    elif kind == "application/json":
        try:
            given = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise InvalidInput(f"the body is no JSON: {error}") from None
        if not isinstance(given, dict):
            raise InvalidInput(f"the body must be an object with some of {', '.join(_FIELDS)}")
    else:
        given = {"yaml": text}
    return Asked.of({**given, **dict(request.query_params)})


def _answer(request: Request, parts: App, name: str, asked: Asked) -> Response:
    if wants_json(request):
        return json_answer(_short(_run(parts, name, asked)))
    objective = parts.objectives.past.objective(name)
    found: Backtest | None = None
    refused, problems = "", tuple[Problem, ...]()
    try:
        found = _run(parts, name, asked, compares=objective.policies is not None)
    except InvalidInput as error:
        refused, problems = error.message, error.problems
    page = render(
        request,
        "backtest.html",
        objective=objective,
        asked=asked,
        found=found,
        refused=refused,
        problems=problems,
        picture=draw_backtest(found) if found is not None else None,
        ranges=[(one, _address(name, asked, one)) for one in _RANGES],
        shown=_SHOWN,
        own=OWN,
        defaults=DEFAULTS,
    )
    if refused:
        page.status_code = InvalidInput.http_status
    return page


def _short(found: Backtest) -> Backtest:
    """With the first alerts of each side only."""
    return replace(found, sides=tuple(replace(one, alerts=one.alerts[:_ALERTS_MOST]) for one in found.sides))


def _run(parts: App, name: str, asked: Asked, *, compares: bool = False) -> Backtest:
    """`compares`: where nothing is asked for, own policies are shown beside the defaults."""
    past = parts.objectives.past
    start_ms, end_ms = asked.stretch(parts.clock.now_ms())
    return backtest(
        past,
        name,
        _candidates(parts, name, asked, compares=compares),
        start_ms,
        end_ms,
        least=asked.least_part,
        no_data_after_s=parts.settings.no_data_after_s,
    )


def _candidates(parts: App, name: str, asked: Asked, *, compares: bool) -> list[Candidate]:
    objective, live = parts.objectives.past.objective(name), parts.resources.documents()
    if asked.yaml.strip():
        first = written(asked.file or "the policy tried", asked.yaml, parts.registry, live)
    else:
        first = named(asked.policies or OWN, objective, live)
    if asked.against_yaml.strip():
        return [first, written(asked.against_file or "the other", asked.against_yaml, parts.registry, live)]
    is_tried = bool(asked.yaml.strip()) or asked.policies not in ("", OWN)
    against = asked.against or (OWN if is_tried else DEFAULTS if compares else _NONE)
    return [first] if against == _NONE else [first, named(against, objective, live)]


def _address(name: str, asked: Asked, since: str) -> str:
    """The same with another begin; YAML that is being tried is not in an address."""
    kept = query_string(policies=asked.policies, against=asked.against, since=since, least=_other(asked))
    return f"/objectives/{name}/backtest{kept}"


def _other(asked: Asked) -> str:
    return "" if asked.least == _DEFAULT_LEAST else asked.least


def _instant(text: str, now_ms: int) -> int:
    """A duration ago, or Unix ms."""
    text = text.strip()
    if text.isdecimal() and 12 <= len(text) <= _INSTANT_DIGITS:
        return min(int(text), 2**53)
    try:
        seconds = parse_duration(text)
    except ValueError:
        raise InvalidInput(
            f"'{text[:40]}' is no time; write how long ago, such as 30d, or Unix milliseconds"
        ) from None
    if seconds > LONGEST_S:
        raise InvalidInput(f"{text} is too long ago; a backtest takes at most {LONGEST_S // 86400}d")
    return now_ms - seconds * 1000
