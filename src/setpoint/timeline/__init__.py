"""Everything that happens to a service at an instant, append-only: deploys, state changes, faults, resources.

Any package may append; pages, attribution and automation query and subscribe. An event is never changed or
removed.
"""

from setpoint.timeline.model import Event
from setpoint.timeline.timeline import Timeline

__all__ = ["Event", "Timeline"]
