"""Channels through Apprise: its own addresses, and Alertmanager's channels in its words."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from setpoint.alert.notify.apprise import transport
from setpoint.alert.notify.apprise.address import address_of
from setpoint.alert.notify.channel import About, Answer
from setpoint.alert.notify.channels import channel_for
from setpoint.alert.notify.credential import Misconfigured
from setpoint.alert.route.model import Integration
from tests.alert.notify.office import EXTERNAL, NOW_MS, Sink, notification

UUID = "aaaaaaaa-1111-4111-8111-111111111111"


def send(kind: str, settings: Mapping[str, Any]) -> Answer:
    channel = channel_for(Integration(kind, 0, True, settings))
    try:
        return channel.send(notification("Burn"), About(EXTERNAL, "key", 1, NOW_MS, 1.0))
    finally:
        channel.close()


def test_an_address_of_apprises_own(sink: Sink, tmp_path: Path) -> None:
    url = f"json://127.0.0.1:{sink.port}/hook"
    (tmp_path / "url").write_text(f"{url}\n")
    assert send("apprise", {"url": url}).ok
    assert send("apprise", {"url_file": str(tmp_path / "url"), "title": "{{ .CommonLabels.alertname }}!"}).ok
    first, second = (json.loads(one.body) for one in sink.received)
    assert "Burn burns" in first["message"]
    assert first["type"] == "failure"
    assert second["title"] == "Burn!"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(500, "retry"), (429, "slow_down"), (400, "refused"), (404, "misconfigured"), (b"", "retry")],
)
def test_what_its_receiver_says(sink: Sink, answer: int | bytes, kind: str) -> None:
    sink.decide = lambda _: answer
    found = send("apprise", {"url": f"json://ops:pa55@127.0.0.1:{sink.port}/hook"})
    assert found.kind == kind
    assert "pa55" not in found.error


def test_an_address_that_leads_nowhere() -> None:
    answer = send("apprise", {"url": "carrierpigeon://coop/secret"})
    assert answer.kind == "misconfigured"
    assert "secret" not in answer.error


def test_a_slack_webhook_that_is_not_slacks(sink: Sink) -> None:
    settings = {
        "api_url": sink.url,
        "channel": "#ops",
        "title": "{{ .CommonLabels.alertname }}",
        "text": "look",
    }
    assert send("slack", settings).ok
    body = sink.received[0].payload
    assert body == {"text": "*Burn*\nlook", "channel": "#ops"}


@pytest.mark.parametrize(
    ("kind", "settings", "service"),
    [
        (
            "slack",
            {"api_url": "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"},
            "Slack",
        ),
        (
            "slack",
            {"app_token": "xoxb-1234-1234-4ddbc191d40ee098cbaae6f3523ada2d", "channel": "#ops"},
            "Slack",
        ),
        ("discord", {"webhook_url": f"https://discord.com/api/webhooks/{'0' * 18}/{'X' * 64}"}, "Discord"),
        ("telegram", {"bot_token": "123456789:abcdefg_hijklmnop", "chat_id": -100123}, "Telegram"),
        ("pushover", {"user_key": "u" * 30, "token": "a" * 30, "priority": "0"}, "Pushover"),
        ("opsgenie", {"api_key": UUID, "priority": "P1"}, "Opsgenie"),
        ("victorops", {"api_key": UUID, "routing_key": "ops"}, "Splunk"),
        ("mattermost", {"webhook_url": "https://chat.example.com/hooks/abcdefghij"}, "Mattermost"),
        (
            "rocketchat",
            {"api_url": "https://chat.example.com/", "token_id": "me", "token": "t" * 20, "channel": "#ops"},
            "RocketChat",
        ),
        (
            "sns",
            {
                "topic_arn": "arn:aws:sns:eu-west-1:123456789012:ops",
                "sigv4": {"access_key": "AKIA" + "X" * 16, "secret_key": "s" * 40, "region": "eu-west-1"},
            },
            "SNS",
        ),
        (
            "msteamsv2",
            {
                "webhook_url": "https://prod-12.westus.logic.azure.com:443/workflows/abc123/triggers/manual/paths/"
                "invoke?api-version=2016-06-01&sp=x&sv=1.0&sig=abcdefg"
            },
            "Workflows",
        ),
        (
            "webex",
            {"room_id": "abc", "http_config": {"authorization": {"credentials": "T" * 80}}},
            "WebexTeams",
        ),
    ],
)
def test_alertmanagers_channels_are_addresses_that_apprise_knows(
    kind: str, settings: Mapping[str, Any], service: str
) -> None:
    apprise = vars(transport)["apprise"]  # imported there without the warnings of its own
    found = apprise.Apprise.instantiate(address_of(kind, settings, lambda text: text))
    assert type(found).__name__ == f"Notify{service}"


def test_settings_that_lead_nowhere() -> None:
    for kind, settings in (
        ("sns", {}),
        ("mattermost", {"webhook_url": "https://x/"}),
        ("webex", {"room_id": "x"}),
    ):
        with pytest.raises(Misconfigured):
            address_of(kind, settings, lambda text: text)


def test_apprise_is_imported_only_when_it_is_used() -> None:
    code = (
        "import sys; from setpoint.alert.notify.outbox import Outbox; "
        "from setpoint.alert.notify.channels import channel_for; "
        "from setpoint.alert.route.model import Integration; "
        "channel_for(Integration('webhook', 0, True, {'url': 'http://127.0.0.1/'})); "
        "sys.exit('apprise' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
