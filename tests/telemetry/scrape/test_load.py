"""A prometheus.yml as people have it: what is read, what is warned of, what is refused, by file and line."""

from __future__ import annotations

from pathlib import Path

import pytest

from setpoint.errors import InvalidInput
from setpoint.telemetry.scrape.load import Loaded, load_file
from setpoint.telemetry.scrape.spec import PROTOCOLS

TYPICAL = """\
global:
  scrape_interval: 15s
  evaluation_interval: 15s
  sample_limit: 5000
  external_labels: {region: eu}
rule_files: [rules.yml]
alerting: {alertmanagers: []}
scrape_configs:
  - job_name: node
    static_configs:
      - targets: ["localhost:9100", "db:9100"]
        labels: {env: prod, version: 1.10, shard: 007, paused: no, empty: }
  - job_name: api
    scrape_interval: 5s
    scrape_timeout: 4s
    scheme: https
    metrics_path: /admin/metrics
    honor_labels: true
    sample_limit: 100
    body_size_limit: 10MB
    params: {module: [http, 2]}
    basic_auth: {username: u, password_file: secret.txt}
    tls_config: {server_name: api.internal}
    file_sd_configs: [{files: ["targets/*.yml"]}]
    http_sd_configs: [{url: "http://sd/targets", refresh_interval: 30s}]
    dns_sd_configs: [{names: [_api._tcp.internal]}, {names: [db], type: a, port: 9100}]
    relabel_configs:
      - {source_labels: [__address__], regex: '(.*):\\d+', target_label: host}
      - {regex: , replacement: x, target_label: y}
    metric_relabel_configs:
      - {source_labels: [__name__], regex: go_.*, action: Drop}
"""


def load(folder: Path, text: str) -> Loaded:
    file = folder / "prometheus.yml"
    file.write_text(text)
    return load_file(file)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidInput) as caught:
        load(folder, text)
    return [str(problem).removeprefix(f"{folder}/prometheus.yml:") for problem in caught.value.problems]


def test_a_typical_file(tmp_path: Path) -> None:
    loaded = load(tmp_path, TYPICAL)
    node, api = (job.spec for job in loaded.jobs)
    assert (node.scrape_interval, node.scrape_timeout, node.sample_limit) == (15_000, 10_000, 5000)
    assert node.static_configs[0].labels == {"env": "prod", "version": "1.10", "shard": "007", "paused": "no"}
    assert (api.scrape_interval, api.scrape_timeout, api.sample_limit) == (5000, 4000, 100)
    assert api.body_size_limit == 10 << 20
    assert api.params == {"module": ("http", "2")}
    assert api.scrape_protocols == PROTOCOLS
    assert [found.type for found in api.dns_sd_configs] == ["SRV", "A"]
    assert api.http_sd_configs[0].refresh_interval == 30_000
    assert api.relabel_configs[1].regex == "", "an expression that is there and empty matches the empty text"
    assert api.metric_relabel_configs[0].action == "drop"
    assert loaded.jobs[0].folder == tmp_path


def test_what_is_not_used_is_named_with_its_line(tmp_path: Path) -> None:
    warnings = [str(warning) for warning in load(tmp_path, TYPICAL).warnings]
    places = [
        warning.removeprefix(f"{tmp_path}/prometheus.yml:").split(": is not used")[0] for warning in warnings
    ]
    assert sorted(places) == [
        "3: global.evaluation_interval", "5: global.external_labels", "6: rule_files", "7: alerting",
    ]  # fmt: skip


def test_defaults_are_prometheus_s(tmp_path: Path) -> None:
    spec = load(tmp_path, "scrape_configs: [{job_name: a}]").jobs[0].spec
    assert (spec.scrape_interval, spec.scrape_timeout, spec.metrics_path, spec.scheme) == (
        60_000, 10_000, "/metrics", "http",
    )  # fmt: skip
    assert (spec.honor_labels, spec.honor_timestamps, spec.follow_redirects, spec.enable_compression) == (
        False, True, True, True,
    )  # fmt: skip
    short = load(tmp_path, "global: {scrape_interval: 3s}\nscrape_configs: [{job_name: a}]").jobs[0].spec
    assert short.scrape_timeout == 3000, "a timeout that nobody set is no longer than the interval"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1", "1: a: the field 'a' is not known"),
        ("[]", "1: expected a mapping"),
        ("scrape_configs:\n- job_name: x\n  intervall: 5s", "3: scrape_configs[0].intervall: the field"),
        (
            "scrape_configs:\n- jobname: x",
            "2: scrape_configs[0].job_name: is missing; 'jobname' looks like it",
        ),
        (
            "scrape_configs:\n- job_name: x\n  scrape_interval: 5x",
            "3: scrape_configs[0].scrape_interval: '5x'",
        ),
        (
            "scrape_configs:\n- job_name: x\n  scrape_interval: 5s\n  scrape_timeout: 9s",
            "4: scrape_configs[0].scr",
        ),
        (
            "scrape_configs:\n- job_name: x\n- job_name: x",
            "3: scrape_configs[1].job_name: the job 'x' is declared",
        ),
        (
            "scrape_configs:\n- job_name: x\n  kubernetes_sd_configs: []",
            "3: scrape_configs[0].kubernetes_sd_conf",
        ),
        (
            "scrape_configs:\n- job_name: x\n  proxy_url: http://p",
            "3: scrape_configs[0].proxy_url: scraping thro",
        ),
        (
            "scrape_configs:\n- job_name: x\n  scheme: ftp",
            '3: scrape_configs[0].scheme: the text "ftp" is not',
        ),
        (
            "scrape_configs:\n- job_name: x\n  static_configs: [{targets: ['http://h/m']}]",
            "3: scrape_configs[0].s",
        ),
        (
            "scrape_configs:\n- job_name: x\n  dns_sd_configs: [{names: [a], type: A}]",
            "3: scrape_configs[0].dns_s",
        ),
        (
            "scrape_configs:\n- job_name: x\n  file_sd_configs: [{files: [a.txt]}]",
            "3: scrape_configs[0].file_sd_",
        ),
        (
            "scrape_configs:\n- job_name: x\n  http_sd_configs: [{url: 'ftp://x'}]",
            "3: scrape_configs[0].http_sd_",
        ),
        (
            "scrape_configs:\n- job_name: x\n  scrape_protocols: [PrometheusProto]",
            "3: scrape_configs[0].scrape_p",
        ),
        (
            "scrape_configs:\n- job_name: x\n  bearer_token: a\n  bearer_token_file: b",
            "2: scrape_configs[0]: bear",
        ),
        (
            "scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {regex: '(a'}",
            "4: scrape_configs[0].relabel_",
        ),
        (
            "scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {action: keepequal}",
            "4: scrape_configs[0].rel",
        ),
        (
            "scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {action: hashmod, target_label: a}",
            "4: scrape",
        ),
        (
            "scrape_configs:\n- job_name: x\n  relabel_configs:\n  - {action: burn}",
            "4: scrape_configs[0].relabel_",
        ),
        ("scrape_configs:\n- job_name: x\n  sample_limit: -1", "3: scrape_configs[0].sample_limit: found"),
        (
            "scrape_configs:\n- job_name: x\n  tls_config: {cert_file: a}",
            "3: scrape_configs[0].tls_config: 'cert_",
        ),
        ("scrape_configs:\n- job_name: x\n job_name: y", "3: "),
        ("global: {scrape_timeout: 2m}", "1: global.scrape_timeout: the timeout (2m) is longer"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, expected: str) -> None:
    assert problems(tmp_path, text)[0].startswith(expected)


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    text = "scrape_configs:\n- job_name: x\n  ec2_sd_configs: []\n- job_name: y\n  scrape_timeout: soon\n"
    assert [found.split(":")[0] for found in problems(tmp_path, text)] == ["3", "5"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read: no such file"):
        load_file(tmp_path / "absent.yml")


def test_secrets_show_in_no_message_and_no_representation(tmp_path: Path) -> None:
    text = "scrape_configs:\n- job_name: x\n  basic_auth: {username: u, password: s3cret, passwort: y}\n"
    assert not any("s3cret" in found for found in problems(tmp_path, text))
    good = load(tmp_path, text.replace(", passwort: y", "")).jobs[0]
    assert "s3cret" not in repr(good)


def test_jobs_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/a.yml").write_text("scrape_configs: [{job_name: a}]")
    (tmp_path / "jobs/b.yml").write_text("scrape_configs: [{job_name: b, scrape_interval: 1m}]")
    text = "global: {scrape_interval: 30s}\nscrape_config_files: [jobs/*.yml]\n"
    loaded = load(tmp_path, text)
    assert [(job.name, job.spec.scrape_interval) for job in loaded.jobs] == [("a", 30_000), ("b", 60_000)]
    assert loaded.files == tuple(tmp_path / name for name in ("prometheus.yml", "jobs/a.yml", "jobs/b.yml"))
    (tmp_path / "jobs/b.yml").write_text("global: {}\nscrape_configs: [{job_name: a}]")
    with pytest.raises(InvalidInput, match=r"jobs/b\.yml:1: global: a file of scrape_config_files has"):
        load(tmp_path, text)
