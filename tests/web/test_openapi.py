"""The API's description is true: complete, valid, and what is made from it never makes the server fail.

Schemathesis sends requests that fit the description and some that do not, the same ones in each run. A status of 500 or
more is a failure, but 503, which says what is not there now.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx
import jsonschema_rs
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from setpoint.app import App
from setpoint.web import create_app
from setpoint.web.doors import Guarded
from setpoint.web.openapi import description_of
from tests.web.conftest import JSON, Running

BEARER = {"Authorization": "Bearer s3cret-token"}
LIVE = {"/events"}
"""Streams without an end."""
EXAMPLES = 8


@schemathesis.serializer("application/x-protobuf")
def _as_it_is(context: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@pytest.fixture
def description(guarded: App) -> dict[str, Any]:
    return description_of(create_app(guarded))


def test_it_is_served_to_who_may_look(guarded: App, serve: Callable[..., Running]) -> None:
    url = serve(guarded).url
    assert httpx.get(f"{url}/openapi.json").status_code == 401
    told = httpx.get(f"{url}/openapi.json", headers=BEARER).json()
    assert told["openapi"].startswith("3.1")
    assert "s3cret" not in str(told)


def test_every_route_is_in_it_with_its_role(guarded: App, description: dict[str, Any]) -> None:
    for guard in create_app(guarded).router.routes:
        assert isinstance(guard, Guarded)
        path = getattr(guard.route, "path_format", "")
        for method in (getattr(guard.route, "methods", None) or set()) - {"HEAD", "OPTIONS"}:
            operation = description["paths"][path][method.lower()]
            assert operation["x-needs"] == guard.need
            assert bool(operation["security"]) == (guard.need != "anyone")
    names = [
        operation["operationId"] for path in description["paths"].values() for operation in path.values()
    ]
    assert len(names) == len(set(names))


def test_every_place_in_a_path_is_a_parameter(description: dict[str, Any]) -> None:
    for path, operations in description["paths"].items():
        for operation in operations.values():
            named = [one["name"] for one in operation.get("parameters", []) if one["in"] == "path"]
            assert sorted(named) == sorted(re.findall(r"\{(\w+)\}", path)), path


@pytest.mark.timeout(120)
def test_answers_look_as_they_are_described(parts: App, populated: httpx.Client) -> None:
    description = description_of(create_app(parts))
    parts.timeline.append("deploy", "checkout 7", service="checkout", actor="ci")
    parts.accounts.add_user("test", "ada", "admin", "three small words")
    _, token = parts.accounts.add_token("test", "ci", "admin")
    checked = []
    for path, operations in description["paths"].items():
        operation = operations.get("get", {})
        schema = operation.get("responses", {}).get("200", {}).get("content", {}).get("application/json", {})
        needed = [one for one in operation.get("parameters", []) if one.get("required")]
        if not schema.get("schema") or needed:
            continue
        answer = populated.get(path, headers=JSON | {"Authorization": f"Bearer {token}"})
        if answer.status_code == 200 and answer.headers["content-type"] == "application/json":
            whole = schema["schema"] | {"components": description["components"]}
            jsonschema_rs.validate(whole, answer.json())
            checked.append(path)
    assert {"/users", "/tokens", "/audit", "/objectives", "/timeline", "/api/v1/labels"} <= set(checked)


@pytest.mark.timeout(300)
def test_no_request_makes_the_server_fail(
    guarded: App, serve: Callable[..., Running], description: dict[str, Any]
) -> None:
    url = serve(guarded).url
    schema = schemathesis.openapi.from_dict(description)
    schema.config.generation.update(with_security_parameters=False)
    failed: dict[str, str] = {}
    asked = 0
    with requests.Session() as session:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if operation.path in LIVE:
                continue

            @seed(1)
            @settings(
                max_examples=EXAMPLES,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=_cases(operation))
            def ask(case: Any) -> None:
                nonlocal asked
                asked += 1
                answer = case.call(base_url=url, headers=JSON | BEARER, session=session, timeout=60)
                if answer.status_code >= 500 and answer.status_code != 503:
                    failed.setdefault(
                        f"{case.method} {answer.request.url}", f"{answer.status_code} {case.body!r:.300}"
                    )

            ask()
    assert failed == {}
    assert asked > 400


def _cases(operation: Any) -> Any:
    """Requests that fit the description and, where something can be wrong with them, some that do not."""
    fitting = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if not operation.body and not operation.query:
        return fitting
    return fitting | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
