"""What supersedes and what is bundled, by hypothesis: every alert that was put as firing is told of at least once."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from setpoint.alert.notify.model import Notification, bundled, merged
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from tests.alert.notify.office import NOW_MS, Office, Sink, alert, notification

_NAMES = ("A", "B", "C", "D")
_Group = st.lists(
    st.tuples(st.sampled_from(_NAMES), st.booleans()), min_size=1, max_size=4, unique_by=lambda one: one[0]
)


def _made(group: list[tuple[str, bool]], number: int, key: str = "{}") -> Notification:
    at_ms = NOW_MS + number
    told = [alert(name, ends_ms=at_ms if is_over else None) for name, is_over in group]
    return notification(*told, at_ms=at_ms, group=key)


@given(st.lists(_Group, min_size=1, max_size=6))
def test_what_is_merged_tells_of_all_and_the_newest_of_each(groups: list[list[tuple[str, bool]]]) -> None:
    whole = _made(groups[0], 0)
    for number, group in enumerate(groups[1:], 1):
        whole = merged(whole, _made(group, number))
    newest = {name: is_over for group in groups for name, is_over in group}
    ended = set(whole.resolved)
    assert {one.name: one.fingerprint in ended for one in whole.alerts} == newest
    assert not set(whole.firing) & ended
    assert len(whole.alerts) == len({one.fingerprint for one in whole.alerts})
    assert Notification.decoded(whole.encoded()) == whole


@given(st.lists(_Group, min_size=1, max_size=6))
def test_a_bundle_tells_of_all_and_the_newest_of_each(groups: list[list[tuple[str, bool]]]) -> None:
    several = [_made(group, number, f"g{number}") for number, group in enumerate(groups)]
    whole = bundled(several)
    newest = {name: is_over for group in groups for name, is_over in group}
    ended = set(whole.resolved)
    assert {one.name: one.fingerprint in ended for one in whole.alerts} == newest
    assert whole.bundled == len(groups)


def test_a_bundle_of_very_many_says_how_many_it_leaves_out() -> None:
    several = [
        notification(*(f"A{number}-{one}" for one in range(30)), group=str(number)) for number in range(50)
    ]
    whole = bundled(several)
    assert (len(whole.alerts), whole.truncated, len(whole.firing)) == (1000, 500, 1500)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(_Group, st.sampled_from([200, 500, 503, 429, 400, b""]), st.integers(0, 90)), max_size=8
    )
)
def test_every_alert_that_was_put_is_told(
    sqlite_database: StateDatabase, steps: list[tuple[list[tuple[str, bool]], int | bytes, int]]
) -> None:
    """Whatever the receiver answers and however the notifications follow each other."""
    sink = Sink()
    office = Office(sqlite_database, VirtualClock(NOW_MS))
    try:
        office.follow(ops=sink.url)
        put: dict[str, bool] = {}
        for number, (group, answer, wait_s) in enumerate(steps):
            sink.decide = lambda _, answer=answer: answer  # type: ignore[misc]
            put |= dict(group)
            office.outbox.put([_made(group, number)])
            office.step(wait_s)
        sink.decide = lambda _: 200
        for row in office.outbox.dead():
            office.outbox.resend(row.id)
        for _ in range(4):
            office.step(660)
        assert office.outbox.pending() == []
        told: dict[str, bool] = {}
        for one in office.told:
            told |= {each.name: each.fingerprint in one.resolved for each in one.alerts}
        assert told == put
    finally:
        office.outbox.close()
        sink.close()
