"""Objectives read from a real Prometheus and a real VictoriaMetrics: the same counts as when Setpoint holds the
samples itself, minute by minute; no data with the reason while the peer is away, and everything again after it.
"""

from __future__ import annotations

import random
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.conftest import require
from tests.differential.test_scrape_prometheus import free_port, program
from tests.objective.memory import MemoryLedger, Samples
from tests.objective.test_book import slo
from tests.telemetry.receive.remote_write_proto import WriteRequest, compressed

from setpoint.clock import SystemClock, VirtualClock
from setpoint.objective import ObjectiveBook
from setpoint.objective.counting.feed import Feed
from setpoint.telemetry.datasource import DataSource, DataSources

Reported = dict[tuple[tuple[str, str], ...], list[tuple[int, float]]]
"""By series: Unix milliseconds and value."""

V1 = {
    "Content-Encoding": "snappy",
    "Content-Type": "application/x-protobuf",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
HISTORY_S = 7 * 3600
PEERS = {"prometheus": "prometheus", "victoria-metrics": "victoria-metrics"}
QUERIES: dict[str, dict[str, Any]] = {
    "plain": {"good": 'sum(hits_total{job="a",code!~"5.."})', "total": 'sum(hits_total{job="a"})'},
    "other-job": {"bad": 'sum(hits_total{code="500",job="b"})', "total": 'sum(hits_total{job="b"})'},
    "arithmetic": {
        "good": 'sum(hits_total{job=~"a|c",code="200"}) - sum(hits_total{job="c",code="500"}) * 0',
        "total": 'sum(hits_total{job=~"a|c"})',
    },
}


@dataclass
class Peer:
    """A server that takes remote write, with its data in a folder, so that it can be stopped and started."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        data, address = str(self.folder / "data"), f"127.0.0.1:{self.port}"
        if self.name == "prometheus":
            config = self.folder / "prometheus.yml"
            config.write_text("global: {}\n")
            command = [
                f"--config.file={config}",
                f"--storage.tsdb.path={data}",
                f"--web.listen-address={address}",
                "--web.enable-remote-write-receiver",
            ]
        else:
            command = [f"-storageDataPath={data}", f"-httpListenAddr={address}", "-retentionPeriod=1y"]
        ready = f"{self.url}/-/ready" if self.name == "prometheus" else f"{self.url}/health"
        self.stack.enter_context(program(self.name, *command, log=self.folder / "log", ready=ready))

    def stop(self) -> None:
        self.stack.close()

    def write(self, series: Reported) -> None:
        request = WriteRequest()
        for labels, samples in series.items():
            one = request.timeseries.add()
            for name, value in sorted(labels):
                one.labels.add(name=name.encode(), value=value.encode())
            for at_ms, number in samples:
                one.samples.add(value=number, timestamp=at_ms)
        body = compressed(request)
        urllib.request.urlopen(
            urllib.request.Request(f"{self.url}/api/v1/write", data=body, headers=V1), timeout=30
        ).close()
        if self.name != "prometheus":
            urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=30).close()


class Fleet:
    """Counters that reset now and then and miss some reports; the same samples go to Setpoint and to the peer."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.values: dict[tuple[tuple[str, str], ...], float] = {}
        self.own = Samples()

    def report(self, at_ms: int) -> Reported:
        found: Reported = {}
        for job in "abc":
            for instance in "12":
                restarts = self.random.random() < 0.01
                for code in ("200", "404", "500"):
                    labels = (
                        ("__name__", "hits_total"),
                        ("job", job),
                        ("instance", instance),
                        ("code", code),
                    )
                    before = 0.0 if restarts else self.values.get(labels, 0.0)
                    more = self.random.randrange(40) if code == "200" else self.random.random() < 0.2
                    self.values[labels] = before + more
                    if self.random.random() < 0.05:
                        continue
                    moment = at_ms + self.random.randrange(14_000)
                    found[labels] = [(moment, self.values[labels])]
                    named = dict(labels)
                    self.own.add(named.pop("__name__"), moment, self.values[labels], **named)
        return found


@dataclass
class Side:
    """The book over the peer, and the book over the same samples of Setpoint's own."""

    clock: VirtualClock
    fleet: Fleet
    peer: Peer
    sources: DataSources
    remote: ObjectiveBook
    own: ObjectiveBook

    def settle(self) -> None:
        """Read and count until nothing waits."""
        source = self.sources.get("peer")
        for _ in range(400):
            waits = source.poll() < 0.5
            self.remote.tick()
            if self.remote.fetched.step("peer") is None and not waits:
                break
        self.remote.tick()
        for _ in range(100):
            self.own.tick()
            if not any(status.backfilling for status in self.own.statuses()):
                break

    def run(self, seconds: int, *, is_written: bool = True) -> None:
        for _ in range(0, seconds, 15):
            found = self.fleet.report(self.clock.now_ms())
            if is_written:
                self.peer.write(found)
            self.clock.advance(15)
            self.sources.get("peer").poll()
            self.remote.tick()
            self.own.tick()

    def assert_equal(self) -> None:
        self.settle()
        for name in QUERIES:
            there, here = self.remote.status(name), self.own.status(name)
            assert (there.good, there.total, there.bad) == (here.good, here.total, here.bad)
            assert there.total > 0
            assert there.gap_minutes == here.gap_minutes
            assert there.state == here.state
            end_ms = self.clock.now_ms()
            drawn = [
                book.past.history(name, end_ms - HISTORY_S * 1000, end_ms, 500)
                for book in (self.remote, self.own)
            ]
            assert drawn[0].good.tolist() == drawn[1].good.tolist()
            assert drawn[0].total.tolist() == drawn[1].total.tolist()
            assert drawn[0].has_data.tolist() == drawn[1].has_data.tolist()


def document(url: str) -> SimpleNamespace:
    body = {
        "apiVersion": "openslo/v1",
        "kind": "DataSource",
        "metadata": {"name": "peer"},
        "spec": {"type": "Prometheus", "connectionDetails": {"url": url, "requestsPerSecond": 1000}},
    }
    return SimpleNamespace(spec=DataSource.model_validate(body))


def feed(sources: DataSources, name: str) -> Feed:
    source = sources.get(name)
    kept_from_ms = source.counted_from_ms
    return Feed(
        source.select,
        source.take_oldest_write_ms,
        source.counted_from_ms,
        kept_from_ms,
        source.fetch,
        fault=lambda: sources.fault(name),
    )


@pytest.fixture(params=sorted(PEERS))
def side(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Side]:
    require(request.param, shutil.which(request.param) is not None, PEERS[request.param])
    peer = Peer(request.param, tmp_path)
    # Behind the real time, because servers refuse samples of the future.
    start_ms = (SystemClock().now_ms() // 60_000 - 60) * 60_000 - HISTORY_S * 1000
    clock, fleet = VirtualClock(start_ms), Fleet(7)
    sources = DataSources(clock, tmp_path)
    sources.apply([document(peer.url)])
    remote = ObjectiveBook(
        fleet.own.select, lambda: None, MemoryLedger(), clock, feeds=lambda name: feed(sources, name)
    )
    own = ObjectiveBook(
        fleet.own.select,
        fleet.own.take_oldest_write_ms,
        MemoryLedger(),
        clock,
        oldest_sample_ms=fleet.own.oldest_sample_ms,
    )
    peer.start()
    try:
        yield Side(clock, fleet, peer, sources, remote, own)
    finally:
        remote.close()
        own.close()
        sources.close()
        peer.stop()


def fill(side: Side) -> None:
    """Hours of samples, before anybody counts."""
    gathered: Reported = {}
    for _ in range(0, HISTORY_S, 15):
        for labels, samples in side.fleet.report(side.clock.now_ms()).items():
            gathered.setdefault(labels, []).extend(samples)
        side.clock.advance(15)
    side.peer.write(gathered)


def declare(side: Side) -> None:
    side.own.apply([slo(name, window="1d", **queries) for name, queries in QUERIES.items()])
    side.remote.apply([slo(name, window="1d", source="peer", **queries) for name, queries in QUERIES.items()])


def test_the_same_counts_as_of_own_samples(side: Side) -> None:
    fill(side)
    declare(side)
    side.assert_equal()
    side.run(600)
    side.assert_equal()
    status = side.sources.statuses()[0]
    assert status.state == "up"
    assert status.selectors == 7
    assert status.requests_per_poll <= 3  # job="a" and job="b" in one; job=~"a|c" by itself
    before = status.requests
    side.run(60)
    assert side.sources.statuses()[0].requests - before <= 4 * 3


def test_away_and_back(side: Side) -> None:
    fill(side)
    declare(side)
    side.assert_equal()
    assert side.remote.status("plain").state != "no data"
    side.peer.stop()
    side.run(120, is_written=False)
    status = side.remote.status("plain")
    assert status.state == "no data"
    assert status.reason == "data source 'peer': cannot connect: connection refused"
    assert side.sources.statuses()[0].state == "down"
    side.peer.start()
    side.clock.advance(60)
    side.run(30)
    assert side.remote.status("plain").state != "no data"


def test_what_was_missed_is_counted_after_it(side: Side) -> None:
    fill(side)
    declare(side)
    side.assert_equal()
    side.peer.stop()
    missed: Reported = {}
    for _ in range(0, 25 * 60, 15):
        for labels, samples in side.fleet.report(side.clock.now_ms()).items():
            missed.setdefault(labels, []).extend(samples)
        side.clock.advance(15)
        side.sources.get("peer").poll()
        side.remote.tick()
        side.own.tick()
    side.peer.start()
    side.peer.write(missed)  # as an agent that kept them meanwhile
    side.clock.advance(90)
    side.run(30)
    side.assert_equal()


def test_threads_read_and_end(side: Side) -> None:
    fill(side)
    declare(side)
    side.sources.start()
    stop = threading.Event()
    counting = threading.Thread(target=side.remote.fetched.run, args=(stop,))
    counting.start()
    for _ in range(300):
        side.remote.tick()
        if not side.remote.status("plain").backfilling and side.remote.status("plain").total > 0:
            break
        stop.wait(0.1)
    stop.set()
    counting.join(10)
    assert not counting.is_alive()
    side.assert_equal()
