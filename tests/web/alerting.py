"""Alerts for tests of pages and commands: put into the book of a wired server, and looked at by its dispatcher."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from setpoint.alert.model import Alert
from setpoint.app import App
from setpoint.clock import VirtualClock
from tests.web.conftest import NOW_MS, apply, requests, send

__all__ = ["HOSTILE", "ROUTING", "RULES", "alert", "bad_day", "evaluate", "fire", "pass_time", "shop_alerts"]

MINUTE_MS = 60_000

HOSTILE: Mapping[str, str] = {
    "alertname": "<script>document.title = 'taken'</script>",
    "service": "check\u202eout\"'><img src=x onerror=alert(1)>",
    "severity": "page",
    "long": "x" * 10_000,
    "emoji": "🔥🐢 ما هذا",
    "unbreakable": "a" * 300,
}
"""Labels as somebody may send them."""

ROUTING = """
apiVersion: setpoint/v1
kind: AlertRouting
metadata: {name: shop}
spec:
  route:
    receiver: chat
    group_by: [service]
    group_wait: 10s
    routes:
      - {receiver: on-call, matchers: ['severity=~"page|critical"'], continue: true}
  receivers:
    - {name: chat, webhook_configs: [{url: "http://127.0.0.1:9/chat"}]}
    - {name: on-call, webhook_configs: [{url: "http://127.0.0.1:9/page"}]}
  inhibit_rules:
    - {source_matchers: ['severity="page"'], target_matchers: ['severity="critical"'], equal: [service]}
"""
"""Two receivers at which nobody listens; what pages inhibits what is critical."""

RULES = """
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata: {name: shop}
spec:
  groups:
    - name: shop
      interval: 30s
      rules:
        - alert: TooManyErrors
          expr: >-
            sum by (service_name) (rate(requests_total{code="500"}[5m]))
            / sum by (service_name) (rate(requests_total[5m])) > 0.05
          labels: {severity: page, service: "{{ $labels.service_name }}", team: web}
          annotations:
            summary: "{{ $value | humanizePercentage }} of requests fail"
            runbook_url: https://runbooks.example.com/errors
        - alert: NoRequests
          expr: sum by (service_name) (rate(requests_total[5m])) < 0.1
          for: 10m
          labels: {severity: ticket}
        - record: shop:requests:rate5m
          expr: sum(rate(requests_total[5m]))
    - name: broken
      rules:
        - alert: Twice
          expr: label_replace(requests_total, "code", "", "", "")
"""
"""One that fires in a shop of which requests fail, one that does not, one that records, one that is broken."""


def alert(name: str, minutes_ago: float = 5, now_ms: int = NOW_MS, /, **labels: str) -> Alert:
    """An alert that fires, until five minutes from now; what begins with `a_` is an annotation."""
    annotations = {key[2:]: value for key, value in labels.items() if key.startswith("a_")}
    kept = {"alertname": name} | {k: v for k, v in labels.items() if not k.startswith("a_")}
    return Alert(
        labels=kept,
        starts_ms=now_ms - round(minutes_ago * MINUTE_MS),
        updated_ms=now_ms,
        ends_ms=now_ms + 5 * MINUTE_MS,
        annotations=annotations,
        is_timeout=True,
    )


def fire(parts: App, *alerts: Alert) -> None:
    """Receive alerts, let the dispatcher look at them, and have them told to the timeline."""
    parts.alert_book.receive(alerts)
    parts.dispatcher.advance(parts.clock.now_ms())
    parts.alert_tender.tell(parts.clock.now_ms())


def shop_alerts() -> list[Alert]:
    """What fires on a bad day of a shop: pages, tickets, and what has neither service nor severity."""
    runbook = "https://runbooks.example.com/checkout/slow"
    return [
        alert(
            "CheckoutSlow",
            4,
            service="checkout",
            severity="page",
            team="payments",
            region="eu-1",
            a_summary="99 % of requests take longer than 1.2 s; the threshold is 0.5 s",
            a_runbook_url=runbook,
        ),
        alert(
            "CheckoutErrors",
            12,
            service="checkout",
            severity="critical",
            team="payments",
            a_summary="4.2 % fail",
        ),
        alert(
            "DiskFillsUp", 300, service="search", severity="ticket", instance="search-3:9100", mount="/data"
        ),
        alert("CertificateEnds", 4000, service="catalog", severity="ticket", a_summary="It ends in 6 days"),
        alert("Watchdog", 9000),
    ]


def pass_time(parts: App, seconds: float) -> None:
    """Let time pass, dispatch what is due, and deliver it."""
    assert isinstance(parts.clock, VirtualClock)
    parts.clock.advance(seconds)
    parts.dispatcher.advance(parts.clock.now_ms())
    parts.outbox.drain()


def evaluate(parts: App) -> None:
    """Evaluate all rules, each of which is due once in a minute."""
    assert isinstance(parts.clock, VirtualClock)
    for _ in range(4):
        parts.rules.advance()
        parts.clock.advance(15)
    parts.dispatcher.advance(parts.clock.now_ms())
    parts.alert_tender.tell(parts.clock.now_ms())


def bad_day(parts: App, client: httpx.Client) -> None:
    """A shop of which requests fail, with rules, a routing to receivers that do not answer, and a silence."""
    send(parts, requests("checkout", NOW_MS, [0] * 600 + [12] * 120))
    apply(client, ROUTING, RULES)
    fire(parts, *shop_alerts())
    answer = client.post(
        "/silences", json={"matchers": "service=search", "comment": "a larger disk comes at noon"}
    )
    assert answer.status_code == 201, answer.text
    evaluate(parts)
    pass_time(parts, 30)
