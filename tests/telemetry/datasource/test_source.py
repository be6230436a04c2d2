"""A source on a virtual clock over a server that has samples, misbehaves, and comes back."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from setpoint.clock import SystemClock, VirtualClock
from setpoint.errors import InvalidInput, Unavailable
from setpoint.promql.selector import read_selector
from setpoint.telemetry.datasource import DataSource, DataSources, live
from setpoint.telemetry.datasource.client import IoLoop
from setpoint.telemetry.datasource.pacing import BackOff
from setpoint.telemetry.datasource.source import Source
from setpoint.telemetry.datasource.spec import ConnectionDetails
from setpoint.telemetry.datasource.status import SourceState
from setpoint.telemetry.model import SampleColumns
from tests.telemetry.datasource import upstream as ways
from tests.telemetry.datasource.upstream import Upstream, says, upstream

T0 = 1_790_000_040_000
HOUR_MS = 3_600_000


class Bench:
    """A clock, a server with `hits_total`, and a source over it."""

    def __init__(
        self, server: Upstream, folder: Path, clock: VirtualClock | None = None, **details: Any
    ) -> None:
        self.server = server
        self.clock = clock or VirtualClock(T0)
        self.loop = IoLoop()
        given = {"url": server.url, "timeout": "20s", "requestsPerSecond": 1000} | details
        self.source = Source(
            "far",
            ConnectionDetails.model_validate(given),
            self.clock,
            loop=self.loop,
            secrets=folder,
            patience_ms=90_000,
            back_off=BackOff(repeat(0.999).__next__),
        )

    def select(self, text: str, minutes: int = 60) -> SampleColumns:
        now_ms = self.clock.now_ms()
        return self.source.select(read_selector(text), now_ms - minutes * 60_000, now_ms)

    def fill(self, start_ms: int, end_ms: int, step_ms: int = 15_000, **labels: str) -> None:
        for at_ms in range(start_ms, end_ms + 1, step_ms):
            self.server.samples.add("hits_total", at_ms, at_ms / 1000, **labels)

    def state(self) -> SourceState:
        return self.source.status.state

    @property
    def refused(self) -> list[str]:
        return list(self.source.status.refused)

    def poll(self) -> None:
        """Until nothing is due."""
        for _ in range(1000):
            if self.source.poll() >= 0.5:
                return
        raise AssertionError("there is no end")

    def close(self) -> None:
        self.source.close()
        self.loop.close()


@contextmanager
def running(folder: Path, **details: Any) -> Iterator[Bench]:
    with upstream() as server:
        bench = Bench(server, folder, **details)
        try:
            yield bench
        finally:
            bench.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with running(tmp_path) as made:
        for job in "ab":
            for code in ("200", "500"):
                made.fill(T0 - 3 * HOUR_MS, T0, job=job, code=code)
        made.server.samples.reads = 0
        yield made


def test_asking_makes_it_wanted(bench: Bench) -> None:
    assert bench.select('hits_total{job="a"}').labels == ()
    bench.poll()
    found = bench.select('hits_total{job="a"}')
    assert [labels["code"] for labels in found.labels] == ["200", "500"]
    assert len(found.values) == 2 * 240
    assert found.values.tolist() == [at / 1000 for at in found.timestamps_ms.tolist()]
    status = bench.source.status
    assert (status.state, status.selectors, status.series) == ("up", 1, 2)
    assert status.reached_ms == T0


def test_objectives_share_requests(bench: Bench) -> None:
    for job in "ab":
        bench.select(f'hits_total{{job="{job}"}}')
        bench.select(f'hits_total{{job="{job}",code!~"5.."}}')
    bench.poll()
    for _ in range(4):
        bench.clock.advance(15)
        bench.poll()
    bench.server.queries()
    bench.clock.advance(15)
    bench.poll()
    assert bench.server.queries() == ['{__name__="hits_total",job=~"a|b"}[75s]']
    assert len(bench.select('hits_total{job="b",code!~"5.."}').labels) == 1


def test_only_what_is_new_is_asked_for(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.poll()
    bench.server.queries()
    spans = []
    for _ in range(20):
        bench.clock.advance(15)
        bench.fill(bench.clock.now_ms(), bench.clock.now_ms(), job="a", code="200")
        bench.poll()
        spans += [int(re.findall(r"\[(\d+)s\]", query)[0]) for query in bench.server.queries()]
    assert sorted(set(spans)) == [75, 615]  # a minute and, every tenth time, ten minutes back
    assert spans.count(615) == 2
    bench.poll()
    assert bench.server.queries() == []
    assert len(bench.select('hits_total{job="a",code="200"}').values) == 240


def test_samples_that_come_late_are_found(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.poll()
    late_ms = T0 - 5 * 60_000 + 1
    bench.server.samples.add("hits_total", late_ms, 7, job="a", code="200")
    for _ in range(10):
        bench.clock.advance(15)
        bench.poll()
    assert late_ms in bench.select('hits_total{job="a",code="200"}').timestamps_ms.tolist()


def test_a_failure_is_told_when_samples_are_late(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.poll()
    bench.source.take_oldest_write_ms()
    bench.server.behave = says({"error": "overloaded"}, 503)
    bench.clock.advance(15)
    bench.poll()
    assert bench.state() == "down"
    assert len(bench.select('hits_total{job="a"}').labels) == 2
    for _ in range(90):
        bench.clock.advance(1)
        bench.poll()
    with pytest.raises(Unavailable) as raised:
        bench.select('hits_total{job="a"}')
    assert raised.value.message == "data source 'far': HTTP status 503 Service Unavailable: overloaded"
    assert len(bench.server.queries()) < 12  # 1, 2, 4, 8, 16, 32 s between them
    bench.server.behave = None
    bench.clock.advance(60)
    bench.fill(T0, bench.clock.now_ms(), job="a", code="200")
    bench.poll()
    assert bench.state() == "up"
    found = bench.select('hits_total{job="a",code="200"}')
    assert len(found.values) == 240
    assert bench.source.take_oldest_write_ms() == T0 + 15_000


def test_retry_after_is_obeyed(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.server.behave = says("slow down", 429, Retry_After="120")
    bench.poll()
    bench.server.queries()
    for _ in range(119):
        bench.clock.advance(1)
        bench.poll()
    assert bench.server.queries() == []
    bench.clock.advance(15)
    bench.poll()
    assert len(bench.server.queries()) == 1


def test_never_seen_is_told_too(bench: Bench) -> None:
    bench.server.behave = ways.closes
    assert bench.select('hits_total{job="a"}').labels == ()
    bench.poll()
    with pytest.raises(Unavailable, match="data source 'far': the request failed"):
        bench.select('hits_total{job="a"}')


def test_a_refused_query_harms_no_other(bench: Bench) -> None:
    def behave(handler: Any) -> None:
        form = bench.server.seen[-1][0]
        if "b" in form["query"].split("job")[1]:
            says({"error": "job b is not yours"}, 422)(handler)
        else:
            says(bench.server.answer(form))(handler)

    bench.server.behave = behave
    bench.select('hits_total{job="a"}')
    bench.select('hits_total{job="b"}')
    bench.poll()
    assert len(bench.select('hits_total{job="a"}').labels) == 2
    with pytest.raises(InvalidInput) as raised:
        bench.select('hits_total{job="b"}')
    sentence = "HTTP status 422 Unprocessable Entity: job b is not yours"
    assert raised.value.message == f"data source 'far' refuses the query: {sentence}"
    assert bench.refused == [sentence]
    bench.server.behave = None
    bench.clock.advance(15)
    bench.poll()
    assert len(bench.select('hits_total{job="b"}').labels) == 2
    assert bench.refused == []


def test_too_much_at_once_is_asked_for_in_pieces(bench: Bench) -> None:
    def behave(handler: Any) -> None:
        form = bench.server.seen[-1][0]
        if int(re.findall(r"\[(\d+)s\]", form["query"])[0]) > 600:
            says({"error": "query processing would load too many samples into memory"}, 422)(handler)
        else:
            says(bench.server.answer(form))(handler)

    bench.server.behave = behave
    bench.select('hits_total{job="a"}')
    bench.poll()
    assert len(bench.select('hits_total{job="a"}').values) == 2 * 240
    assert bench.refused == []


def test_an_answer_beyond_the_limit(tmp_path: Path) -> None:
    with running(tmp_path, responseLimitMb=1) as bench:
        for at in range(60):
            bench.fill(T0 - 3 * HOUR_MS, T0, 5000, job=str(at))
        bench.select("hits_total")
        bench.poll()
        assert bench.state() == "up"
        assert len(bench.select("hits_total").values) == 60 * 720


def test_what_nobody_asks_for_is_let_go(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.select('hits_total{job="a",code="200"}')
    for _ in range(50):
        bench.clock.advance(15)
        bench.select('hits_total{job="a",code="200"}')
        bench.poll()
    assert bench.source.status.selectors == 1
    assert '{__name__="hits_total",code="200",job="a"}[75s]' in bench.server.queries()
    bench.clock.advance(3 * 3600)
    bench.poll()
    assert (bench.source.status.selectors, bench.source.status.series) == (0, 0)
    assert bench.server.queries() == []


def test_an_absence_longer_than_the_memory(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.poll()
    bench.source.take_oldest_write_ms()
    bench.server.behave = ways.closes
    for _ in range(5 * 12):
        bench.clock.advance(300)
        bench.poll()
        with pytest.raises(Unavailable):
            bench.select('hits_total{job="a"}')
    bench.server.behave = None
    bench.clock.advance(60)
    bench.poll()
    assert bench.source.take_oldest_write_ms() == T0
    assert bench.source.take_oldest_write_ms() is None


def test_history_comes_in_pieces_and_is_shared(bench: Bench) -> None:
    bench.select('hits_total{job="a"}')
    bench.poll()
    bench.server.queries()
    total, good = read_selector('hits_total{job="a"}'), read_selector('hits_total{job="a",code="200"}')
    bench.select('hits_total{job="a",code="200"}')
    found = bench.source.fetch(total, T0 - 3 * HOUR_MS, T0 - HOUR_MS)
    assert len(found.values) == 2 * 480
    part = bench.source.fetch(good, T0 - 3 * HOUR_MS + 60_000, T0 - HOUR_MS)
    assert [labels["code"] for labels in part.labels] == ["200"]
    assert part.timestamps_ms.tolist() == found.timestamps_ms.tolist()[4:480]
    assert len(bench.server.queries()) == 2
    assert len(bench.source.fetch(total, T0 - HOUR_MS, T0).values) == 2 * 240
    assert bench.server.queries() == []  # from the head


def test_who_went_away_is_not_fetched_for(bench: Bench) -> None:
    calls = []

    def check() -> None:
        calls.append(1)
        if len(calls) > 2:
            raise InvalidInput("nobody waits any more")

    with pytest.raises(InvalidInput, match="nobody waits"):
        bench.source.fetch(read_selector("hits_total"), T0 - 30 * 24 * HOUR_MS, T0, check=check)
    assert len(bench.server.queries()) == 2


def test_too_far_back_for_live(bench: Bench) -> None:
    with pytest.raises(InvalidInput, match="looks back further than 2 h"):
        bench.select("hits_total", minutes=121)


def test_a_server_that_hangs_holds_nobody_up(tmp_path: Path) -> None:
    with upstream() as server:
        clock = SystemClock()
        server.behave = ways.hangs
        sources = DataSources(clock, tmp_path)
        body = {
            "apiVersion": "openslo/v1",
            "kind": "DataSource",
            "metadata": {"name": "far"},
            "spec": {"type": "prometheus", "connectionDetails": {"url": server.url, "timeout": "1s"}},
        }
        document = SimpleNamespace(spec=DataSource.model_validate(body))
        sources.apply([document])
        source = sources.get("far")
        sources.start()
        matchers, slowest = read_selector("hits_total"), 0
        for _ in range(100):
            before_ms = clock.now_ms()
            try:
                source.select(matchers, before_ms - 60_000, before_ms)
            except Unavailable as error:
                assert "no complete answer within 1s" in error.message
                break
            slowest = max(slowest, clock.now_ms() - before_ms)
            threading.Event().wait(0.05)
        else:
            raise AssertionError("it was never told")
        assert slowest < 1000
        sources.apply([document])
        assert sources.get("far") is source
        body["spec"]["connectionDetails"] = {"url": server.url, "timeout": "2s"}  # type: ignore[index]
        sources.apply([SimpleNamespace(spec=DataSource.model_validate(body))])
        assert sources.get("far") is not source
        sources.apply([])
        with pytest.raises(InvalidInput, match="there is no data source 'far'"):
            sources.get("far")
        sources.close()


@pytest.mark.parametrize(("most", "refused"), [(3, ["it selects more than 3 series"]), (6, [])])
def test_series_that_are_here_already_do_not_count_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, most: int, refused: list[str]
) -> None:
    monkeypatch.setattr(live, "_SERIES_MAX", most)
    bench.select("hits_total")
    for _ in range(3):
        bench.poll()
        bench.clock.advance(15)
    assert bench.refused == refused
    assert bench.source.status.series == (0 if refused else 4)


def test_a_source_is_there_while_others_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def declared(name: str) -> SimpleNamespace:
        details = {"url": "http://127.0.0.1:1"}
        body = {"metadata": {"name": name}, "spec": {"type": "prometheus", "connectionDetails": details}}
        return SimpleNamespace(spec=DataSource.model_validate(body))

    sources = DataSources(SystemClock(), tmp_path)
    sources.apply([declared("old")])
    make, found = sources._make, []

    def make_and_look(resource: DataSource) -> Source:
        found.append(sources.get("old"))
        return make(resource)

    monkeypatch.setattr(sources, "_make", make_and_look)
    sources.apply([declared("new"), declared("old")])
    assert found == [sources.get("old")]
    sources.close()
