"""Test files of routing: labels, what else fires, silences, a time, and which receivers must be told. `setpoint test`
runs them in memory, so a change of an alertmanager.yml is tested before it is in force.

    alertmanager_config: alertmanager.yml
    tests:
      - name: a page at night
        labels: {alertname: CheckoutErrors, severity: page}
        at: 2026-11-23T03:00:00Z
        firing: [{alertname: ShopDown, service: checkout}]
        silences: ['{service="search"}']
        receivers: [on-call]
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from setpoint.alert.from_promql import Failure, TestVerdict
from setpoint.alert.model import Alert, fingerprint_of
from setpoint.alert.route.inhibit import Inhibitor
from setpoint.alert.route.matcher import matches_all, parse_matchers, shown_matchers
from setpoint.alert.route.model import Routing, shown_labels
from setpoint.alert.route.read import read_routing
from setpoint.alert.route.spec import routing_of_text
from setpoint.alert.route.trial import Trial, try_labels
from setpoint.errors import InvalidInput
from setpoint.resource.fields import Fields, open_document

__all__ = ["check_routing"]

_FILE = ("alertmanager_config", "tests")
_TEST = (
    "name",
    "labels",
    "at",
    "firing",
    "silences",
    "receivers",
    "routed_to",
    "inhibited",
    "silenced",
    "muted_by",
)
_DEFAULT_AT_MS = 1_700_000_000_000


@dataclass(frozen=True, slots=True)
class _Case:
    """One test as it was read; what is None is not asked."""

    name: str
    line: int
    labels: Mapping[str, str]
    at_ms: int
    firing: tuple[Mapping[str, str], ...]
    silences: tuple[str, ...]
    expected: Mapping[str, tuple[str, ...]]
    lines: Mapping[str, int]


def check_routing(
    file: str, text: str, folder: Path, only: re.Pattern[str] | None = None
) -> list[TestVerdict]:
    """The verdicts of a file's tests. Raises InvalidInput with what is wrong in it, or in the configuration."""
    document = open_document(file, text, begins="'alertmanager_config:' and 'tests:'")
    document.only(_FILE)
    routing = _routing(document, folder)
    cases = [_case(fields) for fields in document.items("tests")]
    if not cases and not document.problems:
        document.report("there are no tests; write some under 'tests'", "tests")
    if document.problems or routing is None:
        raise InvalidInput(problems=tuple(document.problems))
    return [_verdict(case, routing) for case in cases if only is None or only.search(case.name)]


def _routing(document: Fields, folder: Path) -> Routing | None:
    name = document.text("alertmanager_config")
    if not name:
        document.report(
            "is missing; write the path of an alertmanager.yml, relative to this file", "alertmanager_config"
        )
        return None
    path = folder / name
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        document.report(f"{path} cannot be read: {reason}", "alertmanager_config")
        return None
    if re.search(r"^kind\s*:\s*AlertRouting\b", text, re.MULTILINE):
        return routing_of_text(str(path), text)
    return read_routing(str(path), text)


def _case(fields: Fields) -> _Case:
    fields.only(_TEST)
    labels = fields.pairs("labels")
    if not labels:
        fields.report("has no labels; write those of an alert, such as {severity: page}", "labels")
    expected = {}
    for name in ("receivers", "routed_to", "muted_by"):
        if fields.value(name) is not None:
            expected[name] = tuple(fields.texts(name))
    for name in ("inhibited", "silenced"):
        if fields.has(name):
            expected[name] = ("yes" if fields.flag(name) else "no",)
    if not expected:
        fields.report("expects nothing; write 'receivers:' with the names of those who must be told")
    for index, one in enumerate(fields.texts("silences")):
        try:
            parse_matchers(one)
        except InvalidInput as error:
            fields.report(error.message, "silences", index)
    return _Case(
        fields.text("name") or shown_labels(labels),
        fields.line,
        labels,
        _instant(fields),
        tuple(_labels_of(fields)),
        tuple(fields.texts("silences")),
        expected,
        {name: fields.line_of(name) for name in expected},
    )


def _labels_of(fields: Fields) -> Iterable[Mapping[str, str]]:
    for below in fields.items("firing"):
        yield {name: below.text(name) for name in below.names}


def _instant(fields: Fields) -> int:
    text = fields.text("at")
    if not text:
        return _DEFAULT_AT_MS
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        fields.report(f"'{text[:80]}' is no instant; write one such as 2026-11-23T03:00:00Z", "at")
        return _DEFAULT_AT_MS
    if at.tzinfo is None:
        fields.report(f"'{text}' has no offset; write {text}Z for UTC, or such as {text}+01:00", "at")
        at = at.replace(tzinfo=UTC)
    return int(at.timestamp() * 1000)


def _verdict(case: _Case, routing: Routing) -> TestVerdict:
    trial = _trial(case, routing)
    got = {
        "receivers": trial.receivers,
        "routed_to": trial.routed_to,
        "muted_by": tuple(dict.fromkeys(name for one in trial.taken for name in one.muted_by)),
        "inhibited": ("yes" if trial.inhibited_by else "no",),
        "silenced": ("yes" if trial.silenced_by else "no",),
    }
    failures = tuple(
        Failure(case.lines[name], name.replace("_", " "), _why(trial), expected, got[name])
        for name, expected in case.expected.items()
        if sorted(expected) != sorted(got[name])
    )
    return TestVerdict(case.name, case.line, len(case.expected), failures)


def _trial(case: _Case, routing: Routing) -> Trial:
    inhibitor = Inhibitor(routing.inhibit_rules)
    firing = {fingerprint_of(one): one for one in case.firing}
    inhibitor.follow(Alert(one, case.at_ms, case.at_ms) for one in firing.values())
    sources = inhibitor.inhibited_by(case.labels, case.at_ms)
    return try_labels(
        routing,
        case.labels,
        case.at_ms,
        silenced_by=[one for one in case.silences if matches_all(parse_matchers(one), case.labels)],
        inhibited_by=[shown_labels(firing[one]) for one in sources],
    )


def _why(trial: Trial) -> str:
    """The outcome, and what each route said."""
    asked = [
        f"{'  ' * one.depth}route {one.route.id} {shown_matchers(one.route.matchers)} → {one.route.receiver}: "
        f"{one.answer}, {one.why}"
        for one in trial.asked
    ]
    return "\n".join([trial.outcome, *asked])
