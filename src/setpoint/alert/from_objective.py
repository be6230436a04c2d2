"""What alerts of objectives look like: the changes that are recorded, and where they are sent."""

from setpoint.objective.alerting import AlertChange, OpenAlert
from setpoint.objective.duration import spoken_duration
from setpoint.objective.model import Objective, Target

__all__ = ["AlertChange", "Objective", "OpenAlert", "Target", "spoken_duration"]
