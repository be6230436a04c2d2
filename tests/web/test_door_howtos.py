"""The pages on doors for alerts are true: each of their requests is sent, and their source is applied."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import httpx
import pytest

from setpoint.app import App
from tests.web.conftest import apply
from tests.web.test_events_in import prepare

HOWTO = Path(__file__).parents[2] / "docs/howto"
EXAMPLES = HOWTO.parents[1] / "examples/alert-sources"


def requests_of(page: str) -> list[tuple[str, str, dict[str, str], str]]:
    """The `curl` lines of a page: method, path, headers, body."""
    found = []
    for line in re.findall(r"^ {4}curl (.*)$", (HOWTO / page).read_text(), re.MULTILINE):
        words = iter(shlex.split(line))
        method, path, headers, body = "GET", "", {}, ""
        for word in words:
            if word == "-X":
                method = next(words)
            elif word == "-H":
                name, _, value = next(words).partition(": ")
                headers[name] = value
            elif word == "-d":
                body = next(words)
            else:
                path = word.removeprefix("http://127.0.0.1:7070")
        found.append((method, path, headers, body))
    return found


@pytest.mark.parametrize(("page", "count"), [("use-it-as-alertmanager.md", 4), ("bring-alerts-in.md", 6)])
def test_every_request_of_a_page_is_answered(parts: App, client: httpx.Client, page: str, count: int) -> None:
    prepare(parts)
    for block in re.findall(r"```yaml\n(apiVersion:.*?)```", (HOWTO / page).read_text(), re.DOTALL):
        apply(client, block)
    sent = requests_of(page)
    assert len(sent) == count
    for method, path, headers, body in sent:
        answer = client.request(method, path, headers=headers, content=body)
        assert answer.is_success, f"{path}: {answer.text}"
        assert "problems" not in answer.text or '"problems":[]' in answer.text
    names = {alert.name for alert in parts.alert_book.alerts()}
    assert names == ({"Trial"} if page.startswith("use") else {"Door left open", "Disk of db1 is full"})


def test_the_example_does_what_its_comment_says(parts: App, client: httpx.Client) -> None:
    text = (EXAMPLES / "build-farm.yaml").read_text()
    shown = "".join(line.removeprefix("#") for line in text.split("apiVersion")[0].splitlines()[1:3])
    answer = client.post("/alert-sources/try", json={"spec": text, "body": shown})
    (alert,) = answer.json()["alerts"]
    assert alert["labels"] == {
        "alertname": "disk",
        "dedup_key": "81",
        "host": "build-3",
        "service": "builds",
        "severity": "page",
        "team": "platform",
    }
    assert alert["annotations"]["summary"] == "Disk of build-3: 97 % full"
