"""Targets from files, from a web service, from a name server: what comes, what goes, and what a failure leaves."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest

from setpoint.errors import InvalidInput
from setpoint.telemetry.scrape.discover import Refreshed
from setpoint.telemetry.scrape.discover.dns import DnsTargets
from setpoint.telemetry.scrape.discover.model import read_json_groups, read_yaml_groups
from setpoint.telemetry.scrape.spec import DnsDiscovery
from tests.telemetry.scrape.running import Running, WebTarget

SRV = "__meta_dns_srv_record_"
Web = Callable[..., WebTarget]


def job(discovery: str) -> str:
    return f"global: {{scrape_interval: 15s}}\nscrape_configs:\n- job_name: j\n  {discovery}\n"


def instances(running: Running) -> list[str]:
    return sorted(target.labels["instance"] for target in running.targets)


def faults(running: Running) -> tuple[str, ...]:
    return running.scraper.status.jobs[0].faults


def test_lists_of_targets() -> None:
    text = '[{"targets": ["a:1", "b:2"], "labels": {"x": "1"}}, {"targets": []}]'
    for read in (read_json_groups, read_yaml_groups):
        first, second = read("f", text, {"__meta_f": "f"})
        assert [dict(target) for target in first.targets] == [{"__address__": "a:1"}, {"__address__": "b:2"}]
        assert first.labels == {"x": "1", "__meta_f": "f"}
        assert second.targets == ()
    (group,) = read_yaml_groups("f", "- targets: [a:1]\n  labels: {v: 1.10, on: yes}\n", {})
    assert group.labels == {"v": "1.10", "on": "yes"}
    assert read_yaml_groups("f", "# nothing\n", {}) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "f: "),
        ("- targets: [a]\n  label: {}\n", "f:2: 0.label: Extra inputs"),
        ("- targets: a\n", "f:1: 0.targets: "),
        ("- targets: [a]\n  labels: [b]\n", "f:2: 0.labels: "),
        ("- targets: [\n", "f:"),
    ],
)
def test_broken_lists_are_told_with_their_line(text: str, told: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_yaml_groups("f", text, {})
    assert caught.value.message.startswith(told)
    if text.startswith("{"):
        with pytest.raises(InvalidInput, match=r"^f: "):
            read_json_groups("f", text, {})


@pytest.mark.parametrize("text", ["{", '[{"targets": [1]}]', '[{"x": []}]', "[" * 100_000, '["a"]', "null"])
def test_broken_json_is_told(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^f"):
        read_json_groups("f", text, {})


def test_files(tmp_path: Path, web: Web) -> None:
    first, second = web().says("a 1\n"), web().says("a 2\n")
    (tmp_path / "sd").mkdir()
    listed = tmp_path / "sd" / "one.json"
    listed.write_text(json.dumps([{"targets": [first.address], "labels": {"zone": "x"}}]))
    rules = "relabel_configs: [{source_labels: [__meta_filepath], regex: '.*/(.*)', target_label: file}]"
    with Running(
        tmp_path, job(f"file_sd_configs: [{{files: [sd/*.json, 'sd/*.yml']}}]\n  {rules}")
    ) as running:
        running.until(lambda: running.targets)
        running.pass_time()
        assert running.stored.values("up", zone="x", file="one.json") == [1]
        (tmp_path / "sd" / "two.yml").write_text(f"- targets: [{second.address}]\n")
        running.clock.advance(5)
        running.until(
            lambda: instances(running) == sorted([first.address, second.address]), "the second file"
        )
        listed.write_text("[")
        running.clock.advance(5)
        running.until(lambda: faults(running), "a fault")
        assert "one.json:1: is not valid JSON" in faults(running)[0]
        assert first.address in instances(running), "what was known holds"
        listed.unlink()
        running.clock.advance(5)
        running.until(lambda: instances(running) == [second.address], "the end of the first file")
        assert faults(running) == ()


def test_a_web_service(tmp_path: Path, web: Web) -> None:
    target, service = web().says("a 1\n"), web()

    def lists(*groups: object) -> None:
        service.says(json.dumps(groups), path="/sd", Content_Type="application/json; charset=utf-8")

    lists({"targets": [target.address], "labels": {"zone": "x", "__meta_hidden": "y"}})
    entry = (
        f"http_sd_configs: [{{url: 'http://{service.address}/sd', refresh_interval: 10s, bearer_token: t}}]"
    )
    rules = "relabel_configs: [{source_labels: [__meta_url], target_label: from}]"
    with Running(tmp_path, job(f"{entry}\n  {rules}")) as running:
        running.until(lambda: running.targets)
        headers = service.asked[0][1]
        assert headers["authorization"] == "Bearer t"
        assert headers["x-prometheus-refresh-interval-seconds"] == "10"
        running.pass_time()
        assert running.stored.values("up", **{"zone": "x", "from": f"http://{service.address}/sd"}) == [1]
        for status, body, told in (
            (503, "", "HTTP status 503"),
            (200, "[", "is not valid JSON"),
            (200, "{}", ""),
        ):
            service.says(body, path="/sd", status=status, Content_Type="application/json")
            running.clock.advance(10)
            running.until(lambda told=told: faults(running) and told in faults(running)[0], told)  # type: ignore[misc]
            assert instances(running) == [target.address]
        service.says("[]", path="/sd", Content_Type="text/html")
        running.clock.advance(10)
        running.until(lambda: "not application/json" in faults(running)[0])
        lists()
        running.clock.advance(10)
        running.until(lambda: not running.targets, "an empty list")
        assert faults(running) == ()


class NameServer:
    """A tiny name server: answers from `records` {(name, type): texts}; `fails` makes it answer SERVFAIL."""

    def __init__(self) -> None:
        self.records: dict[tuple[str, str], list[str]] = {}
        self.fails = False
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                wire, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            self._socket.sendto(self._answer(dns.message.from_wire(wire)).to_wire(), sender)

    def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        question = query.question[0]
        name, kind = str(question.name), dns.rdatatype.to_text(question.rdtype)
        if self.fails:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif texts := self.records.get((name, kind)):
            answer.answer.append(dns.rrset.from_text_list(name, 60, "IN", kind, texts))
        elif not any(known == name for known, _ in self.records):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer

    def resolver(self) -> dns.asyncresolver.Resolver:
        """A resolver that asks this server only."""
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers, made.port, made.lifetime = ["127.0.0.1"], self.port, 2.0
        return made

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def names() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.close()


def ask(targets: DnsTargets) -> Refreshed:
    return asyncio.run(targets.refresh())


@pytest.mark.parametrize(
    ("given", "record", "texts", "expected"),
    [
        ({"names": ["_m._tcp.test."]}, ("_m._tcp.test.", "SRV"), ["0 1 9100 a.test.", "0 1 9101 b.test."],
         [{"__address__": "a.test:9100", SRV + "target": "a.test.", SRV + "port": "9100"},
          {"__address__": "b.test:9101", SRV + "target": "b.test.", SRV + "port": "9101"}]),
        ({"names": ["h.test."], "type": "A", "port": 80}, ("h.test.", "A"), ["192.0.2.1"],
         [{"__address__": "192.0.2.1:80"}]),
        ({"names": ["h.test."], "type": "AAAA", "port": 80}, ("h.test.", "AAAA"), ["2001:db8::1"],
         [{"__address__": "[2001:db8::1]:80"}]),
        ({"names": ["h.test."], "type": "MX", "port": 25}, ("h.test.", "MX"), ["10 mail.test."],
         [{"__address__": "mail.test:25", "__meta_dns_mx_record_target": "mail.test."}]),
        ({"names": ["h.test."], "type": "NS", "port": 53}, ("h.test.", "NS"), ["ns.test."],
         [{"__address__": "ns.test:53", "__meta_dns_ns_record_target": "ns.test."}]),
    ],
)  # fmt: skip
def test_records(
    names: NameServer,
    given: dict[str, object],
    record: tuple[str, str],
    texts: list[str],
    expected: list[dict[str, str]],
) -> None:
    names.records[record] = texts
    found = ask(DnsTargets(DnsDiscovery.model_validate(given), names.resolver))
    (group,) = found.groups
    assert found.faults == ()
    assert sorted(map(dict, group.targets), key=str) == [
        one | {"__meta_dns_name": record[0]} for one in expected
    ]


def test_a_name_that_is_gone_has_no_targets_and_a_server_that_fails_changes_nothing(
    names: NameServer,
) -> None:
    names.records = {("a.test.", "A"): ["192.0.2.1"], ("b.test.", "A"): ["192.0.2.2"]}
    spec = DnsDiscovery.model_validate({"names": ["a.test.", "b.test."], "type": "A", "port": 1})
    targets = DnsTargets(spec, names.resolver)
    assert [len(group.targets) for group in ask(targets).groups] == [1, 1]
    names.fails = True
    failed = ask(targets)
    assert [len(group.targets) for group in failed.groups] == [1, 1]
    assert "DNS: the A records of a.test. cannot be found" in failed.faults[0]
    names.fails = False
    del names.records["b.test.", "A"]
    assert [len(group.targets) for group in ask(targets).groups] == [1, 0]


def test_names_in_a_configuration(tmp_path: Path, web: Web, names: NameServer) -> None:
    target = web().says("a 1\n")
    host, port = target.address.split(":")
    names.records["t.test.", "A"] = [host]
    entry = f"dns_sd_configs: [{{names: [t.test.], type: A, port: {port}, refresh_interval: 10s}}]"
    make_dns = partial(DnsTargets, make_resolver=names.resolver)
    with Running(tmp_path, job(entry), make_dns=make_dns) as running:
        running.until(lambda: running.targets)
        running.pass_time()
        assert running.stored.values("up", instance=target.address) == [1]
        names.records["t.test.", "A"] = ["192.0.2.9"]
        running.clock.advance(10)
        running.until(lambda: instances(running) == [f"192.0.2.9:{port}"], "the changed record")


def test_a_reload_keeps_the_targets_that_were_discovered(tmp_path: Path, web: Web) -> None:
    target = web().says("a 1\n")
    (tmp_path / "one.json").write_text(json.dumps([{"targets": [target.address]}]))
    with Running(tmp_path, job("file_sd_configs: [{files: [one.json]}]")) as running:
        running.until(lambda: running.targets)
        running.pass_time()
        running.file.write_text(job("file_sd_configs: [{files: [one.json]}]\n  sample_limit: 5"))
        running.scraper.reload()
        assert running.target().health == "up", "the same entry goes on"
        running.file.write_text(job("file_sd_configs: [{files: [one.json], refresh_interval: 1s}]"))
        running.scraper.reload()
        assert running.target().health == "up", "a new entry is asked before its targets count as gone"
