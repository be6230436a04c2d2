"""Limits: what is admitted, who is refused with which sentence, what it costs, and what is remembered of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.clock import VirtualClock
from setpoint.telemetry.model import Series, fingerprint
from setpoint.telemetry.protect import PLACE_BYTES, Bounds, Census, Limits, Protection

NOW_MS = 1_790_000_000_000


def series(metric: str = "requests_total", **labels: str) -> Series:
    whole = {"__name__": metric, **labels}
    return Series(fingerprint(whole), whole, "shop")


def protection(clock: VirtualClock | None = None, **limits: int) -> Protection:
    return Protection(Limits(**limits), clock or VirtualClock(NOW_MS))


def bomb(metric: str = "requests_total", count: int = 10_000) -> Iterator[Series]:
    return (series(metric, request_id=f"{number:08x}", pod=f"pod-{number % 5}") for number in range(count))


def admitted(guard: Protection, many: Iterator[Series], sender: str) -> int:
    return sum(guard.admit(one, sender) is None for one in many)


def test_a_bomb_in_one_metric_ends_at_the_metric_s_limit_and_others_still_bring_theirs() -> None:
    guard = protection(metric_series=1000)
    assert admitted(guard, bomb(), "scrape bad") == 900  # the last tenth is for senders with few
    assert guard.counted == 900
    assert admitted(guard, bomb(count=10), "scrape good") == 10
    assert admitted(guard, bomb("other_total", 500), "scrape bad") == 500
    assert admitted(guard, (series(pod=f"p{n}") for n in range(200)), "otlp a") == 10
    assert sum(admitted(guard, bomb(count=10), f"otlp {n}") for n in range(50)) == 80, "1,000 is the end"
    assert guard.admit(series(pod="last"), "someone new") is not None


def test_a_sender_ends_at_its_own_limit_and_the_server_keeps_a_tenth_for_small_ones() -> None:
    guard = protection(series=3000, sender_series=2000)
    many = (series(f"m{number}_total") for number in range(10_000))
    assert admitted(guard, many, "remote_write 10.0.0.7") == 2000
    assert admitted(guard, bomb(), "scrape bad") == 700
    assert admitted(guard, bomb("up", 100), "scrape small") == 30
    assert guard.counted == 2730


def test_the_sentence_names_the_limit_the_label_that_varies_and_how_to_drop_it() -> None:
    guard = protection(metric_series=100)
    refused = [sentence for one in bomb(count=200) if (sentence := guard.admit(one, "scrape shop"))]
    assert len(refused) == 110
    assert refused[-1].startswith(
        "the metric requests_total has 90 series and takes no new ones (metric_series_limit is 100"
    )
    assert "the label request_id varies most" in refused[-1]
    assert "metric_relabel_configs (action: labeldrop)" in refused[-1]
    assert refused[-1].endswith("or raise metric_series_limit")
    assert guard.admit(series(request_id="x"), "remote_write ::1") is None
    assert "write_relabel_configs" in str(guard.admit(series(request_id="y"), "remote_write ::1"))
    [first, second] = guard.refusals
    assert {first.sender, second.sender} == {"scrape shop", "remote_write ::1"}
    assert {first.reason, second.reason} == {"metric_series_limit"}


def test_long_labels_take_more_than_one_place() -> None:
    guard = protection(sender_series=100)
    wide = (series(note=f"{number:04}".ljust(3 * PLACE_BYTES, "x")) for number in range(1000))
    assert admitted(guard, wide, "otlp shop") == 25
    assert guard.counted == 100


@pytest.mark.parametrize(
    ("labels", "reason", "said"),
    [
        ({f"l{number}": "" for number in range(64)}, "labels_per_series", "65 labels, 64 are taken"),
        ({"n" * 257: "v"}, "label_name_bytes", "257 bytes"),
        ({"é" * 129: "v"}, "label_name_bytes", "258 bytes"),
        (
            {"sql": "v" * 4097},
            "label_value_bytes",
            "the label sql of requests_total has a value of 4,097 bytes",
        ),
        ({"sql": "é" * 2049}, "label_value_bytes", "4,098 bytes"),
        ({"ok": "v", "n" * 300: "v" * 5000}, "label_name_bytes", "300 bytes"),
    ],
)
def test_labels_that_are_too_many_or_too_long_are_refused(
    labels: dict[str, str], reason: str, said: str
) -> None:
    guard = protection()
    assert said in str(guard.admit(series(**labels), "otlp shop"))
    assert [refusal.reason for refusal in guard.refusals] == [reason]
    assert guard.counted == 0


def test_labels_at_their_limits_are_taken() -> None:
    guard = protection()
    for labels in ({f"l{n}": "" for n in range(63)}, {"n" * 256: "v"}, {"v": "é" * 2048}, {"a": "v" * 4096}):
        assert guard.admit(series(**labels), "otlp shop") is None


def test_what_is_stored_already_is_admitted_at_start_and_counts() -> None:
    guard = protection(sender_series=100)
    guard.starting = True
    assert admitted(guard, bomb(count=150), "") == 150
    guard.starting = False
    assert guard.counted == 150
    assert not guard.refusals
    assert admitted(guard, bomb(count=10), "") == 0
    assert guard.senders == 0
    assert admitted(guard, bomb(count=10), "scrape shop") == 10
    assert guard.senders == 1


def test_a_recount_makes_room_and_keeps_what_came_meanwhile() -> None:
    guard = protection(sender_series=100)
    assert admitted(guard, bomb(count=200), "s") == 100

    def take() -> Census:
        assert guard.admit(series(meanwhile="yes"), "t") is None
        return Census(60, {"requests_total": 60}, {"s": 60}, {})

    guard.recount(take)
    assert guard.counted == 61
    assert admitted(guard, bomb("other", 200), "s") == 40


def test_a_recount_that_fails_changes_nothing() -> None:
    guard = protection(sender_series=100)
    admitted(guard, bomb(count=50), "s")

    def take() -> Census:
        raise RuntimeError("no table")

    with pytest.raises(RuntimeError):
        guard.recount(take)
    assert guard.counted == 50
    assert admitted(guard, bomb("other", 200), "s") == 50


def test_bounds_are_the_retention_and_ten_minutes() -> None:
    guard = protection()
    bounds = guard.bounds(NOW_MS)
    assert bounds == Bounds(NOW_MS, NOW_MS - 35 * 86_400_000, NOW_MS + 600_000)
    assert bounds.fault(NOW_MS + 600_000) is None
    assert bounds.fault(bounds.oldest_ms) is None
    reason, sentence = bounds.fault(NOW_MS + 600_001) or ("", "")
    assert reason == "too_new"
    assert "more than 10 minutes ahead" in sentence
    reason, sentence = bounds.fault(bounds.oldest_ms - 1) or ("", "")
    assert reason == "too_old"
    assert "35 days" in sentence
    guard.past_s = 3600
    assert guard.bounds(NOW_MS).oldest_ms == NOW_MS - 3_600_000


def test_samples_of_refused_series_count_under_the_reason_their_sender_was_given() -> None:
    guard = protection(sender_series=100)
    admitted(guard, bomb(count=101), "otlp a")
    sentence = guard.refused_series("otlp a", 7)
    assert "sender_series_limit" in sentence
    guard.refused("too_old", "up{}", "otlp b", 3)
    assert guard.samples_by_reason == {"sender_series_limit": 7, "too_old": 3}
    assert Counter({refusal.sender: refusal.samples for refusal in guard.refusals}) == {
        "otlp a": 7,
        "otlp b": 3,
    }


def test_one_line_per_reason_and_minute_names_the_offender(caplog: pytest.LogCaptureFixture) -> None:
    clock = VirtualClock(NOW_MS)
    guard = protection(clock)
    with caplog.at_level(logging.WARNING, "setpoint.telemetry.protect"):
        for _ in range(5):
            guard.refused("too_old", 'up{job="a"}', "remote_write ::1", 10, "too old")
            guard.refused("malformed", "a body", "remote_write ::2", 1)
        assert len(caplog.messages) == 2
        assert '(too_old) from remote_write ::1: up{job="a"}: too old' in caplog.messages[0]
        clock.advance(61)
        guard.refused("too_old", 'up{job="a"}', "remote_write ::1", 10, "too old")
    assert len(caplog.messages) == 3
    assert caplog.messages[2].endswith("; 50 samples since the last such line")


def test_what_a_sender_writes_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    guard = protection()
    evil = series(**{"a": "x\nWARNING forged", "n" * 300: "\x1b[31m"})
    with caplog.at_level(logging.WARNING, "setpoint.telemetry.protect"):
        guard.admit(evil, "otlp x\nERROR forged")
    [line] = caplog.messages
    assert line.isprintable()


def test_what_is_remembered_of_refusals_is_bounded() -> None:
    guard = protection()
    for number in range(5000):
        guard.refused("too_old", "up", f"otlp {number}", 1)
    assert len(guard.refusals) == 501
    assert guard.samples_by_reason == {"too_old": 5000}
    assert sum(refusal.samples for refusal in guard.refusals) == 5000


_senders = st.sampled_from(["a", "b", "c"])
_metrics = st.sampled_from(["x", "y"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(_metrics, _senders, st.integers(0, 2500)), max_size=300))
def test_no_count_ever_exceeds_its_limit(brought: list[tuple[str, str, int]]) -> None:
    guard = protection(series=60, metric_series=50, sender_series=30)
    metrics: Counter[str] = Counter()
    senders: Counter[str] = Counter()
    for number, (metric, sender, length) in enumerate(brought):
        one = series(metric, id=str(number), pad="p" * length)
        places = -(-sum(len(name) + len(value) for name, value in one.labels.items()) // PLACE_BYTES)
        if guard.admit(one, sender) is None:
            metrics[metric] += places
            senders[sender] += places
    assert guard.counted == sum(senders.values()) <= 60
    assert max(metrics.values(), default=0) <= 50
    assert max(senders.values(), default=0) <= 30
