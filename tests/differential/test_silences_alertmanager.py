"""Silences against a real Alertmanager: the same posts, changes and ends, and what stands there then.

Times lie hours apart, so that neither program's clock matters, nor that newer ones compare starts by the second.
"""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import require
from tests.differential.alertmanager import Alertmanager

from setpoint.alert.route.matcher import Matcher
from setpoint.alert.silence.book import SilenceBook
from setpoint.alert.silence.model import Silence
from setpoint.clock import SystemClock, rfc3339
from setpoint.database import StateDatabase
from setpoint.errors import InvalidInput, NotFound
from setpoint.timeline import Timeline

HOUR_MS = 3_600_000
MATCHERS = (
    (Matcher("service", "checkout"),),
    (Matcher("service", "checkout|cart", "=~"), Matcher("env", "test", "!=")),
    (Matcher("service", ".*", "=~"),),
    (Matcher("a", ""), Matcher("b", "x", "!=")),
    (),
)


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    require("Alertmanager", Alertmanager.is_installed(), "prometheus-alertmanager")
    with Alertmanager(tmp_path_factory.mktemp("alertmanager"), CONFIG) as running:
        yield running


CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


def call(url: str, method: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text.strip() else None
    except urllib.error.HTTPError as error:
        return error.code, None


def as_json(silence: Silence) -> dict[str, Any]:
    return {
        "id": silence.id,
        "matchers": [
            {"name": one.name, "value": one.value, "isRegex": one.is_regex, "isEqual": one.is_equal}
            for one in silence.matchers
        ],
        "startsAt": rfc3339(silence.starts_ms),
        "endsAt": rfc3339(silence.ends_ms),
        "createdBy": silence.created_by,
        "comment": silence.comment,
    }


def _matchers(chance: random.Random, known: Silence | None) -> tuple[Matcher, ...]:
    """Any for a new one. No wrong ones for a change: Alertmanager 0.25 ends the old silence before it refuses that;
    here, as in Alertmanager since, bad input changes nothing.
    """
    if known is None:
        return chance.choice(MATCHERS)
    return chance.choice(MATCHERS[:2]) if chance.random() < 0.3 else known.matchers


@pytest.mark.parametrize("seed", range(8))
def test_the_same_becomes_of_silences(seed: int, peer: Alertmanager, sqlite_database: StateDatabase) -> None:
    chance = random.Random(seed)
    clock = SystemClock()
    book = SilenceBook(sqlite_database, Timeline(sqlite_database, clock), clock)
    url = f"{peer.url}/api/v2"
    pairs: list[tuple[str, str]] = []
    for step in range(25):
        now_ms = clock.now_ms()
        mine, theirs = chance.choice(pairs) if pairs and chance.random() < 0.7 else ("", "")
        if mine and chance.random() < 0.25:
            book.expire(mine)
            assert call(f"{url}/silence/{theirs}", "DELETE")[0] == 200
            time.sleep(0.002)  # its end must have passed where both are asked for their state
            continue
        known = book.get(mine)
        silence = Silence(
            mine,
            _matchers(chance, known),
            known.starts_ms if known and chance.random() < 0.6 else now_ms + chance.choice((-2, 2)) * HOUR_MS,
            now_ms + chance.choice((-1, 1, 3, 5)) * HOUR_MS,
            "ada",
            f"step {step}",
        )
        sent = as_json(replace(silence, id=theirs))
        if known is not None and silence.starts_ms == known.starts_ms:
            # Where both began at once, each has an instant of its own, and 0.25 compares them to the nanosecond.
            sent["startsAt"] = call(f"{url}/silence/{theirs}", "GET")[1]["startsAt"]
        status, answer = call(f"{url}/silences", "POST", sent)
        try:
            posted = book.post(silence)
        except (InvalidInput, NotFound):
            assert status >= 400, (step, silence)
            continue
        assert status == 200, (step, silence)
        assert (posted == mine) == (answer["silenceID"] == theirs), (step, known, silence)
        if (posted, answer["silenceID"]) not in pairs:
            pairs.append((posted, answer["silenceID"]))
    assert len(pairs) > 2
    for mine, theirs in pairs:
        found = book.get(mine)
        assert found is not None
        _, told = call(f"{url}/silence/{theirs}", "GET")
        assert told["status"]["state"] == found.state(clock.now_ms())
        assert told["comment"] == found.comment
        assert [one["value"] for one in told["matchers"]] == [one.value for one in found.matchers]
