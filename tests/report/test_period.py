"""Periods: weeks, months and quarters by the clock of a zone."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.report.period import KINDS, Kind, period_at, read_period

BERLIN = ZoneInfo("Europe/Berlin")
INSTANTS = st.integers(400_000_000_000, 4_000_000_000_000)


def _ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=BERLIN).timestamp() * 1000)


@pytest.mark.parametrize(
    ("name", "kind", "start", "end"),
    [
        ("2026-W47", "week", "2026-11-16", "2026-11-23"),
        ("2026-W53", "week", "2026-12-28", "2027-01-04"),
        ("2026-W13", "week", "2026-03-23", "2026-03-30"),
        ("2026-03", "month", "2026-03-01", "2026-04-01"),
        ("2026-Q4", "quarter", "2026-10-01", "2027-01-01"),
    ],
)
def test_a_period_by_its_name(name: str, kind: str, start: str, end: str) -> None:
    period = read_period(name, "Europe/Berlin")
    assert (period.name, period.kind) == (name, kind)
    assert (period.start_ms, period.end_ms) == (_ms(start), _ms(end))


@given(INSTANTS, st.sampled_from(KINDS), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]))
def test_periods_follow_each_other_and_have_names_that_lead_back(at_ms: int, kind: Kind, zone: str) -> None:
    period = period_at(kind, at_ms, zone)
    assert period.start_ms < at_ms <= period.end_ms
    assert read_period(period.name, zone) == period
    assert period.before.end_ms == period.start_ms
    assert period.after.start_ms == period.end_ms
    assert period.before.after == period


@pytest.mark.parametrize(
    "text", ["", "2026", "2026-13", "2026-W54", "2025-W53", "2026-Q5", "0000-01", "9999-W01", "x" * 99]
)
def test_what_is_no_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"period|bounds"):
        read_period(text)
