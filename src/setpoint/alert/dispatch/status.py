"""How alerts and groups stand, as pages, the API and commands show them; `Dispatcher` makes these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from setpoint.alert.model import Alert

__all__ = ["AlertStatus", "Explanation", "GroupView", "IntegrationView", "RouteExplained"]

State = Literal["unprocessed", "active", "suppressed"]


@dataclass(frozen=True, slots=True)
class AlertStatus:
    """As Alertmanager's API says it: suppressed when a silence or another alert mutes it, or every route that it takes
    is muted now. `silenced_by` are ids of silences, `inhibited_by` fingerprints, `muted_by` names of time intervals.
    """

    state: State = "unprocessed"
    silenced_by: tuple[str, ...] = ()
    inhibited_by: tuple[str, ...] = ()
    muted_by: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class IntegrationView:
    """What was decided for one integration of a group at its last flush, and what it was told before.

    `state`: `waiting` (no flush yet), `notified` (told, nothing new), `sending` (on its way), `quiet` (nothing to tell)
    or `muted`. `decision` is a sentence with the numbers. `notified_ms` is when it was last told, with how many firing.
    """

    integration: str
    state: str
    decision: str
    decided_ms: int | None = None
    notified_ms: int | None = None
    notified_firing: int = 0
    repeat_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group: the alerts of one route that share the values of its `group_by` labels; instants in Unix ms."""

    receiver: str
    group_labels: Mapping[str, str]
    group_key: str
    route: str
    alerts: tuple[Alert, ...]
    next_flush_ms: int
    last_flush_ms: int | None
    integrations: tuple[IntegrationView, ...]
    muted_by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RouteExplained:
    """One route that an alert takes, and how it stands there.

    `outcome`: `told` (this integration heard of it as it is now), `sending`, `waiting` (for a flush), `muted`, `quiet`.
    `lines` say in sentences with the numbers what was before the decisions of `integrations`.
    """

    route: str
    receiver: str
    group_key: str
    group_labels: Mapping[str, str]
    next_flush_ms: int | None
    integrations: tuple[IntegrationView, ...]
    outcome: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an alert did or did not notify. `summary` is the one sentence to read; `lines` are what holds for all routes
    (it ended, who silences it, who inhibits it); `is_leader` is False where another replica decides.
    """

    fingerprint: str
    is_known: bool
    summary: str
    status: AlertStatus = field(default_factory=AlertStatus)
    lines: tuple[str, ...] = ()
    routes: tuple[RouteExplained, ...] = ()
    is_leader: bool = True
