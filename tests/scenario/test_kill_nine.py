"""`kill -9` of the server under load, at arbitrary moments: every acknowledged record is stored, none twice.

Senders behave as the protocol says: they send the same bytes again until they get an answer.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from bench.server import Server, running
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

KILLS = 3
SENDERS = 3
RECORDS = 20
pytestmark = [pytest.mark.timeout(150)]
_READ = """
import sys
from setpoint.database import TelemetryDatabase
database = TelemetryDatabase("chdb://" + sys.argv[1])
for body in database.query("SELECT body FROM logs FINAL ORDER BY body")["body"]:
    sys.stdout.write(body + "\\n")
"""


def _body(sender: int, number: int) -> bytes:
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    attribute = resource.resource.attributes.add(key="service.name")
    attribute.value.string_value = "fictional-bank"
    records = resource.scope_logs.add().log_records
    for index in range(RECORDS):
        record = records.add(time_unix_nano=time.time_ns())
        record.body.string_value = f"{sender}-{number}-{index}"
    return bytes(request.SerializeToString())


def _send(server: Server, sender: int, acknowledged: set[str], stop: threading.Event) -> None:
    number = 0
    while not stop.is_set():
        body = _body(sender, number)
        while not stop.is_set():
            request = urllib.request.Request(
                server.url + "/v1/logs", data=body, headers={"Content-Type": "application/x-protobuf"}
            )
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    assert answer.status == 200
                acknowledged.update(f"{sender}-{number}-{index}" for index in range(RECORDS))
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.05)
        number += 1


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    acknowledged: set[str] = set()
    stop = threading.Event()
    with running(["up"], tmp_path) as server:
        server.wait_ready()
        senders = [
            threading.Thread(target=_send, args=(server, sender, acknowledged, stop))
            for sender in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        engines = set()
        for _ in range(KILLS):
            count = len(acknowledged)
            time.sleep(random.uniform(0.3, 1.5))
            engine = server.engine
            engines.add(engine)
            os.kill(engine, signal.SIGKILL)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and not (server.is_ready() and len(acknowledged) > count):
                time.sleep(0.05)
        assert len(engines) == KILLS, "each kill met a new server"
        time.sleep(0.5)
        stop.set()
        for thread in senders:
            thread.join(15)
        restarts = [
            event for event in server.get("/timeline")["items"] if event["kind"] == "server.restarted"
        ]
        assert len(restarts) == KILLS
        assert all(
            "signal" in event["summary"].lower() or "kill" in event["summary"].lower() for event in restarts
        )
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(tmp_path / "telemetry")], capture_output=True, text=True, check=True
    )
    stored = done.stdout.split()
    assert len(acknowledged) > KILLS * RECORDS
    assert acknowledged <= set(stored), f"lost: {len(acknowledged - set(stored))} of {len(acknowledged)}"
    assert len(stored) == len(set(stored)), "a record was stored twice"
