"""The page of telemetry, its JSON, Prometheus's tsdb status, and the command, over one real server."""

from __future__ import annotations

import dataclasses
import json

import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.clock import VirtualClock
from setpoint.telemetry import MetricBatch, Series, fingerprint
from tests.cli.program import setpoint
from tests.web.conftest import HTML, JSON, NOW_MS, MakeApp, send


def batch(sender: str, metric: str, count: int, service: str = "shop", at_ms: int = NOW_MS) -> MetricBatch:
    """One sample of each of `count` series, told apart by the label `pod`."""
    made = []
    for number in range(count):
        labels = {"__name__": metric, "pod": f"pod-{number}", "service_name": service}
        made.append(Series(fingerprint(labels), labels, service, type="counter"))
    index = np.arange(count, dtype=np.int32)
    times = np.full(count, at_ms, np.int64)
    return MetricBatch(made, index, times, np.ones(count), sender=sender)


@pytest.fixture
def busy(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server to which three senders have sent for ten seconds."""
    assert isinstance(parts.clock, VirtualClock)
    for step in range(2):
        send(parts, batch("scrape node", "node_cpu_seconds_total", 60, "node", NOW_MS + 10_000 * step))
        send(parts, batch("otlp checkout", "requests_total", 30, "checkout", NOW_MS + 10_000 * step))
        send(parts, batch("remote_write 10.0.0.7", "<b>up</b>", 10, "a & b", NOW_MS + 10_000 * step))
        parts.clock.advance(10)
    parts.usage.tick()
    return client


def test_the_page_shows_who_sends_what(busy: httpx.Client) -> None:
    text = busy.get("/telemetry", headers=HTML).text
    assert "taking everything" in text
    assert "from 3 senders" in text
    assert "node_<wbr>cpu_<wbr>seconds_<wbr>total" in text
    assert "&lt;b&gt;up&lt;" in text and "<b>up" not in text
    assert text.index("node_<wbr>cpu") < text.index("requests_<wbr>total")
    for by, name in {
        "label": "pod",
        "pair": "pod=&#34;pod-0&#34;",
        "sender": "remote_<wbr>write 10<wbr>",
        "service": "a &amp; b",
    }.items():
        answer = busy.get(f"/telemetry?by={by}", headers=HTML)
        assert answer.status_code == 200
        assert name.replace("10<wbr>", "10") in answer.text, by


def test_the_page_is_json_too(busy: httpx.Client, parts: App) -> None:
    answer = busy.get("/telemetry?by=sender&sort=samples&limit=2", headers=JSON).json()
    figures, top = answer["figures"], answer["top"]
    assert figures["series"] == figures["series_places"] == 100
    assert figures["senders"] == 3
    assert figures["samples_per_s"] == pytest.approx(10)
    assert figures["new_series_last_hour"] == 100
    assert sum(figures["memory_bytes"].values()) == pytest.approx(100 * figures["memory_bytes_per_series"])
    assert answer["limits"]["series"] == parts.settings.series_limit
    assert answer["refusals"] == []
    assert [row["name"] for row in top["rows"]] == ["scrape node", "otlp checkout"]
    assert top["total"] == 3
    assert top["rows"][0]["samples_per_s"] == pytest.approx(6)
    assert top["rows"][0]["share"] == pytest.approx(0.6)


def test_an_empty_page_teaches_how_to_send(client: httpx.Client) -> None:
    text = client.get("/telemetry", headers=HTML).text
    assert "No series yet" in text
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT={str(client.base_url).rstrip('/')}" in text


def test_refusals_show_who_why_and_what_to_do(make_app: MakeApp, serve) -> None:  # type: ignore[no-untyped-def]
    parts = make_app(metric_series_limit=100)
    send(parts, batch("otlp bomb", "requests_total", 300))
    parts.protection.refused_series("otlp bomb", 210)
    with httpx.Client(base_url=serve(parts).url) as client:
        text = client.get("/telemetry", headers=HTML).text
        assert "refusing" in text
        assert "<title>refusing · Telemetry" in text
        assert "otlp bomb" in text
        assert "The metric requests_total has 90 series" in text
        assert "the label pod varies most" in text
        [refusal] = client.get("/telemetry", headers=JSON).json()["refusals"]
    assert refusal["reason"] == "metric_series_limit"
    assert refusal["sender"] == "otlp bomb"
    assert refusal["samples"] >= 210
    assert refusal["offender"].startswith('requests_total{pod="pod-')


def test_a_table_that_is_nearly_full_says_so(make_app: MakeApp, serve) -> None:  # type: ignore[no-untyped-def]
    parts = make_app(series_limit=1000)
    send(parts, batch("otlp shop", "requests_total", 880))
    with httpx.Client(base_url=serve(parts).url) as client:
        text = client.get("/telemetry", headers=HTML).text
    assert "nearly full" in text
    assert "88\u00a0%" in text


def test_rows_are_limited_and_more_are_offered(parts: App, client: httpx.Client) -> None:
    for number in range(40):
        send(parts, batch("scrape x", f"metric_{number:02}", 1))
    text = client.get("/telemetry", headers=HTML).text
    assert "Show more of 40" in text
    assert "limit=100" in text
    assert "Show more" not in client.get("/telemetry?limit=100", headers=HTML).text
    assert client.get("/telemetry?limit=0").status_code == 400
    assert client.get("/api/telemetry/top?by=pair&sort=new").json()["error"]["code"] == "invalid_input"


def test_prometheus_s_status_of_its_database(busy: httpx.Client, parts: App) -> None:
    answer = busy.get("/api/v1/status/tsdb?limit=3").json()
    assert answer["status"] == "success"
    data = answer["data"]
    assert data["headStats"]["numSeries"] == 100
    assert data["headStats"]["numLabelPairs"] == 66
    assert data["headStats"]["maxTime"] == NOW_MS + 10_000
    assert data["headStats"]["minTime"] <= NOW_MS
    assert data["seriesCountByMetricName"] == [
        {"name": "node_cpu_seconds_total", "value": 60},
        {"name": "requests_total", "value": 30},
        {"name": "<b>up</b>", "value": 10},
    ]
    assert data["labelValueCountByLabelName"][0] == {"name": "pod", "value": 60}
    assert {entry["name"] for entry in data["memoryInBytesByLabelName"]} == {
        "pod",
        "__name__",
        "service_name",
    }
    assert data["seriesCountByLabelValuePair"][0] == {"name": "__name__=node_cpu_seconds_total", "value": 60}


def test_the_command_shows_the_same(busy: httpx.Client) -> None:
    server = str(busy.base_url)
    shown = setpoint("telemetry", "top", SETPOINT_SERVER=server)
    assert shown.returncode == 0, shown.stderr
    first = shown.stdout.splitlines()[1]
    assert first.split()[0] == "node_cpu_seconds_total"
    assert "60.0 %" in first
    assert "100 series · 10.0 samples/s" in shown.stdout
    given = setpoint(
        "telemetry", "top", "--by", "label", "--limit", "1", "-o", "json", SETPOINT_SERVER=server
    )
    answer = json.loads(given.stdout)
    assert answer["rows"][0]["name"] == "pod"
    assert answer["total"] == 3
    wrong = setpoint("telemetry", "top", "--by", "pair", "--sort", "new", SETPOINT_SERVER=server)
    assert wrong.returncode == 2
    assert "by pair, rows are sorted by series, samples, memory" in wrong.stderr


def test_the_command_says_when_there_is_nothing(client: httpx.Client) -> None:
    shown = setpoint("telemetry", "top", SETPOINT_SERVER=str(client.base_url))
    assert shown.returncode == 0
    assert "No series yet" in shown.stdout


def test_the_thread_of_usage_runs_with_the_server(parts: App) -> None:
    names = {field.name for field in dataclasses.fields(parts)}
    assert {"usage", "sizes", "protection", "table"} <= names
