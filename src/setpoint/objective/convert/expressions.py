"""The PromQL of an objective's rules: the ratio of bad events over a window, and what the period's is made of."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from setpoint.objective.convert.from_promql import over_window, parse_plain, show
from setpoint.objective.model import Objective

__all__ = ["Expressions", "filter_of", "label_name", "quote", "shown_number", "window_name"]

_NO_LABEL = re.compile(r"[^a-zA-Z0-9_]")
_UNITS = (("w", 604_800), ("d", 86_400), ("h", 3600), ("m", 60))
_COMPARED = {"lte": "<=", "gte": ">=", "lt": "<", "gt": ">"}
_BAD, _TOTAL = "slo:sli_bad:rate", "slo:sli_total:rate"


class Expressions:
    """What an objective counts, as expressions over a window."""

    def __init__(self, objective: Objective, *, as_sloth: bool) -> None:
        self._objective, self._as_sloth = objective, as_sloth

    @property
    def counts_events(self) -> bool:
        """Whether there are events to count, or only ready-made ratios of minutes."""
        return self._objective.kind == "ratio"

    def ratio(self, window: str) -> str:
        """The ratio of bad events over `window`."""
        if not self.counts_events:
            return self._of_minutes(window)
        total = self.total(window)
        if self._as_sloth:
            return f"({self._bad_as_sloth(window)})\n/\n({total})"
        return f"({self.bad(window)})\n/\n(({total}) > 0)"

    def bad(self, window: str) -> str:
        """The bad events over `window`: 0 where no series counts them, all where no series counts good ones."""
        objective, total = self._objective, self.total(window)
        query = objective.bad_query if objective.good_query is None else objective.good_query
        part = over_window(query or "", window, is_counter=objective.is_counter)
        known = f"({part}) or 0 * ({total})"
        return known if objective.good_query is None else f"({total}) - ({known})"

    def total(self, window: str) -> str:
        """All events over `window`."""
        return over_window(self._objective.total_query, window, is_counter=self._objective.is_counter)

    def counts(self, window: str) -> dict[str, str]:
        """The series that the ratio of the period is made of, beside the ratio over `window`."""
        if self._as_sloth or not self.counts_events:
            return {}
        return {f"{_BAD}{window}": self.bad(window), f"{_TOTAL}{window}": self.total(window)}

    def period(self, filter_: str, period: str, window: str) -> str:
        """The ratio over the `period`, from what is recorded over `window`."""
        if self._as_sloth or not self.counts_events:
            ratio = f"slo:sli_error:ratio_rate{window}{filter_}[{period}]"
            return f"sum_over_time({ratio})\n/ ignoring (sloth_window)\ncount_over_time({ratio})"
        bad, total = (f"sum_over_time({name}{window}{filter_}[{period}])" for name in (_BAD, _TOTAL))
        return f"{bad}\n/\n({total} > 0)"

    def seconds(self, window_s: int) -> float:
        """By what the value of `bad` over a window is multiplied to be a number of events."""
        return window_s if self._objective.is_counter else 1

    def _bad_as_sloth(self, window: str) -> str:
        objective = self._objective
        query = objective.bad_query if objective.good_query is None else objective.good_query
        part = over_window(query or "", window, is_counter=objective.is_counter)
        return part if objective.good_query is None else f"({self.total(window)}) - ({part})"

    def _of_minutes(self, window: str) -> str:
        """Of a ready-made ratio or a value that is compared: the mean of its minutes."""
        objective = self._objective
        query = show(parse_plain(objective.total_query))  # as it was written it may hold comments
        if objective.kind == "raw":
            mean = f"avg_over_time(({query})[{window}:1m])"
            return mean if objective.raw_is_failure else f"1 - {mean}"
        sign = _COMPARED[objective.op or "lte"]
        judged = f"({query}) {sign} bool {shown_number(objective.value or 0.0)}"
        return f"1 - avg_over_time(({judged})[{window}:1m])"


def window_name(seconds: int) -> str:
    """A window as Prometheus prints a duration: 4 weeks are `4w`, 30 days `30d`, 90 minutes `1h30m`."""
    if seconds % 604_800 == 0:
        return f"{seconds // 604_800}w"
    parts, left = [], seconds
    for unit, length in _UNITS[1:]:
        count, left = divmod(left, length)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def filter_of(labels: Mapping[str, str]) -> str:
    """Labels as a selector's braces."""
    quoted = (f"{name}={quote(value)}" for name, value in labels.items())
    return f"{{{', '.join(quoted)}}}"


def label_name(key: str) -> str:
    """A key as the name of a label of Prometheus."""
    name = _NO_LABEL.sub("_", key)
    return f"_{name}" if name[:1].isdigit() else name


def quote(value: str) -> str:
    """A text of PromQL."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def shown_number(value: float) -> str:
    """A number in digits, without an exponent: 0.001, 14.4, 30."""
    return f"{Decimal(repr(value)).normalize():f}"
