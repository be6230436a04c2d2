"""The page of one objective, its JSON and its explanation, for every kind, method and plight."""

from __future__ import annotations

import re
from html import unescape

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import HTML, JSON, NOW_MS
from tests.web.kinds import KINDS, KindsBook


@pytest.fixture
def kinds(parts: App, client: httpx.Client) -> httpx.Client:
    """A client of a server with an objective of every kind."""
    object.__setattr__(parts, "objectives", KindsBook())
    return client


def text(page: str) -> str:
    """What a reader sees, on one line."""
    page = re.sub(r"(?s)<(script|style|svg).*?</\1>", " ", page)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", page)).replace("\u00a0", " "))


@pytest.mark.parametrize("name", sorted(KINDS))
def test_every_kind_has_a_page_and_an_explanation(kinds: httpx.Client, name: str) -> None:
    page = kinds.get(f"/objectives/{name}", headers=HTML)
    assert page.status_code == 200
    told = kinds.get(f"/objectives/{name}/explain", headers=JSON).json()
    shown = text(page.text)
    for sentence in told["counted"] + told["data"]:
        assert sentence.replace("\u00a0", " ") in shown
    for step in told["steps"]:
        assert f"{step['name']} {step['formula']} = {step['values']}".replace("\u00a0", " ") in shown
    history = kinds.get(f"/objectives/{name}/history?points=10").json()
    assert history["unit"] == told["unit"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("bad-and-total", "bad ones those of the bad query"),
        ("gauge", "value of each query at the end of a minute is the number of events"),
        ("raw-success", "ready-made ratio of what is good"),
        ("raw-failure", "of which one minus the value is good"),
        ("latency", "one event, good where the value at its end is ≤ 0.5"),
        (
            "slices",
            "each slice of 5 min is one event, good where at least 95 % of what was counted in it is good",
        ),
        ("ratio-slices", "each slice of 1 min is one event that is as good as the ratio"),
        ("journey", "the mean of the parts' ratios, each by its weight"),
        ("journey-all", "good where every part met its own target"),
        ("silence-is-bad", "count as bad once they are 10 min old"),
        ("silence-is-told", "the alert “no data” fires"),
        ("young", "43 % of the past is counted"),
        ("spans.pay", "the spans of this group count: operation = POST /pay and resource.region = eu."),
        ("from-elsewhere", "read from the data source main-prometheus"),
    ],
)
def test_what_is_counted_is_said(kinds: httpx.Client, name: str, said: str) -> None:
    told = kinds.get(f"/objectives/{name}/explain", headers=JSON).json()
    assert said in " ".join(told["counted"] + told["data"]).replace("\u00a0", " ")


def test_the_values_stand_in_the_formulas(kinds: httpx.Client) -> None:
    told = kinds.get("/objectives/checkout-availability/explain", headers=JSON).json()
    steps = {step["name"]: step for step in told["steps"]}
    assert steps["SLI"]["values"] == "99,960 / 100,000"
    assert steps["Allowed to be bad"]["values"] == "100,000 × (1 − 0.999)"
    assert steps["Budget left"]["values"] == "1 − 40 / (100,000 × 0.001)"
    page, hour = told["burn"][1], told["burn"][1]["long"]
    assert (page["long_s"], page["severity"], page["is_firing"]) == (3600, "page", True)
    assert hour["values"] == "(820 / 40,000) / 0.001"
    assert hour["value"] == pytest.approx(820 / 40_000 / 0.001)
    assert page["nearness"] == pytest.approx(20.5 / 14.4)
    assert told["burn"][-1]["long"]["values"] == "no events"
    assert told["burn"][-1]["nearness"] is None


def test_each_query_leads_to_explore_where_that_can_show_it(kinds: httpx.Client) -> None:
    def queries(name: str) -> dict[str, str | None]:
        told = kinds.get(f"/objectives/{name}/explain", headers=JSON).json()
        return {query["role"]: query["explore"] for query in told["queries"]}

    ratio = queries("checkout-availability")
    assert set(ratio) == {"Good", "Total"}
    assert all(kinds.get(address, headers=HTML).status_code == 200 for address in ratio.values() if address)
    assert set(queries("bad-and-total")) == {"Bad", "Total"}
    assert set(queries("latency")) == {"Value"}
    assert set(queries("raw-success")) == {"Ratio"}
    assert "source=main-prometheus" in str(queries("from-elsewhere")["Total"])
    assert set(queries("sql").values()) >= {None}
    assert queries("journey") == {}
    spans = kinds.get("/objectives/spans/explain", headers=JSON).json()["queries"][0]
    assert (spans["language"], spans["explore"]) == ("spans", None)
    assert "status: unset or ok" in spans["text"].splitlines()


def test_alerts_tell_their_state_and_why(kinds: httpx.Client) -> None:
    page = text(kinds.get("/objectives/checkout-availability", headers=HTML).text)
    assert "page fired 12 min ago : burning 20.5× in 1h" in page
    assert "firing page 1h/5m over 14.4× default" in page
    assert "pending page 6h/30m" in page
    assert "quiet ticket" in page
    own = text(kinds.get("/objectives/own-policies", headers=HTML).text)
    assert "A tenth of the budget in 15 minutes" in own
    assert "It cannot fire: the budget cannot fall" in own
    assert "Told to ops (webhook)" in own
    assert "One alert has a warning" in own
    assert "example.test" not in own, "an address may hold a secret"
    assert "nobody is told" in text(kinds.get("/objectives/nobody-is-told", headers=HTML).text)


def test_a_composite_lists_its_parts(kinds: httpx.Client) -> None:
    parts = kinds.get("/objectives/journey/explain", headers=JSON).json()["parts"]
    assert [(part["name"], part["weight"], part["share"]) for part in parts] == [
        ("checkout-availability", 3.0, 0.6), ("latency", 1.0, 0.2), ("gone-meanwhile", 1.0, 0.2),
    ]  # fmt: skip
    assert [part["state"] for part in parts] == ["burning", "healthy", None]
    page = kinds.get("/objectives/journey", headers=HTML).text
    assert 'href="/objectives/latency"' in page
    assert "does not exist" in page
    assert "part of journey" in kinds.get("/objectives/latency", headers=HTML).text


def test_a_group_names_its_labels_and_its_siblings(kinds: httpx.Client) -> None:
    page = kinds.get("/objectives/shop.eu", headers=HTML).text
    assert "region=eu" in page
    link = re.search(r'href="([^"]+)">one of 2 of shop<', page)
    assert link is not None
    assert kinds.get(link[1].replace("&amp;", "&"), headers=JSON).json()["matching"] == 2


def test_a_calendar_window_has_a_begin_and_an_end(kinds: httpx.Client) -> None:
    told = kinds.get("/objectives/monthly/explain", headers=JSON).json()
    assert told["window"]["begin_ms"] < NOW_MS <= told["window"]["end_ms"]
    assert told["window"]["words"].startswith("1 Jan 2027 00:00 to 1 Feb 2027 00:00, Europe/Berlin")
    page = text(kinds.get("/objectives/monthly", headers=HTML).text)
    assert "begins anew in 22 d" in page
    assert "SLI, since 1 Jan 2027" in page
    ends = next(step for step in told["steps"] if step["name"] == "Budget is gone in")
    assert (ends["formula"], ends["result"]) == ("left × elapsed / (burn − 1)", "not in this window")
    told = kinds.get("/objectives/monthly-and-fast/explain", headers=JSON).json()
    ends = next(step for step in told["steps"] if step["name"] == "Budget is gone in")
    # From 1 January 00:00 in Berlin to 9 January 12:00 UTC: 8 d 13 h.
    assert ends["values"].replace("\u00a0", " ") == "60 % × 8 d 13 h / (4.0× − 1)"
    assert ends["value"] == pytest.approx(0.6 * 8.541666 * 86400 / 3, rel=1e-4)
    begins = kinds.get("/objectives/monthly/history").json()["begins_ms"]
    assert begins == [told["window"]["begin_ms"]]
    assert kinds.get(f"/objectives/monthly/history?since=0&until={NOW_MS}").json()["begins_ms"] == []


def test_silence_is_shown_as_silence(kinds: httpx.Client) -> None:
    page = text(kinds.get("/objectives/silent", headers=HTML).text)
    assert "no data no events for 26 min" in page
    assert "last event 26 min ago" in page
    assert "Bad events – no events in the window" in page
    assert "100 %" not in page.split("Budget over time")[0]


def test_progress_of_history(kinds: httpx.Client) -> None:
    page = kinds.get("/objectives/young", headers=HTML).text
    assert 'id="counting"' in page
    assert "43\u00a0% of the past is counted" in page


def test_a_huge_objective_stays_readable(kinds: httpx.Client) -> None:
    name = next(name for name in KINDS if len(name) > 60)
    page = kinds.get(f"/objectives/{name}", headers=HTML).text
    assert "2 more" in page
    assert "25 more, quiet" in text(page)
    assert "999,999,999,999,995 / 1,000,000,000,000,000" in page


def test_explain_is_a_place_on_the_page_for_a_browser(kinds: httpx.Client) -> None:
    answer = kinds.get("/objectives/young/explain", headers=HTML)
    assert (answer.status_code, answer.headers["location"]) == (303, "/objectives/young#explain")
    assert kinds.get("/objectives/nothing/explain", headers=JSON).status_code == 404
