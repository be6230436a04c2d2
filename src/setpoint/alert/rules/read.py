"""Reads Prometheus's rule files: `groups`, each with rules that record or alert.

Called by `setpoint test`, by the server for its rule files and for resources. What Prometheus refuses is refused,
with the line; templates and expressions are parsed here, so that a rule that was read can be evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from setpoint.alert.from_promql import Node, parse, value_type
from setpoint.alert.rules.rule import AlertingRule, RecordingRule, Rule, RuleGroup
from setpoint.alert.template import Template, TemplateError
from setpoint.errors import InvalidInput
from setpoint.resource.fields import Fields, open_document

__all__ = ["read_groups", "read_rules"]

_GROUP = ("name", "interval", "query_offset", "limit", "labels", "rules")
_RULE = ("record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations")
_ONLY_ALERTS = ("for", "keep_firing_for", "annotations")


def read_rules(file: str, text: str, *, ignores_unknown: bool = False) -> tuple[RuleGroup, ...]:
    """The groups of a rule file. Raises InvalidInput with every problem and its line; unknown fields are one, unless
    `ignores_unknown`.
    """
    document = open_document(file, text, ignores_unknown=ignores_unknown)
    document.only(("groups",))
    groups = read_groups(document, file)
    if document.problems:
        raise InvalidInput(problems=tuple(document.problems))
    return groups


def read_groups(document: Fields, file: str, *, ignored: Sequence[str] = ()) -> tuple[RuleGroup, ...]:
    """The groups below `groups`, as groups of `file`; what is wrong is reported to `document`. Fields of groups that
    are `ignored` may be there.
    """
    groups = []
    names: set[str] = set()
    for fields in document.items("groups"):
        group = _group(fields, file, ignored)
        if group.name in names:
            fields.report(f"the group '{group.name}' is there already; give each a name of its own", "name")
        names.add(group.name)
        groups.append(group)
    return tuple(groups)


def _group(fields: Fields, file: str, ignored: Sequence[str]) -> RuleGroup:
    fields.only((*_GROUP, *ignored))
    name = fields.text("name")
    if not name:
        fields.report("the group has no name; write one", "name")
    labels = _label_names(fields, fields.pairs("labels"))
    return RuleGroup(
        name,
        file,
        tuple(rule for item in fields.items("rules") if (rule := _rule(item, labels)) is not None),
        fields.duration("interval") if fields.has("interval") else None,
        fields.duration("query_offset"),
        fields.whole("limit"),
        fields.line,
    )


def _label_names(fields: Fields, labels: dict[str, str]) -> dict[str, str]:
    for name in labels:
        if name in ("", "__name__"):
            fields.report(f"'{name}' cannot be set as a label", "labels", name)
    return labels


def _rule(fields: Fields, group_labels: Mapping[str, str]) -> Rule | None:
    fields.only(_RULE)
    record, alert = fields.text("record"), fields.text("alert")
    if bool(record) == bool(alert):
        fields.report("a rule has either 'record' or 'alert'; write one of them")
        return None
    node = _expression(fields)
    labels = {**group_labels, **_label_names(fields, fields.pairs("labels"))}
    if record:
        for name in _ONLY_ALERTS:
            if fields.has(name):
                fields.report(f"a recording rule has no '{name}'; remove it", name)
        if "{" in record or "}" in record:
            fields.report(f"'{record}' is no name of a metric; put labels under 'labels'", "record")
        return None if node is None else RecordingRule(record, fields.text("expr"), node, labels, fields.line)
    templates = {name: _template(fields, text, "labels", name) for name, text in labels.items()}
    annotations = {
        name: _template(fields, text, "annotations", name)
        for name, text in fields.pairs("annotations").items()
    }
    for_ms, keep_ms = fields.duration("for"), fields.duration("keep_firing_for")
    if node is None:
        return None
    return AlertingRule(
        alert, fields.text("expr"), node, for_ms, keep_ms, templates, annotations, fields.line
    )


def _expression(fields: Fields) -> Node | None:
    text = fields.text("expr")
    if not text.strip():
        fields.report("the rule has no expression; write one under 'expr'", "expr")
        return None
    try:
        node = parse(text)
    except InvalidInput as error:
        fields.report(error.message, "expr")
        return None
    if value_type(node) not in ("vector", "scalar"):
        fields.report("a rule's expression must be an instant vector or a scalar", "expr")
        return None
    return node


def _template(fields: Fields, text: str, *names: str) -> Template:
    try:
        return Template.read(text)
    except TemplateError as error:
        place = f" (line {error.line} of the template)" if "\n" in text.strip() else ""
        fields.report(f"the template is not valid: {error.message}{place}", *names)
        return Template(text, None)
