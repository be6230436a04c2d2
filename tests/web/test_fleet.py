"""Thousands of objectives as a list: filter, order, groups, pages, against plain computations over the same columns."""

from __future__ import annotations

import math
import re

import httpx
import pytest

from setpoint.app import App
from setpoint.objective.overview import STATES, Overview
from setpoint.web import fleet
from setpoint.web.terms import read_terms, written_term
from tests.web.big_fleet import BigBook, big_overview
from tests.web.conftest import HTML, JSON

SEEN = big_overview(400)


def state_of(overview: Overview, index: int) -> str:
    return STATES[int(overview.state[index])]


def team_of(index: int) -> tuple[str, ...]:
    return tuple(SEEN.labels[index].get("team", ()))


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("", lambda i: True),
        ("slo-3", lambda i: "slo-3" in SEEN.names[i]),
        ("SERVICE 7", lambda i: "service" in SEEN.names[i] and "7" in SEEN.names[i] + SEEN.display_names[i]),
        ("service:0012", lambda i: SEEN.services[i] == "service-0012"),
        ("service:=service-0012", lambda i: SEEN.services[i] == "service-0012"),
        ("service:=service-001", lambda i: False),
        ("team:data", lambda i: team_of(i) == ("data platform",)),
        ('team:="data platform"', lambda i: team_of(i) == ("data platform",)),
        ("-team:", lambda i: not team_of(i)),
        ("-team:web", lambda i: team_of(i) != ("web",)),
        ("state:no-data", lambda i: state_of(SEEN, i) == "no data"),
        ("-state:healthy", lambda i: state_of(SEEN, i) != "healthy"),
        ("group:eu", lambda i: SEEN.objectives[i].group["region"] == "eu"),
        ("region:us service:service-0001", lambda i: i % 2 == 1 and SEEN.services[i] == "service-0001"),
        ("slo:service-0040", lambda i: SEEN.objectives[i].slo == "service-0040"),
        ("name:slo-7", lambda i: SEEN.names[i].endswith("slo-7")),
        ("alert:firing", lambda i: SEEN.alerts[i] > 0),
        ("alert:none", lambda i: False),
        ("colour:red", lambda i: False),
    ],
)
def test_filter(query: str, holds: object) -> None:
    assert callable(holds)
    expected = [index for index in range(len(SEEN)) if holds(index)]
    assert fleet.chosen(SEEN, query).tolist() == expected


@pytest.mark.parametrize("value", ["payments", "data platform", "", "a:b"])
def test_a_written_term_is_read_as_exactly_that_value(value: str) -> None:
    (term,) = read_terms(written_term("team", value))
    assert (term.value, term.is_exact) == (value, bool(value))
    assert term.key == ("team" if value else "-team")


def test_orders() -> None:
    everything = fleet.chosen(SEEN, "")
    worst = fleet.ordered(SEEN, everything, "remaining").tolist()
    rank = {"exhausted": 0, "burning": 1, "no data": 2, "healthy": 3}

    def least(index: int) -> tuple[int, float, str]:
        left = float(SEEN.budget_left[index])
        return rank[state_of(SEEN, index)], math.inf if math.isnan(left) else left, SEEN.names[index]

    assert worst == sorted(range(len(SEEN)), key=least)
    burns = SEEN.burn_now[fleet.ordered(SEEN, everything, "burn")].tolist()
    known = [burn for burn in burns if not math.isnan(burn)]
    assert known == sorted(known, reverse=True)
    assert burns[: len(known)] == known, "what cannot be seen comes last"
    assert fleet.ordered(SEEN, everything, "name").tolist() == list(range(len(SEEN)))


@pytest.mark.parametrize("by", ["team", "service", "state", "slo", "region", "nothing"])
@pytest.mark.parametrize("sort", fleet.SORTS)
def test_groups_hold_each_objective_once_in_the_order_of_the_list(by: str, sort: fleet.Sort) -> None:
    rows = fleet.ordered(SEEN, fleet.chosen(SEEN, ""), sort)
    groups = [fleet.group(SEEN, *one) for one in fleet.grouped(SEEN, rows, by, sort)]
    place = {index: at for at, index in enumerate(rows.tolist())}
    assert sorted(index for group in groups for index in group.rows.tolist()) == list(range(len(SEEN)))
    for group in groups:
        places = [place[index] for index in group.rows.tolist()]
        assert places == sorted(places)
        assert sum(group.counts.values()) == len(group.rows)
        assert fleet.chosen(SEEN, fleet.group_query("", by, group.value)).tolist() == sorted(
            group.rows.tolist()
        )
    named = [group for group in groups if group.value]
    assert groups[: len(named)] == named, "those without a value come last"
    if sort == "name":
        assert [group.value for group in named] == sorted(group.value for group in named)


def test_a_state_is_chosen_within_the_rest_of_the_filter() -> None:
    assert (
        fleet.state_query('team:"data platform" state:healthy slo', "no data")
        == 'team:"data platform" slo state:no-data'
    )
    assert fleet.without_state("-state:healthy region:=eu") == "region:=eu"


@pytest.fixture
def crowded(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server with 1,000 objectives."""
    object.__setattr__(parts, "objectives", BigBook(1000))
    return client


def shown(page: str) -> list[str]:
    return re.findall(r'<tr id="o-([^"]+)"', page)


def test_pages_lead_through_the_whole_fleet(crowded: httpx.Client) -> None:
    found: list[str] = []
    address: str | None = "/objectives?sort=burn"
    while address:
        page = crowded.get(address, headers=HTML).text
        assert f"{len(found) + 1:,} to {len(found) + 100:,} of 1,000 objectives" in page
        found += shown(page)
        after = re.findall(r'href="([^"]+)" rel="next"', page)
        address = after[0].replace("&amp;", "&") if after else None
    assert len(found) == len(set(found)) == 1000
    before = re.findall(r'href="([^"]+)" rel="prev"', page)
    assert "offset=800" in before[0]
    assert len(shown(crowded.get("/objectives?offset=5000", headers=HTML).text)) == 100, (
        "the last page, not an empty one"
    )


def test_json_comes_in_pieces_with_counts(crowded: httpx.Client) -> None:
    answer = crowded.get("/objectives?q=region:eu&limit=120&sort=name", headers=JSON).json()
    assert (answer["total"], answer["matching"], len(answer["items"])) == (1000, 500, 120)
    assert sum(answer["counts"].values()) == 500
    names = [item["name"] for item in answer["items"]]
    while answer["next"]:
        answer = crowded.get(answer["next"], headers=JSON).json()
        names += [item["name"] for item in answer["items"]]
    assert len(names) == 500
    assert names == sorted(names)
    for query in ("limit=0", "limit=100000", "offset=-1", "sort=colour"):
        assert crowded.get(f"/objectives?{query}", headers=JSON).status_code == 400


def test_groups_as_page_and_json(crowded: httpx.Client) -> None:
    answer = crowded.get("/objectives?group=team", headers=JSON).json()
    assert {group["value"] for group in answer["groups"]} == {
        "", "payments", "web", "logistics", "identity", "data platform",
    }  # fmt: skip
    assert sum(group["objectives"] for group in answer["groups"]) == 1000
    assert answer["groups"][-1]["value"] == ""
    page = crowded.get("/objectives?group=team&q=-state:healthy", headers=HTML).text
    assert page.count("<tbody") == 6
    assert "no team" in page
    narrowed = re.search(r'<a href="([^"]+)"><b>data platform</b>', page)
    assert narrowed is not None
    inside = crowded.get(narrowed[1].replace("&amp;", "&"), headers=JSON).json()
    groups = crowded.get("/objectives?group=team&q=-state:healthy", headers=JSON).json()["groups"]
    expected = next(group for group in groups if group["value"] == "data platform")
    assert inside["matching"] == expected["objectives"]


def test_a_hostile_group_is_escaped(crowded: httpx.Client) -> None:
    page = crowded.get("/objectives", params={"group": '"><script>alert(1)</script>'}, headers=HTML).text
    assert "<script>alert" not in page
