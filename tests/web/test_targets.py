"""The page of targets, its JSON, Prometheus's API of the same, and reloading, over a real scraper."""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from setpoint.app import App
from setpoint.clock import VirtualClock
from setpoint.telemetry.scrape import TargetStatus
from setpoint.web.terms import read_terms
from tests.cli.program import setpoint
from tests.telemetry.scrape.running import WebTarget, wait_until
from tests.web.conftest import HTML, JSON, MakeApp, Running

Scraping = Callable[..., tuple[App, httpx.Client]]


@pytest.fixture
def target() -> Iterator[WebTarget]:
    made = WebTarget().says("a 1\nb 2\n")
    yield made
    made.close()


@pytest.fixture
def scraping(tmp_path: Path, make_app: MakeApp, serve: Callable[..., Running]) -> Iterator[Scraping]:
    """Serves a server that scrapes what a configuration says, after one interval."""
    stop, threads, clients = threading.Event(), [], []

    def start(text: str | None = None, **settings: object) -> tuple[App, httpx.Client]:
        if text is not None:
            (tmp_path / "prometheus.yml").write_text(text)
            settings["scrape_config"] = tmp_path / "prometheus.yml"
        parts = make_app(listen="127.0.0.1:0", **settings)
        threads.append(threading.Thread(target=parts.scraper.run, args=(stop,), daemon=True))
        threads[0].start()
        clients.append(httpx.Client(base_url=serve(parts).url, timeout=40))
        if text is not None:
            wait_until(lambda: parts.scraper.status.jobs, "the start")
            assert isinstance(parts.clock, VirtualClock)
            parts.clock.advance(15)
            wait_until(
                lambda: all(one.last_scrape_ms or "late" in one.job for one in shown(parts)), "a scrape"
            )
        return parts, clients[0]

    yield start
    stop.set()
    for thread in threads:
        thread.join(20)
    for client in clients:
        client.close()


def shown(parts: App) -> list[TargetStatus]:
    return [one for job in parts.scraper.status.jobs for one in job.targets]


def config(address: str) -> str:
    return f"""
global: {{scrape_interval: 15s, evaluation_interval: 1m}}
scrape_configs:
- job_name: good
  static_configs:
  - targets: ['{address}']
    labels: {{env: prod, note: '<b>'}}
  - targets: ['gone:1']
  relabel_configs: [{{source_labels: [__address__], regex: gone.*, action: drop}}]
- job_name: bad
  static_configs: [{{targets: ['127.0.0.1:1']}}]
- job_name: late
  scrape_interval: 1d
  static_configs: [{{targets: ['{address}']}}]
"""


def test_the_page_says_what_is_down_first(scraping: Scraping, target: WebTarget) -> None:
    _, client = scraping(config(target.address))
    page = client.get("/targets", headers=HTML).text
    assert "<title>1 down · Targets</title>" in page
    assert page.index('id="j-1">bad ') < page.index('id="j-2">good ') < page.index('id="j-3">late ')
    assert "cannot connect: connection refused" in page
    assert 'Look at <a href="#t-' in page
    assert "env=prod" in page
    assert "note=&lt;b&gt;" in page
    assert "1 dropped by relabelling" in page
    assert "<code>gone:1</code>" in page
    assert "1 entry of the configuration is not used" in page
    assert "global.evaluation_interval" in page
    assert 'title="1 targets down">1<' in page
    assert "setpoint up --scrape-config" not in page


def test_targets_lead_to_their_metrics(scraping: Scraping, target: WebTarget) -> None:
    parts, client = scraping(config(target.address))
    wait_until(lambda: parts.ingest.stats.queue_batches == 0, "an empty queue")
    assert isinstance(parts.clock, VirtualClock)
    parts.clock.advance(30)  # a graph ends at a whole step
    page = client.get("/targets?q=job:good", headers=HTML).text
    found = re.findall(r'href="(/explore\?[^"]*)"', page)
    assert len(found) == 3
    for address in found:
        [query] = client.get(html.unescape(address), headers=JSON).json()["queries"]
        assert query["fault"] is None
        assert query["series"] >= 1, address


def test_json_and_filters(scraping: Scraping, target: WebTarget) -> None:
    _, client = scraping(config(target.address))
    answer = client.get("/targets", headers=JSON).json()
    assert answer["file"].endswith("prometheus.yml")
    assert [job["name"] for job in answer["jobs"]] == ["bad", "good", "late"]
    states = {item["job"]: item["health"] for item in answer["items"]}
    assert states == {"good": "up", "bad": "down", "late": "unknown"}
    good = next(item for item in answer["items"] if item["job"] == "good")
    assert (good["samples"], good["stored"], good["body_bytes"], good["interval_ms"]) == (2, 2, 8, 15_000)

    def found(q: str) -> list[str]:
        items = client.get("/targets", params={"q": q}, headers=JSON).json()["items"]
        return sorted(item["job"] for item in items)

    assert found("state:down") == ["bad"]
    assert found("state:waiting") == found("state:unknown") == ["late"]
    assert found("env:prod") == ["good"]
    assert found("job:good env:dev") == []
    assert found("refused") == ["bad"]
    assert found(target.address) == ["good", "late"]
    page = client.get("/targets?q=nothing", headers=HTML).text
    assert "None of 3 targets matches <q>nothing</q>" in page


def test_prometheus_api(scraping: Scraping, target: WebTarget) -> None:
    _, client = scraping(config(target.address))
    data = client.get("/api/v1/targets").json()["data"]
    by_pool = {one["scrapePool"]: one for one in data["activeTargets"]}
    assert by_pool["good"]["labels"] == {
        "env": "prod",
        "instance": target.address,
        "job": "good",
        "note": "<b>",
    }
    assert by_pool["good"]["health"] == "up"
    assert by_pool["good"]["scrapeUrl"] == by_pool["good"]["globalUrl"] == f"http://{target.address}/metrics"
    assert by_pool["good"]["lastScrape"].startswith("2027-01-09T12:00:")
    assert (by_pool["good"]["scrapeInterval"], by_pool["good"]["scrapeTimeout"]) == ("15s", "10s")
    assert by_pool["late"]["lastScrape"] == "0001-01-01T00:00:00Z"
    assert "connection refused" in by_pool["bad"]["lastError"]
    assert data["droppedTargetCounts"] == {"good": 1, "bad": 0, "late": 0}
    assert data["droppedTargets"][0]["discoveredLabels"]["__address__"] == "gone:1"

    def counts(**parameters: str) -> tuple[int, int]:
        data = client.get("/api/v1/targets", params=parameters).json()["data"]
        return len(data["activeTargets"]), len(data["droppedTargets"])

    assert counts(state="active") == (3, 0)
    assert counts(state="dropped") == (0, 1)
    assert counts(state="any", scrapePool="good") == (1, 1)
    assert client.get("/api/v1/scrape_pools").json()["data"] == {"scrapePools": ["bad", "good", "late"]}


def test_the_samples_are_there(scraping: Scraping, target: WebTarget) -> None:
    parts, client = scraping(config(target.address))
    wait_until(lambda: parts.ingest.stats.queue_batches == 0, "an empty queue")
    data = client.get("/api/v1/query", params={"query": 'b{job="good"}'}).json()["data"]
    assert data["result"][0]["value"][1] == "2"
    senders = client.get("/telemetry?by=sender", headers=JSON).json()["figures"]["senders"]
    assert senders == 2


def test_reload(scraping: Scraping, target: WebTarget, tmp_path: Path) -> None:
    _, client = scraping(config(target.address))
    (tmp_path / "prometheus.yml").write_text("scrape_configs: [{job_name: fresh}]")
    assert client.post("/-/reload").json() == {"status": "reloaded", "jobs": 1}
    (tmp_path / "prometheus.yml").write_text("scrape_configs:\n- job_nam: x\n")
    refused = client.post("/-/reload")
    assert refused.status_code == 400
    assert refused.json()["error"]["problems"][0]["line"] == 2
    page = client.get("/targets", headers=HTML).text
    assert "The changed configuration is not used" in page
    assert "prometheus.yml:2: scrape_configs[0].job_name: is missing" in page


def test_a_server_without_a_configuration_teaches(scraping: Scraping) -> None:
    _, client = scraping()
    page = client.get("/targets", headers=HTML).text
    assert "setpoint up --scrape-config prometheus.yml" in page
    refused = client.post("/-/reload")
    assert refused.status_code == 400
    assert "--scrape-config" in refused.json()["error"]["message"]


def test_a_thousand_targets_make_a_short_page(scraping: Scraping, target: WebTarget) -> None:
    addresses = json.dumps([f"127.0.0.1:{port}" for port in range(2, 1002)])
    text = f"""
scrape_configs:
- {{job_name: fleet late, scrape_interval: 1d, static_configs: [{{targets: {addresses}}}]}}
- {{job_name: bad, scrape_interval: 15s, static_configs: [{{targets: ['127.0.0.1:1']}}]}}
"""
    _, client = scraping(text)
    answer = client.get("/targets", headers=HTML)
    assert answer.text.count('<tr id="t-') == 200
    assert "200 of 1,001 targets, those that are down first" in answer.text
    assert answer.text.index("127.0.0.1:1<") < answer.text.index("fleet late")
    assert "/targets?q=job%3A%22fleet%20late%22" in answer.text
    more = client.get("/targets?limit=2000", headers=HTML)
    assert more.text.count('<tr id="t-') == 1001
    assert len(client.get("/targets", headers=JSON).json()["items"]) == 1001


def test_the_command(scraping: Scraping, target: WebTarget) -> None:
    _, client = scraping(config(target.address))
    server = str(client.base_url)
    done = setpoint("targets", SETPOINT_SERVER=server)
    assert done.returncode == 0, done.stderr
    first = done.stdout.splitlines()[1]
    assert first.startswith("■ down")
    assert "127.0.0.1:1: cannot connect: connection refused" in done.stdout
    assert "○ waiting" in done.stdout
    assert "● up" in done.stdout
    filtered = json.loads(setpoint("targets", "-q", "state:up", "-o", "json", SETPOINT_SERVER=server).stdout)
    assert [item["job"] for item in filtered["items"]] == ["good"]
    assert "No target matches." in setpoint("targets", "--filter", "x:y", SETPOINT_SERVER=server).stdout


def test_terms() -> None:
    terms = [(term.key, term.value) for term in read_terms('job:"My Job" state:Down "two words" plain a:b')]
    assert terms == [("job", "my job"), ("state", "down"), ("", "two words"), ("", "plain"), ("a", "b")]
