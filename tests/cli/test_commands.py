"""Every command that talks to a server, against a real one under the real supervisor."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.server import Server, descendants, free_port, running

from tests.cli.program import setpoint

pytestmark = [pytest.mark.timeout(120), pytest.mark.xdist_group("cli-server")]

SERVICE = "apiVersion: openslo/v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{description: {text}}}\n"
SLO = """apiVersion: openslo/v1
kind: SLO
metadata: {name: shop-availability}
spec:
  service: shop
  budgetingMethod: Occurrences
  timeWindow: [{duration: 7d, isRolling: true}]
  indicator:
    metadata: {name: shop-availability}
    spec:
      ratioMetric:
        counter: true
        good: {metricSource: {type: Prometheus, spec: {query: 'sum(requests_total{code!~"5.."})'}}}
        total: {metricSource: {type: Prometheus, spec: {query: sum(requests_total)}}}
  objectives: [{displayName: Answered, target: 0.99}]
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(["up"], tmp_path_factory.mktemp("data")) as started:
        started.wait_ready()
        yield started


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A file that declares a service and its objective."""
    file = tmp_path / "shop.yaml"
    file.write_text(SERVICE.format(name="shop", text="Sells") + "---\n" + SLO)
    return file


def ok(server: Server, *arguments: str, stdin: str = "") -> str:
    done = setpoint(*arguments, stdin=stdin, SETPOINT_SERVER=server.url)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def ok_json(server: Server, *arguments: str, stdin: str = "") -> Any:
    return json.loads(ok(server, *arguments, "-o", "json", stdin=stdin))


def actions(answer: Any) -> dict[str, str]:
    return {f"{change['kind']} {change['name']}": change["action"] for change in answer["changes"]}


def test_from_declaring_to_deleting(server: Server, shop: Path) -> None:
    both = {"Service shop", "SLO shop-availability"}
    assert actions(ok_json(server, "apply", "-f", str(shop), "--dry-run")) == dict.fromkeys(both, "created")
    assert ok_json(server, "get")["items"] == []
    assert "2 created" in ok(server, "apply", "-f", str(shop))
    assert actions(ok_json(server, "apply", "-f", "-", stdin=shop.read_text())) == dict.fromkeys(
        both, "unchanged"
    )

    shop.write_text(shop.read_text().replace("0.99", "0.95"))
    shown = ok(server, "diff", "-f", str(shop))
    assert "-      target: 0.99" in shown
    assert "+      target: 0.95" in shown
    assert "planned; nothing was changed" in shown
    assert ok_json(server, "get", "SLO", "shop-availability")["revision"] == 1
    assert "1 changed, 1 unchanged" in ok(server, "apply", "-f", str(shop))

    one = ok_json(server, "get", "SLO", "shop-availability")
    assert (one["revision"], one["body"]["spec"]["objectives"][0]["target"]) == (2, 0.95)
    text = ok(server, "get", "SLO", "shop-availability")
    document = text[text.index("apiVersion:") :]
    assert actions(ok_json(server, "apply", "-f", "-", stdin=document)) == {
        "SLO shop-availability": "unchanged"
    }
    assert [item["name"] for item in ok_json(server, "get", "Service")["items"]] == ["shop"]
    written = ok(server, "get", "SLO", "-o", "yaml")
    assert written == ok(server, "get", "SLO", "shop-availability", "-o", "yaml")
    assert ok(server, "apply", "-f", "-", stdin=written).splitlines()[-1] == "1 unchanged"

    pruned = ok_json(server, "diff", "-f", "-", "--prune", stdin=SERVICE.format(name="other", text="x"))
    assert actions(pruned) == {"Service other": "created"} | dict.fromkeys(both, "deleted")
    assert ok_json(server, "delete", "-f", str(shop))["deleted"] == [
        {"kind": "SLO", "name": "shop-availability"},
        {"kind": "Service", "name": "shop"},
    ]
    again = setpoint("delete", "SLO", "shop-availability", SETPOINT_SERVER=server.url)
    assert again.returncode == 3
    assert "shop-availability" in again.stderr


def test_revisions_name_author_and_change(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "archive.yaml"
    for text in ("Keeps", "Keeps everything"):
        file.write_text(SERVICE.format(name="archive", text=text))
        ok(server, "apply", "-f", str(file))
    ok(server, "delete", "Service", "archive")
    items = ok_json(server, "get", "Service", "archive", "--revisions")["items"]
    assert [item["revision"] for item in items] == [3, 2, 1]
    assert items[0]["body"] is None
    assert all(item["author"] and item["at_ms"] for item in items)
    told = ok(server, "get", "Service", "archive", "--revisions")
    assert "revision 3 deleted" in told
    assert "+  description: Keeps everything" in told
    refused = setpoint("get", "Service", "--revisions", SETPOINT_SERVER=server.url)
    assert refused.returncode == 2
    assert "setpoint get KIND NAME --revisions" in refused.stderr


def test_a_bad_file_changes_nothing_and_every_problem_is_told(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(
        SERVICE.format(name="fine", text="x") + "---\nkind: Slo\n---\n" + SLO.replace("0.99", "1")
    )
    before = ok_json(server, "get")
    for done in (
        setpoint("apply", "-f", str(file), SETPOINT_SERVER=server.url),
        setpoint("validate", "-f", str(file)),
    ):
        assert done.returncode == 2
        *problems, last = done.stderr.splitlines()
        assert last == f"setpoint: {len(problems)} problems; nothing was changed"
        assert len(problems) >= 3
        assert all(problem.startswith(f"{file}:") for problem in problems)
    assert ok_json(server, "get") == before
    told = setpoint("validate", "-f", str(file), "-o", "json")
    assert told.returncode == 2
    found = json.loads(told.stdout)
    assert found["valid"] is False
    assert {"message", "file", "line", "path"} == set(found["problems"][0])


def test_validate_needs_no_server(shop: Path) -> None:
    done = setpoint("validate", "-f", str(shop), SETPOINT_SERVER="http://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (0, "2 resources valid\n")


def test_status_and_slo(server: Server, shop: Path) -> None:
    ok(server, "apply", "-f", str(shop))
    found = ok_json(server, "status")
    assert found["server"]["version"]
    assert [item["name"] for item in found["objectives"]] == ["shop-availability"]
    shown = ok(server, "status")
    assert max(map(len, shown.splitlines())) <= 80
    assert "○ no data" in shown
    assert server.url in shown
    assert ok_json(server, "slo", "list", "--filter", "state:burning")["items"] == []
    assert "shop-availability" in ok(server, "slo", "list")
    assert ok_json(server, "slo", "show", "shop-availability")["service"] == "shop"
    assert "99 % over 7 d rolling" in ok(server, "slo", "show", "shop-availability")
    (team,) = ok_json(server, "slo", "list", "--group-by", "service")["groups"]
    assert (team["value"], team["objectives"], team["first"]) == ("shop", 1, "shop-availability")
    assert "(no team)" in ok(server, "slo", "list", "--group-by", "team")
    listed = ok_json(server, "slo", "list", "--limit", "0", "--sort", "name")
    assert (listed["total"], listed["is_complete"]) == (1, True)
    assert "None of 1 objectives matches" in ok(server, "slo", "list", "--filter", "state:burning")
    explained = ok_json(server, "slo", "explain", "shop-availability")
    assert [step["name"] for step in explained["steps"]][:3] == ["SLI", "Allowed to be bad", "Budget left"]
    assert "Total, PromQL  sum(requests_total)" in ok(server, "slo", "explain", "shop-availability")
    for command in ("show", "explain"):
        assert setpoint("slo", command, "absent", SETPOINT_SERVER=server.url).returncode == 3
    ok(server, "delete", "-f", str(shop))


def test_events_and_the_timeline(server: Server) -> None:
    first = ok_json(
        server, "event", "add", "web 1.2", "--service", "web", "--data", "v=1.2", "--key", "run-1"
    )
    again = ok_json(server, "event", "add", "web 1.2", "--service", "web", "--key", "run-1")
    assert first["id"] == again["id"]
    assert (first["kind"], first["data"]) == ("deploy", {"v": "1.2"})
    for number in range(5):
        ok(server, "event", "add", f"step {number}", "--kind", "drill", "--at", f"{number + 1}h")
    listed = ok_json(server, "timeline", "--kind", "drill", "--since", "210m")["items"]
    assert sorted(event["summary"] for event in listed) == ["step 0", "step 1", "step 2"]
    assert len(ok_json(server, "timeline", "--kind", "drill", "--limit", "2")["items"]) == 2
    shown = ok(server, "timeline", "--service", "web")
    assert "deploy" in shown
    assert "web 1.2" in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_promql(server: Server) -> None:
    assert ok(server, "promql", "1 + 1") == "2\n"
    assert ok(server, "promql", '"text"') == "text\n"
    assert ok(server, "promql", "absent_metric") == "No series matches.\n"
    assert ok(server, "promql", "absent_metric", "--since", "1h") == "No series matches.\n"
    assert ok_json(server, "promql", "1 + 1")["status"] == "success"
    done = setpoint("promql", "sum(\n up", SETPOINT_SERVER=server.url)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "setpoint: the query does not parse at character 4: unclosed left parenthesis",
        "  sum(",
        "     ^",
        "Close the parenthesis.",
    ]


def test_promql_draws_a_range(server: Server) -> None:
    drawn = ok(server, "promql", "vector(7)", "--since", "10m", "--until", "0s")
    assert max(map(len, drawn.splitlines())) <= 80
    assert "│" in drawn
    assert drawn.splitlines()[-1].split() == ["━━", "{}", "7", "7", "7", "7"]
    answer = ok_json(server, "promql", "vector(7)", "--since", "10m", "--step", "1m")
    assert answer["data"]["resultType"] == "matrix"
    assert len(answer["data"]["result"][0]["values"]) == 11
    several = ok(server, "promql", 'vector(1) or label_replace(vector(2), "x", "y", "", "")', "--step", "1m")
    assert [line.split()[0] for line in several.splitlines()[-2:]] == ["a", "b"]
    for wrong in (["--since", "1m", "--until", "2m"], ["--at", "1m", "--step", "5s"], ["--since", "x"]):
        assert setpoint("promql", "1", *wrong, SETPOINT_SERVER=server.url).returncode == 2


def test_promql_says_a_query_in_words_without_a_server() -> None:
    nowhere = {"SETPOINT_SERVER": "http://127.0.0.1:1"}
    done = setpoint("promql", "sum by (job) (rate(x[5m]))", "--explain", **nowhere)
    assert done.stdout == "per-second rate over 5 minutes of x, summed by job\n"
    assert "     ^" in setpoint("promql", "sum(", "--explain", **nowhere).stderr


def test_demo_commands_without_a_shop(server: Server) -> None:
    assert "The shop is closed" in ok(server, "demo", "status")
    done = setpoint("demo", "break", "checkout", "--dead", SETPOINT_SERVER=server.url)
    assert done.returncode == 4
    assert "setpoint demo" in done.stderr
    assert setpoint("demo", "break", "chekout", "--dead", SETPOINT_SERVER=server.url).returncode == 2
    assert ok_json(server, "demo", "heal") == {"items": []}


def test_the_server_comes_back_after_kill_9_and_says_why(server: Server) -> None:
    before = server.engine
    os.kill(before, signal.SIGKILL)
    ok(server, "status")  # no refusal, no error: the command waits
    deadline = time.monotonic() + 20
    while not (events := ok_json(server, "timeline", "--kind", "server.restarted")["items"]):
        assert time.monotonic() < deadline
    assert events[0]["data"]["signal"] == "SIGKILL"
    assert "killed by SIGKILL" in events[0]["summary"]
    assert server.engine != before


def test_a_second_server_on_the_same_data_is_refused(server: Server, tmp_path: Path) -> None:
    arguments = Path(f"/proc/{server.process.pid}/cmdline").read_bytes().split(b"\0")
    data = arguments[arguments.index(b"--data") + 1].decode()
    done = setpoint(
        "up", "--data", data, "--listen", f"127.0.0.1:{free_port()}", "--otlp-grpc", "", "--otlp-http", ""
    )
    assert done.returncode == 7
    assert f"is in use by process {server.engine}" in done.stderr


def test_a_token_is_needed_where_one_is_set(tmp_path: Path) -> None:
    secret = tmp_path / "token"
    secret.write_text("s3cret\n")
    with running(["up", "--token-file", str(secret)], tmp_path / "data") as guarded:
        guarded.wait_ready()
        assert b"s3cret" not in b"".join(
            Path(f"/proc/{process}/cmdline").read_bytes() for process in descendants(guarded.process.pid)
        )
        refused = setpoint("status", SETPOINT_SERVER=guarded.url)
        assert refused.returncode == 5
        assert "SETPOINT_TOKEN" in refused.stderr
        assert setpoint("status", SETPOINT_SERVER=guarded.url, SETPOINT_TOKEN="s3cret").returncode == 0
