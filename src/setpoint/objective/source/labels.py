"""What an objective over spans or SQL can be grouped by, and groups as keys that the engine compares.

The documents' checks ask `label_fault`; `span_groups`, `sql_count` and `stored_groups` write the rest into their
statements. Many groups are found in one pass, so their keys stand in one array of a statement, which the engine looks
up by hash.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from setpoint.objective.model import Objective

__all__ = [
    "Family",
    "Group",
    "family_of",
    "is_of_sender",
    "key_of",
    "label_fault",
    "missing_column",
    "place_expression",
    "span_field",
]

Group = tuple[str, ...]
Family = tuple[str, str, str, Group]
"""Total, good and bad query and labels: what the groups of one declaration have in common."""

_IDENTIFIER = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_OWN = frozenset({"minute", "time", "value"})
_SPAN_FIELDS: Mapping[str, str] = {"service": "service", "operation": "name", "kind": "kind"}


def label_fault(label: str, engine: str, texts: Iterable[str]) -> str | None:
    """Why an objective of this engine, with these queries, cannot be grouped by `label`; None where it can."""
    if engine == "spans":
        if label in ("status", "duration"):
            return f"the {label} of a span says whether it is good; group by service, operation, kind or an attribute"
        return None
    if not _IDENTIFIER.fullmatch(label) or label.startswith("__"):
        what = "column of SQL" if engine == "sql" else "label of a series"
        return f"'{label[:80]}' is no {what}; write one such as region"
    if engine == "sql":
        if label in _OWN:
            return f"'{label}' is what is counted, and when; group by another column, such as region"
        for text in texts:
            if not re.search(rf"\b{label}\b|\bcolumns\b|(?<!\()\*", text, re.IGNORECASE):
                return missing_column(label)
    return None


def missing_column(label: str) -> str:
    """What to write where SQL returns no column of this name."""
    return f"the SQL returns no column '{label}'; write SELECT …, {label}, and GROUP BY minute, {label}, in each query"


def is_of_sender(label: str) -> bool:
    """Whether a label of spans tells who sends them: a silent sender is no data, where a group of its spans that does
    not occur is no event.
    """
    return label == "service" or label.startswith("resource.")


def span_field(label: str) -> tuple[str, str | None]:
    """The column of the spans that a label is read from, and the key where that is a map."""
    if label in _SPAN_FIELDS:
        return _SPAN_FIELDS[label], None
    column, dot, key = label.partition(".")
    if dot and key and column in ("resource", "attributes"):
        return column, key
    return "attributes", label


def family_of(objective: Objective) -> Family | None:
    """What a grouped objective shares with the others of its declaration; None for one that is not grouped, or whose
    queries name its group.
    """
    if objective.engine == "promql" or not objective.group:
        return None
    return (
        objective.total_query,
        objective.good_query or "",
        objective.bad_query or "",
        tuple(objective.group),
    )


def key_of(group: Sequence[str]) -> str:
    """The values of a group as one text; other values make another."""
    if len(group) == 1:
        return group[0]
    return "".join(f"{len(value.encode())}:{value}" for value in group)


def _key_expression(values: Sequence[str]) -> str:
    """The SQL of `key_of`, over SQL that yields the values."""
    if len(values) == 1:
        return values[0]
    parts = ", ".join(f"toString(length({value})), ':', {value}" for value in values)
    return f"concat({parts})"


def place_expression(values: Sequence[str], parameter: str) -> str:
    """SQL for the place of a group, from 1 on, in an array of keys; 0 where it is not among them."""
    return f"transform({_key_expression(values)}, {parameter}, range(1, length({parameter}) + 1), 0)"
