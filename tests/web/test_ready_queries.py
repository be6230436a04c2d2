"""What other pages link to parses, whatever a metric or label is called, and stands in those pages."""

from __future__ import annotations

import html
import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.app import App
from setpoint.promql import parse
from setpoint.promql.nodes import VectorSelector
from setpoint.web.ready_queries import address, of_family, of_usage, selector
from tests.web.conftest import HTML, send
from tests.web.test_usage import batch

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), min_size=1, max_size=20
)


@given(TEXT, st.dictionaries(st.from_regex(r"[a-z]{1,8}", fullmatch=True), TEXT, max_size=3))
@settings(max_examples=100, deadline=None)
def test_a_selector_selects_what_it_names(name: str, labels: dict[str, str]) -> None:
    node = parse(selector(name, labels))
    assert isinstance(node, VectorSelector)
    wanted = {"__name__": name} | labels
    assert {(one.name, one.op, one.value) for one in node.matchers} == {
        (label, "=", value) for label, value in wanted.items()
    }


def test_queries_of_usage() -> None:
    assert of_usage("metric", "up", 3) == "up"
    assert of_usage("metric", "up", 5000) == "topk(20, up)"
    assert of_usage("metric", "http.requests", 1) == '{"http.requests"}'
    assert of_usage("metric", "requests_total", 9) == "sum(rate(requests_total[5m]))"
    assert of_usage("pair", 'job="a"b"', 9) == 'count by (__name__) ({job="a\\"b"})'
    assert of_usage("label", "pod", 9) == 'count by (pod) ({pod!=""})'
    assert [of_usage(by, "x", 1) for by in ("sender", "service")] == ["", ""]
    assert of_usage("label", "pod", 100_000) == of_usage("metric", "", 1) == ""
    assert address("") == ""
    assert address('up{job="a"}') == "/explore?q=up%7Bjob%3D%22a%22%7D"


def test_a_family_is_offered_once() -> None:
    known = {"x_seconds_bucket", "x_seconds_count", "x_seconds_sum", "y_total", "y_count", "z"}
    assert {of_family(name, known)[0] for name in known} == {"x_seconds", "y_total", "y_count", "z"}
    for name in known:
        for _, query in of_family(name, known)[1]:
            parse(query)


def linked(client: httpx.Client, path: str) -> list[str]:
    text = client.get(path, headers=HTML).text
    addresses = [html.unescape(found) for found in re.findall(r'href="(/explore\?[^"]*)"', text)]
    return [parse_qs(urlsplit(found).query)["q"][0] for found in addresses]


@pytest.mark.parametrize("by", ["metric", "label", "pair"])
def test_rows_of_telemetry_lead_to_their_metrics(parts: App, client: httpx.Client, by: str) -> None:
    send(parts, batch("otlp shop", "requests_total", 3))
    parts.usage.tick()
    queries = linked(client, f"/telemetry?by={by}")
    assert queries
    for query in queries:
        answer = client.get("/api/v1/query", params={"query": query, "time": parts.clock.now_ms() / 1000})
        assert answer.status_code == 200, query


def test_an_objective_leads_to_its_queries(populated: httpx.Client) -> None:
    assert linked(populated, "/objectives/catalog-availability") == [
        'sum(requests_total{service_name="catalog", code="200"})',
        'sum(requests_total{service_name="catalog"})',
    ]
