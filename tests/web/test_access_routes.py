"""Every route and door says what it needs; nothing is open by forgetting."""

from __future__ import annotations

from setpoint.app import App
from setpoint.web import create_app
from setpoint.web.doors import undeclared
from setpoint.web.promql import query_doors
from setpoint.web.telemetry import remote_write_doors


def test_every_route_and_door_says_what_it_needs(parts: App) -> None:
    doors = [*remote_write_doors(parts), *query_doors(parts)]
    assert undeclared(create_app(parts).router.routes, doors) == [], "write @needs(...) below the decorator"
