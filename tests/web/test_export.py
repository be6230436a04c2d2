"""Objectives as rules over HTTP: a file by default, JSON when it is asked for."""

from __future__ import annotations

import httpx

from tests.web.conftest import JSON, apply, services, slo


def test_rules_are_a_yaml_file_or_json(client: httpx.Client) -> None:
    apply(client, services("shop"), slo("shop-answers", "shop"), slo("shop-speed", "shop"))
    plain = client.get("/export/rules")
    assert plain.headers["content-type"].startswith("application/yaml")
    assert plain.text.startswith('groups:\n- name: "sloth-slo-sli-recordings-shop-answers"\n')
    told = client.get(
        "/export/rules", headers=JSON, params={"name": "shop-speed", "format": "operator"}
    ).json()
    assert told["text"].startswith("apiVersion: monitoring.coreos.com/v1\n")
    assert {group["name"].removeprefix("sloth-slo-") for group in told["groups"]} == {
        f"{kind}-shop-speed" for kind in ("sli-recordings", "meta-recordings", "alerts")
    }
    assert told["left_out"] == []


def test_annotations_of_sloth_name_the_alerts(client: httpx.Client) -> None:
    document = slo("shop-answers", "shop").replace(
        "metadata:\n", 'metadata:\n  annotations: {sloth.slok.dev/alert-name: "ShopFails"}\n', 1
    )
    apply(client, services("shop"), document)
    assert 'alert: "ShopFails"' in client.get("/export/rules").text
    sloths = client.get("/export/rules?as_sloth=true").text
    assert "slo:sli_bad:rate5m" not in sloths


def test_what_is_wrong_is_told(client: httpx.Client) -> None:
    assert client.get("/export/rules").text == "groups: []\n"
    missing = client.get("/export/rules?name=none")
    assert missing.status_code == 404
    assert "there is no objective 'none'" in missing.json()["error"]["message"]
    assert client.get("/export/rules?format=jsonnet").status_code in (400, 422)
