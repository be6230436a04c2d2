"""Groups of rules as text: a rule file of Prometheus, or PrometheusRule resources of its operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from setpoint.objective.convert.carried import one_line
from setpoint.objective.convert.rules import Exported

__all__ = ["Format", "rule_file"]

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}
_AMBIGUOUS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}

Format = Literal["prometheus", "operator"]


def rule_file(exported: Exported, form: Format) -> str:
    """The YAML text; what is left out stands above it as comments."""
    lines = [one_line(f"# left out: {one.name}: {one.reason}") for one in exported.left_out]
    if form == "prometheus":
        lines += ["groups:" if exported.groups else "groups: []", *_groups(exported.groups, "")]
        return "\n".join(lines) + "\n"
    by_service: dict[str, list[Mapping[str, Any]]] = {}
    for service, group in zip(exported.services, exported.groups, strict=True):
        by_service.setdefault(service, []).append(group)
    for number, (service, groups) in enumerate(by_service.items()):
        lines += ["---"] if number else []
        lines += [
            "apiVersion: monitoring.coreos.com/v1",
            "kind: PrometheusRule",
            "metadata:",
            f"  name: {_text(f'setpoint-{service}')}",
            "spec:",
            "  groups:",
            *_groups(groups, "  "),
        ]
    return "\n".join(lines) + "\n"


def _groups(groups: Sequence[Mapping[str, Any]], indent: str) -> Iterator[str]:
    for group in groups:
        yield f"{indent}- name: {_text(group['name'])}"
        yield f"{indent}  rules:"
        for rule in group["rules"]:
            yield from _rule(rule, f"{indent}    ")


def _rule(rule: Mapping[str, Any], indent: str) -> Iterator[str]:
    dash = "- "
    for key, value in rule.items():
        if isinstance(value, Mapping):
            yield f"{indent}{dash}{key}:"
            yield from (f"{indent}    {_key(name)}: {_text(text)}" for name, text in value.items())
        elif key == "expr" and ("\n" in value or '"' in value):
            yield f"{indent}{dash}{key}: |-"
            yield from (f"{indent}    {line}" for line in value.split("\n"))
        else:
            yield f"{indent}{dash}{key}: {value if key in ('record', 'for') else _text(value)}"
        dash = "  "


def _key(name: str) -> str:
    return _text(name) if name.lower() in _AMBIGUOUS else name


def _text(text: str) -> str:
    """A text in double quotes, as YAML reads them."""
    return f'"{"".join(map(_letter, text))}"'


def _letter(letter: str) -> str:
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    return letter if letter.isprintable() else f"\\U{ord(letter):08x}"
