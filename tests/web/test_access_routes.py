"""Every route and door says what it needs, and gives nobody more; a new route is covered by itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import httpx
import pytest

from setpoint.access import Power, allows
from setpoint.app import App
from setpoint.web import create_app
from setpoint.web.doors import DOORS, Guarded, undeclared
from setpoint.web.promql import query_doors
from setpoint.web.telemetry import remote_write_doors
from tests.web.conftest import JSON, Running

pytestmark = pytest.mark.timeout(300)

_READING = {"GET", "HEAD", "OPTIONS"}


def test_every_route_and_door_says_what_it_needs(parts: App) -> None:
    doors = [*remote_write_doors(parts), *query_doors(parts)]
    assert undeclared(create_app(parts).router.routes, doors) == [], "write @needs(...) below the decorator"


def _routes(parts: App) -> list[tuple[str, str, str]]:
    """Method, path and need of every route and door."""
    found = []
    for guarded in create_app(parts).router.routes:
        assert isinstance(guarded, Guarded), "a route without a guard"
        path = re.sub(r"\{\w+(:\w+)?\}", "1", getattr(guarded.route, "path", ""))
        methods = getattr(guarded.route, "methods", None) or {"GET"}
        found += [(method, path, guarded.need) for method in methods if path != "/static"]
    found += [("POST", path, need) for path, need in DOORS.items() if path != "/static"]
    return sorted(set(found) - {route for route in found if route[0] in ("HEAD", "OPTIONS")})


@pytest.fixture
def address(guarded: App, serve: Callable[..., Running]) -> str:
    return serve(guarded).url


@pytest.fixture
def ask(address: str) -> Iterator[Callable[..., int]]:
    """Asks with a body that no route takes, and tells the status."""
    with httpx.Client(base_url=address, timeout=60) as client:

        def status(method: str, path: str, **headers: str) -> int:
            body = None if method in _READING else b"{"
            sent = JSON | {"Content-Type": "application/json"} | headers
            with client.stream(method, path, content=body, headers=sent) as answer:  # /events never ends
                return answer.status_code

        yield status


def test_nobody_gets_anything_without_a_token(guarded: App, ask: Callable[..., int]) -> None:
    routes = _routes(guarded)
    assert len(routes) > 60
    before = guarded.timeline.query()
    for wrong in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "setpoint_session=wrong"}):
        told = {
            (method, path): ask(method, path, **wrong) for method, path, need in routes if need != "anyone"
        }
        assert {route for route, status in told.items() if status != 401} == set()
    assert ask("GET", "/no/such/path") == 401
    assert guarded.timeline.query() == before


@pytest.mark.parametrize("role", ["sender", "viewer", "responder", "editor"])
def test_a_role_gets_no_more_than_it_says(guarded: App, ask: Callable[..., int], role: Power) -> None:
    _, secret = guarded.accounts.add_token("ada", "someone", role)
    beyond = [route for route in _routes(guarded) if not allows(role, route[2])]
    assert beyond
    told = {(method, path): ask(method, path, Authorization=f"Bearer {secret}") for method, path, _ in beyond}
    assert {route: status for route, status in told.items() if status != 403} == {}
    writes = {event.kind for event in guarded.timeline.query(limit=1000)} - {"access.token_created"}
    assert writes <= {"access.refused"}


def test_a_role_gets_what_it_says(guarded: App, ask: Callable[..., int]) -> None:
    """Nobody is refused what the route names; other answers, such as 404 and 400, are the route's own."""
    for role in ("sender", "viewer", "responder", "editor", "admin"):
        _, secret = guarded.accounts.add_token("ada", f"the-{role}", role)
        within = [route for route in _routes(guarded) if allows(role, route[2])]
        told = {
            (method, path): ask(method, path, Authorization=f"Bearer {secret}")
            for method, path, need in within
            if need != "anyone"  # has keys of its own to refuse
        }
        assert {route for route, status in told.items() if status in (401, 403)} == set()


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_no_other_site_changes_anything(
    guarded: App, ask: Callable[..., int], elsewhere: dict[str, str]
) -> None:
    known = {"Authorization": "Bearer s3cret-token"} | elsewhere
    before = guarded.timeline.query()
    writes = [
        (method, path)
        for method, path, need in _routes(guarded)
        if method not in _READING or need == "sender"
    ]
    assert {route for route in writes if ask(*route, **known) != 403} == set()
    assert guarded.timeline.query() == before
