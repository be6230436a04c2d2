"""Adjusted budgets against a naive walk over raw minutes: all methods, applied before, amid and after the fact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.database import TelemetryDatabase
from setpoint.objective import LedgerStore
from setpoint.objective.adjustment.store import MemoryLedgers
from tests.objective.adjustment.documents import adjustment, iso
from tests.objective.memory import MemoryLedger
from tests.objective.test_fleet import FIRST, Minute, Shop, all_kinds, settle, traffic

MINUTES = 40
Counted = tuple[float, float] | None


def adjusted(
    minutes: Sequence[Minute], documents: Sequence[SimpleNamespace], name: str
) -> tuple[list[Counted], list[int]]:
    """The minutes as an objective's adjustments leave them, and what was done with each: 2 left out, 1 good."""
    more = [0.0] * len(minutes)
    codes = [0] * len(minutes)
    for document in documents:
        one = document.spec.adjustment()
        if one.choice.objectives and name not in one.choice.objectives:
            continue
        if one.correction is not None:
            correct(more, minutes, one.correction)
        else:
            first, end = span_of(one)
            for at in range(max(0, first - FIRST), min(len(minutes), end - FIRST)):
                codes[at] = max(codes[at], 2 if one.action_for(name) == "exclude" else 1)
    found: list[Counted] = [
        None if one is None else (float(one[0]), one[0] + max(0.0, one[1] - one[0] + change))
        for one, change in zip(
            [one or ((0, 0) if change > 0 else None) for one, change in zip(minutes, more, strict=True)],
            more,
            strict=True,
        )
    ]
    return [apply(one, code) for one, code in zip(found, codes, strict=True)], codes


def span_of(one: Any) -> tuple[int, int]:
    """The one time that it takes place in these minutes; a night in Berlin begins at the hour of its clock."""
    if one.once is not None:
        return cast("tuple[int, int]", one.once)
    begin = datetime.fromisoformat(one.recurrence.start).replace(tzinfo=ZoneInfo(one.recurrence.time_zone))
    days = (datetime.fromtimestamp(FIRST * 60, UTC).date() - begin.astimezone(UTC).date()).days
    first = int((begin + timedelta(days=days)).timestamp()) // 60
    return first, first + one.recurrence.duration_minutes


def apply(one: Counted, code: int) -> Counted:
    if one is None or code == 0:
        return one
    return None if code == 2 else (one[1], one[1])


def correct(more: list[float], counted: Sequence[Minute], change: Any) -> None:
    """Bad events are taken away by how many there are, and added by how many events came."""
    low, high = max(0, change.first - FIRST), min(len(more), change.end - FIRST)
    inside = [counted[at] or (0, 0) for at in range(low, high)]
    # What is to come after these minutes has its share, too: the correction is not about the past only.
    length = change.end - change.first
    bad, total = sum(t - g for g, t in inside), sum(t for _, t in inside)
    for at, (was_good, was_total) in zip(range(low, high), inside, strict=True):
        if change.bad < 0:
            more[at] -= min(-change.bad, bad) * (was_total - was_good) / bad if bad else 0.0
        else:
            more[at] += change.bad * (was_total / total if total else 1 / length)


def slices(minutes: Sequence[Counted]) -> dict[int, float]:
    sums: dict[int, tuple[float, float]] = {}
    for number, counted in enumerate(minutes):
        if counted:
            good, total = sums.get((FIRST + number) // 5, (0.0, 0.0))
            sums[(FIRST + number) // 5] = good + counted[0], total + counted[1]
    ended = {key: one for key, one in sums.items() if (key + 1) * 5 <= FIRST + len(minutes)}
    return {key: good / total for key, (good, total) in ended.items() if total}


def naive(
    minutes: Mapping[str, Sequence[Minute]], documents: Sequence[SimpleNamespace]
) -> dict[str, tuple[float, float]]:
    """Good and total of each objective at the end of these minutes, by the definitions."""
    a = minutes["a"]
    found: dict[str, tuple[float, float]] = {}
    events, _ = adjusted(a, documents, "events")
    found["events"] = sum(m[0] for m in events if m), sum(m[1] for m in events if m)
    judged = slices(adjusted(a, documents, "slices")[0])
    found["slices"] = sum(ratio >= 0.8 - 1e-12 for ratio in judged.values()), len(judged)
    judged = slices(adjusted(a, documents, "ratios")[0])
    found["ratios"] = sum(judged.values()), len(judged)
    found["strict"] = with_silence(a, documents)
    for name, weights, is_all in (("weighted", (3, 1), False), ("all", (1, 1), True)):
        parts = [follows(minutes[key], documents, f"{name}.{key}", name) for key in "ab"]
        pairs = [(x[0] / x[1], y[0] / y[1]) for x, y in zip(*parts, strict=True) if x and y and x[1] and y[1]]
        found[name] = composed(pairs, weights, (0.9, 0.5) if is_all else None), len(pairs)
    for name, weights, is_all in (("slices-weighted", (3, 1), False), ("slices-of-all", (1, 1), True)):
        one, other = (slices(follows(minutes[key], documents, f"{name}.{key}", name)) for key in "ab")
        pairs = [(one[key], other[key]) for key in one if key in other]
        found[name] = composed(pairs, weights, (0.8, 0.8) if is_all else None), len(pairs)
    return found


def follows(
    minutes: Sequence[Minute], documents: Sequence[SimpleNamespace], part: str, whole: str
) -> list[Counted]:
    """The minutes of a part as its composite sees them."""
    _, codes = adjusted(minutes, documents, part)
    _, also = adjusted(minutes, documents, whole)
    counted, _ = adjusted(minutes, [one for one in documents if one.spec.spec.correction], part)
    return [apply(one, max(pair)) for one, pair in zip(counted, zip(codes, also, strict=True), strict=True)]


def composed(
    pairs: Sequence[tuple[float, float]], weights: tuple[int, int], targets: tuple[float, float] | None
) -> float:
    if targets is not None:
        return float(sum(x >= targets[0] - 1e-12 and y >= targets[1] - 1e-12 for x, y in pairs))
    return sum((weights[0] * x + weights[1] * y) / sum(weights) for x, y in pairs)


def with_silence(raw: Sequence[Minute], documents: Sequence[SimpleNamespace]) -> tuple[float, float]:
    minutes, codes = adjusted(raw, documents, "strict")
    good, total = sum(m[0] for m in minutes if m), float(sum(m[1] for m in minutes if m))
    for number, counted in enumerate(raw):
        if counted is None and minutes[number] is None and not codes[number] and number + 1 <= len(raw) - 5:
            last = max(i for i in range(number) if raw[i] is not None)
            before = [m[1] for m in raw[max(0, last - 1439) : last + 1] if m is not None]
            total += sum(before) / len(before)
    return good, total


NAMES = ["events", "slices", "ratios", "strict", "weighted", "all", "slices-of-all", "slices-weighted"]
PARTS = [f"{name}.{part}" for name in NAMES[4:] for part in "ab"]


@st.composite
def adjustments(draw: st.DrawFn) -> list[SimpleNamespace]:
    """Up to four adjustments of some of the objectives and parts."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        first = FIRST + draw(st.integers(0, MINUTES - 1))
        end = first + draw(st.integers(1, 12))
        some = draw(st.sets(st.sampled_from([*NAMES, *PARTS]), max_size=6))
        if draw(st.integers(0, 3)) == 0:
            whole = {name for name in some if name not in NAMES[4:]} or {"events"}
            fix = {"start": iso(first), "end": iso(end), "badEvents": draw(st.sampled_from([-7, -100, 5]))}
            found.append(adjustment(f"n{number}", select={"objectives": sorted(whole)}, correction=fix))
            continue
        when: dict[str, Any] = {"once": {"start": iso(first), "end": iso(end)}}
        if draw(st.booleans()):
            # In winter, half a year before: the same time of day, an hour of the world's clock later.
            local = datetime.fromtimestamp(first * 60, ZoneInfo("Europe/Berlin"))
            begin = (local - timedelta(days=200)).replace(tzinfo=None).isoformat()
            rule = {"start": begin, "timeZone": "Europe/Berlin", "rrule": "FREQ=DAILY"}
            when = {"recurring": rule | {"duration": f"{end - first}m"}}
        found.append(
            adjustment(
                f"n{number}",
                select={"objectives": sorted(some)} if some else None,
                **when,
                action=draw(st.sampled_from(["exclude", "good"])),
            )
        )
    return found


def check(book: Any, shop: Shop, documents: Sequence[SimpleNamespace]) -> None:
    for name, (good, total) in naive(shop.minutes, documents).items():
        status = book.status(name)
        assert (status.good, status.total) == pytest.approx((good, total), abs=1e-6), name


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    a=traffic(),
    b=traffic(),
    before=adjustments(),
    after=adjustments(),
    counted=st.integers(0, MINUTES),
    changed=st.integers(0, MINUTES),
)
def test_adjusted_budgets_are_as_if_it_had_always_been_so(  # noqa: PLR0917 — what is drawn
    a: list[Minute],
    b: list[Minute],
    before: list[SimpleNamespace],
    after: list[SimpleNamespace],
    counted: int,
    changed: int,
) -> None:
    """Some of it is history, then live; the adjustments change midway, and go in the end."""
    shop = Shop({"a": a, "b": b})
    for number in range(counted):
        shop.report(number)
    shop.go_to(counted)
    store, kept = MemoryLedger(), MemoryLedgers()
    book = shop.book(store, adjusted=kept)
    book.apply([*all_kinds(), *before])
    documents = before
    for number in range(counted, MINUTES):
        if number == changed:
            documents = after
            book.apply([*all_kinds(), *after])
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
    shop.go_to(MINUTES)
    settle(book)
    check(book, shop, documents)
    book.apply([*all_kinds(), *before])
    settle(book)
    check(book, shop, before)
    book.apply(all_kinds())
    settle(book)
    check(book, shop, [])
    assert not kept.entries


A_DAY: list[Minute] = [None if 20 <= i < 28 else (9 - i % 3, 10) for i in range(MINUTES)]
B_DAY: list[Minute] = [(5, 5 + i % 4) for i in range(MINUTES)]


def test_a_restart_knows_what_is_adjusted(telemetry_database: TelemetryDatabase) -> None:
    """Also one right after the change, before anything was derived again."""
    shop = Shop({"a": A_DAY, "b": B_DAY})
    store, kept = LedgerStore(telemetry_database), MemoryLedgers()
    book = shop.book(store, adjusted=kept)
    book.apply(all_kinds())
    for number in range(MINUTES):
        shop.go_to(number, 31)
        shop.report(number)
        book.tick()
    shop.go_to(MINUTES)
    settle(book)
    first = [adjustment("one", once={"start": iso(FIRST + 3), "end": iso(FIRST + 13)})]
    book.apply([*all_kinds(), *first])
    check(book, shop, first)
    settle(book)
    book.close()
    assert {one.state for one in kept.entries.values()} == {"kept"}
    again = shop.book(LedgerStore(telemetry_database), adjusted=kept)
    again.apply([*all_kinds(), *first])
    check(again, shop, first)
    other = [adjustment("one", action="good", once={"start": iso(FIRST + 8), "end": iso(FIRST + 33)})]
    crashed = shop.book(LedgerStore(telemetry_database), adjusted=kept)
    crashed.apply([*all_kinds(), *other])
    settle(crashed)
    check(crashed, shop, other)


@pytest.mark.parametrize("is_stored", [False, True])
def test_days_ago_in_hours_that_are_only_on_disk(
    telemetry_database: TelemetryDatabase, is_stored: bool
) -> None:
    """Applied, restarted, changed and taken back: what is derived is read from the store, and put back there."""
    days = 3 * 1440
    a: list[Minute] = [None if i % 1000 in range(300, 320) else (9 - i % 3, 10) for i in range(days)]
    b: list[Minute] = [(5, 5 + i % 4) for i in range(days)]
    shop = Shop({"a": a, "b": b})
    for number in range(days):
        shop.report(number)
    shop.go_to(days)
    store = LedgerStore(telemetry_database) if is_stored else MemoryLedger()
    kept = MemoryLedgers()
    long = {"timeWindow": [{"duration": "4d", "isRolling": True}]}
    documents = all_kinds()
    for one in documents:
        body = one.spec.model_dump(by_alias=True, exclude_none=True)
        body["spec"] |= long
        one.spec = type(one.spec).model_validate(body)
    book = shop.book(store, adjusted=kept)
    book.apply(documents)
    settle(book)
    check(book, shop, [])
    night = adjustment(
        "night",
        recurring={"start": iso(FIRST + 290)[:19], "rrule": "FREQ=DAILY", "duration": "95m"},
        select={"objectives": [*NAMES, *PARTS]},
    )
    rule = night.spec.adjustment()
    spans = [
        adjustment(
            f"n{day}", once={"start": iso(FIRST + 290 + 1440 * day), "end": iso(FIRST + 385 + 1440 * day)}
        )
        for day in range(3)
    ]
    assert rule.recurrence is not None
    fix = adjustment(
        "fix",
        select={"objectives": ["events", "slices"]},
        correction={"start": iso(FIRST + 700), "end": iso(FIRST + 790), "badEvents": -50},
    )
    book.apply([*documents, night, fix])
    check(book, shop, [*spans, fix])
    book.close()
    again = shop.book(LedgerStore(telemetry_database) if is_stored else store, adjusted=kept)
    again.apply([*documents, night, fix])
    check(again, shop, [*spans, fix])
    settle(again)
    check(again, shop, [*spans, fix])
    again.apply([*documents, fix])
    check(again, shop, [fix])
    again.apply(documents)
    settle(again)
    check(again, shop, [])
    assert not kept.entries
