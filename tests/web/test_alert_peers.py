"""Real senders and clients: amtool beside Debian's Alertmanager, Prometheus, vmalert, Alertmanager's own notifiers."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from setpoint.alert.route.read import read_routing
from setpoint.app import App
from setpoint.clock import SystemClock
from setpoint.resource import load_text
from tests.conftest import require
from tests.web.conftest import MakeApp, Running
from tests.web.peers import alertmanager, dispatching, eventually, program

pytestmark = pytest.mark.timeout(300)

KEY = "0123456789abcdef0123456789abcdef"
ROUTING = """
global: {resolve_timeout: 5m}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  routes:
    - receiver: team-a
      matchers: [team="a"]
      group_by: [alertname, cluster]
      continue: true
    - receiver: hooks
      matchers: [severity=~"critical|page"]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [cluster]
time_intervals:
  - name: weekends
    time_intervals: [{weekdays: [saturday, sunday]}]
receivers:
  - name: default
  - name: team-a
    webhook_configs: [{url: "http://127.0.0.1:9/hook"}]
  - name: hooks
    slack_configs: [{api_url: "http://127.0.0.1:9/slack", channel: "#alerts"}]
"""
SOURCES = """
apiVersion: setpoint/v1
kind: AlertSource
metadata: {name: pager}
spec: {type: pagerduty, keyFile: pager-key, labels: {service: checkout}}
---
apiVersion: setpoint/v1
kind: AlertSource
metadata: {name: branch}
spec: {type: alertmanager, keyFile: pager-key}
"""


@pytest.fixture
def live(make_app: MakeApp, serve: Callable[..., Running]) -> Iterator[tuple[App, str]]:
    """A server on the real clock that dispatches by `ROUTING`, and its URL."""
    parts = make_app(clock=SystemClock())
    parts.dispatcher.follow(read_routing("alertmanager.yml", ROUTING))
    with dispatching(parts):
        yield parts, serve(parts).url


def listed(url: str, query: str = "") -> list[dict[str, Any]]:
    answer = httpx.get(f"{url}/api/v2/alerts{query}", timeout=40)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


class Amtool:
    """Runs amtool against two servers and compares what it prints, but for what must differ."""

    _DIFFERS = (
        (re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "ID"),
        (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( UTC|Z)"), "TIME"),
        (re.compile(r"(ID|TIME) +"), r"\1 "),
        (re.compile(r"; (write|leave|add) [^\n]*"), ""),  # a remedy, which theirs does not give
    )

    def __init__(self, ours: str, theirs: str) -> None:
        self._urls = ours, theirs

    def run(self, *arguments: str) -> list[tuple[int, str]]:
        """The exit status and output on each server."""
        found = []
        for url in self._urls:
            command = ["amtool", f"--alertmanager.url={url}", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            errors = [
                line for line in done.stderr.splitlines() if not line.startswith("Warning: amtool version")
            ]
            lines = [
                line for line in done.stdout.splitlines() if not line.startswith("Warning: amtool version")
            ]
            text = "\n".join(lines + errors)
            for pattern, placeholder in self._DIFFERS:
                text = pattern.sub(placeholder, text)
            found.append((done.returncode, text.strip()))
        return found

    def same(self, *arguments: str) -> str:
        """What both print, once it is the same."""
        ours, _ = eventually(lambda: self.run(*arguments), lambda found: found[0] == found[1])
        return ours[1]

    def each(self, *arguments: str, after: Callable[[str], list[str]]) -> list[int]:
        """Runs a command that takes what another printed on the same server, such as an id."""
        codes = []
        for url in self._urls:
            command = ["amtool", f"--alertmanager.url={url}"]
            given = subprocess.run(
                [*command, *arguments], capture_output=True, text=True, timeout=60, check=True
            )
            done = subprocess.run(
                [*command, *after(given.stdout.strip())], capture_output=True, timeout=60, check=False
            )
            codes.append(done.returncode)
        return codes


@pytest.fixture
def amtool(live: tuple[App, str], tmp_path: Path) -> Iterator[Amtool]:
    require("amtool", shutil.which("amtool") is not None, "prometheus-alertmanager")
    with alertmanager(tmp_path / "theirs", ROUTING) as theirs:
        yield Amtool(live[1], theirs)


def test_amtool_alerts(amtool: Amtool) -> None:
    assert amtool.same("alert", "query") == amtool.same("alert", "query", "--receiver=default")
    for labels in (
        ["alertname=Disk", "team=a", "cluster=eu", "severity=critical", "--annotation=summary=full"],
        ["Slow", "cluster=eu", "severity=warning", "--generator-url=http://prometheus.example.com/graph"],
        ["alertname=Odd", 'quoted="a b"', "team=b"],
        ["Past", "--start=2026-01-01T00:00:00Z", "--end=2026-01-01T01:00:00Z"],
    ):
        amtool.same("alert", "add", *labels)
    for query in (
        [], ["alertname=Disk"], ["alertname=~.*o.*"], ["Odd"], ["team!=a"], ["team=a", "cluster=eu"], ["nothing=here"],
        ["--inhibited"], ["--active"], ["--unprocessed"], ["--receiver=team-a"], ["--receiver=hooks"],
        ["--receiver=nobody"], ["-o", "extended"], ["-o", "json", "alertname=Disk"], ["alertname=~("],
    ):  # fmt: skip
        told = amtool.same("alert", "query", *query)
        assert told or query == ["nothing=here"] or "-o" in query
    assert "Disk" in amtool.same("alert", "query") and "Past" not in amtool.same("alert", "query")
    assert "Slow" in amtool.same("alert", "query", "--inhibited")
    assert "at least one label pair" in amtool.same("alert", "add")


def test_amtool_silences(amtool: Amtool) -> None:
    amtool.same("alert", "add", "Disk", "cluster=eu")
    about = ["--comment=changing the disk", "--author=jane"]
    assert amtool.same("silence", "add", "alertname=Disk", "cluster=~eu|us", *about, "--duration=2h") == "ID"
    assert "Disk" in amtool.same("silence", "query")
    for options in (
        ["-o", "extended"],
        ["-o", "json"],
        ["-q"],
        ["Disk"],
        ["alertname=Disk"],
        ["--within=3h"],
    ):
        amtool.same("silence", "query", *options)
    assert "suppressed" in amtool.same("alert", "query", "--silenced")
    query = ("silence", "query", "-q")
    assert amtool.each(
        *query, after=lambda found: ["silence", "update", found, "--comment=still", "--duration=3h"]
    ) == [0, 0]
    assert "still" in amtool.same("silence", "query")
    assert amtool.each(*query, after=lambda found: ["silence", "expire", found]) == [0, 0]
    assert "Disk" not in amtool.same("silence", "query")
    assert "still" in amtool.same("silence", "query", "--expired")
    for wrong in (
        ["alertname=~.*", *about],
        ["alertname=~(", *about],
        ["alertname=Disk", *about, "--end=2026-01-01T00:00:00Z"],
        ["Disk", *about, "--start=2035-01-02T00:00:00Z", "--end=2035-01-01T00:00:00Z"],
        ["alertname=Disk"],
    ):
        ours, theirs = amtool.run("silence", "add", *wrong)
        assert ours[0] == theirs[0], wrong
    unknown = "00000000-0000-0000-0000-000000000000"
    assert [code for code, _ in amtool.run("silence", "expire", unknown)] == [1, 1]
    assert amtool.each(*query, "--expired", after=lambda found: ["silence", "expire", found]) == [0, 0]


def test_amtool_silences_move_from_one_to_the_other(
    amtool: Amtool, tmp_path: Path, live: tuple[App, str]
) -> None:
    amtool.same("silence", "add", "alertname=Disk", "--comment=moving", "--author=jane", "--duration=5h")
    ours = ["amtool", f"--alertmanager.url={live[1]}", "silence"]
    exported = subprocess.run(
        [*ours, "query", "-o", "json"], capture_output=True, text=True, check=True, timeout=60
    )
    silences = json.loads("\n".join(line for line in exported.stdout.splitlines() if line.startswith("[")))
    (tmp_path / "silences.json").write_text(json.dumps([one | {"comment": "moved"} for one in silences]))
    subprocess.run([*ours, "import", "--force", str(tmp_path / "silences.json")], check=True, timeout=60)
    eventually(
        lambda: [one["comment"] for one in httpx.get(f"{live[1]}/api/v2/silences", timeout=40).json()],
        lambda found: "moved" in found,
    )


def test_amtool_configuration(amtool: Amtool) -> None:
    assert amtool.same("cluster", "show").startswith("Cluster Status:")
    assert "team-a" in amtool.same("config", "routes", "show")
    for labels in (["team=a"], ["team=a", "severity=page"], ["severity=critical"], ["x=y"]):
        assert amtool.same("config", "routes", "test", *labels)
        amtool.same("config", "routes", "test", "--tree", *labels)
    assert [
        code for code, _ in amtool.run("config", "routes", "test", "--verify.receivers=default", "team=a")
    ] == [1, 1]
    shown = [text for code, text in amtool.run("config", "show") if code == 0]
    assert len(shown) == 2 and "slack_configs" in shown[0] and "/slack" not in shown[0]


class Gauge:
    """A target whose metric `broken` is what the test says."""

    def __init__(self) -> None:
        gauge = self
        self.value = 1

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"# TYPE broken gauge\nbroken {gauge.value}\n".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def gauge() -> Iterator[Gauge]:
    made = Gauge()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def prometheus(live: tuple[App, str], tmp_path: Path, gauge: Gauge) -> Iterator[str]:
    """A Prometheus that evaluates a rule over `broken` and sends its alerts to us."""
    rules = {"alert": "Broken", "expr": "broken == 1", "labels": {"severity": "page"}}
    rules["annotations"] = {"summary": "{{ $labels.instance }} is broken"}
    (tmp_path / "rules.yml").write_text(
        json.dumps({"groups": [{"name": "g", "interval": "1s", "rules": [rules]}]})
    )
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s", "external_labels": {"region": "eu"}},
        "rule_files": [str(tmp_path / "rules.yml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [live[1].removeprefix("http://")]}]}]},
        "scrape_configs": [
            {"job_name": "gauge", "static_configs": [{"targets": [f"127.0.0.1:{gauge.server.server_port}"]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))

    def command(address: str) -> list[str]:
        return [
            "prometheus",
            f"--config.file={tmp_path / 'prometheus.yml'}",
            f"--storage.tsdb.path={tmp_path / 'tsdb'}",
            f"--web.listen-address={address}",
            "--rules.alert.resend-delay=1s",
        ]

    with program(tmp_path, command) as url:
        yield url


def test_prometheus_tells_what_fires_and_what_is_over(
    live: tuple[App, str], prometheus: str, gauge: Gauge
) -> None:
    parts, url = live
    (found,) = eventually(lambda: listed(url, "?filter=alertname%3DBroken"), bool)
    instance = f"127.0.0.1:{gauge.server.server_port}"
    assert found["labels"] == {
        "alertname": "Broken",
        "instance": instance,
        "job": "gauge",
        "region": "eu",
        "severity": "page",
    }
    assert found["annotations"] == {"summary": f"{instance} is broken"}
    assert found["generatorURL"].startswith("http")
    eventually(lambda: listed(url, "?receiver=hooks"), bool)
    known = httpx.get(f"{prometheus}/api/v1/alertmanagers", timeout=40).json()["data"]["activeAlertmanagers"]
    assert [one["url"] for one in known] == [f"{url}/api/v2/alerts"]
    gauge.value = 0
    eventually(lambda: listed(url), lambda found: not found)
    kept = parts.alert_book.get(found["fingerprint"])
    assert kept is not None and kept.is_resolved(parts.clock.now_ms()) and not kept.is_timeout


def test_vmalert_tells_what_fires_and_what_is_over(
    live: tuple[App, str], prometheus: str, gauge: Gauge, tmp_path: Path
) -> None:
    _, url = live
    rule = {"alert": "SeenByVmalert", "expr": "broken == 1", "labels": {"severity": "page"}}
    (tmp_path / "vm.yml").write_text(json.dumps({"groups": [{"name": "vm", "rules": [rule]}]}))

    def command(address: str) -> list[str]:
        return [
            "vmalert",
            f"-rule={tmp_path / 'vm.yml'}",
            f"-datasource.url={prometheus}",
            f"-notifier.url={url}",
            f"-httpListenAddr={address}",
            "-evaluationInterval=1s",
            "-datasource.queryStep=1s",
        ]

    query = "?filter=alertname%3DSeenByVmalert"
    with program(tmp_path, command, ready="/health", package="victoria-metrics"):
        (found,) = eventually(lambda: listed(url, query), bool)
        assert found["labels"]["alertgroup"] == "vm" and found["labels"]["severity"] == "page"
        gauge.value = 0
        eventually(lambda: listed(url, query), lambda found: not found)


def test_alertmanagers_own_notifiers(live: tuple[App, str], tmp_path: Path) -> None:
    parts, url = live
    folder = parts.folder.path / "secrets"
    folder.mkdir(exist_ok=True)
    (folder / "pager-key").write_text(KEY)
    parts.resources.apply(load_text([("s.yaml", SOURCES)], parts.registry), author="tester")
    config = f"""
route: {{receiver: setpoint, group_by: [alertname], group_wait: 1s, group_interval: 1s}}
receivers:
  - name: setpoint
    pagerduty_configs:
      - {{routing_key: {KEY}, url: "{url}/v2/enqueue", class: Disk, severity: critical, component: db1}}
    webhook_configs:
      - {{url: "{url}/alerts/in/branch?key={KEY}"}}
"""

    def fire(peer: str, **more: str) -> None:
        alert = {
            "labels": {"alertname": "DiskFull", "instance": "db1"},
            "annotations": {"summary": "full"},
        } | more
        assert httpx.post(f"{peer}/api/v2/alerts", json=[alert], timeout=40).status_code == 200

    def of(source: str) -> list[dict[str, Any]]:
        now_ms = parts.clock.now_ms()
        alerts = [one for one in parts.alert_book.alerts() if one.source == source]
        return [dict(one.labels) for one in alerts if not one.is_resolved(now_ms)]

    with alertmanager(tmp_path / "peer", config) as peer:
        fire(peer)
        (paged,) = eventually(lambda: of("pager"), bool)
        assert (
            paged["alertname"] == "Disk"
            and paged["severity"] == "critical"
            and paged["service"] == "checkout"
        )
        assert len(paged["dedup_key"]) == 64  # Alertmanager's hash of the group's key
        assert eventually(lambda: of("branch"), bool) == [{"alertname": "DiskFull", "instance": "db1"}]
        fire(peer, endsAt="2026-01-02T00:00:00Z", startsAt="2026-01-01T00:00:00Z")
        eventually(lambda: of("pager") + of("branch"), lambda found: not found)
    counts = parts.alert_sources.get("pager").counts
    assert counts.refused == 0 and counts.alerts >= 2
