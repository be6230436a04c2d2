"""How alerts move: pending, firing, resolved; not on one failure, not on silence, not because a clock jumped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.objective.alerting.policy import NO_DATA
from setpoint.objective.alerting.table import AlertChange, Measured, OpenAlert, PolicyTable
from setpoint.objective.model import AlertPolicy, Condition, LowTraffic, NoData, Objective, Target
from tests.objective.alert_desk import DAY, QUIET, SLO, START_MS, Desk, burning, policy_of, with_policy

HOUR = 3600
HOT = {HOUR: (200.0, 10_000.0), 300: (20.0, 1000.0)}
NOTHING = {HOUR: (0.0, 0.0), 300: (0.0, 0.0)}
COOL: dict[int, tuple[float, float]] = {}


def test_both_windows_must_burn() -> None:
    desk = Desk(burning(HOUR, 300))
    assert desk.after(1, {HOUR: (200, 10_000)}) == []
    assert desk.after(1, {300: (20, 1000)}) == []
    assert desk.after(1, HOT) == ["hot firing"]
    assert desk.after(1, HOT) == []
    assert desk.status.state == "firing"
    assert desk.status.since_ms == START_MS + 3000


@pytest.mark.parametrize(("op", "fires"), [("gt", False), ("gte", True), ("lt", False), ("lte", True)])
def test_exactly_the_threshold(op: str, fires: bool) -> None:
    """144 of 10,000 at 99.9 % is 14.4, whatever the last bits of the division are."""
    condition = Condition("burnrate", op, 14.4, lookback_s=HOUR)  # type: ignore[arg-type]
    desk = Desk(with_policy(AlertPolicy("hot", "page", (condition,))))
    assert (desk.after(1, {HOUR: (144, 10_000)}) == ["hot firing"]) is fires


def test_a_condition_holds_after_its_time() -> None:
    condition = Condition("burnrate", "gt", 14.4, lookback_s=HOUR, after_s=60)
    desk = Desk(with_policy(AlertPolicy("hot", "page", (condition,))))
    assert desk.after(1, HOT) == []
    assert desk.state == "pending"
    assert desk.through(50, HOT) == []
    assert desk.after(5, COOL) == []
    assert desk.state == "inactive"
    assert desk.through(60, HOT) == []
    assert desk.after(10, HOT) == ["hot firing"]


def test_time_that_is_unknown_does_not_count() -> None:
    condition = Condition("burnrate", "gt", 14.4, lookback_s=HOUR, after_s=60)
    desk = Desk(with_policy(AlertPolicy("hot", "page", (condition,))))
    desk.through(40, HOT)
    assert desk.through(40, NOTHING) == []
    assert desk.status.state == "pending"
    assert desk.through(20, HOT) == []
    assert desk.through(20, HOT) == ["hot firing"]


def test_it_resolves_when_it_was_false_for_half_its_short_window() -> None:
    desk = Desk(burning(HOUR, 300))
    desk.after(1, HOT)
    assert desk.through(140, COOL) == []
    assert desk.after(10, HOT) == []
    assert desk.through(150, COOL) == []
    assert desk.after(10, COOL) == ["hot resolved"]
    assert desk.changes[0].since_ms == START_MS + 1000


def test_it_does_not_flap() -> None:
    """Around the threshold every few seconds for an hour: one alert."""
    desk, found = Desk(burning(HOUR, 300)), []
    for second in range(360):
        found += desk.after(10, HOT if second % 7 < 3 else COOL)
    assert found == ["hot firing"]


def test_no_data_never_resolves() -> None:
    desk = Desk(burning(HOUR, 300))
    desk.after(1, HOT)
    assert desk.through(2 * HOUR, NOTHING, silent_s=None) == []
    assert desk.status.state == "firing"
    assert "no data for 2 h" in desk.status.summary
    assert desk.through(140, COOL) == []
    assert desk.through(20, COOL) == ["hot resolved"]


def test_what_is_left_in_the_windows_of_a_silent_service_resolves_nothing() -> None:
    """The last minutes before the silence were good: that does not show that it works now."""
    desk = Desk(burning(HOUR, 300))
    desk.after(1, HOT)
    assert desk.through(100, COOL, silent_s=None) == []
    assert desk.through(HOUR, COOL, silent_s=100) == []
    assert desk.status.state == "firing"


def test_samples_without_events_resolve_nothing() -> None:
    desk = Desk(burning(HOUR, 300))
    desk.after(1, HOT)
    assert desk.through(HOUR, NOTHING) == []
    assert "no events in 1h" in desk.status.summary


def test_low_traffic_holds_it_back() -> None:
    guarded = AlertPolicy("hot", "page", policy_of(HOUR, 300).conditions, low_traffic=LowTraffic(min_bad=3))
    desk = Desk(with_policy(guarded))
    one_of_ten = {HOUR: (1.0, 10.0), 300: (1.0, 1.0)}
    assert desk.through(300, one_of_ten) == []
    assert "held back by low traffic: it needs 3 bad in 1h" in desk.status.summary
    assert desk.status.state == "inactive"
    assert desk.after(1, {HOUR: (3.0, 12.0), 300: (1.0, 1.0)}) == ["hot firing"]
    assert desk.through(600, {HOUR: (2.0, 12.0), 300: (1.0, 1.0)}) == []  # it only keeps it from starting


def test_the_objectives_guard_counts_too() -> None:
    desk = Desk(burning(HOUR, low_traffic=LowTraffic(min_events=500)))
    assert desk.after(1, {HOUR: (50, 499)}) == []
    assert desk.after(1, {HOUR: (50, 500)}) == ["hot firing"]


def test_a_guard_without_a_window_looks_at_the_objectives() -> None:
    condition = Condition("remainingBudget", "lte", 0.2)
    desk = Desk(with_policy(AlertPolicy("low", "ticket", (condition,), LowTraffic(min_bad=5))))
    assert desk.after(1, {0: (4, 4500)}) == []
    assert desk.after(1, {0: (5, 5500)}) == ["low firing"]
    assert "9.091 % of the budget is left (fires at most 20 %)" in desk.changes[0].summary


def test_all_budget_gone_is_a_condition() -> None:
    desk = Desk(with_policy(AlertPolicy("gone", "page", (Condition("remainingBudget", "lte", 0.0),))))
    assert desk.after(1, {0: (999, 1e6)}) == []
    assert desk.after(1, {0: (1000, 1e6)}) == ["gone firing"]


def test_budget_drop() -> None:
    """Of 1,000 bad events that 30 days allow, 100 within an hour are 10 %."""
    condition = Condition("budgetDrop", "gte", 0.1, lookback_s=HOUR)
    desk = Desk(with_policy(AlertPolicy("drop", "page", (condition,))))
    assert desk.after(1, {HOUR: (99, 10_000), 0: (99, 1e6)}) == []
    assert desk.after(1, {HOUR: (100, 10_000), 0: (100, 1e6)}) == ["drop firing"]
    assert desk.changes[0].values["drop_1h"] == pytest.approx(0.1)
    assert desk.table.windows.inside.all()


def test_time_to_exhaustion() -> None:
    """Half the budget of 30 days at a burn of 15 is gone in a day."""
    condition = Condition("timeToExhaustion", "lte", DAY, lookback_s=HOUR)
    desk = Desk(with_policy(AlertPolicy("soon", "page", (condition,))))
    half = (500.0, 1e6)
    assert desk.after(1, {HOUR: (149, 10_000), 0: half}) == []
    assert desk.after(1, {HOUR: (150, 10_000), 0: half}) == ["soon firing"]
    assert desk.changes[0].values["exhaustion_s_1h"] == pytest.approx(DAY)
    assert "the budget is gone in 1 d" in desk.changes[0].summary


def test_a_budget_that_lasts_beyond_its_calendar_window_is_not_exhausted() -> None:
    """The budget of a calendar window grows with its events: at a burn of 16 half of it is gone in 30 days / 2 / 15."""
    condition = Condition("timeToExhaustion", "lte", DAY, lookback_s=HOUR)
    desk = Desk(with_policy(AlertPolicy("soon", "page", (condition,))))
    measured = desk.measured({HOUR: (160, 10_000), 0: (500, 1e6)})
    ends = replace(measured, ends_s=np.array([DAY / 2.0]))
    assert desk.table.judge(START_MS, ends) == []
    assert "the budget lasts" in desk.status.summary
    assert len(desk.table.judge(START_MS + 1, replace(measured, ends_s=np.array([2.0 * DAY])))) == 1
    slower = desk.measured({HOUR: (159, 10_000), 0: (500, 1e6)})
    calm = Desk(with_policy(AlertPolicy("soon", "page", (condition,))))
    assert calm.table.judge(START_MS, replace(slower, ends_s=np.array([2.0 * DAY]))) == []


def test_silence_fires_where_it_is_wanted() -> None:
    policy = replace(policy_of(HOUR, 300), when_no_data=True)
    desk = Desk(with_policy(policy, no_data=NoData(after_s=120)))
    desk.after(1, COOL)
    assert desk.through(110, COOL, silent_s=None) == []
    assert desk.after(10, COOL, silent_s=120) == ["hot no data"]
    assert "no data for 2 min" in desk.changes[0].summary
    assert desk.through(600, NOTHING, silent_s=500) == []
    assert desk.through(150, COOL) == []
    assert desk.after(10, COOL) == ["hot resolved"]


def test_an_objective_whose_silence_is_to_be_told() -> None:
    desk = Desk(replace(QUIET, policies=(), no_data=NoData("alert", 120)))
    assert desk.through(110, COOL, silent_s=None) == []
    assert desk.after(20, COOL, silent_s=130) == [f"{NO_DATA} no data"]
    assert desk.changes[0].severity == "page"
    assert desk.through(60, COOL) == [f"{NO_DATA} resolved"]


def test_setpoints_own_downtime_is_no_silence() -> None:
    """After a restart the newest sample is old; senders need a moment. Where none came, it counts from the start."""
    desk = Desk(replace(QUIET, policies=(), no_data=NoData("alert", 120)))
    assert desk.after(1, COOL, silent_s=5000) == []
    assert desk.through(110, COOL, silent_s=5000) == []
    assert desk.after(10, COOL, silent_s=float("nan")) == [f"{NO_DATA} no data"]


def test_a_machine_that_slept_proves_nothing() -> None:
    condition = Condition("burnrate", "gt", 14.4, lookback_s=HOUR, after_s=600)
    policy = AlertPolicy("hot", "page", (condition,))
    desk = Desk(replace(QUIET, policies=(policy,), no_data=NoData("alert", 120)))
    desk.through(60, HOT)
    assert desk.after(8 * HOUR, HOT, silent_s=8 * HOUR) == []
    assert desk.status.state == "pending"


def test_a_clock_set_back_freezes_nothing() -> None:
    condition = Condition("burnrate", "gt", 14.4, lookback_s=HOUR, after_s=600)
    desk = Desk(with_policy(AlertPolicy("hot", "page", (condition,))))
    desk.through(300, HOT)
    desk.after(-2 * DAY, HOT)
    assert desk.through(290, HOT) == []
    assert desk.through(20, HOT) == ["hot firing"]
    desk.after(-2 * DAY, HOT)
    assert desk.status.since_ms == desk.now_ms
    assert desk.through(30 * 60, COOL) == ["hot resolved"]


def test_it_goes_on_when_objectives_are_applied() -> None:
    desk = Desk(burning(HOUR, 300))
    desk.after(1, HOT)
    changed = PolicyTable([QUIET, replace(burning(HOUR, 300, over=10), name="checkout")][1:])
    assert changed.adopt(desk.table) == []
    other = Desk(SLO, changed)
    other.now_ms = desk.now_ms
    assert other.after(1, HOT) == []
    assert other.status.state == "firing"
    assert other.status.since_ms == START_MS + 1000


def test_an_alert_whose_policy_is_removed_ends() -> None:
    desk = Desk(burning(HOUR, 300))
    desk.after(1, HOT)
    for objectives in ([], [QUIET], [replace(burning(HOUR, 300), name="other")]):
        changes = PolicyTable(objectives).adopt(desk.table)
        assert [(one.objective, one.policy, one.state) for one in changes] == [
            ("checkout", "hot", "resolved")
        ]
        assert "removed" in changes[0].summary


def test_it_goes_on_after_a_restart() -> None:
    desk = Desk(burning(HOUR, 300))
    alert = OpenAlert("checkout", "shop", "hot", "page", START_MS - 60_000)
    gone = OpenAlert("other", "shop", "hot", "page", START_MS - 90_000)
    assert [one.objective for one in desk.table.restore([alert, gone], START_MS)] == ["other"]
    assert desk.after(1, HOT) == []
    assert desk.status.since_ms == START_MS - 60_000
    assert desk.through(160, COOL) == ["hot resolved"]


def test_what_is_told() -> None:
    target = Target("ops", "webhook", "http://127.0.0.1:1/")
    policy = AlertPolicy(
        "hot",
        "page",
        policy_of(HOUR, 300).conditions,
        when_breaching=False,
        when_no_data=True,
        when_resolved=False,
        targets=(target,),
    )
    desk = Desk(with_policy(policy))
    desk.after(1, HOT)
    assert [(one.is_told, one.targets) for one in desk.changes] == [(False, (target,))]
    desk.through(150, COOL)
    assert desk.after(10, COOL) == ["hot resolved"]
    assert not desk.changes[0].is_told
    desk.through(100, COOL, silent_s=None)
    assert desk.status.state == "firing"


def test_the_watch_row_moves_the_state_and_tells_nobody() -> None:
    desk = Desk(SLO)
    fast = {15: (5.0, 100.0), 5: (2.0, 30.0)}
    assert desk.after(1, fast) == []
    assert desk.table.burning[0]
    assert (desk.table.told_burn[0], desk.table.told_s[0]) == (pytest.approx(50), 15)
    assert [one.severity for one in desk.table.burn(0) if one.firing] == ["watch"]
    assert not desk.table.firing(0)
    assert desk.table.firing_count[0] == 0
    assert "watch" not in [one.policy for one in desk.table.alerts(0)]
    desk.through(20, {})
    assert desk.table.burning[0]
    desk.through(20, {})
    assert not desk.table.burning[0]


def test_the_watch_row_waits_for_four_failures() -> None:
    desk = Desk(SLO)
    desk.after(1, {15: (3.0, 3.0), 5: (3.0, 3.0)})
    assert not desk.table.burning[0]
    desk.after(1, {15: (4.0, 4.0), 5: (4.0, 4.0)})
    assert desk.table.burning[0]


def test_the_burn_that_lists_show() -> None:
    desk = Desk(SLO)
    desk.after(1, {**HOT, 6 * HOUR: (100, 10_000), 1800: (90, 10_000)})
    assert (desk.table.told_burn[0], desk.table.told_s[0]) == (pytest.approx(20), 300)
    desk.after(1, {15: (0, 0), 5: (0, 0), 300: (3, 1000)})
    assert (desk.table.told_burn[0], desk.table.told_s[0]) == (pytest.approx(3), 300)
    assert desk.table.page_threshold[0] == pytest.approx(6)


def test_an_alert_carries_its_numbers() -> None:
    desk = Desk(SLO)
    assert desk.after(1, {**HOT, 0: (400.0, 1e6)}) == ["page-1h firing"]
    values = desk.changes[0].values
    assert values == {
        "target": 0.999,
        "burn_1h": pytest.approx(20),
        "threshold_burn_1h": pytest.approx(14.4),
        "bad_1h": 200,
        "total_1h": 10_000,
        "burn_5m": pytest.approx(20),
        "threshold_burn_5m": pytest.approx(14.4),
        "bad_5m": 20,
        "total_5m": 1000,
        "budget_left": pytest.approx(0.6),
        "bad": 400,
        "total": 1e6,
    }
    assert desk.changes[0].summary == (
        "burning 20× in 1h (200 bad of 10,000; fires over 14.4×) and burning 20× in 5m (20 bad of 1,000; fires over "
        "14.4×); at this rate the rest of the budget (60.0 %) is gone in 21 h 36 m"
    )


def test_no_objective_and_no_policy() -> None:
    empty = PolicyTable([])
    nothing = np.zeros(0)
    assert empty.judge(START_MS, Measured(nothing, nothing, nothing, nothing, nothing)) == []
    desk = Desk(replace(QUIET, policies=()))
    assert desk.after(1, COOL) == []
    assert desk.table.alerts(0) == ()
    assert not desk.table.burning.any()


_COUNTS = st.tuples(st.integers(0, 40), st.integers(0, 40)).map(
    lambda pair: (float(min(pair)), float(max(pair)))
)
_OPERATORS = st.sampled_from(["gt", "gte", "lt", "lte"])
_CONDITIONS = st.one_of(
    st.builds(
        Condition,
        st.sampled_from(["burnrate", "timeToExhaustion", "budgetDrop"]),
        _OPERATORS,
        st.sampled_from([0.5, 5.0, 400.0, 90_000.0]),
        st.sampled_from([300, HOUR, DAY]),
        st.sampled_from([0, 20]),
    ),
    st.builds(Condition, st.just("remainingBudget"), _OPERATORS, st.sampled_from([0.0, 0.5])),
)
_POLICIES = st.lists(
    st.builds(
        AlertPolicy,
        st.uuids().map(str),
        st.just("page"),
        st.lists(_CONDITIONS, min_size=1, max_size=3).map(tuple),
        st.builds(LowTraffic, st.sampled_from([0.0, 10.0]), st.sampled_from([0.0, 3.0])),
    ),
    max_size=3,
)


def _is_true(condition: Condition, held: dict[int, tuple[float, float]]) -> bool | None:
    bad, total = held[condition.lookback_s]
    whole_bad, whole = held[0]
    allowed = SLO.allowed_ratio
    if condition.kind == "remainingBudget":
        value = 1 - whole_bad / (whole * allowed) if whole else None
    elif not total or (condition.kind != "burnrate" and not whole):
        value = None
    elif condition.kind == "burnrate":
        value = bad / total / allowed
    elif condition.kind == "budgetDrop":
        value = bad / (whole * allowed)
    else:
        left = max(0.0, 1 - whole_bad / (whole * allowed))
        burn = bad / total / allowed
        value = 0.0 if left == 0 else left * SLO.window_s / burn if burn else float("inf")
    if value is None:
        return None
    near = 1e-9 * max(1.0, condition.threshold)
    over, under = value - condition.threshold > near, condition.threshold - value > near
    return {"gt": over, "gte": not under, "lt": under, "lte": not over}[condition.op]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(_POLICIES, min_size=1, max_size=4),
    st.lists(st.fixed_dictionaries(dict.fromkeys((0, 300, HOUR, DAY), _COUNTS)), min_size=1, max_size=6),
)
def test_as_one_would_decide_it_by_hand(
    policies: list[list[AlertPolicy]], ticks: list[dict[int, tuple[float, float]]]
) -> None:
    """Any policies of several objectives, against the rules written down for one policy at a time."""
    objectives = [replace(QUIET, name=f"o{at}", policies=tuple(each)) for at, each in enumerate(policies)]
    table = PolicyTable(objectives)
    fired: set[tuple[str, str]] = set()
    true_for: dict[tuple[str, str, int], int] = {}
    for tick, held in enumerate(ticks):
        changes = table.judge(START_MS + 20_000 * tick, _measured(table, len(objectives), held))
        expected = set()
        for objective in objectives:
            for policy in objective.policies or ():
                key = (objective.name, policy.name)
                if key in fired:
                    continue
                holds = True
                for at, condition in enumerate(policy.conditions):
                    truth = _is_true(condition, held)
                    since = true_for.get((*key, at))
                    if truth is False:
                        true_for.pop((*key, at), None)
                    elif truth is None and since is not None:
                        true_for[*key, at] = since + 20
                    elif truth:
                        since = true_for.setdefault((*key, at), 20 * tick)
                    holds &= truth is True and 20 * tick - (since or 0) >= condition.after_s
                longest = max((one.lookback_s for one in policy.conditions), default=0)
                bad, total = held[longest]
                guard = policy.low_traffic
                if holds and total >= guard.min_events and bad >= guard.min_bad:
                    expected.add(key)
        found = {(one.objective, one.policy) for one in changes if one.state == "firing"}
        assert found == expected
        fired |= found
        fired -= {(one.objective, one.policy) for one in changes if one.state == "resolved"}


def _measured(table: PolicyTable, objectives: int, held: dict[int, tuple[float, float]]) -> Measured:
    counted = np.array([held[int(each)] for each in table.windows.lookback_s]).reshape(-1, 2)
    return Measured(
        good=counted[:, 1] - counted[:, 0],
        total=counted[:, 1],
        window_good=np.full(objectives, held[0][1] - held[0][0]),
        window_total=np.full(objectives, held[0][1]),
        silent_s=np.zeros(objectives),
    )


def test_each_objective_has_its_own() -> None:
    """Objectives of different policies in one table do not see each other's windows."""
    objectives: list[Objective] = [SLO, burning(HOUR), replace(QUIET, policies=()), burning(DAY, over=2), SLO]
    objectives = [replace(one, name=f"o{at}") for at, one in enumerate(objectives)]
    table = PolicyTable(objectives)
    windows = table.windows
    total = np.full(len(windows.lookback_s), 10_000.0)
    bad = np.where((windows.objective == 3) & (windows.lookback_s == DAY), 21.0, 0.0)
    whole = np.full(5, 1e6)
    changes: list[AlertChange] = table.judge(
        START_MS, Measured(total - bad, total, whole, whole, np.zeros(5))
    )
    assert [(one.objective, one.policy) for one in changes] == [("o3", "hot")]
    assert table.burning.tolist() == [False, False, False, True, False]
    assert np.isnan(table.page_threshold[2])
