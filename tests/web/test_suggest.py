"""Suggestions from real telemetry: found by convention, explained by numbers, and they apply."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from setpoint.app import App
from setpoint.telemetry import MetricBatch, Series, fingerprint
from tests.cli.program import setpoint
from tests.web.conftest import JSON, NOW_MS, apply, send, services, slo

HOUR = 3600
_EVERY_S = 300


def emit(parts: App, name: str, per_step: Mapping[tuple[tuple[str, str], ...], float], **labels: str) -> None:
    """Counters that rise by so much in each of the 5-minute steps of the last ten days; by their further labels."""
    times = np.arange(NOW_MS - 10 * 86_400_000, NOW_MS + 1, _EVERY_S * 1000, dtype=np.int64)
    made, values = [], []
    for more, rise in per_step.items():
        own = {"__name__": name, **labels, **dict(more)}
        made.append(Series(fingerprint(own), own, labels.get("service_name", ""), type="counter"))
        values.append(np.arange(len(times)) * rise if rise >= 0 else np.full(len(times), -rise))
    rows = np.repeat(np.arange(len(made), dtype=np.int32), len(times))
    send(parts, MetricBatch(made, rows, np.tile(times, len(made)), np.concatenate(values)))


def http(parts: App, service: str, failed: float = 0.0005, rate: float = 1000) -> None:
    """A service as OpenTelemetry instruments it: the histogram of its HTTP requests; 250 ms holds 99.8 % of them."""
    name, own = "http_server_request_duration_seconds", {"job": service, "service_name": service}
    good, bad = rate * (1 - failed), rate * failed
    ok, error = ("http_response_status_code", "200"), ("http_response_status_code", "503")
    emit(parts, f"{name}_count", {(ok,): good, (error,): bad}, **own)
    shares = {"0.1": 0.9, "0.25": 0.998, "1": 0.9999, "+Inf": 1.0}
    buckets: dict[tuple[tuple[str, str], ...], float] = {}
    for le, share in shares.items():
        buckets |= {(ok, ("le", le)): good * share, (error, ("le", le)): bad}
    emit(parts, f"{name}_bucket", buckets, **own)


def suggested(client: httpx.Client, service: str, **parameters: Any) -> dict[str, Any]:
    answer = client.get(f"/services/{service}/suggest", params=parameters, headers=JSON)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_http_of_opentelemetry(parts: App, client: httpx.Client) -> None:
    http(parts, "checkout")
    found = suggested(client, "checkout")
    assert [one["name"] for one in found["suggestions"]] == ["checkout-availability", "checkout-latency"]
    availability, latency = found["suggestions"]
    assert availability["good"] == (
        'sum(http_server_request_duration_seconds_count{job="checkout", http_response_status_code!~"5.."})'
    )
    assert availability["target"] == 0.999
    assert availability["history"]["steps"] in (10, 11)
    assert availability["history"]["good"] / availability["history"]["total"] == pytest.approx(0.9995)
    assert "kept 99.95 % in 1" in availability["reasons"][0]
    assert "not 99.95 %" in availability["reasons"][-1]
    assert (latency["threshold_s"], latency["target"]) == (0.25, 0.995)
    assert 'le="0.25"' in latency["good"]
    assert latency["total"].count("5..") == 1, "of requests that were answered well"


def test_what_is_suggested_can_be_applied_and_is_then_left_out(
    parts: App, client: httpx.Client, tmp_path: Path
) -> None:
    http(parts, "checkout")
    server = str(client.base_url).rstrip("/")
    done = setpoint("slo", "suggest", "checkout", SETPOINT_SERVER=server)
    assert (done.returncode, done.stderr) == (0, "")
    assert "# Target 99.9 %:" in done.stdout
    file = tmp_path / "slo.yaml"
    file.write_text(done.stdout)
    applied = setpoint("apply", "-f", str(file), SETPOINT_SERVER=server)
    assert (applied.returncode, applied.stderr) == (0, "")
    assert "checkout-latency" in applied.stdout
    for _ in range(60):
        parts.objectives.tick()
        status = parts.objectives.status("checkout-availability")
        if not status.backfilling:
            break
    assert status.sli == pytest.approx(0.9995, abs=1e-6), "as the ledger counts it"
    assert status.state == "healthy"
    again = setpoint("slo", "suggest", "checkout", SETPOINT_SERVER=server)
    assert "There is nothing to apply" in again.stdout
    assert "checkout-availability counts http_server_request_duration_seconds_count already" in " ".join(
        again.stdout.replace("\n#", "").split()
    )
    assert setpoint("apply", "-f", "-", stdin=again.stdout, SETPOINT_SERVER=server).returncode in (0, 2)


def test_a_target_is_not_above_what_the_dependencies_promise(parts: App, client: httpx.Client) -> None:
    http(parts, "checkout", failed=0)
    depends = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: checkout}\nspec: {dependsOn: [stock, bank]}\n"
    apply(
        client, services("stock", "bank"), depends,
        slo("stock-availability", "stock", 0.999), slo("stock-latency", "stock", 0.9), slo("bank-pays", "bank", 0.995),
    )  # fmt: skip
    found = suggested(client, "checkout")
    assert [one["target"] for one in found["dependencies"]] == [0.999, 0.995]
    availability, latency = found["suggestions"]
    assert availability["target"] == 0.99
    assert availability["reasons"][-1].startswith(
        "not 99.5 %: it cannot be better than what it depends on (stock"
    )
    assert "99.4" in availability["reasons"][-1]
    assert latency["target"] == 0.995, "how quick it is says nothing of theirs"
    assert "kind: Service" not in found["yaml"], "it is declared"


def test_never_a_hundred_per_cent(parts: App, client: httpx.Client) -> None:
    http(parts, "checkout", failed=0, rate=100_000)
    availability = suggested(client, "checkout")["suggestions"][0]
    assert availability["target"] == 0.9999
    assert "more is not suggested" in availability["reasons"][-1]


def test_little_traffic_allows_no_high_target(parts: App, client: httpx.Client) -> None:
    http(parts, "checkout", failed=0, rate=1)
    availability = suggested(client, "checkout")["suggestions"][0]
    assert availability["target"] == 0.995
    assert "only 2,880 HTTP requests were seen" in availability["reasons"][-1]


Pair = tuple[str, str]


@pytest.mark.parametrize(
    ("metric", "bad", "good", "condition"),
    [
        ("http_requests_total", ("code", "500"), ("code", "200"), 'code!~"5.."'),
        ("http_requests_total", ("status", "5xx"), ("status", "2xx"), 'status!~"5.."'),
        ("grpc_server_handled_total", ("grpc_code", "Internal"), ("grpc_code", "NotFound"), "grpc_code!~"),
        (
            "rpc_server_duration_milliseconds_count", ("rpc_grpc_status_code", "13"), ("rpc_grpc_status_code", "0"),
            'rpc_grpc_status_code!~"2|4|12|13|14|15"',
        ),
        ("messaging_process_duration_seconds_count", ("error_type", "timeout"), ("m", "x"), 'error_type=""'),
        ("messaging_client_consumed_messages_total", ("error_type", "timeout"), ("m", "x"), 'error_type=""'),
        ("db_client_operation_duration_seconds_count", ("error_type", "timeout"), ("m", "x"), 'error_type=""'),
    ],
)  # fmt: skip
def test_conventions(
    parts: App, client: httpx.Client, *, metric: str, bad: Pair, good: Pair, condition: str
) -> None:
    emit(parts, metric, {(good,): 990.0, (bad,): 10.0}, service_name="shop", job="eu/shop")
    found = suggested(client, "shop")
    one = found["suggestions"][0]
    assert condition in one["good"]
    assert 'job="eu/shop"' in one["good"]
    assert one["history"]["good"] / one["history"]["total"] == pytest.approx(0.99)
    assert one["target"] == 0.98
    validated = client.post(
        "/api/resources/validate", json={"files": [{"name": "x.yaml", "text": found["yaml"]}]}
    )
    assert validated.status_code == 200, validated.text


def test_milliseconds_and_what_is_too_slow(parts: App, client: httpx.Client) -> None:
    name, own = "rpc_server_duration_milliseconds", {"service_name": "shop"}
    emit(parts, f"{name}_count", {(("rpc_grpc_status_code", "0"),): 100.0}, **own)
    code = ("rpc_grpc_status_code", "0")
    emit(parts, f"{name}_bucket", {(code, ("le", "250")): 96.9, (code, ("le", "+Inf")): 100.0}, **own)
    found = suggested(client, "shop")
    latency = found["suggestions"][1]
    assert (latency["name"], latency["threshold_s"], latency["target"]) == ("shop-rpc-latency", 0.25, 0.95)
    assert "250 ms is the least bound" in latency["reasons"][0]
    emit(
        parts,
        f"{name}_bucket",
        {(code, ("le", "250")): 9.0, (code, ("le", "+Inf")): 100.0},
        service_name="slow",
    )
    emit(parts, f"{name}_count", {(code,): 100.0}, service_name="slow")
    assert any("even within 250 ms only 9 %" in told for told in suggested(client, "slow")["left_out"])


def test_up_is_for_those_who_have_nothing_else(parts: App, client: httpx.Client) -> None:
    emit(parts, "up", {(("instance", "a"),): -1.0, (("instance", "b"),): -1.0}, job="node")
    one = suggested(client, "node")["suggestions"][0]
    assert (one["name"], one["raw"]) == ("node-reachable", 'avg(up{job="node"})')
    assert one["target"] == 0.9995
    assert "only 15,840 minutes were seen" in one["reasons"][-1]
    emit(parts, "up", {(("instance", "c"),): -1.0}, job="checkout")
    http(parts, "checkout")
    assert {one["kind"] for one in suggested(client, "checkout")["suggestions"]} == {
        "availability",
        "latency",
    }


def test_what_makes_no_objective_is_told(parts: App, client: httpx.Client) -> None:
    emit(parts, "http_requests_total", {(("path", "/"),): 10.0}, job="blind")
    found = suggested(client, "blind")
    assert found["suggestions"] == []
    assert "has a label that tells bad HTTP requests" in found["left_out"][0]
    assert "There is nothing to apply" in found["yaml"]
    emit(parts, "http_requests_total", {(("code", "200"),): 0.0}, job="silent")
    assert "no HTTP requests in the last 28 d" in suggested(client, "silent")["left_out"][0]
    emit(parts, "http_requests_total", {(("code", "200"),): 1.0, (("code", "500"),): 9.0}, job="broken")
    assert "nothing that could be promised" in suggested(client, "broken")["left_out"][0]


def test_young_telemetry_is_looked_at_by_hours(parts: App, client: httpx.Client) -> None:
    http(parts, "checkout")
    one = suggested(client, "checkout", days=1)["suggestions"][0]
    assert one["history"]["step_s"] == HOUR
    assert math.isclose(one["history"]["total"], 24 * 12 * 1000, rel_tol=0.05)


def test_a_service_that_nobody_knows(parts: App, client: httpx.Client) -> None:
    answer = client.get("/services/nobody/suggest", headers=JSON)
    assert answer.status_code == 404
    assert "nobody has" in answer.json()["error"]["message"]
    http(parts, "checkout")
    message = client.get("/services/chekout/suggest", headers=JSON).json()["error"]["message"]
    assert "these have: checkout" in message
    done = setpoint("slo", "suggest", "x.*{", SETPOINT_SERVER=str(client.base_url).rstrip("/"))
    assert done.returncode == 3
    assert client.get("/services/checkout/suggest?days=0", headers=JSON).status_code == 400


def test_names_with_letters_that_mean_something(parts: App, client: httpx.Client) -> None:
    http(parts, 'Shop "EU" v1.2')
    found = suggested(client, "Shop%20%22EU%22%20v1.2")
    assert [one["name"] for one in found["suggestions"]] == [
        "shop-eu-v1-2-availability",
        "shop-eu-v1-2-latency",
    ]
    validated = client.post(
        "/api/resources/validate", json={"files": [{"name": "x.yaml", "text": found["yaml"]}]}
    )
    assert validated.status_code == 200, validated.text


def test_the_example_of_the_docs(parts: App, client: httpx.Client) -> None:
    """What docs/howto/choose-objectives.md shows is what is suggested."""
    http(parts, "checkout")
    depends = "apiVersion: openslo/v1\nkind: Service\nmetadata: {name: checkout}\nspec: {dependsOn: [stock, bank]}\n"
    apply(
        client, services("stock", "bank"), depends,
        slo("stock-availability", "stock", 0.9995), slo("bank-pays", "bank", 0.998),
    )  # fmt: skip
    text = (Path(__file__).parents[2] / "docs/howto/choose-objectives.md").read_text()
    assert re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) == [suggested(client, "checkout")["yaml"]]
