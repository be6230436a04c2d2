"""Real senders: Debian's Prometheus and vmagent write to a running Setpoint, and what arrived is what they have."""

from __future__ import annotations

import json
import math
import shutil
import struct
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from pydantic import SecretStr
from tests.conftest import require
from tests.differential.test_scrape_prometheus import free_port, program
from tests.telemetry.receive.test_remote_write_scan import delimited, double, number, varint
from tests.telemetry.scrape.running import WebTarget

from setpoint.app import App, wire
from setpoint.clock import SystemClock
from setpoint.database import DataFolder, StateDatabase, TelemetryDatabase
from setpoint.settings import Settings
from setpoint.telemetry.model import Matcher
from setpoint.telemetry.native_histogram import STALE_BITS, NativeHistogram
from setpoint.web import create_app
from setpoint.web.serve import Gate

TOKEN = "t0ken-of-the-test"
PATIENCE_S = 40
Samples = dict[frozenset[tuple[str, str]], list[tuple[int, int]]]
"""By series: Unix ms and the bits of the value."""

TEXT = """\
# HELP requests_total Requests that were answered.
# TYPE requests_total counter
requests_total{code="200"} 1500
requests_total{code="500",path="C:\\\\DIR \\"x\\"\\n"} 3
# TYPE odd gauge
odd{kind="nan"} NaN
odd{kind="inf"} -Inf
odd{kind="zero"} -0
odd{kind="tiny"} 4.9e-324
"""
OPENMETRICS = """\
# TYPE latency_seconds histogram
# UNIT latency_seconds seconds
# HELP latency_seconds How long answers took.
latency_seconds_bucket{le="0.1"} 8 # {trace_id="4bf92f3577b34da6a3ce929d0e0e4736",span_id="00f067aa"} 0.067
latency_seconds_bucket{le="+Inf"} 9
latency_seconds_count 9
latency_seconds_sum 3.5
# EOF
"""


def native_family() -> bytes:
    """A native histogram as clients expose it (io.prometheus.client.MetricFamily, delimited)."""
    buckets = b"".join(
        [
            number(1, 4), double(2, bits(12.5)), number(5, 3 << 1), double(6, bits(0.001)), number(7, 1),
            delimited(12, number(1, 0) + number(2, 2)), delimited(13, varint(4) + varint(1)),
        ]
    )  # fmt: skip
    family = delimited(1, b"sizes") + number(3, 4) + delimited(4, delimited(7, buckets))
    return varint(len(family)) + family


def bits(value: float) -> int:
    return int.from_bytes(struct.pack("<d", value), "little")


def number_of(pattern: int) -> float:
    return float(struct.unpack("<d", pattern.to_bytes(8, "little"))[0])


@dataclass
class Setpoint:
    """A wired server behind a gate, on a port of the loopback."""

    parts: App
    gate: Gate
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api/v1/write"

    def open(self) -> None:
        self.gate.inner = create_app(self.parts)

    def samples(self, start_ms: int, end_ms: int, **matching: str) -> Samples:
        """What is there of `matching`, with start_ms < t <= end_ms."""
        matchers = [Matcher(name, "=~", value) for name, value in matching.items()]
        found = self.parts.reader.select(matchers, start_ms, end_ms)
        out: Samples = {}
        for place, labels in enumerate(found.labels):
            part = slice(found.offsets[place], found.offsets[place + 1])
            values = found.values[part].view("uint64").tolist()
            out[frozenset(labels.items())] = list(
                zip(found.timestamps_ms[part].tolist(), values, strict=True)
            )
        return out


@pytest.fixture
def setpoint(
    tmp_path: Path, sqlite_database: StateDatabase, telemetry_database: TelemetryDatabase
) -> Iterator[Setpoint]:
    clock = SystemClock()
    parts = wire(
        Settings.model_validate({"data": tmp_path / "data", "token": SecretStr(TOKEN)}),
        clock,
        DataFolder(tmp_path / "data"),
        sqlite_database,
        telemetry_database,
        started_ms=clock.now_ms(),
    )
    gate = Gate()
    config = uvicorn.Config(gate, port=0, log_level="error", lifespan="off")
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
    thread.start()
    try:
        yield Setpoint(parts, gate, socket.getsockname()[1])
    finally:
        server.should_exit = True
        thread.join(10)
        parts.ingest.close()


@pytest.fixture
def targets(tmp_path: Path) -> Iterator[Mapping[str, str]]:
    """Addresses of what is scraped: an exporter, and a target that answers /text, /open and /native."""
    require("node_exporter", shutil.which("prometheus-node-exporter") is not None, "prometheus-node-exporter")
    web, node = WebTarget(), f"127.0.0.1:{free_port()}"
    web.says(TEXT, path="/text")
    web.says(OPENMETRICS, path="/open", Content_Type="application/openmetrics-text; version=1.0.0")
    kind = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    web.says(native_family(), path="/native", Content_Type=kind)
    command = ("prometheus-node-exporter", f"--web.listen-address={node}")
    with program(*command, log=tmp_path / "exporter.log", ready=f"http://{node}/metrics"):
        yield {"web": web.address, "node": node}
    web.close()


def scrape_configs(targets: Mapping[str, str], *paths: str) -> str:
    jobs = "".join(
        f"- {{job_name: {path}, metrics_path: /{path}, static_configs: [{{targets: ['{targets['web']}']}}]}}\n"
        for path in paths
    )
    return (
        "global: {scrape_interval: 1s, scrape_timeout: 1s, external_labels: {zone: west, apex: ''}}\n"
        f"scrape_configs:\n- {{job_name: node, static_configs: [{{targets: ['{targets['node']}']}}]}}\n{jobs}"
    )


@contextmanager
def prometheus(folder: Path, setpoint: Setpoint, configs: str) -> Iterator[str]:
    """A Prometheus that writes to `setpoint` and has scraped each of its targets; its address."""
    require("prometheus", shutil.which("prometheus") is not None, "prometheus")
    folder.mkdir()
    address = f"127.0.0.1:{free_port()}"
    (folder / "prometheus.yml").write_text(
        f"{configs}remote_write:\n- url: {setpoint.url}\n  authorization: {{credentials: {TOKEN}}}\n"
        "  send_exemplars: true\n  send_native_histograms: true\n"
        "  queue_config: {min_backoff: 50ms, max_backoff: 200ms, batch_send_deadline: 200ms}\n"
        "  metadata_config: {send: true, send_interval: 1s}\n"
    )
    command = ("prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
               f"--web.listen-address={address}",
               "--enable-feature=exemplar-storage,native-histograms")  # fmt: skip
    with program(*command, log=folder / "log", ready=f"http://{address}/-/ready"):
        jobs = configs.count("job_name")
        wait_for(lambda: len(ask(address, "query", query="up")["result"]) == jobs)  # discovery takes 5 s
        yield address


def ask(address: str, path: str, **parameters: str) -> Any:
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def theirs(address: str, start_ms: int, end_ms: int) -> Samples:
    """The samples that a Prometheus has, but stale markers, which it does not show; with start_ms < t <= end_ms."""
    window = f"[{(end_ms - start_ms) // 1000}s]"
    answer = ask(address, "query", query=f'{{__name__=~".+"}}{window}', time=f"{end_ms / 1000:.3f}")
    external = {"zone": "west"}
    return {
        frozenset((one["metric"] | external).items()): [
            (round(at_s * 1000), bits(float(value) or 0.0))  # it sends zeros without their sign
            for at_s, value in one["values"]
        ]
        for one in answer["result"]
        if "values" in one and round(one["values"][0][0] * 1000) > start_ms
    }


def wait_for(what: Callable[[], Any]) -> Any:
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.2)
    return found


def same_nan(samples: Samples) -> Samples:
    """Every NaN that is no marker as one: JSON says only NaN."""
    plain = bits(float("nan"))
    return {
        series: [
            (
                at_ms,
                plain
                if value & 0x7FF0000000000000 == 0x7FF0000000000000 and value & 0xFFFFFFFFFFFFF
                else value,
            )
            for at_ms, value in found
            if value != STALE_BITS
        ]
        for series, found in samples.items()
    }


def difference(mine: Samples, peers: Samples) -> str:
    """What two ends have of each other's series, short."""
    lines = [f"{len(mine)} here, {len(peers)} there"]
    for series in mine.keys() | peers.keys():
        if mine.get(series) != peers.get(series):
            lines.append(f"{sorted(series)}: {mine.get(series)} here, {peers.get(series)} there")
    return "\n".join(lines[:12])


def await_same(address: str, setpoint: Setpoint, start_ms: int, end_ms: int) -> Samples:
    """Wait until Setpoint has exactly the samples of a Prometheus in a time that is over; those samples."""
    expected = same_nan(theirs(address, start_ms, end_ms))
    deadline = time.monotonic() + PATIENCE_S
    while (found := same_nan(setpoint.samples(start_ms, end_ms, zone="west"))) != expected:
        if time.monotonic() > deadline:
            raise AssertionError(difference(found, expected))
        time.sleep(0.2)
    return found


def test_prometheus_writes_what_it_has(
    tmp_path: Path, setpoint: Setpoint, targets: Mapping[str, str]
) -> None:
    setpoint.open()
    configs = scrape_configs(targets, "text", "open", "native")
    with prometheus(tmp_path / "prometheus", setpoint, configs) as address:
        start_ms = SystemClock().now_ms() // 1000 * 1000 + 1000
        wait_for(lambda: SystemClock().now_ms() > start_ms + 5000)
        found = await_same(address, setpoint, start_ms, start_ms + 4000)
        assert len(found) > 300
        assert {len(samples) for samples in found.values()} >= {4}
        odd = {
            dict(series)["kind"]: samples[0][1]
            for series, samples in found.items()
            if ("__name__", "odd") in series
        }
        assert (odd["zero"], odd["tiny"], odd["inf"]) == (0, 1, bits(float("-inf")))
        database = setpoint.parts.telemetry_database
        said = wait_for(lambda: _metadata(database).get("requests_total"))
        assert said == ("counter", "", "Requests that were answered.")
        assert wait_for(lambda: _metadata(database).get("latency_seconds"))[0] == "histogram"
        exemplar = wait_for(lambda: _column(database, "SELECT labels FROM exemplars LIMIT 1", "labels"))[0]
        assert dict(exemplar) == {"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa"}
        stored = wait_for(lambda: _column(database, "SELECT hex(payload) AS h FROM histograms LIMIT 1", "h"))[
            0
        ]
        native = NativeHistogram.decode(bytes.fromhex(stored))
        assert (native.schema, native.count, native.sum, native.zero_count) == (3, 4, 12.5, 1)
        assert (native.positive_spans, native.positive_counts) == (((0, 2),), (2, 1))
        metrics = _own(address)
        assert metrics["prometheus_remote_storage_samples_failed_total"] == 0
        assert metrics["prometheus_remote_storage_exemplars_failed_total"] == 0
        assert metrics["prometheus_remote_storage_histograms_failed_total"] == 0
        assert metrics["prometheus_remote_storage_metadata_failed_total"] == 0
    assert setpoint.parts.protection.samples_by_reason == {}


def test_what_a_sender_ends_is_stale(tmp_path: Path, setpoint: Setpoint, targets: Mapping[str, str]) -> None:
    setpoint.open()
    web = WebTarget().says(TEXT, path="/text")
    configs = scrape_configs({"web": web.address, "node": targets["node"]}, "text")
    start_ms = SystemClock().now_ms()
    with prometheus(tmp_path / "prometheus", setpoint, configs):
        wait_for(lambda: setpoint.samples(start_ms, 2**62, __name__="requests_total"))
        web.close()

        def ended() -> bool:
            found = setpoint.samples(start_ms, 2**62, __name__="requests_total|odd")
            return len(found) == 6 and all(samples[-1][1] == STALE_BITS for samples in found.values())

        wait_for(ended)


def test_nothing_is_lost_while_setpoint_cannot_take_it(
    tmp_path: Path, setpoint: Setpoint, targets: Mapping[str, str]
) -> None:
    """The gate answers 503 until the server is ready, as after a restart; the sender comes back with all of it."""
    with prometheus(tmp_path / "prometheus", setpoint, scrape_configs(targets, "text")) as address:
        start_ms = SystemClock().now_ms() // 1000 * 1000 + 1000
        wait_for(lambda: _own(address).get("prometheus_remote_storage_samples_retried_total", 0) > 0)
        wait_for(lambda: SystemClock().now_ms() > start_ms + 3000)
        assert setpoint.parts.table.size == 0
        setpoint.open()
        assert len(await_same(address, setpoint, start_ms, start_ms + 2000)) > 300


def test_vmagent_writes_what_it_gives_victoria_metrics(
    tmp_path: Path, setpoint: Setpoint, targets: Mapping[str, str]
) -> None:
    for component in ("vmagent", "victoria-metrics"):
        require(component, shutil.which(component) is not None, "victoria-metrics")
    setpoint.open()
    (tmp_path / "scrape.yml").write_text(scrape_configs(targets, "text"))
    agent, database = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    store = ("victoria-metrics", f"-httpListenAddr={database}", f"-storageDataPath={tmp_path}/vm")
    sender = ("vmagent", f"-httpListenAddr={agent}", f"-promscrape.config={tmp_path}/scrape.yml",
              f"-remoteWrite.tmpDataPath={tmp_path}/agent", "-remoteWrite.flushInterval=200ms",
              f"-remoteWrite.url={setpoint.url}", f"-remoteWrite.url=http://{database}/api/v1/write",
              "-remoteWrite.basicAuth.username=vmagent,",
              f"-remoteWrite.basicAuth.password={TOKEN},")  # fmt: skip
    with program(*store, log=tmp_path / "vm.log", ready=f"http://{database}/health"):
        with program(*sender, log=tmp_path / "agent.log", ready=f"http://{agent}/health"):
            start_ms = SystemClock().now_ms() // 1000 * 1000 + 1000
            wait_for(lambda: SystemClock().now_ms() > start_ms + 5000)
            end_ms = start_ms + 4000

        def exported() -> Samples:
            times = f"start={(start_ms + 1) / 1000:.3f}&end={end_ms / 1000:.3f}"
            url = f"http://{database}/api/v1/export?match[]={{zone='west'}}&{times}"
            out: Samples = {}
            with urllib.request.urlopen(url, timeout=10) as answer:
                for line in answer:
                    one = json.loads(line.replace(b"Inf", b"Infinity"))
                    out[frozenset(one["metric"].items())] = [
                        (at_ms, bits(float(value)))
                        for at_ms, value in zip(one["timestamps"], one["values"], strict=True)
                        if value is not None  # a marker: a scrape was missed
                    ]
            return out

        def is_same() -> bool:
            here, there = same_nan(setpoint.samples(start_ms, end_ms, zone="west")), exported()
            # It keeps decimal numbers of some 15 places, and no NaN.
            kinds = [dict(series).get("kind") for series in here.keys() - there.keys()]
            return kinds == ["nan"] and all(
                [at_ms for at_ms, _ in here[series]] == [at_ms for at_ms, _ in samples]
                and all(
                    math.isclose(number_of(one), number_of(other), rel_tol=1e-12, abs_tol=1e-300)
                    for (_, one), (_, other) in zip(here[series], samples, strict=True)
                )
                for series, samples in there.items()
            )

        wait_for(is_same)
        assert len(exported()) > 300
    assert setpoint.parts.protection.samples_by_reason == {}


def _column(database: TelemetryDatabase, statement: str, name: str) -> list[Any]:
    return list(database.query(statement)[name])


def _metadata(database: TelemetryDatabase) -> dict[str, tuple[str, str, str]]:
    rows = database.query("SELECT metric, type, unit, help FROM metadata FINAL")
    names = ("type", "unit", "help")
    return {
        metric: (kind, unit, text)
        for metric, kind, unit, text in zip(rows["metric"], *(rows[name] for name in names), strict=True)
    }


def _own(address: str) -> dict[str, float]:
    """A Prometheus's metrics about itself, summed over labels."""
    out: dict[str, float] = {}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if not line.startswith("#"):
                name, value = line.partition("{")[0].split(" ")[0], line.rpartition(" ")[2]
                out[name] = out.get(name, 0) + float(value)
    return out
