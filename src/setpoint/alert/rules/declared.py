"""Groups of rules as they are declared, and the keys by which the state of their rules is kept over restarts."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b

from setpoint.alert.from_promql import show
from setpoint.alert.rules.rule import RecordingRule, RuleGroup

__all__ = ["Declared", "keys_of", "offset_ms"]


@dataclass(frozen=True, slots=True)
class Declared:
    """A group as it is declared, with the data source that it is evaluated on (empty: Setpoint's own telemetry)."""

    group: RuleGroup
    data_source: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from others: file and name."""
        return self.group.file, self.group.name

    @property
    def name(self) -> str:
        """The key as one text."""
        return f"{self.group.file};{self.group.name}"


def keys_of(declared: Declared) -> list[str]:
    """A key for each rule, by which its state is kept: another expression or other labels are another rule."""
    seen: dict[str, int] = {}
    keys = []
    for rule in declared.group.rules:
        labels = sorted(
            (name, value if isinstance(value, str) else value.text) for name, value in rule.labels.items()
        )
        kind = "record" if isinstance(rule, RecordingRule) else "alert"
        told = repr((*declared.key, declared.data_source, kind, rule.name, show(rule.node), labels))
        key = blake2b(told.encode(), digest_size=16).hexdigest()
        seen[key] = seen.get(key, 0) + 1
        keys.append(key if seen[key] == 1 else f"{key}.{seen[key]}")
    return keys


def offset_ms(declared: Declared, interval_ms: int) -> int:
    """Where in its interval a group is evaluated: spread by a hash of its name, and the same after a restart."""
    digest = blake2b(declared.name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") % interval_ms
