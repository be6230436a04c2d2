"""What alerts of objectives look like: the changes that are recorded, and where they are sent; tests of objectives."""

from setpoint.objective.alerting.table import AlertChange, OpenAlert
from setpoint.objective.duration import spoken_duration
from setpoint.objective.lint import Finding
from setpoint.objective.model import Target
from setpoint.objective.ownership import Ownership
from setpoint.objective.scenario import check_scenarios
from setpoint.objective.spec import AlertCondition, AlertPolicy, Slo

__all__ = [
    "AlertChange",
    "AlertCondition",
    "AlertPolicy",
    "Finding",
    "OpenAlert",
    "Ownership",
    "Slo",
    "Target",
    "check_scenarios",
    "spoken_duration",
]
