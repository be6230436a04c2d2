"""Durations and sizes as prometheus.yml writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from setpoint.telemetry.scrape.units import read_duration_ms, read_size_bytes, show_duration


@pytest.mark.parametrize(
    ("text", "duration_ms"),
    [
        ("0", 0), ("15s", 15_000), ("1m30s", 90_000), ("500ms", 500), ("1h", 3_600_000), ("1d", 86_400_000),
        ("1w2d", 777_600_000), ("1y", 31_536_000_000), ("90s", 90_000), ("1s1ms", 1001),
    ],
)  # fmt: skip
def test_durations(text: str, duration_ms: int) -> None:
    assert read_duration_ms(text) == duration_ms


@pytest.mark.parametrize(
    "text", ["", "15", "s", "1s1m", "1.5s", "-1s", " 1s", "1 s", "1S", "1s1s", "٣s", "999999999y"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        read_duration_ms(text)


@pytest.mark.parametrize(
    ("duration_ms", "text"),
    [
        (0, "0s"), (15_000, "15s"), (90_000, "1m30s"), (60_000, "1m"), (3_600_000, "1h"), (86_400_000, "1d"),
        (90_000_000, "25h"), (604_800_000, "1w"), (500, "500ms"), (1500, "1s500ms"),
    ],
)  # fmt: skip
def test_durations_are_written_as_prometheus_writes_them(duration_ms: int, text: str) -> None:
    assert show_duration(duration_ms) == text


@given(st.integers(0, 10**12))
def test_a_duration_is_read_as_it_was_written(duration_ms: int) -> None:
    assert read_duration_ms(show_duration(duration_ms)) == duration_ms


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("0", 0),
        ("5B", 5),
        ("1KB", 1024),
        ("10MB", 10 << 20),
        ("1.5KiB", 1536),
        ("1GB", 1 << 30),
        ("1G", 1 << 30),
    ],
)
def test_sizes(text: str, size_bytes: int) -> None:
    assert read_size_bytes(text) == size_bytes


@pytest.mark.parametrize("text", ["", "10", "MB", "10 XB", "-1MB", "1e3B"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        read_size_bytes(text)
