"""Rules that run in the server, on a virtual clock: their alerts through time, restarts, faults, changes."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.alert.rules.declared import offset_ms
from setpoint.alert.rules.store import Changes
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound, Unavailable
from tests.alert.rules.office import MINUTE, Office

RULES = """
groups:
  - name: shop
    interval: 30s
    rules:
      - alert: High
        expr: input > 10
        for: 5m
        keep_firing_for: 2m
        labels: {severity: page, kind: 'of {{ $labels.x }}'}
        annotations: {summary: 'at {{ $value }}'}
"""
PLAIN = """
groups:
  - name: shop
    interval: 30s
    rules:
      - alert: High
        expr: input > 10
"""


@pytest.fixture
def office(sqlite_database: StateDatabase, tmp_path: Path) -> Office:
    return Office(sqlite_database, tmp_path, RULES)


def test_an_alert_waits_for_its_for_fires_is_kept_and_resolves(office: Office) -> None:
    office.say(20, x="1")
    office.go(1)
    assert office.states == ["pending"]
    assert office.take_told() == []
    office.go(5)
    (alert,) = office.alerts
    assert (alert.state, alert.value, alert.annotations) == ("firing", 20.0, {"summary": "at 20"})
    assert alert.labels == {"alertname": "High", "severity": "page", "kind": "of 1", "x": "1"}
    told = office.told[0]
    assert told.labels == alert.labels
    assert told.starts_ms == alert.fired_at_ms
    assert told.ends_ms is not None and told.ends_ms > office.clock.now_ms() + 2 * MINUTE
    assert told.generator_url == "http://setpoint.test/rules/shop/High"
    assert told.source == "rules"
    office.say(5, x="1")
    office.go(1)
    assert office.states == ["firing"]
    assert office.alerts[0].keeps_firing_since_ms is not None
    office.take_told()
    office.go(2)
    assert office.states == []
    assert ("High", "resolved") in office.take_told()
    office.go(2)
    assert office.take_told() == []


def test_what_fires_is_told_again_every_minute_with_an_end_four_minutes_ahead(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.take_told()
    office.go(3)
    assert len(office.told) == 3
    assert all(one.ends_ms == one.updated_ms + 4 * MINUTE for one in office.told)


def test_the_series_of_alerts_are_stored_and_end(office: Office) -> None:
    office.say(20, x="1")
    office.go(1)
    assert [one["alertstate"] for one in office.series("ALERTS")] == ["pending"]
    office.go(6)
    assert [one["alertstate"] for one in office.series("ALERTS")] == ["firing"]
    assert len(office.series("ALERTS_FOR_STATE")) == 1
    office.say(1, x="1")
    office.go(4)
    assert office.series("ALERTS") == []


def test_evaluations_stand_on_a_grid_that_a_hash_shifts(
    sqlite_database: StateDatabase, tmp_path: Path
) -> None:
    names = [f"group-{number}" for number in range(40)]
    groups = "".join(
        f"\n  - {{name: {name}, interval: 60s, rules: [{{record: r, expr: '1'}}]}}" for name in names
    )
    office = Office(sqlite_database, tmp_path, f"groups:{groups}\n")
    office.phase_ms = offset_ms
    office.start()
    office.go(3, step_s=1)
    phases = {one.name: (one.evaluated_ms or 0) % MINUTE for one in office.manager.groups()}
    assert len(set(phases.values())) > 30
    assert {one.evaluations for one in office.manager.groups()} <= {2, 3}
    office.start()
    office.go(2, step_s=1)
    assert phases == {one.name: (one.evaluated_ms or 0) % MINUTE for one in office.manager.groups()}


def test_missed_evaluations_are_counted(office: Office) -> None:
    office.go(1)
    assert office.group.missed == 0
    office.clock.advance(150)
    office.manager.advance()
    assert office.group.missed == 4
    office.go(1)
    assert office.group.missed == 4


def test_later_rules_see_what_earlier_ones_recorded(sqlite_database: StateDatabase, tmp_path: Path) -> None:
    rules = """
groups:
  - name: g
    interval: 15s
    query_offset: 15s
    rules:
      - {record: doubled, expr: input * 2, labels: {team: shop}}
      - {record: again, expr: doubled + 1}
      - {alert: Doubled, expr: again > 20}
      - {record: alerts, expr: 'count(ALERTS{alertname="Doubled"})'}
"""
    office = Office(sqlite_database, tmp_path, rules)
    office.say(10, x="1")
    office.go(1)
    assert [one.value for one in office.alerts] == [21.0]
    assert office.alerts[0].labels == {"alertname": "Doubled", "team": "shop", "x": "1"}
    assert len(office.series("alerts")) == 1
    assert [rule.samples for rule in office.group.rules] == [1, 1, 1, 1]


# ---- restarts --------------------------------------------------------------------------------------------


def test_a_pending_alert_goes_on_where_it_was(office: Office) -> None:
    office.say(20)
    office.go(4)
    began_ms = office.alerts[0].active_at_ms
    office.be_down(0)
    (alert,) = office.alerts
    assert (alert.state, alert.active_at_ms, alert.is_restored) == ("pending", began_ms, True)
    office.be_down(3)
    moved_ms = office.alerts[0].active_at_ms - began_ms
    assert 2.5 * MINUTE <= moved_ms <= 3 * MINUTE  # all but an interval, in which nothing was missed
    office.start()
    assert office.alerts[0].active_at_ms == began_ms + moved_ms  # not moved twice
    office.go(0.75)
    assert office.states == ["pending"]
    office.go(1)
    assert office.states == ["firing"]


def test_a_short_for_is_not_forgotten(sqlite_database: StateDatabase, tmp_path: Path) -> None:
    """Prometheus begins anew where `for` is shorter than ten minutes."""
    office = Office(sqlite_database, tmp_path, RULES)
    office.say(20)
    for _ in range(12):
        office.go(0.5)
        office.be_down(0)
    assert office.states == ["firing"]


def test_after_ten_minutes_a_pending_alert_waits_at_least_ten_more(
    sqlite_database: StateDatabase, tmp_path: Path
) -> None:
    office = Office(sqlite_database, tmp_path, RULES.replace("for: 5m", "for: 20m"))
    office.say(20)
    office.go(19)
    office.be_down(30)
    office.go(8)
    assert office.states == ["pending"]
    office.go(3)
    assert office.states == ["firing"]


def test_after_an_hour_a_pending_alert_begins_anew(office: Office) -> None:
    office.say(20)
    office.go(4)
    office.be_down(61)
    assert office.states == []
    office.go(4)
    assert office.states == ["pending"]


def test_what_fires_goes_on_firing_whatever_the_outage(office: Office) -> None:
    office.say(20, x="1")
    office.go(7)
    (before,) = office.alerts
    office.take_told()
    office.be_down(300)
    assert office.take_told() == [("High", "firing")]
    assert office.reconciled[-1] == ("rules", {before.fingerprint})
    (alert,) = office.alerts
    assert (alert.fired_at_ms, alert.active_at_ms) == (before.fired_at_ms, before.active_at_ms)
    assert alert.is_restored
    office.go(1)
    (alert,) = office.alerts
    assert (alert.fired_at_ms, alert.is_restored) == (before.fired_at_ms, False)
    assert ("High", "resolved") not in office.take_told()


def test_an_alert_that_is_kept_firing_is_kept_as_long_as_it_would_have_been(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.say(1)
    office.go(1)
    since_ms = office.alerts[0].keeps_firing_since_ms
    assert since_ms is not None
    office.be_down(0.25)
    assert office.alerts[0].keeps_firing_since_ms == since_ms
    office.go(0.5)
    assert office.states == ["firing"]
    office.go(1)
    assert office.states == []


def test_after_a_restart_nothing_resolves_before_the_data_are_back(office: Office) -> None:
    office.say(20, x="1")
    office.go(7)
    office.say(None, x="1")
    office.be_down(20)
    office.take_told()
    office.go(3)
    assert office.states == ["firing"]
    assert office.alerts[0].is_restored
    assert {state for _, state in office.take_told()} == {"firing"}
    office.say(5, x="1")
    office.go(1)
    office.go(3)
    assert office.states == []
    assert ("High", "resolved") in office.take_told()


def test_data_that_never_come_back_end_the_alert_after_ten_minutes(office: Office) -> None:
    office.say(20, x="1")
    office.go(7)
    office.say(None, x="1")
    office.be_down(20)
    office.go(9)
    assert office.states == ["firing"]
    office.go(4)
    assert office.states == []


def test_a_rule_with_another_expression_starts_anew_and_one_with_another_for_does_not(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.take_told()
    office.file.write_text(RULES.replace("for: 5m", "for: 6m").replace("at {{", "is {{"))
    office.go(0.5)
    assert office.states == ["firing"]
    assert ("High", "resolved") not in office.take_told()
    office.file.write_text(RULES.replace("> 10", "> 11"))
    office.go(0.5)
    assert office.take_told().count(("High", "resolved")) == 1
    office.go(0.5)
    assert office.states == ["pending"]


def test_a_rule_that_changed_while_setpoint_was_down_starts_anew(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.file.write_text(RULES.replace("> 10", "> 11"))
    office.be_down(1)
    assert office.reconciled[-1] == ("rules", set())
    assert office.alerts == []
    assert not office.store.load().alerts


def test_what_is_stored_is_only_what_changes(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        office.say(20, x=str(number))
    office.go(7)
    writes: list[Changes] = []
    monkeypatch.setattr(office.store, "write", lambda changes, evaluated: writes.append(changes))
    office.go(10)
    assert writes == []


# ---- faults ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Unavailable("away"), InvalidInput("many-to-many"), RuntimeError("ours")])
def test_an_alert_does_not_resolve_because_a_query_failed(office: Office, fault: Exception) -> None:
    office.say(20)
    office.go(7)
    office.take_told()
    office.fault = fault
    office.go(10)
    broken = office.group
    assert broken.health == "err"
    assert str(fault.args[0]) in broken.last_error
    assert office.states == ["firing"]
    told = office.take_told()
    assert set(told) == {("High", "firing")}
    assert len(told) >= 9  # so the book does not take it for ended
    office.fault = None
    office.go(1)
    healthy = office.group
    assert (healthy.health, healthy.last_error) == ("ok", "")
    assert office.states == ["firing"]


def test_a_restart_while_queries_fail_resolves_nothing(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.fault = Unavailable("away")
    office.be_down(5)
    office.go(15)
    assert office.states == ["firing"]
    assert ("High", "resolved") not in office.take_told()


def test_what_the_book_does_not_take_is_told_until_it_does(office: Office) -> None:
    office.say(20)
    office.book_fault = Unavailable("locked")
    office.go(7)
    office.book_fault = None
    office.go(0.5)
    assert office.take_told() == [("High", "firing")]
    office.book_fault = Unavailable("locked")
    office.say(1)
    office.go(5)
    office.book_fault = None
    office.go(0.5)
    assert office.take_told() == [("High", "resolved")]


def test_what_is_not_stored_yet_is_stored_later(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Unavailable("locked")

    with monkeypatch.context() as patched:
        patched.setattr(office.store, "write", fail)
        office.say(20)
        office.go(7)
    assert not office.store.load().alerts
    office.go(1)
    (alerts,) = office.store.load().alerts.values()
    assert [one.state for one in alerts] == ["firing"]


def test_a_limit_fails_the_rule_and_ends_nothing(sqlite_database: StateDatabase, tmp_path: Path) -> None:
    office = Office(sqlite_database, tmp_path, PLAIN.replace("interval: 30s", "interval: 30s\n    limit: 2"))
    office.say(20, x="1")
    office.say(20, x="2")
    office.go(2)
    assert office.states == ["firing", "firing"]
    office.say(20, x="3")
    office.take_told()
    office.go(2)
    assert office.group.health == "err"
    assert "exceeded limit of 2 with 3 alerts" in office.group.last_error
    assert office.states == ["firing", "firing"]
    assert set(office.take_told()) == {("High", "firing")}


def test_a_clock_that_jumps_stops_nothing(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.clock.advance(-86_400)
    office.take_told()
    office.go(3)
    assert office.states == ["firing"]
    assert ("High", "firing") in office.take_told()
    office.clock.advance(2 * 86_400)
    office.go(2)
    assert office.states == ["firing"]


# ---- files -----------------------------------------------------------------------------------------------


def test_a_broken_file_keeps_its_groups_and_says_where_it_is_broken(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.file.write_text(RULES.replace("input > 10", "input >"))
    office.go(1)
    assert office.states == ["firing"]
    (fault,) = office.manager.faults()
    assert fault.file == str(office.file)
    assert fault.message.startswith(f"{office.file}:7: ")
    office.be_down(1)
    assert office.states == ["firing"]  # it goes on also after a restart
    assert office.manager.faults()
    office.file.write_text(RULES)
    office.go(1)
    assert office.manager.faults() == []
    assert office.states == ["firing"]


def test_a_file_that_is_gone_takes_its_alerts_along(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.take_told()
    office.file.unlink()
    office.go(0.5)
    assert office.manager.groups() == []
    assert ("High", "resolved") in office.take_told()
    assert not office.store.load().alerts
    office.go(2)
    assert office.series("ALERTS") == []


def test_a_file_that_is_replaced_is_not_gone(office: Office) -> None:
    office.say(20)
    office.go(7)
    office.file.unlink()
    office.manager.read_files()
    office.file.write_text(RULES)
    office.go(1)
    assert office.states == ["firing"]
    assert ("High", "resolved") not in office.take_told()


def test_a_rule_that_moves_to_another_group_does_not_end_its_series(
    sqlite_database: StateDatabase, tmp_path: Path
) -> None:
    office = Office(sqlite_database, tmp_path, PLAIN)
    office.say(20)
    office.go(2)
    office.file.write_text(PLAIN.replace("name: shop", "name: moved"))
    office.go(3)
    assert [one.name for one in office.manager.groups()] == ["moved"]
    assert [one["alertstate"] for one in office.series("ALERTS")] == ["firing"]


def test_files_are_found_by_globs_and_told_when_they_are_not(
    sqlite_database: StateDatabase, tmp_path: Path
) -> None:
    office = Office(sqlite_database, tmp_path, PLAIN)
    (tmp_path / "more.yml").write_text(PLAIN.replace("shop", "more"))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe")
    office.go(1)
    assert [one.name for one in office.manager.groups()] == ["more", "shop"]
    assert "not UTF-8" in office.manager.faults()[0].message


def test_who_asks_for_a_rule_that_is_not_there_is_told(office: Office) -> None:
    with pytest.raises(NotFound, match="no rule 'Low' in a group 'shop'"):
        office.manager.why("shop", "Low")


class Killed(BaseException):
    """The process ends here, as by kill -9."""


@pytest.mark.parametrize("told", [False, True])
def test_a_kill_between_the_rows_and_the_book_loses_nothing(office: Office, told: bool) -> None:
    office.say(20)
    office.go(5)
    office.book_fault = Killed()
    with pytest.raises(Killed):
        office.go(2)
    office.book_fault = None
    if told:
        office.be_down(0)
        office.take_told()
    office.be_down(0)
    assert office.states == ["firing"]
    assert office.take_told() == [("High", "firing")]
    assert len(office.reconciled[-1][1]) == 1


def test_a_kill_before_the_rows_are_written_begins_where_it_was(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise Killed

    office.say(20)
    office.go(4.75)
    with monkeypatch.context() as patched:
        patched.setattr(office.store, "write", kill)
        with pytest.raises(Killed):
            office.go(2)
    office.be_down(0)
    assert office.states == ["pending"]
    office.go(1)
    assert office.states == ["firing"]
