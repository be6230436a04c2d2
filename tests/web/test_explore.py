"""The page of metrics: its JSON, its HTML without scripts, its faults, and completion, over one real server."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.clock import VirtualClock
from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.web import explore_query, plot
from setpoint.web.complete import fitting
from tests.telemetry.datasource.upstream import upstream
from tests.web.conftest import HTML, JSON, NOW_MS, requests, send
from tests.web.test_datasource import SOURCE
from tests.web.test_usage import batch

RATE = "sum by (code) (rate(requests_total[1m]))"


@pytest.fixture
def measured(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server whose catalog has answered requests for half an hour, a twentieth of them badly."""
    send(parts, requests("catalog", NOW_MS, [5] * 360))
    return client


def asked(client: httpx.Client, *queries: str, **parameters: Any) -> dict[str, Any]:
    pairs = [("q", query) for query in queries] + list(parameters.items())
    answer = client.get("/explore", params=pairs, headers=JSON)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def shown(client: httpx.Client, *queries: str, **parameters: Any) -> str:
    pairs = [("q", query) for query in queries] + list(parameters.items())
    answer = client.get("/explore", params=pairs, headers=HTML)
    assert answer.status_code == 200, answer.text
    return answer.text


# ---- JSON ------------------------------------------------------------------------------------------------------------


def test_a_query_has_values_words_and_what_it_took(measured: httpx.Client) -> None:
    answer = asked(measured, RATE, range="15m")
    assert (answer["start_ms"], answer["end_ms"], answer["step_ms"]) == (NOW_MS - 900_000, NOW_MS, 5000)
    [query] = answer["queries"]
    assert query["explanation"] == "per-second rate over 1 minute of requests_total, summed by code"
    assert query["fault"] is None
    assert query["series"] == 2
    good, bad = query["rows"]
    assert good["labels"] == {"code": "200"}
    assert len(good["values"]) == len(query["times_ms"]) == 181
    assert good["last"] == pytest.approx(19)
    assert bad["mean"] == pytest.approx(1)
    assert query["took_s"] > 0
    assert query["origin"] == {"memory": 2 * (16 * 12), "stored": 0, "rolled_up": 0, "elsewhere": 0}


def test_the_step_follows_the_range(measured: httpx.Client) -> None:
    for length, step_s in {
        "15m": 5,
        "1h": 10,
        "6h": 60,
        "1d": 300,
        "7d": 1800,
        "30d": 7200,
        "365d": 172_800,
    }.items():
        answer = asked(measured, "1", range=length)
        assert answer["step_ms"] == step_s * 1000, length
        assert len(answer["queries"][0]["times_ms"]) <= 367
    assert asked(measured, "1", range="1h", step="1m")["step_ms"] == 60_000


def test_the_time_is_absolute_when_it_is_given(measured: httpx.Client) -> None:
    answer = asked(measured, "up", start="2027-01-09T11:00:00", end="2027-01-09T11:30:00")
    assert (answer["start_ms"], answer["end_ms"]) == (NOW_MS - 3_600_000, NOW_MS - 1_800_000)
    answer = asked(measured, "up", end=str(NOW_MS // 1000 - 60), range="5m")
    assert (answer["start_ms"], answer["end_ms"]) == (NOW_MS - 360_000, NOW_MS - 60_000)


def test_a_page_that_follows_the_clock_keeps_to_whole_steps(measured: httpx.Client, parts: App) -> None:
    assert isinstance(parts.clock, VirtualClock)
    parts.clock.advance(7)
    assert asked(measured, "1", range="15m")["end_ms"] == NOW_MS + 5000
    assert asked(measured, "1", range="7d")["end_ms"] == NOW_MS


def test_a_table_is_one_instant(measured: httpx.Client) -> None:
    vector, samples, scalar, text = asked(
        measured, "requests_total", 'requests_total{code="200"}[30s]', "1 + 1", '"hi"', view="table"
    )["queries"]
    assert [row["labels"]["code"] for row in vector["rows"]] == ["200", "500"]
    assert vector["common"] == {"__name__": "requests_total", "service_name": "catalog"}
    assert samples["kind"] == "matrix"
    assert len(samples["rows"][0]["values"]) == len(samples["rows"][0]["times_ms"]) == 6
    assert scalar["rows"][0]["last"] == 2
    assert (text["kind"], text["text"]) == ("string", "hi")


def test_a_faulty_query_points_at_its_place_and_spoils_no_other(measured: httpx.Client) -> None:
    wrong, right, ranged = asked(measured, "sum(rat(up[5m]))", "1", "up[5m]")["queries"]
    assert wrong["fault"]["position"] == 4
    assert "rat" in wrong["fault"]["message"]
    assert "; in: " not in wrong["fault"]["message"]
    assert right["fault"] is None
    assert "range vector" in ranged["fault"]["message"]
    assert ranged["explanation"] == "the samples over 5 minutes of up"


def test_events_of_the_time_come_along(measured: httpx.Client, parts: App) -> None:
    parts.timeline.append("deploy", "catalog 2", service="catalog", at_ms=NOW_MS - 60_000)
    parts.timeline.append("deploy", "catalog 1", service="catalog", at_ms=NOW_MS - 7_200_000)
    assert [event["summary"] for event in asked(measured, "up")["events"]] == ["catalog 2"]


def test_changes_of_state_do_not_hide_a_deploy(measured: httpx.Client, parts: App) -> None:
    parts.timeline.append("deploy", "catalog 2", at_ms=NOW_MS - 60_000)
    for number in range(100):
        parts.timeline.append("objective.state", f"state {number}", at_ms=NOW_MS - 50_000 + number)
    events = asked(measured, "up")["events"]
    assert len(events) == 21
    assert events[0]["summary"] == "state 99"
    assert events[-1]["summary"] == "catalog 2"


@pytest.mark.parametrize(
    "parameters",
    [
        {"range": "soon"},
        {"range": "0s"},
        {"start": "yesterday"},
        {"start": "2027-01-09", "end": "2027-01-08"},
        {"range": "1000y"},
        {"step": "x"},
        {"view": "pie"},
        {"limit": "0"},
        {"limit": "501"},
    ],
)
def test_a_bad_address_is_refused(measured: httpx.Client, parameters: dict[str, str]) -> None:
    answer = measured.get("/explore", params={"q": "up"} | parameters, headers=JSON)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"]


def test_too_many_and_too_long_queries_are_refused(measured: httpx.Client) -> None:
    many = measured.get("/explore", params=[("q", "1")] * 11, headers=JSON)
    assert many.status_code == 400
    assert "at most 10 queries" in many.json()["error"]["message"]
    assert measured.get("/explore", params={"q": "1" * 8001}, headers=JSON).status_code == 400


def test_a_step_that_is_too_small_is_a_fault_of_the_query(measured: httpx.Client) -> None:
    [query] = asked(measured, "up", range="30d", step="1s")["queries"]
    assert "exceeded maximum resolution" in query["fault"]["message"]
    [query] = asked(measured, "up", step="0")["queries"]
    assert "zero or negative" in query["fault"]["message"]


def test_of_very_many_series_the_highest_are_shown(parts: App, client: httpx.Client) -> None:
    count = 10_000
    made = []
    for number in range(count):
        labels = {"__name__": "wide", "pod": f"pod-{number:05d}"}
        made.append(Series(fingerprint(labels), labels, "shop", type="gauge"))
    index = np.arange(count, dtype=np.int32)
    values = np.roll(np.arange(count, dtype=float), 77)
    send(parts, MetricBatch(made, index, np.full(count, NOW_MS, np.int64), values, sender="x"))
    [query] = asked(client, "wide")["queries"]
    assert query["series"] == count
    assert sorted(row["high"] for row in query["rows"]) == list(range(count - 50, count))
    assert [row["labels"]["pod"] for row in query["rows"]] == sorted(
        row["labels"]["pod"] for row in query["rows"]
    )
    text = shown(client, "wide")
    assert "50 of 10,000 series are shown, those with the highest values" in text
    assert 'limit=200">Show more' in text
    assert len(text) < 400_000
    [query] = asked(client, "topk(3, wide)", view="table", limit=2)["queries"]
    assert [row["last"] for row in query["rows"]] == [count - 1, count - 2], (
        "an order that was asked for is kept"
    )


# ---- the page --------------------------------------------------------------------------------------------------------


def test_the_page_draws_without_scripts(measured: httpx.Client, parts: App) -> None:
    parts.timeline.append("deploy", "<b>catalog</b> 2", service="catalog", at_ms=NOW_MS - 60_000)
    text = shown(measured, RATE, "2", range="15m")
    assert text.count("<polyline") == 3
    assert 'class="line s0 d0"' in text and 'class="line s2 d0"' in text
    assert "<title>&lt;b&gt;catalog&lt;/b&gt; 2</title>" in text
    assert "<b>catalog</b>" not in text
    assert "per-second rate over 1 minute of requests_total, summed by code" in text
    assert "2 series</span>" in text
    assert re.search(r"384 samples \(all from memory\)</span> <span>(&lt; |<\xa0|&lt;\xa0)?\d+\s*ms", text)
    assert 'aria-current="page">Explore<' in text


def test_data_for_the_script_are_those_of_the_page(measured: httpx.Client) -> None:
    import json

    text = shown(measured, RATE, 'label_replace(vector(1), "x", "</script><b>", "", "")', range="15m")
    [written] = re.findall(r'<pre id="plot-data" hidden>(.*?)</pre>', text)
    data = json.loads(written)
    assert len(data["times_s"]) == 181
    assert [row[-1] for row in data["rows"]] == [19, 1, 1]
    assert data["end_s"] == NOW_MS / 1000
    assert "<b>" not in text.replace("<b>A</b>", "").replace("<b>B</b>", "")


def test_the_place_of_a_fault_is_marked(measured: httpx.Client) -> None:
    text = shown(measured, "sum(rat(up[5m]))")
    assert "sum(<mark>rat</mark>(up[5m]))" in text
    assert 'aria-invalid="true"' in text
    assert "no answer; what is wrong stands at the query" in text
    text = shown(measured, "1 +")
    assert "1 +<mark>\u00a0</mark>" in text
    assert "Show its samples in a table" in shown(measured, "up[5m]")


def test_nothing_found_is_said(measured: httpx.Client) -> None:
    assert "No series matches between" in shown(measured, "nothing_has_this_name")
    assert "No series matches at this instant" in shown(measured, "nothing_has_this_name", view="table")


def test_the_empty_page_teaches(measured: httpx.Client, parts: App) -> None:
    parts.usage.tick()
    text = shown(measured)
    assert "Begin with a metric" in text
    assert "/explore?q=sum%28rate%28requests_total%5B5m%5D%29%29" in text
    assert '<textarea name="q" id="q0"' in text


def test_a_server_without_metrics_says_how_to_send_some(client: httpx.Client) -> None:
    text = shown(client)
    assert "No metrics yet" in text
    assert 'href="/telemetry">How to send some' in text


def test_queries_come_and_go_without_scripts(measured: httpx.Client) -> None:
    assert shown(measured, "1", "2", add="1").count("<textarea") == 3
    text = shown(measured, "1", "2", "3", drop="1")
    assert re.findall(r"<textarea[^>]*>(.*?)</textarea>", text) == ["1", "3"]
    assert shown(measured, "1", "").count("<textarea") == 1


def addresses(text: str, within: str) -> dict[str, dict[str, list[str]]]:
    """The links of a part of the page: their words, and the parameters of their address."""
    [part] = re.findall(rf'<nav[^>]* id="{within}">(.*?)</nav>', text, re.DOTALL)
    found = {}
    for address, words in re.findall(r'<a href="([^"]*)"[^>]*>([^<]*)</a>', part):
        given: dict[str, list[str]] = {}
        for name, value in parse_qsl(urlsplit(html.unescape(address)).query):
            given.setdefault(name, []).append(value)
        found[words] = given
    return found


def test_every_link_keeps_what_is_asked(measured: httpx.Client) -> None:
    text = shown(measured, "a & b", "c", range="6h", step="2m")
    links = addresses(text, "ranges")
    assert list(links) == ["15m", "1h", "6h", "1d", "7d", "30d"]
    assert links["7d"] == {"q": ["a & b", "c"], "range": ["7d"], "step": ["2m"]}
    assert addresses(text, "views")["Table"]["view"] == ["table"]
    assert addresses(text, "shifts") == {
        "Earlier": {
            "q": ["a & b", "c"],
            "range": ["6h"],
            "step": ["2m"],
            "end": [str(NOW_MS // 1000 - 3 * 3600)],
        }
    }
    text = shown(measured, "a", start=str(NOW_MS // 1000 - 7200), end=str(NOW_MS // 1000 - 3600))
    shifts = addresses(text, "shifts")
    assert list(shifts) == ["Earlier", "Later", "Now"]
    assert shifts["Later"] == {
        "q": ["a"],
        "start": [str(NOW_MS // 1000 - 5400)],
        "end": [str(NOW_MS // 1000 - 1800)],
    }
    assert shifts["Now"] == {"q": ["a"]}
    assert 'value="2027-01-09T10:00:00"' in text


def test_the_link_to_prometheus_s_api_gives_the_same(measured: httpx.Client) -> None:
    text = shown(measured, RATE, range="15m")
    [address] = re.findall(r'<a href="(/api/v1/query_range[^"]*)"', text)
    result = measured.get(html.unescape(address)).json()["data"]["result"]
    assert [one["values"][-1][1] for one in result] == ["19", "1"]


def test_what_prometheus_warns_of_is_said(measured: httpx.Client) -> None:
    [query] = asked(measured, "rate(requests_total[1m]) + quantile(2, vector(1))")["queries"]
    assert any("quantile value should be between 0 and 1" in note for note in query["warnings"])
    assert "quantile value should be between 0 and 1" in html.unescape(
        shown(measured, "quantile(2, vector(1))")
    )
    [query] = asked(measured, "rate(process_gauge[1m]) or rate(requests_total[1m])")["queries"]
    assert query["warnings"] == []


@pytest.fixture
def ended_sources(parts: App) -> Iterator[None]:
    """Ends what reads data sources, after the test."""
    yield
    parts.datasources.close()


@pytest.mark.usefixtures("ended_sources")
def test_a_data_source_can_be_read(client: httpx.Client) -> None:
    with upstream() as server:
        for at_ms in range(NOW_MS - 600_000, NOW_MS + 1, 15_000):
            server.samples.add("hits_total", at_ms, 7)
        declared = {"name": "s.yaml", "text": SOURCE.format(url=server.url)}
        assert client.post("/api/resources", json={"files": [declared]}).status_code == 200
        [query] = asked(client, "hits_total", range="5m", source="far")["queries"]
        assert query["fault"] is None
        assert query["rows"][0]["last"] == 7
        assert query["origin"]["elsewhere"] > 10
        assert query["origin"]["memory"] == 0
        text = shown(client, "hits_total", range="5m", source="far")
        assert '<option value="far" selected>' in text
        assert "from the data source)" in text
        assert "/api/datasources/far/api/v1/query_range?" in text
        assert addresses(text, "ranges")["1h"]["source"] == ["far"]
        [query] = asked(client, "hits_total", source="near")["queries"]
        assert "there is no data source 'near'" in query["fault"]["message"]


@pytest.mark.usefixtures("ended_sources")
def test_a_data_source_is_asked_no_more_when_the_reader_has_left(client: httpx.Client, parts: App) -> None:
    with upstream() as server:
        declared = {"name": "s.yaml", "text": SOURCE.format(url=server.url)}
        assert client.post("/api/resources", json={"files": [declared]}).status_code == 200
        span = explore_query.Span(NOW_MS - 24 * 3_600_000, NOW_MS, 60_000)
        answer = explore_query.run(
            parts, "hits_total", span, "graph", 10, source="far", is_canceled=lambda: bool(server.seen)
        )
        assert answer.fault is not None
        assert "canceled" in answer.fault.message
        assert len(server.seen) == 1


# ---- completion ------------------------------------------------------------------------------------------------------


def offered(client: httpx.Client, **parameters: Any) -> list[str]:
    answer = client.get("/api/telemetry/complete", params=parameters).json()
    assert answer["total"] >= len(answer["items"])
    return [item["text"] for item in answer["items"]]


def test_completion(measured: httpx.Client) -> None:
    assert offered(measured, of="metric", prefix="req") == ["requests_total"]
    assert offered(measured, of="label", metric="requests_total") == ["code", "service_name"]
    assert offered(measured, of="label", metric="no_such_metric") == []
    assert offered(measured, of="value", metric="requests_total", label="code") == ["200", "500"]
    assert offered(measured, of="value", label="code", prefix="5") == ["500"]
    assert offered(measured, prefix="rate")[0] == "rate"
    assert offered(measured, prefix="REQUESTS") == ["requests_total"]
    items = measured.get("/api/telemetry/complete?prefix=topk").json()["items"]
    assert items == [{"text": "topk", "kind": "aggregation", "note": "the … largest"}]
    assert measured.get("/api/telemetry/complete?of=nonsense").status_code == 400


def test_completion_is_bounded(parts: App, client: httpx.Client) -> None:
    send(parts, batch("otlp x", "wide", 3000))
    answer = client.get("/api/telemetry/complete?of=value&metric=wide&label=pod&prefix=pod-2").json()
    assert len(answer["items"]) == 30
    assert answer["total"] == 1111
    assert client.get("/api/telemetry/complete?limit=1001").status_code == 400


def test_what_begins_with_the_prefix_comes_first() -> None:
    assert fitting(["a_up", "b", "up", "Upper"], "up") == ["up", "Upper", "a_up"]
    assert fitting(["b", "a"], "") == ["b", "a"]


# ---- the graph of the server -----------------------------------------------------------------------------------------


def test_gaps_stay_gaps_and_single_points_are_dots() -> None:
    times = list(range(0, 50, 10))
    picture = plot.draw(
        times, [[1, 2, None, 3, None], [None, float("nan"), float("inf"), None, 5]], (0, 100), []
    )
    [(_, runs, dots), (_, no_runs, other_dots)] = picture.lines
    assert (len(runs), len(dots)) == (1, 1)
    assert (len(no_runs), len(other_dots)) == (0, 1)
    assert plot.draw([], [], (0, 100), [(50, "deploy", "x")]).marks[0][1:] == ("deploy", "x")
