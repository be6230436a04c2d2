"""From what discovery found to targets: labels, URL, interval, and what is dropped or wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from setpoint.telemetry.scrape.load import Job
from setpoint.telemetry.scrape.spec import ScrapeConfig
from setpoint.telemetry.scrape.target import Group, make_targets


def job(**given: Any) -> Job:
    spec = {"job_name": "j", "scrape_interval": "15s", "scrape_timeout": "10s"} | given
    return Job(ScrapeConfig.model_validate(spec), Path("/"))


def test_labels_and_url() -> None:
    found = make_targets(
        job(params={"module": ["http", "more"], "b": ["1"]}), [Group.of(["h:1"], {"env": "prod"})]
    )
    (target,) = found.targets
    assert target.public == {"env": "prod", "instance": "h:1", "job": "j"}
    assert target.url == "http://h:1/metrics?b=1&module=http&module=more"
    assert target.discovered == {
        "__address__": "h:1", "__metrics_path__": "/metrics", "__scheme__": "http", "__scrape_interval__": "15s",
        "__scrape_timeout__": "10s", "__param_module": "http", "__param_b": "1", "env": "prod", "job": "j",
    }  # fmt: skip
    assert 0 <= target.offset_ms < target.interval_ms == 15_000


def test_relabelling_decides_everything() -> None:
    rules = [
        {"source_labels": ["__address__"], "target_label": "__param_target"},
        {"source_labels": ["__param_target"], "target_label": "instance"},
        {"target_label": "__address__", "replacement": "prober:9115"},
        {"target_label": "__metrics_path__", "replacement": "probe me"},
        {"target_label": "__scheme__", "replacement": "https"},
        {"target_label": "__scrape_interval__", "replacement": "1m"},
        {"target_label": "__scrape_timeout__", "replacement": "500ms"},
        {"target_label": "job", "replacement": "probes"},
        {"target_label": "__meta_x", "replacement": "gone"},
        {"target_label": "__tmp", "replacement": "kept, not public"},
    ]
    (target,) = make_targets(job(relabel_configs=rules), [Group.of(["site.example"])]).targets
    assert target.url == "https://prober:9115/probe%20me?target=site.example"
    assert target.public == {"instance": "site.example", "job": "probes"}
    assert (target.interval_ms, target.timeout_ms) == (60_000, 500)
    assert "__meta_x" not in target.labels
    assert target.labels["__tmp"]


def test_a_target_is_there_once_and_its_place_is_stable() -> None:
    groups = [Group.of(["a:1", "b:1"]), Group.of(["a:1"])]
    first, second = (make_targets(job(), groups).targets for _ in range(2))
    assert [target.url for target in first] == ["http://a:1/metrics", "http://b:1/metrics"]
    assert [target.identity for target in first] == [target.identity for target in second]
    assert make_targets(job(metrics_path="/x"), groups).targets[0].identity != first[0].identity


def test_a_target_s_labels_win_over_its_group_s_and_empty_ones_are_none() -> None:
    group = Group(({"__address__": "a:1", "x": "own", "y": ""},), {"x": "group", "y": "group", "job": ""})
    (target,) = make_targets(job(), [group]).targets
    assert target.public == {"x": "own", "instance": "a:1", "job": "j"}


def test_dropped_targets_are_kept_with_what_was_found() -> None:
    rules = [{"source_labels": ["__address__"], "regex": "b.*", "action": "drop"}]
    found = make_targets(job(relabel_configs=rules), [Group.of(["a:1", "b:1"])])
    assert [target.public["instance"] for target in found.targets] == ["a:1"]
    assert [labels["__address__"] for labels in found.dropped] == ["b:1"]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"target_label": "__address__", "replacement": ""}, "no address"),
        ({"target_label": "__address__", "replacement": "http://x"}, "is no address"),
        ({"target_label": "__scheme__", "replacement": "file"}, "neither http nor https"),
        ({"target_label": "__scrape_interval__", "replacement": "often"}, "not a duration"),
        ({"target_label": "__scrape_interval__", "replacement": "0s"}, "is 0"),
        ({"target_label": "__scrape_timeout__", "replacement": "16s"}, "longer than its interval"),
    ],
)
def test_a_target_that_cannot_be_scraped_is_told(rule: dict[str, Any], told: str) -> None:
    found = make_targets(job(relabel_configs=[rule]), [Group.of(["a:1"])])
    assert not found.targets
    assert told in found.faults[0]


def test_half_a_character_is_no_label_value() -> None:
    found = make_targets(job(), [Group.of(["a:1"], {"x": "\ud800"})])
    assert "not valid Unicode" in found.faults[0]
