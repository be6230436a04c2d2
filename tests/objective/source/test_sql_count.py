"""A user's SQL is run only when it reads signals and computes, and is believed only when it gives a number a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from setpoint.clock import SystemClock
from setpoint.database import Limits, TelemetryDatabase
from setpoint.errors import InvalidInput, SetpointError
from setpoint.objective.model import Objective
from setpoint.objective.source.numbers import Numbers
from setpoint.objective.source.outcome import Outcome
from setpoint.objective.source.sql_check import refuse_tree
from setpoint.objective.source.sql_count import SqlCounter
from tests.objective.spans import Span, store_spans

NOW_MS = SystemClock().now_ms() // 60_000 * 60_000
FIRST = NOW_MS // 60_000 - 10
STRETCH = "start_ns >= {from_s:Int64} * 1000000000 AND start_ns < {to_s:Int64} * 1000000000"
MINUTE = "toStartOfMinute(toDateTime(intDiv(start_ns, 1000000000)))"
TOTAL = f"SELECT {MINUTE} AS minute, count() AS value FROM spans WHERE {STRETCH} GROUP BY minute"
BAD = TOTAL.replace("WHERE", "WHERE status = 'ERROR' AND")


def one(expression: str, more: str = "") -> str:
    """A SELECT of one row, of the first minute."""
    return f"SELECT toDateTime({{from_s:Int64}}) AS minute, {expression} AS value {more} WHERE {{to_s:Int64}} > 0"


def objective(total: str, *, good: str | None = None, bad: str | None = None, **more: Any) -> Objective:
    return Objective("pay", "shop", 0.99, 86_400, total, good, bad, engine="sql", is_counter=False, **more)


def count(database: TelemetryDatabase, *objectives: Objective) -> list[Outcome]:
    return SqlCounter(database).count(objectives, FIRST, FIRST + 10)


def reason(database: TelemetryDatabase, text: str) -> str:
    (outcome,) = count(database, objective(text, kind="raw"))
    assert isinstance(outcome.error, InvalidInput), outcome
    assert outcome.slots is None
    return outcome.error.message


def spans() -> list[Span]:
    at_ms = FIRST * 60_000 + 30_000
    return [Span(at_ms, status=2), Span(at_ms), Span(at_ms + 60_000), Span(at_ms + 120_000, name="GET 50%")]


def test_counts_per_minute(telemetry_database: TelemetryDatabase) -> None:
    store_spans(telemetry_database, spans(), NOW_MS)
    comment = TOTAL + " -- it's the total"
    with_text = TOTAL.replace("WHERE", "WHERE name LIKE '%50\\%' AND")
    first, second, third = count(
        telemetry_database,
        objective(TOTAL, bad=BAD),
        objective(comment, good=TOTAL),
        objective(TOTAL, good=f"WITH x AS ({with_text}) SELECT minute AS time, value FROM x"),
    )
    assert [first.error, second.error, third.error] == [None, None, None]
    assert first.slots and second.slots and third.slots
    assert first.slots.total.tolist() == [2, 1, 1] + [0] * 7
    assert first.slots.good.tolist() == [1, 1, 1] + [0] * 7
    assert first.slots.present.tolist() == [True] * 3 + [False] * 7
    assert second.slots.good.tolist() == second.slots.total.tolist()
    assert third.slots.good.tolist() == [0, 0, 1] + [0] * 7


def test_ready_made_ratios_and_values(telemetry_database: TelemetryDatabase) -> None:
    rows = (
        "SELECT toDateTime({from_s:Int64}) + number * 60 AS minute, "
        "if(number = 2, NULL, number / 4) AS value FROM numbers(5) WHERE {to_s:Int64} > 0"
    )
    raw, failure, threshold = count(
        telemetry_database,
        objective(rows, kind="raw"),
        objective(rows, kind="raw", raw_is_failure=True),
        objective(rows, kind="threshold", op="lt", value=0.5),
    )
    assert raw.slots and failure.slots and threshold.slots
    assert raw.slots.good.tolist()[:5] == [0, 0.25, 0, 0.75, 1]
    assert raw.slots.total.tolist()[:6] == [1, 1, 0, 1, 1, 0]
    assert failure.slots.good.tolist()[:5] == [1, 0.75, 0, 0.25, 0]
    assert threshold.slots.good.tolist()[:5] == [1, 1, 0, 0, 0]


def test_a_count_below_zero_is_no_count(telemetry_database: TelemetryDatabase) -> None:
    (outcome,) = count(telemetry_database, objective(one("-3"), bad=one("0")))
    assert outcome.slots is not None
    assert not outcome.slots.present.any()
    assert outcome.fault is not None
    assert "the total query gives -3 at " in outcome.fault


@pytest.mark.parametrize(
    "text, told",
    [
        (one("1", "FROM system.tables"), "must not read system.tables"),
        (one("1 IN system.one"), "must not read system.one"),
        (one("(SELECT count() FROM information_schema.tables)"), "must not read"),
        (one("1", "FROM default.`/etc/passwd`"), "must not read"),
        (one("1", "FROM _temporary_and_external_tables.x"), "there is no table"),
        (one("length(file('/etc/passwd'))"), "function file "),
        (one("1", "FROM file('/etc/passwd', 'LineAsString')"), "must not read from file()"),
        (one("1", "FROM url('http://127.0.0.1:1/', 'LineAsString')"), "must not read from url()"),
        (one("1", "FROM merge('system', '.*')"), "must not read from merge()"),
        (one("1", "FROM view(SELECT 1)"), "must not read from view()"),
        (one("sleep(3)"), "function sleep "),
        (one("getSetting('max_threads')"), "function getSetting "),
        (one("1") + " SETTINGS max_threads = 8", "leave the SETTINGS out"),
        (one("1") + " INTO OUTFILE '/tmp/x'", "OUTFILE"),
        (one("1") + ") FORMAT CSV --", "Syntax error"),
        (one("1") + "; DROP TABLE spans", "holds a ';'"),
        ("INSERT INTO logs (service) SELECT '{from_s:Int64}{to_s:Int64}'", "is no SELECT"),
        ("DROP TABLE spans", "is no SELECT"),
        ("SELECT now() AS minute, 1 AS value", "does not name {from_s:Int64}"),
        (one("1", "FROM nowhere"), "nowhere"),
        (one("1").replace("value", "number"), "returns the columns minute, number; name them minute and value"),
        (one("1").replace("AS value", "AS value, 'eu' AS region"), "several series"),
        (one("'many'"), "no number"),
        (one("1").replace("toDateTime({from_s:Int64})", "{from_s:Int64}"), "make it a DateTime"),
        (one("number", "FROM numbers(3)"), "returns 3 rows for "),
        (one("throwIf(1)"), "function throwIf "),
        (one("1 / {other:Int64}"), "other"),
    ],
)  # fmt: skip
def test_what_is_refused(telemetry_database: TelemetryDatabase, text: str, told: str) -> None:
    message = reason(telemetry_database, text)
    assert told in message
    assert message.startswith("the ratio query: ")
    assert "Code:" not in message
    assert len(message) < 400


def test_no_function_of_the_engine_leads_out(telemetry_database: TelemetryDatabase) -> None:
    """Whatever this version of the engine has: tables come from tables, and functions only compute."""
    names = telemetry_database.query("SELECT name FROM system.table_functions")["name"].tolist()
    for name in names:
        if name not in ("numbers", "zeros", "values", "generateSeries", "generate_series"):
            with pytest.raises(InvalidInput):
                refuse_tree(
                    ["    TableExpression (children 1)", f"     Function {name} (children 1)"],
                    {name.lower()},
                    own_database=None,
                )
    rows = telemetry_database.query(
        "SELECT lower(name) AS name, categories FROM system.functions WHERE NOT is_aggregate"
    )
    known = SqlCounter(telemetry_database).statements.known_functions()
    closed = ("AI", "Dictionary", "Introspection", "Machine Learning", "Embedded Dictionary")
    led_out = [
        name
        for name, kinds in zip(rows["name"].tolist(), rows["categories"].tolist(), strict=True)
        if name in known and kinds.strip() in closed
    ]
    assert not led_out
    outward = {
        "file",
        "sleep",
        "sleepeachrow",
        "getsetting",
        "getmacro",
        "hostname",
        "filesystemavailable",
        "joinget",
    }
    outward |= {
        "getserversetting",
        "dictget",
        "aigenerate",
        "currentuser",
        "fullhostname",
        "hascolumnintable",
        "__getscalar",
    }
    assert not outward & known
    assert {"count", "tostartofminute", "if", "date_trunc", "lower", "greatest"} <= known


@pytest.mark.parametrize(
    "expression",
    [
        "(SELECT countIf(status = 'ERROR') / greatest(count(), 1) FROM spans)",
        "(SELECT quantileExact(0.5)(duration_ns) FROM setpoint.spans) * 0 + 1",
        "arraySum(x -> x * 2, [0.1, 0.2])",
        "CASE WHEN 1 THEN 0.5 ELSE 0 END",
        "(SELECT sumOrNull(value) FROM (SELECT 1 AS value)) - (SELECT uniqExactIf(trace_id, 1) FROM spans)",
        "date_trunc('hour', now()) > toDateTime(0) AND NOT match('a', 'b') AND length('x') BETWEEN 1 AND 2",
        "CAST(1 AS Float64)",
        "1::UInt8",
        "JSONExtractFloat('{\"a\":1}', 'a')",
        "(SELECT sum(n) OVER (ORDER BY n) FROM (SELECT 1 AS n))",
        "mapContains(map('a', 1), 'a') + ('x' IN ('x', 'y'))",
    ],
)
def test_what_computes_may_be_used(telemetry_database: TelemetryDatabase, expression: str) -> None:
    numbers = SqlCounter(telemetry_database).numbers(one(expression), FIRST, FIRST + 10)
    assert numbers.present.tolist() == [True] + [False] * 9
    assert np.isfinite(numbers.values[0])


@pytest.mark.parametrize(
    "limits, text, told",
    [
        (Limits(seconds=0.05), one("sum(number)", "FROM numbers(999999999)"), "longer than 0.05 s"),
        (Limits(rows_read=1000), one("count()", "FROM numbers(100000)"), "more than 1,000 rows"),
        (Limits(memory_bytes=30 << 20), one("length(groupArray(number))", "FROM numbers(10000000)"), "memory"),
        (
            Limits(rows=100),
            one("1", "FROM numbers(1000)"),
            "returns more than 100 rows",
        ),
    ],
)  # fmt: skip
def test_limits(telemetry_database: TelemetryDatabase, limits: Limits, text: str, told: str) -> None:
    counter = SqlCounter(telemetry_database, limits)
    with pytest.raises(InvalidInput, match=told):
        counter.numbers(text, FIRST, FIRST + 10)
    counter.numbers(one("1"), FIRST, FIRST + 10)  # the connection goes on


def test_the_connection_itself_can_only_read(telemetry_database: TelemetryDatabase, tmp_path: Path) -> None:
    limited = telemetry_database.limited()
    for statement in (
        "INSERT INTO logs (service) VALUES ('x')",
        "DROP TABLE logs",
        "SET readonly = 0",
        "SELECT 1 SETTINGS max_execution_time = 0",
        f"SELECT * FROM file('{tmp_path}/x', 'LineAsString')",
    ):
        with pytest.raises(SetpointError):
            limited.query(statement)
    telemetry_database.command("CREATE TABLE IF NOT EXISTS other (n Int8) ENGINE = Memory")
    telemetry_database.command("DROP TABLE other")


class Noting(SqlCounter):
    """Notes what it is asked for."""

    asked: list[str]

    def numbers(self, text: str, first: int, end: int) -> Numbers:
        self.asked.append(text)
        return super().numbers(text, first, end)


def test_each_text_is_run_once(telemetry_database: TelemetryDatabase) -> None:
    counter = Noting(telemetry_database)
    counter.asked = []
    three = [objective(TOTAL, bad=BAD), objective(TOTAL, good=BAD), objective(BAD, bad=TOTAL)]
    counter.count(three, FIRST, FIRST + 1)
    assert sorted(counter.asked) == sorted([TOTAL, BAD])
