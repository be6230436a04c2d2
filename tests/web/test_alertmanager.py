"""Alertmanager's API v2 as its clients see it: alerts, groups, silences, receivers, status, and what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from setpoint.alert.dispatch.book import AlertBook
from setpoint.alert.route.model import Routing
from setpoint.alert.route.read import read_routing
from setpoint.app import App
from setpoint.clock import rfc3339
from setpoint.errors import Unavailable
from tests.web.conftest import NOW_MS, MakeApp, Running

ROUTING = """
global: {resolve_timeout: 10m}
route:
  receiver: default
  group_by: [alertname]
  group_wait: 30s
  routes:
    - receiver: team-a
      matchers: [team="a"]
      group_by: [alertname, cluster]
inhibit_rules:
  - source_matchers: [severity="critical"]
    target_matchers: [severity="warning"]
    equal: [cluster]
receivers:
  - name: default
  - name: team-a
    webhook_configs: [{url: "http://127.0.0.1:9/hook", http_config: {basic_auth: {username: u, password: s3cret}}}]
"""


def routing() -> Routing:
    return read_routing("alertmanager.yml", ROUTING)


def alert(name: str, **labels: str) -> dict[str, Any]:
    return {"labels": {"alertname": name} | labels, "annotations": {"summary": f"{name} happens"}}


@pytest.fixture
def api(parts: App, client: httpx.Client) -> Iterator[httpx.Client]:
    parts.dispatcher.follow(routing())
    parts.dispatcher.advance(NOW_MS)
    with httpx.Client(base_url=f"{client.base_url}/api/v2", timeout=40) as opened:
        yield opened


def post(api: httpx.Client, *alerts: dict[str, Any]) -> None:
    answer = api.post("/alerts", json=list(alerts))
    assert (answer.status_code, answer.content) == (200, b""), answer.text


def names(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return sorted(one["labels"]["alertname"] for one in answer.json())


def silence(**changes: Any) -> dict[str, Any]:
    return {
        "matchers": [{"name": "alertname", "value": "A", "isRegex": False}],
        "startsAt": rfc3339(NOW_MS),
        "endsAt": rfc3339(NOW_MS + 3_600_000),
        "createdBy": "jane",
        "comment": "changing the disk",
    } | changes


def test_an_alert_is_there_as_soon_as_it_is_taken(parts: App, api: httpx.Client) -> None:
    post(api, alert("A", team="a", empty=""))
    (found,) = api.get("/alerts").json()
    assert found == {
        "annotations": {"summary": "A happens"},
        "endsAt": rfc3339(NOW_MS + 600_000),
        "fingerprint": found["fingerprint"],
        "receivers": [{"name": "team-a"}],
        "startsAt": rfc3339(NOW_MS),
        "status": {"inhibitedBy": [], "mutedBy": [], "silencedBy": [], "state": "active"},
        "updatedAt": rfc3339(NOW_MS),
        "labels": {"alertname": "A", "team": "a"},
    }
    assert parts.alert_book.get(found["fingerprint"]) is not None
    parts.dispatcher.advance(NOW_MS)
    assert api.get("/alerts").json() == [found]


def test_what_ended_is_not_listed(parts: App, api: httpx.Client) -> None:
    post(
        api,
        alert("A"),
        alert("B") | {"endsAt": rfc3339(NOW_MS - 1000)},
        alert("C") | {"endsAt": rfc3339(NOW_MS + 5000)},
    )
    assert names(api.get("/alerts")) == ["A", "C"]
    parts.clock.advance(5)  # type: ignore[attr-defined]
    assert names(api.get("/alerts")) == ["A"]


def test_filters(parts: App, api: httpx.Client) -> None:
    post(
        api,
        alert("Cause", severity="critical", cluster="eu"),
        alert("Effect", severity="warning", cluster="eu"),
        alert("Quiet", team="a", cluster="us"),
        alert("Loud", team="b", cluster="us"),
    )
    api.post("/silences", json=silence(matchers=[{"name": "alertname", "value": "Qu.*", "isRegex": True}]))
    parts.dispatcher.advance(NOW_MS)
    for query, expected in {
        "": ["Cause", "Effect", "Loud", "Quiet"],
        "?active=false": ["Effect", "Quiet"],
        "?silenced=false": ["Cause", "Effect", "Loud"],
        "?inhibited=false": ["Cause", "Loud", "Quiet"],
        "?silenced=false&inhibited=false": ["Cause", "Loud"],
        "?filter=cluster%3Deu": ["Cause", "Effect"],
        "?filter=cluster%3Deu&filter=severity!%3Dwarning": ["Cause"],
        "?filter=team%3D~%22a%7Cb%22": ["Loud", "Quiet"],
        "?filter=team%3D": ["Cause", "Effect"],
        "?receiver=team-.*": ["Quiet"],
        "?receiver=team": [],
        "?receiver=default": ["Cause", "Effect", "Loud"],
    }.items():
        assert names(api.get(f"/alerts{query}")) == expected, query
    states = {one["labels"]["alertname"]: one["status"] for one in api.get("/alerts").json()}
    cause = next(one for one in api.get("/alerts").json() if one["labels"]["alertname"] == "Cause")
    assert states["Effect"]["inhibitedBy"] == [cause["fingerprint"]]
    assert len(states["Quiet"]["silencedBy"]) == 1 and states["Quiet"]["state"] == "suppressed"
    listed = [one["fingerprint"] for one in api.get("/alerts").json()]
    assert listed == sorted(listed)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("filter=foo", "bad matcher format: foo"),
        ("filter=a%3D~(", "missing"),
        ("receiver=(", "failed to parse receiver param: "),
        ("receiver_matchers=x", "failed to parse receiver_matchers param: "),
    ],
)
@pytest.mark.parametrize("path", ["/alerts", "/alerts/groups"])
def test_filters_that_are_none(api: httpx.Client, path: str, query: str, message: str) -> None:
    answer = api.get(f"{path}?{query}")
    assert answer.status_code == 400
    assert message in answer.json()


def test_groups(parts: App, api: httpx.Client) -> None:
    post(api, alert("B"), alert("A", x="2"), alert("A", x="1", job="z"), alert("A", team="a", cluster="eu"))
    parts.dispatcher.advance(NOW_MS)
    groups = api.get("/alerts/groups").json()
    assert [(one["receiver"]["name"], one["labels"]) for one in groups] == [
        ("default", {"alertname": "A"}),
        ("default", {"alertname": "B"}),
        ("team-a", {"alertname": "A", "cluster": "eu"}),
    ]
    assert [one["labels"].get("x") for one in groups[0]["alerts"]] == ["1", "2"]  # who has a job comes first
    assert groups[0]["routeLabels"] == {}
    assert len(api.get("/alerts/groups?filter=x%3D1").json()[0]["alerts"]) == 1
    assert [one["labels"] for one in api.get("/alerts/groups?receiver=team-a").json()] == [
        {"alertname": "A", "cluster": "eu"}
    ]
    api.post("/silences", json=silence(matchers=[{"name": "alertname", "value": "B", "isRegex": False}]))
    parts.dispatcher.advance(NOW_MS)
    assert len(api.get("/alerts/groups?silenced=false").json()) == 2


def test_one_bad_alert_does_not_keep_the_others_out(api: httpx.Client) -> None:
    answer = api.post("/alerts", json=[alert("A"), {"labels": {"x": ""}}, alert("B")])
    assert (answer.status_code, answer.json()) == (400, "at least one label pair required")
    assert names(api.get("/alerts")) == ["A", "B"]
    assert api.post("/alerts", json=[{"labels": {"x": ""}}] * 5000).json().endswith("; and 4,900 more")


@pytest.mark.parametrize(
    ("content", "media", "status", "code", "message"),
    [
        (b"[{}]", "application/json", 422, 602, "0.labels in body is required"),
        (b"", "application/json; charset=utf-8", 422, 602, "alerts in body is required"),
        (b"[{", "application/json", 400, 400, 'parsing alerts body from "" failed, because '),
        (
            b"[]",
            "text/plain",
            415,
            415,
            'unsupported media type "text/plain", only [application/json] are allowed',
        ),
        (b'[{"labels":{"a":"b"},"startsAt":"x"}]', "application/json", 400, 400, "[0].startsAt"),
    ],
)
def test_bodies_that_are_refused_change_nothing(  # noqa: PLR0917 — one case each
    api: httpx.Client, content: bytes, media: str, status: int, code: int, message: str
) -> None:
    answer = api.post("/alerts", content=content, headers={"Content-Type": media})
    assert answer.status_code == status
    assert answer.json()["code"] == code and message in answer.json()["message"]
    assert api.get("/alerts").json() == []


def test_a_body_in_chunks_is_taken_and_a_huge_one_is_not(api: httpx.Client) -> None:
    def chunks(text: bytes, times: int = 1) -> Iterator[bytes]:
        yield b"["
        for _ in range(times):
            yield text
        yield b"]"

    headers = {"Content-Type": "application/json"}
    assert (
        api.post("/alerts", content=chunks(json.dumps(alert("A")).encode()), headers=headers).status_code
        == 200
    )
    assert names(api.get("/alerts")) == ["A"]
    assert api.post("/alerts", content=b"[" + b" " * (17 << 20), headers=headers).status_code == 413
    assert names(api.get("/alerts")) == ["A"]


def test_what_cannot_be_stored_is_not_acknowledged(
    parts: App, api: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: AlertBook, __: object) -> None:
        raise Unavailable("the disk is full", retry_after_s=7)

    with monkeypatch.context() as patched:
        patched.setattr(AlertBook, "receive", full)
        answer = api.post("/alerts", json=[alert("A")])
    assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (
        503,
        "the disk is full",
        "7",
    )
    assert api.get("/alerts").json() == []


def test_a_silence_lives_and_ends(parts: App, api: httpx.Client) -> None:
    made = api.post("/silences", json=silence()).json()["silenceID"]
    found = api.get(f"/silence/{made}").json()
    assert found == {
        "id": made,
        "status": {"state": "active"},
        "updatedAt": rfc3339(NOW_MS),
        "annotations": {},
        "comment": "changing the disk",
        "createdBy": "jane",
        "endsAt": rfc3339(NOW_MS + 3_600_000),
        "matchers": [{"isEqual": True, "isRegex": False, "name": "alertname", "value": "A"}],
        "startsAt": rfc3339(NOW_MS),
    }
    longer = api.post("/silences", json=silence(id=made, endsAt=rfc3339(NOW_MS + 7_200_000)))
    assert longer.json() == {"silenceID": made}
    parts.clock.advance(60)  # type: ignore[attr-defined]
    answer = api.delete(f"/silence/{made}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert api.get(f"/silence/{made}").json()["status"] == {"state": "expired"}
    later = rfc3339(NOW_MS + 600_000)
    api.post("/silences", json=silence(startsAt=later, comment="later"))
    api.post("/silences", json=silence(comment="now"))
    listed = [(one["status"]["state"], one["comment"]) for one in api.get("/silences").json()]
    assert listed == [("active", "now"), ("pending", "later"), ("expired", "changing the disk")]
    assert len(api.get("/silences?expired=false&pending=false").json()) == 1
    assert len(api.get("/silences?filter=alertname%3DA").json()) == 3
    assert api.get("/silences?filter=alertname%3D~A").json() == []


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 422, "comment in body is required"),
        (silence(matchers=[]), 422, "matchers in body should have at least 1 items"),
        (silence(matchers=None), 422, "matchers in body is required"),
        (silence(matchers=[{"name": "a", "value": "b"}]), 422, "matchers.0.isRegex in body is required"),
        (silence(startsAt="x"), 400, "'x' is no instant"),
        (silence(startsAt=None), 422, "startsAt in body is required"),
        (
            silence(endsAt=rfc3339(NOW_MS - 1), startsAt=rfc3339(NOW_MS - 5)),
            400,
            "end time can't be in the past",
        ),
        (
            silence(startsAt=rfc3339(NOW_MS + 10), endsAt=rfc3339(NOW_MS + 5)),
            400,
            "start time must be before end time",
        ),
        (silence(matchers=[{"name": "a", "value": "(", "isRegex": True}]), 400, "invalid regular expression"),
        (
            silence(matchers=[{"name": "a", "value": ".*", "isRegex": True}]),
            400,
            "must not match the empty string",
        ),
        (silence(matchers=[{"name": "a", "value": 1, "isRegex": True}]), 400, "matchers.0.value is no text"),
        (silence(matchers="x"), 400, "matchers is no list"),
        (silence(id="00000000-0000-0000-0000-000000000000"), 404, "silence not found"),
        ([], 400, "a silence is an object"),
        (silence(comment=7), 400, "comment is no text"),
        (silence(comment="\ud800"), 400, "is no text"),
    ],
)
def test_silences_that_are_refused(api: httpx.Client, body: Any, status: int, message: str) -> None:
    answer = api.post("/silences", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code == status, answer.text
    said = answer.json()
    assert message in (said if isinstance(said, str) else said["message"])
    assert api.get("/silences").json() == []


def test_silences_that_are_not_there(api: httpx.Client) -> None:
    for method in ("GET", "DELETE"):
        unknown = api.request(method, "/silence/00000000-0000-0000-0000-000000000000")
        assert (unknown.status_code, unknown.content) == (404, b"")
        wrong = api.request(method, "/silence/xyz")
        assert wrong.status_code == 422
        assert wrong.json() == {"code": 601, "message": 'silenceID in path must be of type uuid: "xyz"'}


def test_receivers_and_status(parts: App, api: httpx.Client) -> None:
    assert [one["name"] for one in api.get("/receivers").json()] == ["default", "team-a"]
    status = api.get("/status").json()
    assert status["cluster"] == {"peers": [], "status": "disabled"}
    assert status["uptime"] == rfc3339(parts.started_ms)
    assert "team-a" in status["config"]["original"] and "s3cret" not in status["config"]["original"]
    assert sorted(status["versionInfo"]) == [
        "branch", "buildDate", "buildUser", "goVersion", "revision", "version",
    ]  # fmt: skip


def test_many_at_once_are_all_taken(api: httpx.Client) -> None:
    answers: list[int] = []

    def send(number: int) -> None:
        with httpx.Client(base_url=api.base_url, timeout=60) as client:
            answers.extend(
                client.post("/alerts", json=[alert(f"A{number}-{one}")]).status_code for one in range(10)
            )

    threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 80
    assert len(api.get("/alerts").json()) == 80


def test_who_may_do_what(make_app: MakeApp, serve: Callable[..., Running]) -> None:
    parts = make_app(token=SecretStr("s3cret-token"))
    with httpx.Client(base_url=f"{serve(parts).url}/api/v2", timeout=40) as api:
        assert api.post("/alerts", json=[alert("A")]).status_code == 401
        assert api.get("/alerts").status_code == 401
        assert api.post("/silences", json=silence()).status_code == 401
        known = {"Authorization": "Bearer s3cret-token"}
        assert api.post("/alerts", json=[alert("A")], headers=known).status_code == 200
        assert api.post("/alerts", json=[alert("B")], auth=("any", "s3cret-token")).status_code == 200
        foreign = known | {"Origin": "https://evil.example.com"}
        assert api.post("/alerts", json=[alert("C")], headers=foreign).status_code == 403
        assert names(api.get("/alerts", headers=known)) == ["A", "B"]


def test_what_came_and_what_was_refused_is_counted(api: httpx.Client, client: httpx.Client) -> None:
    api.post("/alerts", json=[alert("A"), alert("B")])
    api.post("/alerts", json=[alert("C"), {"labels": {"x": ""}}])
    api.post("/alerts", json=[{}])
    metrics = client.get("/metrics").text
    for line in (
        'setpoint_alert_source_requests_total{source="alertmanager"} 2.0',
        'setpoint_alert_source_alerts_total{source="alertmanager"} 3.0',
        'setpoint_alert_source_refused_total{source="alertmanager"} 2.0',
        'setpoint_alerts_firing{source="alertmanager"} 3.0',
    ):
        assert line in metrics
