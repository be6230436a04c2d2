"""Own metrics: what promtool and OpenMetrics's parser say of them, and that they count what happens."""

from __future__ import annotations

import shutil
import subprocess

import httpx
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from setpoint.app import App
from tests.conftest import require
from tests.web.conftest import NOW_MS, requests, send


def values(client: httpx.Client, **headers: str) -> dict[str, float]:
    """Every sample of `/metrics` as `name{label="value",…}` (labels sorted) and its value."""
    text = client.get("/metrics", headers=headers).text
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def test_promtool_finds_no_fault(populated: httpx.Client, parts: App) -> None:
    require("promtool", shutil.which("promtool") is not None, "prometheus")
    parts.protection.refused("too_old", "up", "remote_write ::1", 3)
    populated.get("/objectives/catalog-availability")
    answer = populated.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=answer.content, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")


def test_openmetrics_where_accept_prefers_it(populated: httpx.Client) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    answer = populated.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(answer.text)}  # type: ignore[no-untyped-call]
    assert families["setpoint_build"].type == "info"
    assert all(family.documentation.endswith(".") for name, family in families.items() if "setpoint" in name)


def test_every_family_keeps_its_promises_about_names(client: httpx.Client) -> None:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        assert family.documentation, f"{family.name} has no help"
        assert family.name.startswith(("setpoint_", "process_", "python_")), family.name


def test_samples_requests_and_refusals_are_counted(parts: App, client: httpx.Client) -> None:
    before = values(client)
    assert before["setpoint_ingest_samples_total"] == 0
    send(parts, requests("catalog", NOW_MS, [0] * 9))
    parts.protection.refused("too_new", "up", "otlp shop", 7)
    client.get("/objectives/nothing-of-the-kind")
    client.get("/nowhere")
    client.request("PROPFIND", "/objectives")
    after = values(client)
    assert after["setpoint_ingest_samples_total"] == 20
    assert after["setpoint_head_series"] == 2
    assert after["setpoint_ingest_commit_duration_seconds_count"] == 1
    assert after["setpoint_flush_duration_seconds_count"] == 0
    assert after['setpoint_scrape_targets{health="up"}'] == 0
    assert after["setpoint_series_created_total"] == 2
    assert after['setpoint_head_bytes{part="open"}'] > 0
    assert after['setpoint_ingest_refused_samples_total{reason="too_new"}'] == 7
    assert after['setpoint_http_requests_total{code="404",method="GET",route="/objectives/{name}"}'] == 1
    assert after['setpoint_http_requests_total{code="404",method="GET",route="none"}'] == 1
    assert after['setpoint_http_requests_total{code="405",method="other",route="/objectives"}'] == 1
    assert after['setpoint_http_requests_total{code="200",method="GET",route="/metrics"}'] == 1
    assert after['setpoint_http_request_duration_seconds_bucket{le="+Inf",route="/metrics"}'] == 1
    assert after["setpoint_http_requests_open"] == 1


def test_the_store_is_measured_now_and_then(parts: App, client: httpx.Client) -> None:
    send(parts, requests("catalog", NOW_MS, [0] * 9))
    assert "setpoint_disk_free_bytes" not in values(client)
    parts.signals.series.settle()
    parts.sizes.refresh()
    after = values(client)
    assert after["setpoint_disk_free_bytes"] > 0
    assert after['setpoint_store_rows{table="series"}'] == 2
    assert after['setpoint_store_parts{table="series"}'] >= 1
    assert after['setpoint_store_bytes{table="series"}'] > 0


def test_otlp_and_static_files_have_their_routes(client: httpx.Client) -> None:
    client.post("/v1/metrics", content=b"", headers={"Content-Type": "application/x-protobuf"})
    client.get("/static/setpoint.css")
    counted = values(client)
    assert counted['setpoint_http_requests_total{code="200",method="POST",route="/v1/metrics"}'] == 1
    assert counted['setpoint_http_requests_total{code="200",method="GET",route="/static"}'] == 1


def test_evaluations_are_counted(populated: httpx.Client, parts: App) -> None:
    before = values(populated)["setpoint_evaluation_duration_seconds_count"]
    parts.objectives.tick()
    after = values(populated)
    assert after["setpoint_evaluation_duration_seconds_count"] == before + 1
    assert after["setpoint_evaluation_last_timestamp_seconds"] == NOW_MS / 1000
    assert sum(value for name, value in after.items() if name.startswith("setpoint_objectives{")) == 4


def test_looks_of_policies_are_counted(populated: httpx.Client, parts: App) -> None:
    before = values(populated)["setpoint_policy_look_duration_seconds_count"]
    parts.policies.step()
    after = values(populated)
    assert after["setpoint_policy_look_duration_seconds_count"] == before + 1
    assert after["setpoint_policy_last_look_timestamp_seconds"] == NOW_MS / 1000
    assert after["setpoint_services_held"] == 0


def test_a_token_guards_them(guarded: App, serve) -> None:  # type: ignore[no-untyped-def]
    with httpx.Client(base_url=serve(guarded).url) as client:
        assert client.get("/metrics").status_code == 401
        client.headers["Authorization"] = "Bearer s3cret-token"
        refused = values(client)['setpoint_http_requests_total{code="401",method="GET",route="/metrics"}']
        assert refused == 1
