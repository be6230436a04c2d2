"""What an alert is, whoever brought it: a rule, an objective, a Prometheus, a PagerDuty client, a heartbeat.

Doors and sources make `Alert`s, the `AlertBook` keeps and merges them, the dispatcher groups them, channels send them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

__all__ = ["NEVER", "Alert", "Labels", "common_of", "fingerprint_of"]

Labels = Mapping[str, str]
"""Label names and values, without empty values."""

NEVER = "0001-01-01T00:00:00Z"
"""How Alertmanager's payloads write the end of an alert that has none."""

_OFFSET, _PRIME, _MASK = 0xCBF29CE484222325, 0x100000001B3, (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as its sender told it last; instants are Unix milliseconds.

    It fires from `starts_ms` until `ends_ms`; None: until its source says otherwise. `is_timeout` says that the end was
    not told but set by `resolve_timeout`, so that a told one overrules it. `source` names who brought it: `objective`,
    `rules`, `policy`, `heartbeat`, `alertmanager`, or the name of an alert source. `targets` are keys of OpenSLO
    notification targets that hear of it beside what the routes say. `values` are the numbers behind it.
    """

    labels: Labels
    starts_ms: int
    updated_ms: int
    ends_ms: int | None = None
    annotations: Labels = field(default_factory=dict)
    generator_url: str = ""
    is_timeout: bool = False
    source: str = "alertmanager"
    targets: tuple[str, ...] = ()
    values: Mapping[str, float | str | None] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", fingerprint_of(self.labels))

    @property
    def name(self) -> str:
        """Its `alertname`."""
        return self.labels.get("alertname", "")

    def is_resolved(self, at_ms: int) -> bool:
        """Whether it has ended at an instant (Unix milliseconds)."""
        return self.ends_ms is not None and self.ends_ms <= at_ms


def fingerprint_of(labels: Labels) -> str:
    """The identity of an alert: 16 hex digits, FNV-1a (64 bit) over its labels in order of their names, as Prometheus
    and Alertmanager compute it (`name 0xff value 0xff …`).
    """
    digest = _OFFSET
    for name in sorted(labels):
        for byte in b"%b\xff%b\xff" % (name.encode(), labels[name].encode()):
            digest = (digest ^ byte) * _PRIME & _MASK
    return f"{digest:016x}"


def common_of(maps: Sequence[Labels]) -> dict[str, str]:
    """The names that have one value in all of them; one that is missing is empty there, as in Alertmanager."""
    if not maps:
        return {}
    common = dict(maps[0])
    for other in maps[1:]:
        if not common:
            break
        common = {name: value for name, value in common.items() if other.get(name, "") == value}
    return common
