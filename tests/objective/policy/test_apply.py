"""Policies and exceptions at apply: what is refused or warned of, with line and remedy; the examples are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.app import default_registry
from setpoint.clock import VirtualClock
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput
from setpoint.resource import ResourceStore, load_paths, load_text
from setpoint.timeline import Timeline
from tests.objective.openslo import RATIO, TARGET, slo

NOW_MS = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC
EXAMPLES = Path(__file__).parents[3] / "examples" / "policies"
CHECKOUT = slo(
    "service: checkout\n" + RATIO + "timeWindow: [{duration: 7d, isRolling: true}]\n" + TARGET,
    name="checkout-answers",
).replace("  service: shop\n", "")
SERVICE = slo("{}\n", name="checkout", kind="Service").replace("spec:\n  {}\n", "spec: {}\n")
GONE = "  - name: gone\n    when: [{remainingBudget: {atMost: 0%}}]\n    releases: fixesOnly\n"


@pytest.fixture
def store(sqlite_database: StateDatabase) -> ResourceStore:
    clock = VirtualClock(NOW_MS)
    return ResourceStore(sqlite_database, Timeline(sqlite_database, clock), clock, default_registry(clock))


def _policy(spec: str, name: str = "shop") -> str:
    return slo(spec, name=name, kind="ErrorBudgetPolicy").replace("openslo/v1", "setpoint/v1")


def _exception(spec: str) -> str:
    head = "approvedBy: Ann\nreason: the fair\n"
    return slo(head + spec, name="fair", kind="PolicyException").replace("openslo/v1", "setpoint/v1")


def _told(store: ResourceStore, *texts: str) -> list[str]:
    """What is refused, or else warned of."""
    given = [("p.yaml", "---\n".join(texts))]
    try:
        changes = store.apply(load_text(given, default_registry()), author="tester")
    except InvalidInput as error:
        return ["refused " + str(problem).removeprefix("p.yaml:") for problem in error.problems]
    return [warning.removeprefix("p.yaml:") for change in changes for warning in change.warnings]


def test_a_sound_policy_is_taken_as_it_is(store: ResourceStore) -> None:
    assert _told(store, _policy("rules:\n" + GONE), CHECKOUT, SERVICE) == []
    assert _told(store, _policy("appliesTo: {services: [checkout]}\n"), _exception(
        "until: 2027-01-16T08:00:00Z\nservices: [checkout]\npolicies: [shop]\n"
    )) == []  # fmt: skip


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_each_example_can_be_applied_alone_without_a_warning(path: Path, store: ResourceStore) -> None:
    changes = store.apply(load_text(load_paths([path]), default_registry()), author="tester")
    assert {change.action for change in changes} == {"created"}
    assert not [warning for change in changes for warning in change.warnings]


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            "appliesTo: {services: [chekout]}\n",
            "refused 6: spec.appliesTo.services[0]: there is no service 'chekout'; did you mean 'checkout'? "
            "apply one of "
            "that name, with the policy or before it",
        ),
        (
            "appliesTo:\n  objectives: [checkout-answer]\n",
            "refused 7: spec.appliesTo.objectives[0]: there is no objective 'checkout-answer'; did you mean "
            "'checkout-answers'? apply one of that name, with the policy or before it",
        ),
        (
            "appliesTo: {objectives: [checkout-answers.fast]}\n",
            "refused 6: spec.appliesTo.objectives[0]: there is no objective 'checkout-answers.fast'; did you mean "
            "'checkout-answers'? apply one of that name, with the policy or before it",
        ),
        (
            "appliesTo: {teams: [till]}\n",
            "refused 6: spec.appliesTo.teams[0]: there is no Team 'till'; apply one of that name, with the policy or "
            "before it",
        ),
        (
            "rules:\n" + GONE + "    notify: [crew]\n",
            "refused 10: spec.rules[0].notify[0]: there is no AlertNotificationTarget 'crew'; apply one of that name, "
            "with the policy or before it",
        ),
        (
            "appliesTo: {labels: {tier: gold}}\n",
            "6: spec.appliesTo: no objective fits all that is written here, so the policy governs nothing at present; "
            "`setpoint slo list` shows services and labels",
        ),
        (
            "rules:\n" + GONE + GONE.replace("gone", "again").replace("fixesOnly", "freeze"),
            "10: spec.rules[1]: the same condition as in 'gone' has another result (freeze, there fixesOnly); the "
            "stricter one counts: take one of them out",
        ),
        (
            "rules:\n"
            + GONE.replace("0%", "10%")
            + GONE.replace("gone", "worse").replace("fixesOnly", "review"),
            "10: spec.rules[1]: has no effect on releases: whenever it holds, 'gone' holds, too, and is stricter "
            "(fixesOnly); exchange what they do, or take it out",
        ),
        (
            "rules:\n" + GONE.replace("remainingBudget: {atMost: 0%}", "budgetSpent: {atLeast: 100%}"),
            "8: spec.rules[0].when: looks at 28 d, and the window of checkout-answers has 7 d, which is what "
            "counts there; "
            "write a shorter 'over', or a longer window",
        ),
        (
            "rules:\n" + GONE + "    until: [{remainingBudget: {atLeast: 0%}}]\n",
            "refused 10: spec.rules[0].until[0]: the rule would end while its condition holds: 0 is left when it "
            "begins "
            "(0), too; write more, such as 0.1",
        ),
        (
            "rules:\n" + GONE.replace("    releases: fixesOnly\n", ""),
            "refused 7: spec.rules[0]: has no consequence; write releases: fixesOnly, notify: [TARGET] or "
            "postmortem: true",
        ),
        (
            "rules:\n" + GONE + GONE,
            "refused 10: spec.rules[1].name: 'gone' is the name of a rule above; choose another",
        ),
    ],
)
def test_what_does_not_fit_is_told_with_its_line(store: ResourceStore, spec: str, told: str) -> None:
    assert _told(store, _policy(spec), CHECKOUT, SERVICE) == [told]


def test_policies_that_say_the_opposite(store: ResourceStore) -> None:
    mild = GONE.replace("fixesOnly", "review")
    (told,) = _told(store, _policy("rules:\n" + GONE), _policy("rules:\n" + mild, "wide"), CHECKOUT, SERVICE)
    assert told == (
        "17: spec.rules[0]: the policy 'shop' says otherwise of the same condition for checkout-answers: there "
        "only fixes "
        "and security changes may be released, here features need a review; the stricter one counts: let each look at "
        "other objectives (appliesTo), or say the same"
    )


@pytest.mark.parametrize(
    ("spec", "told"),
    [
        (
            "until: 2027-01-15T08:00:00Z\nservices: [checkout]\n",
            "8: spec.until: it ended 0 s ago (2027-01-15T08:00:00.000Z) and has no effect; write a later instant, or "
            "delete it",
        ),
        (
            "until: 2028-01-15T08:00:00Z\nservices: [checkout]\n",
            "8: spec.until: it lasts 365 d: what holds for that long is a rule; change the policy, or end it sooner",
        ),
        (
            "until: 2027-01-16T08:00:00Z\nservices: [nobody]\n",
            "refused 9: spec.services[0]: there is no service 'nobody'; apply one of that name, with the policy "
            "or before "
            "it",
        ),
        (
            "until: 2027-01-16T08:00:00Z\npolicies: [shap]\n",
            "refused 9: spec.policies[0]: there is no ErrorBudgetPolicy 'shap'; did you mean 'shop'? apply one of that "
            "name, with the policy or before it",
        ),
        (
            "until: 2027-01-16T08:00:00Z\n",
            "refused 5: spec: would set aside every policy of every service; add services or policies",
        ),
        (
            "from: 2027-01-17T08:00:00Z\nuntil: 2027-01-16T08:00:00Z\nservices: [checkout]\n",
            "refused 9: spec.until: 2027-01-16T08:00:00Z is not after its begin, 2027-01-17T08:00:00Z; write a later "
            "instant",
        ),
        (
            "until: 2027-01-16T08:00:00\nservices: [checkout]\n",
            "refused 8: spec.until: '2027-01-16T08:00:00' does not say where that time holds; write it as "
            "2026-12-01T18:00:00Z",
        ),
        ("services: [checkout]\n", "refused 5: spec.until: is missing; add 'until: …'"),
    ],
)
def test_exceptions_that_ended_or_cover_nothing(store: ResourceStore, spec: str, told: str) -> None:
    assert _told(store, _policy("rules:\n" + GONE), _exception(spec), CHECKOUT, SERVICE) == [_shifted(told)]


def _shifted(told: str) -> str:
    """The line counts from the exception, which stands behind the policy."""
    refused, line = ("refused " if told.startswith("refused ") else ""), told.removeprefix("refused ")
    number, _, rest = line.partition(":")
    return f"{refused}{int(number) + 10}:{rest}"


def test_what_a_policy_needs_cannot_be_deleted(store: ResourceStore) -> None:
    assert _told(store, _policy("appliesTo: {objectives: [checkout-answers]}\n"), CHECKOUT, SERVICE) == []
    with pytest.raises(
        InvalidInput, match="ErrorBudgetPolicy 'shop' needs it: there is no objective 'checkout-answers'"
    ):
        store.delete("SLO", "checkout-answers", "tester")


def test_an_exception_that_ended_outlives_its_policy(store: ResourceStore) -> None:
    ended = _exception("until: 2027-01-14T08:00:00Z\npolicies: [shop]\n")
    assert len(_told(store, _policy("rules:\n" + GONE), ended, CHECKOUT, SERVICE)) == 1
    store.delete("ErrorBudgetPolicy", "shop", "tester")
