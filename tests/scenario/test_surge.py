"""A surge of ten times the steady load, a sender of garbage and a cardinality bomb, all at once, on a real server.

Evaluation keeps its rhythm, every sample that was answered 2xx is there, steady senders are not refused, and the
bomb ends at its limit. Each sender has a loopback address of its own, for that is what remote write's senders are
told apart by.
"""

from __future__ import annotations

import http.client
import json
import random
import struct
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cramjam
import pytest
from bench.server import Server, running
from prometheus_client.parser import text_string_to_metric_families

pytestmark = [pytest.mark.timeout(150)]

STEADY_SENDERS, STEADY_SERIES, STEADY_EVERY_S = 2, 100, 0.5
SURGE_SENDERS, SURGE_SERIES = 2, 1000  # ten times the steady load, at the same pace
CALM_S, SURGE_S = 5.0, 12.0
BOMB_LIMIT = 2000
OBJECTIVES = 20
HEADERS = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy"}

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

Labels = Mapping[str, str]
Sample = tuple[str, str, int, float]
"""A sample that was acknowledged: metric, place, instant in Unix milliseconds, value."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def body(series: Sequence[tuple[Labels, float]], at_ms: int) -> bytes:
    """A remote write 1.0 request: one sample at `at_ms` per series."""
    whole = b""
    for labels, value in series:
        pairs = b"".join(
            _field(1, _field(1, name.encode()) + _field(2, text.encode()))
            for name, text in sorted(labels.items())
        )
        sample = b"\x09" + struct.pack("<d", value) + b"\x10" + _varint(at_ms)
        whole += _field(1, pairs + _field(2, sample))
    return bytes(cramjam.snappy.compress_raw(whole))


@dataclass
class Sender:
    """One remote-write sender on an address of its own: it remembers what was acknowledged and what was not."""

    server: Server
    address: str
    acknowledged: list[Sample] = field(default_factory=list)
    answers: dict[int, int] = field(default_factory=dict)
    said: str = ""

    def post(self, content: bytes, headers: Mapping[str, str] = HEADERS) -> int:
        """The status of one request; 0 when the connection broke."""
        host = urllib.parse.urlsplit(self.server.url).netloc
        connection = http.client.HTTPConnection(host, timeout=30, source_address=(self.address, 0))
        try:
            connection.request("POST", "/api/v1/write", content, dict(headers))
            answer = connection.getresponse()
            self.said = answer.read().decode("utf-8", "replace")
            status = answer.status
        except (OSError, http.client.HTTPException):
            status = 0
        finally:
            connection.close()
        self.answers[status] = self.answers.get(status, 0) + 1
        return status

    def report(self, metric: str, places: range, value: float, stop: threading.Event) -> None:
        """Send one sample of each place until it is acknowledged, as remote write's senders do."""
        at_ms = time.time_ns() // 1_000_000
        series = [({"__name__": metric, "place": str(place)}, value) for place in places]
        content = body(series, at_ms)
        while (status := self.post(content)) // 100 != 2:
            assert status in {0, 429, 503}, f"{status}: {self.said}"
            if stop.wait(0.2):
                return
        self.acknowledged += [(metric, str(place), at_ms, value) for place in places]


def report_steadily(sender: Sender, metric: str, places: range, stop: threading.Event) -> None:
    value = 0.0
    while not stop.wait(STEADY_EVERY_S):
        value += 1
        sender.report(metric, places, value, stop)


def send_garbage(sender: Sender, stop: threading.Event) -> None:
    chance = random.Random(7)
    good = body([({"__name__": "garbage_total", "place": str(place)}, 1.0) for place in range(50)], 1)
    while not stop.wait(0.01):
        content = bytearray(good)
        for _ in range(chance.randrange(1, 30)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        kind = chance.randrange(4)
        if kind == 0:
            sender.post(chance.randbytes(chance.randrange(2000)))
        elif kind == 1:
            sender.post(bytes(content[: chance.randrange(len(content))]))
        elif kind == 2:
            sender.post(_varint(1 << 40) + bytes(content))  # lies about its length after decompression
        else:
            sender.post(bytes(content), {"Content-Type": chance.choice(["text/plain", *HEADERS.values()])})


def send_bomb(sender: Sender, stop: threading.Event) -> None:
    number = 0
    while not stop.wait(0.05):
        at_ms = time.time_ns() // 1_000_000
        labels = [{"__name__": "bomb_total", "request_id": f"{number + at:012x}"} for at in range(500)]
        sender.post(body([(one, 1.0) for one in labels], at_ms))
        number += 500


@contextmanager
def working(*jobs: Callable[[threading.Event], None]) -> Iterator[None]:
    """Each job in a thread while the block runs; what one of them raised is raised at the end."""
    stop, faults = threading.Event(), []

    def run(job: Callable[[threading.Event], None]) -> None:
        try:
            job(stop)
        except BaseException as fault:  # noqa: BLE001 — told at the end, in the thread of the test
            faults.append(fault)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(40)
    for fault in faults:
        raise fault


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


def test_a_surge_disturbs_neither_evaluation_nor_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SETPOINT_METRIC_SERIES_LIMIT", str(BOMB_LIMIT))
    with running(["up"], tmp_path) as server:
        server.wait_ready()
        apply_objectives(server)
        steady = [Sender(server, f"127.0.1.{number + 1}") for number in range(STEADY_SENDERS)]
        surging = [Sender(server, f"127.0.2.{number + 1}") for number in range(SURGE_SENDERS)]
        garbage, bomb = Sender(server, "127.0.3.1"), Sender(server, "127.0.4.1")
        began = time.monotonic()

        def steadily(number: int) -> Callable[[threading.Event], None]:
            places = range(number * STEADY_SERIES, (number + 1) * STEADY_SERIES)
            return lambda stop: report_steadily(steady[number], "steady_total", places, stop)

        def surge(number: int) -> Callable[[threading.Event], None]:
            places = range(number * SURGE_SERIES, (number + 1) * SURGE_SERIES)
            return lambda stop: report_steadily(surging[number], f"surge_{number}_total", places, stop)

        with working(*map(steadily, range(STEADY_SENDERS))):
            time.sleep(CALM_S)
            before, surge_began = own_metrics(server), time.monotonic()
            with working(
                *map(surge, range(SURGE_SENDERS)),
                lambda stop: send_garbage(garbage, stop),
                lambda stop: send_bomb(bomb, stop),
            ):
                time.sleep(SURGE_S)
            after, surge_s = own_metrics(server), time.monotonic() - surge_began
            time.sleep(CALM_S / 2)
        seconds = int(time.monotonic() - began) + 30

        ticks, due, missed = (
            after[name] - before[name]
            for name in (
                "setpoint_evaluation_duration_seconds_count",
                "setpoint_evaluation_due_total",
                "setpoint_evaluation_missed_total",
            )
        )
        print(
            f"{ticks:.0f} ticks in {surge_s:.1f} s, {missed:.0f} of {due:.0f} missed; bomb {bomb.answers}, ",
            end="",
        )
        print(f"garbage {garbage.answers}, steady {[one.answers for one in steady]}, ", end="")
        print(f"surge {[one.answers for one in surging]}")
        assert ticks >= 0.75 * surge_s, "evaluation lost its rhythm"
        assert missed <= 0.1 * due

        for metric, senders in (
            ("steady_total", steady),
            *((f"surge_{number}_total", [one]) for number, one in enumerate(surging)),
        ):
            acknowledged = {sample for sender in senders for sample in sender.acknowledged}
            assert len(acknowledged) > 1000
            lost = acknowledged - stored(server, metric, seconds)
            assert not lost, f"{len(lost)} of {len(acknowledged)} acknowledged samples of {metric} are lost"

        assert not {400, 500} & set(garbage.answers) ^ {400}, f"garbage was answered {garbage.answers}"
        assert bomb.answers.get(400), "the bomb was not refused"
        assert "request_id" in bomb.said and "metric_series_limit" in bomb.said
        counted = server.get("/api/v1/query?query=" + urllib.parse.quote("count(bomb_total)"), timeout_s=30)
        assert int(counted["data"]["result"][0]["value"][1]) <= BOMB_LIMIT
        [refusal] = [
            one for one in server.get("/telemetry")["refusals"] if one["reason"] == "metric_series_limit"
        ]
        assert refusal["sender"] == "remote_write 127.0.4.1"
        assert refusal["offender"].startswith("bomb_total{")
        statuses = server.get("/objectives")["items"]
        assert len(statuses) == OBJECTIVES
        assert all(status["total"] > 0 for status in statuses)
