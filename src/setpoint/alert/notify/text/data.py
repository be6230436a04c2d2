"""What a notification's template sees: the dot with `.Alerts`, `.CommonLabels` and so on, as Alertmanager gives it.

Channels make it of a notification, for templates and for the webhook's payload alike; the shapes that templates walk
(methods such as `.Alerts.Firing` and `.SortedPairs`) are made when a template is run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from setpoint.alert.model import Alert, common_of

__all__ = ["TemplateAlert", "TemplateData"]

Status = Literal["firing", "resolved"]


@dataclass(frozen=True, slots=True)
class TemplateAlert:
    """One alert as a template sees it; the end of a firing one is None. Instants are Unix milliseconds."""

    status: Status
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_ms: int
    ends_ms: int | None
    generator_url: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class TemplateData:
    """The dot of a notification's template; `at_ms` is what `now` and `since` go by."""

    receiver: str
    status: Status
    alerts: tuple[TemplateAlert, ...]
    group_labels: Mapping[str, str]
    common_labels: Mapping[str, str]
    common_annotations: Mapping[str, str]
    external_url: str
    at_ms: int

    @classmethod
    def of(
        cls,
        receiver: str,
        alerts: Sequence[Alert],
        group_labels: Mapping[str, str],
        *,
        resolved: Collection[str],
        external_url: str,
        at_ms: int,
    ) -> TemplateData:
        """Of the `alerts` of a notification, of which those with a fingerprint in `resolved` have ended."""
        gone = frozenset(resolved)
        told = tuple(_told(alert, is_resolved=alert.fingerprint in gone) for alert in alerts)
        return cls(
            receiver,
            "firing" if any(alert.status == "firing" for alert in told) else "resolved",
            told,
            group_labels,
            common_of([alert.labels for alert in told]),
            common_of([alert.annotations for alert in told]),
            external_url,
            at_ms,
        )


def _told(alert: Alert, *, is_resolved: bool) -> TemplateAlert:
    return TemplateAlert(
        "resolved" if is_resolved else "firing",
        alert.labels,
        alert.annotations,
        alert.starts_ms,
        alert.ends_ms if is_resolved else None,
        alert.generator_url,
        alert.fingerprint,
    )
