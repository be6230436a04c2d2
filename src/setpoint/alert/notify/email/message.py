"""The message that an address gets. Whatever stands in labels, headers stay single lines: nothing can be injected. Pure
but for the templates, which never fail.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, getaddresses
from typing import Any

from setpoint.alert.notify.channel import About
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.seen import data_of

__all__ = ["addresses_of", "line", "message_for"]

_SUBJECT = '{{ template "email.default.subject" . }}'
_HTML = '{{ template "email.default.html" . }}'
_TEXT = '{{ template "email.default.text" . }}'
_HEADER_MOST = 900
_OURS = ("to", "cc", "bcc", "message-id", "date", "content-type", "content-transfer-encoding", "mime-version")


def addresses_of(text: str) -> tuple[str, ...]:
    """The addresses of a list such as `Ops <ops@example.com>, b@example.com`, each once."""
    found = [address.strip() for _, address in getaddresses([line(text)]) if "@" in address]
    return tuple(dict.fromkeys(found))


def message_for(
    contact: str, notification: Notification, about: About, settings: Mapping[str, Any]
) -> EmailMessage:
    """The message for one address. Raises ValueError when an address cannot be one."""
    data = data_of(notification, about)

    def told(template: str, *, is_html: bool = False) -> str:
        return about.texts.tell(template, data, is_html=is_html).text

    written = notification.message
    headers = {str(name): str(value) for name, value in (settings.get("headers") or {}).items()}
    by_name = {name.lower(): value for name, value in headers.items()}
    template = by_name.pop("subject", _SUBJECT)
    subject = line(told(template)) if written is None else line(written.title)
    if notification.bundled > 1:
        subject = f"{subject} ({notification.bundled} notifications in one)"
    message = EmailMessage()
    message["Subject"] = subject[:_HEADER_MOST] or "Setpoint"
    message["From"] = _address(by_name.pop("from", "") or str(settings.get("from") or ""))
    message["To"] = _address(contact)
    message["Date"] = format_datetime(datetime.fromtimestamp(about.now_ms / 1000, UTC))
    domain = message["From"].addresses[0].domain or "setpoint"
    digest = hashlib.blake2b(contact.encode("utf-8", "replace"), digest_size=4).hexdigest()
    message["Message-ID"] = f"<{about.key}.{digest}@{domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if (settings.get("threading") or {}).get("enabled") is True:
        group = hashlib.sha256(notification.group_key.encode("utf-8", "replace")).hexdigest()[:32]
        message["References"] = f"<{group}@{domain}>"
    for name, template in headers.items():
        if name.lower() not in (*_OURS, "subject", "from") and name.isascii() and name.isprintable():
            message[name.replace(":", "").replace(" ", "-")] = line(told(template))[:_HEADER_MOST]
    if written is not None:
        message.set_content(_text(written.text))
        message.add_alternative(_text(written.html), subtype="html")
        return message
    message.set_content(_text(told(str(settings.get("text") or _TEXT))))
    html = settings.get("html", _HTML)
    if html:
        message.add_alternative(_text(told(str(html), is_html=True)), subtype="html")
    return message


def _address(text: str) -> Address:
    """One address with its name. Raises ValueError."""
    pairs = [(name, address) for name, address in getaddresses([line(text)]) if "@" in address]
    if not pairs:
        raise ValueError(f"'{line(text)[:100]}' is no e-mail address; correct it in the receiver")
    name, address = pairs[0]
    user, _, domain = address.rpartition("@")
    return Address(name, user, domain)


def line(text: str) -> str:
    """One line: what would begin another, or is no text, is a space."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in _text(text)).split())


def _text(text: str) -> str:
    return text.replace("\0", " ").encode("utf-8", "replace").decode()
