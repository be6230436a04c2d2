"""E-mail through a real SMTP server: what arrives, what is refused, what cannot be injected."""

from __future__ import annotations

import email
import email.policy
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from setpoint.alert.notify.channel import About, Answer
from setpoint.alert.notify.channels import channel_for
from setpoint.alert.notify.model import bundled
from setpoint.alert.route.model import Integration
from tests.alert.notify.office import EXTERNAL, NOW_MS, Sink, alert, notification

BASE = {"to": "ops@example.com", "from": "Setpoint <setpoint@example.com>", "require_tls": False}


class Mailbox:
    """Takes mail; `refuse` answers for an address."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.refuse: dict[str, str] = {}

    async def handle_RCPT(
        self, server: Any, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), message))
        return "250 taken"


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def server(mailbox: Mailbox) -> Iterator[str]:
    yield from _served(mailbox)


def _served(mailbox: Mailbox, **options: Any) -> Iterator[str]:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    controller = Controller(mailbox, hostname="127.0.0.1", port=port, **options)
    controller.start()
    yield f"127.0.0.1:{port}"
    controller.stop()


def send(settings: Mapping[str, Any], *alerts: Any, already: frozenset[str] = frozenset()) -> Answer:
    channel = channel_for(Integration("email", 0, True, {**BASE, **settings}))
    about = About(EXTERNAL, "setpoint-abc", 1, NOW_MS, 5.0, already)
    return channel.send(notification(*(alerts or ("Burn",))), about)


def test_a_mail(mailbox: Mailbox, server: str) -> None:
    assert send({"smarthost": server, "headers": {"X-Team": "{{ .CommonLabels.service }}"}}).ok
    ((to, message),) = mailbox.mails
    assert to == ["ops@example.com"]
    assert message["To"] == "ops@example.com"
    assert message["From"] == "Setpoint <setpoint@example.com>"
    assert "Burn" in message["Subject"]
    assert message["X-Team"] == "shop"
    assert message["Message-ID"].startswith("<setpoint-abc.")
    text, html = message.get_body(("plain",)), message.get_body(("html",))
    assert text is not None
    assert html is not None
    assert "Burn burns" in text.get_content()
    assert "Burn burns" in html.get_content()


def test_labels_cannot_add_headers_or_markup(mailbox: Mailbox, server: str) -> None:
    hostile = "x\r\nBcc: victim@example.com\r\n\r\n<script>alert(1)</script>\0é"
    assert send(
        {
            "smarthost": server,
            "headers": {"Subject": "{{ .CommonLabels.zone }}", "X-Zone": "{{ .CommonLabels.zone }}"},
        },
        alert("Burn", zone=hostile),
    ).ok
    ((to, message),) = mailbox.mails
    assert to == ["ops@example.com"]
    assert "Bcc" not in message
    assert "victim@example.com" in message["Subject"]
    html = message.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()


def test_each_address_gets_a_mail_of_its_own_and_only_one(mailbox: Mailbox, server: str) -> None:
    settings = {"smarthost": server, "to": "A <a@example.com>, b@example.com, a@example.com"}
    mailbox.refuse = {"b@example.com": "451 later"}
    answer = send(settings)
    assert (answer.kind, answer.reached) == ("retry", ("a@example.com",))
    mailbox.refuse = {}
    assert send(settings, already=frozenset(answer.reached)).ok
    assert [to for to, _ in mailbox.mails] == [["a@example.com"], ["b@example.com"]]
    assert "b@example.com" not in str(mailbox.mails[0][1]["To"])


def test_what_a_server_says(mailbox: Mailbox, server: str) -> None:
    mailbox.refuse = {"ops@example.com": "550 no such user"}
    answer = send({"smarthost": server})
    assert (answer.kind, answer.error) == ("refused", "the mail server answered 550 no such user")
    answer = send({"smarthost": server, "require_tls": True})
    assert answer.kind == "misconfigured"
    assert "STARTTLS" in answer.error
    assert send({"smarthost": server, "to": "nobody"}).kind == "misconfigured"
    assert send({"smarthost": "example"}).kind == "misconfigured"
    assert send({"smarthost": "127.0.0.1:1"}).kind == "retry"


def test_one_that_talks_nonsense_or_slowly(sink: Sink) -> None:
    channel = channel_for(Integration("email", 0, True, {**BASE, "smarthost": f"127.0.0.1:{sink.port}"}))
    answer = channel.send(notification("A"), About(EXTERNAL, "key", 1, NOW_MS, 0.3))
    assert answer.kind == "retry"


def test_tls_and_a_login(mailbox: Mailbox, tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    def check(_: Any, __: Any, ___: Any, ____: Any, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login, data.password) == (b"ops", b"pa55"))

    (tmp_path / "password").write_text("pa55\n")
    for address in _served(
        mailbox, tls_context=context, require_starttls=True, authenticator=check, auth_required=True
    ):
        settings = {
            "smarthost": address,
            "require_tls": True,
            "auth_username": "ops",
            "auth_password_file": str(tmp_path / "password"),
        }
        answer = send(settings)
        assert answer.kind == "misconfigured"
        assert "certificate" in answer.error
        trusted = {**settings, "tls_config": {"ca_file": str(tmp_path / "cert")}}
        assert send(trusted).ok
        (tmp_path / "password").write_text("wrong\n")
        answer = send(trusted)
        assert answer.kind == "misconfigured"
    assert len(mailbox.mails) == 1


def test_a_bundle_says_how_many(mailbox: Mailbox, server: str) -> None:
    channel = channel_for(Integration("email", 0, True, {**BASE, "smarthost": server}))
    several = [notification(f"A{number}", group=f"g{number}") for number in range(3)]
    assert channel.send(bundled(several), About(EXTERNAL, "key", 1, NOW_MS)).ok
    message = mailbox.mails[0][1]
    assert "(3 notifications in one)" in message["Subject"]
    text = message.get_body(("plain",))
    assert text is not None
    assert all(f"A{number} burns" in text.get_content() for number in range(3))
