"""Webhooks: Alertmanager's payload, and receivers that do what no receiver should."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import ssl
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from setpoint.alert.model import NEVER
from setpoint.alert.notify.channel import About, Answer
from setpoint.alert.notify.channels import SENDABLE, channel_for
from setpoint.alert.notify.http import answer_of
from setpoint.alert.route.kinds import KINDS
from setpoint.alert.route.model import Integration
from setpoint.clock import stopwatch
from tests.alert.notify.office import EXTERNAL, NOW_MS, Sink, alert, notification, secret


def send(
    settings: Mapping[str, Any], *alerts: Any, kind: str = "webhook", deadline_s: float = 10.0
) -> Answer:
    channel = channel_for(Integration(kind, 0, True, settings))
    about = About(EXTERNAL, "setpoint-key", 1, NOW_MS, deadline_s, read_secret=secret)
    try:
        return channel.send(notification(*(alerts or ("Burn",)), group='{}:{alertname="Burn"}'), about)
    finally:
        channel.close()


def test_the_payload_is_alertmanagers(sink: Sink) -> None:
    assert send({"url": sink.url}, "Burn", alert("Old", ends_ms=NOW_MS, zone="b")).ok
    payload = sink.received[0].payload
    assert list(payload)[:10] == [
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "notification_reason",
    ]  # fmt: skip
    assert payload["version"] == "4"
    assert payload["groupKey"] == '{}:{alertname="Burn"}'
    assert payload["status"] == "firing"
    assert payload["commonLabels"] == {"service": "shop"}
    assert payload["commonAnnotations"] == {}
    assert payload["notification_reason"] == "first notification"
    burn, old = payload["alerts"]
    assert (burn["startsAt"], burn["endsAt"]) == ("2027-01-15T07:59:00.000Z", NEVER)
    assert (old["status"], old["endsAt"]) == ("resolved", "2027-01-15T08:00:00.000Z")
    assert burn["fingerprint"] == alert("Burn").fingerprint
    assert burn["generatorURL"] == f"{EXTERNAL}/alerts/Burn"
    assert sink.received[0].headers["Idempotency-Key"] == "setpoint-key"


def test_of_too_many_alerts_the_first_are_told(sink: Sink) -> None:
    assert send({"url": sink.url, "max_alerts": 2}, "A", "B", "C").ok
    payload = sink.received[0].payload
    assert ([one["labels"]["alertname"] for one in payload["alerts"]], payload["truncatedAlerts"]) == (
        ["A", "B"],
        1,
    )


def test_a_request_is_signed(sink: Sink, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("s3cret\n")
    for settings in ({"secretFile": "hook.key"}, {"secret_file": str(tmp_path / "key")}):
        assert send({"url": sink.url, **settings}).ok
    for received in sink.received:
        at, given = (part.split("=")[1] for part in received.headers["X-Setpoint-Signature"].split(","))
        signed = at.encode() + b"." + received.body
        assert hmac.compare_digest(given, hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest())


def test_the_address_may_stand_in_a_file(sink: Sink, tmp_path: Path) -> None:
    path = tmp_path / "url"
    answer = send({"url_file": str(path)})
    assert answer.kind == "misconfigured"
    assert "cannot be read" in answer.error
    path.write_text(f"{sink.url}\n")
    assert send({"url_file": str(path)}).ok


def test_hostile_labels_arrive_as_they_are(sink: Sink) -> None:
    labels = {"zone": 'ä"\n\0<script>\u2028'}
    assert send({"url": sink.url}, alert("Burn", ends_ms=None, **labels)).ok
    told = sink.received[0].payload["alerts"][0]["labels"]
    assert told["zone"] == labels["zone"]


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", "retry"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "retry"),
        (b"HTTP/1.1 2", "retry"),
        (b"HTTP/1.1 999 What\r\n\r\n", "retry"),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 99\r\n\r\nhalf", "retry"),
        (HEAD + b"Content-Length: 99\r\n\r\nhalf", "delivered"),  # it has said that it has it
        (b"HTTP/1.1 400 Bad\r\nContent-Length: 7\r\n\r\nno such", "refused"),
        (
            b"HTTP/1.1 307 There\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
            "misconfigured",
        ),
        (HEAD + b"X: " + b"x" * 70_000 + b"\r\n\r\n", "retry"),
    ],
)
def test_answers_that_are_none(sink: Sink, answer: bytes, kind: str) -> None:
    sink.decide = lambda _: answer
    found = send({"url": sink.url})
    assert found.kind == kind
    assert found.ok or found.error


@pytest.mark.parametrize(
    "pieces",
    [
        [b"H", b"T", b"T", b"P"] * 200,
        [HEAD, *[b"X-More: and more\r\n"] * 90],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 200,
        [b"HTTP/1.1 503 Oh\r\n\r\n", *[b"x"] * 200],
    ],
)
def test_nothing_takes_longer_than_its_deadline(sink: Sink, pieces: list[bytes]) -> None:
    sink.decide = lambda _: pieces
    took = stopwatch()
    assert send({"url": sink.url}, deadline_s=0.4).kind == "retry"
    assert took() < 8  # the pieces alone take ten seconds


def test_an_answer_without_end_is_an_answer(sink: Sink) -> None:
    sink.decide = lambda _: [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 100] * 400]
    took = stopwatch()
    assert send({"url": sink.url}, deadline_s=0.4).ok
    assert took() < 15


def test_one_that_hangs(sink: Sink) -> None:
    sink.decide = lambda _: "hang"
    answer = send({"url": sink.url}, deadline_s=0.2)
    assert (answer.kind, answer.error) == ("retry", "did not answer within 0.2 s")


def test_a_connection_that_was_closed_meanwhile_is_made_again(sink: Sink) -> None:
    channel = channel_for(Integration("webhook", 0, True, {"url": sink.url}))
    about = About(EXTERNAL, "key", 1, NOW_MS)
    for _ in range(3):
        assert channel.send(notification("A"), about).ok
    assert sink.connections == 1
    sink.drop()
    assert channel.send(notification("A"), about).ok
    assert (sink.connections, len(sink.received)) == (2, 4)
    channel.close()


def test_redirects_are_followed_only_where_it_is_written(sinks: Callable[[], Sink]) -> None:
    first, second = sinks(), sinks()
    first.headers = {"Location": second.url}
    first.decide = lambda _: 307
    config = {"authorization": {"credentials": "t0p"}}
    answer = send({"url": first.url, "http_config": config})
    assert answer.kind == "misconfigured"
    assert "redirect" in answer.error
    assert second.received == []
    assert send({"url": first.url, "http_config": {**config, "follow_redirects": True}}).ok
    assert first.received[0].headers["Authorization"] == "Bearer t0p"
    assert "Authorization" not in second.received[0].headers
    second.headers, second.decide = {"Location": first.url}, lambda _: 308
    assert "redirects more than" in send({"url": first.url, "http_config": {"follow_redirects": True}}).error


def test_http_config(sinks: Callable[[], Sink], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, proxy = sinks(), sinks()
    monkeypatch.setenv("http_proxy", proxy.url)
    monkeypatch.setenv("no_proxy", "")
    (tmp_path / "password").write_text("pa55\n")
    basic = {"username": "ops", "password_file": str(tmp_path / "password")}
    assert send({"url": sink.url, "http_config": {"basic_auth": basic}}).ok
    assert sink.received[0].headers["Authorization"] == "Basic b3BzOnBhNTU="
    assert proxy.received == []  # the environment names it, and nobody asked for it
    assert send({"url": sink.url, "http_config": {"proxy_url": proxy.url}}).ok
    assert proxy.received[0].line == f"POST {sink.url} HTTP/1.1"
    assert send({"url": sink.url, "http_config": {"proxy_from_environment": True}}).ok
    assert len(proxy.received) == 2
    assert send({"url": sink.url, "http_config": {"oauth2": {"client_id": "x"}}}).kind == "misconfigured"


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://#secret", "http://a b/", "http://[::1", "http://h:99999/"]
)
def test_an_address_that_is_none(url: str) -> None:
    answer = send({"url": url})
    assert answer.kind == "misconfigured"
    assert url not in answer.error


def test_certificates_are_verified(tmp_path: Path) -> None:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=hook.example.com",
         "-addext", "subjectAltName=DNS:hook.example.com", "-keyout", tmp_path / "key", "-out", tmp_path / "cert"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    sink = Sink(context)
    url = sink.url.replace("http:", "https:")
    try:
        for config in ({}, {"ca_file": str(tmp_path / "cert")}):
            answer = send({"url": url, "http_config": {"tls_config": config}})
            assert (answer.kind, "its certificate is not trusted" in answer.error) == ("misconfigured", True)
        trusted = {"ca_file": str(tmp_path / "cert"), "server_name": "hook.example.com"}
        assert send({"url": url, "http_config": {"tls_config": trusted}}).ok
        assert send({"url": url, "http_config": {"tls_config": {"insecure_skip_verify": True}}}).ok
        answer = send({"url": url, "http_config": {"tls_config": {"ca_file": str(tmp_path / "none")}}})
        assert "tls_config cannot be used" in answer.error
        assert len(sink.received) == 2
    finally:
        sink.close()


def test_a_proxy_is_asked_to_connect(sinks: Callable[[], Sink]) -> None:
    proxy = sinks()
    proxy.decide = lambda _: 407
    address = f"http://ops:pa55@127.0.0.1:{proxy.port}"
    answer = send({"url": "https://hook.example.com/x", "http_config": {"proxy_url": address}})
    assert answer.kind == "retry"
    assert "407" in answer.error
    assert proxy.received[0].line.startswith("CONNECT hook.example.com:443 ")
    assert proxy.received[0].headers["Proxy-Authorization"] == "Basic b3BzOnBhNTU="


def test_what_statuses_mean() -> None:
    from setpoint.alert.notify.http import Reply

    kinds = {
        kind: [status for status, _ in found]
        for kind, found in itertools.groupby(
            sorted(
                ((one, answer_of(Reply(one)).kind) for one in range(200, 600)),
                key=lambda one: (one[1], one[0]),
            ),
            key=lambda one: one[1],
        )
    }
    assert kinds["delivered"] == list(range(200, 300))
    assert kinds["slow_down"] == [429]
    assert set(kinds["retry"]) == {408, 425, *range(500, 600)}
    assert set(range(300, 400)) < set(kinds["misconfigured"])
    assert {400, 413, 415, 422} < set(kinds["refused"])


def test_every_kind_that_is_said_to_be_sendable_is_one_of_alertmanagers() -> None:
    assert set(KINDS) >= SENDABLE
    answer = send({}, kind="jira")
    assert answer.kind == "misconfigured"
    assert "jira_configs" in answer.error
