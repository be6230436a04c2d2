"""Relabelling as Prometheus does it: rules that change or drop a set of labels, in order.

`target` runs the `relabel_configs` of a job over what discovery found, `lines` its `metric_relabel_configs`
over each series that has not been seen before. The actions and their corner cases follow Prometheus's
model/relabel: expressions match the whole value, `$1` and `${name}` are expanded as Go's regexp package does,
an empty value removes a label.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from setpoint.errors import InvalidInput
from setpoint.telemetry.match import compile_expression

__all__ = ["DEFAULT_REGEX", "Action", "Rule", "relabel"]

Action = Literal[
    "replace", "keep", "drop", "keepequal", "dropequal", "hashmod", "labelmap", "labeldrop", "labelkeep",
    "lowercase", "uppercase",
]  # fmt: skip
DEFAULT_REGEX = "(.*)"
_DEFAULT_REPLACEMENT, _DEFAULT_SEPARATOR = "$1", ";"

_NEEDS_TARGET = ("replace", "hashmod", "lowercase", "uppercase", "keepequal", "dropequal")
_FIXED_REPLACEMENT = ("lowercase", "uppercase", "keepequal", "dropequal")
_EQUALS = ("keepequal", "dropequal")
_BY_NAME = ("labeldrop", "labelkeep")
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)\}|(\w+))")

_compiled = lru_cache(maxsize=1024)(compile_expression)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


class Rule(BaseModel):
    """One entry of `relabel_configs` or `metric_relabel_configs`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_labels: tuple[str, ...] = ()
    separator: str = _DEFAULT_SEPARATOR
    regex: str = DEFAULT_REGEX
    modulus: int = Field(0, ge=0, lt=1 << 64)
    target_label: str = ""
    replacement: str = _DEFAULT_REPLACEMENT
    action: Annotated[Action, BeforeValidator(_lower)] = "replace"

    @model_validator(mode="after")
    def _fits(self) -> Rule:
        try:
            _compiled(self.regex)
        except InvalidInput as error:
            raise ValueError(error.message) from error
        action = self.action
        if action == "hashmod" and not self.modulus:
            raise ValueError("the action hashmod needs a 'modulus' above 0; add one")
        if action in _NEEDS_TARGET and not self.target_label:
            raise ValueError(f"the action {action} needs a 'target_label'; add one")
        if action == "labelmap" and not self.replacement:
            raise ValueError("the action labelmap needs a 'replacement' that is a label's name")
        if action in _FIXED_REPLACEMENT and self.replacement != _DEFAULT_REPLACEMENT:
            raise ValueError(f"the action {action} takes no 'replacement'; remove it")
        if action in _EQUALS and (
            self.regex != DEFAULT_REGEX or self.modulus or self.separator != _DEFAULT_SEPARATOR
        ):
            raise ValueError(f"the action {action} takes 'source_labels' and 'target_label' only")
        if action in _BY_NAME and (
            self.source_labels
            or self.target_label
            or self.modulus
            or self.separator != _DEFAULT_SEPARATOR
            or self.replacement != _DEFAULT_REPLACEMENT
        ):
            raise ValueError(f"the action {action} takes 'regex' only")
        return self


def relabel(labels: dict[str, str], rules: Sequence[Rule]) -> bool:
    """Change `labels` by `rules`; False when a rule drops them (they are half changed then)."""
    return all(_ACTIONS[rule.action](rule, labels) for rule in rules)


def _source(rule: Rule, labels: dict[str, str]) -> str:
    return rule.separator.join([labels.get(name, "") for name in rule.source_labels])


def _set(labels: dict[str, str], name: str, value: str) -> None:
    if value:
        labels[name] = value
    else:
        labels.pop(name, None)


def _match(rule: Rule, text: str) -> re.Match[str] | None:
    return _compiled(rule.regex).fullmatch(text)


def _expand(template: str, found: re.Match[str]) -> str:
    """`template` with Go's `$1`, `${1}`, `$name`, `${name}` and `$$`; what names no group is empty."""

    def value(variable: re.Match[str]) -> str:
        name = variable[1] or variable[2]
        if name is None:
            return "$"
        if name.isdigit() and (name == "0" or name[0] != "0"):
            return (found[int(name)] or "") if int(name) <= found.re.groups else ""
        return (found[name] or "") if name in found.re.groupindex else ""

    return _VARIABLE.sub(value, template) if "$" in template else template


def _replace(rule: Rule, labels: dict[str, str]) -> bool:
    found = _match(rule, _source(rule, labels))
    if found is not None:
        target = _expand(rule.target_label, found)
        if target:
            _set(labels, target, _expand(rule.replacement, found))
    return True


def _keep(rule: Rule, labels: dict[str, str]) -> bool:
    return _match(rule, _source(rule, labels)) is not None


def _drop(rule: Rule, labels: dict[str, str]) -> bool:
    return _match(rule, _source(rule, labels)) is None


def _keep_equal(rule: Rule, labels: dict[str, str]) -> bool:
    return labels.get(rule.target_label, "") == _source(rule, labels)


def _drop_equal(rule: Rule, labels: dict[str, str]) -> bool:
    return labels.get(rule.target_label, "") != _source(rule, labels)


def _hash_mod(rule: Rule, labels: dict[str, str]) -> bool:
    # The last 8 bytes of MD5, which is what Prometheus takes: a fleet that is split by it stays split.
    digest = hashlib.md5(_source(rule, labels).encode(), usedforsecurity=False).digest()
    labels[rule.target_label] = str(int.from_bytes(digest[8:], "big") % rule.modulus)
    return True


def _label_map(rule: Rule, labels: dict[str, str]) -> bool:
    for name, value in list(labels.items()):
        if (found := _match(rule, name)) is not None:
            target = _expand(rule.replacement, found)
            if target:
                labels[target] = value
    return True


def _label_drop(rule: Rule, labels: dict[str, str]) -> bool:
    for name in [name for name in labels if _match(rule, name) is not None]:
        del labels[name]
    return True


def _label_keep(rule: Rule, labels: dict[str, str]) -> bool:
    for name in [name for name in labels if _match(rule, name) is None]:
        del labels[name]
    return True


def _lowercase(rule: Rule, labels: dict[str, str]) -> bool:
    _set(labels, rule.target_label, _mapped(_source(rule, labels), str.lower))
    return True


def _uppercase(rule: Rule, labels: dict[str, str]) -> bool:
    _set(labels, rule.target_label, _mapped(_source(rule, labels), str.upper))
    return True


def _mapped(text: str, fold: Callable[[str], str]) -> str:
    """Letter by letter, as Go does it: none becomes two."""
    folded = fold(text)
    if text.isascii():
        return folded
    return "".join(one if len(fold(one)) != 1 else fold(one) for one in text)


_ACTIONS: dict[str, Callable[[Rule, dict[str, str]], bool]] = {
    "replace": _replace,
    "keep": _keep,
    "drop": _drop,
    "keepequal": _keep_equal,
    "dropequal": _drop_equal,
    "hashmod": _hash_mod,
    "labelmap": _label_map,
    "labeldrop": _label_drop,
    "labelkeep": _label_keep,
    "lowercase": _lowercase,
    "uppercase": _uppercase,
}
