"""Every alert that was acknowledged reaches its receiver, though Setpoint is killed and every second request fails.

The short version of `python -m bench.paging loss`, which does it beside Alertmanager with thousands of alerts.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from bench.hearer import Hearer
from bench.paging import Feed, Kills, lose
from bench.paging_peers import config, setpoint

_ALERTS, _KILLS = 300, 4
_PATIENCE_S = 120


@pytest.mark.timeout(420)
@pytest.mark.parametrize("everything", [False, True], ids=["its process", "its supervisor, too"])
def test_what_was_acknowledged_is_told_whatever_dies(tmp_path: Path, *, everything: bool) -> None:
    with Hearer() as hearer:
        text = config(hearer.url, group_by=["..."], group_interval="5s")
        with setpoint(tmp_path / "setpoint", text) as pager:
            feed = Feed(_ALERTS, 2000)
            found = lose(pager, hearer, feed, Kills(_KILLS, everything), seed=3, wait_s=_PATIENCE_S)
    said = f"{found.lines()}\n{(tmp_path / 'setpoint' / 'setpoint.log').read_text()[-3000:]}"
    assert found.kills == _KILLS, said
    assert found.acknowledged == _ALERTS, said
    assert (found.lost, found.lost_ends) == (0, 0), said
    # At least once: what was being sent when it was killed may come again, with a key that says so or without. Each
    # kill can do that to what was on its way then, and to no more.
    assert found.duplicates + found.repeats <= _KILLS * 64, said
