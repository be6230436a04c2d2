"""What a client says of a server that misbehaves, how long it takes for it, and what it never sends anywhere."""

from __future__ import annotations

import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from setpoint.clock import VirtualClock, stopwatch
from setpoint.errors import SetpointError, TooLarge
from setpoint.telemetry.datasource.answer import Answer
from setpoint.telemetry.datasource.client import IoLoop, PrometheusClient, QueryRefused, SourceDown
from setpoint.telemetry.datasource.spec import ConnectionDetails
from tests.conftest import require
from tests.telemetry.datasource import upstream as ways
from tests.telemetry.datasource.upstream import Behave, Upstream, says, upstream

T0 = 1_790_000_040_000
HTML = "<!DOCTYPE html><html><body>Bad gateway</body></html>"
Ask = Callable[..., Answer]


@pytest.fixture
def server() -> Iterator[Upstream]:
    with upstream() as made:
        for at in range(10):
            made.samples.add("hits_total", T0 + at * 15_000, at, job="a")
        yield made


@contextmanager
def client(url: str, folder: Path, **details: Any) -> Iterator[PrometheusClient]:
    loop = IoLoop()
    given = ConnectionDetails.model_validate({"url": url, "timeout": "1s", "responseLimitMb": 2} | details)
    made = PrometheusClient(given, folder, loop, VirtualClock(T0))
    try:
        yield made
    finally:
        made.close()
        loop.close()


@pytest.fixture
def ask(server: Upstream, tmp_path: Path) -> Ask:
    def ask(**details: Any) -> Answer:
        with client(server.url, tmp_path, **details) as made:
            return made.samples('{__name__="hits_total"}', T0, T0 + 60_000)

    return ask


def test_left_open(ask: Ask) -> None:
    found = ask()
    assert [one.labels for one in found.series] == [{"__name__": "hits_total", "job": "a"}]
    assert found.series[0].times_ms.tolist() == [T0 + at * 15_000 for at in (1, 2, 3, 4)]
    assert found.series[0].values.tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("behave", "error", "sentence"),
    [
        (ways.hangs, SourceDown, "no complete answer within 1s"),
        (ways.drips, SourceDown, "no complete answer within 1s"),
        (ways.drips_headers, SourceDown, "no complete answer within 1s"),
        (ways.closes, SourceDown, "the request failed: "),
        (says("{not json"), SetpointError, "its answer is no JSON (9 bytes, '{not json')"),
        (says(""), SetpointError, "it is empty"),
        (says("[" * 200_000), SetpointError, "its answer is no JSON"),
        (
            says({"status": "error", "error": "no\nluck"}),
            SetpointError,
            "an error with HTTP status 200: no luck",
        ),
        (
            says({"status": "success", "data": {"resultType": "vector", "result": []}}),
            SetpointError,
            "holds no",
        ),
        (says({"status": "success", "data": None}), SetpointError, "holds no samples of a range"),
        (says({"status": "success", "isPartial": True}), SetpointError, "partial data"),
        (says({"status": "success", "warnings": ["store x is gone"]}), SetpointError, "store x is gone"),
        (says(b"\x1f\x8bno", Content_Encoding="gzip"), SourceDown, "not valid gzip"),
        (says("x", Content_Encoding="br"), SourceDown, "encoded as 'br'"),
        (says(HTML, 502, reason="Bad Gateway"), SourceDown, "HTTP status 502 Bad Gateway"),
        (says("no entry", 401), SourceDown, "HTTP status 401 Unauthorized: no entry; check basicAuth"),
        (says({"error": "tenant?"}, 403), SourceDown, "403 Forbidden: tenant?; check the credentials"),
        (says("", 404), SourceDown, "404 Not Found; check url: /api/v1/query is looked for below it"),
        (says({"error": "parse error"}, 400), QueryRefused, "HTTP status 400 Bad Request: parse error"),
        (says({"error": "too many"}, 422), QueryRefused, "too many"),
        (ways.endless, TooLarge, "its answer is larger than 2 MB (responseLimitMb)"),
        (ways.inflates, TooLarge, "its answer is larger than 2 MB (responseLimitMb)"),
        (
            says("", 302, Location="http://user:pw@evil.example/x?token=1"),
            SourceDown,
            "to http://evil.example/x,",
        ),
    ],
)
def test_what_went_wrong_is_told(
    server: Upstream, ask: Ask, behave: Behave, error: type[SetpointError], sentence: str
) -> None:
    server.behave = behave
    before_kb, elapsed_s = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, stopwatch()
    with pytest.raises(error) as raised:
        ask()
    assert sentence in raised.value.message
    assert "pw" not in raised.value.message
    assert raised.value.message.isprintable()
    assert elapsed_s() < 30
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < 100_000


@pytest.mark.parametrize(
    "series",
    [
        {},
        {"metric": {"a": 1}, "values": [[T0 / 1000 + 1, "1"]]},
        {"metric": {}, "values": [[T0 / 1000 + 1, 1]]},
        {"metric": {}, "values": [[T0 / 1000 + 1, "one"]]},
        {"metric": {}, "values": [["x", "1"]]},
        {"metric": {}, "values": [[T0 / 1000 + 2, "1"], [T0 / 1000 + 1, "1"]]},
        {"metric": {}, "values": [[None, "1"]]},
        {"metric": {}, "values": [[]]},
        {"metric": {}, "values": 7},
        {"metric": [], "values": []},
        [],
        None,
    ],
)
def test_malformed_series_are_refused_as_a_whole(server: Upstream, ask: Ask, series: Any) -> None:
    server.behave = says({"status": "success", "data": {"resultType": "matrix", "result": [series]}})
    with pytest.raises(SetpointError, match="its answer is malformed"):
        ask()


def test_numbers_of_every_kind(server: Upstream, ask: Ask) -> None:
    texts = ["NaN", "+Inf", "-Inf", "1e-3"]
    values = [[T0 / 1000 + at, text] for at, text in enumerate(texts, 1)]
    result = [{"metric": {"a": "b", "gone": ""}, "values": values}, {"metric": {"a": "c"}, "histograms": []}]
    server.behave = says({"status": "success", "data": {"resultType": "matrix", "result": result}})
    found = ask()
    assert found.histograms == 1
    assert [str(value) for value in found.series[0].values.tolist()] == ["nan", "inf", "-inf", "0.001"]
    assert found.series[0].labels == {"a": "b"}


@pytest.mark.parametrize(
    ("status", "header", "retry_after_s"),
    [
        (429, "17", 17),
        (503, "Mon, 21 Sep 2026 14:15:00 GMT", 60),
        (503, "soon", 5),
        (429, "", 0),
        (500, "17", 0),
    ],
)
def test_retry_after(server: Upstream, ask: Ask, status: int, header: str, retry_after_s: float) -> None:
    server.behave = says({"error": "busy"}, status, Retry_After=header)
    with pytest.raises(SourceDown, match="busy") as raised:
        ask()
    assert raised.value.retry_after_s == pytest.approx(retry_after_s, abs=1)


def test_a_redirect_takes_no_secret_elsewhere(server: Upstream, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("s3cret\n")
    with upstream() as other:
        server.behave = says("", 307, Location=f"{other.url}/api/v1/query")
        with pytest.raises(SourceDown, match="is not followed; write where it is as url"):
            ask(bearerTokenFile="token")
        assert not other.seen


def test_who_we_are(server: Upstream, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("pässword"[:1] + "w\n")
    (tmp_path / "key").write_text("k3y")
    ask(
        basicAuth={"username": "me", "passwordFile": "pass"},
        tenant="team-a",
        headers={"X-Team": "one"},
        headerFiles={"X-Api-Key": "key"},
    )
    form, headers = server.seen[-1]
    assert headers["Authorization"] == "Basic bWU6cHc="
    assert (headers["X-Scope-OrgID"], headers["X-Team"], headers["X-Api-Key"]) == ("team-a", "one", "k3y")
    assert form == {
        "query": '{__name__="hits_total"}[60s]',
        "time": f"{(T0 + 60_000) // 1000}.000",
        "timeout": "1s",
        "partial_response": "false",
    }


def test_a_secret_is_read_again_each_time(server: Upstream, tmp_path: Path) -> None:
    with client(server.url, tmp_path, bearerTokenFile="token") as made:
        for text in ("one", "two"):
            (tmp_path / "token").write_text(text)
            made.samples('{a="b"}', T0, T0 + 1000)
            assert server.seen[-1][1]["Authorization"] == f"Bearer {text}"


@pytest.mark.parametrize("content", [None, "", "two\nlines", "nü", "\x00"])
def test_a_secret_that_cannot_be_used(
    server: Upstream, ask: Ask, tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "token").write_text(content)
    with pytest.raises(SourceDown, match=r"the secret file .*token (cannot be read|must hold one line)"):
        ask(bearerTokenFile="token")
    assert not server.seen


def test_a_proxy_that_lets_only_reads_through(server: Upstream, tmp_path: Path) -> None:
    def behave(handler: Any) -> None:
        if handler.command == "POST":
            says("", 405)(handler)
        else:
            says(server.answer(server.seen[-1][0]))(handler)

    with client(server.url + "/prefix/", tmp_path) as made:
        server.behave = behave
        assert made.samples('{__name__="hits_total"}', T0, T0 + 60_000).samples == 4
        assert made.samples('{__name__="hits_total"}', T0, T0 + 30_000).samples == 2
    assert len(server.seen) == 3  # the second time it is a GET at once
    assert server.seen[-1][1]["path"] == "/prefix/api/v1/query"


def test_nobody_listens(tmp_path: Path) -> None:
    with client("http://127.0.0.1:1", tmp_path) as made, pytest.raises(SourceDown) as raised:
        made.samples('{a="b"}', T0, T0 + 1000)
    assert raised.value.message == "cannot connect: connection refused"


def test_certificates(tmp_path: Path) -> None:
    require("openssl", shutil.which("openssl") is not None, "openssl")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout key.pem -out cert.pem -subj /CN=localhost"
    )
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    (tmp_path / "both.pem").write_text(
        (tmp_path / "cert.pem").read_text() + (tmp_path / "key.pem").read_text()
    )
    with upstream(tmp_path / "both.pem") as server:
        for tls, said in (({}, "certificate verify failed"), ({"caFile": "no.pem"}, "no.pem cannot be used")):
            with client(server.url, tmp_path, tls=tls) as made, pytest.raises(SourceDown) as raised:
                made.samples('{a="b"}', T0, T0 + 1000)
            assert said in raised.value.message
        for trusted in ({"caFile": "cert.pem"}, {"insecureSkipVerify": True}):
            with client(server.url, tmp_path, tls=trusted) as made:
                assert made.samples('{a="b"}', T0, T0 + 1000).samples == 0
