"""Spans are counted as OTLP brings them: by selection, in the minute of their end, resent ones once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.clock import SystemClock
from setpoint.database import Limits, TelemetryDatabase
from setpoint.errors import InvalidInput
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Objective
from setpoint.objective.source.span_count import SpanCounter
from tests.objective.spans import Span, store_spans

NOW_MS = SystemClock().now_ms() // 60_000 * 60_000  # the database drops what is older than its retention
FIRST = NOW_MS // 60_000 - 10


def objective(
    total: dict[str, Any], *, good: Any = None, bad: Any = None, name: str = "pay", **more: Any
) -> Objective:
    def text(fields: Any) -> str | None:
        return None if fields is None else json.dumps({"service": ["shop"]} | fields)

    return Objective(
        name, "shop", 0.99, 86_400, text(total) or "", text(good), text(bad), engine="spans", is_counter=False, **more
    )  # fmt: skip


def at(minute: int, second: float = 30.0) -> int:
    return (FIRST + minute) * 60_000 + round(second * 1000)


def counted(counter: SpanCounter, *objectives: Objective) -> list[Slots]:
    outcomes = counter.count(objectives, FIRST, FIRST + 10)
    assert all(outcome.error is None and outcome.fault is None for outcome in outcomes)
    return [outcome.slots for outcome in outcomes if outcome.slots is not None]


def test_good_and_bad_are_a_part_of_the_total(telemetry_database: TelemetryDatabase) -> None:
    store_spans(
        telemetry_database,
        [
            Span(at(1), status=0),
            Span(at(1), status=1, duration_ms=250),
            Span(at(1), status=2),
            Span(at(1), name="GET /health", status=2),
            Span(at(1), kind="client", status=2),
            Span(at(1), service="cart", status=2),
            Span(at(2), duration_ms=250.0001, attributes={"http.route": "/pay"}),
        ],
        NOW_MS,
    )
    total = {"operation": ["POST /*"], "kind": ["server"]}
    counter = SpanCounter(telemetry_database)
    by_status, by_duration, by_attribute = counted(
        counter,
        objective(total, bad={"status": ["error"]}),
        objective(total, good={"status": ["ok", "unset"], "maxDurationMs": 250}, name="fast"),
        objective(total | {"attributes": {"http.route": ["/pay"]}}, bad={"minDurationMs": 250}, name="route"),
    )
    assert by_status.total.tolist()[1:3] == [3, 1]
    assert by_status.good.tolist()[1:3] == [2, 1]
    assert by_duration.good.tolist()[1:3] == [2, 0]
    assert by_attribute.total.tolist()[1:3] == [0, 1]
    assert by_attribute.good.tolist()[1:3] == [0, 0]
    assert by_status.present.tolist() == [False, True, True] + [False] * 7


def test_a_minute_with_other_spans_of_the_service_has_zero_events(
    telemetry_database: TelemetryDatabase,
) -> None:
    store_spans(telemetry_database, [Span(at(3), name="GET /"), Span(at(4), service="cart")], NOW_MS)
    (slots,) = counted(SpanCounter(telemetry_database), objective({"operation": ["POST /pay"]}, bad={}))
    assert slots.present.tolist() == [False] * 3 + [True] + [False] * 6
    assert slots.total.sum() == 0


def test_a_span_counts_when_it_ended_and_once(telemetry_database: TelemetryDatabase) -> None:
    long = Span(at(5, 0.0), duration_ms=4 * 60_000)  # at the edge: it belongs to the minute that ends there
    store_spans(telemetry_database, [long, Span(at(5, 0.001), duration_ms=1)], NOW_MS)
    store_spans(telemetry_database, [long], NOW_MS)  # the sender did not hear that it was stored
    (slots,) = counted(SpanCounter(telemetry_database), objective({}, bad={"status": ["error"]}))
    assert slots.total.tolist() == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]


def test_texts_of_a_selection_are_only_texts(telemetry_database: TelemetryDatabase) -> None:
    odd = "50%_\\ 'x' {a:String}"
    store_spans(
        telemetry_database, [Span(at(1), name=odd), Span(at(1), name="50x_\\ 'x' {a:String}")], NOW_MS
    )
    counter = SpanCounter(telemetry_database)
    exact, pattern = counted(
        counter,
        objective({"operation": [odd]}, bad={}),
        objective({"operation": ["50%_*'x'*"]}, bad={}, name="p"),
    )
    assert exact.total.sum() == pattern.total.sum() == 1


def test_many_objectives_are_counted_together(telemetry_database: TelemetryDatabase) -> None:
    store_spans(
        telemetry_database, [Span(at(1), name=f"op-{i}", status=2 * (i % 2)) for i in range(70)], NOW_MS
    )
    objectives = [
        objective({"operation": [f"op-{i}"]}, bad={"status": ["error"]}, name=f"o{i}") for i in range(70)
    ]
    found = counted(SpanCounter(telemetry_database), *objectives)
    assert [slots.total.sum() for slots in found] == [1] * 70
    assert [slots.good.sum() for slots in found] == [1, 0] * 35


def test_what_takes_too_much_is_refused_with_the_reason(telemetry_database: TelemetryDatabase) -> None:
    store_spans(telemetry_database, [Span(at(1)) for _ in range(50)], NOW_MS)
    counter = SpanCounter(telemetry_database, Limits(rows_read=10))
    (outcome,) = counter.count([objective({}, bad={})], FIRST, FIRST + 10)
    assert isinstance(outcome.error, InvalidInput)
    assert "more than 10 rows" in outcome.error.message


def test_news_are_spans(telemetry_database: TelemetryDatabase) -> None:
    counter = SpanCounter(telemetry_database)
    assert counter.has_news()
    assert not counter.has_news()
    assert counter.oldest_ms() is None
    store_spans(telemetry_database, [Span(at(1), duration_ms=0)], NOW_MS)
    assert counter.has_news()
    assert counter.oldest_ms() == at(1)


SPAN = st.builds(
    Span,
    end_ms=st.integers(at(0, 0.001), at(10, 0.0)),
    duration_ms=st.sampled_from([0, 1, 99.9, 100, 100.1, 90_000]),
    service=st.sampled_from(["shop", "cart", "shop-eu"]),
    name=st.sampled_from(["GET /", "POST /pay", "POST /cart"]),
    kind=st.sampled_from(["server", "client"]),
    status=st.integers(0, 2),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(spans=st.lists(SPAN, max_size=30), resent=st.integers(0, 10))
def test_any_spans_are_counted_as_a_loop_counts_them(
    telemetry_database: TelemetryDatabase, spans: list[Span], resent: int
) -> None:
    telemetry_database.command("TRUNCATE TABLE spans")
    if spans:
        store_spans(telemetry_database, spans, NOW_MS)
        store_spans(telemetry_database, spans[:resent], NOW_MS)
    (slots,) = counted(
        SpanCounter(telemetry_database),
        objective(
            {"service": ["shop*"], "operation": ["POST /*"], "kind": ["server"]},
            good={"status": ["ok", "unset"], "maxDurationMs": 100},
        ),
    )
    # `good` keeps service: shop, which here is a further condition.
    for minute in range(10):
        ended = [span for span in spans if (span.end_ms - 1) // 60_000 == FIRST + minute]
        alive = [span for span in ended if span.service != "cart"]
        total = [span for span in alive if span.name.startswith("POST") and span.kind == "server"]
        good = [
            span for span in total if span.status != 2 and span.duration_ms <= 100 and span.service == "shop"
        ]
        assert bool(slots.present[minute]) == bool(alive)
        assert (slots.total[minute], slots.good[minute]) == (len(total), len(good))


@pytest.mark.parametrize("duration_ms", [86_399_000, 86_401_000])
def test_a_span_of_more_than_a_day_is_not_counted(
    telemetry_database: TelemetryDatabase, duration_ms: int
) -> None:
    store_spans(telemetry_database, [Span(at(0, 30), duration_ms=duration_ms)], NOW_MS)
    (slots,) = counted(SpanCounter(telemetry_database), objective({}, bad={}))
    assert slots.total.sum() == (duration_ms < 86_400_000)
