"""PagerDuty's Events API, version 2 (and 1, for integrations that have a service key)."""

from setpoint.alert.notify.pagerduty.transport import make

__all__ = ["make"]
