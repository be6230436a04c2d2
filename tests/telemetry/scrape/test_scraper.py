"""The rhythm, what is stored of a scrape, what a failed one leaves, and a configuration that changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput, StartupRefused
from setpoint.telemetry.scrape.load import Job
from setpoint.telemetry.scrape.scraper import Scraper
from setpoint.telemetry.scrape.series import REPORTED
from setpoint.telemetry.scrape.spec import ScrapeConfig
from tests.telemetry.scrape.running import NOW_MS, Running, Stored, WebTarget

Web = Callable[..., WebTarget]


def config(*jobs: str, **settings: str) -> str:
    """A prometheus.yml of these jobs, each 'name address, address' with `settings` for all of them."""
    lines = ["global: {scrape_interval: 15s, scrape_timeout: 10s}", "scrape_configs:"]
    for job in jobs:
        name, _, addresses = job.partition(" ")
        lines.append(f"- job_name: {name}\n  static_configs: [{{targets: [{addresses}]}}]")
        lines += [f"  {key}: {value}" for key, value in settings.items()]
    return "\n".join(lines)


def test_targets_are_scraped_at_their_place_in_the_interval(tmp_path: Path, web: Web) -> None:
    first, second = web().says("a 1\n"), web().says("a 2\nb 3\n")
    with Running(tmp_path, config(f"j {first.address}, {second.address}")) as running:
        for _ in range(3):
            running.pass_time()
        stored = running.stored
        times = [at_ms for at_ms, _ in stored.of("a", instance=first.address)]
        assert [later - times[0] for later in times] == [0, 15_000, 30_000]
        others = [at_ms for at_ms, _ in stored.of("a", instance=second.address)]
        assert len(others) == 3
        assert {times[0], others[0]} <= set(range(15_000))
        assert times[0] != others[0], "they are spread over the interval"
        assert stored.values("up", job="j", instance=second.address) == [1, 1, 1]
        assert stored.values("scrape_samples_scraped", instance=second.address) == [2, 2, 2]
        assert stored.values("scrape_series_added", instance=second.address) == [2, 0, 0]
        assert stored.values("scrape_body_size_bytes", instance=second.address) == [8, 8, 8]
        assert stored.values("scrape_timeout_seconds", instance=second.address) == [10, 10, 10]
        target = running.target(instance=second.address)
    assert (target.health, target.samples, target.stored, target.error) == ("up", 2, 2, "")
    assert target.url == f"http://{second.address}/metrics"
    _, headers = second.asked[0]
    assert headers["accept"].startswith(
        "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    )
    assert headers["accept-encoding"] == "gzip"
    assert headers["x-prometheus-scrape-timeout-seconds"] == "10"


def test_before_its_first_scrape_a_target_is_unknown(tmp_path: Path, web: Web) -> None:
    with Running(tmp_path, config(f"j {web().address}")) as running:
        running.until(lambda: running.targets)
        assert running.targets[0].health == "unknown"
        assert running.targets[0].last_scrape_ms is None


def test_a_failed_scrape_stores_up_0_and_ends_the_series(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.pass_time()
        target.says("c 1\nbroken {\n")
        running.told("line 2: the labels of a series are not closed")
        target.says("a 2\n", status=503)
        running.told("the target answered HTTP status 503 Service Unavailable")
        target.says("a 3\n")
        running.pass_time()
        assert running.stored.values("a") == [1, "stale", 3]
        assert running.stored.values("up") == [1, 0, 0, 1]
        assert running.stored.values("scrape_samples_scraped") == [1, 1, 0, 1], (
            "what was read before the fault"
        )
        assert running.target().health == "up"
        target.close()
        running.told("cannot connect")
        status = running.scraper.status
        assert (status.scrapes, status.failed, status.missed) == (5, 3, 0)


def test_what_is_not_text_is_refused(tmp_path: Path, web: Web) -> None:
    target = web().says("<html>", Content_Type="text/html")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.told("its Content-Type is 'text/html'; correct it there, or set fallback_scrape_protocol")


def test_a_full_queue_is_a_gap_that_is_told(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\nb 1\n")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.pass_time()
        running.stored.refusal = "4096 bytes wait to be stored"
        target.says("a 2\n")
        running.told("not stored: 4096 bytes wait to be stored")
        running.stored.refusal = ""
        running.pass_time()
        assert running.stored.values("a") == [1, 2]
        assert running.stored.values("b") == [1, "stale"], "it is ended by the first scrape that is stored"
        assert running.stored.values("up") == [1, 1]


def test_a_target_that_goes_is_ended_after_two_intervals_and_one_that_stays_is_not(
    tmp_path: Path, web: Web
) -> None:
    goes, stays = web().says("a 1\n"), web().says("a 1\n")
    with Running(tmp_path, config(f"j {goes.address}, {stays.address}")) as running:
        running.pass_time()
        running.file.write_text(config(f"j {stays.address}"))
        running.scraper.reload()
        assert len(running.targets) == 1
        for _ in range(4):
            running.pass_time()
        stored = running.stored
        running.until(lambda: stored.values("a", instance=goes.address)[-1] == "stale", "the end")
        ((first_ms, _), (end_ms, _)) = stored.of("a", instance=goes.address)
        assert end_ms - first_ms == 15_000, "the marker stands where the next scrape would have been"
        for metric in REPORTED:
            assert stored.values(metric, instance=goes.address)[-1] == "stale"
        assert "stale" not in stored.values("a", instance=stays.address)
        assert len(stored.of("a", instance=stays.address)) == 5


def test_a_target_that_comes_back_under_another_configuration_does_not_end(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\nold 1\n").says("a 2\n", path="/other")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.pass_time()
        running.file.write_text(config(f"j {target.address}", metrics_path="/other"))
        running.scraper.reload()
        for _ in range(4):
            running.pass_time()
        stored = running.stored
        running.until(lambda: stored.values("old") == [1, "stale"], "the end of what it no longer has")
        assert stored.values("a") == [1, 2, 2, 2, 2]
        assert "stale" not in stored.values("up")


def test_a_reload_keeps_what_is_known_of_targets(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\nb 1\n")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.pass_time()
        rules = "[{source_labels: [__name__], regex: b, action: drop}]"
        running.file.write_text(config(f"j {target.address}", metric_relabel_configs=rules))
        running.scraper.reload()
        assert running.target().health == "up"
        running.pass_time()
        assert running.stored.values("a") == [1, 1]
        assert running.stored.values("b") == [1, "stale"]


def test_a_changed_file_is_read_by_itself_and_a_bad_one_is_told(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.pass_time()
        running.file.write_text("scrape_configs:\n- job_nam: x\n")
        running.clock.advance(5)
        running.until(lambda: running.scraper.status.fault)
        assert "prometheus.yml:2: scrape_configs[0].job_name: is missing" in running.scraper.status.fault
        running.pass_time()
        assert running.target().health == "up", "the former configuration goes on"
        running.file.write_text(config(f"k {target.address}"))
        running.clock.advance(5)
        running.until(lambda: [job.name for job in running.scraper.status.jobs] == ["k"])
        assert running.scraper.status.fault == ""
        with pytest.raises(InvalidInput):
            running.file.write_text("[")
            running.scraper.reload()
        assert running.scraper.status.fault


def test_more_targets_than_allowed_stop_a_job(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    text = config(f"j {target.address}, localhost:{target.address.split(':')[1]}", target_limit="1")
    with Running(tmp_path, text) as running:
        running.told("target_limit exceeded: 2 targets, 1 are allowed", instance=target.address)
        assert running.stored.values("up") == [0, 0]
        assert not target.asked


def test_a_slow_target_is_cut_off_and_missed_scrapes_are_counted(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    text = config(f"j {target.address}", scrape_interval="1s", scrape_timeout="200ms")
    with Running(tmp_path, text) as running:
        running.pass_time(1)
        assert running.stored.values("scrape_timeout_seconds") == [0.2]


def test_a_clock_that_is_set_back_does_not_stop_the_scraping(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    with Running(tmp_path, config(f"j {target.address}")) as running:
        running.pass_time()
        running.clock.advance(-3600)
        running.until(lambda: running.target().due_ms < NOW_MS, "a new schedule")
        before = len(running.stored.of("a"))
        running.clock.advance(15)
        running.until(lambda: len(running.stored.of("a")) > before, "a scrape an hour earlier")


def test_stopping_ends_no_series(tmp_path: Path, web: Web) -> None:
    with Running(tmp_path, config(f"j {web().says('a 1').address}")) as running:
        running.pass_time()
    assert "stale" not in [value for *_, value in running.stored.samples]


def test_the_job_of_our_own_runs_unless_the_file_has_it(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    spec = {"job_name": "setpoint", "scrape_interval": "15s", "scrape_timeout": "10s",
            "static_configs": [{"targets": [target.address]}]}  # fmt: skip
    own = Job(ScrapeConfig.model_validate(spec), tmp_path)
    with Running(tmp_path, "{}", own=own) as running:
        running.pass_time()
        assert running.stored.values("up", job="setpoint") == [1]
        assert not running.scraper.status.warnings
        running.file.write_text("scrape_configs: [{job_name: setpoint}]")
        running.scraper.reload()
        assert running.targets == []
        assert "the job 'setpoint' of this file is used" in str(running.scraper.status.warnings[0])


def test_a_bad_file_refuses_the_start(tmp_path: Path) -> None:
    with pytest.raises(StartupRefused, match=r"prometheus\.yml:1: a: the field"):
        Running(tmp_path, "a: b")


def test_without_a_file_there_is_nothing_to_reload() -> None:
    stored = Stored()
    scraper = Scraper(None, stored.table, stored.submit, VirtualClock(NOW_MS))
    assert scraper.status.file is None
    with pytest.raises(InvalidInput, match="--scrape-config"):
        scraper.reload()
