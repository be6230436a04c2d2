"""Adjustments on a server: applied, listed, drawn, explained, told on the timeline, and taken back."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from setpoint.app import App
from setpoint.objective.adjustment.told import AdjustmentLog
from tests.cli.program import setpoint
from tests.web import attributed
from tests.web.conftest import JSON, NOW_MS, apply, slo

OWN = "/objectives/checkout-availability"


def document(name: str, body: str, select: str = "services: [checkout]") -> str:
    return f"""
apiVersion: setpoint/v1
kind: BudgetAdjustment
metadata:
  name: {name}
spec:
  reason: the cards were migrated, as announced
  link: https://wiki.example.org/changes/7
  select: {{{select}}}
{body}
"""


MIGRATION = document(
    "card-migration",
    "  action: exclude\n  once: {start: 2027-01-09T09:00:00Z, end: 2027-01-09T09:20:00Z}",
)


def look(parts: App) -> None:
    AdjustmentLog(parts.state_database, parts.timeline, parts.clock, parts.objectives.adjustments).look()


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, headers=JSON, params=parameters)
    answer.raise_for_status()
    return answer.json()


@pytest.fixture
def spent(parts: App, client: httpx.Client) -> httpx.Client:
    """The day of the how-to."""
    attributed.spend(parts, client)
    return client


def test_time_is_left_out_at_once_and_taken_back(parts: App, spent: httpx.Client) -> None:
    before = get(spent, OWN)
    apply(spent, MIGRATION)
    status = get(spent, OWN)
    assert status["total"] == before["total"] - 20 * 1200
    assert status["bad"] == before["bad"] - 20 * 120 - 20
    (one,) = get(spent, "/adjustments")["items"]
    assert (one["state"], one["objective_count"], one["is_derived"]) == ("past", 1, True)
    (effect,) = one["effects"]
    assert (effect["minutes"], effect["events"], effect["bad"]) == (20, 24_000, 2420)
    assert effect["budget_without"] == pytest.approx(before["budget_left"])
    assert effect["budget_with"] == pytest.approx(status["budget_left"])
    assert effect["cost"] == pytest.approx(before["total"] / status["total"])
    spent.delete("/api/resources/BudgetAdjustment/card-migration").raise_for_status()
    after = get(spent, OWN)
    assert (after["total"], after["bad"]) == (before["total"], before["bad"])
    assert get(spent, "/adjustments")["total"] == 0


def test_the_chart_the_history_and_the_explanation_name_it(spent: httpx.Client) -> None:
    apply(spent, MIGRATION)
    (drawn,) = get(spent, f"{OWN}/history", range=86_400)["adjusted"]
    assert (drawn["name"], drawn["action"]) == ("card-migration", "exclude")
    assert drawn["end_ms"] - drawn["start_ms"] == 20 * 60_000
    page = spent.get(OWN, params={"range": 86_400}).text
    assert '<rect class="adjusted"' in page
    assert "card-migration: the cards were migrated, as announced</title>" in page
    (told,) = get(spent, f"{OWN}/explain")["adjusted"]
    told = told.replace("\u00a0", " ")
    assert told.startswith("card-migration: 20 min of the window left out (24,000 events, 2,420 of them bad)")
    assert "budget 43.8 % → 71.4 %" in told
    assert "a minute of an outage costs is 1.01 × as much" in told
    listed = spent.get("/adjustments").text
    assert "card-migration" in listed
    assert "1.01 ×" in listed
    assert "No budget is adjusted" not in listed


def test_the_timeline_tells_each_step_once(parts: App, spent: httpx.Client) -> None:
    apply(spent, MIGRATION.replace("T09:00", "T11:50").replace("T09:20", "T12:10"))
    for _ in range(3):
        parts.objectives.tick()
        look(parts)
    parts.clock.advance(11 * 60)  # type: ignore[attr-defined]
    parts.objectives.tick()
    look(parts)
    look(parts)
    spent.delete("/api/resources/BudgetAdjustment/card-migration").raise_for_status()
    look(parts)
    look(parts)
    events = [one for one in parts.timeline.query() if one.kind.startswith("adjustment.")][::-1]
    assert [one.kind for one in sorted(events, key=lambda one: one.id)] == [
        "adjustment.applied",
        "adjustment.began",
        "adjustment.ended",
        "adjustment.removed",
    ]
    by_kind = {one.kind: one for one in events}
    assert by_kind["adjustment.ended"].at_ms == NOW_MS + 10 * 60_000
    assert {one.service for one in events} == {"checkout"}
    assert "budget 43.8 % → 43.5 %" in by_kind["adjustment.applied"].summary


def test_what_cannot_be_so_is_refused_with_its_line(spent: httpx.Client) -> None:
    apply(spent, MIGRATION)

    def refused(text: str) -> list[str]:
        answer = spent.post("/api/resources", json={"files": [{"name": "a.yaml", "text": text}]})
        assert answer.status_code == 400, answer.text
        return [f"{one['line']}: {one['message']}" for one in answer.json()["error"]["problems"]]

    once = "  once: {start: 2027-01-09T09:10:00Z, end: 2027-01-09T09:30:00Z}"
    (told,) = refused(document("other", f"  action: good\n{once}"))
    assert "'card-migration' does exclude with the same minutes of checkout-availability" in told
    (told,) = refused(document("other", once, "objectives: [checkout-availabilty]"))
    assert told.startswith(
        "9: there is no objective 'checkout-availabilty'; did you mean 'checkout-availability'?"
    )
    future = "  correction: {at: 2027-01-09T13:00:00Z, badEvents: -5}"
    (told,) = refused(document("other", future, "objectives: [checkout-availability]"))
    assert "the future cannot be corrected yet" in told
    (told,) = refused(document("other", "  once: {start: 2027-01-09T09:00:00Z, end: 2027-01-08T09:00:00Z}"))
    assert told.startswith("10: ")
    assert "is not after start" in told
    (told,) = refused(document("other", "  once: {start: 2026-01-09T09:00:00Z, end: 2026-03-09T09:00:00Z}"))
    assert "longer than the window" in told
    answer = spent.delete("/api/resources/SLO/checkout-availability")
    assert answer.status_code == 200, "chosen by its service, nothing needs it"


def test_the_story_of_the_docs(spent: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documents of docs/howto/leave-time-out.md give the output that stands there."""
    text = (Path(__file__).parents[2] / "docs/howto/leave-time-out.md").read_text()
    once, recurring, correction = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    listed, explained = re.findall(r"```\n(past.*?|card-migration:.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    server = str(spent.base_url).rstrip("/")
    (tmp_path / "card-migration.yaml").write_text(once)
    setpoint("apply", "-f", "card-migration.yaml", SETPOINT_SERVER=server)
    done = setpoint("slo", "adjustments", "card-migration", SETPOINT_SERVER=server)
    assert _lines(done.stdout) == _lines(listed)
    (tmp_path / "both.yaml").write_text(f"{recurring.replace('payments', 'shop')}---\n{correction}")
    apply(spent, slo("till", "till", 0.99, team="shop"))
    setpoint("apply", "-f", "both.yaml", SETPOINT_SERVER=server)
    done = setpoint("slo", "explain", "checkout-availability", SETPOINT_SERVER=server)
    assert set(_lines(explained)) <= set(_lines(done.stdout)), done.stdout
    setpoint("delete", "BudgetAdjustment", "card-migration", SETPOINT_SERVER=server)


def _lines(text: str) -> list[str]:
    return [line.rstrip().replace("\u00a0", " ") for line in text.strip().splitlines()]
