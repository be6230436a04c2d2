"""Sends reports: writes one as a message and puts it into the outbox for each channel of the receivers that a `Report`
names. `routes` hands `Sender` to the reporter.
"""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.alert.notify.model import Message, Notification
from setpoint.app import App
from setpoint.report import Report
from setpoint.web.page import text_of
from setpoint.web.report import address_of, as_json
from setpoint.web.report_text import HEADS, as_markdown, cells, lead, when

__all__ = ["Sender"]

_LINES_MOST = 500


class Sender:
    """Hands reports over; see `report.reporter.Send`."""

    def __init__(self, parts: App) -> None:
        self._parts = parts

    def __call__(self, receivers: Sequence[str], name: str, report: Report) -> str:
        """Put the report into the outbox. Raises Unavailable; what is missing is in the answer."""
        known = self._parts.routing.current.receivers
        missing = [one for one in receivers if one not in known]
        mute = [one for one in receivers if one in known and not known[one].integrations]
        message = self._message(name, report)
        key = f"report:{name}:{report.scope.kind}:{report.scope.name}:{report.period.name}"
        self._parts.outbox.put(
            [
                Notification(
                    receiver=receiver,
                    integration=integration.key,
                    group_key=key,
                    group_labels={"report": name, "period": report.period.name},
                    alerts=(),
                    firing=(),
                    resolved=(),
                    reason="message",
                    at_ms=self._parts.clock.now_ms(),
                    message=message,
                )
                for receiver in dict.fromkeys(receivers)
                if receiver in known
                for integration in known[receiver].integrations
            ]
        )
        faults = [f"the routing has no receiver '{one}'" for one in missing]
        return "; ".join(faults + [f"the receiver '{one}' has no channel" for one in mute])

    def _message(self, name: str, report: Report) -> Message:
        period, scope = report.period, report.scope
        path = address_of(period.name, scope.kind, scope.name, period.time_zone)
        url = f"http://{self._parts.settings.listen}{path}"
        title = f"{period.name}: {scope.words}"
        html = text_of(
            "report_mail.html",
            title=title,
            when=when(period),
            lead=lead(report),
            heads=HEADS,
            rows=[cells(line) for line in report.objectives[:_LINES_MOST]],
            url=url,
        )
        data = {"kind": "Report", "name": name, "url": url, "report": as_json(report)}
        return Message(title, f"{as_markdown(report)}\n{url}\n", html, data)
