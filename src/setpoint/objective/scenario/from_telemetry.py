"""The door to `telemetry` of scenarios: how samples are asked for and given, and the kind DataSource."""

from __future__ import annotations

from setpoint.telemetry.columns import Piece, gather
from setpoint.telemetry.datasource.spec import DataSource
from setpoint.telemetry.match import predicate
from setpoint.telemetry.model import Matcher, SampleColumns

__all__ = ["DataSource", "Matcher", "Piece", "SampleColumns", "gather", "predicate"]
