"""What a report tells of objectives: their past, their owners, and the calendar that periods are made of."""

from setpoint.objective.attribution.model import Attribution
from setpoint.objective.calendar_window import window_at
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Calendar, Objective
from setpoint.objective.overview import Overview
from setpoint.objective.ownership import Ownership
from setpoint.objective.past import Past
from setpoint.objective.spec.fields import Name, zone
from setpoint.objective.spec.service import Service
from setpoint.objective.spec.slo import Slo
from setpoint.objective.spec.team import Team

__all__ = [
    "Attribution",
    "Calendar",
    "Name",
    "Objective",
    "Overview",
    "Ownership",
    "Past",
    "Service",
    "Slo",
    "Slots",
    "Team",
    "window_at",
    "zone",
]
