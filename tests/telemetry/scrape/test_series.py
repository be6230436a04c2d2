"""From bodies to batches: labels, staleness, limits, duplicates, timestamps, exemplars, zeros; scrape after scrape."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from setpoint.clock import VirtualClock
from setpoint.errors import InvalidInput
from setpoint.telemetry.model import Labels, RefBatch
from setpoint.telemetry.protect import Limits, Protection
from setpoint.telemetry.scrape.load import Job
from setpoint.telemetry.scrape.series import REPORTED, STALE, Draft, TargetSeries
from setpoint.telemetry.scrape.spec import ScrapeConfig
from setpoint.telemetry.scrape.target import Group, Target, make_targets
from setpoint.telemetry.series_table import SeriesTable

TEXT = "text/plain; version=0.0.4"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
NOW_MS = 1_799_496_000_000
OWN = {"job": "j", "instance": "h:1"}
STALE_BITS = 0x7FF0000000000002


def target(**given: Any) -> Target:
    labels = given.pop("labels", {})
    spec = {"job_name": "j", "scrape_interval": "15s", "scrape_timeout": "10s"} | given
    job = Job(ScrapeConfig.model_validate(spec), Path("/"))
    return make_targets(job, [Group.of(["h:1"], labels)]).targets[0]


def named(labels: Labels) -> str:
    """`name{a=b,…}` without what the target adds."""
    own = {name: value for name, value in labels.items() if name not in ("__name__", "job", "instance")}
    rest = ",".join(f"{name}={value}" for name, value in sorted(own.items()))
    return f"{labels['__name__']}{{{rest}}}" if rest else labels["__name__"]


class Scraped:
    """A target's series and the table they are in; `get` is one scrape that is stored."""

    def __init__(self, protection: Protection | None = None, **given: Any) -> None:
        self.table = SeriesTable(protection.admit if protection else None)
        self.series = TargetSeries(target(**given), self.table, protection)
        self.at_ms = NOW_MS
        self.draft: Draft

    def get(
        self, body: str | bytes | None, content_type: str = TEXT, *, store: bool = True
    ) -> dict[str, list[tuple[int, Any]]]:
        """What the next scrape, 15 s later, stores: {series: [(ms after the scrape, value or "stale")]}."""
        self.at_ms += 15_000
        raw = body.encode() if isinstance(body, str) else body
        self.draft = (
            self.series.empty(self.at_ms) if raw is None else self.series.read(raw, content_type, self.at_ms)
        )
        batch = self.draft.batch()
        if store:
            self.series.accept(self.draft)
        found = self.shown(batch)
        self.draft.lease.release()
        return found

    def shown(self, batch: RefBatch) -> dict[str, list[tuple[int, Any]]]:
        found: dict[str, list[tuple[int, Any]]] = {}
        for ref, time_ms, bits in zip(
            batch.refs.tolist(),
            batch.timestamps_ms.tolist(),
            batch.values.view(np.int64).tolist(),
            strict=True,
        ):
            value = "stale" if bits == STALE_BITS else struct.unpack("<d", struct.pack("<q", bits))[0]
            found.setdefault(named(self.table.labels(ref)), []).append((time_ms - self.at_ms, value))
        return found


def test_the_stale_marker_is_prometheus_s() -> None:
    assert struct.pack("<d", STALE) == struct.pack("<q", STALE_BITS)


def test_the_same_lines_are_found_again_and_values_change() -> None:
    scraped = Scraped(labels={"env": "x"})
    assert scraped.get('a{b="c"} 1\nd 2\n') == {"a{b=c,env=x}": [(0, 1)], "d{env=x}": [(0, 2)]}
    assert (scraped.draft.scraped, scraped.draft.kept, scraped.draft.added) == (2, 2, 2)
    known = scraped.table.new_total
    assert scraped.get('a{b="c"} 3\nd 4\n') == {"a{b=c,env=x}": [(0, 3)], "d{env=x}": [(0, 4)]}
    assert scraped.draft.added == 0
    assert scraped.table.new_total == known == 2


def test_a_series_that_vanishes_is_stale_once() -> None:
    scraped = Scraped()
    scraped.get("a 1\nb 1\n")
    assert scraped.get("a 2\n") == {"a": [(0, 2)], "b": [(0, "stale")]}
    assert scraped.get("a 3\n") == {"a": [(0, 3)]}
    assert scraped.get("b 9\na 3\n") == {"b": [(0, 9)], "a": [(0, 3)]}
    assert scraped.draft.added == 1


def test_a_failed_scrape_ends_every_series_once_and_they_come_back() -> None:
    scraped = Scraped()
    scraped.get("a 1\nb 1\n")
    assert scraped.get(None) == {"a": [(0, "stale")], "b": [(0, "stale")]}
    assert scraped.get(None) == {}
    assert scraped.get("a 1\nb 1\n") == {"a": [(0, 1)], "b": [(0, 1)]}
    assert scraped.draft.added == 0, "a failed scrape forgets nothing"
    assert scraped.get("") == {"a": [(0, "stale")], "b": [(0, "stale")]}, "an empty body is an empty scrape"


def test_what_was_not_stored_is_not_remembered() -> None:
    scraped = Scraped()
    scraped.get("a 1\nb 1\n")
    scraped.get("c 1\n", store=False)
    assert scraped.get("c 1\n") == {"c": [(0, 1)], "a": [(0, "stale")], "b": [(0, "stale")]}


def test_the_same_series_written_another_way_is_not_stale() -> None:
    scraped = Scraped()
    scraped.get('a{x="1",y="2"} 1\n')
    assert scraped.get('a{y="2",x="1"} 2\n') == {"a{x=1,y=2}": [(0, 2)]}


@pytest.mark.parametrize(
    ("honor", "line", "expected"),
    [
        (False, 'a{job="mine",instance="i"} 1', OWN | {"exported_job": "mine", "exported_instance": "i"}),
        (False, 'a{job="m",exported_job="n"} 1', OWN | {"exported_job": "n", "exported_exported_job": "m"}),
        (False, 'a{job=""} 1', {"job": "j", "instance": "h:1"}),
        (True, 'a{job="mine"} 1', {"job": "mine", "instance": "h:1"}),
        (True, 'a{instance=""} 1', {"job": "j"}),
    ],
)  # fmt: skip
def test_labels_that_both_have(honor: bool, line: str, expected: dict[str, str]) -> None:
    scraped = Scraped(honor_labels=honor)
    scraped.get(line + "\n")
    assert scraped.table.labels(0) == {"__name__": "a"} | expected


def test_metric_relabelling_drops_renames_and_is_done_once_for_each_line() -> None:
    rules = [
        {"source_labels": ["__name__"], "regex": "go_.*", "action": "drop"},
        {"source_labels": ["code"], "regex": "(.).*", "target_label": "class", "replacement": "${1}xx"},
        {"regex": "code", "action": "labeldrop"},
    ]
    scraped = Scraped(metric_relabel_configs=rules)
    body = 'go_gc 1\nhits{code="200"} 2\nhits{code="500"} 3\n'
    assert scraped.get(body) == {"hits{class=2xx}": [(0, 2)], "hits{class=5xx}": [(0, 3)]}
    assert (scraped.draft.scraped, scraped.draft.kept) == (3, 2)
    assert scraped.get(body.replace("2\n", "5\n")) == {
        "hits{class=2xx}": [(0, 5)],
        "hits{class=5xx}": [(0, 3)],
    }
    assert (scraped.draft.scraped, scraped.draft.kept) == (3, 2)
    assert scraped.get("new 1\n" + body)["new"] == [(0, 1)]


def test_two_lines_of_one_series_count_once() -> None:
    scraped = Scraped(metric_relabel_configs=[{"regex": "x", "action": "labeldrop"}])
    for _ in range(2):
        assert scraped.get('a{x="1"} 1\nb 5\na{x="2"} 2\nb 6\n') == {"a": [(0, 1)], "b": [(0, 5)]}
        assert scraped.draft.note == "2 samples repeat a series and are not stored"
        assert scraped.draft.kept == 4


def test_timestamps_are_honoured_and_keep_a_series_out_of_the_tracking() -> None:
    scraped = Scraped()
    assert scraped.get(f"a 1 {NOW_MS}\nb 2\n") == {"a": [(-15_000, 1)], "b": [(0, 2)]}
    assert scraped.get("b 2\n") == {"b": [(0, 2)]}, "who names its own time says itself when it ends"
    assert scraped.get(f"a 1 {NOW_MS}\na 2 {NOW_MS + 1}\na 3 {NOW_MS}\nb 2\n")["a"] == [
        (-45_000, 1),
        (-44_999, 2),
    ]
    ignoring = Scraped(honor_timestamps=False)
    assert ignoring.get(f"a 1 {NOW_MS}\n") == {"a": [(0, 1)]}
    assert ignoring.get("b 1\n") == {"b": [(0, 1)], "a": [(0, "stale")]}
    tracking = Scraped(track_timestamps_staleness=True)
    tracking.get(f"a 1 {NOW_MS}\n")
    assert tracking.get("b 1\n") == {"b": [(0, 1)], "a": [(0, "stale")]}


def test_a_time_far_away_is_not_stored_and_counted() -> None:
    protection = Protection(Limits(), VirtualClock(NOW_MS))
    scraped = Scraped(protection)
    ahead, ancient = NOW_MS + 3_600_000, NOW_MS - 90 * 86_400_000
    for _ in range(2):
        assert scraped.get(f"a 1 {ahead}\nb 2\nc 3 {ancient}\n") == {"b": [(0, 2)]}
        assert scraped.draft.note.startswith(
            "2 samples are not stored: the timestamp is more than 10 minutes ahead"
        )
    assert protection.samples_by_reason == {"too_new": 4}


def test_series_beyond_a_limit_of_the_server_are_left_out_and_tried_again() -> None:
    protection = Protection(Limits(sender_series=2), VirtualClock(NOW_MS))
    scraped = Scraped(protection)
    body = "a 1\nb 1\nc 1\n"
    assert scraped.get(body) == {"a": [(0, 1)], "b": [(0, 1)]}
    assert "sender_series_limit is 2" in scraped.draft.note
    assert scraped.get(body) == {"a": [(0, 1)], "b": [(0, 1)]}
    assert protection.samples_by_reason == {"sender_series_limit": 2}
    protection.limits = Limits()
    scraped.table.forget_refused()
    assert scraped.get(body) == {"a": [(0, 1)], "b": [(0, 1)], "c": [(0, 1)]}


@pytest.mark.parametrize(
    ("given", "body", "told"),
    [
        ({"sample_limit": 2}, "a 1\nb 1\nc 1\n", "sample_limit exceeded: 3 samples, 2 are allowed"),
        (
            {"label_limit": 3},
            'b 1\na{x="1"} 1\n',
            "line 2: label_limit exceeded: a has 4 labels, 3 are allowed",
        ),
        ({"label_name_length_limit": 9}, 'a{xxxxxxxxxx="1"} 1\n', "label_name_length_limit exceeded"),
        ({"label_value_length_limit": 9}, 'a{x="1234567890"} 1\n', "label_value_length_limit exceeded"),
        ({}, 'a 1\nb{x="1",x="2"} 2\n', "line 2: the label 'x' is there twice"),
        ({}, "a 1\nb 2 3 4\n", "line 2: "),
        ({"metric_relabel_configs": [{"regex": "__name__", "action": "labeldrop"}]}, "a 1\n", "no name"),
    ],
)
def test_a_scrape_with_one_fault_brings_nothing(given: dict[str, Any], body: str, told: str) -> None:
    scraped = Scraped(**given)
    with pytest.raises(InvalidInput, match=told):
        scraped.get(body)
    assert scraped.table.size == 0
    good = Scraped(**({} if "metric_relabel_configs" in given else given))
    good.get("a 1\nb 1\n")
    assert good.table.size == 2


def test_a_limit_counts_what_relabelling_leaves() -> None:
    drop = [{"source_labels": ["__name__"], "regex": "a|b", "action": "drop"}]
    scraped = Scraped(sample_limit=1, metric_relabel_configs=drop)
    for _ in range(2):
        assert scraped.get("a 1\nb 1\nc 1\n") == {"c": [(0, 1)]}


def test_metadata_goes_along_when_it_is_new() -> None:
    scraped = Scraped()
    body = "# TYPE a counter\n# HELP a Things.\na 1\n"
    scraped.get(body)
    assert [(told.metric, told.type, told.help) for told in scraped.draft.metadata] == [
        ("a", "counter", "Things.")
    ]
    scraped.get(body)
    assert scraped.draft.metadata == ()


def test_an_exemplar_goes_along_once() -> None:
    scraped = Scraped()
    body = '# TYPE a counter\na_total 1 # {trace_id="t"} 1 12.5\nb 1 # {} 2\n# EOF\n'
    scraped.get(body, OPENMETRICS)
    found = scraped.draft.batch().exemplars
    assert found is not None
    assert [named(scraped.table.labels(ref)) for ref in found.rows.tolist()] == ["a_total", "b"]
    assert found.timestamps_ms.tolist() == [12_500, scraped.at_ms]
    assert found.values.tolist() == [1, 2]
    assert list(found.labels) == [{"trace_id": "t"}, {}]
    scraped.get(body, OPENMETRICS)
    assert scraped.draft.batch().exemplars is None
    scraped.get(body.replace('"t"', '"u"'), OPENMETRICS)
    found = scraped.draft.batch().exemplars
    assert found is not None
    assert list(found.labels) == [{"trace_id": "u"}]


def test_what_was_created_lately_begins_with_a_zero() -> None:
    scraped = Scraped()
    created = NOW_MS / 1000 + 10
    body = (
        f"# TYPE a counter\na_total 5\na_created {created}\n"
        f'# TYPE h histogram\nh_bucket{{le="1.0"}} 2\nh_bucket{{le="+Inf"}} 3\nh_count 3\nh_sum 9\n'
        f"h_created {created}\n"
        f'# TYPE s summary\ns{{quantile="0.5"}} 2\ns_count 3\ns_sum 9\ns_created {created}\n'
        f"# TYPE old counter\nold_total 5\nold_created 1\n# TYPE g gauge\ng_total 1\ng_created {created}\n# EOF\n"
    )
    found = scraped.get(body, OPENMETRICS)
    zeroed = {name for name, samples in found.items() if (-5000, 0.0) in samples}
    assert zeroed == {
        "a_total",
        "h_bucket{le=1.0}",
        "h_bucket{le=+Inf}",
        "h_count",
        "h_sum",
        "s_count",
        "s_sum",
    }
    assert found["a_total"] == [(0, 5), (-5000, 0)]
    assert found["a_created"] == [(0, created)]
    assert all(len(samples) == 1 for samples in scraped.get(body, OPENMETRICS).values())


def test_reported_series() -> None:
    scraped = Scraped(labels={"env": "x"})
    told = [1.0, 0.5, 1, 1, 0, 10, 0, 4]
    scraped.get("a 1\n")
    for _ in range(2):
        draft = scraped.series.read(b"a 1\n", TEXT, scraped.at_ms)
        scraped.series.report(draft, scraped.at_ms, told)
        found = scraped.shown(draft.batch())
        assert [found[f"{name}{{env=x}}"] for name in REPORTED] == [[(0, value)] for value in told]
        draft.lease.release()
    lease = scraped.table.lease()
    assert scraped.series.refs(lease).tolist() == list(range(9))
    lease.release()


def test_a_changed_configuration_ends_what_it_no_longer_gives() -> None:
    scraped = Scraped()
    scraped.get("a 1\nb 1\n")
    rules = [{"source_labels": ["__name__"], "regex": "b", "action": "drop"}]
    scraped.series.configure(target(metric_relabel_configs=rules))
    assert scraped.get("a 2\nb 2\n") == {"a": [(0, 2)], "b": [(0, "stale")]}
    scraped.series.configure(target(metric_relabel_configs=rules, sample_limit=10))
    assert scraped.get("a 2\nb 2\n") == {"a": [(0, 2)]}
    assert scraped.draft.added == 0, "what does not concern labels forgets nothing"


def test_series_of_another_target_are_other_series() -> None:
    table = SeriesTable()
    first, second = (TargetSeries(target(labels={"n": n}), table) for n in "12")
    for one in (first, second):
        one.read(b"a 1\n", TEXT, NOW_MS).lease.release()
    assert table.size == 2


def test_a_series_that_the_head_forgot_is_made_anew() -> None:
    scraped = Scraped()
    scraped.get("a 1\nb 1\n")
    assert len(scraped.table.remove(np.arange(2))) == 2
    assert scraped.get("a 2\n") == {"a": [(0, 2)]}, "and nothing is marked stale in its place"
    assert scraped.table.size == 1


def test_every_lease_is_released_when_a_body_is_refused() -> None:
    scraped = Scraped()
    scraped.get("a 1\n")
    with pytest.raises(InvalidInput):
        scraped.get('b{x="1",x="2"} 1\n')
    assert len(scraped.table.remove(np.arange(1))) == 1, "a lease that is live would keep the series"
