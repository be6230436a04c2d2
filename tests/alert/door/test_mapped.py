"""Any JSON by a mapping: what it finds, what it refuses and where, and that no template runs for long."""

from __future__ import annotations

import re
from typing import Any

import pytest

from setpoint.alert.door.body import read_json
from setpoint.alert.door.mapped import read_mapped
from setpoint.alert.door.spec import AlertSourceSpec
from setpoint.alert.door.told import Told
from setpoint.app import default_registry
from setpoint.clock import stopwatch
from setpoint.errors import InvalidInput
from setpoint.resource import load_text


def mapped(body: Any, **mapping: Any) -> list[Told]:
    mapping.setdefault("labels", {"alertname": "{{ .name }}"})
    compiled = AlertSourceSpec.model_validate({"type": "json", "mapping": mapping}).compiled()
    assert compiled is not None
    return read_mapped(body, compiled)


def refusal(body: Any, **mapping: Any) -> list[str]:
    with pytest.raises(InvalidInput) as raised:
        mapped(body, **mapping)
    return [str(problem) for problem in raised.value.problems]


@pytest.mark.parametrize(
    ("body", "items", "names"),
    [
        ({"name": "a"}, None, ["a"]),
        ([{"name": "a"}, {"name": "b"}], None, ["a", "b"]),
        ({"events": [{"name": "a"}]}, "events", ["a"]),
        ({"data": {"events": {"name": "a"}}}, "data.events", ["a"]),
        (
            {"groups": [{"alerts": [{"name": "a"}]}, {"alerts": [{"name": "b"}]}]},
            "groups.*.alerts",
            ["a", "b"],
        ),
        ({"checks": {"x": {"name": "a"}, "y": {"name": "b"}}}, "checks.*", ["a", "b"]),
        ([[{"name": "a"}], [{"name": "b"}]], "1", ["b"]),
        ([], None, []),
    ],
)
def test_where_the_alerts_stand(body: Any, items: str | None, names: list[str]) -> None:
    assert [one.labels["alertname"] for one in mapped(body, items=items)] == names


def test_every_field() -> None:
    (told,) = mapped(
        {
            "team": "db",
            "x": {"name": "disk", "level": "P1", "state": "OK", "n": 7, "t": 1_800_000_000, "e": None},
        },
        items="x",
        labels={
            "alertname": "{{ .name }}",
            "severity": '{{ if eq .level "P1" }}critical{{ else }}warning{{ end }}',
            "team": "{{ $body.team }}",
            "service": "database",
            "missing": "{{ .nothing }}",
            "deep": "{{ .nothing.at.all }}",
        },
        annotations={"summary": "{{ .name }} is {{ .state | toLower }}"},
        status="{{ .state }}",
        startsAt="{{ .t }}",
        endsAt="2027-01-15T08:00:05Z",
        dedup="{{ .n }}",
        url="https://ci.example.com/{{ .n }}",
    )
    labels = {
        "alertname": "disk",
        "severity": "critical",
        "team": "db",
        "service": "database",
        "dedup_key": "7",
    }
    assert told == Told(
        "resolve",
        labels,
        {"summary": "disk is ok"},
        1_800_000_000_000,
        1_800_000_005_000,
        key="7",
        generator_url="https://ci.example.com/7",
        path="x",
    )


@pytest.mark.parametrize(
    ("status", "action"),
    [
        ("RESOLVED", "resolve"),
        ("fine", "resolve"),
        ("build.done", "resolve"),
        ("seen", "acknowledge"),
        ("", "trigger"),
    ],
)
def test_what_a_status_means(status: str, action: str) -> None:
    options = {"resolved": ["resolved", "Fine", "*.done"], "acknowledged": ["seen"], "dedup": "1"}
    (told,) = mapped({"name": "a", "s": status}, status="{{ .s }}", **options)
    assert told.action == action


def test_items_that_are_left_out() -> None:
    body = [{"name": "a", "bad": True}, {"name": "b", "bad": False}, {"name": "c"}]
    assert [one.labels["alertname"] for one in mapped(body, when="{{ .bad }}")] == ["a"]


@pytest.mark.parametrize(
    "instant", [1_800_000_000, 1_800_000_000_000, 1.8e9, "1800000000000000", "2027-01-15T08:00:00Z"]
)
def test_instants_in_any_unit(instant: Any) -> None:
    assert mapped({"name": "a", "t": instant}, startsAt="{{ .t }}")[0].starts_ms == 1_800_000_000_000


def test_no_address_that_is_none_of_the_web_becomes_a_link() -> None:
    assert mapped({"name": "a", "u": "javascript:alert(1)"}, url="{{ .u }}")[0].generator_url == ""


@pytest.mark.parametrize(
    ("body", "mapping", "expected"),
    [
        ([{"name": "a"}, {}], {}, "[1]: labels.alertname of the mapping comes out empty here"),
        ({"a": 1}, {"items": "events"}, "there is no 'events' here, but a; correct items of the mapping"),
        ("text", {"items": "a.b"}, "'a' is looked for in what is no object"),
        ({"name": "a"}, {"startsAt": "never"}, "startsAt of the mapping: 'never' is no instant"),
        ({"name": "a"}, {"dedup": "x" * 256}, "dedup has more than 255 characters"),
        ({"name": "a"}, {"annotations": {"x": "{{ $.nothing }}"}}, "annotations.x of the mapping fails here"),
        ([{"name": "a"}] * 2001, {}, "2,001 items are too many; send 2,000 at most"),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(body: Any, mapping: dict[str, Any], expected: str) -> None:
    assert expected in refusal(body, **mapping)[0]


def test_a_template_that_loops_ends() -> None:
    elapsed_s = stopwatch()
    loop = "{{ range .l }}{{ range $body.l }}{{ range $body.l }}x{{ end }}{{ end }}{{ end }}"
    found = refusal({"name": "a", "l": list(range(1000))}, annotations={"x": loop})
    assert re.search("makes more than|takes more than|takes longer than 2 s", found[0])
    many = [{"name": "a"}] * 2000
    slow = "{{ range $body }}{{ range $body }}{{ end }}{{ end }}"
    (told,) = refusal(many, annotations={"x": slow})
    assert re.search("takes longer than 2 s|takes more than", told)
    assert elapsed_s() < 60


def test_a_mapping_asks_no_queries_and_knows_its_variables() -> None:
    for template in ("{{ query `up` }}", "{{ $nothing }}", "{{ .name", "{{ env `HOME` }}"):
        with pytest.raises(InvalidInput) as raised:
            mapped({}, labels={"alertname": "x", "bad": template})
        assert raised.value.problems[0].path == "mapping.labels.bad"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a": {"b": "\\ud800"}}', "a.b: half of a surrogate pair"),
        (b'{"a": ["x", "\\u0000"]}', "a[1]: a character NUL"),
        (b'{"a": 1, "a": 2}', "the key 'a' stands twice"),
        (b'{"a": Infinity}', "Infinity is no JSON"),
        (b'{"a":' * 70 + b"1" + b"}" * 70, "nested deeper than 64 levels"),
        (b"[" * 200_000, "nested deeper than 64 levels"),
        (b'{"a": 1,}', "this is no JSON, line 1, column"),
        (b"\xff\xfe", "byte 0 of the body is no UTF-8"),
        (b"", "this is no JSON, line 1, column 1"),
    ],
)
def test_bodies_that_are_made_to_hurt(body: bytes, expected: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        read_json(body)
    assert expected in str(raised.value)


SOURCE = """
apiVersion: setpoint/v1
kind: AlertSource
metadata:
  name: {name}
spec:
  type: {type}
{more}"""


@pytest.mark.parametrize(
    ("type_", "more", "path", "message"),
    [
        ("json", "", "spec", "json needs a mapping"),
        ("grafana", "  mapping: {labels: {alertname: x}}", "spec", "mapping is for json and cloudevents"),
        ("pagerduty", "", "spec", "pagerduty needs keyFile"),
        ("json", "  mapping: {labels: {}}", "spec.mapping.labels", "every alert has a name"),
        (
            "json",
            "  mapping:\n    labels:\n      alertname: '{{ .a'",
            "spec.mapping.labels.alertname",
            "",
        ),
        ("json", "  mapping: {labels: {alertname: x}, startsAt: '{{ $x }}'}", "spec.mapping.startsAt", ""),
        ("json", "  mapping: {labels: {alertname: x, 1a: y}}", "spec.mapping.labels", "no name of a label"),
        ("json", "  mapping: {items: 'a..b', labels: {alertname: x}}", "spec.mapping.items", "no path"),
        ("grafana", "  key: secret", "spec.key", "keyFile: NAME"),
        ("grafana", "  keyFile: ../etc/passwd", "spec.keyFile", "no file of the secrets folder"),
        ("grafana", "  signedOnly: true", "spec", "signedOnly needs keyFile"),
        ("grafana", "  resolveAfter: 5s", "spec.resolveAfter", "out of bounds"),
        ("alertmanager", "  timestampHeader: X-T", "spec", "timestampHeader is Grafana's"),
        ("grafana", "  labels: {dedup_key: x}", "spec.labels", "set by Setpoint"),
        ("smoke", "", "spec.type", ""),
    ],
)
def test_what_is_wrong_with_a_source_is_said(type_: str, more: str, path: str, message: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        load_text([("s.yaml", SOURCE.format(name="ci", type=type_, more=more))], default_registry())
    problem = raised.value.problems[0]
    assert (problem.path or "").startswith(path) and message in problem.message and problem.line, problem


def test_names_of_our_own_sources_are_taken() -> None:
    with pytest.raises(InvalidInput, match="choose another name"):
        load_text([("s.yaml", SOURCE.format(name="rules", type="grafana", more=""))], default_registry())
