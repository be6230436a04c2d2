"""A report that is made goes to the receivers that it names: as JSON to a webhook, as a letter to a mailbox."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from setpoint.app import App
from tests.alert.receiver import Receiver
from tests.mailbox import mail_server
from tests.web.conftest import HTML, JSON, apply

DOCUMENTS = """
apiVersion: setpoint/v1
kind: AlertRouting
metadata: {{name: house}}
spec:
  route: {{receiver: managers}}
  receivers:
    - name: managers
      webhook_configs: [{{url: "{hook}"}}]
      email_configs:
        - {{to: managers@example.com, from: setpoint@example.com, smarthost: "127.0.0.1:{smtp}", require_tls: false}}
---
apiVersion: setpoint/v1
kind: Report
metadata: {{name: weekly}}
spec: {{period: week, notify: [managers, gone]}}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    yield receiver
    receiver.close()


def test_a_report_is_sent_to_whom_it_names(populated: httpx.Client, parts: App, receiver: Receiver) -> None:
    with mail_server() as box:
        apply(populated, DOCUMENTS.format(hook=receiver.url, smtp=box.port))
        (made,) = parts.reports.make_due()
        parts.outbox.drain()
        parts.reports.make_due()
        parts.outbox.drain()

    (posted,) = receiver.received
    assert (posted.payload["kind"], posted.payload["name"]) == ("Report", "weekly")
    assert posted.payload["report"]["period"]["name"] == made.period.name
    assert {line["name"] for line in posted.payload["report"]["objectives"]} == {
        one.name for one in made.objectives
    }

    (letter,) = box.messages
    assert letter["Subject"] == f"{made.period.name}: everything"
    text, html = letter.get_body(("plain",)), letter.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().startswith(f"# {made.period.name}: everything")
    for line in made.objectives:
        assert line.name in html.get_content()
    assert posted.payload["url"] in html.get_content()

    (told,) = parts.timeline.query(kinds=["report.sent"])
    assert "the routing has no receiver 'gone'" in told.summary
    shown = populated.get("/notifications", headers=JSON).json()["items"]
    assert {(one["state"], one["names"][0]) for one in shown} == {("sent", f"{made.period.name}: everything")}
    assert f"{made.period.name}: everything" in populated.get("/notifications", headers=HTML).text
    key = ("managers", "webhook[0]", f"report:weekly:organisation::{made.period.name}")
    assert parts.dispatcher.log.told(key, parts.clock.now_ms()) is None, "no group of alerts was told"


def test_a_message_is_refused_where_only_alerts_are_understood(populated: httpx.Client, parts: App) -> None:
    apply(
        populated,
        DOCUMENTS.format(hook="http://127.0.0.1:9/", smtp=9).replace(
            'webhook_configs: [{url: "http://127.0.0.1:9/"}]',
            "pagerduty_configs: [{routing_key_file: pager.key, url: 'http://127.0.0.1:9/'}]",
        ),
    )
    parts.reports.make_due()
    parts.outbox.drain()
    shown = populated.get("/notifications", headers=JSON).json()["items"]
    (refused,) = [one for one in shown if one["integration"] == "pagerduty[0]"]
    assert "PagerDuty takes alerts only" in refused["error"]
