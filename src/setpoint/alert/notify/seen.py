"""What a template sees of a notification that is sent."""

from __future__ import annotations

from setpoint.alert.notify.channel import About
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.text import TemplateData

__all__ = ["data_of"]


def data_of(notification: Notification, about: About) -> TemplateData:
    """The dot of the templates for this notification."""
    return TemplateData.of(
        notification.receiver_name,
        notification.alerts,
        notification.group_labels,
        resolved=notification.resolved,
        external_url=about.external_url,
        at_ms=about.now_ms,
    )
