"""Any JSON as alerts, by a mapping that its user writes and can try: where the items stand, and a template for each
label, annotation and time.

Templates are those of rules (`alert.template`): they reach nothing but the item, which is the dot, and `$body`, and end
after a bounded number of steps. One that reaches into what is missing is empty: a field that came only most of the time
must not keep an alert out. A body takes two seconds at most, however its templates loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, Final, cast

from setpoint.alert.door.body import refuse
from setpoint.alert.door.told import Action, Told, faults_of, instant_of, is_web_address
from setpoint.alert.template import TemplateError
from setpoint.alert.template.builtins import BUILTINS
from setpoint.alert.template.functions import FUNCTION_NAMES, Surroundings, functions
from setpoint.alert.template.nodes import Command, Node, Pipeline, Variable, With
from setpoint.alert.template.parse import parse
from setpoint.alert.template.run import run
from setpoint.clock import stopwatch
from setpoint.errors import InvalidInput, Problem

__all__ = ["ITEMS_MOST", "Mapping", "compile_mapping", "read_mapped"]

ITEMS_MOST: Final = 2000
_LONGEST_S = 2.0
_PROBLEMS_MOST = 20
_DEDUP_MOST = 255
_KNOWN = (FUNCTION_NAMES - {"query"}) | frozenset(BUILTINS) | {"and", "or"}
_VARIABLES = ("item", "body")
_NOT = ("", "false", "no", "0")
_INTEGER = re.compile(r"\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"\d{1,20}(\.\d{1,20})?([eE]\+?\d{1,2})?", re.ASCII)
_NOTHING = "<no value>"


def _no_query(_: str) -> Sequence[Any]:
    raise ValueError("queries are for rules; a mapping sees only what was sent")


_FUNCTIONS = BUILTINS | functions(Surroundings(_no_query))


class _TooSlow(InvalidInput):
    """The mapping takes too long for this body; loop over less in its templates."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A template, or a text that stands for itself."""

    text: str
    nodes: tuple[Node, ...] | None

    def of(self, item: Any, body: Any) -> str:
        if self.nodes is None:
            return self.text
        try:
            made = run(self.nodes, {}, {"item": item, "body": body}, _FUNCTIONS)
        except TemplateError as error:
            if error.message.startswith("nil pointer"):
                return ""
            raise
        return made.replace(_NOTHING, "").strip()


@dataclass(frozen=True, slots=True)
class Mapping:
    """A mapping whose templates are parsed; make one with `compile_mapping`."""

    items: tuple[str, ...]
    texts: MappingOf[str, _Text]
    labels: MappingOf[str, _Text]
    annotations: MappingOf[str, _Text]
    resolved: tuple[re.Pattern[str], ...]
    acknowledged: tuple[re.Pattern[str], ...]


def compile_mapping(
    *,
    items: str,
    texts: MappingOf[str, str],
    labels: MappingOf[str, str],
    annotations: MappingOf[str, str],
    resolved: Iterable[str],
    acknowledged: Iterable[str],
) -> Mapping:
    """Parse every template. Raises InvalidInput with every fault; paths begin with `mapping`."""
    problems: list[Problem] = []

    def read(named: MappingOf[str, str], place: str, shown: Callable[[str], str] = str) -> dict[str, _Text]:
        found = {}
        for name, text in named.items():
            try:
                found[name] = _read(text)
            except TemplateError as error:
                problems.append(Problem(error.message, path=f"{place}.{shown(name)}"))
        return found

    made = Mapping(
        items=tuple(items.split(".")) if items else (),
        texts=read(texts, "mapping", _camel),
        labels=read(labels, "mapping.labels"),
        annotations=read(annotations, "mapping.annotations"),
        resolved=tuple(map(_pattern, resolved)),
        acknowledged=tuple(map(_pattern, acknowledged)),
    )
    if "alertname" not in labels:
        message = "is missing: every alert has a name; add alertname: such as '{{ .check }}'"
        problems.append(Problem(message, path="mapping.labels"))
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return made


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _read(text: str) -> _Text:
    if "{{" not in text:
        return _Text(text, None)
    nodes = parse(text, _KNOWN, _VARIABLES)
    # The dot is the item itself, of which any field may be missing; what `run` is given as the dot has fixed ones.
    item = Pipeline(1, (Command(1, (Variable("item", ()),)),))
    return _Text(text, (With(item, nodes, ()),))


def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, words.lower().split("*"))), re.DOTALL)


def read_mapped(body: Any, mapping: Mapping) -> list[Told]:
    """The alerts of a body that `read_json` made. Raises InvalidInput with what is wrong and where."""
    items = _items(body, mapping.items)
    if len(items) > ITEMS_MOST:
        refuse(f"{len(items):,} items are too many; send {ITEMS_MOST:,} at most in one request")
    elapsed_s = stopwatch()
    told: list[Told] = []
    problems: list[Problem] = []
    for path, item in items:
        try:
            found = _told(item, body, mapping, path, elapsed_s)
        except _TooSlow:
            raise
        except InvalidInput as error:
            problems += error.problems
        else:
            told += [found] if found is not None else []
        if len(problems) >= _PROBLEMS_MOST:
            break
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return told


def _items(body: Any, steps: Sequence[str]) -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = [("", body)]
    for step in steps:
        found = [below for path, value in found for below in _below(path, value, step)]
    return [one for path, value in found for one in _each(path, value)]


def _below(path: str, value: Any, step: str) -> list[tuple[str, Any]]:
    if step == "*":
        return _each(path, value) if isinstance(value, list) else _fields(path, value)
    if isinstance(value, dict):
        if step in value:
            return [(f"{path}.{step}" if path else step, value[step])]
        known = ", ".join(list(value)[:5])
        refuse(f"there is no '{step}' here, but {known or 'nothing'}; correct items of the mapping", path)
    if isinstance(value, list) and _INTEGER.fullmatch(step):
        return [(f"{path}[{step}]", value[int(step)])] if int(step) < len(value) else []
    return refuse(f"'{step}' is looked for in what is no object; correct items of the mapping", path)


def _fields(path: str, value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        refuse("* goes through a list or an object; correct items of the mapping", path)
    return [(f"{path}.{name}" if path else name, item) for name, item in value.items()]


def _each(path: str, value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, list):
        return [(f"{path}[{number}]", item) for number, item in enumerate(value)]
    return [(path, value)]


def _told(item: Any, body: Any, mapping: Mapping, path: str, elapsed_s: Callable[[], float]) -> Told | None:
    """What one item tells; None where `when` leaves it out. Raises InvalidInput."""
    problems: list[Problem] = []

    def text(template: _Text | None, place: str) -> str:
        if elapsed_s() > _LONGEST_S:
            message = f"the mapping takes longer than {_LONGEST_S:.0f} s; loop over less in its templates"
            raise _TooSlow(problems=(Problem(message, path=path or None),))
        try:
            return "" if template is None else template.of(item, body)
        except TemplateError as error:
            told = error.message.partition("; .Labels")[0]
            problems.append(Problem(f"{place} of the mapping fails here: {told}", path=path or None))
            return ""

    def instant(name: str) -> int | None:
        try:
            return _instant(text(mapping.texts.get(name), _camel(name)))
        except ValueError as error:
            problems.append(Problem(f"{_camel(name)} of the mapping: {error}", path=path or None))
            return None

    if "when" in mapping.texts and text(mapping.texts["when"], "when").lower() in _NOT and not problems:
        return None
    labels = {name: text(one, f"labels.{name}") for name, one in mapping.labels.items()}
    annotations = {name: text(one, f"annotations.{name}") for name, one in mapping.annotations.items()}
    action = _action(text(mapping.texts.get("status"), "status").lower(), mapping)
    key = text(mapping.texts.get("dedup"), "dedup")
    address = text(mapping.texts.get("url"), "url")
    starts_ms, ends_ms = instant("starts_at"), instant("ends_at")
    labels = {name: value for name, value in labels.items() if value}
    if not problems:
        if "alertname" not in labels and (action == "trigger" or not key):
            problems.append(
                Problem("labels.alertname of the mapping comes out empty here", path=path or None)
            )
        if len(key) > _DEDUP_MOST:
            problems.append(Problem(f"dedup has more than {_DEDUP_MOST} characters", path=path or None))
        problems += faults_of(labels or {"alertname": "-"}, annotations, address, path)
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return Told(
        action,
        labels | ({"dedup_key": key} if key else {}),
        {name: value for name, value in annotations.items() if value},
        starts_ms,
        ends_ms if action == "resolve" else None,
        key=key,
        generator_url=address if is_web_address(address) else "",
        path=path,
    )


def _action(status: str, mapping: Mapping) -> Action:
    for action, patterns in (("resolve", mapping.resolved), ("acknowledge", mapping.acknowledged)):
        if any(pattern.fullmatch(status) for pattern in patterns):
            return cast(Action, action)
    return "trigger"


def _instant(text: str) -> int | None:
    """RFC 3339, or Unix time in seconds, milliseconds, microseconds or nanoseconds, told apart by its size."""
    if not _NUMBER.fullmatch(text):
        return instant_of(text)
    number = float(text)
    for scale in (1000.0, 1.0, 1e-3, 1e-6):
        if number * scale < 32_503_680_000_000:  # the year 3000
            return round(number * scale) or None
    raise ValueError(f"{text} is no instant")
