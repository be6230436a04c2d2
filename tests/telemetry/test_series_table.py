"""The series table against dictionaries: refs, wire keys, leases, and who matches after series came and went."""

from __future__ import annotations

import numpy as np

from setpoint.telemetry.model import Matcher
from setpoint.telemetry.series_table import REFUSED, UNKNOWN, SeriesTable
from tests.telemetry.naive import series

SHOP = series({"__name__": "requests_total", "job": "shop"})
TILL = series({"__name__": "requests_total", "job": "till"})


def keys(*numbers: int) -> np.ndarray:
    return np.array([(number, number + 1) for number in numbers], np.uint64).reshape(-1, 2)


def test_a_key_that_was_bound_is_found() -> None:
    table = SeriesTable()
    lease = table.lease("a")
    assert table.find(keys(1, 2), lease).tolist() == [UNKNOWN, UNKNOWN]
    refs = table.bind(keys(1, 2), [SHOP, TILL], lease)
    assert table.find(keys(2, 1, 3), lease).tolist() == [refs[1], refs[0], UNKNOWN]
    assert table.resolve([TILL, SHOP, TILL], lease).tolist() == [refs[1], refs[0], refs[1]]
    assert [table.series(int(ref)) for ref in refs] == [SHOP, TILL]
    assert (table.size, table.new_total) == (2, 2)


def test_a_refused_series_has_no_ref_and_is_known_to_be_refused_for_a_while() -> None:
    asked = []

    def admit(one: object, sender: str) -> str | None:
        asked.append(sender)
        return "too many" if one is TILL else None

    table = SeriesTable(admit)
    lease = table.lease("a")
    refs = table.bind(keys(1, 2), [SHOP, TILL], lease)
    assert refs[1] == UNKNOWN
    assert table.find(keys(1, 2, 3), lease).tolist() == [refs[0], REFUSED, UNKNOWN]
    table.forget_refused()
    assert table.find(keys(2), lease).tolist() == [UNKNOWN]
    assert asked == ["a", "a"]


def test_a_ref_stays_while_a_lease_that_named_it_is_live() -> None:
    table = SeriesTable()
    first, second = table.lease(), table.lease()
    refs = table.bind(keys(1, 2), [SHOP, TILL], first)
    table.find(keys(1), second)
    assert table.remove(refs).tolist() == []
    first.release()
    first.release()
    assert table.remove(refs).tolist() == [refs[1]]
    second.release()
    assert table.remove(refs).tolist() == [refs[0]]
    assert table.find(keys(1, 2), table.lease()).tolist() == [UNKNOWN, UNKNOWN]
    assert table.match([Matcher("job", "=", "shop")]).tolist() == []
    assert (table.size, table.new_total, table.removed_total) == (0, 2, 2)
