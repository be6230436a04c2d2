"""Objectives over spans and SQL from the document to the budget: the server's book, real chdb, a restart."""

from __future__ import annotations

from pathlib import Path

from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import TelemetryDatabase
from setpoint.objective import LedgerStore, ObjectiveBook, register
from setpoint.objective.source.polled import Polled, polled_counts
from setpoint.resource import Document, Registry, load_paths, load_text
from setpoint.telemetry.model import SampleColumns
from tests.objective.spans import Span, store_spans

EXAMPLES = Path(__file__).parents[3] / "examples/objectives"
MINUTE_MS = 60_000
NOW_MS = SystemClock().now_ms() // MINUTE_MS * MINUTE_MS


def documents(*names: str) -> list[Document]:
    registry = Registry()
    register(registry)
    return load_text(load_paths([EXAMPLES / name for name in names]), registry)


def start(database: TelemetryDatabase, clock: VirtualClock) -> tuple[ObjectiveBook, tuple[Polled, ...]]:
    book = ObjectiveBook(
        lambda matchers, start_ms, end_ms: SampleColumns.empty(), lambda: None, LedgerStore(database), clock
    )
    book.apply(documents("spans.yaml", "sql.yaml"))
    return book, polled_counts(book, database, clock, 300)


def play(book: ObjectiveBook, polled: tuple[Polled, ...], clock: VirtualClock, seconds: int) -> None:
    for _ in range(0, seconds, 5):
        for one in polled:
            one.step()
        book.tick()
        clock.advance(5)


def payments(first: int, minutes: int, *, slow: int) -> list[Span]:
    """Ten payments a minute of which `slow` take too long, and one that is none."""
    found = []
    for minute in range(first, first + minutes):
        for number in range(10):
            duration_ms = 500 if number < slow else 50
            kind = {"payment.kind": "card" if number % 2 else "voucher"}
            found.append(
                Span(
                    minute * MINUTE_MS + 1000 + number,
                    duration_ms,
                    "cashier",
                    "POST /payments/1",
                    attributes=kind,
                )
            )
        found.append(Span(minute * MINUTE_MS + 2000, 5, "cashier", "GET /health"))
    return found


def log(database: TelemetryDatabase, first: int, end: int, records: int, *, severity: int) -> None:
    """As many records in each minute."""
    instants = [
        (minute * MINUTE_MS * 1_000_000 + number, severity * 1000 + number)
        for minute in range(first, end)
        for number in range(records)
    ]
    database.insert(
        "logs",
        {
            "service": ["stocktaking"] * len(instants),
            "ts_ns": [at_ns for at_ns, _ in instants],
            "id": [number for _, number in instants],
            "severity_number": [severity] * len(instants),
        },
    )


def test_spans_and_sql_have_budgets(telemetry_database: TelemetryDatabase) -> None:
    now = NOW_MS // MINUTE_MS
    store_spans(telemetry_database, payments(now - 240, 240, slow=1), NOW_MS)
    log(telemetry_database, now - 120, now, 99, severity=9)
    log(telemetry_database, now - 120, now, 1, severity=17)
    clock = VirtualClock(NOW_MS - 60 * MINUTE_MS)
    book, polled = start(telemetry_database, clock)
    play(book, polled, clock, 130)
    status = book.status("cashier-quick")
    assert (status.total, status.bad) == (10 * 182, 182)
    assert status.state == "exhausted"
    assert status.gap_minutes == 0
    assert not status.backfilling
    rows = book.status("stocktaking-rows")
    assert (rows.total, rows.bad) == (100 * 62, 62)
    book.close()

    # Down for half an hour.
    clock = VirtualClock(NOW_MS - 28 * MINUTE_MS)
    book, polled = start(telemetry_database, clock)
    assert book.status("cashier-quick").total == 10 * 182
    play(book, polled, clock, 70)
    assert book.status("cashier-quick").total == 10 * 213
    assert book.status("stocktaking-rows").total == 100 * 93
    assert book.status("stocktaking-rows").gap_minutes == 0
    book.close()


def test_a_query_that_cannot_be_run_is_no_data_with_the_reason(telemetry_database: TelemetryDatabase) -> None:
    telemetry_database.command("RENAME TABLE logs TO logs_away")
    try:
        clock = VirtualClock(NOW_MS)
        book, polled = start(telemetry_database, clock)
        play(book, polled, clock, 25)
        status = book.status("stocktaking-rows")
        assert status.state == "no data"
        assert "the total query: Unknown table expression identifier 'logs'" in status.reason
    finally:
        telemetry_database.command("RENAME TABLE logs_away TO logs")
    play(book, polled, clock, 30)
    assert "Unknown table" not in book.status("stocktaking-rows").reason
    book.close()
