"""Speaks SMTP: STARTTLS or TLS from the start, a login where one is written, one connection for the addresses of a
notification. An address that has it already, from an attempt that failed for another, is left out.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from setpoint.alert.notify.channel import About, Answer, IntegrationLike
from setpoint.alert.notify.credential import Misconfigured, secret_of
from setpoint.alert.notify.email.message import addresses_of, message_for
from setpoint.alert.notify.http import tls_context
from setpoint.alert.notify.model import Notification
from setpoint.alert.notify.seen import data_of

__all__ = ["Email", "make"]

_PER_MINUTE = 12.0
_DEADLINE_MOST_S = 60.0
_GRAVEST = ("refused", "misconfigured", "slow_down", "retry")


def make(integration: IntegrationLike) -> Email:
    """The channel of an `email_configs` entry."""
    return Email(integration.settings)


class Email:
    """`settings` are Alertmanager's."""

    can_bundle = True
    per_minute = _PER_MINUTE

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._settings = settings
        to = str(settings.get("to") or "")
        self.contacts: tuple[str, ...] = (
            () if "{{" in to else tuple(f"email:{one.lower()}" for one in addresses_of(to))
        )

    def send(self, notification: Notification, about: About) -> Answer:
        """A message for each address."""
        to = str(self._settings.get("to") or "")
        if "{{" in to:
            to = about.texts.tell(to, data_of(notification, about)).text
        contacts = addresses_of(to)
        left = [one for one in contacts if one not in about.already]
        if not contacts:
            return Answer("misconfigured", "'to' holds no e-mail address; correct it in the receiver")
        reached: list[str] = []
        failed: list[Answer] = []
        try:
            deadline_s = min(_DEADLINE_MOST_S, about.deadline_s * max(1, len(left)))
            with self._connected(deadline_s, about.deadline_s) as smtp:
                for contact in left:
                    answer = self._one(smtp, contact, notification, about)
                    if answer.ok:
                        reached.append(contact)
                    else:
                        failed.append(answer)
        except (Misconfigured, ValueError) as error:
            failed.append(Answer("misconfigured", str(error)))
        except ssl.SSLCertVerificationError as error:
            failed.append(Answer("misconfigured", f"its certificate is not trusted: {error.verify_message}"))
        except smtplib.SMTPNotSupportedError as error:
            failed.append(Answer("misconfigured", f"the mail server cannot do what is asked: {error}"))
        except smtplib.SMTPResponseException as error:
            failed.append(_of_code(error.smtp_code, error.smtp_error, of_login=True))
        except (smtplib.SMTPException, OSError) as error:
            failed.append(Answer("retry", _sentence(error)))
        if not failed:
            return Answer("delivered", reached=tuple(reached))
        worst = max(failed, key=lambda one: _GRAVEST.index(one.kind))
        return Answer(worst.kind, worst.error, worst.retry_after_s, tuple(reached))

    def close(self) -> None:
        """Nothing is kept."""

    @contextlib.contextmanager
    def _connected(self, deadline_s: float, timeout_s: float) -> Iterator[smtplib.SMTP]:
        """A connection that is cut at the deadline, however slowly the server talks."""
        host, _, port = str(self._settings.get("smarthost") or "").rpartition(":")
        if not host or not port.isdigit():
            raise Misconfigured("smarthost is no address; write HOST:PORT, such as mail.example.com:587")
        host = host.strip("[]")
        context = tls_context(self._settings.get("tls_config") or {})
        hello = str(self._settings.get("hello") or "localhost")
        is_implicit = self._settings.get("force_implicit_tls") is True or (
            port == "465" and self._settings.get("force_implicit_tls") is not False
        )
        smtp = (
            smtplib.SMTP_SSL(host, int(port), hello, timeout=timeout_s, context=context)
            if is_implicit
            else smtplib.SMTP(host, int(port), hello, timeout=timeout_s)
        )
        watchdog = threading.Timer(deadline_s, _cut, (smtp,))
        watchdog.daemon = True
        watchdog.start()
        try:
            smtp.ehlo()
            if not is_implicit and self._settings.get("require_tls", True) is not False:
                smtp.starttls(context=context)
                smtp.ehlo()
            self._login(smtp)
            yield smtp
            with contextlib.suppress(smtplib.SMTPException, OSError):
                smtp.quit()
        finally:
            watchdog.cancel()
            smtp.close()

    def _login(self, smtp: smtplib.SMTP) -> None:
        user = str(self._settings.get("auth_username") or "")
        if user:
            password = secret_of(self._settings, "auth_password") or secret_of(self._settings, "auth_secret")
            try:
                smtp.login(user, password)
            except smtplib.SMTPServerDisconnected as error:  # some do so instead of an answer
                raise Misconfigured(
                    "the mail server closed the connection at the login; look at auth_username and its password"
                ) from error

    def _one(self, smtp: smtplib.SMTP, contact: str, notification: Notification, about: About) -> Answer:
        message = message_for(contact, notification, about, self._settings)
        try:
            smtp.send_message(message, to_addrs=[contact])
        except smtplib.SMTPRecipientsRefused as error:
            code, text = error.recipients.get(contact, (550, b""))
            return _of_code(code, text)
        except smtplib.SMTPResponseException as error:
            return _of_code(error.smtp_code, error.smtp_error)
        return Answer("delivered")


def _of_code(code: int, text: bytes | str, *, of_login: bool = False) -> Answer:
    """What an SMTP reply means: 4xx is for now, 5xx for good."""
    said = " ".join((text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)).split())[:200]
    error = f"the mail server answered {code} {said}".strip()
    if code == 421:
        return Answer("slow_down", error, 30.0)
    if code < 500:
        return Answer("retry", error)
    return Answer("misconfigured" if of_login or code in (530, 534, 535, 538) else "refused", error)


def _cut(smtp: smtplib.SMTP) -> None:
    sock = smtp.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)


def _sentence(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the mail server did not answer in time"
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return "the mail server closed the connection, or did not answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "the mail server refused the connection"
    return str(getattr(error, "strerror", None) or error or type(error).__name__)[:300]
