"""How long do PromQL queries take, beside real peers on the same data, and are the answers the same?

Run with `python -m bench.query` (`--small` takes less than two minutes). Setpoint, Debian's Prometheus and
VictoriaMetrics run at the same time over the same remote-write bodies; a row is a query, asked of one after the other
by 1 and by 8 clients. Every request asks for another time, as a dashboard that refreshes does, so that caches help as
far as they help there. Beside p50 and p99 stands, in brackets, what a request costs in milliseconds of the processor:
other work on the machine does not change it. Answers are compared before times are: Setpoint's with Prometheus's
number by number; VictoriaMetrics's by the series, because its rates are not extrapolated.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from bench.ingest import send_bodies
from bench.peers import Peer, peers
from bench.query_corpus import QueryCorpus
from bench.server import cpu_s, descendants, machine

_HOUR_S, _DAY_S = 3600, 86_400
_STEPS = 360
_MOVES = 40
_TOLERANCE = 1e-9
_FLUSH_S = "8"
"""What is loaded is older than the head keeps: it is in its final form after the next flush, else after 15 minutes."""


@dataclass(frozen=True, slots=True)
class Data:
    """`series` series with a sample every `interval_s` over `span_s`."""

    series: int
    span_s: int
    interval_s: int

    @property
    def name(self) -> str:
        span = f"{self.span_s // _DAY_S} d" if self.span_s >= _DAY_S else f"{self.span_s // _HOUR_S} h"
        return f"{self.series:,} series, {span} every {self.interval_s} s"


DATA = (
    Data(1_000, 6 * _HOUR_S, 15),
    Data(100_000, 6 * _HOUR_S, 60),
    Data(1_000, 30 * _DAY_S, 300),
    Data(100_000, 30 * _DAY_S, 7_200),
)
SMALL = (Data(1_000, 6 * _HOUR_S, 15), Data(1_000, 30 * _DAY_S, 7_200))


def queries(data: Data) -> dict[str, str]:
    """The questions by name; windows hold at least four samples."""
    window = f"{max(60, 4 * data.interval_s)}s"
    rate = f"rate(requests_total[{window}])"
    span = f"{data.span_s // _HOUR_S}h"
    gauge = 'memory_bytes{job="job-7"}'
    return {
        # Samples rarer than the lookback are asked for by a window.
        "selector": gauge if data.interval_s < 300 else f"last_over_time({gauge}[{window}])",
        "rate": f'rate(requests_total{{job="job-7"}}[{window}])',
        "sum by": f"sum by (job) ({rate})",
        "ratio": f'sum by (job) (rate(requests_total{{code=~"5.."}}[{window}])) / sum by (job) ({rate})',
        "quantile": f"histogram_quantile(0.99, sum by (le, job) (rate(latency_seconds_bucket[{window}])))",
        "topk": f"topk(5, sum by (instance) ({rate}))",
        "increase": f"sum by (code) (increase(requests_total[{span}]))",
        "regex": f'sum(rate(requests_total{{pod=~"pod-.*[13579]-.*a.*"}}[{window}]))',
    }


@dataclass(frozen=True, slots=True)
class Question:
    """One request without its time: an instant query when `step_s` is 0."""

    name: str
    query: str
    span_s: int
    step_s: int

    def path(self, end_s: int) -> str:
        """The address of the request that ends at `end_s`."""
        if not self.step_s:
            return "/api/v1/query?" + urlencode({"query": self.query, "time": end_s})
        times = {"start": end_s - self.span_s, "end": end_s, "step": self.step_s}
        return "/api/v1/query_range?" + urlencode({"query": self.query} | times)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long a cell is measured, how many requests of each client it has at least, and how long the systems have to
    put away what was loaded.
    """

    seconds: float
    requests: int
    settle_s: float
    later: bool = False
    """Whether a request asks a step later than the one before it, as a dashboard does, and not a step earlier."""


@dataclass(slots=True)
class Timing:
    """Milliseconds of each request, and of the processor per request (all of a system's processes and threads)."""

    took_ms: list[float]
    processor_ms: float = 0.0

    @property
    def p50(self) -> float:
        return statistics.median(self.took_ms)

    @property
    def p99(self) -> float:
        return sorted(self.took_ms)[math.ceil(len(self.took_ms) * 0.99) - 1]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--small", action="store_true", help="little data, few requests: two minutes")
    arguments.add_argument(
        "--later", action="store_true", help="each request asks a step later, as dashboards do"
    )
    arguments.add_argument("--seconds", type=float, help="how long a cell is measured")
    arguments.add_argument("--data", type=int, nargs="*", help="numbers of the data sets to run")
    arguments.add_argument("--only", nargs="*", help="names of the systems to run")
    chosen = arguments.parse_args()
    sets = SMALL if chosen.small else DATA
    effort = Effort(0.1, 2, 14, chosen.later) if chosen.small else Effort(3.0, 4, 30, chosen.later)
    if chosen.seconds:
        effort = replace(effort, seconds=chosen.seconds)
    print(f"machine: {machine()}", flush=True)
    for data in [sets[number] for number in chosen.data or range(len(sets))]:
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            systems = [
                peer
                for peer in peers(Path(folder), SETPOINT_FLUSH_S=_FLUSH_S)
                if not chosen.only or peer.name in chosen.only
            ]
            ids = {peer.name: stack.enter_context(peer.running()).pid for peer in systems}
            _run(systems, data, effort, ids)


def _run(systems: Sequence[Peer], data: Data, effort: Effort, ids: Mapping[str, int]) -> None:
    # Off the grid of the queries: versions of Prometheus differ in whether a sample on a window's edge is in it.
    end_s = int(time.time()) // _HOUR_S * _HOUR_S
    print(f"\n{data.name}, {data.series * data.span_s // data.interval_s:,} samples", flush=True)
    for peer in systems:
        print(f"  loaded {peer.name} in {_load(peer, data, end_s):.0f} s", flush=True)
    time.sleep(effort.settle_s)
    # The last hours are left for the times to move in; 30 d of questions must still find their first day.
    last_s = end_s - max(data.interval_s, 600)
    slower = 0
    for name, query in queries(data).items():
        for kind in ("instant", "range"):
            span_s = data.span_s // 2 if name == "increase" else data.span_s * 9 // 10
            step_s = max(15, span_s // _STEPS // 15 * 15) if kind == "range" else 0
            question = Question(name, query, span_s, step_s)
            last = last_s // step_s * step_s if step_s else last_s
            agreement = _compare(systems, question, last)
            for clients in (1, 8):
                timings = {
                    peer.name: _measure(peer, question, last, clients, effort, ids[peer.name])
                    for peer in systems
                }
                cells = "  ".join(
                    f"{peer} {timing.p50:8.2f} /{timing.p99:8.1f} ({timing.processor_ms:.2f})"
                    for peer, timing in timings.items()
                )
                verdict = _verdict(timings)
                slower += verdict.startswith("SLOWER")
                print(f"  {name:9} {kind:8} x{clients}  {cells}  {verdict}  {agreement}", flush=True)
    print(
        f"  rows that miss the aim (5 times faster than prometheus, faster than victoria-metrics): {slower}"
    )


def _load(peer: Peer, data: Data, end_s: int) -> float:
    """Send all samples in the order of time, as Prometheus wants them; seconds that it took."""
    started = time.monotonic()
    per_round = max(1, min(60, _HOUR_S // data.interval_s - 1))
    corpus = QueryCorpus(data.series, per_round, data.interval_s)
    rounds = data.span_s // data.interval_s // per_round
    first_ms = (end_s - rounds * per_round * data.interval_s) * 1000 + 1_234
    interval_ms = data.interval_s * 1000
    for number in range(rounds):
        sent = send_bodies(
            peer,
            corpus.bodies(first_ms + number * per_round * interval_ms, interval_ms),
            corpus.bodies_per_round,
        )
        if sent.refused:
            raise RuntimeError(f"{peer.name} refused {sent.refused:,} samples")
    return time.monotonic() - started


def _measure(  # noqa: PLR0917 - a cell of the table
    peer: Peer, question: Question, last_s: int, clients: int, effort: Effort, process_id: int | None = None
) -> Timing:
    """Ask from `clients` connections; the first request of each is not counted."""
    timing = Timing([])
    before_s = _processor_s(process_id)
    guard = threading.Lock()
    step_s = question.step_s or 15
    numbers = iter(range(1, 1_000_000))
    deadline = time.monotonic() + effort.seconds

    def work() -> None:
        connection = HTTPConnection("127.0.0.1", peer.port, timeout=300)
        count = 0
        while count < effort.requests or time.monotonic() < deadline:
            with guard:
                number = next(numbers) % _MOVES
            started = time.perf_counter()
            back = _MOVES - 1 - number if effort.later else number
            _ask(connection, question.path(last_s - back * step_s))
            took_ms = (time.perf_counter() - started) * 1000
            count += 1
            if count > 1:
                with guard:
                    timing.took_ms.append(took_ms)
        connection.close()

    workers = [threading.Thread(target=work, daemon=True) for _ in range(clients)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    timing.processor_ms = (_processor_s(process_id) - before_s) * 1000 / (len(timing.took_ms) + clients)
    return timing


def _processor_s(process_id: int | None) -> float:
    return 0.0 if process_id is None else sum(map(cpu_s, descendants(process_id)))


def _ask(connection: HTTPConnection, path: str) -> bytes:
    connection.request("GET", path, headers={"Accept-Encoding": "identity"})
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} for {path}: {body[:500]!r}")
    return body


Points = dict[frozenset[tuple[str, str]], dict[float, float]]


def _points(peer: Peer, question: Question, last_s: int) -> Points:
    """The answer: values by time, by labels."""
    connection = HTTPConnection("127.0.0.1", peer.port, timeout=300)
    result: list[Any] = json.loads(_ask(connection, question.path(last_s)))["data"]["result"]
    connection.close()
    series = {
        frozenset(one["metric"].items()): {
            at: float(value) for at, value in one.get("values") or [one["value"]]
        }
        for one in result
    }
    return _ranked(series) if question.name == "topk" else series


def _ranked(series: Points) -> Points:
    """The values of an answer by place instead of labels: which of equal series are the first is left open."""
    by_time: dict[float, list[float]] = {}
    for points in series.values():
        for at, value in points.items():
            by_time.setdefault(at, []).append(value)
    ranked: Points = {}
    for at, values in by_time.items():
        for place, value in enumerate(sorted(values, reverse=True)):
            ranked.setdefault(frozenset({("place", str(place))}), {})[at] = value
    return ranked


def _compare(systems: Sequence[Peer], question: Question, last_s: int) -> str:
    """What the first system's answer is to those of the others, short."""
    ours, *others = [(peer.name, _points(peer, question, last_s)) for peer in systems]
    said = [f"{len(ours[1])} series" if ours[1] else "NO DATA"]
    for name, points in others:
        differing, gaps = _differences(ours[1], points)
        is_same = differing <= _TOLERANCE and not gaps
        if name == "victoria-metrics":
            said.append(f"vm {'=' if is_same else f'off by {differing:.1%} at most, {gaps} not in both'}")
        else:
            said.append(
                "= prometheus" if is_same else f"DIFFERS from prometheus: {differing:.2g}, {gaps} not in both"
            )
    return ", ".join(said)


def _differences(ours: Points, theirs: Points) -> tuple[float, int]:
    """The largest relative difference, and how many points only one side has."""
    largest, gaps = 0.0, 0
    for labels in ours.keys() | theirs.keys():
        mine, other = ours.get(labels, {}), theirs.get(labels, {})
        gaps += len(mine.keys() ^ other.keys())
        for at in mine.keys() & other.keys():
            one, two = mine[at], other[at]
            if one != two and not (math.isnan(one) and math.isnan(two)):
                largest = max(largest, abs(one - two) / max(abs(one), abs(two)))
    return largest, gaps


def _verdict(timings: dict[str, Timing]) -> str:
    ours = timings.get("setpoint")
    if ours is None:
        return ""
    ratios = {name: timing.p50 / ours.p50 for name, timing in timings.items() if name != "setpoint"}
    is_good = ratios.get("prometheus", 5) >= 5 and ratios.get("victoria-metrics", 1) >= 1
    told = ", ".join(f"{name} {ratio:.1f}x" for name, ratio in ratios.items())
    return f"{'ok' if is_good else 'SLOWER'} ({told})"


if __name__ == "__main__":
    main()
