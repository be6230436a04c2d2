"""What alerts of objectives look like: the changes that are recorded, and where they are sent; tests of objectives."""

from setpoint.objective.alerting.table import AlertChange, OpenAlert
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import Target
from setpoint.objective.scenario import check_scenarios

__all__ = ["AlertChange", "OpenAlert", "Target", "check_scenarios", "spoken_duration"]
