"""Webhooks: Alertmanager's payload, version 4, with the numbers behind each alert beside it, signed when there is a
secret to sign with.
"""

from setpoint.alert.notify.webhook.transport import make

__all__ = ["make"]
