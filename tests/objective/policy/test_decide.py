"""The decision: what holds which change, in tables and by properties; made again from what was written."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.errors import InvalidInput
from setpoint.objective.policy.decide import decide
from setpoint.objective.policy.inputs import Inputs, Request, reduced
from setpoint.objective.policy.model import (
    CHANGES,
    STRICTNESS,
    Condition,
    Incident,
    Policy,
    PolicyException,
    Releases,
    Rule,
    stops,
)
from setpoint.objective.policy.resolve import DEFAULT_RULES
from tests.objective.policy.world import NOW_MS, Seen, facts, inputs, left_at_most, policy

DAY_MS = 86_400_000
GONE = Seen(left=-0.12, state="exhausted")
WELL = Seen()
SILENT = Seen(state="no data", silent_s=900.0)
WAIVER = PolicyException("window", "Ann Example", "the fair begins", NOW_MS + DAY_MS, services=("checkout",))


def _ask(given_: Inputs, change: str = "feature", **more: str) -> str:
    return decide(replace(given_, request=Request("checkout", change, **more))).decision


@pytest.mark.parametrize(
    ("releases", "feature", "fix", "security"),
    [
        ("freeze", "hold", "hold", "hold"),
        ("fixesOnly", "hold", "allow", "allow"),
        ("review", "hold", "allow", "allow"),
    ],
)
def test_what_each_result_does_to_each_change(
    releases: Releases, feature: str, fix: str, security: str
) -> None:
    known = inputs(facts(GONE), policy(left_at_most(0, releases)))
    assert [_ask(known, change) for change in CHANGES] == [feature, fix, security]
    free = inputs(facts(WELL), policy(left_at_most(0, releases)))
    assert [_ask(free, change) for change in CHANGES] == ["allow"] * 3
    # Nobody knows: only what would be held is in doubt.
    dark = inputs(facts(SILENT), policy(left_at_most(0, releases)))
    expected = ["don't know" if one == "hold" else "allow" for one in (feature, fix, security)]
    assert [_ask(dark, change) for change in CHANGES] == expected


def test_a_review_lets_a_feature_pass_but_not_through_a_freeze() -> None:
    known = inputs(facts(GONE), policy(left_at_most(0, "review")))
    told = decide(replace(known, request=Request("checkout", reviewed_by="Bo Example")))
    assert told.decision == "allow"
    assert told.reason.startswith(
        "reviewed by Bo Example, although features need a review: checkout-availability"
    )
    assert _ask(inputs(facts(GONE), policy(left_at_most(0, "freeze"))), reviewed_by="Bo") == "hold"


def test_a_hold_says_why_with_numbers_and_formula_and_what_lifts_it() -> None:
    told = decide(inputs(facts(GONE), policy(left_at_most(0, until=0.1))))
    assert told.reason == (
        "only fixes and security changes may be released: checkout-availability: −12 % of the budget is left (at most "
        "0 %); policy shop, rule gone"
    )
    (because,) = told.because
    assert because.formula == "left = 1 − (1 − SLI) / (1 − target) = 1 − (1 − 0.9888) / 0.01 = −12 %"
    assert told.lifted_when == "checkout-availability: at least 10 % of the budget is left"
    assert (told.releases, told.since_ms) == ("fixesOnly", NOW_MS)


def test_the_strictest_of_several_policies_counts() -> None:
    both = (
        policy(left_at_most(0, "review", "ask"), name="mild"),
        policy(left_at_most(0, "freeze", "stop"), name="hard"),
    )
    told = decide(inputs(facts(GONE), *both, request=Request("checkout", "fix")))
    assert (told.decision, told.releases) == ("hold", "freeze")
    assert [(one.policy, one.stops) for one in told.because] == [("hard", True), ("mild", False)]


def test_a_known_hold_stands_above_what_is_not_known() -> None:
    known = facts(GONE, replace(SILENT, name="checkout-latency"))
    assert _ask(inputs(known, policy(left_at_most(0)))) == "hold"
    assert _ask(inputs(facts(WELL, replace(SILENT, name="other")), policy(left_at_most(0)))) == "don't know"


def test_what_has_no_data_can_be_ignored_while_something_has() -> None:
    lenient = policy(left_at_most(0), ignores_no_data=True)
    assert _ask(inputs(facts(WELL, replace(SILENT, name="other")), lenient)) == "allow"
    assert _ask(inputs(facts(SILENT, replace(SILENT, name="other")), lenient)) == "don't know"


def test_nothing_is_known_while_history_is_counted() -> None:
    told = decide(inputs(facts(replace(GONE, counting=True)), policy(left_at_most(0))))
    assert told.decision == "don't know"
    assert "its history is still being counted" in told.reason


def test_a_service_that_nobody_knows_has_objectives_for_or_governs() -> None:
    unknown = replace(inputs(facts()), is_known=False, near=("checkout",), request=Request("chekout"))
    assert decide(unknown).decision == "don't know"
    assert "there is no service 'chekout'" in decide(unknown).reason
    assert "did you mean 'checkout'?" in decide(unknown).reason
    bare = decide(inputs(facts()))
    assert (bare.decision, bare.reason.startswith("no objectives are declared for checkout")) == (
        "don't know",
        True,
    )
    free = decide(inputs(facts(WELL)))
    assert free.decision == "allow"
    assert free.reason == "no policy governs checkout (1 objective): nothing keeps it from being released"


@pytest.mark.parametrize(
    ("changes", "version", "outcome"),
    [
        ({}, "", "allow"),
        ({"policies": ("shop",)}, "", "allow"),
        ({"policies": ("other",)}, "", "hold"),
        ({"services": ("payment",)}, "", "hold"),
        ({"changes": ("fix",)}, "", "hold"),
        ({"versions": ("1.2.0",)}, "1.2.0", "allow"),
        ({"versions": ("1.2.0",)}, "1.2.1", "hold"),
        ({"versions": ("1.2.0",)}, "", "hold"),
        ({"until_ms": NOW_MS}, "", "hold"),
        ({"from_ms": NOW_MS + 1}, "", "hold"),
    ],
)
def test_what_an_exception_covers(changes: dict[str, object], version: str, outcome: str) -> None:
    waiver = replace(WAIVER, **changes)  # type: ignore[arg-type]
    known = inputs(
        facts(GONE),
        policy(left_at_most(0)),
        exceptions=[waiver],
        request=Request("checkout", version=version),
    )
    told = decide(known)
    assert told.decision == outcome
    assert [one.name for one in told.exceptions] == (["window"] if outcome == "allow" else [])
    if outcome == "allow":
        assert (
            "allowed by the exception window of Ann Example (the fair begins), although checkout"
            in told.reason
        )


def test_an_exception_sets_aside_what_is_not_known_but_not_the_unknown_service() -> None:
    assert _ask(inputs(facts(SILENT), policy(left_at_most(0)), exceptions=[WAIVER])) == "allow"
    assert decide(replace(inputs(facts(), exceptions=[WAIVER]), is_known=False)).decision == "don't know"


def test_what_is_in_force_stays_until_it_ends() -> None:
    rule = left_at_most(0, until=0.1)
    since = {("shop", "gone"): {"checkout-availability": NOW_MS - DAY_MS}}
    half = inputs(facts(Seen(left=0.05)), policy(rule), held=since)
    told = decide(half)
    assert (told.decision, told.since_ms) == ("hold", NOW_MS - DAY_MS)
    assert "5 % of the budget is left" in told.reason
    assert decide(replace(half, held={})).decision == "allow"
    assert decide(inputs(facts(Seen(left=0.1)), policy(rule), held=since)).decision == "allow"
    # A silence ends nothing.
    assert decide(inputs(facts(SILENT), policy(rule), held=since)).decision == "hold"


def test_the_rules_of_the_workbook() -> None:
    workbook = Policy("shop", DEFAULT_RULES)
    assert _ask(inputs(facts(Seen(bad_weeks=9.9)), workbook)) == "allow"
    over = inputs(facts(Seen(bad_weeks=10)), workbook)
    assert [_ask(over, change) for change in CHANGES] == ["hold", "allow", "allow"]
    (because,) = decide(over).because
    assert because.sentence == "100 % of what 28 d allow is spent (at least 100 %)"
    assert because.formula == "spent = bad / (total × (1 − target)) = 10 / (1,000 × 0.01) = 100 %"
    assert because.ends_when == "less than 100 % of what 28 d allow is spent"


@pytest.mark.parametrize(
    ("condition", "seen", "is_in_force"),
    [
        (Condition("burnRate", ">", 14.4, 3600), Seen(bad_hour=145), True),
        (Condition("burnRate", ">", 14.4, 3600), Seen(bad_hour=144), False),
        (Condition("burnRate", ">", 14.4, 3600), Seen(bad_hour=0, total=0), None),
        (Condition("timeToExhaustion", "<", 3600), Seen(exhaustion_s=3599), True),
        (Condition("timeToExhaustion", "<", 3600), Seen(), False),
        (Condition("timeToExhaustion", "<", 3600), SILENT, None),
        (Condition("state", "in", states=("exhausted",)), GONE, True),
        (Condition("state", "in", states=("exhausted",)), SILENT, None),
        (Condition("state", "in", states=("exhausted", "no data")), SILENT, True),
        (Condition("noData", ">=", 900), SILENT, True),
        (Condition("noData", ">=", 901), SILENT, False),
        (Condition("noData", ">=", 901), Seen(state="no data", silent_s=np.inf), True),
        (Condition("noData", ">=", 60), Seen(silent_s=80), False),
        (Condition("openIncidents", ">=", 1), WELL, True),
        (Condition("openIncidents", ">=", 2), WELL, False),
        (Condition("incidentSpent", ">", 0.2, 86_400), Seen(spent={"17": 0.21}), True),
        (Condition("incidentSpent", ">", 0.2, 86_400), Seen(spent={"17": 0.2}), False),
        (Condition("incidentSpent", ">", 0.2, 3600), Seen(spent={"17": 0.9}), False),
        (Condition("incidentSpent", ">", 0.2, 86_400), WELL, None),
    ],
)
def test_every_condition(condition: Condition, seen: Seen, is_in_force: bool | None) -> None:
    incident = Incident("17", "checkout", NOW_MS - 7_200_000, None, "the till is stuck")
    known = inputs(facts(seen, incidents=[incident]), policy(Rule("one", (condition,), releases="freeze")))
    told = decide(known)
    assert told.decision == {True: "hold", False: "allow", None: "don't know"}[is_in_force]
    assert all(one.sentence and one.ends_when for one in told.because)


def test_all_conditions_of_a_rule_hold_for_one_objective() -> None:
    rule = Rule(
        "both",
        (Condition("remainingBudget", "<=", 0), Condition("burnRate", ">", 1, 3600)),
        releases="freeze",
    )
    apart = facts(GONE, Seen(name="checkout-latency", bad_hour=500))
    assert _ask(inputs(apart, policy(rule))) == "allow"
    assert _ask(inputs(facts(replace(GONE, bad_hour=500)), policy(rule))) == "hold"


_SEEN = st.builds(
    Seen,
    left=st.floats(-2, 1),
    state=st.sampled_from(["healthy", "burning", "exhausted", "no data"]),
    bad_hour=st.floats(0, 1000),
    bad_weeks=st.floats(0, 1000),
    exhaustion_s=st.floats(0, 1e6),
    counting=st.booleans(),
)
_CONDITIONS = st.one_of(
    st.builds(Condition, st.just("remainingBudget"), st.just("<="), st.floats(-1, 1)),
    st.builds(Condition, st.just("budgetSpent"), st.just(">="), st.floats(0.1, 10), st.just(28 * 86_400)),
    st.builds(Condition, st.just("burnRate"), st.just(">"), st.floats(0.1, 50), st.just(3600)),
    st.builds(Condition, st.just("timeToExhaustion"), st.just("<"), st.floats(60, 1e5)),
)
_RULES = st.builds(
    Rule,
    name=st.sampled_from(["a", "b", "c"]),
    when=st.lists(_CONDITIONS, min_size=1, max_size=2).map(tuple),
    releases=st.sampled_from(list(STRICTNESS)),
)
_POLICIES = st.lists(
    st.builds(
        Policy,
        name=st.sampled_from(["p", "q", "r"]),
        rules=st.lists(_RULES, min_size=1, max_size=3, unique_by=lambda rule: rule.name).map(tuple),
        ignores_no_data=st.booleans(),
    ),
    max_size=3,
    unique_by=lambda one: one.name,
)
_INPUTS = st.builds(
    lambda seen, policies, change, held: inputs(
        facts(*(replace(one, name=f"o{number}") for number, one in enumerate(seen))),
        *policies,
        request=Request("checkout", change),
        held={(one.name, rule.name): {"o0": NOW_MS - 1000} for one in policies[:held] for rule in one.rules},
    ),
    st.lists(_SEEN, min_size=1, max_size=4),
    _POLICIES,
    st.sampled_from(CHANGES),
    st.integers(0, 1),
)
_RANK = {"allow": 0, "don't know": 1, "hold": 2}


@given(_INPUTS, _RULES)
@settings(max_examples=60, deadline=None)
def test_another_policy_never_makes_it_less_strict(known: Inputs, rule: Rule) -> None:
    more = inputs(
        known.facts, *(one.policy for one in known.policies), policy(rule, name="more"),
        request=known.request, held=known.held,
    )  # fmt: skip
    assert _RANK[decide(more).decision] >= _RANK[decide(known).decision]


@given(_INPUTS)
@settings(max_examples=60, deadline=None)
def test_what_is_allowed_as_a_feature_is_allowed_as_a_fix(known: Inputs) -> None:
    ranks = [
        _RANK[decide(replace(known, request=Request("checkout", change))).decision] for change in CHANGES
    ]
    assert ranks[0] >= ranks[1] == ranks[2]


@given(_INPUTS, st.floats(0.01, 1))
@settings(max_examples=60, deadline=None)
def test_more_budget_never_makes_it_stricter(known: Inputs, share: float) -> None:
    """All that is bad becomes less, so more is left and it goes more slowly."""
    old = known.facts
    calmer = replace(
        old,
        left=1 - (1 - old.left) * share,
        exhaustion_s=old.exhaustion_s / share,
        counts={over: np.array([c[1] - (c[1] - c[0]) * share, c[1], c[2]]) for over, c in old.counts.items()},
    )
    assert _RANK[decide(replace(known, facts=calmer)).decision] <= _RANK[decide(known).decision]


@given(_INPUTS)
@settings(max_examples=60, deadline=None)
def test_a_decision_is_made_again_from_what_was_written(known: Inputs) -> None:
    read = Inputs.from_json(json.loads(json.dumps(known.as_json(), allow_nan=False)))
    assert json.loads(json.dumps(decide(read).as_json())) == json.loads(json.dumps(decide(known).as_json()))


def test_inputs_of_another_version_are_refused() -> None:
    written = inputs(facts(WELL)).as_json()
    with pytest.raises(InvalidInput, match="format 9"):
        Inputs.from_json(written | {"format": 9})
    with pytest.raises(InvalidInput, match="cannot be read"):
        Inputs.from_json({"format": 1})


@given(_INPUTS, st.integers(0, 200))
@settings(max_examples=25, deadline=None)
def test_of_many_objectives_those_that_matter_are_written(known: Inputs, at: int) -> None:
    many = [Seen(name=f"calm{number}") for number in range(201)]
    many[at] = GONE
    seen = inputs(facts(*many), *(one.policy for one in known.policies), request=known.request)
    less = reduced(seen, 40)
    assert len(less.facts) == 40
    assert less.left_out == 161
    assert decide(less).decision == decide(seen).decision
    assert len(json.dumps(reduced(seen).as_json())) < 200_000


@given(
    st.sampled_from(list(STRICTNESS)),
    st.sampled_from(list(STRICTNESS)),
    st.sampled_from(CHANGES),
    st.booleans(),
)
def test_what_is_stricter_stops_all_that_is_stopped_by_less(
    one: str, other: str, change: str, reviewed: bool
) -> None:
    if STRICTNESS[one] <= STRICTNESS[other] and stops(one, change, reviewed):
        assert stops(other, change, reviewed)


@settings(max_examples=150, deadline=None)
@given(
    incidents=st.lists(
        st.tuples(
            st.integers(0, 40), st.booleans(), st.lists(st.none() | st.floats(0, 0.5), min_size=3, max_size=3)
        ),
        max_size=12,
    ),
    above=st.sampled_from([0.1, 0.2, 0.4]),
)
def test_incidents_that_do_not_matter_change_no_decision(
    incidents: list[tuple[int, bool, list[float | None]]], above: float
) -> None:
    names = [f"checkout-{number}" for number in range(3)]
    known = [
        Incident(
            str(at),
            "checkout",
            NOW_MS - days * 86_400_000,
            None if is_open else NOW_MS - days * 86_400_000 + 1,
        )
        for at, (days, is_open, _) in enumerate(incidents)
    ]
    seen = [
        Seen(
            name,
            spent={str(at): part for at, one in enumerate(incidents) if (part := one[2][row]) is not None},
        )
        for row, name in enumerate(names)
    ]
    rules = (
        Rule("month", (Condition("incidentSpent", ">", above, 28 * 86_400),), releases="freeze"),
        Rule("week", (Condition("incidentSpent", ">", 0.05, 7 * 86_400),), releases="review"),
        Rule("open", (Condition("openIncidents", ">=", 2.0),), releases="fixesOnly"),
    )
    everything = inputs(facts(*seen, incidents=known), policy(*rules))
    less = reduced(everything)
    assert decide(less) == decide(everything)
    closed = [one for one in less.facts.incidents if one.resolved_ms is not None]
    assert len(closed) <= 2 * 2 * len(names)


def test_a_service_of_a_hundred_incidents_has_a_decision_that_can_be_written() -> None:
    known = [
        Incident(
            f"INC-2027-{number:05}",
            "checkout",
            NOW_MS - 86_400_000,
            NOW_MS - 86_000_000,
            "the database is down",
        )
        for number in range(400)
    ]
    seen = [
        Seen(f"checkout-{number}", spent={one.id: at / 2000 for at, one in enumerate(known)})
        for number in range(50)
    ]
    rule = Rule("costly", (Condition("incidentSpent", ">", 0.1, 28 * 86_400),), releases="freeze")
    less = reduced(inputs(facts(*seen, incidents=known), policy(rule)))
    assert decide(less).decision == "hold"
    assert len(json.dumps(less.as_json())) < 200_000


def test_the_incident_that_is_named_is_the_one_whose_number_is_told() -> None:
    old = Incident("old", "checkout", NOW_MS - 40 * DAY_MS, NOW_MS - 39 * DAY_MS, "long ago")
    new = Incident("new", "checkout", NOW_MS - DAY_MS, NOW_MS - DAY_MS + 1, "yesterday")
    rule = Rule("costly", (Condition("incidentSpent", ">", 0.2, 28 * 86_400),), releases="freeze")
    found = decide(inputs(facts(Seen(spent={"old": 0.9, "new": 0.3}), incidents=[old, new]), policy(rule)))
    assert "incident yesterday spent 30 %" in found.reason.replace("\u00a0", " ")
    assert "3 / 10 = 30 %" in found.because[0].formula.replace("\u00a0", " ")
