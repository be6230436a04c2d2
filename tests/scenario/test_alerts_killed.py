"""`kill -9` of the server right after it acknowledged alerts: every one of them is told, once it runs again."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from bench.server import Server, running

from tests.alert.notify.office import Sink

KILLS, AT_ONCE = 2, 20
PATIENCE_S = 150
pytestmark = [pytest.mark.timeout(600)]

ROUTING = """
route: {receiver: ops, group_by: [alertname], group_wait: 1s, group_interval: 2s, repeat_interval: 4h}
receivers: [{name: ops, webhook_configs: [{url: 'URL'}]}]
"""


def _post(server: Server, alerts: list[dict[str, Any]]) -> bool:
    request = urllib.request.Request(
        server.url + "/api/v2/alerts",
        data=json.dumps(alerts).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _send(server: Server, number: int) -> set[str]:
    """Alerts that were acknowledged, sent until they are."""
    names = [f"{number}-{index}" for index in range(AT_ONCE)]
    end = time.monotonic() + PATIENCE_S
    while not _post(
        server, [{"labels": {"alertname": f"Down{number % 4}", "instance": name}} for name in names]
    ):
        assert time.monotonic() < end, "the server takes no alerts"
        time.sleep(0.05)
    return set(names)


def test_every_acknowledged_alert_is_told(tmp_path: Path) -> None:
    sink = Sink()
    config = tmp_path / "alertmanager.yml"
    config.write_text(ROUTING.replace("URL", sink.url))
    acknowledged: set[str] = set()
    try:
        with running(["up", "--alertmanager-config", str(config)], tmp_path / "data") as server:
            server.wait_ready()
            for number in range(KILLS):
                acknowledged |= _send(server, 2 * number)
                os.kill(server.engine, signal.SIGKILL)  # right after the answer
                threading.Event().wait(0.2)
                acknowledged |= _send(server, 2 * number + 1)
            end = time.monotonic() + PATIENCE_S
            while not acknowledged <= _told(sink):
                missing = sorted(acknowledged - _told(sink))
                assert time.monotonic() < end, f"never told: {missing}; {server.get('/notifications')}"
                time.sleep(0.1)
            assert _post(server, [])
    finally:
        sink.close()
    assert len(acknowledged) == 2 * KILLS * AT_ONCE


def _told(sink: Sink) -> set[str]:
    return {one["labels"]["instance"] for request in list(sink.received) for one in request.payload["alerts"]}
