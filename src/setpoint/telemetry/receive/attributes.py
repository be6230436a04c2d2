"""OpenTelemetry attribute values as text, and resources as what the tables hold of them.

All three decoders use this. The text of a value is what OpenTelemetry's `AsString` and so Prometheus gives:
booleans as `true`, numbers in their shortest form, lists and maps as JSON, bytes as base64.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from setpoint.telemetry.receive.limits import MAX_ATTRIBUTES

__all__ = ["UNKNOWN_SERVICE", "Resource", "attribute_map", "value_text"]

UNKNOWN_SERVICE = "unknown_service"
"""The service of telemetry whose resource has no `service.name`, as the OpenTelemetry specification calls
it.
"""


def value_text(value: Any) -> str:
    """The text of an `AnyValue`; empty for an empty one."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind in _TEXTS:
        return _TEXTS[kind](getattr(value, kind))
    if kind in ("array_value", "kvlist_value"):
        return json.dumps(_plain(value), separators=(",", ":"), ensure_ascii=False)
    return ""


def attribute_map(attributes: Sequence[Any]) -> dict[str, str]:
    """The first 1,000 `KeyValue` messages as {key: text}; of a repeated key the last one counts."""
    if len(attributes) > MAX_ATTRIBUTES:
        attributes = attributes[:MAX_ATTRIBUTES]
    return {attribute.key: value_text(attribute.value) for attribute in attributes}


@dataclass(frozen=True, slots=True)
class Resource:
    """What the tables keep of the resource that sent something."""

    service: str
    attributes: dict[str, str]

    @classmethod
    def of(cls, message: Any) -> Resource:
        """The resource of a `Resource` message."""
        attributes = attribute_map(message.attributes)
        return cls(attributes.get("service.name") or UNKNOWN_SERVICE, attributes)


def _plain(value: Any) -> Any:
    # The nesting is bounded by the parser (100 levels), so this recursion is too.
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        pairs = sorted(value.kvlist_value.values, key=lambda pair: pair.key)
        return {pair.key: _plain(pair.value) for pair in pairs}
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    if kind == "double_value":
        number = value.double_value
        if not math.isfinite(number):
            return _double_text(number)
        return int(number) if number.is_integer() and abs(number) < 1e21 else number
    return None if kind is None or kind == "string_value_strindex" else getattr(value, kind)


def _double_text(number: float) -> str:
    if not math.isfinite(number):
        return "NaN" if math.isnan(number) else "+Inf" if number > 0 else "-Inf"
    if number != 0 and not 1e-6 <= abs(number) < 1e21:
        return repr(number).replace("e-0", "e-").replace(".0e", "e")
    return format(Decimal(repr(number)), "f").removesuffix(".0")


_TEXTS: dict[str, Callable[[Any], str]] = {
    "int_value": str,
    "bool_value": lambda value: "true" if value else "false",
    "double_value": _double_text,
    "bytes_value": lambda value: base64.b64encode(value).decode(),
}
