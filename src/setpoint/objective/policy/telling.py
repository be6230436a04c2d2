"""What policies do, as events of the timeline: when a rule comes into force and ends, who is told, which postmortem is
demanded, which exception was made. Each once, with the numbers.

`PolicyBoard` asks for the events of a change and stores them with it; what has an id of its own (an incident, an
exception) is appended here, under a key that makes telling it twice harmless.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from setpoint.clock import rfc3339
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import Target
from setpoint.objective.policy.evaluate import incident_share
from setpoint.objective.policy.facts import Facts
from setpoint.objective.policy.model import Incident, Policy, PolicyException, Rule
from setpoint.objective.policy.store import Hold, Told
from setpoint.objective.policy.words import RELEASES, clipped, ends_when, formula_of, percent, sentence_of
from setpoint.timeline import SUMMARY_MAX, Timeline

__all__ = ["BEGAN", "LIFTED", "NOTIFIED", "POSTMORTEM", "Teller"]

BEGAN: Final[Mapping[str, str]] = {
    "freeze": "policy.freeze",
    "fixesOnly": "policy.fixes_only",
    "review": "policy.review",
}
LIFTED, NOTIFIED, POSTMORTEM = "policy.lifted", "policy.notified", "policy.postmortem_demanded"
_EXCEPTION: Final = "policy.exception_applied"
_NAMES_MOST: Final = 50


def _unaddressed(target: Target) -> dict[str, str]:
    return {"name": target.name, "kind": target.kind}


class Teller:
    """See above."""

    def __init__(
        self, timeline: Timeline, address: Callable[[Target], dict[str, str]] = _unaddressed
    ) -> None:
        """`address` says in an event which target is meant."""
        self._timeline, self._address = timeline, address
        self._demanded: set[str] = set()
        self._told: set[str] = set()

    def began(self, policy: Policy, rule: Rule, facts: Facts, rows: Sequence[int]) -> list[Told]:
        """The events of a rule that comes into force for a service, by these objectives (rows)."""
        at = rows[0]
        service, name = facts.services[at], facts.names[at]
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        why = f"{name}{more}: {sentence_of(rule, facts, at, -1)}; policy {policy.name}, rule {rule.name}"
        row = facts.take([at]).as_json()["objectives"][0]
        data = self._data(
            policy, rule, name, [facts.names[one] for one in rows[:_NAMES_MOST]], facts.at_ms
        ) | {
            "reason": why,
            "formula": formula_of(rule, facts, at),
            "ends_when": ends_when(rule),
            "numbers": row,
            "state": "firing",
        }
        found = []
        if rule.releases:
            summary = f"{service}: {RELEASES[rule.releases]}: {why}"
            found.append(
                self._event(BEGAN[rule.releases], summary, service, data | {"targets": []}, facts.at_ms)
            )
        if rule.notify:
            told = f"{service}: {', '.join(rule.notify)} told: {why}"
            found.append(self._event(NOTIFIED, told, service, data, facts.at_ms))
        if rule.postmortem and not _of_incidents(rule):
            told = f"{service}: a postmortem is demanded: {why}"
            found.append(self._event(POSTMORTEM, told, service, data | {"targets": []}, facts.at_ms))
        return found

    def altered(  # noqa: PLR0917 — what a change is made of
        self,
        policy: Policy,
        rule: Rule,
        facts: Facts,
        rows: Sequence[int],
        before: Sequence[Hold],
        still: Sequence[str],
    ) -> list[Told]:
        """The event of a rule in force that now says something else of releases, or nothing any more."""
        if not rule.releases:
            return self.lifted(policy, rule, facts, before, is_gone=False, still=still)
        return [one for one in self.began(policy, rule, facts, rows) if one.kind == BEGAN[rule.releases]]

    def lifted(
        self,
        policy: Policy,
        rule: Rule,
        facts: Facts,
        ended: Sequence[Hold],
        *,
        is_gone: bool,
        still: Sequence[str],
    ) -> list[Told]:
        """The event of a rule that ends for a service."""
        hold = min(ended, key=lambda one: one.since_ms)
        row_of = {name: at for at, name in enumerate(facts.names)}
        at = row_of.get(hold.objective)
        if is_gone or at is None:
            why, numbers = f"the policy no longer looks at {hold.objective}", None
        else:
            why = f"{hold.objective}: {sentence_of(rule, facts, at, hold.since_ms)}"
            numbers = facts.take([at]).as_json()["objectives"][0]
        return self._ended(policy, rule, ended, why, numbers, facts.at_ms, still)

    def dropped(
        self, former: Policy | None, ended: Sequence[Hold], at_ms: int, still: Sequence[str], *, is_gone: bool
    ) -> list[Told]:
        """The event of a rule that is no longer written anywhere. `former`: the policy as it was; who was told that the
        rule is in force hears that it is over.
        """
        hold = ended[0]
        policy = former or Policy(hold.policy, ())
        known = next((one for one in policy.rules if one.name == hold.rule), None)
        rule = known or Rule(hold.rule, (), releases=hold.releases)  # type: ignore[arg-type]
        why = f"policy {hold.policy} {'is gone' if is_gone else 'no longer has the rule ' + hold.rule}"
        return self._ended(policy, rule, ended, why, None, at_ms, still)

    def _ended(  # noqa: PLR0917 — what an end is made of
        self,
        policy: Policy,
        rule: Rule,
        ended: Sequence[Hold],
        why: str,
        numbers: dict[str, Any] | None,
        at_ms: int,
        still: Sequence[str],
    ) -> list[Told]:
        hold = min(ended, key=lambda one: one.since_ms)
        if not hold.releases and not rule.notify:
            return []
        lasted = spoken_duration((at_ms - hold.since_ms) / 1000)
        what = "releases go on" if hold.releases else "it is over"
        if hold.releases and still:
            what = f"one rule less; still in force: {', '.join(still)}"
        summary = f"{hold.service}: {what} after {lasted}: {why}; policy {policy.name}, rule {rule.name}"
        data = self._data(
            policy, rule, hold.objective, [one.objective for one in ended[:_NAMES_MOST]], hold.since_ms
        )
        data |= {
            "releases": hold.releases,
            "reason": why,
            "numbers": numbers,
            "still": list(still),
            "state": "resolved",
            "lasted_s": (at_ms - hold.since_ms) / 1000,
        }
        return [self._event(LIFTED, summary, hold.service, data, at_ms)]

    def postmortems(self, policy: Policy, rule: Rule, facts: Facts, in_force: npt.NDArray[np.bool_]) -> None:
        """Demand a postmortem for each incident that a rule means, once. Raises Unavailable."""
        conditions = [one for one in rule.when if one.kind == "incidentSpent"]
        for at in np.flatnonzero(in_force).tolist() if conditions else ():
            for incident in facts.incidents:
                share = incident_share(facts, incident, facts.names[at])
                oldest_ms = facts.at_ms - conditions[0].over_s * 1000
                is_meant = incident.service == facts.services[at] and incident.opened_ms >= oldest_ms
                if is_meant and all(share > one.threshold for one in conditions):
                    self._demand(policy, rule, facts, at, incident)

    def _demand(self, policy: Policy, rule: Rule, facts: Facts, at: int, incident: Incident) -> None:
        digest = hashlib.blake2b(incident.id.encode(), digest_size=12).hexdigest()
        key = f"{POSTMORTEM} {policy.name} {rule.name} {digest}"
        if key in self._demanded:
            return
        share = facts.shares[incident.id, facts.names[at]]
        summary = (
            f"{incident.service}: a postmortem is demanded: incident {clipped(incident.title or incident.id, 200)} "
            f"spent {percent(share.ratio)} of the budget of {facts.names[at]}; policy {policy.name}, rule {rule.name}"
        )
        data = self._data(policy, rule, facts.names[at], [facts.names[at]], facts.at_ms) | {
            "targets": [],
            "incident": incident.id,
            "opened_ms": incident.opened_ms,
            "resolved_ms": incident.resolved_ms,
            "bad": share.bad,
            "allowed": share.allowed,
            "spent": share.ratio,
            "formula": f"spent = bad / allowed = {share.bad:,.0f} / {share.allowed:,.2f} = {percent(share.ratio)}",
        }
        self._timeline.append(
            POSTMORTEM,
            clipped(summary, SUMMARY_MAX),
            service=incident.service,
            data=data,
            at_ms=facts.at_ms,
            key=key,
        )
        self._demanded.add(key)

    def exceptions(self, exceptions: Iterable[PolicyException], now_ms: int) -> None:
        """Tell of exceptions that were not told of. Raises Unavailable."""
        for one in exceptions:
            written = json.dumps(one.as_json(), sort_keys=True)
            key = f"{_EXCEPTION} {one.name} {hashlib.blake2b(written.encode(), digest_size=12).hexdigest()}"
            if key in self._told or one.until_ms <= now_ms:
                continue
            covers = ", ".join(one.services) or f"all services of {', '.join(one.policies)}"
            summary = f"{one.approved_by} makes an exception for {covers} until {rfc3339(one.until_ms)}: {one.reason}"
            self._timeline.append(
                _EXCEPTION,
                clipped(summary, SUMMARY_MAX),
                service=one.services[0] if len(one.services) == 1 else "",
                data={"exception": one.as_json()},
                key=key,
            )
            self._told.add(key)

    def _data(
        self, policy: Policy, rule: Rule, name: str, names: Sequence[str], since_ms: int
    ) -> dict[str, Any]:
        targets = [one for one in policy.targets if one.name in rule.notify]
        return {
            "policy": policy.name,
            "rule": rule.name,
            "releases": rule.releases,
            "objective": name,
            "objectives": list(names),
            "since_ms": since_ms,
            "targets": [self._address(one) for one in targets],
        }

    @staticmethod
    def _event(kind: str, summary: str, service: str, data: dict[str, Any], at_ms: int) -> Told:
        return Told(kind, clipped(summary, SUMMARY_MAX), service, data, at_ms)


def _of_incidents(rule: Rule) -> bool:
    return any(one.kind == "incidentSpent" for one in rule.when)
