"""Requests of Prometheus's HTTP API beside the queries, to a real Prometheus and to Setpoint over the same samples.

Debian's is 2.42. Where 3.x answers otherwise Setpoint follows 3.x; those cases are in `tests/web/test_catalog.py`.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import require
from tests.differential.prometheus import Prometheus
from tests.promql.samples import labels_of
from tests.web.conftest import NOW_MS, MakeApp, Running, make_app, send, serve

from setpoint.telemetry import MetricBatch, Series, fingerprint

__all__ = ["make_app", "serve"]

_STEP_S = 15
_NOW_S = NOW_MS // 1000
SERIES = {
    f'{name}{{job="{job}",instance="{job}-{number}",code="{code}"}}': [
        (_NOW_S - _STEP_S * (20 - step), float(step * number)) for step in range(20)
    ]
    for name in ("requests_total", "errors_total")
    for job in ("api", "db", "web front")
    for number in range(2)
    for code in ("200", "500")
} | {
    "plain": [(_NOW_S - 30, 1.5)],
    'odd{le="+Inf",text="a\\"b",empty_not="ü"}'.replace('\\"', "'"): [(_NOW_S - 30, 1.0)],
}

Pairs = list[tuple[str, str]]


@dataclass(frozen=True)
class Both:
    """The two servers."""

    ours: str
    theirs: str

    def ask(self, path: str, pairs: Pairs, *, post: bool = False) -> tuple[Any, Any]:
        """(status, answer) of Setpoint, and of Prometheus; of an error only its type."""
        return tuple(_ask(url, path, pairs, post) for url in (self.ours, self.theirs))  # type: ignore[return-value]


def _ask(url: str, path: str, pairs: Pairs, post: bool) -> tuple[int, Any]:
    encoded = urllib.parse.urlencode(pairs)
    request = urllib.request.Request(
        f"{url}/api/v1/{path}" + ("" if post else f"?{encoded}"), encoded.encode() if post else None
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert answer.headers["Content-Type"] == "application/json"
            return answer.status, json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            said = json.load(error)
        assert said["status"] == "error" and said["error"]
        return error.code, said["errorType"]


@pytest.fixture
def both(tmp_path: Path, make_app: MakeApp, serve: Callable[..., Running]) -> Iterator[Both]:
    require("prometheus", Prometheus.is_installed(), "prometheus")
    parts = make_app()
    names = list(SERIES)
    series = [Series(fingerprint(labels_of(name)), labels_of(name), "shop") for name in names]
    samples = [(place, *sample) for place, name in enumerate(names) for sample in SERIES[name]]
    rows, seconds, values = zip(*samples, strict=True)
    send(
        parts,
        MetricBatch(
            series,
            np.array(rows, np.int32),
            np.array(seconds, np.int64) * 1000,
            np.array(values, np.float64),
        ),
    )
    (tmp_path / "prometheus").mkdir()
    ours = serve(parts).url
    with Prometheus(tmp_path / "prometheus", SERIES) as theirs:
        yield Both(ours, f"http://{theirs.address}")


def sorted_series(answer: Any) -> Any:
    status, data = answer
    return status, sorted(data, key=lambda labels: sorted(labels.items())) if isinstance(data, list) else data


def test_series_labels_and_values(both: Both) -> None:
    now, past = str(_NOW_S), str(_NOW_S - 3600)
    selections: list[Pairs] = [
        [("match[]", "requests_total")],
        [("match[]", "requests_total"), ("match[]", 'errors_total{code="500"}')],
        [("match[]", 'requests_total{job=~"api|db"}'), ("match[]", 'requests_total{job="api"}')],
        [("match[]", '{__name__=~".+_total",code!="200"}'), ("start", past), ("end", now)],
        [
            ("match[]", '{job="web front"}'),
            ("start", "2027-01-09T11:00:00Z"),
            ("end", "2027-01-09T13:00:00+01:00"),
        ],
        [("match[]", '{le="+Inf"}'), ("start", f"{past}.5"), ("end", f"{_NOW_S + 3600:.7e}")],
        [("match[]", "plain"), ("start", now), ("end", past)],
        [("match[]", "nothing_of_this_name")],
        [("match[]", 'requests_total{job!~"api|db",missing=""}')],
        [
            ("match[]", "plain"),
            ("start", "-292273086-05-16T16:47:06Z"),
            ("end", "292277025-08-18T07:12:54.999999999Z"),
        ],
    ]
    paths = ("labels", "label/job/values", "label/__name__/values", "label/nowhere/values")
    compared = 0
    for pairs in selections:
        for post in (False, True):
            ours, theirs = both.ask("series", pairs, post=post)
            assert sorted_series(ours) == sorted_series(theirs), pairs
            assert ours == sorted_series(ours)
        for path in paths:
            ours, theirs = both.ask(path, pairs)
            assert ours == theirs, (path, pairs)
            compared += len(ours[1])
    assert compared > 40
    for path in paths:
        ours, theirs = both.ask(path, [])
        assert ours == theirs
    for pairs in ([], selections[1]):
        ours, theirs = both.ask("labels", pairs, post=True)
        assert ours == theirs


BAD: list[tuple[str, Pairs]] = [
    ("series", []),
    ("series", [("match[]", "")]),
    ("series", [("match[]", "{}")]),
    ("series", [("match[]", '{job=~".*"}')]),
    ("series", [("match[]", '{job=""}')]),
    ("series", [("match[]", "requests_total[5m]")]),
    ("series", [("match[]", "requests_total offset 5m")]),
    ("series", [("match[]", "requests_total @ 5")]),
    ("series", [("match[]", "(requests_total)")]),
    ("series", [("match[]", "sum(requests_total)")]),
    ("series", [("match[]", '{job=~"("}')]),
    ("series", [("match[]", "plain"), ("match[]", "{")]),
    ("series", [("match[]", "plain"), ("start", "yesterday")]),
    ("series", [("match[]", "plain"), ("end", "2027-13-01T00:00:00Z")]),
    ("labels", [("match[]", "{}")]),
    ("labels", [("match[]", "")]),
    ("labels", [("start", "x")]),
    ("label/job/values", [("match[]", "1 + 1")]),
    ("label/job/values", [("end", "1e")]),
    ("query_exemplars", []),
    ("query_exemplars", [("query", "sum(")]),
    ("query_exemplars", [("query", "plain"), ("start", "x")]),
    ("query_exemplars", [("query", "plain"), ("start", "10"), ("end", "5")]),
    ("format_query", []),
    ("format_query", [("query", "sum(")]),
    ("metadata", [("limit", "many")]),
    ("rules", [("type", "objective")]),
    ("query", []),
    ("query", [("query", "plain"), ("time", "noon")]),
    ("query", [("query", 'sum(plain{job=~"["})')]),
    ("query_range", [("query", "plain"), ("start", "0"), ("end", "10")]),
    ("query_range", [("query", "plain"), ("start", "0"), ("end", "10"), ("step", "0")]),
    ("query_range", [("query", "plain"), ("start", "10"), ("end", "0"), ("step", "1")]),
    ("query_range", [("query", "plain"), ("start", "0"), ("end", "12000"), ("step", "1")]),
    ("query_range", [("query", "plain[5m]"), ("start", "0"), ("end", "10"), ("step", "1")]),
    ("query_range", [("query", "'text'"), ("start", "0"), ("end", "10"), ("step", "1")]),
]


def test_bad_requests(both: Both) -> None:
    """Status and `errorType` of what is refused are Prometheus's; so are those of what a storage refuses."""
    for path, pairs in BAD:
        ours, theirs = both.ask(path, pairs)
        assert ours == theirs, (path, pairs)
        assert ours[0] == 400, (path, pairs, ours)
    same = 'label_replace(requests_total, "code", "x", "", "")'
    collision = [("query", f"{same} + {same}"), ("time", str(_NOW_S))]
    ours, theirs = both.ask("query", collision)
    assert ours == theirs == (422, "execution")


def test_what_else_is_asked(both: Both) -> None:
    for path in ("rules", "alerts", "alertmanagers", "query_exemplars?query=plain", "rules?type=alert"):
        ours, theirs = both.ask(path.partition("?")[0], urllib.parse.parse_qsl(path.partition("?")[2]))
        assert ours == theirs, path
    for path in ("status/buildinfo", "status/runtimeinfo", "status/flags", "status/config"):
        ours, theirs = both.ask(path, [])
        assert ours[0] == theirs[0] == 200
    assert _ask(both.ours, "status/buildinfo", [], False)[1].keys() >= {"version", "revision", "branch"}


def test_queries_are_laid_out_alike(both: Both) -> None:
    queries = [
        "plain",
        'sum by (job, instance) (rate(requests_total{code="200"}[5m]))',
        'sum by (job) (rate(requests_total{code=~"5.."}[5m]))'
        " / on (job) "
        "group_left () sum by (job) (rate(requests_total[5m]))",
        "-(1 + 2) ^ 3",
        "max_over_time(rate(plain[1m])[5m:10s] @ end() offset 3m)",
    ]
    for query in queries:
        ours, theirs = both.ask("format_query", [("query", query)], post=True)
        assert ours == theirs, query
