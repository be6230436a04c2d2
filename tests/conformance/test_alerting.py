"""Alertmanager's own cases for routing, inhibition, matchers, time intervals and silences.

The cases lie beside the repository and are not part of it; without them these tests are skipped.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from setpoint.alert.model import Alert
from setpoint.alert.route.inhibit import Inhibitor
from setpoint.alert.route.interval import Stretch, TimeInterval
from setpoint.alert.route.matcher import parse_classic
from setpoint.alert.route.model import Route
from setpoint.alert.route.read import read_routing
from setpoint.alert.route.read_interval import read_stretch
from setpoint.alert.silence.check import can_update
from setpoint.alert.silence.model import Silence
from setpoint.errors import InvalidInput
from setpoint.resource.fields import open_document

CASES = Path(__file__).resolve().parents[3] / "shared" / "conformance" / "alerting"


def cases(name: str) -> dict[str, Any]:
    path = CASES / f"{name}.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not there")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def indented(text: str, by: str) -> str:
    return "\n".join(by + line for line in text.splitlines())


def shown(route: Route, expected: dict[str, Any]) -> dict[str, Any]:
    """A route in the words of the cases, as far as they say something."""
    told = {
        "Receiver": route.receiver,
        "GroupBy": sorted(route.group_by or ()),
        "GroupByAll": route.group_by is None,
        "GroupWait": route.group_wait_ms / 1000,
        "GroupInterval": route.group_interval_ms / 1000,
        "RepeatInterval": route.repeat_interval_ms / 1000,
    }
    return {name: told[name] for name in expected}


def test_routes_match_as_in_alertmanager() -> None:
    data = cases("route_match")
    names = [name for name in data if name.startswith("Test")]
    assert names
    checked = 0
    for name in names:
        test = data[name]
        receivers = sorted(
            {
                line.partition("receiver:")[2].strip().strip("'\"")
                for line in test["route_yaml"].splitlines()
                if "receiver:" in line
            }
        )
        text = "route:\n" + indented(test["route_yaml"], "  ")
        text += "\nreceivers:\n" + "\n".join(f"- name: '{one}'" for one in receivers)
        routing = read_routing("", text)
        for case in test.get("cases", ()):
            found = routing.match(case["labels"])
            expected = [{**one, "GroupBy": sorted(one.get("GroupBy") or ())} for one in case["matched"]]
            for one in expected:
                one.setdefault("GroupWait", 30)
                one.setdefault("GroupInterval", 300)
                one.setdefault("RepeatInterval", 14_400)
            assert len(found) == len(expected), case
            assert [shown(one, two) for one, two in zip(found, expected, strict=True)] == expected, case
            if "route_keys" in case:
                assert [one.key for one in found] == case["route_keys"], case
            checked += 1
    assert checked >= 5


def test_rules_inhibit_as_in_alertmanager() -> None:
    test = cases("inhibit")["TestInhibitRuleMatches"]
    rules = "".join(
        f"- source_matchers: {json.dumps(one['source_matchers'])}\n  target_matchers: "
        f"{json.dumps(one['target_matchers'])}\n  equal: {json.dumps(one['equal'])}\n"
        for one in test["rules"]
    )
    routing = read_routing("", f"route: {{receiver: a}}\nreceivers: [{{name: a}}]\ninhibit_rules:\n{rules}")
    inhibitor = Inhibitor(routing.inhibit_rules)
    inhibitor.follow(Alert(labels, 0, 0) for labels in test["firing_sources"])
    for case in test["cases"]:
        assert bool(inhibitor.inhibited_by(case["labels"], 1000)) == case["inhibited"], case


def test_classic_matchers_are_read_as_in_alertmanager() -> None:
    for case in cases("matcher_parse_classic")["cases"]:
        if "matchers" in case:
            found = [
                {"name": one.name, "op": one.kind, "value": one.value} for one in parse_classic(case["input"])
            ]
            assert found == case["matchers"], case
        else:
            with pytest.raises(InvalidInput) as told:
                parse_classic(case["input"])
            assert case["error_contains"] in told.value.message


def instant_ms(text: str) -> int:
    return int(datetime.strptime(text, "%d %b %y %H:%M %z").timestamp() * 1000)


def read_interval_case(text: str, *, is_list: bool) -> TimeInterval:
    body = text.strip().removeprefix("---").strip("\n")
    document = open_document("", f"it:\n{body}" if is_list else body, begins="a field")
    fields = list(document.items("it")) if is_list else [document]
    interval = TimeInterval("it", tuple(read_stretch(one) for one in fields))
    if document.problems:
        raise InvalidInput(problems=tuple(document.problems))
    return interval


def stretch_of(case: dict[str, Any]) -> Stretch:
    """An interval as it is read, or, since some of upstream's could not be written, from its numbers."""
    document = open_document("", json.dumps(case), begins="a field")
    found = read_stretch(document)
    if not document.problems:
        return found
    ranges: dict[str, Any] = {
        name: tuple((int(low), int(high)) for low, _, high in (one.partition(":") for one in case[name]))
        for name in case
    }
    return Stretch(**ranges)


def test_time_intervals_mean_what_alertmanager_means() -> None:
    data = cases("time_intervals")
    checked = 0
    for section in ("yaml_cases", "yaml_single_cases"):
        for case in data.get(section, ()):
            if case.get("error"):
                with pytest.raises(InvalidInput) as told:
                    read_interval_case(case["yaml"], is_list=section == "yaml_cases")
                assert case["error"] in told.value.message, case
                checked += 1
                continue
            interval = read_interval_case(case["yaml"], is_list=section == "yaml_cases")
            for at in case["contains"]:
                assert interval.contains(instant_ms(at)), (case, at)
            for at in case["excludes"]:
                assert not interval.contains(instant_ms(at)), (case, at)
            checked += 1
    for case in data["contains_cases"]:
        interval = TimeInterval("it", (stretch_of(case["interval"]),))
        assert all(interval.contains(instant_ms(at)) for at in case["contains"]), case
        assert not any(interval.contains(instant_ms(at)) for at in case["excludes"]), case
    assert checked >= 10


@pytest.mark.parametrize("now_ms", [1_700_000_000_000, 1_700_000_000_500])
def test_silences_are_edited_or_made_anew_as_in_alertmanager(now_ms: int) -> None:
    def silence(times: dict[str, int]) -> Silence:
        return Silence(
            "",
            (),
            starts_ms=now_ms + 1000 * times["startsAt"] if "startsAt" in times else 0,
            ends_ms=now_ms + 1000 * times["endsAt"] if "endsAt" in times else 0,
            created_by="",
            comment="",
        )

    for case in cases("silence_can_update")["cases"]:
        assert can_update(silence(case["old"]), silence(case["new"]), now_ms) == case["edit_in_place"], case
