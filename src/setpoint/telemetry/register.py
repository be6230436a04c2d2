"""The resource kinds of this package, with what is wrong in its selectors; `app` calls it for the server's registry."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from setpoint.errors import InvalidInput, Problem
from setpoint.resource import Document, Registry
from setpoint.telemetry.datasource import spec as datasource
from setpoint.telemetry.match import refuse_invalid
from setpoint.telemetry.model import Matcher
from setpoint.telemetry.spec import API_VERSION, RetentionKind

__all__ = ["ReadSelector", "read_match", "register"]

ReadSelector = Callable[[str], tuple[Matcher, ...]]
"""Reads a PromQL selector; raises InvalidInput when it is none."""

_PATTERN = re.compile(r"[a-zA-Z0-9_:*]*\*[a-zA-Z0-9_:*]*", re.ASCII)


def read_match(text: str, read_selector: ReadSelector) -> tuple[Matcher, ...]:
    """The matchers of a rule's `match`: a metric's name with `*`, or a selector. Raises InvalidInput."""
    if _PATTERN.fullmatch(text):
        return (Matcher("__name__", "=~", text.replace("*", ".*")),)
    matchers = read_selector(text)
    refuse_invalid(matchers)
    return matchers


def register(registry: Registry, read_selector: ReadSelector) -> None:
    """Add `Retention` of setpoint/v1 and `DataSource` of openslo/v1."""

    def check(document: Document) -> Iterator[Problem]:
        assert isinstance(document.spec, RetentionKind)
        for number, rule in enumerate(document.spec.spec.rules):
            try:
                read_match(rule.match, read_selector)
            except InvalidInput as error:
                yield document.problem(error.message, "spec", "rules", number, "match")

    registry.register(API_VERSION, "Retention", RetentionKind, check=check)
    registry.register(datasource.API_VERSION, "DataSource", datasource.DataSource)
