"""The queries of Sloth as an indicator that counts events, or, where they do not add up, as a ready-made ratio."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from setpoint.errors import InvalidInput
from setpoint.objective.convert.carried import Notes
from setpoint.objective.convert.from_promql import (
    Count,
    Node,
    binary,
    count_of,
    difference,
    fixed,
    parse_template,
    reads_native,
    result_labels,
    split_ratio,
    without_silence,
)
from setpoint.objective.convert.writing import ratio, raw_ratio
from setpoint.objective.duration import spoken_duration
from setpoint.resource.fields import Fields

__all__ = ["NATIVE", "Indicator", "of_events", "of_ratio"]

NATIVE = "native histograms cannot be counted by objectives yet"


@dataclass(frozen=True, slots=True)
class Indicator:
    """The `spec` of an OpenSLO indicator, and the labels whose values make objectives of their own."""

    spec: dict[str, Any]
    group_by: list[str] = field(default_factory=list)


def of_events(fields: Fields, error: str, total: str, notes: Notes, source: str) -> Indicator | None:
    """The indicator of an error and a total query."""
    trees = [_parsed(fields, name, notes) for name in (error, total)]
    if trees[0] is None or trees[1] is None:
        return None
    if fields.text(error) == fields.text(total):
        fields.report("is the same query as the total; write one that counts bad events", error)
        return None
    errors, _ = without_silence(trees[0])  # no bad series is no bad event, here as there
    events, spoke = without_silence(trees[1])
    if spoke:
        notes.changed(fields, "`or vector(0)` is taken off: where nothing is counted there is no data", total)
    found = _counted(errors, events, fields, notes, source, role="bad")
    if found is not None:
        return found
    return _ready_made(binary("/", trees[0], trees[1]), fields, notes, source)


def of_ratio(fields: Fields, name: str, notes: Notes, source: str) -> Indicator | None:
    """The indicator of a query that gives a ratio of bad events: of two counts where it is their quotient."""
    tree = _parsed(fields, name, notes)
    if tree is None:
        return None
    plain, spoke = without_silence(tree)
    parts = split_ratio(plain)
    if parts is not None:
        part, _ = without_silence(parts[0])
        role = "good" if parts[2] else "bad"
        found = _counted(part, parts[1], fields, notes, source, role=role)
        if found is not None:
            if spoke:
                notes.changed(
                    fields, "`or vector(0)` is taken off: where nothing is counted there is no data", name
                )
            notes.changed(
                fields,
                "the ratio is a quotient of two counts, and they are counted, so that traffic weighs",
                name,
            )
            return found
    return _ready_made(tree, fields, notes, source, name)


def _parsed(fields: Fields, name: str, notes: Notes) -> Node | None:
    text = fields.text(name)
    if not text.strip():
        fields.report("is missing; write a query with {{.window}} as its range", name)
        return None
    try:
        return parse_template(text)
    except InvalidInput as error:
        notes.lost(fields, f"'{notes.document}' is left out: the query {error.message}", name)
        return None


def _counted(
    part: Node, whole: Node, fields: Fields, notes: Notes, source: str, *, role: str
) -> Indicator | None:
    """Two counts that belong together; None where they do not."""
    total = count_of(whole)
    if total is None:
        return None
    left = difference(part, whole) if role == "bad" else None
    if left is not None and (good := count_of(left)) is not None:
        role, counted = "good", good
    else:
        found = count_of(part)
        if found is None:
            return None
        counted = found
    if counted.form != total.form or _differ(counted, total):
        return None
    if total.labels is None or counted.labels is None:
        notes.changed(
            fields,
            "sum(…) is written around a query without it: one objective counts all of its series together",
        )
    labels = list(total.labels or ())
    if labels:
        notes.changed(fields, f"one objective for each value of {' and '.join(labels)} (groupBy)")
    spec = ratio(total.text, counted.text, role, source, counter=total.is_counter)
    if not total.is_counter:
        notes.changed(fields, "the samples of each minute are its events (counter: false)")
    return Indicator(spec, labels)


def _differ(one: Count, other: Count) -> bool:
    return one.labels is not None and other.labels is not None and set(one.labels) != set(other.labels)


def _ready_made(tree: Node, fields: Fields, notes: Notes, source: str, *names: str) -> Indicator | None:
    if reads_native(tree):
        notes.lost(
            fields,
            f"'{notes.document}' is left out: {NATIVE}; have classic buckets sent, and count these",
            *names,
        )
        return None
    query, length_s = fixed(tree)
    labels = list(result_labels(tree) or ())
    notes.changed(
        fields,
        f"does not add up over time, so it is kept as a ready-made ratio over {spoken_duration(length_s)}: every "
        "minute counts the same, whatever its traffic; longer windows are the mean of their minutes. Where two "
        "counters can be named, write these",
        *names,
    )
    if labels:
        notes.changed(fields, f"one objective for each value of {' and '.join(labels)} (groupBy)", *names)
    return Indicator(raw_ratio(query, source, "failure"), labels)
