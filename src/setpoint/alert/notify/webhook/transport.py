"""Posts the payload, signed and named.

The signature is `X-Setpoint-Signature: t=<Unix seconds>,v1=<hex>`, the HMAC-SHA256 under the secret of `<t>.<body>`; a
receiver that checks `t`, too, cannot be sent an old request again. `Idempotency-Key` is the same at every attempt.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Any

from setpoint.alert.notify.channel import About, Answer, IntegrationLike
from setpoint.alert.notify.credential import Misconfigured, read_file, secret_of
from setpoint.alert.notify.http import Poster, answer_of
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.seen import data_of
from setpoint.alert.notify.webhook.payload import message_of, payload_of
from setpoint.errors import InvalidInput

__all__ = ["Webhook", "make", "signature", "span_s"]

_DEADLINE_MOST_S = 60.0
_SPAN = re.compile(r"([0-9.]+)(ms|h|m|s)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def make(integration: IntegrationLike) -> Webhook:
    """The channel of a `webhook_configs` entry, or of a notification target."""
    return Webhook(integration.settings)


class Webhook:
    """`settings`: url or url_file, max_alerts, timeout, payload, http_config; secret_file (a path) or secretFile (a
    name in the secrets folder) to sign with.
    """

    can_bundle = False
    per_minute = 0.0

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.contacts: tuple[str, ...] = ()
        self._settings = settings
        self._poster = Poster(settings.get("http_config"))

    def send(self, notification: Notification, about: About) -> Answer:
        """One request."""
        try:
            url, secret = self._url(notification, about), self._secret(about)
            body = self._body(notification, about)
        except (Misconfigured, InvalidInput) as error:
            return Answer("misconfigured", str(error))
        headers = {"Content-Type": "application/json", "Idempotency-Key": about.key}
        if secret:
            headers["X-Setpoint-Signature"] = signature(secret, about.now_ms // 1000, body)
        asked_s = span_s(self._settings.get("timeout"))
        deadline_s = min(asked_s, _DEADLINE_MOST_S) if asked_s else about.deadline_s
        reply = self._poster.post(url, body, headers, deadline_s)
        return reply if isinstance(reply, Answer) else answer_of(reply)

    def close(self) -> None:
        """Close connections that are kept."""
        self._poster.close()

    def _url(self, notification: Notification, about: About) -> str:
        url = secret_of(self._settings, "url")
        if "{{" in url:
            url = about.texts.tell(url, data_of(notification, about)).text
        return url

    def _secret(self, about: About) -> str:
        if self._settings.get("secret_file"):
            return read_file(str(self._settings["secret_file"]))
        name = self._settings.get("secretFile")
        return about.read_secret(str(name)) if name else ""

    def _body(self, notification: Notification, about: About) -> bytes:
        message = notification.message
        if message is not None:
            payload: Any = message_of(message, notification.receiver_name, about.external_url)
            return json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()
        payload = payload_of(notification, about.external_url, int(self._settings.get("max_alerts") or 0))
        own = self._settings.get("payload")
        if own is not None:
            payload = _expanded(own, notification, about)
        # Labels may hold halves of surrogate pairs; ASCII writes them as they came.
        return json.dumps(payload, allow_nan=False, separators=(",", ":")).encode()


def _expanded(value: Any, notification: Notification, about: About) -> Any:
    """A payload of the user's own, with its templates filled in."""
    if isinstance(value, str):
        return about.texts.tell(value, data_of(notification, about)).text
    if isinstance(value, Mapping):
        return {str(name): _expanded(one, notification, about) for name, one in value.items()}
    if isinstance(value, list):
        return [_expanded(one, notification, about) for one in value]
    return value


def signature(secret: str, at_s: int, body: bytes) -> str:
    """The value of the signature header."""
    digest = hmac.new(secret.encode(), f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at_s},v1={digest}"


def span_s(text: object) -> float:
    """Seconds of a duration such as `1m30s`; 0 where nothing is written."""
    return sum(float(number) * _UNITS[unit] for number, unit in _SPAN.findall(str(text or "")))
