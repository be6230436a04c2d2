"""Counts all groups of one declaration over spans in one pass: rows of minute and group, and who sent anything.

`span_count` calls it. A group of senders (`service`, `resource.…`) has data in a minute in which they sent any span;
a group of what they do (`operation`, an attribute) in a minute in which its service did (decision 0027).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from setpoint.database import LimitedQueries, load_queries
from setpoint.objective.model import Objective
from setpoint.objective.source.labels import is_of_sender, key_of, place_expression
from setpoint.objective.source.numbers import Numbers, events_of
from setpoint.objective.source.outcome import Outcome
from setpoint.objective.source.span_conditions import SpanConditions
from setpoint.objective.spec.source import read_spans

__all__ = ["count_span_groups"]

_QUERIES: Final = load_queries("setpoint.objective.source")
_MINUTE_NS = 60_000_000_000


def count_span_groups(
    limited: LimitedQueries,
    family: Sequence[Objective],
    first: int,
    end: int,
    took_s: Callable[[], float],
) -> list[Outcome]:
    """What each objective of a family counts in the minutes from `first` to before `end`.

    Raises InvalidInput when that takes more than it may, Unavailable when the database does not answer.
    """
    labels = tuple(family[0].group)
    senders = [at for at, label in enumerate(labels) if is_of_sender(label)]
    groups = [tuple(one.group.values()) for one in family]
    places = {key: at for at, key in enumerate(dict.fromkeys(map(key_of, groups)), 1)}
    sent_by = [tuple(group[at] for at in senders) for group in groups]
    sender_places = {key: at for at, key in enumerate(dict.fromkeys(map(key_of, sent_by)), 1)}
    text, parameters = _statement(
        family[0], labels, [labels[at] for at in senders], list(places), list(sender_places)
    )
    rows = limited.query(text, from_ns=first * _MINUTE_NS, to_ns=end * _MINUTE_NS, **parameters)
    took = took_s()
    minutes = end - first
    alive = np.zeros((len(sender_places) + 1, minutes), np.bool_)
    totals, parts = (np.zeros((len(places) + 1, minutes)) for _ in range(2))
    if rows:
        minute = rows["minute"].astype(np.int64) - first
        place = rows["place"].astype(np.int64)
        alive[rows["sender"].astype(np.int64), minute] = True
        _add(totals, place, minute, rows["total"])
        _add(parts, place, minute, rows["part"])
    found = []
    for one, group, sender in zip(family, groups, sent_by, strict=True):
        present, at = alive[sender_places[key_of(sender)]], places[key_of(group)]
        numbers = Numbers(first, totals[at], present), Numbers(first, parts[at], present)
        slots, fault = events_of(one, *numbers)
        found.append(Outcome(slots, None, fault, took))
    return found


def _statement(
    objective: Objective,
    labels: Sequence[str],
    senders: Sequence[str],
    keys: list[str],
    sender_keys: list[str],
) -> tuple[str, dict[str, object]]:
    conditions = SpanConditions()
    total = read_spans(objective.total_query)
    part = objective.bad_query if objective.good_query is None else objective.good_query
    place = place_expression([conditions.value(label) for label in labels], conditions.parameter(keys))
    sender = (
        place_expression([conditions.value(label) for label in senders], conditions.parameter(sender_keys))
        if senders
        else "1"
    )
    written = {
        "sender": f"if({conditions.sender(total)}, {sender}, 0)",
        "place": f"if({conditions.whole(total)}, {place}, 0)",
        "part": "false" if part is None else conditions.whole(read_spans(part)),
        "services": conditions.service(total),
    }
    text = _QUERIES["count_span_groups"]
    for name, sql in written.items():
        text = text.replace(f"/* {name} */", sql)
    return text, conditions.parameters


def _add(
    counts: npt.NDArray[np.float64],
    place: npt.NDArray[np.int64],
    minute: npt.NDArray[np.int64],
    found: npt.NDArray[np.generic],
) -> None:
    np.add.at(counts, (place, minute), found.astype(np.float64))
