# ruff: noqa: E501 - a template is one line
"""Texts of notifications: the same alerts through Debian's Alertmanager and through Setpoint make the same text.

Slack's fields are text and an e-mail's body is HTML, so a slack and an e-mail receiver on loopback say what Alertmanager
writes; a webhook of the same group says which alerts it wrote about.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import default as email_policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from tests.alert.receiver import Received, Receiver
from tests.conftest import require
from tests.differential.alertmanager import Alertmanager
from tests.differential.ports import free_port

from setpoint.alert.notify.text import TemplateData, Texts
from setpoint.alert.notify.text.data import TemplateAlert

_WAIT_S = 90
_SEPARATOR = "<hr class='next'>"

FILE = r"""
{{ define "subject" }}[{{ .Status | toUpper }}{{ if eq .Status "firing" }}:{{ .Alerts.Firing | len }}{{ end }}] {{ .GroupLabels.SortedPairs.Values | join " " }} {{ if gt (len .CommonLabels) (len .GroupLabels) }}({{ with .CommonLabels.Remove .GroupLabels.Names }}{{ .Values | join " " }}{{ end }}){{ end }}{{ end }}
{{ define "list" }}{{ range . }}Labels:
{{ range .Labels.SortedPairs }} - {{ .Name }} = {{ .Value }}
{{ end }}Annotations:
{{ range .Annotations.SortedPairs }} - {{ .Name }} = {{ .Value }}
{{ end }}Source: {{ .GeneratorURL }}
{{ end }}{{ end }}
{{ define "empty" }}   {{ end }}
{{ define "link" }}{{ .ExternalURL }}/#/alerts?receiver={{ .Receiver }}{{ end }}
"""

TEMPLATES = (
    '{{ template "subject" . }}',
    '{{ template "list" .Alerts }}|{{ template "list" .Alerts.Firing }}|{{ template "list" .Alerts.Resolved }}',
    '[{{ template "empty" . }}] {{ template "link" . }}',
    '{{ block "own" .CommonLabels }}{{ .alertname }} and {{ .none }}{{ end }}; {{ template "own" .GroupLabels }}',
    "{{ .Receiver }} {{ .Status }} {{ .ExternalURL }} {{ len .Alerts }} {{ .Alerts | len }} {{ len .CommonAnnotations }}",
    "{{ .CommonLabels.Names }} {{ .CommonLabels.Values }} {{ .CommonLabels.SortedPairs.Names }}",
    "{{ range $place, $alert := .Alerts }}{{ $place }}: {{ $alert.Labels.instance }} {{ $.Status }} {{ end }}",
    '{{ (index .Alerts 0).Labels.instance }} {{ index .CommonLabels "alertname" }} {{ index .CommonLabels "none" }}.',
    "{{ with index .Alerts 1 }}{{ .Annotations.summary }}{{ end }} {{ (index .Alerts.Firing 0).Annotations.summary | title }}",
    '{{ range .Alerts }}{{ .StartsAt.Format "2006-01-02 15:04:05" }} {{ .StartsAt.Unix }} {{ .EndsAt.IsZero }} {{ .StartsAt.UTC.Format "Mon, 02 Jan 2006 15:04:05 MST" }}; {{ end }}',
    '{{ range .Alerts }}{{ (.StartsAt.Add 28800e9).Format "2006-01-02T15:04:05.000Z07:00" }} {{ (.StartsAt.Add -3600000000000).Format "3:04PM Jan _2 06" }} {{ (.StartsAt.AddDate 0 1 -1).Format "January 2, 2006 -0700" }}; {{ end }}',
    "{{ range .Alerts }}{{ .StartsAt }} {{ .EndsAt }} {{ .StartsAt.Local }} {{ .StartsAt.Month }} {{ .StartsAt.Weekday }} {{ .StartsAt.YearDay }}; {{ end }}",
    '{{ range .Alerts.Resolved }}{{ .EndsAt.Sub .StartsAt }} {{ (.EndsAt.Sub .StartsAt).Minutes }} {{ (.EndsAt.Sub .StartsAt).Hours }} {{ (.EndsAt.Sub .StartsAt).Seconds | printf "%.1f" }} {{ (.EndsAt.Sub .StartsAt).Milliseconds }} {{ (.EndsAt.Sub .StartsAt).Round 60000000000 }} {{ (.EndsAt.Sub .StartsAt).Truncate 3600000000000 }}{{ end }}',
    '{{ range .Alerts }}{{ printf "%02d %d %v" .StartsAt.Month .StartsAt.Weekday .StartsAt.Month }} {{ .StartsAt.After .EndsAt }} {{ .StartsAt.Before .EndsAt }} {{ .StartsAt.Year }}/{{ .StartsAt.Day }} {{ .StartsAt.Hour }}:{{ .StartsAt.Minute }}:{{ .StartsAt.Second }}; {{ end }}',
    '{{ .CommonLabels.severity | toUpper }} {{ "ABC def" | title }} {{ "X" | toLower }} {{ title "o\'neil and-co x.y" }}',
    '{{ if match "^Up" .CommonLabels.alertname }}yes{{ else if eq 1 2 }}no{{ else }}never{{ end }} {{ reReplaceAll "(.*):(\\\\d+)" "$2@$1" "host:90" }} {{ stringSlice "a" "b" | join "," }}',
    '{{ range .Alerts }}{{ range .Labels.Remove (stringSlice "alertname" "severity") }}<{{ . }}>{{ end }}{{ end }} {{ safeHtml "<b>" }}',
    "{{ range .CommonLabels.SortedPairs }}{{ .Name }}={{ .Value }},{{ end }} {{ range $name, $value := .CommonLabels }}{{ $name }}:{{ $value }} {{ end }}",
    "{{ $n := 0 }}{{ range .Alerts }}{{ $n = len .Labels }}{{ end }}{{ $n }} {{ and .Status 0 }} {{ or 0 .Status }} {{ not .Alerts }}",
    '{{ range .Alerts }}{{ if ne .Status "firing" }}{{ continue }}{{ end }}{{ .Labels.instance }}{{ break }}{{ end }} {{- /* said */ -}} !',
    '{{ define "inner" }}{{ .Status }}!{{ end }}{{ range .Alerts }}{{ template "inner" . }}{{ end }}',
    '{{ printf "%s %q %d %5.2f %v %t" "a" .Status (len .Alerts) 3.14159 .GroupLabels.alertname true }} {{ print 1 2 "a" }} {{ html "<&>" }} {{ urlquery "a b&c" }}',
    "{{ range .Alerts }}{{ .Fingerprint }} {{ .GeneratorURL }} {{ .Annotations.description }}\n{{ end }}",
    '{{ len "größe" }} {{ slice "abcdef" 1 3 }} {{ eq .Status "resolved" "firing" }} {{ lt 1 2 }} {{ ge 2.5 2.5 }}',
    "{{ with .CommonAnnotations.none }}{{ . }}{{ else }}nothing{{ end }}{{ with $x := .Status }}{{ $x }}{{ end }}",
    '{{ (.CommonLabels.Remove .GroupLabels.Names).Values }} {{ .Alerts.Firing | len | printf "%03d" }}',
)

HTML = (
    "<p>{{ .CommonAnnotations.summary }}</p>{{ range .Alerts }}<b>{{ .Annotations.description }}</b>{{ end }}",
    '{{ range .Alerts }}<a href="{{ .GeneratorURL }}">x</a><a href="{{ .Annotations.link }}" title="{{ .Annotations.description }}">y</a>{{ end }}',
    "{{ range .Alerts }}<a href='https://wiki.example/{{ .Labels.path }}?q={{ .Labels.path }}&s={{ .Annotations.description }}#{{ .Labels.path }}'>z</a>{{ end }}",
    '<a href="{{ template "link" . }}">all</a> <img src="/i/{{ .CommonLabels.alertname }}.png" alt={{ .CommonLabels.severity }}>',
    'a<!-- left out {{ .Status }} -->b {{ safeHtml "<i>kept</i>" }} {{ "<i>not</i>" }}',
    '<td style="color: {{ if eq .Status "firing" }}#f00{{ else }}green{{ end }}; width: {{ len .Alerts }}px; x: {{ .CommonLabels.alertname }}; y: {{ (index .Alerts 0).Annotations.description }}">c</td>',
    '<title>{{ .CommonAnnotations.summary }} {{ "<x>" }}</title><textarea>{{ "</textarea>" }}</textarea>',
    '<p {{ "class" }}="a" data-x="{{ .GroupLabels.Names }}">{{ .GroupLabels.SortedPairs.Values | join "+" }}</p>',
    '{{ range .Alerts }}{{ .Annotations.description | html }} {{ .StartsAt.Format "2006-01-02" }} {{ .Labels.path | urlquery }}{{ end }}',
    "<br/><p class={{ .CommonLabels.severity }}>1 < 2 & {{ len .Alerts }}</p><!DOCTYPE html>",
)


@dataclass(frozen=True, slots=True)
class Written:
    """What Alertmanager wrote, and of which alerts."""

    data: TemplateData
    texts: list[str]
    html: list[str]


def _instant(text: str) -> int:
    return round(
        (datetime.fromisoformat(text) - datetime.fromisoformat("1970-01-01T00:00:00Z"))
        / timedelta(milliseconds=1)
    )


def _data(payload: dict[str, Any]) -> TemplateData:
    alerts = tuple(
        TemplateAlert(
            alert["status"],
            alert["labels"],
            alert["annotations"],
            _instant(alert["startsAt"]),
            None if alert["status"] == "firing" else _instant(alert["endsAt"]),
            alert["generatorURL"],
            alert["fingerprint"],
        )
        for alert in payload["alerts"]
    )
    return TemplateData(
        payload["receiver"],
        payload["status"],
        alerts,
        payload["groupLabels"],
        payload["commonLabels"],
        payload["commonAnnotations"],
        payload["externalURL"],
        at_ms=alerts[0].starts_ms,
    )


class _Mails:
    def __init__(self) -> None:
        self.bodies: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        del server, session
        message = message_from_bytes(envelope.content, policy=email_policy)
        body = message.get_body(("html",))
        assert body is not None
        self.bodies.append(body.get_content().replace("\r\n", "\n"))
        return "250 taken"


def _config(folder: Path, hears: str, smtp_port: int) -> str:
    (folder / "own.tmpl").write_text(FILE)
    fields = [{"title": str(place), "value": template} for place, template in enumerate(TEMPLATES)]
    config = {
        "templates": [str(folder / "*.tmpl")],
        "route": {"receiver": "team", "group_by": ["alertname"], "group_wait": "1s"},
        "receivers": [
            {
                "name": "team",
                "webhook_configs": [{"url": f"{hears}/webhook"}],
                "slack_configs": [{"api_url": f"{hears}/slack", "channel": "x", "send_resolved": True, "fields": fields}],
                "email_configs": [
                    {
                        "to": "team@shop.example", "from": "alerts@shop.example", "require_tls": False, "hello": "shop.example",
                        "smarthost": f"127.0.0.1:{smtp_port}", "send_resolved": True,
                        "headers": {"Subject": "alerts"}, "html": _SEPARATOR.join(HTML),
                    }
                ],
            }
        ],
    }  # fmt: skip
    return json.dumps(config)


def _alerts() -> list[dict[str, Any]]:
    return [
        {
            "labels": {"alertname": "UpForLong", "severity": "page", "instance": "web:1", "path": "a b/c?d=e&f"},
            "annotations": {"summary": "Half & <all>", "description": "it's \"so\" <b>1 + 1</b>", "link": "javascript:alert(1)"},
            "startsAt": "2026-01-31T08:05:09.012Z",
            "generatorURL": "http://prom.example/graph?g0.expr=up+%3D%3D+0&g0.tab=1",
        },
        {
            "labels": {"alertname": "UpForLong", "severity": "page", "instance": "web:2", "path": "/x"},
            "annotations": {"summary": "Half & <all>", "description": "plain größe", "link": "mailto:a@b.example"},
            "startsAt": "2026-01-31T20:05:09Z",
            "endsAt": "2026-01-31T22:06:10.5Z",
            "generatorURL": "",
        },
    ]  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    require("Alertmanager", Alertmanager.is_installed(), "prometheus-alertmanager")
    folder = tmp_path_factory.mktemp("alertmanager")
    receiver, mails = Receiver(), _Mails()
    smtp = Controller(mails, hostname="127.0.0.1", port=free_port())
    smtp.start()
    paths: dict[str, dict[str, Any]] = {}

    def remember(received: Received) -> None:
        paths.setdefault("slack" if "attachments" in received.payload else "webhook", received.payload)

    receiver.decide = remember
    config = _config(folder, receiver.url, smtp.port)
    try:
        with Alertmanager(folder / "am", config, "http://alerts.shop.example/am") as alertmanager:
            alertmanager.post(_alerts())
            deadline = time.monotonic() + _WAIT_S
            while time.monotonic() < deadline and not (len(paths) == 2 and mails.bodies):
                time.sleep(0.05)
            assert len(paths) == 2, alertmanager.log()
            assert mails.bodies, alertmanager.log()
        fields = paths["slack"]["attachments"][0]["fields"]
        yield Written(
            _data(paths["webhook"]),
            [field["value"] for field in fields],
            mails.bodies[0].split(_SEPARATOR),
        )
    finally:
        smtp.stop()
        receiver.close()


@pytest.mark.parametrize("place", range(len(TEMPLATES)))
def test_the_same_text(written: Written, place: int) -> None:
    texts = Texts({"own.tmpl": FILE})
    assert texts.expand(TEMPLATES[place], written.data) == written.texts[place], TEMPLATES[place]


@pytest.mark.parametrize("place", range(len(HTML)))
def test_the_same_html(written: Written, place: int) -> None:
    texts = Texts({"own.tmpl": FILE})
    ours = texts.expand(HTML[place], written.data, is_html=True)
    assert ours.strip() == written.html[place].strip(), HTML[place]
