"""Everything that happens to a service at an instant, append-only: deploys, state changes, faults, resources.

Any package may append; pages, attribution and automation query and subscribe. An event is never changed or
removed.
"""

from setpoint.timeline.model import Event
from setpoint.timeline.timeline import SUMMARY_MAX, Timeline

__all__ = ["SUMMARY_MAX", "Event", "Timeline"]
