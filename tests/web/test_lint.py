"""What looks wrong with objectives, as page, JSON and command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx

from tests.cli.program import setpoint
from tests.web.conftest import HTML, JSON, MakeApp, Running, apply


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


def test_rules_of_files_that_page_without_owner_or_runbook(
    make_app: MakeApp, serve: Callable[..., Running], tmp_path: Path
) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(
        "groups:\n- name: shop\n  rules:\n"
        "  - {alert: Slow, expr: latency > 1, labels: {severity: page, service: cart}}\n"
    )
    parts = make_app(rule_files=str(file))
    parts.rules.read_files()
    with httpx.Client(base_url=serve(parts).url, timeout=60) as client:
        (found,) = client.get("/lint", headers=JSON).json()["items"]
        assert (found["gravity"], found["rule"], found["service"]) == ("warning", "actionable", "cart")
        assert "rules.yml:4) pages (severity page) and has no runbook" in found["message"]
        assert "has no runbook" in client.get("/lint", headers=HTML).text
        done = setpoint("slo", "lint", SETPOINT_SERVER=str(client.base_url))
        assert "▲ warning cart (actionable)" in done.stdout
