"""The resource kinds of openslo/v1 that objectives are made of, as a user writes them: pydantic models of whole
documents. What the specification forbids, contradicts itself or cannot be kept is refused at the field, with a
sentence that says what to write; an SLO that is accepted is an SLO that is kept.
"""

from setpoint.objective.spec.alert import AlertCondition, AlertNotificationTarget, AlertPolicy
from setpoint.objective.spec.fields import API_VERSION
from setpoint.objective.spec.indicator import Sli
from setpoint.objective.spec.service import Service
from setpoint.objective.spec.slo import Slo

__all__ = [
    "API_VERSION",
    "AlertCondition",
    "AlertNotificationTarget",
    "AlertPolicy",
    "Service",
    "Sli",
    "Slo",
]
