"""Sends through Apprise. It says only whether it worked; why not stands in what it logs, which is listened to here.

A Slack webhook under another host than Slack's (Mattermost, a gateway) gets Slack's simple payload by our own client:
Apprise knows only the real one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from setpoint.alert.notify.apprise.address import TEXTS, address_of
from setpoint.alert.notify.channel import About, Answer, IntegrationLike
from setpoint.alert.notify.credential import Misconfigured, secret_of
from setpoint.alert.notify.http import Poster, Reply, answer_of
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.seen import data_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its own, about modules that Python will drop
    import apprise
    from apprise.conversion import convert_between

    apprise.Apprise.instantiate("json://localhost")  # it loads its plugins at the first address

__all__ = ["Apprise", "make"]

_PER_MINUTE = 30.0
_CONNECT_S = 4.0
_STATUS = re.compile(r"error=(\d{3})\b")
_ADDRESSES = re.compile(r"\b[a-z]+://\S+")
_HTML = ("telegram",)
_MARKDOWN = ("discord", "mattermost", "msteams", "msteamsv2", "rocketchat")


class _Listener(logging.Handler):
    """What Apprise logs, by the thread that it happened in."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._local = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        heard = getattr(self._local, "heard", None)
        if heard is not None and len(heard) < 20:
            heard.append(record.getMessage())

    def begin(self) -> None:
        """Listen to this thread."""
        self._local.heard = []

    def end(self) -> list[str]:
        """What was heard."""
        heard: list[str] = self._local.heard
        self._local.heard = None
        return heard


_listener = _Listener()
_logger = logging.getLogger("apprise")
_logger.addHandler(_listener)
_logger.propagate = False  # what it says is an answer here; its lines may hold addresses with secrets


def make(integration: IntegrationLike) -> Apprise:
    """The channel of an integration that Apprise can reach."""
    return Apprise(integration.kind, integration.settings)


class Apprise:
    """One integration; Apprise's objects are not said to be safe between threads, so one message at a time."""

    can_bundle = True
    per_minute = _PER_MINUTE

    def __init__(self, kind: str, settings: Mapping[str, Any]) -> None:
        self._kind, self._settings = kind, settings
        digest = hashlib.blake2b(repr(sorted(settings.items())).encode("utf-8", "replace"), digest_size=8)
        self.contacts = (f"{kind}:{digest.hexdigest()}",)
        self._one_at_a_time = threading.Lock()
        self._poster = Poster(settings.get("http_config"))

    def send(self, notification: Notification, about: About) -> Answer:
        """One message."""
        data = data_of(notification, about)

        def tell(template: str) -> str:
            return about.texts.tell(template, data).text

        title, text = self._words(notification, tell)
        if notification.bundled > 1:
            told = f"{notification.bundled} notifications in one"
            title, text = (f"{title} ({told})", text) if title else (title, f"({told})\n{text}")
        try:
            if self._is_other_slack():
                return self._slack(title, text, tell, about)
            address = address_of(self._kind, self._settings, tell)
            with self._one_at_a_time:
                return self._send(address, title, text or title, notification, about)
        except Misconfigured as error:
            return Answer("misconfigured", str(error))

    def _words(self, notification: Notification, tell: Callable[[str], str]) -> tuple[str, str]:
        """Title and text."""
        if notification.message is not None:
            return notification.message.title, notification.message.text
        title_of, text_of = TEXTS[self._kind]
        title = tell(str(self._settings.get(title_of[0]) or title_of[1])).strip()
        return title, tell(str(self._settings.get(text_of[0]) or text_of[1])).strip()

    def close(self) -> None:
        """Close connections that are kept."""
        self._poster.close()

    def _send(self, address: str, title: str, text: str, notification: Notification, about: About) -> Answer:
        asset = apprise.AppriseAsset(async_mode=False, app_id="Setpoint", app_desc="Setpoint", app_url="")
        service = (
            apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True) if address else None
        )
        if service is None:
            return Answer("misconfigured", f"Apprise does not know where the address of {self._kind} leads")
        service.socket_connect_timeout = _CONNECT_S
        service.socket_read_timeout = about.deadline_s
        body_format = apprise.NotifyFormat.TEXT
        if self._kind in _HTML:
            body_format = apprise.NotifyFormat.HTML
        elif self._kind in _MARKDOWN:
            body_format = apprise.NotifyFormat.MARKDOWN
        if title and service.title_maxlen <= 0:
            title, text = "", f"{title}\n{text}"
        # Not through `apprise.Apprise`: it shares one small pool of threads, where one that hangs holds up the others.
        text = convert_between(body_format, service.notify_format, content=text)  # type: ignore[no-untyped-call]
        _listener.begin()
        try:
            is_sent = service.notify(
                body=text,
                title=title,
                notify_type=(
                    apprise.NotifyType.INFO
                    if notification.message is not None
                    else apprise.NotifyType.FAILURE
                    if notification.is_firing
                    else apprise.NotifyType.SUCCESS
                ),
                body_format=body_format,
            )
        except Exception as error:  # noqa: BLE001 — a plugin's fault is an answer, too
            return Answer("retry", f"Apprise failed ({type(error).__name__})")
        finally:
            heard = _listener.end()
        return Answer("delivered") if is_sent else _failure(heard)

    def _is_other_slack(self) -> bool:
        if self._kind != "slack" or secret_of(self._settings, "app_token"):
            return False
        return urlsplit(secret_of(self._settings, "api_url")).hostname != "hooks.slack.com"

    def _slack(self, title: str, text: str, tell: Any, about: About) -> Answer:
        body: dict[str, Any] = {"text": f"*{title}*\n{text}" if title else text}
        for name in ("channel", "username", "icon_emoji", "icon_url"):
            if self._settings.get(name):
                body[name] = tell(str(self._settings[name]))
        headers = {"Content-Type": "application/json", "Idempotency-Key": about.key}
        url = secret_of(self._settings, "api_url")
        reply = self._poster.post(url, json.dumps(body).encode(), headers, about.deadline_s)
        return reply if isinstance(reply, Answer) else answer_of(reply)


def _failure(heard: list[str]) -> Answer:
    """What Apprise's words mean: by the status that stands in them, else a receiver that is ill."""
    said = _ADDRESSES.sub("…", " ".join(" ".join(heard).split()))[:300] or "Apprise could not send it"
    found = _STATUS.search(said)
    if found is None or found[1] == "200":
        return Answer("retry", said)
    answer = answer_of(Reply(int(found[1])))
    return Answer("retry" if answer.ok else answer.kind, said, 30.0 if answer.kind == "slow_down" else 0.0)
