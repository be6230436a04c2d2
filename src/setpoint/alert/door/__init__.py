"""Every way in which alerts come in from elsewhere: Alertmanager's API, PagerDuty's events, CloudEvents, webhooks of
Grafana and Alertmanager, and any JSON by a mapping. Each module reads one format and decides nothing: `web` serves
them, the `AlertBook` keeps what they made.
"""

from setpoint.alert.door.told import Told

__all__ = ["Told"]
