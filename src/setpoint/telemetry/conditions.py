"""Matchers as SQL over the table `series`: what stands for `/* matchers */` in a query.

Every store that reads by series puts it there. A label that a series lacks reads as the empty string, which is
what a matcher means by a missing label; expressions are matched by ClickHouse's RE2, anchored, after
`match.refuse_invalid` has seen them. Names and values travel as parameters, so nothing that a user writes
becomes SQL.
"""

from __future__ import annotations

from collections.abc import Sequence

from setpoint.telemetry.match import refuse_invalid
from setpoint.telemetry.model import Matcher

__all__ = ["MATCHERS", "condition_of"]

MATCHERS = "/* matchers */"
"""Where the condition goes in a query."""

_CONDITIONS = {
    "=": "{label} = {{{value}:String}}",
    "!=": "{label} != {{{value}:String}}",
    "=~": "match({label}, concat('^(?:', {{{value}:String}}, ')$'))",
    "!~": "NOT match({label}, concat('^(?:', {{{value}:String}}, ')$'))",
}


def condition_of(matchers: Sequence[Matcher], prefix: str = "") -> tuple[str, dict[str, str]]:
    """The condition and its parameters, whose names begin with `prefix` (for several in one statement).

    Raises InvalidInput for a bad expression.
    """
    refuse_invalid(matchers)
    terms = ["1"]
    parameters: dict[str, str] = {}
    for number, matcher in enumerate(matchers):
        name, value = f"{prefix}name_{number}", f"{prefix}value_{number}"
        if matcher.name == "__name__":
            label = "metric"
        else:
            label = f"labels[{{{name}:String}}]"
            parameters[name] = matcher.name
        parameters[value] = matcher.value
        terms.append(_CONDITIONS[matcher.op].format(label=label, value=value))
    return " AND ".join(terms), parameters
