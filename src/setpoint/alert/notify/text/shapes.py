"""The values that templates of notifications walk, with the methods that Alertmanager gives them.

Made of `TemplateData` when a template is run. Names, order and printing are Alertmanager's, because people's templates
count on them: `.GroupLabels.SortedPairs.Values | join " "`, `range .Alerts.Firing`, `.Labels.Remove …`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from setpoint.alert.notify.text.data import TemplateAlert, TemplateData
from setpoint.alert.template.instant import ZERO_MS, Duration, Instant
from setpoint.alert.template.values import LabelMap, Methods, shown

__all__ = ["jsonable", "shape"]


class _Pair(Methods):
    go_type: ClassVar[str] = "template.Pair"

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self.value = value

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if arguments:
            raise LookupError(name)
        return {"Name": self.name, "Value": self.value}[name]

    def __str__(self) -> str:
        return f"{{{self.name} {self.value}}}"


class _Pairs(list[_Pair], Methods):
    go_type: ClassVar[str] = "template.Pairs"

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if arguments:
            raise LookupError(name)
        match name:
            case "Names":
                return [pair.name for pair in self]
            case "Values":
                return [pair.value for pair in self]
            case "String":
                return str(self)
        raise LookupError(name)

    def __str__(self) -> str:
        return ", ".join(f"{pair.name}={pair.value}" for pair in self)


class _KV(LabelMap, Methods):
    """Labels or annotations."""

    go_type: ClassVar[str] = "template.KV"

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if name == "Remove" and len(arguments) == 1 and isinstance(arguments[0], list):
            gone = frozenset(value for value in arguments[0] if isinstance(value, str))
            return _KV({label: value for label, value in self.items() if label not in gone})
        if arguments:
            raise LookupError(name)
        match name:
            case "SortedPairs":
                return self._pairs()
            case "Names" | "Values":
                return self._pairs().method(name, ())
            case "String":
                return str(self)
        raise LookupError(name)

    def _pairs(self) -> _Pairs:
        """By name, the alert's name first."""
        names = sorted(self, key=lambda name: (name != "alertname", name))
        return _Pairs(_Pair(name, self[name]) for name in names)

    def __str__(self) -> str:
        return str(self._pairs())


class _Struct(Methods):
    """Fields in their order, which is how Go prints them."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self.fields = fields

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        if arguments:
            raise LookupError(name)
        return self.fields[name]

    def __str__(self) -> str:
        return f"{{{' '.join(map(shown, self.fields.values()))}}}"


class _Alert(_Struct):
    go_type: ClassVar[str] = "template.Alert"


class _Alerts(list[_Alert], Methods):
    go_type: ClassVar[str] = "template.Alerts"

    def method(self, name: str, arguments: tuple[Any, ...]) -> Any:
        status = {"Firing": "firing", "Resolved": "resolved"}[name]
        if arguments:
            raise LookupError(name)
        return [alert for alert in self if alert.fields["Status"] == status]

    def __str__(self) -> str:
        return f"[{' '.join(map(str, self))}]"


class _Data(_Struct):
    go_type: ClassVar[str] = "*template.Data"


def shape(data: TemplateData) -> Methods:
    """The dot of a template."""
    return _Data(
        {
            "Receiver": data.receiver,
            "Status": data.status,
            "Alerts": _Alerts(map(_alert, data.alerts)),
            "GroupLabels": _KV(data.group_labels),
            "CommonLabels": _KV(data.common_labels),
            "CommonAnnotations": _KV(data.common_annotations),
            "ExternalURL": data.external_url,
        }
    )


def _alert(alert: TemplateAlert) -> _Alert:
    return _Alert(
        {
            "Status": alert.status,
            "Labels": _KV(alert.labels),
            "Annotations": _KV(alert.annotations),
            "StartsAt": Instant(alert.starts_ms),
            "EndsAt": Instant(ZERO_MS if alert.ends_ms is None else alert.ends_ms),
            "GeneratorURL": alert.generator_url,
            "Fingerprint": alert.fingerprint,
        }
    )


def jsonable(value: Any) -> Any:  # noqa: PLR0911
    """`value` for JSON, with the names of the webhook's payload. Raises ValueError for what has no JSON."""
    match value:
        case _Pair():
            return {"Name": value.name, "Value": value.value}
        case _Struct():
            return {_json_name(name): jsonable(part) for name, part in value.fields.items()}
        case Instant():
            return value.formatted("2006-01-02T15:04:05.999999999Z07:00")
        case Duration():
            return value.nanoseconds
        case Mapping():
            return {str(name): jsonable(value[name]) for name in sorted(value)}
        case str() | int() | float() | bool() | None:
            return value
        case Sequence():
            return [jsonable(part) for part in value]
    raise ValueError(f"{type(value).__name__} cannot be written as JSON")


def _json_name(name: str) -> str:
    return name.lower() if name.isupper() else name[0].lower() + name[1:]
