"""What a report tells of objectives: their past, their owners, and the calendar that periods are made of."""

from setpoint.objective.calendar_window import window_at
from setpoint.objective.ledger.ledger import Slots
from setpoint.objective.model import Calendar, Objective
from setpoint.objective.ownership import Ownership
from setpoint.objective.past import Past

__all__ = ["Calendar", "Objective", "Ownership", "Past", "Slots", "window_at"]
