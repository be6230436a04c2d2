"""The gate and the page of releases over HTTP and by the program: statuses, exit codes, and what a person reads."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from setpoint.app import App
from setpoint.clock import VirtualClock
from tests.cli.program import setpoint
from tests.web.conftest import HTML, JSON, apply, services

POLICY = """
apiVersion: setpoint/v1
kind: ErrorBudgetPolicy
metadata: {name: shop}
spec:
  description: Agreed in spring.
  appliesTo: {services: [checkout, search, invoicing, catalog]}
  rules:
    - name: gone
      when: [{remainingBudget: {atMost: 0%}}]
      until: [{remainingBudget: {atLeast: 10%}}]
      releases: fixesOnly
"""
EXCEPTION = """
apiVersion: setpoint/v1
kind: PolicyException
metadata: {name: fair}
spec:
  approvedBy: Ann Example
  reason: the fair begins
  until: "UNTIL"
  services: [search]
"""
TOMORROW, YESTERDAY = "2027-01-10T12:00:00Z", "2027-01-08T12:00:00Z"


@pytest.fixture
def governed(populated: httpx.Client, parts: App) -> httpx.Client:
    """Four services and a policy that the board has looked at: of one of them the budget is gone."""
    apply(populated, POLICY)
    parts.policies.step()
    return populated


def _ask(client: httpx.Client, service: str, **given: str) -> tuple[int, dict[str, Any]]:
    answer = client.get(f"/gate/{service}", params=given)
    return answer.status_code, answer.json()


def _gate(client: httpx.Client, *arguments: str) -> tuple[int, str]:
    done = setpoint("gate", *arguments, "--server", str(client.base_url))
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("service", "change", "status", "decision", "code"),
    [
        ("catalog", "feature", 200, "allow", 0),
        ("search", "feature", 423, "hold", 9),
        ("search", "security", 200, "allow", 0),
        ("invoicing", "feature", 424, "don't know", 10),
        ("invoicing", "fix", 200, "allow", 0),
        ("nobody", "feature", 424, "don't know", 10),
    ],
)
def test_the_answer_is_in_the_status_and_in_the_exit_code(  # noqa: PLR0917 — a row of the table
    governed: httpx.Client, service: str, change: str, status: int, decision: str, code: int
) -> None:
    assert _ask(governed, service, change=change)[0] == status
    told = _ask(governed, service, change=change, always_ok="true")
    assert (told[0], told[1]["decision"], told[1]["exit_code"]) == (200, decision, code)
    assert _gate(governed, service, "--change", change)[0] == code


def test_a_hold_says_why_and_what_lifts_it(governed: httpx.Client) -> None:
    _, told = _ask(governed, "search", version="4.12")
    assert told["reason"].startswith(
        "only fixes and security changes may be released: search-availability: −"
    )
    assert told["lifted_when"] == "search-availability: at least 10 % of the budget is left"
    assert told["because"][0]["formula"].startswith("left = 1 − (1 − SLI) / (1 − target) = 1 − (1 − 0.")
    code, said = _gate(governed, "search", "--version", "4.12")
    assert code == 9
    assert said.startswith("■ hold  search 4.12 (feature)\nOnly fixes and security changes may be released")
    assert "Ends when at least 10 % of the budget is left." in said


def test_an_unknown_service_has_its_own_words(governed: httpx.Client) -> None:
    _, told = _ask(governed, "serch")
    assert told["reason"].startswith(
        "there is no service 'serch': neither a Service nor an SLO names it; did you mean"
    )
    apply(governed, services("attic"))
    assert _ask(governed, "attic")[1]["reason"].startswith("no objectives are declared for attic")
    code, said = _gate(governed, "serch", "--wait", "1h")  # waiting does not help
    assert (code, "There is no service 'serch'" in said) == (10, True)


def test_no_policy_is_said_plainly(populated: httpx.Client, parts: App) -> None:
    parts.policies.step()
    status, told = _ask(populated, "checkout")
    assert (status, told["decision"]) == (200, "allow")
    assert told["reason"] == "no policy governs checkout (1 objective): nothing keeps it from being released"


def test_telemetry_that_stops_is_no_yes(governed: httpx.Client, parts: App) -> None:
    assert isinstance(parts.clock, VirtualClock)
    parts.clock.advance(3600)  # and nobody has evaluated anything since
    status, told = _ask(governed, "catalog")
    assert (status, told["decision"]) == (424, "don't know")
    assert "it has not been evaluated for 1 h" in told["reason"]
    assert _ask(governed, "search")[0] == 423  # what was in force stays so
    assert _gate(governed, "catalog")[0] == 10


def test_a_server_that_is_not_there_is_no_yes() -> None:
    done = setpoint("gate", "checkout", "--server", "http://127.0.0.1:9", "-o", "json")
    assert done.returncode == 6
    assert json.loads(done.stdout)["decision"] == "don't know"
    done = setpoint("gate", "checkout", "--server", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (6, "")
    assert "nobody knows whether checkout may be released: no server answers" in done.stderr


def test_a_decision_is_made_again(governed: httpx.Client) -> None:
    _, told = _ask(governed, "search")
    again = governed.get(told["replay"]).json()
    assert (again["same"], again["replayed"]["decision"]) == (True, "hold")
    code, said = _gate(governed, "replay", str(told["id"]))
    assert (code, said.startswith("● the same: hold\nsearch (feature), ")) == (0, True)
    assert _gate(governed, "replay", "999999")[0] == 3
    assert _gate(governed, "search", "12")[0] == 2
    assert governed.get("/gate/decisions/x/replay").status_code == 400


def test_retries_are_one_event(governed: httpx.Client, parts: App) -> None:
    ids = {_ask(governed, "search", version="1")[1]["id"] for _ in range(5)}
    assert len(ids) == 1
    assert len(parts.timeline.query(kinds=["gate.decided"])) == 1


def test_a_page_of_another_site_cannot_fill_the_timeline(governed: httpx.Client, parts: App) -> None:
    assert governed.get("/gate/search", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 401
    assert parts.timeline.query(kinds=["gate.decided"]) == []
    assert governed.get("/gate/search", headers={"Sec-Fetch-Site": "none"}).status_code == 423


def test_what_cannot_be_asked(governed: httpx.Client) -> None:
    assert _ask(governed, "search", change="hotfix")[0] == 400
    assert _gate(governed, "search", "--change", "hotfix")[0] == 2
    code, said = _gate(governed, "search", "--wait", "soon")
    assert (code, "write --wait 90s, 10m or 1h" in said) == (2, True)


def test_waiting_ends_with_the_last_answer(governed: httpx.Client) -> None:
    code, said = _gate(governed, "search", "--wait", "1s")
    assert code == 9
    assert "asking again for 1 s" in said


def test_an_exception_lets_it_pass_and_one_that_ended_does_not(governed: httpx.Client, parts: App) -> None:
    ended = governed.post(
        "/api/resources", json={"files": [{"name": "e.yaml", "text": EXCEPTION.replace("UNTIL", YESTERDAY)}]}
    ).json()["changes"][0]
    (warning,) = ended["warnings"]
    assert warning.startswith(
        "e.yaml:8: spec.until: it ended 1 d ago (2027-01-08T12:00:00.000Z) and has no effect"
    )
    assert _ask(governed, "search")[0] == 423
    apply(governed, EXCEPTION.replace("UNTIL", TOMORROW))
    status, told = _ask(governed, "search")
    assert status == 200
    assert told["reason"].startswith(
        "allowed by the exception fair of Ann Example (the fair begins), although search-"
    )
    assert "Exception fair of Ann Example" in _gate(governed, "search")[1]
    parts.policies.step()
    (row,) = governed.get("/releases?q=search", headers=JSON).json()["items"]
    assert (row["decision"], row["state"], row["exceptions"][0]["name"]) == ("allow", "only fixes", "fair")
    page = governed.get("/releases", headers=HTML).text
    assert "passes by exception" in page


def test_the_page_stands_whatever_an_older_event_holds(governed: httpx.Client, parts: App) -> None:
    for told in ("x", {"decision": ["a"], "service": {"x": 1}}):
        parts.timeline.append("gate.decided", "forged", service="checkout", data={"decision": told})
    for accept in (HTML, JSON):
        assert governed.get("/releases", headers=accept).status_code == 200


def test_the_page_says_what_the_gate_says(governed: httpx.Client) -> None:
    told = governed.get("/releases", headers=JSON).json()
    assert [(one["service"], one["state"]) for one in told["items"]] == [
        ("search", "only fixes"),
        ("invoicing", "don't know"),
        ("catalog", "may release"),
        ("checkout", "may release"),
    ]
    assert told["counts"] == {"only fixes": 1, "don't know": 1, "may release": 2}
    _, asked = _ask(governed, "search")
    assert told["items"][0]["reason"] == asked["reason"]
    page = governed.get("/releases", headers=HTML).text
    for words in (
        "Ends when search-availability: at least 10",
        "Agreed in spring",
        "setpoint gate replay",
        "1 held · ",
    ):
        assert words in page
    assert "<script>" not in page
    found = governed.get("/releases?q=only+fixes", headers=JSON).json()
    assert [one["service"] for one in found["items"]] == ["search"]
    assert "None of 4 matches" in governed.get("/releases?q=zzz", headers=HTML).text
    first = governed.get("/releases?limit=3", headers=JSON).json()
    assert len(governed.get(first["next"], headers=JSON).json()["items"]) == 1


def test_the_page_of_an_objective_says_that_its_service_is_held(governed: httpx.Client) -> None:
    for version in range(20):
        _ask(governed, "search", version=str(version))
    page = governed.get("/objectives/search-availability", headers=HTML).text
    assert "policy.fixes_only" in page
    assert "gate.decided" not in page  # they ask more often than anything happens
    assert 'id="held"' in page
    assert "Releases of search</a>: only fixes and security changes may be released, since" in page
    assert 'id="held"' not in governed.get("/objectives/catalog-availability", headers=HTML).text


def test_policies_are_listed_in_words(governed: httpx.Client) -> None:
    (policy,) = governed.get("/policies", headers=JSON).json()["items"]
    assert policy["services"] == ["catalog", "checkout", "invoicing", "search"]
    (rule,) = policy["rules"]
    assert rule["words"] == (
        "When at most 0 % of the budget is left, only fixes and security changes may be released, until at least 10 % "
        "of the budget is left."
    )
    assert [one["objective"] for one in rule["in_force"]] == ["search-availability"]
    answer = governed.get("/policies", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/releases#policies")


def test_empty_pages_teach(client: httpx.Client, parts: App) -> None:
    assert "looked at for the first time in a moment" in client.get("/releases", headers=HTML).text
    parts.policies.step()
    page = client.get("/releases", headers=HTML).text
    for words in (
        "No service is known yet",
        "No policy is declared",
        "setpoint apply -f policy.yaml",
        "Nobody has asked",
    ):
        assert words in page
    assert client.get("/releases", headers=JSON).json()["items"] == []
