"""Scrapes beside a real Prometheus: the same exporters, the same configuration, the same series and values."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import require
from tests.telemetry.scrape.running import Running, WebTarget

Series = frozenset[tuple[str, str]]
EXTRA = ("scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes")
"""What theirs writes only behind a flag."""

TEXT = """\
# HELP requests_total Requests, \\\\ and \\n escaped.
# TYPE requests_total counter
requests_total{code="200",job="theirs",path="C:\\\\DIR \\"x\\"\\n"}  1.5e3
requests_total { code = "500" , instance="mine", } 3
requests_total{code="",empty="",version="1"} 4
# TYPE lat histogram
lat_bucket{le="0.1"} 1
lat_bucket{le="1"} 2
lat_bucket{le="+Inf"} 3
lat_sum 0.30000000000000004
lat_count 3
# TYPE q summary
q{quantile="0.5"} NaN
q{quantile="0.99"} +Inf
go_threads 7
spaced   -0.0\t
exported{exported_job="a",job="b"} 1
dropped_by_name 1
"""
OPENMETRICS = """\
# TYPE foo counter
# HELP foo Counts.
foo_total{a="b"} 17.0 # {trace_id="x"} 0.5
foo_created{a="b"} 1520872607.123
# TYPE bar_seconds gauge
# UNIT bar_seconds seconds
bar_seconds 1e-3
# TYPE state info
state_info{v="ü"} 1
# EOF
"""
CONFIG = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
- job_name: text
  static_configs: [{{targets: ['{text}'], labels: {{env: prod, zone: 7}}}}]
  relabel_configs:
  - {{source_labels: [__address__, __scheme__, __metrics_path__], separator: '|', target_label: where}}
  - {{source_labels: [__address__], modulus: 7, target_label: shard, action: hashmod}}
  - {{source_labels: [env], target_label: shout, action: uppercase}}
  - {{regex: e(n)v, replacement: copied_$1, action: labelmap}}
  metric_relabel_configs:
  - {{source_labels: [__name__], regex: 'go_.*|dropped_by_name', action: drop}}
  - {{source_labels: [code], regex: '(\\d)..', target_label: class, replacement: '${{1}}xx'}}
  - {{source_labels: [path], regex: '(?s).*', target_label: path, replacement: ''}}
  - {{regex: version, action: labeldrop}}
- job_name: honest
  honor_labels: true
  static_configs: [{{targets: ['{text}']}}]
- job_name: open
  metrics_path: /open
  params: {{module: [a, b]}}
  static_configs: [{{targets: ['{text}']}}]
- job_name: dropped
  static_configs: [{{targets: ['{text}']}}]
  relabel_configs: [{{action: drop}}]
- job_name: node
  static_configs: [{{targets: ['{node}']}}]
  relabel_configs: [{{target_label: instance, replacement: here}}]
- job_name: broken
  metrics_path: /broken
  static_configs: [{{targets: ['{text}']}}]
- job_name: limited
  sample_limit: 3
  static_configs: [{{targets: ['{text}']}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def program(*command: str, log: Path, ready: str) -> Iterator[None]:
    """A program that runs until the block ends; `ready` is an address that answers once it serves."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(ready, timeout=5).close()
                break
            except OSError:
                assert process.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(10)


def ask(address: str, path: str, **parameters: str) -> Any:
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The address of a Prometheus, and the configuration that it and we use."""
    for component in ("prometheus", "prometheus-node-exporter"):
        require(component, shutil.which(component) is not None, component)
    folder = tmp_path_factory.mktemp("peers")
    web = WebTarget().says(TEXT).says("a 1\nb {\n", path="/broken")
    web.says(OPENMETRICS, path="/open", Content_Type="application/openmetrics-text; version=1.0.0")
    node, address = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    text = CONFIG.format(text=web.address, node=node)
    (folder / "prometheus.yml").write_text(text)
    exporter = ("prometheus-node-exporter", f"--web.listen-address={node}", "--collector.disable-defaults",
                "--collector.cpu", "--collector.meminfo", "--collector.netdev", "--collector.uname")  # fmt: skip
    server = ("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
              f"--web.listen-address={address}")  # fmt: skip
    with (
        program(*exporter, log=folder / "exporter.log", ready=f"http://{node}/metrics"),
        program(*server, log=folder / "prometheus.log", ready=f"http://{address}/-/ready"),
    ):
        deadline = time.monotonic() + 30
        while len(ask(address, "query", query="up")["result"]) < 6:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield address, text
    web.close()


@pytest.fixture(scope="module")
def ours(peers: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Running:
    """A scraper of ours that has scraped everything twice."""
    with Running(tmp_path_factory.mktemp("ours"), peers[1]) as running:
        running.pass_time(2.5)
    return running


def by_job(series: set[Series]) -> dict[str, set[Series]]:
    found: dict[str, set[Series]] = {}
    for labels in series:
        found.setdefault(dict(labels).get("job", ""), set()).add(labels)
    return found


def own_series(running: Running) -> set[Series]:
    return {
        frozenset(labels.items()) for labels, *_ in running.stored.samples if labels["__name__"] not in EXTRA
    }


def test_the_same_series(peers: tuple[str, str], ours: Running) -> None:
    answer = ask(peers[0], "series", **{"match[]": '{__name__=~".+"}'})
    theirs = by_job({frozenset(labels.items()) for labels in answer})
    mine = by_job(own_series(ours))
    assert set(mine) == set(theirs)
    for job in theirs:
        assert mine[job] == theirs[job], job
    assert len(theirs["node"]) > 100


@pytest.mark.parametrize("job", ["text", "honest", "open", "limited", "broken", "a", "b", "theirs"])
def test_the_same_values(peers: tuple[str, str], ours: Running, job: str) -> None:
    def steady(name: str) -> bool:
        return not name.startswith("scrape_duration") and name != "scrape_series_added"

    matcher = f'{{job="{job}"}}'
    theirs = {
        frozenset(one["metric"].items()): float(one["value"][1])
        for one in ask(peers[0], "query", query=matcher)["result"]
        if steady(one["metric"]["__name__"])
    }
    latest: dict[Series, float | str] = {}
    for labels, _, value in ours.stored.samples:
        if labels.get("job") == job and steady(labels["__name__"]) and labels["__name__"] not in EXTRA:
            latest[frozenset(labels.items())] = value
    mine = {series: value for series, value in latest.items() if value != "stale"}
    assert {series: repr(value) for series, value in mine.items()} == {
        series: repr(value) for series, value in theirs.items()
    }


def test_the_same_targets(peers: tuple[str, str], ours: Running) -> None:
    answer = ask(peers[0], "targets")
    theirs = {
        (one["scrapePool"], one["scrapeUrl"]): (one["labels"], one["discoveredLabels"], one["health"])
        for one in answer["activeTargets"]
    }
    mine = {(one.job, one.url): (dict(one.labels), dict(one.discovered), one.health) for one in ours.targets}
    assert mine == theirs
    dropped = [labels for status in ours.scraper.status.jobs for labels in status.dropped]
    assert [dict(labels) for labels in dropped] == [
        one["discoveredLabels"] for one in answer["droppedTargets"]
    ]
