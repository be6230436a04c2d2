"""The kind `DataSource` as people write it: what is taken, and what is refused with what to write instead."""

from __future__ import annotations

import pytest

from setpoint.app import default_registry
from setpoint.errors import InvalidInput
from setpoint.resource import load_text
from setpoint.telemetry.datasource import DataSource

WHOLE = """\
apiVersion: openslo/v1
kind: DataSource
metadata:
  name: prometheus-eu
  displayName: Europe
spec:
  description: The Prometheus of the cluster.
  type: Prometheus
  connectionDetails:
    url: http://prometheus:9090/
    timeout: 10s
"""


def load(text: str) -> DataSource:
    (document,) = load_text([("source.yaml", text)], default_registry())
    assert isinstance(document.spec, DataSource)
    return document.spec


def test_as_openslo_has_it() -> None:
    found = load(WHOLE)
    assert found.spec.type == "prometheus"
    details = found.spec.connection_details
    assert details.url == "http://prometheus:9090"
    assert (details.interval_ms, details.timeout_ms, details.backfill_ms) == (15_000, 10_000, 34 * 86_400_000)


@pytest.mark.parametrize("kind", ["prometheus", "VictoriaMetrics", "Mimir", "thanos"])
def test_whatever_speaks_the_api_is_of_this_type(kind: str) -> None:
    assert load(WHOLE.replace("Prometheus\n", f"{kind}\n")).spec.type == "prometheus"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("http://m:8080/prometheus/", "http://m:8080/prometheus"),
        ("https://m/api/v1/", "https://m"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_urls(given: str, kept: str) -> None:
    assert load(WHOLE.replace("http://prometheus:9090/", f'"{given}"')).spec.connection_details.url == kept


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "type: Prometheus",
            "type: CloudWatch",
            "source.yaml:8: spec.type: 'CloudWatch' is not read yet; write",
        ),
        ("  type: Prometheus\n", "", "spec.type: is missing"),
        ("http://prometheus:9090/", "prometheus:9090", "write one such as http://prometheus:9090"),
        ("http://prometheus:9090/", "ftp://prometheus", "is no URL of a server"),
        ("http://prometheus:9090/", "http://x:99999", "is no URL"),
        ("http://prometheus:9090/", "http://me:pw@x", "write basicAuth with username and passwordFile: NAME"),
        ("http://prometheus:9090/", "http://x/?token=1", "without '?' and '#'"),
        ("timeout: 10s", "timeout: 10", "spec.connectionDetails.timeout"),
        ("timeout: 10s", "timeout: 1h", "1h is out of bounds; write 1s to 2m, such as 10s"),
        ("timeout: 10s", "interval: 1s", "1s is out of bounds; write 5s to 60s, such as 15s"),
        ("timeout: 10s", "requestsPerSecond: 0", "requestsPerSecond"),
        ("timeout: 10s", "maxConcurrent: 0", "maxConcurrent"),
        (
            "timeout: 10s",
            "bearerToken: abc",
            "into a file of the server's secrets folder and write bearerTokenFile",
        ),
        (
            "timeout: 10s",
            "basicAuth: {username: a, password: b, passwordFile: c}",
            "write passwordFile: NAME",
        ),
        ("timeout: 10s", "headers: {Authorization: Bearer abc}", "write headerFiles: {Authorization: NAME}"),
        ("timeout: 10s", "headers: {X-Api-Key: abc}", "write headerFiles: {X-Api-Key: NAME}"),
        ("timeout: 10s", 'headers: {X-A: "a\\r\\nHost: b"}', "printable ASCII"),
        ("timeout: 10s", "headers: {Host: abc}", "the header Host is set by Setpoint; leave it out"),
        ("timeout: 10s", "headers: {'a b': abc}", "is no name of a header"),
        (
            "timeout: 10s",
            "bearerTokenFile: /etc/shadow",
            "is no file of the secrets folder; write its name there",
        ),
        ("timeout: 10s", "bearerTokenFile: ../setpoint.db", "is no file of the secrets folder"),
        ("timeout: 10s", "bearerTokenFile: a/../../b", "is no file of the secrets folder"),
        ("timeout: 10s", "tls: {certFile: a.pem}", "certFile and keyFile belong together"),
        (
            "timeout: 10s",
            "bearerTokenFile: a\n    basicAuth: {username: a, passwordFile: b}",
            "exclude each other; keep one",
        ),
        ("timeout: 10s", "tenant: a\n    headers: {x-scope-orgid: b}", "a header is given twice"),
        ("timeout: 10s", "tenat: a", "did you mean 'tenant'"),
    ],
)
def test_what_is_refused_says_what_to_write(old: str, new: str, problem: str) -> None:
    assert old in WHOLE
    with pytest.raises(InvalidInput) as raised:
        load(WHOLE.replace(old, new))
    assert problem in raised.value.message


def test_every_other_file_of_the_machine_is_out_of_reach() -> None:
    for name in ("mimir.token", "team/mimir.token", "_x", "..data"):
        if name == "..data":
            with pytest.raises(InvalidInput):
                load(WHOLE.replace("timeout: 10s", f"bearerTokenFile: {name}"))
        else:
            load(WHOLE.replace("timeout: 10s", f"bearerTokenFile: {name}"))
