"""The resource kinds of this package, with what is or looks wrong in them; `app` calls it for the server's registry."""

from __future__ import annotations

from setpoint.clock import Clock
from setpoint.objective.adjustment.check import Checks
from setpoint.objective.adjustment.spec import ADJUSTMENT_VERSION, BudgetAdjustment
from setpoint.objective.advice import advise
from setpoint.objective.convert.foreign import recognise
from setpoint.objective.ownership import advise_team, refer_team
from setpoint.objective.policy.references import adviser, refer_policy, referrer_of_exceptions
from setpoint.objective.policy.spec import POLICY_VERSION, ErrorBudgetPolicy, PolicyException
from setpoint.objective.references import refer
from setpoint.objective.sla.check import advise_sla, refer_sla
from setpoint.objective.sla.spec import SLA_VERSION, Sla
from setpoint.objective.spec import (
    API_VERSION,
    AlertCondition,
    AlertNotificationTarget,
    AlertPolicy,
    Service,
    Sli,
    Slo,
)
from setpoint.objective.spec.older import (
    V1ALPHA,
    V1ALPHA_KINDS,
    V2ALPHA,
    V2ALPHA_KINDS,
    from_v1alpha,
    from_v2alpha,
)
from setpoint.objective.spec.team import TEAM_VERSION, Team
from setpoint.resource import Registry

__all__ = ["register"]


def register(registry: Registry, clock: Clock | None = None) -> None:
    """Add the kinds of openslo/v1 but for DataSource, which is telemetry's, also from older versions; and our own.

    Without a clock nothing is said about what ended.
    """
    registry.register(API_VERSION, "Service", Service, advice=advise)
    registry.register(API_VERSION, "SLI", Sli, references=refer)
    registry.register(API_VERSION, "SLO", Slo, references=refer, advice=advise)
    registry.register(API_VERSION, "AlertPolicy", AlertPolicy, references=refer, advice=advise)
    registry.register(API_VERSION, "AlertCondition", AlertCondition, advice=advise)
    registry.register(API_VERSION, "AlertNotificationTarget", AlertNotificationTarget)
    registry.register(TEAM_VERSION, "Team", Team, references=refer_team, advice=advise_team)
    registry.register(SLA_VERSION, "SLA", Sla, references=refer_sla, advice=advise_sla)
    adjustments = Checks(clock)
    registry.register(
        ADJUSTMENT_VERSION,
        "BudgetAdjustment",
        BudgetAdjustment,
        references=adjustments.refer,
        advice=adjustments.advise,
    )
    advise_policy = adviser(clock)
    registry.register(
        POLICY_VERSION, "ErrorBudgetPolicy", ErrorBudgetPolicy, references=refer_policy, advice=advise_policy
    )
    registry.register(
        POLICY_VERSION,
        "PolicyException",
        PolicyException,
        references=referrer_of_exceptions(clock),
        advice=advise_policy,
    )
    registry.register_older(V1ALPHA, V1ALPHA_KINDS, from_v1alpha)
    registry.register_older(V2ALPHA, V2ALPHA_KINDS, from_v2alpha)
    registry.register_foreign(recognise)
