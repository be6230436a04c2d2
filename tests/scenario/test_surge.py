"""A surge of ten times the steady load, a sender of garbage, a cardinality bomb and targets that hang, lie about their
length or send a gigabyte, all at once, on a real server; at the end its engine is killed.

Evaluation keeps its rhythm, every sample that was answered 2xx is there after the restart, steady senders and good
targets notice nothing, the bomb ends at its limit, and memory stays bounded. Each sender has a loopback address of its
own, for that is what remote write's senders are told apart by.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from bench.server import Server, running
from prometheus_client.parser import text_string_to_metric_families

from tests.scenario.senders import Sample, Sender, report_steadily, send_bomb, send_garbage, working
from tests.telemetry.scrape.running import raw_target
from tests.telemetry.scrape.test_hostile import (
    HEAD,
    announces_a_gigabyte,
    hangs,
    hangs_in_the_middle,
    never_ends,
    promises_more_than_it_sends,
    sends_a_gigabyte,
)

pytestmark = [pytest.mark.timeout(150)]

STEADY_SENDERS, STEADY_SERIES = 2, 100
SURGE_SENDERS, SURGE_SERIES = 2, 1000  # ten times the steady load, at the same pace
CALM_S, SURGE_S = 4.0, 12.0
BOMB_LIMIT = 2000
OBJECTIVES = 20
EVALUATION_INTERVAL_S = 1.0
MORE_MEMORY_MB = 600
"""What the surge may take at its peak: two bodies of 64 MB, the largest allowed, their copies, and the head."""

HOSTILE = [
    hangs,
    hangs_in_the_middle,
    promises_more_than_it_sends,
    announces_a_gigabyte,
    sends_a_gigabyte,
    never_ends,
]

SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {{name: steady-{number}}}
spec:
  service: steady
  budgetingMethod: Occurrences
  timeWindow: [{{duration: 7d, isRolling: true}}]
  indicator:
    metadata: {{name: steady-{number}}}
    spec:
      ratioMetric:
        counter: true
        good: {{metricSource: {{type: Prometheus, spec: {{query: 'sum(steady_total{{place=~"{number}.*"}})'}}}}}}
        total: {{metricSource: {{type: Prometheus, spec: {{query: sum(steady_total)}}}}}}
  objectives: [{{displayName: Answered, target: 0.99}}]
"""


def answers_well(connection: socket.socket) -> None:
    """A target as it should be."""
    connection.sendall(HEAD + b"Content-Length: 7\r\n\r\ngood 1\n")


def own_metrics(server: Server) -> dict[str, float]:
    """The sum of each own metric over its labels, by name of the sample."""
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=10)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def stored(server: Server, metric: str, seconds: int) -> set[Sample]:
    """Every stored sample of `metric` in the last seconds."""
    query = urllib.parse.quote(f"{metric}[{seconds}s]")
    answer = server.get(f"/api/v1/query?query={query}", timeout_s=30)
    return {
        (metric, series["metric"]["place"], round(at * 1000), float(value))
        for series in answer["data"]["result"]
        for at, value in series["values"]
    }


def apply_objectives(server: Server) -> None:
    documents = ["apiVersion: openslo/v1\nkind: Service\nmetadata: {name: steady}\nspec: {}\n"]
    documents += [SLO.format(number=number) for number in range(OBJECTIVES)]
    text = json.dumps({"files": [{"name": "steady.yaml", "text": "---\n".join(documents)}]})
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(server.url).netloc, timeout=30)
    connection.request("POST", "/api/resources", text, {"Content-Type": "application/json"})
    assert connection.getresponse().status == 200
    connection.close()


def peak_memory_mb(process_id: int) -> float:
    """The largest resident size that a process has had."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmHWM in status")


def scrape_config(stack: ExitStack, file: Path) -> None:
    """Write a configuration of one good target and of the hostile ones, which are there from the surge on only."""
    good = stack.enter_context(raw_target(answers_well))
    file.write_text(
        "scrape_configs:\n"
        "- job_name: good\n"
        "  scrape_interval: 500ms\n"
        "  scrape_timeout: 500ms\n"
        f"  static_configs: [{{targets: ['{good}']}}]\n"
    )


def add_hostile_targets(stack: ExitStack, file: Path) -> None:
    addresses = [stack.enter_context(raw_target(talk)) for talk in HOSTILE]
    job = (
        "- job_name: hostile\n"
        "  scrape_interval: 2s\n"
        "  scrape_timeout: 1500ms\n"
        f"  static_configs: [{{targets: {addresses}}}]\n"
    )
    file.write_text(file.read_text() + job)


class Surge:
    """The server with its senders; `calm`, `attacked` and `killed` are what happens to it, in this order."""

    def __init__(self, server: Server, config: Path, stack: ExitStack) -> None:
        self.server, self.config, self.stack = server, config, stack
        self.steady = [Sender(server, f"127.0.1.{number + 1}") for number in range(STEADY_SENDERS)]
        self.surging = [Sender(server, f"127.0.2.{number + 1}") for number in range(SURGE_SENDERS)]
        self.garbage, self.bomb = Sender(server, "127.0.3.1"), Sender(server, "127.0.4.1")
        self.changes: dict[str, float] = {}
        self.surge_s = 0.0
        self.more_memory_mb = 0.0

    def steady_jobs(self) -> list[Callable[[threading.Event], None]]:
        return [self._reports(one, "steady_total", STEADY_SERIES, at) for at, one in enumerate(self.steady)]

    def _reports(
        self, sender: Sender, metric: str, series: int, number: int
    ) -> Callable[[threading.Event], None]:
        places = range(number * series, (number + 1) * series)
        return lambda stop: report_steadily(sender, metric, places, stop)

    def attacked(self) -> None:
        """Everything at once for a while; what its own metrics changed by meanwhile."""
        before, began = own_metrics(self.server), time.monotonic()
        memory_mb = peak_memory_mb(self.server.engine)
        add_hostile_targets(self.stack, self.config)
        surges = [
            self._reports(one, f"surge_{at}_total", SURGE_SERIES, at) for at, one in enumerate(self.surging)
        ]
        with working(
            *surges, lambda stop: send_garbage(self.garbage, stop), lambda stop: send_bomb(self.bomb, stop)
        ):
            time.sleep(SURGE_S)
        after, self.surge_s = own_metrics(self.server), time.monotonic() - began
        self.changes = {name: after[name] - value for name, value in before.items() if name in after}
        self.more_memory_mb = peak_memory_mb(self.server.engine) - memory_mb

    def killed(self) -> None:
        os.kill(self.server.engine, signal.SIGKILL)
        time.sleep(0.2)
        self.server.wait_ready()


def test_a_surge_disturbs_neither_evaluation_nor_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETPOINT_METRIC_SERIES_LIMIT", str(BOMB_LIMIT))
    config, began = tmp_path / "prometheus.yml", time.monotonic()
    with ExitStack() as stack:
        scrape_config(stack, config)
        command = ["up", "--scrape-config", str(config)]
        server = stack.enter_context(running(command, tmp_path / "data"))
        server.wait_ready()
        apply_objectives(server)
        surge = Surge(server, config, stack)
        with working(*surge.steady_jobs()):
            time.sleep(CALM_S)
            surge.attacked()
            assert {status for one in surge.steady for status in one.answers} == {204}, (
                "steady senders felt it"
            )
            check_rhythm(surge)
            check_bomb(surge)
            check_targets(surge)
            surge.killed()
            time.sleep(CALM_S / 2)
        check_nothing_is_lost(surge, int(time.monotonic() - began) + 30)
        statuses = server.get("/objectives")["items"]
        assert len(statuses) == OBJECTIVES
        assert all(status["total"] > 0 for status in statuses)


def check_rhythm(surge: Surge) -> None:
    ticks, due, missed = (
        surge.changes[f"setpoint_evaluation_{name}"]
        for name in ("duration_seconds_count", "due_total", "missed_total")
    )
    print(f"{ticks:.0f} ticks in {surge.surge_s:.1f} s, {missed:.0f} of {due:.0f} missed,", end=" ")
    print(f"{surge.more_memory_mb:.0f} MB more;", end=" ")
    print(f"surge {[one.answers for one in surge.surging]}, garbage {surge.garbage.answers}")
    assert ticks >= 0.6 * surge.surge_s / EVALUATION_INTERVAL_S, "evaluation lost its rhythm"
    assert missed <= 0.25 * due
    assert surge.more_memory_mb < MORE_MEMORY_MB
    assert surge.garbage.answers.get(400), "garbage was taken"
    assert max(surge.garbage.answers) < 500


def check_bomb(surge: Surge) -> None:
    bomb, server = surge.bomb, surge.server
    assert bomb.answers.get(400), "the bomb was not refused"
    assert "request_id" in bomb.said
    assert "metric_series_limit" in bomb.said
    counted = server.get("/api/v1/query?query=" + urllib.parse.quote("count(bomb_total)"), timeout_s=30)
    assert int(counted["data"]["result"][0]["value"][1]) <= BOMB_LIMIT
    refusals = server.get("/telemetry", timeout_s=30)["refusals"]
    [refusal] = [one for one in refusals if one["reason"] == "metric_series_limit"]
    assert refusal["sender"] == "remote_write 127.0.4.1"
    assert refusal["offender"].startswith("bomb_total{")


def check_targets(surge: Surge) -> None:
    """The good target was scraped all the time, every hostile one is down."""
    query = urllib.parse.quote(f'count_over_time(good{{job="good"}}[{int(surge.surge_s)}s])')
    [good] = surge.server.get(f"/api/v1/query?query={query}", timeout_s=30)["data"]["result"]
    assert int(good["value"][1]) >= surge.surge_s, "half of what was due"
    targets = surge.server.get("/api/v1/targets", timeout_s=30)["data"]["activeTargets"]
    health = [one["health"] for one in targets if one["labels"]["job"] == "hostile"]
    assert health == ["down"] * len(HOSTILE)


def check_nothing_is_lost(surge: Surge, seconds: int) -> None:
    for metric, senders in (
        ("steady_total", surge.steady),
        *((f"surge_{number}_total", [one]) for number, one in enumerate(surge.surging)),
    ):
        acknowledged = {sample for sender in senders for sample in sender.acknowledged}
        assert len(acknowledged) > 1000
        lost = acknowledged - stored(surge.server, metric, seconds)
        assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged samples of {metric} are lost"
