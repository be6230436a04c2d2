"""Where the alerts and policies of a set of documents go, whether or not the objectives that they declare are
there yet.

An SLO that makes an objective for each group has none before its first samples come; who is told of it must be
followed from the apply on. `app` asks when resources change.
"""

from __future__ import annotations

from collections.abc import Iterable

from setpoint.errors import InvalidInput
from setpoint.objective.model import Target
from setpoint.objective.policy.resolve import policies_of
from setpoint.objective.resolve import Declared, References
from setpoint.objective.spec.alert import AlertCondition, AlertNotificationTarget, AlertPolicy
from setpoint.objective.spec.slo import Slo

__all__ = ["targets_of"]


def targets_of(documents: Iterable[Declared]) -> list[Target]:
    """Every target that an alert policy of some SLO among `documents`, or an error budget policy, names; each once."""
    documents = tuple(documents)
    specs = [document.spec for document in documents]
    by_name: dict[tuple[str, str], object] = {
        (spec.kind, spec.metadata.name): spec
        for spec in specs
        if isinstance(spec, AlertCondition | AlertNotificationTarget | AlertPolicy)
    }
    references = References(lambda kind, name: by_name.get((kind, name)))
    found: dict[Target, None] = {}
    for spec in specs:
        if not isinstance(spec, Slo):
            continue
        for number, entry in enumerate(spec.spec.alert_policies or (), 1):
            try:
                policy = references.policy(entry, number)
            except InvalidInput:  # `resolve` leaves such an SLO out, and says so
                continue
            found |= dict.fromkeys(policy.targets)
    found |= dict.fromkeys(target for policy in policies_of(documents) for target in policy.targets)
    return list(found)
