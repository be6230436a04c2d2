"""The memory of start times is bounded and keeps what moves."""

from __future__ import annotations

from setpoint.telemetry.receive.start_times import StartTimes

NOW_MS = 1_800_000_000_000
NOW_NS = NOW_MS * 1_000_000


def test_the_series_that_was_silent_longest_is_forgotten_first() -> None:
    times = StartTimes(limit=2)
    start_ns = NOW_NS - 1_000_000_000
    times.remember({1: (start_ns, NOW_MS)})
    times.remember({2: (start_ns, NOW_MS)})
    times.remember({1: (start_ns, NOW_MS + 1)})
    times.remember({3: (start_ns, NOW_MS)})
    known = [key for key in (1, 2, 3) if times.zero_ms(key, start_ns, NOW_NS + 5_000_000, NOW_MS) is None]
    assert known == [1, 3]


def test_an_older_sample_that_arrives_late_takes_nothing_back() -> None:
    times = StartTimes()
    times.remember({1: (NOW_NS - 1_000_000_000, NOW_MS)})
    times.remember({1: (NOW_NS - 9_000_000_000, NOW_MS - 5000)})
    assert times.zero_ms(1, NOW_NS - 1_000_000_000, NOW_NS + 1_000_000, NOW_MS) is None
