"""Groups of spans and of rows: found, counted together as a loop counts each, from the document to the budget."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.clock import SystemClock, VirtualClock
from setpoint.database import Limits, TelemetryDatabase
from setpoint.errors import InvalidInput, Unavailable
from setpoint.objective import LedgerStore, ObjectiveBook
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Objective
from setpoint.objective.source.polled import Counter, Polled, polled_counts
from setpoint.objective.source.span_count import SpanCounter
from setpoint.objective.source.sql_count import SqlCounter
from setpoint.objective.source.stored_groups import StoredGroups
from setpoint.telemetry.model import SampleColumns
from tests.objective.openslo import documents, slo
from tests.objective.spans import Span, store_spans

MINUTE_MS = 60_000
NOW_MS = SystemClock().now_ms() // MINUTE_MS * MINUTE_MS
FIRST = NOW_MS // MINUTE_MS - 10
ODD = ["GET *", "it's \\", "{a:String} %s", "übel\tx", "a\0b", "1:a"]


def at(minute: int, second: float = 30.0) -> int:
    return (FIRST + minute) * MINUTE_MS + round(second * 1000)


def of_spans(*groups: dict[str, str], total: Any = None, bad: Any = None) -> list[Objective]:
    text = json.dumps({"service": ["shop*"]} | (total or {}))
    part = json.dumps(bad or {"status": ["error"]})
    one = Objective("pay", "shop", 0.99, 86_400, text, bad_query=part, engine="spans", is_counter=False)
    return [replace(one, name=f"pay.{number}", group=group) for number, group in enumerate(groups)]


def of_sql(text: str, *groups: dict[str, str], bad: str | None = None) -> list[Objective]:
    one = Objective("pay", "shop", 0.99, 86_400, text, bad_query=bad, engine="sql", is_counter=False)
    one = one if bad else replace(one, kind="raw")
    return [replace(one, name=f"pay.{number}", group=group) for number, group in enumerate(groups)]


def counted(counter: Counter, objectives: Sequence[Objective]) -> list[Slots]:
    outcomes = counter.count(objectives, FIRST, FIRST + 10)
    assert [outcome.error for outcome in outcomes] == [None] * len(objectives)
    return [outcome.slots for outcome in outcomes if outcome.slots is not None]


class Counted:
    """A database that counts the statements over spans that it is asked."""

    def __init__(self, database: TelemetryDatabase) -> None:
        self.asked = 0
        self._database = database

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)

    def limited(self, limits: Limits | None = None) -> Any:
        real, outer = self._database.limited(limits), self

        class Limited:
            lines = real.lines

            def query(self, statement: str, **parameters: Any) -> Any:
                outer.asked += "countIf" in statement or "__place" in statement
                return real.query(statement, **parameters)

        return Limited()


# ---- spans -----------------------------------------------------------------------------------------------------------

SPAN = st.builds(
    Span,
    end_ms=st.integers(at(0, 0.001), at(10, 0.0)),
    duration_ms=st.sampled_from([0, 1, 90_000]),
    service=st.sampled_from(["shop", "shop-eu", "cart"]),
    name=st.sampled_from(["GET /", "POST /pay", *ODD]),
    kind=st.sampled_from(["server", "client"]),
    status=st.integers(0, 2),
    attributes=st.sampled_from([{}, {"tenant": "a"}, {"tenant": "b"}, {"service": "odd"}]),
    resource=st.sampled_from([{}, {"region": "eu"}, {"region": "us"}]),
)
LABELS = ["service", "operation", "kind", "tenant", "attributes.service", "resource.region"]


def value_of(span: Span, label: str) -> str:
    fields = {"service": span.service, "operation": span.name, "kind": span.kind}
    fields |= {
        "tenant": span.attributes.get("tenant", ""),
        "attributes.service": span.attributes.get("service", ""),
    }
    return fields.get(label, span.resource.get("region", ""))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    spans=st.lists(SPAN, max_size=30),
    resent=st.integers(0, 10),
    labels=st.lists(st.sampled_from(LABELS), min_size=1, max_size=3, unique=True),
)
def test_any_groups_are_counted_as_a_loop_counts_them(
    telemetry_database: TelemetryDatabase, spans: list[Span], resent: int, labels: list[str]
) -> None:
    telemetry_database.command("TRUNCATE TABLE spans")
    if spans:
        store_spans(telemetry_database, spans, NOW_MS)
        store_spans(telemetry_database, spans[:resent], NOW_MS)

    def group_of(span: Span) -> tuple[str, ...]:
        return tuple(value_of(span, label) for label in labels)

    def is_total(span: Span) -> bool:
        return span.service.startswith("shop") and span.kind == "server"

    total = {"kind": ["server"]}
    looked = StoredGroups(telemetry_database).look(of_spans({}, total=total)[0], labels, at(0, 0), at(10, 0))
    assert looked == {group_of(span) for span in spans if is_total(span)}
    groups = sorted({group_of(span) for span in spans if all(group_of(span))} | {("nobody",) * len(labels)})
    objectives = of_spans(*[dict(zip(labels, group, strict=True)) for group in groups], total=total)
    senders = [number for number, label in enumerate(labels) if label in ("service", "resource.region")]
    found = counted(SpanCounter(telemetry_database), objectives)
    for group, slots in zip(groups, found, strict=True):
        for minute in range(10):
            ended = [one for one in spans if (one.end_ms - 1) // MINUTE_MS == FIRST + minute]
            alive = [
                one
                for one in ended
                if one.service.startswith("shop") and all(group_of(one)[k] == group[k] for k in senders)
            ]
            events = [one for one in ended if is_total(one) and group_of(one) == group]
            assert bool(slots.present[minute]) == bool(alive)
            assert slots.total[minute] == len(events)
            assert slots.good[minute] == len([one for one in events if one.status != 2])


def test_one_statement_counts_all_groups(telemetry_database: TelemetryDatabase) -> None:
    spans = [Span(at(1), name=f"op-{i}", status=2 * (i % 2)) for i in range(300)]
    store_spans(telemetry_database, spans, NOW_MS)
    database = Counted(telemetry_database)
    objectives = of_spans(*[{"operation": f"op-{i}"} for i in range(300)], {"operation": "op"})
    plain = of_spans({}, {})
    outcomes = SpanCounter(database).count([*objectives, *plain], FIRST, FIRST + 10)  # type: ignore[arg-type]
    assert database.asked == 2
    assert [outcome.slots.total.sum() for outcome in outcomes if outcome.slots] == [1] * 300 + [0, 300, 300]
    assert [outcome.slots.good.sum() for outcome in outcomes if outcome.slots] == [1, 0] * 150 + [0, 150, 150]


def test_a_silent_sender_is_no_data_and_an_operation_that_does_not_occur_is_no_event(
    telemetry_database: TelemetryDatabase,
) -> None:
    store_spans(telemetry_database, [Span(at(3), resource={"region": "eu"}), Span(at(5))], NOW_MS)
    eu, us, named = counted(
        SpanCounter(telemetry_database),
        [*of_spans({"resource.region": "eu"}, {"resource.region": "us"}), *of_spans({"operation": "GET /"})],
    )
    assert eu.present.tolist() == [minute == 3 for minute in range(10)]
    assert not us.present.any()
    assert named.present.tolist() == [minute in (3, 5) for minute in range(10)]
    assert named.total.sum() == 0


def test_a_selection_by_resource_is_silent_when_that_sends_nothing(
    telemetry_database: TelemetryDatabase,
) -> None:
    """As its group would be."""
    store_spans(telemetry_database, [Span(at(3), resource={"region": "eu"}), Span(at(5))], NOW_MS)
    (slots,) = counted(SpanCounter(telemetry_database), of_spans({}, total={"resource": {"region": ["eu"]}}))
    assert slots.present.tolist() == [minute == 3 for minute in range(10)]


def test_what_takes_too_much_is_told_for_every_group(telemetry_database: TelemetryDatabase) -> None:
    store_spans(telemetry_database, [Span(at(1)) for _ in range(50)], NOW_MS)
    counter = SpanCounter(telemetry_database, Limits(rows_read=10))
    outcomes = counter.count(of_spans({"service": "a"}, {"service": "b"}), FIRST, FIRST + 10)
    assert all("more than 10 rows" in str(outcome.error) for outcome in outcomes)
    counter.stopping = lambda: True
    outcomes = counter.count(of_spans({"service": "a"}), FIRST, FIRST + 10)
    assert isinstance(outcomes[0].error, Unavailable)


# ---- SQL -------------------------------------------------------------------------------------------------------------

ROWS = (
    "SELECT toStartOfMinute(fromUnixTimestamp64Nano(start_ns)) AS minute, name AS op, kind, count() AS value "
    "FROM spans WHERE start_ns >= {from_ns:Int64} AND start_ns < {to_ns:Int64} GROUP BY minute, op, kind"
)
BAD_ROWS = ROWS.replace("WHERE", "WHERE status = 'ERROR' AND")


def test_sql_is_run_once_for_all_groups(telemetry_database: TelemetryDatabase) -> None:
    spans = [Span(at(1), name=name, kind=kind, status=2) for name in ODD for kind in ("server", "client")]
    spans += [Span(at(2), name=name, kind="server") for name in ODD]
    store_spans(telemetry_database, spans, NOW_MS)
    database: Any = Counted(telemetry_database)
    groups = [(name, kind) for name in ODD for kind in ("server", "client", "none")]
    objectives = of_sql(ROWS, *[{"op": name, "kind": kind} for name, kind in groups], bad=BAD_ROWS)
    outcomes = SqlCounter(database).count(objectives, FIRST, FIRST + 10)
    assert database.asked == 2
    for (_, kind), outcome in zip(groups, outcomes, strict=True):
        assert outcome.error is None and outcome.slots is not None
        wanted = {"server": [1, 1], "client": [1, 0], "none": [0, 0]}[kind]
        assert outcome.slots.total.tolist()[1:3] == wanted
        assert outcome.slots.good.tolist()[1:3] == [0, wanted[1]]
        assert outcome.slots.present.sum() == sum(wanted)
    found = StoredGroups(telemetry_database).look(objectives[0], ["op", "kind"], at(0, 0), at(10, 0))
    assert found == {(name, kind) for name in ODD for kind in ("server", "client")}


def test_values_of_any_type_are_texts(telemetry_database: TelemetryDatabase) -> None:
    rows = (
        "SELECT toDateTime({from_s:Int64}) AS minute, arrayJoin([1, 2, NULL]) AS n, 0.5 AS value "
        "WHERE {to_s:Int64} > 0"
    )
    first, second = counted(SqlCounter(telemetry_database), of_sql(rows, {"n": "1"}, {"n": "3"}))
    assert first.good[0] == 0.5
    assert not second.present.any()
    look = StoredGroups(telemetry_database).look
    assert look(of_sql(rows, {})[0], ["n"], at(0, 0), at(10, 0)) == {("1",), ("2",), ("",)}


@pytest.mark.parametrize(
    ("columns", "labels", "told"),
    [
        (
            "1 AS value",
            ["region"],
            "the SQL returns no column 'region'; write SELECT …, region, and GROUP BY minute",
        ),
        (
            "'eu' AS region, 1 AS value, 2 AS more",
            ["region"],
            "returns more beside minute, value, region, so it may",
        ),
        ("'eu' AS region, 1 AS value", [], "or name it as groupBy of the SLO"),
        ("'eu' AS region", ["region"], "name them minute and value"),
        ("number AS value, 'eu' AS region", ["region"], "returns 2 rows for "),
        (
            "number AS value, 'eu' AS region",
            ["region"],
            " UTC and region 'eu'; GROUP BY minute, region, so that",
        ),
    ],
)
def test_what_is_wrong_with_columns_is_told(
    telemetry_database: TelemetryDatabase, columns: str, labels: list[str], told: str
) -> None:
    text = (
        f"SELECT toDateTime({{from_s:Int64}}) AS minute, {columns} FROM numbers(2) WHERE {{to_s:Int64}} > 0"
    )
    (outcome,) = SqlCounter(telemetry_database).count(
        of_sql(text, dict.fromkeys(labels, "eu")), FIRST, FIRST + 10
    )
    assert isinstance(outcome.error, InvalidInput)
    assert outcome.error.message.startswith("the ratio query: ")
    assert told in outcome.error.message


# ---- from the document to the budget ---------------------------------------------------------------------------------

SPANS_SLO = """\
indicator:
  spec:
    ratioMetric:
      bad: {metricSource: {type: spans, spec: {service: shop*, status: error}}}
      total: {metricSource: {type: spans, spec: {service: shop*}}}
timeWindow: [{duration: 2h, isRolling: true}]
objectives: [{target: 0.9}]
groupBy: [operation]
"""


def start(
    database: TelemetryDatabase, clock: VirtualClock, *texts: str, heard: list[Any] | None = None
) -> tuple[ObjectiveBook, tuple[Polled, ...]]:
    book = ObjectiveBook(
        lambda matchers, start_ms, end_ms: SampleColumns.empty(),
        lambda: None,
        LedgerStore(database),
        clock,
        on_alert=lambda changes: None if heard is None else heard.extend(changes),
        stored_groups=StoredGroups(database).look,
    )
    book.apply(documents(*texts))
    return book, polled_counts(book, database, clock, 300)


def play(book: ObjectiveBook, polled: tuple[Polled, ...], clock: VirtualClock, seconds: int) -> None:
    for second in range(0, seconds, 5):
        for one in polled:
            one.step()
        book.tick()
        if second % 60 == 0:
            book.regroup()
        clock.advance(5)


def steady(names: Sequence[str], first: int, end: int, *, bad: int = 0, **more: Any) -> list[Span]:
    """Ten spans a minute of each name, the first of them bad."""
    return [
        Span(minute * MINUTE_MS + 1000 + number, name=name, status=2 if number < bad else 0, **more)
        for minute in range(first, end)
        for name in names
        for number in range(10)
    ]


def test_groups_of_spans_have_history_budgets_and_alerts(telemetry_database: TelemetryDatabase) -> None:
    now = NOW_MS // MINUTE_MS
    store_spans(telemetry_database, steady(["GET /"], now - 180, now), NOW_MS)
    store_spans(telemetry_database, steady(["POST /pay"], now - 100, now - 90, bad=10), NOW_MS)
    store_spans(telemetry_database, steady(["POST /cart"], now - 15, now, bad=10), NOW_MS)
    clock, heard = VirtualClock(NOW_MS - 20 * MINUTE_MS), list[Any]()
    book, polled = start(telemetry_database, clock, slo(SPANS_SLO), heard=heard)
    # The last hour is looked through first, what is before within the same second here.
    assert [one.name for one in book.statuses()] == ["shop.get", "shop.post-pay"]
    play(book, polled, clock, 120)
    get, pay = book.statuses()
    assert (get.total, get.bad, get.state, get.gap_minutes) == (1200, 0, "healthy", 0)
    assert (pay.total, pay.bad, pay.state) == (100, 100, "exhausted")
    assert pay.group == {"operation": "POST /pay"}
    assert not pay.backfilling

    # A group that comes is there within a minute, and fires.
    play(book, polled, clock, 600)
    cart = book.status("shop.post-cart")
    assert cart.state == "exhausted"
    assert cart.covered_s < 3600 < get.covered_s  # what was looked through without it is not counted for it
    assert {change.objective for change in heard if change.state == "firing"} >= {"shop.post-cart"}
    book.close()

    # After a restart all are there, also what is silent; when its window ends it goes.
    book, polled = start(telemetry_database, clock, slo(SPANS_SLO))
    assert [one.name for one in book.statuses()] == ["shop.get", "shop.post-cart", "shop.post-pay"]
    assert book.status("shop.post-pay").total == 100
    clock.advance(3600)
    book.regroup()
    assert [one.name for one in book.statuses()] == ["shop.get", "shop.post-cart"]

    # It returns, with its name and its ledger.
    end = clock.now_ms() // MINUTE_MS
    store_spans(telemetry_database, steady(["POST /pay"], end - 1, end), clock.now_ms())
    book.regroup()
    play(book, polled, clock, 30)
    assert book.status("shop.post-pay").total >= 10
    book.close()


def test_late_spans_of_a_group_are_folded_in(telemetry_database: TelemetryDatabase) -> None:
    now = NOW_MS // MINUTE_MS
    store_spans(telemetry_database, steady(["a", "b"], now - 30, now), NOW_MS)
    clock = VirtualClock(NOW_MS)
    book, polled = start(telemetry_database, clock, slo(SPANS_SLO))
    play(book, polled, clock, 30)
    store_spans(telemetry_database, steady(["a"], now - 4, now - 3, bad=10), NOW_MS)
    play(book, polled, clock, 30)
    assert (book.status("shop.a").total, book.status("shop.a").bad) == (310, 10)
    assert (book.status("shop.b").total, book.status("shop.b").bad) == (300, 0)
    book.close()


def test_no_group_yet_is_seen(telemetry_database: TelemetryDatabase) -> None:
    """An SLO without groups shows, and says why; it is gone when a group comes."""
    clock, heard = VirtualClock(NOW_MS), list[Any]()
    text = SPANS_SLO + "noData: {action: alert, after: 1m}\n"
    book, polled = start(telemetry_database, clock, slo(text), heard=heard)
    play(book, polled, clock, 120)
    status = book.status("shop")
    assert (status.state, status.reason) == ("no data", "no group yet: no span that it counts has operation")
    assert not status.backfilling
    assert not heard
    store_spans(telemetry_database, [Span(clock.now_ms() - 1000, name="a")], NOW_MS)
    book.regroup()
    assert [one.name for one in book.statuses()] == ["shop.a"]
    book.close()


SQL_SLO = """\
indicator:
  spec:
    ratioMetric:
      bad: {metricSource: {type: sql, spec: {query: "BAD"}}}
      total: {metricSource: {type: sql, spec: {query: "TOTAL"}}}
timeWindow: [{duration: 2h, isRolling: true}]
objectives: [{target: 0.9}]
groupBy: [op, kind]
""".replace("BAD", BAD_ROWS).replace("TOTAL", ROWS)


def test_groups_of_rows(telemetry_database: TelemetryDatabase) -> None:
    now = NOW_MS // MINUTE_MS
    store_spans(telemetry_database, steady(["a"], now - 60, now, bad=5, duration_ms=0), NOW_MS)
    store_spans(telemetry_database, steady(["b"], now - 60, now, kind="client", duration_ms=0), NOW_MS)
    clock = VirtualClock(NOW_MS)
    book, polled = start(telemetry_database, clock, slo(SQL_SLO))
    play(book, polled, clock, 60)
    assert [(one.name, one.total, one.bad) for one in book.statuses()] == [
        ("shop.a.server", 600, 300),
        ("shop.b.client", 600, 0),
    ]
    book.close()


def test_sql_that_cannot_be_run_shows(telemetry_database: TelemetryDatabase) -> None:
    clock = VirtualClock(NOW_MS)
    wrong = SQL_SLO.replace("name AS op, kind", "name AS op, kind AS no_kind")
    book, polled = start(telemetry_database, clock, slo(wrong))
    play(book, polled, clock, 30)
    status = book.status("shop")
    assert status.state == "no data"
    assert status.reason.startswith("the total query: ")
    book.close()


def test_groups_of_a_composite(telemetry_database: TelemetryDatabase) -> None:
    """Of every group that a part has; where another part knows nothing of it, that is said."""
    now = NOW_MS // MINUTE_MS
    eu, us = {"region": "eu"}, {"region": "us"}
    store_spans(telemetry_database, steady(["look", "pay"], now - 30, now, resource=eu), NOW_MS)
    store_spans(telemetry_database, steady(["look"], now - 30, now, resource=us, service="us"), NOW_MS)
    text = """\
  - displayName: {name}
    target: 0.9
    indicator:
      spec:
        ratioMetric:
          bad: {{metricSource: {{type: spans, spec: {{service: {services}, operation: {name}, status: error}}}}}}
          total: {{metricSource: {{type: spans, spec: {{service: {services}, operation: {name}}}}}}}
"""
    parts = text.format(name="look", services="[shop, us]") + text.format(name="pay", services="shop")
    clock = VirtualClock(NOW_MS)
    book, polled = start(telemetry_database, clock, slo(f"objectives:\n{parts}groupBy: [resource.region]\n"))
    play(book, polled, clock, 60)
    found = {one.name: (one.state, one.total) for one in book.statuses()}
    assert found == {
        "shop.eu": ("healthy", 30),
        "shop.look.eu": ("healthy", 300),
        "shop.pay.eu": ("healthy", 300),
        "shop.us": ("no data", 0),
        "shop.look.us": ("healthy", 300),
        "shop.pay.us": ("no data", 0),
    }
    # Parts have no policies, whose burn would be told: it is the last hour's.
    part = book.status("shop.look.eu")
    assert (part.burn_now, part.burn_now_s) == (0, 3600)
    assert book.status("shop.pay.us").burn_now is None
    book.close()
