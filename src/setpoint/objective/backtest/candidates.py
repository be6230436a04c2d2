"""What a backtest is asked to try: an objective's own policies, the defaults, policies that were applied, or YAML that
is tried before it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from pydantic import ValidationError

from setpoint.errors import InvalidInput, Problem
from setpoint.objective.backtest.backtest import Candidate
from setpoint.objective.model import AlertPolicy as Policy
from setpoint.objective.model import Objective
from setpoint.objective.resolve import Declared, References
from setpoint.objective.spec.alert import (
    AlertCondition,
    AlertNotificationTarget,
    AlertPolicy,
    ConditionEntry,
    PolicyEntry,
    severity_fault,
)
from setpoint.resource import Document, Registry, load_text

__all__ = ["DEFAULTS", "OWN", "named", "written"]

OWN, DEFAULTS = "own", "defaults"
"""The names of an objective's own policies, and of those that it would have if its SLO named none."""

Find = Callable[[str, str], object | None]

_CHOICE = f"write {OWN}, {DEFAULTS}, or the names of AlertPolicies that were applied"
_TAKEN = (AlertPolicy, AlertCondition, AlertNotificationTarget)


def named(name: str, objective: Objective, live: Iterable[Declared]) -> Candidate:
    """`own`, `defaults`, or the AlertPolicy documents of these names (with commas) among the `live` ones.

    Raises InvalidInput for a name that is none of them.
    """
    if name == OWN:
        told = "its policies, the defaults" if objective.policies is None else "its own policies"
        return Candidate(told, objective.policies)
    if name == DEFAULTS:
        return Candidate("the default policies", None)
    references = References(_find((), live))
    wanted = [one.strip() for one in name.split(",") if one.strip()]
    try:
        found = tuple(_policy(references, one) for one in wanted)
    except ValidationError:
        raise InvalidInput(f"'{name}' is no name of an AlertPolicy; {_CHOICE}") from None
    except InvalidInput as error:
        raise InvalidInput(f"{error.message}, or {_CHOICE}") from None
    if not found:
        raise InvalidInput(f"no policy is named; {_CHOICE}")
    return Candidate(", ".join(wanted), found)


def written(file: str, text: str, registry: Registry, live: Iterable[Declared]) -> Candidate:
    """The AlertPolicy documents of a YAML text; what they refer to is looked for in it, then among the `live` ones.
    Where alerts would be sent is of no matter. Raises InvalidInput with the lines.
    """
    documents = load_text([(file, text)], registry)
    wrong = [
        one.problem(
            f"a backtest takes AlertPolicy and AlertCondition documents, and this is {one.kind}; leave it out"
        )
        for one in documents
        if not isinstance(one.spec, _TAKEN)
    ]
    policies = [one for one in documents if isinstance(one.spec, AlertPolicy)]
    if not policies and not wrong:
        wrong = [Problem("there is no AlertPolicy in it; write at least one", file)]
    find = _find(documents, live)
    wrong += [problem for one in policies for problem in _condition_faults(one, find)]
    if wrong:
        raise InvalidInput(problems=tuple(wrong))
    references = References(find)
    return Candidate(file, tuple(_policy(references, one.name) for one in policies))


def _policy(references: References, name: str) -> Policy:
    return references.policy(PolicyEntry.model_validate({"alertPolicyRef": name}), 1)


def _find(documents: Iterable[Declared], live: Iterable[Declared]) -> Find:
    """What is called so, without where its alerts go: nothing is sent."""
    by_name: dict[tuple[str, str], object] = {}
    for spec in [*(one.spec for one in live), *(one.spec for one in documents)]:
        if isinstance(spec, AlertPolicy):
            silent = spec.spec.model_copy(update={"notification_targets": []})
            by_name[spec.kind, spec.metadata.name] = spec.model_copy(update={"spec": silent})
        elif isinstance(spec, AlertCondition):
            by_name[spec.kind, spec.metadata.name] = spec
    return lambda kind, name: by_name.get((kind, name))


def _condition_faults(document: Document, find: Find) -> Iterator[Problem]:
    assert isinstance(document.spec, AlertPolicy)
    found = []
    for number, entry in enumerate(document.spec.spec.conditions):
        other = entry if entry.spec is not None else find("AlertCondition", entry.condition_ref or "")
        if isinstance(other, AlertCondition | ConditionEntry) and other.spec is not None:
            found.append(other.spec)
        else:
            message = f"there is no AlertCondition '{entry.condition_ref}'; write it into the same text, or apply it"
            yield document.problem(message, "spec", "conditions", number, "conditionRef")
    fault = severity_fault(found)
    if fault:
        yield document.problem(fault, "spec", "conditions")
