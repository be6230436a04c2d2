"""How long from the first bad request to the objective's state change, on the open page?

Run with `python -m bench.detection`. Starts the demo, lets the opening rush pass, opens the page in headless Chromium,
breaks checkout, and takes the moment at which the row on the page stops saying `healthy`. The first bad request is the
earliest failed span of checkout that Setpoint stored, read from the database after the run.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from bench.server import Server, machine, running

RUNS = 5
OBJECTIVE = "checkout-availability"
_FIRST_BAD = """
SELECT min(start_ns + duration_ns) AS first_ns FROM spans
WHERE service = 'checkout' AND kind = 'server' AND start_ns > {since:Int64}
  AND toUInt16OrZero(attributes['http.response.status_code']) >= 500
"""


def main() -> None:
    print(f"machine: {machine()}")
    breaks: list[tuple[float, float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        with running(["demo"], data) as server, sync_playwright() as playwright:
            server.wait_ready()
            _wait_healthy(server, at_least_events=8000, timeout_s=240)
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox", "--disable-background-networking"]
            )
            page = browser.new_page()
            page.goto(server.url + "/objectives")
            for _ in range(RUNS):
                broken, seen = _break_and_watch(server, page)
                breaks.append((broken, _decided(server, broken), seen))
                _wait_healthy(server, at_least_events=0, timeout_s=600)
            browser.close()
        first_bad = _first_bad_times(data, [broken for broken, _, _ in breaks])
    from_request = [seen - first for (_, _, seen), first in zip(breaks, first_bad, strict=True)]
    from_command = [seen - broken for broken, _, seen in breaks]
    decided = [at - first for (_, at, _), first in zip(breaks, first_bad, strict=True)]
    print(
        f"first bad request to the page: median {statistics.median(from_request):.1f} s of {_list(from_request)}"
    )
    print(f"first bad request to the decision: median {statistics.median(decided):.1f} s of {_list(decided)}")
    print(f"command to the page: median {statistics.median(from_command):.1f} s of {_list(from_command)}")


def _list(values: list[float]) -> str:
    return ", ".join(f"{value:.1f}" for value in sorted(values))


def _wait_healthy(server: Server, *, at_least_events: int, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        status = next((o for o in server.get("/objectives")["items"] if o["name"] == OBJECTIVE), None)
        if status and status["state"] == "healthy" and status["total"] >= at_least_events:
            return
        time.sleep(0.5)
    raise RuntimeError(f"{OBJECTIVE} is not healthy: {status}")


def _break_and_watch(server: Server, page: Page) -> tuple[float, float]:
    """Break checkout for as long as the page needs to notice; (command, seen) in Unix seconds."""
    broken = time.time()
    _demo(server, "POST", {"service": "checkout", "fault": "errors", "parameters": {"error_ratio": 0.3}})
    page.wait_for_function(
        "name => { const row = [...document.querySelectorAll('tr')].find(r => r.textContent.includes(name));"
        " return row && !row.textContent.includes('healthy'); }",
        arg=OBJECTIVE,
        polling=50,
        timeout=60_000,
    )
    seen = time.time()
    _demo(server, "DELETE", None)
    return broken, seen


def _decided(server: Server, since_s: float) -> float:
    """When the objective's state changed after `since_s`, by the timeline, in Unix seconds."""
    events = server.get("/timeline?service=checkout&kind=objective.state")["items"]
    return min(float(event["at_ms"]) / 1000 for event in events if event["at_ms"] / 1000 > since_s)


def _demo(server: Server, method: str, body: object) -> None:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        server.url + "/api/demo/faults",
        data=data,
        method=method,
        headers={"Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=5).close()


def _first_bad_times(data: Path, since_s: list[float]) -> list[float]:
    from setpoint.database import TelemetryDatabase

    database = TelemetryDatabase(f"chdb://{(data / 'telemetry').absolute()}")
    found = [database.query(_FIRST_BAD, since=int(since * 1e9))["first_ns"] for since in since_s]
    database.close()
    return [float(column[0]) / 1e9 for column in found]


if __name__ == "__main__":
    main()
