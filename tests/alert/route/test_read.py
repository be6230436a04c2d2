"""An alertmanager.yml is read as it is: every section, every default, every fault with its line; and whatever somebody
writes is read or refused.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from setpoint.alert.route.kinds import KINDS
from setpoint.alert.route.model import Routing
from setpoint.alert.route.read import read_routing
from setpoint.errors import InvalidInput

WHOLE = """\
global:
  resolve_timeout: 3m
  smtp_smarthost: mail.example.com:587
  smtp_from: alerts@example.com
  smtp_auth_username: alerts
  smtp_auth_password: hunter2hunter2
  smtp_require_tls: false
  slack_api_url_file: secrets/slack
  opsgenie_api_key: opsgenie-key-1
  telegram_bot_token: "123:telegram-token"
  http_config:
    authorization: {credentials: bearer-credentials}
    proxy_url: http://ada:lovelace@proxy.example.com:3128
    tls_config: {ca_file: ca.pem}
templates: ['templates/*.tmpl', /etc/other.tmpl]
route:
  receiver: chat
  group_by: [alertname, service]
  group_wait: 1m
  routes:
    - matchers: ['severity="page"', 'team=~"a|b",env!=test']
      receiver: on-call
      group_by: ['...']
      repeat_interval: 1h
      continue: yes
      routes:
        - match: {region: eu}
          active_time_intervals: [office]
    - match_re: {service: check.*|cart}
      mute_time_intervals: [nights]
      group_by: []
inhibit_rules:
  - name: down
    source_match: {alertname: Down}
    target_match_re: {severity: page|ticket}
    equal: [service, zone, service]
  - source_matchers: [a="1"]
    target_matchers: [b="2"]
mute_time_intervals:
  - name: nights
    time_intervals: [{times: [{start_time: "22:00", end_time: "24:00"}]}]
time_intervals:
  - name: office
    time_intervals: [{weekdays: ["monday:friday"], months: ["january:11"], years: [2026], location: Europe/Berlin}]
receivers:
  - name: chat
    slack_configs: [{channel: "#alerts"}]
    webhook_configs:
      - url: https://example.com/hook/some-secret-path
        max_alerts: 5
        timeout: 10s
      - url_file: hook.url
        send_resolved: false
        http_config: {basic_auth: {username: ada, password_file: pw}}
  - name: on-call
    pagerduty_configs: [{routing_key: 0123456789abcdef, details: {token: in-details}}]
    email_configs: [{to: oncall@example.com}]
    opsgenie_configs: [{api_key_file: og}]
    telegram_configs: [{chat_id: -100200300}]
    discord_configs: [{webhook_url: https://discord.example.com/api/webhooks/1/abcdef}]
"""
SECRETS = (
    "hunter2hunter2", "opsgenie-key-1", "telegram-token", "bearer-credentials", "lovelace", "some-secret-path",
    "0123456789abcdef", "in-details", "abcdef",
)  # fmt: skip


def read(text: str) -> Routing:
    return read_routing("/etc/am/alertmanager.yml", text)


def settings_of(routing: Routing, receiver: str, key: str) -> dict[str, Any]:
    return next(dict(one.settings) for one in routing.integrations(receiver) if one.key == key)


def problems(text: str) -> list[str]:
    with pytest.raises(InvalidInput) as error:
        read_routing("am.yml", text)
    return [str(one) for one in error.value.problems]


def test_routes_inherit_and_are_named_as_in_alertmanager() -> None:
    routing = read(WHOLE)
    root, (first, second) = routing.route, routing.route.routes
    assert (root.group_wait_ms, root.group_interval_ms, root.repeat_interval_ms) == (
        60_000,
        300_000,
        14_400_000,
    )
    assert first.group_by is None
    assert first.continues
    assert (first.group_wait_ms, first.repeat_interval_ms) == (60_000, 3_600_000)
    assert first.key == '{}/{env!="test",severity="page",team=~"a|b"}'
    below = first.routes[0]
    assert (below.receiver, below.group_by, below.repeat_interval_ms) == ("on-call", None, 3_600_000)
    assert below.key == first.key + '/{region="eu"}'
    assert not below.continues
    assert second.key == '{}/{service=~"^(?:check.*|cart)$"}'
    assert second.group_by == ()
    assert [one.id for one in root.walk()] == ["0", "0.0", "0.0.0", "0.1"]
    assert root.walk().__next__().line == 16
    assert routing.resolve_timeout_ms == 180_000


def test_globals_are_merged_into_channels_and_files_made_whole() -> None:
    routing = read(WHOLE)
    slack = settings_of(routing, "chat", "slack[0]")
    assert slack["api_url_file"] == "/etc/am/secrets/slack"
    assert "api_url" not in slack
    assert slack["http_config"]["tls_config"]["ca_file"] == "/etc/am/ca.pem"
    assert settings_of(routing, "chat", "webhook[1]") == {
        "url_file": "/etc/am/hook.url",
        "http_config": {"basic_auth": {"username": "ada", "password_file": "/etc/am/pw"}},
    }
    email = settings_of(routing, "on-call", "email[0]")
    assert email["smarthost"] == "mail.example.com:587"
    assert email["auth_password"] == "hunter2hunter2"
    assert email["require_tls"] is False
    assert email["hello"] == "localhost"
    opsgenie = settings_of(routing, "on-call", "opsgenie[0]")
    assert opsgenie["api_key_file"] == "/etc/am/og"
    assert "api_key" not in opsgenie
    assert settings_of(routing, "on-call", "pagerduty[0]")["url"] == "https://events.pagerduty.com/v2/enqueue"
    assert settings_of(routing, "on-call", "telegram[0]")["chat_id"] == -100200300
    assert routing.templates == ("/etc/am/templates/*.tmpl", "/etc/other.tmpl")


def test_send_resolved_has_the_default_of_each_kind() -> None:
    routing = read(WHOLE)
    told = {one.key: one.send_resolved for name in ("chat", "on-call") for one in routing.integrations(name)}
    assert told == {
        "slack[0]": False,
        "webhook[0]": True,
        "webhook[1]": False,
        "pagerduty[0]": True,
        "email[0]": False,
        "opsgenie[0]": True,
        "telegram[0]": True,
        "discord[0]": True,
    }
    assert {name for name, kind in KINDS.items() if not kind.send_resolved} == {
        "email", "slack", "wechat", "rocketchat",
    }  # fmt: skip


def test_secrets_are_never_shown() -> None:
    routing = read(WHOLE)
    for secret in SECRETS:
        assert secret not in routing.text, secret
        assert secret not in repr(routing), secret
        assert secret not in routing.source_text
    shown = YAML(typ="safe").load(routing.text)
    assert shown["global"]["smtp_smarthost"] == "mail.example.com:587"
    assert shown["receivers"][0]["webhook_configs"][1]["url_file"] == "hook.url"


def test_rules_and_intervals() -> None:
    routing = read(WHOLE)
    first, second = routing.inhibit_rules
    assert (first.name, first.equal) == ("down", ("service", "zone"))
    assert str(first.target[0]) == 'severity=~"^(?:page|ticket)$"'
    assert [str(one) for one in second.source + second.target] == ['a="1"', 'b="2"']
    assert sorted(routing.intervals) == ["nights", "office"]
    assert routing.intervals["office"].stretches[0].months == ((1, 11),)


HEAD = "route: {receiver: a}\nreceivers: [{name: a}]\n"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "am.yml:1: route: no routes provided"),
        ("receivers: [{name: a}]", "no routes provided"),
        ("route: {}\nreceivers: [{name: a}]", "root route must specify a default receiver"),
        ("route: {receiver: b}\nreceivers: [{name: a}]", "am.yml:1: route.receiver: undefined receiver 'b'"),
        (
            "route: {receiver: a, continue: true}\nreceivers: [{name: a}]",
            "cannot have continue in root route",
        ),
        (
            "route: {receiver: a, matchers: [a=b]}\nreceivers: [{name: a}]",
            "root route must not have any matchers",
        ),
        (
            "route: {receiver: a, mute_time_intervals: [x]}\nreceivers: [{name: a}]",
            "root route must not have any mute time intervals",
        ),
        ("route: {receiver: a}\nreceivers: [{name: a}, {name: a}]", "'a' is not unique"),
        ("route: {receiver: a}\nreceivers: [{nme: a}]", "missing name in receiver"),
        (f"{HEAD}typo: 1", "am.yml:3: typo: the field 'typo' does not exist here"),
        (
            "route: {receiver: a, routes: [{mute_time_intervals: [x]}]}\nreceivers: [{name: a}]",
            "undefined time interval",
        ),
        (
            "route: {receiver: a, group_by: [a, a]}\nreceivers: [{name: a}]",
            "duplicated label 'a' in group_by",
        ),
        (
            "route: {receiver: a, group_by: [a, '...']}\nreceivers: [{name: a}]",
            "cannot have wildcard group_by",
        ),
        ("route: {receiver: a, group_interval: 0s}\nreceivers: [{name: a}]", "group_interval cannot be zero"),
        (
            "route: {receiver: a, repeat_interval: 0s}\nreceivers: [{name: a}]",
            "repeat_interval cannot be zero",
        ),
        ("route: {receiver: a, group_wait: soon}\nreceivers: [{name: a}]", "'soon' is not a duration"),
        ("route: {receiver: a, routes: [{matchers: ['a=~[']}]}\nreceivers: [{name: a}]", "not valid"),
        ("route: {receiver: a, routes: [{matchers: [a]}]}\nreceivers: [{name: a}]", "bad matcher format: a"),
        (
            "route: {receiver: a, routes: [{match: {a-b: c}}]}\nreceivers: [{name: a}]",
            "invalid label name 'a-b'",
        ),
        ("route: {receiver: a, routes: [{continue: maybe}]}\nreceivers: [{name: a}]", "true or false"),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{}]}]",
            "one of url, url_file must be",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: http://h, url_file: f}]}]",
            "at most one of url & url_file must be configured",
        ),
        ("route: {receiver: a}\nreceivers: [{name: a, webhook_configs: [{url: h}]}]", "this is no URL"),
        (
            "route: {receiver: a}\nreceivers: [{name: a, email_configs: [{to: a@b}]}]",
            "smtp_smarthost under global",
        ),
        (
            "route: {receiver: a}\nreceivers: [{name: a, slack_configs: [{}]}]",
            "slack_api_url or slack_app_token under",
        ),
        (f"{HEAD}global: {{smtp_smarthost: mail}}", "HOST:PORT"),
        (
            f"{HEAD}global: {{slack_api_url: http://a, slack_api_url_file: b}}",
            "at most one of slack_api_url &",
        ),
        (f"{HEAD}time_intervals: [{{name: x}}, {{name: x}}]", "time interval 'x' is not unique"),
        (f"{HEAD}time_intervals: [{{time_intervals: []}}]", "the time interval has no name"),
        (
            f"{HEAD}time_intervals: [{{name: x, time_intervals: [{{location: Mars}}]}}]",
            "no time zone of the IANA",
        ),
        (
            f"{HEAD}inhibit_rules: [{{source_match: {{a: b}}, target: x}}]",
            "the field 'target' does not exist",
        ),
        ("- a", "a mapping is expected; begin with 'route:'"),
        ("route: [", "bracket"),
        (f"{HEAD}---\n{HEAD}", "several documents"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, told: str) -> None:
    found = problems(text)
    assert any(told in one for one in found), found
    assert all(one.startswith("am.yml") for one in found)


def test_all_faults_are_told_at_once() -> None:
    text = "route:\n  receiver: b\n  group_wait: soon\n  bad: 1\nreceivers:\n- name: a\n  webhook_configs: [{url: x}]\n"
    assert [one.split(": ")[0] for one in problems(text)] == [
        "am.yml:7",
        "am.yml:7",
        "am.yml:4",
        "am.yml:2",
        "am.yml:3",
    ]


def test_what_does_less_than_is_written_is_warned_of() -> None:
    text = (
        "route: {receiver: a, labels: {team: x}}\ntracing: {endpoint: h}\n"
        "receivers: [{name: a, wechat_configs: [{api_secret: s, corp_id: c}]}]\n"
    )
    routing = read_routing("am.yml", text, sendable={"webhook"})
    assert [one.line for one in routing.warnings] == [3, 2, 1]
    assert "cannot send to wechat_configs" in routing.warnings[0].message
    assert [one.key for one in routing.integrations("a")] == ["wechat[0]"]


def test_hostile_files_are_refused_soon() -> None:
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{after}: &{after} [{', '.join(['*' + before] * 9)}]\n"
        for before, after in zip("abcdefgh", "bcdefghi", strict=True)
    )
    deep = "route:\n" + "".join(
        f"{'  ' * depth}  receiver: a\n{'  ' * depth}  routes:\n{'  ' * depth}  -\n" for depth in range(1000)
    )
    started = time.monotonic()
    for text in (
        HEAD + bomb,
        deep,
        "[" * 10_000,
        "{a: " * 10_000,
        HEAD + "\x00",
        HEAD + "\ufffe",
        HEAD + "templates: &a [*a]",
        HEAD + "? [a]\n: b",
        HEAD + "<<: 1",
        "route: !!python/object:os.system {receiver: a}\n",
        HEAD + "inhibit_rules:\n" + "- {equal: [a]}\n" * 60_000,
        "route:\n  receiver: " + "a" * 1_000_000 + "\nreceivers: []\n",
    ):
        assert problems(text)
    assert time.monotonic() - started < 50


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.floats(allow_nan=False, allow_infinity=False),
        st.text(max_size=6),
    ),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(st.text(max_size=6), below, max_size=3)),
    max_leaves=6,
)  # fmt: skip


@st.composite
def broken(draw: st.DrawFn) -> str:
    """The whole file with anything in the place of some of its values."""
    body = YAML(typ="safe").load(WHOLE)
    for _ in range(draw(st.integers(1, 3))):
        at: Any = body
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(at[key], (dict, list)) and at[key] and draw(st.integers(0, 3)):
                at = at[key]
                continue
            at[key] = draw(VALUES)
            break
    return json.dumps(body)


@given(text=broken())
@settings(max_examples=250, deadline=None)
def test_wrong_types_anywhere_are_read_or_refused(text: str) -> None:
    try:
        routing = read_routing("am.yml", text)
    except InvalidInput as error:
        assert error.problems
        assert all(one.file == "am.yml" and one.message for one in error.problems)
        return
    for route in routing.route.walk():
        assert route.receiver in routing.receivers
    assert routing.match({"severity": "page", "service": "checkout"})
    assert isinstance(routing.text, str)


def test_the_example_is_read(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    file.write_text("\ufeff" + WHOLE)
    assert read_routing(str(file), file.read_text("utf-8")).route.receiver == "chat"
