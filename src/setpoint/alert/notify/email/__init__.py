"""E-mail over SMTP: a message for each address, as text and HTML, named after its idempotency key."""

from setpoint.alert.notify.email.transport import make

__all__ = ["make"]
