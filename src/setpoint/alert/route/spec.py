"""The resource kind `AlertRouting` of setpoint/v1: an alertmanager.yml as a resource.

It is read by the same reader as the file, which finds every fault with its line. Two things are different: it holds no
secrets, since pages, diffs and the timeline show resources (`*_file` names a file of the secrets folder), and no
templates, which are files of the server. There is one at most; the setting `alertmanager_config` goes before it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import ConfigDict, Field

from setpoint.alert.route.model import Routing
from setpoint.alert.route.read import read_document
from setpoint.alert.route.receivers import Reading
from setpoint.errors import InvalidInput, Problem
from setpoint.resource import Document, Metadata, Part, Registry
from setpoint.resource.fields import Fields, open_document
from setpoint.resource.read import Source
from setpoint.resource.registry import Catalogue

__all__ = ["ROUTING_VERSION", "AlertRouting", "register", "routing_of", "routing_of_text"]

ROUTING_VERSION: Final = "setpoint/v1"

_Section = Mapping[str, Any]
_LABELS = re.compile(r"(?:source_|target_)?match(?:_re)?")


class _RoutingSpec(Part):
    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=None, populate_by_name=True)

    global_: _Section | None = Field(
        default=None,
        alias="global",
        description="What all receivers have in common: resolve_timeout, smtp_smarthost, http_config, pagerduty_url, …",
    )
    route: _Section = Field(
        description="The tree of routes: receiver, group_by, group_wait, group_interval, repeat_interval, and routes "
        "with matchers, continue, mute_time_intervals and active_time_intervals."
    )
    receivers: list[_Section] = Field(
        description="Who is told: each with a name and its channels, such as webhook_configs and email_configs."
    )
    inhibit_rules: list[_Section] | None = Field(
        default=None,
        description="What does not notify while something else fires: source_matchers, target_matchers, equal.",
    )
    time_intervals: list[_Section] | None = Field(
        default=None,
        description="Named times for mute_time_intervals and active_time_intervals: times, weekdays, days_of_month, "
        "months, years, location.",
    )
    mute_time_intervals: list[_Section] | None = Field(
        default=None, description="The older name of time_intervals; both may stand there."
    )


class AlertRouting(Part):
    """Who hears of which alerts: the content of an alertmanager.yml."""

    api_version: Literal["setpoint/v1"] = ROUTING_VERSION
    kind: Literal["AlertRouting"] = "AlertRouting"
    metadata: Metadata
    spec: _RoutingSpec


def register(registry: Registry, sendable: Collection[str] | None = None) -> None:
    """Add `AlertRouting`; `sendable` are the kinds of channels that Setpoint can send to."""

    def advise(document: Document, _: Catalogue) -> Iterator[Problem]:
        yield from (replace(one, file=None, line=None) for one in routing_of(document, sendable).warnings)

    registry.register(
        ROUTING_VERSION, "AlertRouting", AlertRouting, check=_check, references=_refer, advice=advise
    )


def routing_of(
    document: Document, sendable: Collection[str] | None = None, secrets: Path | None = None
) -> Routing:
    """The configuration of a resource, whose files stand in the folder `secrets`. Raises InvalidInput."""
    prefix = ("spec",)
    lines = {place[1:]: line for place, line in document.lines.items() if place[:1] == prefix}
    source = Source(document.file or "", document.line or 0, document.body["spec"], lines)
    return read_document(Fields(source, (), source.body, []), Reading(secrets, sendable, is_resource=True))


def routing_of_text(file: str, text: str) -> Routing:
    """The configuration of a file that holds an AlertRouting alone, for test files. Raises InvalidInput."""
    document = open_document(file, text, begins="'apiVersion:' and 'kind: AlertRouting'")
    below = document.below("spec")
    if below is None:
        document.report("is missing; write the content of an alertmanager.yml under it", "spec")
        raise InvalidInput(problems=tuple(document.problems))
    return read_document(below, Reading(None, is_resource=True))


def _check(document: Document) -> list[Problem]:
    unquoted = [
        document.problem("the value of a label is text; write it in quotes", *place)
        for place in _unquoted(document.body["spec"], ("spec",))
    ]
    if unquoted:
        return unquoted
    try:
        routing_of(document)
    except InvalidInput as error:
        return [
            replace(one, file=None, line=None, path=f"spec.{one.path}" if one.path else "spec")
            for one in error.problems
        ]
    return []


def _unquoted(body: object, place: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    """Where values of labels are numbers: a resource keeps the number, not how it was written, such as 1.10."""
    if isinstance(body, Mapping):
        for name, below in body.items():
            if _LABELS.fullmatch(str(name)) and isinstance(below, Mapping):
                yield from (
                    (*place, name, one) for one, value in below.items() if isinstance(value, (int, float))
                )
            else:
                yield from _unquoted(below, (*place, name))
    elif isinstance(body, list):
        for index, below in enumerate(body):
            yield from _unquoted(below, (*place, index))


def _refer(document: Document, catalogue: Catalogue) -> Iterator[Problem]:
    others = sorted(name for kind, name in catalogue if kind == "AlertRouting" and name != document.name)
    if others:
        yield document.problem(
            f"there is an AlertRouting '{others[0]}' already, and only one can be in force; change that one, or "
            f"delete it first: setpoint delete AlertRouting/{others[0]}",
            "metadata",
            "name",
        )
