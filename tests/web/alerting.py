"""Alerts for tests of pages and commands: put into the book of a wired server, and looked at by its dispatcher."""

from __future__ import annotations

from collections.abc import Mapping

from setpoint.alert.model import Alert
from setpoint.app import App
from tests.web.conftest import NOW_MS

__all__ = ["HOSTILE", "alert", "fire", "shop_alerts"]

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


def alert(name: str, minutes_ago: float = 5, /, **labels: str) -> Alert:
    """An alert that fires; what begins with `a_` is an annotation."""
    annotations = {key[2:]: value for key, value in labels.items() if key.startswith("a_")}
    kept = {"alertname": name} | {k: v for k, v in labels.items() if not k.startswith("a_")}
    return Alert(
        labels=kept,
        starts_ms=NOW_MS - round(minutes_ago * MINUTE_MS),
        updated_ms=NOW_MS,
        ends_ms=NOW_MS + 5 * MINUTE_MS,
        annotations=annotations,
        is_timeout=True,
    )


def fire(parts: App, *alerts: Alert) -> None:
    """Receive alerts and let the dispatcher look at them."""
    parts.alert_book.receive(alerts)
    parts.dispatcher.advance(parts.clock.now_ms())


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
