"""The same rule file in Debian's Prometheus and in Setpoint, over the same samples: rules and alerts are told alike.
And vmalert with rules of its own, which asks Setpoint and writes to it.
"""

from __future__ import annotations

import json
import shutil
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from tests.conftest import require
from tests.differential.test_remote_write_peers import TOKEN, wait_for
from tests.differential.test_scrape_prometheus import ask, free_port, program
from tests.telemetry.scrape.running import WebTarget

from setpoint.app import App, wire
from setpoint.clock import SystemClock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.settings import Settings
from setpoint.web import create_app

RULES = """
groups:
  - name: levels
    interval: 1s
    labels: {team: shop}
    rules:
      - record: level:doubled
        expr: 'level * 2'
        labels: {made: here}
      - alert: High
        expr: level:doubled{kind!="low"} > 10
        for: 2s
        keep_firing_for: 1h
        labels: {severity: page, what: 'the {{ $labels.kind }}'}
        annotations:
          summary: '{{ $labels.kind }} is at {{ $value | humanize }} {{ .Value | printf "%.2f" }}'
      - alert: Waiting
        expr: level > 4
        for: 10h
      - alert: Quiet
        expr: absent(level)
      - alert: Broken
        expr: level + on() group_left() level
  - name: second
    interval: 2s
    limit: 2
    rules:
      - {alert: TooMany, expr: 'level > -1'}
      - {alert: Histogram, expr: 'vector(0) == 0', labels: {empty: ''}}
"""
RULES = RULES.replace("    labels: {team: shop}\n", "")  # Prometheus 2.42 does not know labels of groups
TEXT = 'level{kind="low"} 1\nlevel{kind="mid"} 5.25\nlevel{kind="high"} 1e6\n'
APART_S = 60


class Server:
    """A Setpoint that evaluates rules, on a port of the loopback."""

    def __init__(self, parts: App) -> None:
        self.parts = parts
        config = uvicorn.Config(create_app(parts), port=0, log_level="error", lifespan="off")
        socket = config.bind_socket()
        self.address = f"127.0.0.1:{socket.getsockname()[1]}"
        self._stop = threading.Event()
        self._server = uvicorn.Server(config)
        parts.rules.begin()
        self._threads = [
            threading.Thread(target=self._server.run, kwargs={"sockets": [socket]}, daemon=True),
            threading.Thread(target=parts.rules.run, args=(self._stop,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def ask(self, path: str) -> Any:
        request = urllib.request.Request(
            f"http://{self.address}/api/v1/{path}", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def close(self) -> None:
        self._stop.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(20)
        self.parts.ingest.close()


@pytest.fixture
def server(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase
) -> Iterator[Server]:
    clock = SystemClock()
    (tmp_path / "rules").mkdir()
    settings = {
        "data": tmp_path / "data",
        "token": SecretStr(TOKEN),
        "rule_files": str(tmp_path / "rules" / "*.yml"),
    }
    parts = wire(
        Settings.model_validate(settings),
        clock,
        DataFolder(tmp_path / "data"),
        sqlite_database,
        telemetry_database,
        started_ms=clock.now_ms(),
    )
    found = Server(parts)
    yield found
    found.close()


@pytest.fixture
def prometheus(tmp_path: Path, server: Server) -> Iterator[str]:
    """A Prometheus that has the rules, scrapes what they read and writes it to Setpoint; its address."""
    require("prometheus", shutil.which("prometheus") is not None, "prometheus")
    web, address = WebTarget(), f"127.0.0.1:{free_port()}"
    web.says(TEXT, path="/text")
    rules = tmp_path / "rules" / "levels.yml"
    rules.write_text(RULES)
    (tmp_path / "prometheus.yml").write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
        f"rule_files: ['{rules}']\n"
        "scrape_configs:\n"
        f"- {{job_name: text, metrics_path: /text, static_configs: [{{targets: ['{web.address}']}}]}}\n"
        "remote_write:\n"
        f"- url: http://{server.address}/api/v1/write\n  authorization: {{credentials: {TOKEN}}}\n"
        "  write_relabel_configs: [{source_labels: [__name__], regex: level, action: keep}]\n"
        "  queue_config: {min_backoff: 50ms, max_backoff: 200ms, batch_send_deadline: 200ms}\n"
    )
    command = ("prometheus", f"--config.file={tmp_path}/prometheus.yml",
               f"--storage.tsdb.path={tmp_path}/tsdb", f"--web.listen-address={address}")  # fmt: skip
    with program(*command, log=tmp_path / "prometheus.log", ready=f"http://{address}/-/ready"):
        yield address
    web.close()


def timeless(rule: dict[str, Any]) -> dict[str, Any]:
    """A rule as it is told, but for what differs from one evaluation to the next, and for words of errors."""
    told = {name: value for name, value in rule.items() if name not in ("evaluationTime", "lastEvaluation")}
    if "lastError" in told:
        told["lastError"] = bool(told["lastError"])
    if "alerts" in told:
        alerts = [
            {name: value for name, value in alert.items() if name not in ("activeAt", "keepFiringSince")}
            for alert in told["alerts"]
        ]
        told["alerts"] = sorted(alerts, key=lambda alert: sorted(alert["labels"].items()))
    return told


def states(groups: dict[str, Any]) -> dict[str, tuple[str, str, int]]:
    return {
        rule["name"]: (rule["health"], rule.get("state", ""), len(rule.get("alerts", ())))
        for group in groups["groups"]
        for rule in group["rules"]
    }


EXPECTED = {
    "level:doubled": ("ok", "", 0),
    "High": ("ok", "firing", 2),
    "Waiting": ("ok", "pending", 2),
    "Quiet": ("ok", "inactive", 0),
    "Broken": ("err", "inactive", 0),
    "TooMany": ("err", "inactive", 0),
    "Histogram": ("ok", "firing", 1),
}


def test_rules_and_alerts_are_told_as_prometheus_tells_them(server: Server, prometheus: str) -> None:
    wait_for(lambda: states(ask(prometheus, "rules")) == EXPECTED)
    wait_for(lambda: states(server.ask("rules")) == EXPECTED)
    theirs, mine = ask(prometheus, "rules"), server.ask("rules")
    for one, other in zip(mine["groups"], theirs["groups"], strict=True):
        for name in ("name", "file", "interval", "limit"):
            assert one[name] == other[name]
        for rule, like in zip(one["rules"], other["rules"], strict=True):
            assert timeless(rule) == timeless(like)
    alerts = {json.dumps(one["labels"], sort_keys=True): one for one in server.ask("alerts")["alerts"]}
    for like in ask(prometheus, "alerts")["alerts"]:
        one = alerts.pop(json.dumps(like["labels"], sort_keys=True))
        assert (one["state"], one["value"], one["annotations"]) == (
            like["state"],
            like["value"],
            like["annotations"],
        )
        apart = datetime.fromisoformat(one["activeAt"]) - datetime.fromisoformat(like["activeAt"][:19] + "Z")
        assert abs(apart.total_seconds()) < APART_S
    assert alerts == {}
    for path in ("rules?type=record", "rules?type=alert"):
        assert states(server.ask(path)) == states(ask(prometheus, *path.split("?")[:1], type=path[11:]))


def test_filters_and_pages_of_rules(server: Server, tmp_path: Path) -> None:
    (tmp_path / "rules" / "levels.yml").write_text(RULES)
    server.parts.rules.read_files()

    def names(query: str) -> list[str]:
        return list(states(server.ask(f"rules?{query}")))

    assert names("rule_name[]=High&rule_name[]=Quiet") == ["High", "Quiet"]
    assert names("rule_group[]=second") == ["TooMany", "Histogram"]
    assert names("file[]=none") == []
    assert names("match[]=" + urllib.parse.quote('{severity="page"}')) == ["High"]
    first = server.ask("rules?group_limit=1")
    assert [group["name"] for group in first["groups"]] == ["levels"]
    rest = server.ask(f"rules?group_limit=1&group_next_token={first['groupNextToken']}")
    assert [group["name"] for group in rest["groups"]] == ["second"]
    assert "groupNextToken" not in rest
    (tmp_path / "rules" / "broken.yml").write_text(
        "groups:\n- name: b\n  rules: [{record: r, expr: 'sum('}]\n"
    )
    server.parts.rules.read_files()
    request = urllib.request.Request(
        f"http://{server.address}/api/status", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = json.load(answer)["rules"]
    assert (told["groups"], told["rules"], len(told["faults"])) == (2, 7, 1)
    assert "broken.yml:3: " in told["faults"][0]["message"]
    for wrong in ("group_next_token=x", "group_limit=0", "group_limit=1&group_next_token=x", "type=x"):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            server.ask(f"rules?{wrong}")


def test_vmalert_evaluates_its_rules_over_setpoint(server: Server, tmp_path: Path) -> None:
    require("vmalert", shutil.which("vmalert") is not None, "victoria-metrics")
    (tmp_path / "vmalert.yml").write_text(
        "groups:\n- name: g\n  interval: 1s\n  rules:\n"
        "  - {record: made_by_vmalert, expr: 'vector(7) * 2'}\n"
        "  - {alert: Fires, expr: 'made_by_vmalert > 10', labels: {severity: page}}\n"
    )
    address, url = f"127.0.0.1:{free_port()}", f"http://{server.address}"
    command = ("vmalert", f"-rule={tmp_path}/vmalert.yml", f"-httpListenAddr={address}",
               f"-notifier.url={url}", "-notifier.basicAuth.username=vm", f"-notifier.basicAuth.password={TOKEN}",
               f"-datasource.url={url}", f"-datasource.bearerToken={TOKEN}", "-evaluationInterval=1s",
               f"-remoteWrite.url={url}", f"-remoteWrite.bearerToken={TOKEN}",
               "-remoteWrite.flushInterval=200ms")  # fmt: skip
    with program(*command, log=tmp_path / "vmalert.log", ready=f"http://{address}/health"):

        def alerts() -> Any:
            query = urllib.parse.quote('ALERTS{alertname="Fires",alertstate="firing"}')
            return server.ask(f"query?query={query}")["result"]

        (found,) = wait_for(alerts)
        assert found["metric"]["severity"] == "page"
        (recorded,) = server.ask("query?query=made_by_vmalert")["result"]
        assert recorded["value"][1] == "14"
        (told,) = wait_for(server.parts.alert_book.alerts)
        assert told.labels["alertname"] == "Fires"
