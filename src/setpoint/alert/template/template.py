"""A template as rules hold it: parsed once, expanded for each alert at each evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from setpoint.alert.template.builtins import BUILTINS
from setpoint.alert.template.functions import FUNCTION_NAMES, Surroundings, functions
from setpoint.alert.template.nodes import Node
from setpoint.alert.template.parse import parse
from setpoint.alert.template.run import run
from setpoint.alert.template.values import LabelMap

__all__ = ["Template"]

_KNOWN = FUNCTION_NAMES | frozenset(BUILTINS) | {"and", "or"}
_VARIABLES = ("labels", "externalLabels", "externalURL", "value")


@dataclass(frozen=True, slots=True)
class Template:
    """`text` and its parts; `nodes` is None for text without actions."""

    text: str
    nodes: tuple[Node, ...] | None

    @classmethod
    def read(cls, text: str) -> Template:
        """Parse `text`. Raises TemplateError."""
        return cls(text, parse(text, _KNOWN, _VARIABLES) if "{{" in text else None)

    @property
    def asks(self) -> bool:
        """True if it may run queries of its own."""
        return self.nodes is not None and "query" in self.text

    def expand(
        self, labels: Mapping[str, str], value: Any, around: Surroundings, external_labels: Mapping[str, str]
    ) -> str:
        """The text for a series with `labels` and `value` (a float, or a native histogram). Raises TemplateError."""
        if self.nodes is None:
            return self.text
        data = {
            "Labels": LabelMap(labels),
            "ExternalLabels": LabelMap(external_labels),
            "ExternalURL": around.external_url,
            "Value": value,
        }
        names = ("Labels", "ExternalLabels", "ExternalURL", "Value")
        variables = {variable: data[name] for variable, name in zip(_VARIABLES, names, strict=True)}
        return run(self.nodes, data, variables, BUILTINS | functions(around))
