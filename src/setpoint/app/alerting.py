"""Wires what alerts go through: the book, silences, routing, the dispatcher, the outbox. A part of `App`."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.dispatch.dispatcher import Dispatcher
from setpoint.alert.dispatch.lead import Lead
from setpoint.alert.dispatch.tend import Tender
from setpoint.alert.door.sources import AlertSources
from setpoint.alert.heartbeat.auditor import Auditor
from setpoint.alert.heartbeat.book import HeartbeatBook
from setpoint.alert.heartbeat.send import HeartbeatSender
from setpoint.alert.notices import Notices
from setpoint.alert.notify.channels import SENDABLE
from setpoint.alert.notify.outbox import Outbox
from setpoint.alert.notify.receivers import Receivers, is_wanted, successor
from setpoint.alert.quality.noise_book import NoiseBook, Teams
from setpoint.alert.route.inhibit import Inhibitor
from setpoint.alert.route.source import RoutingSource
from setpoint.alert.secret import read_secret
from setpoint.alert.silence.book import SilenceBook
from setpoint.app.audit import nobody_dispatches
from setpoint.clock import Clock
from setpoint.database import DataFolder, StateDatabase
from setpoint.objective.ownership import Ownership
from setpoint.settings import Settings
from setpoint.timeline import Timeline

__all__ = ["AlertingParts", "alerting_loops", "wire_alerting"]


@dataclass(frozen=True, kw_only=True)
class AlertingParts:
    """What alerts go through, from the one who brings one to the one who is told."""

    alert_book: AlertBook
    alert_tender: Tender
    silences: SilenceBook
    routing: RoutingSource
    dispatcher: Dispatcher
    outbox: Outbox
    receivers: Receivers
    notices: Notices
    heartbeats: HeartbeatBook
    heartbeat_sender: HeartbeatSender
    auditor: Auditor
    alert_sources: AlertSources
    noise: NoiseBook


def wire_alerting(
    settings: Settings,
    folder: DataFolder,
    clock: Clock,
    timeline: Timeline,
    database: StateDatabase,
    *,
    ownership: Callable[[], Ownership],
) -> AlertingParts:
    """Make every part. At the start silences and the configuration are known before anything is flushed. Raises
    StartupRefused when `alertmanager_config` cannot be used.
    """
    secrets = settings.secrets or folder.path / "secrets"
    routing = RoutingSource(
        settings.alertmanager_config,
        timeline,
        clock,
        sendable=SENDABLE,
        secrets=secrets,
    )
    silences = SilenceBook(database, timeline, clock)
    book = AlertBook(database, clock)
    # One process has a data folder: one that starts again takes up at once what it held.
    owner = f"{socket.gethostname()} {folder.path.resolve()}"
    outbox = _make_outbox(settings, clock, timeline, database, owner=owner, secrets=secrets)
    dispatcher = Dispatcher(
        book,
        clock,
        silences=silences,
        outbox=outbox,
        make_inhibitor=Inhibitor,
        lead=Lead(database, clock, owner),
    )
    receivers = Receivers(outbox)
    heartbeats = HeartbeatBook(
        database,
        timeline,
        clock,
        book,
        external_url=f"http://{settings.listen}",
        read_secret=partial(read_secret, secrets),
    )
    auditor = Auditor(outbox, {"the dispatcher": partial(nobody_dispatches, database, clock)})
    routing.subscribe(receivers.follow_routing)
    routing.subscribe(dispatcher.follow)
    return AlertingParts(
        alert_book=book,
        alert_tender=Tender(
            book, timeline, clock, is_leading=lambda: dispatcher.is_leading, holds=dispatcher.holds
        ),
        silences=silences,
        routing=routing,
        dispatcher=dispatcher,
        outbox=outbox,
        receivers=receivers,
        notices=Notices(database, timeline, clock, book, f"http://{settings.listen}"),
        heartbeats=heartbeats,
        heartbeat_sender=HeartbeatSender(
            clock, auditor, lambda: heartbeats.specs, read_secret=partial(read_secret, secrets)
        ),
        auditor=auditor,
        alert_sources=AlertSources(book, clock, secrets),
        noise=NoiseBook(database, clock, lambda: _teams(ownership())),
    )


def _make_outbox(
    settings: Settings,
    clock: Clock,
    timeline: Timeline,
    database: StateDatabase,
    *,
    owner: str,
    secrets: Path,
) -> Outbox:
    return Outbox(
        database,
        timeline,
        clock,
        external_url=f"http://{settings.listen}",
        read_secret=partial(read_secret, secrets),
        owner=owner,
        successor=successor,
        is_wanted=is_wanted,
    )


def _teams(ownership: Ownership) -> Teams:
    zones = {name: team.spec.time_zone for name, team in ownership.teams.items()}
    return Teams(ownership.owners, zones)


def alerting_loops(parts: AlertingParts, stop: threading.Event) -> dict[str, partial[None]]:
    """The background loops, by name; they end soon after `stop` is set."""
    return {
        "routing": partial(parts.routing.run, stop),
        "silences": partial(parts.silences.run, stop),
        "alert-book": partial(parts.alert_tender.run, stop),
        "notices": partial(parts.notices.run, stop),
        "dispatcher": partial(parts.dispatcher.run, stop),
        "outbox": partial(parts.outbox.run, stop),
        "heartbeats": partial(parts.heartbeats.run, stop),
        "heartbeat-sender": partial(parts.heartbeat_sender.run, stop),
    }
