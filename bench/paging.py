"""Is a page as fast as Alertmanager's, and does it come for certain?

Run with `python -m bench.paging latency`, `… loss`, or without a word for both (half an hour; `--small` takes a few
minutes). Setpoint and Debian's Alertmanager run side by side on the same alertmanager.yml, each with a receiver of its
own on loopback.

Latency: from the moment before one alert is posted to the moment at which the receiver has read the request that names
it, at 1, 1,000 and 10,000 active alerts; once with every alert a group of its own (group_wait 0 s), once with all in
one group, whose flushes come every 200 ms.

Loss: alerts with unique labels at 10,000 a minute, each a group of its own, sent again until acknowledged; a quarter
of them ends some seconds later. The receiver fails half of the requests (500, closed, hung), and the process is killed
with -9 at random moments: what does the work (its supervisor starts it again; Alertmanager has none, so the bench does
that) or everything. Lost is what was acknowledged and never answered with success: firing or ended for a start, ended
for an end. A duplicate is one alert with one status answered with success a second time; groups of one alert and a
repeat interval of 4 h demand none. Those that carry an Idempotency-Key which was answered with success before are
counted apart: a receiver that looks at the key drops them.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.hearer import Failing, Heard, Hearer
from bench.paging_peers import Pager, Sender, alertmanager, config, setpoint
from bench.server import machine

__all__ = ["Feed", "Kills", "Loss", "lose"]

_BATCH = 64
_ENDS_AFTER = 8
_PATIENCE_S = 120
_PRELOADED_AT_ONCE = 500


def _instant(seconds: float = 0) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


def _alert(name: str, *, ends_s: float = 7200, **labels: str) -> dict[str, Any]:
    return {
        "labels": {"alertname": name, "severity": "page", "service": "shop", "instance": "web:9100", **labels},
        "annotations": {"summary": f"{name} is on", "description": "more than a tenth of the requests fail"},
        "startsAt": _instant(-1),
        "endsAt": _instant(ends_s),
        "generatorURL": "http://prometheus.example/graph?g0.expr=up",
    }  # fmt: skip


# Latency


def _await(hearer: Hearer, name: str, since: int, timeout_s: float) -> float | None:
    """When a request that names `name` came, of those from the place `since` on."""
    wanted, place, deadline = f'"{name}"'.encode(), since, time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        while place < len(hearer.heard):
            if wanted in hearer.heard[place].body:
                return hearer.heard[place].at_s
            place += 1
        with hearer.changed:
            if place >= len(hearer.heard):
                hearer.changed.wait(0.2)
    return None


def _preload(pager: Pager, hearer: Hearer, active: int, *, same_group: bool) -> None:
    sender = Sender(pager.port)
    names = [f"active{number}" for number in range(active)]
    for first in range(0, active, _PRELOADED_AT_ONCE):
        part = names[first : first + _PRELOADED_AT_ONCE]
        assert sender.insist([_alert("all" if same_group else name, id=name) for name in part])
    sender.close()
    for name in names[-3:]:
        assert _await(hearer, name, 0, 300) is not None, f"{pager.name} told nobody of {name}"
    hearer.wait_quiet(2, 300)


def _latencies(
    systems: Sequence[tuple[Pager, Hearer]], rounds: int, *, same_group: bool
) -> dict[str, list[float]]:
    """Milliseconds of each round, by turns."""
    found: dict[str, list[float]] = {pager.name: [] for pager, _ in systems}
    senders = {pager.name: Sender(pager.port) for pager, _ in systems}
    dice = random.Random(11)
    for number in range(rounds):
        for pager, hearer in systems:
            name = f"probe{number}"
            since = len(hearer.heard)
            alerts = [_alert("all" if same_group else name, id=name)]
            started = time.monotonic()
            assert senders[pager.name].insist(alerts)
            heard = _await(hearer, name, since, 60)
            assert heard is not None, f"{pager.name} told nobody of {name}"
            found[pager.name].append((heard - started) * 1000)
            time.sleep(dice.uniform(0.005, 0.05 if not same_group else 0.3))
    for sender in senders.values():
        sender.close()
    return found


def _shown(values: Sequence[float]) -> str:
    return f"{statistics.median(values):8.1f} {sorted(values)[int(len(values) * 0.95)]:8.1f}"


def measure_latency(sizes: Sequence[int], rounds: int) -> None:
    """Print medians and 95th percentiles of both, and the ratio."""
    print(f"{'active':>7} {'groups':>12}   Setpoint p50, p95 ms   Alertmanager p50, p95 ms   ratio p50, p95")
    for same_group in (False, True):
        for active in sizes:
            with tempfile.TemporaryDirectory() as folder, Hearer() as ours, Hearer() as theirs:
                by = {"group_by": ["alertname"], "group_interval": "200ms" if same_group else "5m"}
                systems = [(setpoint(Path(folder, "setpoint"), config(ours.url, **by)), ours)]  # type: ignore[arg-type]
                peer = alertmanager(Path(folder, "alertmanager"), config(theirs.url, **by))  # type: ignore[arg-type]
                systems += [] if peer is None else [(peer, theirs)]
                try:
                    for pager, hearer in systems:
                        pager.start()
                        pager.wait_ready()
                        _preload(pager, hearer, active, same_group=same_group)
                    found = _latencies(
                        systems, rounds if not same_group else rounds // 4, same_group=same_group
                    )
                finally:
                    for pager, _ in systems:
                        pager.kill_all()
            _print_latency(active, found, same_group=same_group)


def _print_latency(active: int, found: dict[str, list[float]], *, same_group: bool) -> None:
    ours, theirs = found["setpoint"], found.get("alertmanager")
    ratio = ""
    if theirs:
        middle = statistics.median(ours) / statistics.median(theirs)
        high = sorted(ours)[int(len(ours) * 0.95)] / sorted(theirs)[int(len(theirs) * 0.95)]
        ratio = f"{middle:6.2f} {high:6.2f}"
    kind = "one" if same_group else "one each"
    print(
        f"{active:>7} {kind:>12}   {_shown(ours)}   {_shown(theirs) if theirs else '-':>17}   {ratio}",
        flush=True,
    )


# Loss


@dataclass(frozen=True, slots=True)
class Kills:
    """How many times, and what."""

    count: int
    everything: bool = False


@dataclass(slots=True)
class Feed:
    """What is sent, and what of it was acknowledged: names of alerts that began, and of those that ended."""

    alerts: int
    per_minute: float
    began: set[str] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)

    def batches(self) -> Iterator[list[tuple[str, bool]]]:
        """Names, and whether they end; a quarter of a batch ends some batches later."""
        names = [f"a{number}" for number in range(self.alerts)]
        sent = [names[first : first + _BATCH] for first in range(0, len(names), _BATCH)]
        for place in range(len(sent) + _ENDS_AFTER):
            starts = [(name, False) for name in (sent[place] if place < len(sent) else [])]
            over = sent[place - _ENDS_AFTER][::4] if place >= _ENDS_AFTER else []
            yield starts + [(name, True) for name in over]

    def send(self, port: int, stop: threading.Event) -> None:
        """All of it, each batch until it is acknowledged, at the rate or as soon as it can be."""
        sender, started, sent = Sender(port, stop), time.monotonic(), 0
        begun_at: dict[str, str] = {}
        for batch in self.batches():
            alerts = []
            for name, is_over in batch:
                alert = _alert(name, ends_s=-0.001 if is_over else 7200)
                alert["startsAt"] = begun_at.setdefault(name, alert["startsAt"])
                alerts.append(alert)
            if not sender.insist(alerts):
                return
            for name, is_over in batch:
                (self.ended if is_over else self.began).add(name)
            sent += len(batch)
            time.sleep(max(0.0, started + sent / self.per_minute * 60 - time.monotonic()))
        sender.close()


@dataclass(frozen=True, slots=True)
class Loss:
    """What came of it. `lost` and `lost_ends` were acknowledged and never heard; `duplicates` were heard again under a
    new key, `repeats` under one that had been answered with success.
    """

    acknowledged: int
    lost: int
    lost_ends: int
    heard: int
    duplicates: int
    repeats: int
    kills: int
    seconds: float
    quiet_s: float
    cpu_s: float
    memory_mb: float
    treatments: Counter[str]

    def lines(self) -> str:
        """For people."""
        share = 100 * (self.duplicates + self.repeats) / max(1, self.heard)
        again = self.duplicates + self.repeats
        return "; ".join(
            (
                f"acknowledged {self.acknowledged:,}, killed {self.kills} times in {self.seconds:.0f} s",
                f"lost {self.lost} alerts and {self.lost_ends} ends",
                f"{self.heard:,} told, {again} of them again ({share:.2f} %), {self.repeats} under a known key",
                f"all quiet {self.quiet_s:.0f} s later",
                f"{self.cpu_s:.1f} s of processor time, {self.memory_mb:.0f} MB",
                f"requests: {', '.join(f'{count} {what}' for what, count in sorted(self.treatments.items()))}",
            )
        )


def _count(feed: Feed, heard: Sequence[Heard]) -> tuple[set[str], set[str], int, int, int]:
    """Names that were heard at all, as ended, how many were heard, and again: under a new key, under a known one."""
    told: Counter[tuple[str, str]] = Counter()
    keys: set[str] = set()
    duplicates = repeats = 0
    for one in heard:
        if not one.is_success:
            continue
        is_known = bool(one.key) and one.key in keys
        keys.add(one.key)
        for alert in one.alerts():
            pair = alert["labels"]["alertname"], alert["status"]
            if told[pair]:
                repeats += is_known
                duplicates += not is_known
            told[pair] += 1
    names = {name for name, _ in told}
    return (
        names & feed.began,
        {name for name, status in told if status == "resolved"},
        sum(told.values()),
        duplicates,
        repeats,
    )


def _kill(pager: Pager, kills: Kills, moments: Sequence[float], stop: threading.Event) -> int:
    done = 0
    for moment in moments:
        if stop.wait(max(0.0, moment - time.monotonic())):
            break
        if kills.everything:
            pager.cpu_before_s = pager.cost()[0]
            pager.kill_all()
            pager.start()
            done += 1
            continue
        patience = time.monotonic() + _PATIENCE_S
        while not (is_done := pager.kill_work()) and time.monotonic() < patience:
            time.sleep(0.05)  # it is being started again: as soon as there is something to kill
        done += is_done
    return done


def lose(pager: Pager, hearer: Hearer, feed: Feed, kills: Kills, *, seed: int, wait_s: float) -> Loss:
    """Feed a running system, kill it, let its receiver fail, wait until all is told or nothing comes for long."""
    hearer.fail(Failing(seed=seed))
    stop, started = threading.Event(), time.monotonic()
    length_s = feed.alerts / feed.per_minute * 60
    dice = random.Random(seed)
    moments = sorted(started + dice.uniform(0.05, 1) * length_s for _ in range(kills.count))
    sending = threading.Thread(target=feed.send, args=(pager.port, stop), daemon=True)
    sending.start()
    done = _kill(pager, kills, moments, stop)
    sending.join(length_s + 600)
    stop.set()
    fed_s = time.monotonic()
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < wait_s:
        time.sleep(0.5)
        if len(hearer.heard) != seen:
            seen, since = len(hearer.heard), time.monotonic()
            names, over, *_ = _count(feed, hearer.heard) if seen >= feed.alerts else (set(), set())
            if names >= feed.began and over >= feed.ended:
                break
    hearer.wait_quiet(2, 10)
    names, over, heard, duplicates, repeats = _count(feed, hearer.heard)
    cpu, memory = pager.cost()
    return Loss(
        acknowledged=len(feed.began),
        lost=len(feed.began - names),
        lost_ends=len(feed.ended - over),
        heard=heard,
        duplicates=duplicates,
        repeats=repeats,
        kills=done,
        seconds=fed_s - started,
        quiet_s=since - fed_s,
        cpu_s=cpu,
        memory_mb=memory,
        treatments=Counter({str(what): count for what, count in hearer.treatments.items()}),
    )


def measure_loss(alerts: int, kills: int, names: Sequence[str], *, wait_s: float) -> None:
    """Both systems, killed in their work and as a whole."""
    for everything in (False, True):
        for name in names:
            with tempfile.TemporaryDirectory() as folder, Hearer() as hearer:
                text = config(hearer.url, group_by=["..."], group_interval="30s")
                make = setpoint if name == "setpoint" else alertmanager
                pager = make(Path(folder, name), text)
                if pager is None or (everything and name == "alertmanager"):
                    continue  # it is one process: the two are the same
                with pager:
                    feed = Feed(alerts, 10_000)
                    found = lose(pager, hearer, feed, Kills(kills, everything), seed=7, wait_s=wait_s)
            what = "all of it" if everything else "the process that works"
            print(f"{name}, kill -9 of {what}: {found.lines()}", flush=True)


def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="?", choices=["latency", "loss"])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", choices=["setpoint", "alertmanager"])
    given = parser.parse_args()
    print(machine(), flush=True)
    if given.what != "loss":
        measure_latency((1, 1000) if given.small else (1, 1000, 10_000), 60 if given.small else 200)
    if given.what != "latency":
        names = [given.only] if given.only else ["setpoint", "alertmanager"]
        alerts, kills = (1000, 4) if given.small else (20_000, 20)
        measure_loss(alerts, kills, names, wait_s=60 if given.small else 120)


if __name__ == "__main__":
    main()
