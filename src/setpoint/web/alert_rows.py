"""Alerts as a list: what each row says, which of them are asked for, in which groups, what is worst first.

Works on the alerts of the book and what the dispatcher says of them; `alerts` shows what it finds as page and as JSON,
`silences` what a silence would mute. Nothing here knows of HTTP.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

from setpoint.alert.dispatch.status import AlertStatus
from setpoint.alert.model import Alert, Labels
from setpoint.alert.quality import is_paging
from setpoint.alert.route.matcher import Matcher, matches_all, parse_matchers
from setpoint.web.terms import Term, read_terms

__all__ = [
    "GROUPINGS",
    "STATES",
    "AlertRow",
    "Group",
    "State",
    "alert_row",
    "chosen",
    "counted",
    "grouped",
    "link",
    "matcher_text",
    "ordered",
    "paging_count",
]

State = Literal["firing", "silenced", "inhibited", "muted"]
STATES: Final[tuple[State, ...]] = ("firing", "silenced", "inhibited", "muted")
"""In which order an alert is called by them: it fires and is told, or what keeps it from being told."""

GROUPINGS: Final = ("service", "team", "severity", "rule", "route")

_OWN_COLUMNS = frozenset({"alertname", "service", "severity", "team"})
_CHIPS, _VALUE_MAX, _SUMMARY_MAX = 8, 80, 400
_SUMMARIES = ("summary", "message", "description", "title")
_RUNBOOKS = ("runbook_url", "runbook", "runbook_uri")


@dataclass(frozen=True, slots=True)
class AlertRow:
    """What a list shows of one alert. `chips` are labels without a column, cut where they are long; `more` is how many
    are left out.
    """

    fingerprint: str
    name: str
    severity: str
    is_paging: bool
    state: State
    service: str
    team: str
    summary: str
    chips: tuple[tuple[str, str], ...]
    more: int
    starts_ms: int
    source: str
    runbook_url: str
    generator_url: str
    silenced_by: tuple[str, ...]
    inhibited_by: tuple[str, ...]
    muted_by: tuple[str, ...]
    receivers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Rows that share a value, worst first; `value` is empty for those without one."""

    value: str
    rows: tuple[AlertRow, ...]
    paging: int


def alert_row(alert: Alert, status: AlertStatus, owners: Mapping[str, str]) -> AlertRow:
    """The row of an alert; `owners` gives the team of a service where no label does."""
    labels, told = alert.labels, alert.annotations
    service, severity = labels.get("service", ""), labels.get("severity", "")
    others = [(name, value) for name, value in sorted(labels.items()) if name not in _OWN_COLUMNS]
    return AlertRow(
        fingerprint=alert.fingerprint,
        name=_short(alert.name or "(no name)", 200),
        severity=_short(severity, 40),
        is_paging=is_paging(severity),
        state=state_of(status),
        service=_short(service, 200),
        team=_short(labels.get("team") or owners.get(service, ""), 200),
        summary=_short(next((told[name] for name in _SUMMARIES if told.get(name)), ""), _SUMMARY_MAX),
        chips=tuple((_short(name, 60), _short(value, _VALUE_MAX)) for name, value in others[:_CHIPS]),
        more=max(0, len(others) - _CHIPS),
        starts_ms=alert.starts_ms,
        source=alert.source,
        runbook_url=link(next((told[name] for name in _RUNBOOKS if told.get(name)), "")),
        generator_url=link(alert.generator_url),
        silenced_by=status.silenced_by,
        inhibited_by=status.inhibited_by,
        muted_by=status.muted_by,
        receivers=status.receivers,
    )


def state_of(status: AlertStatus) -> State:
    """What keeps an alert from being told, the strongest first; `firing` when nothing does."""
    if status.silenced_by:
        return "silenced"
    if status.inhibited_by:
        return "inhibited"
    return "muted" if status.state == "suppressed" else "firing"


def paging_count(alerts: Iterable[Alert], status: Callable[[str], AlertStatus], now_ms: int) -> int:
    """How many alerts page now, for the rail: they fire, nothing mutes them, and their severity wakes somebody."""
    return sum(
        state_of(status(alert.fingerprint)) == "firing"
        for alert in alerts
        if is_paging(alert.labels.get("severity", "")) and not alert.is_resolved(now_ms)
    )


def link(address: str) -> str:
    """An address that a page may link to: http and https, and paths of ours; else nothing, as anybody sends alerts."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    if parts.scheme.lower() in ("http", "https") and parts.netloc:
        return address
    is_path = not parts.scheme and address.startswith("/") and not address.startswith("//")
    return address if is_path and "\\" not in address and address.isprintable() else ""


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


# ---- filter ----------------------------------------------------------------------------------------------------------


def chosen(query: str) -> Callable[[Alert, AlertRow], bool]:
    """What a query asks for: matchers as amtool writes them (`severity="page", service=~"check.*"`), else words and
    terms such as `team:payments -severity:ticket`. Raises InvalidInput for matchers that cannot be read.
    """
    if any(sign in query for sign in ("=~", "!=", "!~")) or ("=" in query and ":=" not in query):
        matchers = parse_matchers(query)
        return lambda alert, _: matches_all(matchers, alert.labels)
    terms = list(read_terms(query))
    return lambda alert, row: all(_holds(term, alert, row) for term in terms)


def _holds(term: Term, alert: Alert, row: AlertRow) -> bool:
    key = term.key.removeprefix("-")
    if not key:
        texts = (*alert.labels.values(), row.summary, row.team)
        return any(term.holds(text.lower()) for text in texts)
    known = {"state": row.state, "rule": row.name, "team": row.team, "source": row.source}.get(key)
    text = (_labelled(alert.labels, key) if known is None else known).lower()
    # `-team:` is how a group of those without a team is asked for; a text holds always what is empty.
    found = bool(text) if not term.value else term.holds(text)
    return found != term.key.startswith("-")


def _labelled(labels: Labels, key: str) -> str:
    if key in labels:
        return labels[key]
    return next((value for name, value in labels.items() if name.lower() == key), "")


# ---- order -----------------------------------------------------------------------------------------------------------


def ordered(rows: Iterable[AlertRow]) -> list[AlertRow]:
    """What pages first, muted alerts last; in each the newest first."""
    return sorted(
        rows, key=lambda row: (row.state != "firing", not row.is_paging, -row.starts_ms, row.fingerprint)
    )


def counted(rows: Iterable[AlertRow]) -> dict[State, int]:
    """How many are in each state; states without any are left out."""
    numbers = Counter(row.state for row in rows)
    return {state: numbers[state] for state in STATES if numbers[state]}


def grouped(rows: Sequence[AlertRow], by: str) -> list[Group]:
    """`rows`, in their order, by a grouping of `GROUPINGS` or a label; groups in the order of their first row, those
    without a value last.
    """
    members: dict[str, list[AlertRow]] = {}
    for row in rows:
        members.setdefault(value_of(row, by), []).append(row)
    found = [
        Group(value, tuple(some), sum(one.is_paging and one.state == "firing" for one in some))
        for value, some in members.items()
    ]
    return sorted(found, key=lambda group: not group.value)


def value_of(row: AlertRow, by: str) -> str:
    """What a grouping says of a row."""
    if by == "route":
        return ", ".join(row.receivers)
    return {"service": row.service, "team": row.team, "severity": row.severity, "rule": row.name}.get(by, "")


def matcher_text(labels: Labels) -> str:
    """Matchers that hold for exactly these labels, as a silence's form takes them."""
    return ", ".join(str(Matcher(name, value)) for name, value in sorted(labels.items()))
