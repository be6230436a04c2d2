"""One objective for each group: what an SLO with `groupBy` declares once, with the groups that there are.

`resolve` calls it. The queries of PromQL get the group's label matchers; of spans and SQL all groups are counted by
one statement, so these keep their queries and count by `Objective.group`. A composite is one for each group that any
of its parts has, and so are its parts: a part that knows nothing of a group makes that group "no data", where leaving
the group out would hide it (decision 0027).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from setpoint.errors import SetpointError
from setpoint.objective.from_promql import of_group
from setpoint.objective.model import Objective
from setpoint.objective.spec.names import group_names

__all__ = ["GROUPS_MAX", "Discover", "in_groups"]

GROUPS_MAX = 1000
"""How many groups a document makes at most; of more, the first ones by their values."""

Discover = Callable[[Objective, Sequence[str]], Iterable[tuple[str, ...]]]
"""The values of these labels among what the objective's total query counts, one tuple for each group.

Groups that ended within the objective's window belong to them: an objective must not go away because its service fell
silent. May raise a SetpointError where none is known, because the query cannot be run or its source does not answer.
"""

_COUNTED = {
    "promql": "series of its total query",
    "spans": "span that it counts",
    "sql": "row of its total query",
}


def in_groups(
    declared: Sequence[Objective], labels: Sequence[str], discover: Discover, warn: Callable[[str], None]
) -> Iterator[Objective]:
    """The objectives of all groups of `declared`: one objective, or a composite and then its parts.

    While no group is known: the first of them alone, which says why.
    """
    first = declared[0]
    counted = [one for one in declared if one.kind != "composite"]
    groups: set[tuple[str, ...]] = set()
    faults: list[str] = []
    for one in counted:
        try:
            groups |= {tuple(group) for group in discover(one, labels) if all(group)}
        except SetpointError as error:
            faults.append(error.message)
    if not groups:
        reason = faults[0] if faults else _none(counted[0].engine, labels)
        warn(f"{first.name}: {reason}")
        yield replace(
            first, awaits=reason, parts=(), policies=(), no_data=replace(first.no_data, action="ignore")
        )
        return
    if len(groups) > GROUPS_MAX:
        warn(
            f"{first.name}: {len(groups):,} groups by {_listed(labels)}, of which the first {GROUPS_MAX:,} are "
            "kept; group by labels with fewer values, or narrow the queries"
        )
    kept = sorted(groups)[:GROUPS_MAX]
    for group, name in zip(kept, group_names(kept), strict=True):
        for one in declared:
            yield _of_group(one, name, dict(zip(labels, group, strict=True)))


def _of_group(objective: Objective, name: str, group: Mapping[str, str]) -> Objective:
    queries: dict[str, Any] = {}
    if objective.engine == "promql" and objective.kind != "composite":
        queries = {
            field: of_group(query, group)
            for field in ("total_query", "good_query", "bad_query")
            if (query := getattr(objective, field)) is not None
        }
    return replace(
        objective,
        **queries,
        name=f"{objective.name}.{name}",
        display_name=f"{objective.display_name or objective.name} ({', '.join(group.values())})",
        parts=tuple(replace(part, objective=f"{part.objective}.{name}") for part in objective.parts),
        group=dict(group),
    )


def _none(engine: str, labels: Sequence[str]) -> str:
    """That nothing has these labels; which of them may be attributes of the resource, as their names do not tell."""
    told = f"no group yet: no {_COUNTED[engine]} has {_listed(labels)}"
    plain = [label for label in labels if "." not in label and label not in ("service", "operation", "kind")]
    if engine == "spans" and plain:
        told += f"; an attribute of the resource is written resource.{plain[0]}"
    return told


def _listed(labels: Sequence[str]) -> str:
    return " and ".join(labels)
