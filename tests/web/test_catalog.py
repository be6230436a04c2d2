"""Prometheus's API beside the queries where Debian's cannot say it: limits, escapes, exemplars, metadata.

What both have is compared in `tests/differential/test_api_prometheus.py`.
"""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.telemetry import MetricBatch, Series, fingerprint
from setpoint.telemetry.model import ExemplarColumns, Metadata
from setpoint.web.catalog import unescape_name
from tests.web.conftest import NOW_MS, send

TRACE = {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}


def shop(parts: App, count: int = 4) -> None:
    """`count` series with a label that needs UTF-8, the first two with exemplars, and metadata."""
    labels = [{"__name__": "sales", "shop": str(place), "größe.m": f"{place} m²"} for place in range(count)]
    series = [Series(fingerprint(one), one, "shop") for one in labels]
    exemplars = ExemplarColumns(
        np.array([1, 0, 1], np.int32),
        np.array([NOW_MS - 500, NOW_MS - 2000, NOW_MS - 3000], np.int64),
        np.array([1.0, 0.25, float("inf")]),
        [TRACE, {}, TRACE],
    )
    said = [Metadata("sales", "counter", "", "What was sold."), Metadata("size", "", "metres", "How far.")]
    rows = np.arange(count, dtype=np.int32)
    times = np.full(count, NOW_MS - 1000, np.int64)
    send(parts, MetricBatch(series, rows, times, np.ones(count), exemplars=exemplars, metadata=said))


def ask(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(f"/api/v1/{path}", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_limits_say_that_they_cut(parts: App, client: httpx.Client) -> None:
    shop(parts)
    cut = {"warnings": ["results truncated due to limit"]}
    for path, more in (
        ("series", {"match[]": "sales"}),
        ("label/shop/values", {}),
        ("labels", {"match[]": "sales"}),
    ):
        whole = ask(client, path, **more)
        assert whole.keys() == {"status", "data"}
        assert len(whole["data"]) >= 3
        for limit in (0, len(whole["data"]), 1000):
            assert ask(client, path, limit=limit, **more) == whole
        assert ask(client, path, limit=2, **more) == whole | {"data": whole["data"][:2]} | cut
        for bad in ("-1", "many", "²", "1.5", "1e3", "9" * 30):
            answer = client.get(f"/api/v1/{path}", params={"limit": bad, **more})
            assert (answer.status_code, answer.json()["errorType"]) == (400, "bad_data"), bad


@pytest.mark.parametrize(
    ("escaped", "name"),
    [
        ("job", "job"),
        ("U__a", "a"),
        ("U__gr_f6__df_e_2e_m", "größe.m"),
        ("U__a__b", "a_b"),
        ("U___1f600_", "😀"),
        ("U__", ""),
        ("U__a_", "U__a_"),
        ("U__a_2e", "U__a_2e"),
        ("U__a_xyz_", "U__a_xyz_"),
        ("U__a_d800_", "U__a_d800_"),
        ("U__a_10ffff_", "U__a_10ffff_"),
        ("U__a_+f_", "U__a_+f_"),
    ],
)
def test_escaped_names(escaped: str, name: str) -> None:
    """As Prometheus's `model.UnescapeName`; it also leaves codes of six digits as they are."""
    assert unescape_name(escaped) == name


def test_values_of_a_label_in_utf8(parts: App, client: httpx.Client) -> None:
    shop(parts)
    expected = ["0 m²", "1 m²", "2 m²", "3 m²"]
    for name in ("U__gr_f6__df_e_2e_m", "größe.m", "gr%C3%B6%C3%9Fe.m"):
        answer = client.get(f"/api/v1/label/{name}/values")
        assert answer.json() == {"status": "success", "data": expected}
    assert "größe.m" in ask(client, "labels")["data"]
    found = ask(client, "series", **{"match[]": '{"sales", "größe.m"="2 m²"}'})["data"]
    assert found == [{"__name__": "sales", "shop": "2", "größe.m": "2 m²"}]


def test_exemplars(parts: App, client: httpx.Client) -> None:
    shop(parts)
    first, second = ({"__name__": "sales", "shop": str(n), "größe.m": f"{n} m²"} for n in range(2))
    seconds = NOW_MS / 1000
    late = {"labels": TRACE, "value": "1", "timestamp": seconds - 0.5}
    early = {"labels": TRACE, "value": "+Inf", "timestamp": seconds - 3}
    everything = [
        {"seriesLabels": first, "exemplars": [{"labels": {}, "value": "0.25", "timestamp": seconds - 2}]},
        {"seriesLabels": second, "exemplars": [early, late]},
    ]
    range_s = {"start": seconds - 3600, "end": seconds}
    for query in ("sales", 'rate(sales[5m]) / on() sum(sales{shop=~"0|1"})', "{shop!=''}"):
        assert ask(client, "query_exemplars", query=query, **range_s)["data"] == everything
    assert ask(client, "query_exemplars", query="sales")["data"] == everything
    only = ask(client, "query_exemplars", query="sales", start=seconds - 1, end=seconds)["data"]
    assert only == [{"seriesLabels": second, "exemplars": [late]}]
    assert ask(client, "query_exemplars", query="vector(1)")["data"] == []


def test_metadata(parts: App, client: httpx.Client) -> None:
    shop(parts)
    sales = [{"type": "counter", "unit": "", "help": "What was sold."}]
    size = [{"type": "unknown", "unit": "metres", "help": "How far."}]
    assert ask(client, "metadata")["data"] == {"sales": sales, "size": size}
    assert ask(client, "metadata", limit_per_metric=1)["data"] == {"sales": sales, "size": size}
    assert ask(client, "metadata", metric="size")["data"] == {"size": size}
    assert ask(client, "metadata", metric="nothing")["data"] == {}
    assert list(ask(client, "metadata", limit=1)["data"]) == ["sales"]
    assert ask(client, "metadata", limit=0)["data"] == {}  # as Prometheus, where only -1 is all of them


def test_forms_come_before_the_address(parts: App, client: httpx.Client) -> None:
    shop(parts)
    form = client.post(
        "/api/v1/series?limit=1&match[]=sales", data={"limit": "2", "match[]": 'sales{shop="3"}'}
    )
    assert len(form.json()["data"]) == 2
    for body in (b"match[]=%zz&limit=%", b"&&&=&", b"match%5B%5D=sales&" * 20_000):
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = client.post("/api/v1/labels", content=body, headers=headers)
        assert answer.status_code in (200, 400), answer.text
    several = "&".join(f"match[]=sales{{shop='{place}'}}" for place in range(501))
    for count, status in ((500, 200), (501, 400)):
        body = "&".join(several.split("&")[:count]).encode()
        assert client.post("/api/v1/series", content=body, headers=headers).status_code == status
    assert client.post("/api/v1/labels", content=b"x" * (2 << 20), headers=headers).status_code == 400


def test_the_settings_show_no_secret(guarded: App, serve: Any) -> None:
    with httpx.Client(base_url=serve(guarded).url, auth=("any", "s3cret-token")) as client:
        for path in ("flags", "config", "runtimeinfo", "buildinfo"):
            answer = client.get(f"/api/v1/status/{path}")
            assert answer.status_code == 200
            assert "s3cret" not in answer.text
        assert client.get("/api/v1/status/flags").json()["data"]["retention_days"].isdigit()
