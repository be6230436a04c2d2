"""What looks wrong with objectives, as page, JSON and command."""

from __future__ import annotations

import httpx

from tests.cli.program import setpoint
from tests.web.conftest import HTML, JSON, apply


def test_page_json_and_command_say_the_same(populated: httpx.Client) -> None:
    apply(
        populated,
        "apiVersion: setpoint/v1\nkind: Team\nmetadata: {name: finding}\nspec: {services: [search]}",
    )
    answer = populated.get("/lint", headers=JSON).json()
    found = {(one["rule"], one["objective"] or one["service"]) for one in answer["items"]}
    assert ("traffic", "invoice-freshness") in found
    assert ("owner", "invoicing") in found
    assert answer["counts"]["error"] == 1
    assert answer["items"][0]["gravity"] == "error"
    page = populated.get("/lint", headers=HTML).text
    assert "No event was ever seen" in page
    done = setpoint("slo", "lint", SETPOINT_SERVER=str(populated.base_url))
    assert done.returncode == 0
    assert "■ error invoice-freshness (traffic)" in done.stdout
    strict = setpoint(
        "slo", "lint", "--strict", "--service", "invoicing", SETPOINT_SERVER=str(populated.base_url)
    )
    assert strict.returncode == 8
    assert "search" not in strict.stdout


def test_narrowed_to_what_is_not_there(client: httpx.Client) -> None:
    assert client.get("/lint?team=nobody", headers=JSON).status_code == 404
    assert client.get("/lint?service=nothing", headers=JSON).status_code == 404


def test_nothing_to_find(client: httpx.Client) -> None:
    assert "Nothing: the promises can hold" in client.get("/lint", headers=HTML).text
    done = setpoint("slo", "lint", "--strict", SETPOINT_SERVER=str(client.base_url))
    assert (done.returncode, done.stdout) == (0, "Nothing looks wrong with 0 objectives.\n")
