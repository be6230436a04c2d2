"""`/federate` says what a real Prometheus says of the same samples, and a real Prometheus scrapes it."""

from __future__ import annotations

import shutil
import urllib.parse
import urllib.request
from pathlib import Path

import httpx
from tests.conftest import require
from tests.differential.test_remote_write_peers import (
    TOKEN,
    Setpoint,
    prometheus,
    scrape_configs,
    setpoint,
    wait_for,
)
from tests.telemetry.scrape.running import WebTarget

__all__ = ["setpoint"]

TEXT = "\n".join(
    [
        "# TYPE sizes gauge",
        *(
            f'sizes{{kind="{place}"}} {value}'
            for place, value in enumerate(
                (
                    "0",
                    "-0",
                    "1",
                    "0.5",
                    "1e6",
                    "999999.5",
                    "1234567",
                    "0.0001",
                    "0.00001",
                    "1e300",
                    "-2.5e-7",
                    "+Inf",
                    "NaN",
                )
            )
        ),
        'texts{a="quote \\" back \\\\ line \\n",b="ü"} 1',
        "# EOF",
        "",
    ]
)


def federated(address: str, *selectors: str, token: str = "") -> tuple[str, str]:
    """Content type and text."""
    query = urllib.parse.urlencode([("match[]", one) for one in selectors])
    request = urllib.request.Request(f"{address}/federate?{query}")
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def without_times(text: str) -> list[str]:
    return sorted(line if line.startswith("#") else line.rpartition(" ")[0] for line in text.splitlines())


def test_the_text_is_that_of_prometheus(tmp_path: Path, setpoint: Setpoint) -> None:
    require("prometheus", shutil.which("prometheus") is not None, "prometheus")
    setpoint.open()
    web = WebTarget().says(TEXT.removesuffix("# EOF\n"), path="/text")
    configs = scrape_configs({"web": web.address, "node": web.address}, "text")
    base = f"http://127.0.0.1:{setpoint.port}"
    selectors = ("sizes", 'texts{b="ü"}', '{__name__=~"siz.*",kind="3"}')
    with prometheus(tmp_path / "prometheus", setpoint, configs) as address:
        expected = wait_for(lambda: federated(f"http://{address}", *selectors)[1])
        wait_for(lambda: federated(base, *selectors, token=TOKEN)[1])
        kind, found = federated(base, *selectors, token=TOKEN)
        ours = [line.replace(',zone="west"', "") for line in without_times(found)]
        theirs = [
            line.replace(',apex=""', "").replace(',zone="west"', "") for line in without_times(expected)
        ]
        assert ours == theirs
        assert len(ours) == 16
        assert kind == "text/plain; version=0.0.4; charset=utf-8"
    web.close()


def test_what_is_refused(setpoint: Setpoint) -> None:
    setpoint.open()
    with httpx.Client(
        base_url=f"http://127.0.0.1:{setpoint.port}", headers={"Authorization": f"Bearer {TOKEN}"}
    ) as client:
        for bad in ("{}", "sum(x)", "x[5m]", ""):
            answer = client.get("/federate", params={"match[]": bad})
            assert answer.status_code == 400
            assert answer.text.endswith("\n")
        assert client.get("/federate").text == ""
        assert client.get("/federate", params={"match[]": "nothing"}).text == ""
    assert httpx.get(f"http://127.0.0.1:{setpoint.port}/federate").status_code == 401
