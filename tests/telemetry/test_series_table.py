"""The series table against dictionaries: refs, wire keys, leases, and who matches after series came and went."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from dataclasses import replace

import numpy as np
import pytest

from setpoint.errors import NotFound, SetpointError
from setpoint.telemetry import table as parts
from setpoint.telemetry.model import Matcher, Series
from setpoint.telemetry.series_table import REFUSED, UNKNOWN, SeriesTable, warm
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


def test_a_lease_that_was_released_finds_nothing() -> None:
    table = SeriesTable()
    lease = table.lease()
    lease.release()
    with pytest.raises(SetpointError, match="after its release"):
        table.find(keys(1), lease)
    with pytest.raises(SetpointError, match="after its release"):
        table.bind(keys(1), [SHOP], lease)


def test_a_ref_that_names_nothing_is_refused() -> None:
    table = SeriesTable()
    lease = table.lease()
    ref = int(table.resolve([SHOP], lease)[0])
    assert table.labels(ref) == SHOP.labels
    for refs in ([ref + 1], [-1], [ref, 1 << 30]):
        with pytest.raises(NotFound, match="names no series"):
            table.labels_of(refs)
        with pytest.raises(NotFound):
            table.fingerprints(refs)
        with pytest.raises(NotFound):
            table.unwritten(refs)
    table.mark_written([ref + 1, -1, 1 << 30])
    assert table.remove([-1, 5, 1 << 30]).tolist() == []


def test_what_was_said_of_a_series_is_given_back() -> None:
    table = SeriesTable()
    others = [
        replace(SHOP, service="till", fingerprint=1),
        replace(SHOP, resource={"b": "2", "a": "1"}, fingerprint=2),
        replace(SHOP, scope="other", type="gauge", unit="", help="Hilfe", fingerprint=3),
        Series(4, {}, ""),
    ]
    lease = table.lease("remote_write 10.0.0.1")
    refs = table.resolve([SHOP, *others], lease)
    other_lease = table.lease("scrape shop")
    assert table.resolve([SHOP], other_lease).tolist() == [refs[0]]
    more = table.resolve([TILL], other_lease)
    assert table.series_of(refs) == [SHOP, *others]
    assert table.fingerprints(refs).tolist() == [one.fingerprint for one in (SHOP, *others)]
    senders = [table.sender_names[number] for number in table.senders([*refs, *more]).tolist()]
    assert senders == ["remote_write 10.0.0.1"] * 5 + ["scrape shop"]
    lease.release()
    other_lease.release()
    table.remove(refs)
    assert sorted(table.sender_names) == ["", "scrape shop"]
    assert table.series_of(more) == [TILL]


def test_a_series_from_the_store_belongs_to_the_first_that_brings_it_again() -> None:
    table = SeriesTable()
    other = replace(SHOP, resource={"a": "1"}, service="till", fingerprint=1)
    refs = table.resolve([SHOP, TILL, other], table.lease(), written=True)

    def owners() -> list[str]:
        return [table.sender_names[number] for number in table.senders(refs).tolist()]

    assert owners() == ["", "", ""]
    table.resolve([TILL, TILL, other], table.lease("scrape till"))
    table.resolve([TILL], table.lease("scrape shop"))
    assert owners() == ["", "scrape till", "scrape till"]
    table.bind(np.array([[1, 2]], np.uint64), [SHOP], table.lease("scrape shop"))
    assert owners() == ["scrape shop", "scrape till", "scrape till"]
    assert sorted(table.sender_names) == ["", "scrape shop", "scrape till"], "one name is free again"
    assert table.series_of(refs) == [SHOP, TILL, other]


def test_rows_that_are_not_in_the_store() -> None:
    table = SeriesTable()
    lease = table.lease()
    (shop,) = table.resolve([SHOP], lease, written=True).tolist()
    (till,) = table.resolve([TILL], lease).tolist()
    assert table.unwritten([till, shop, till]).tolist() == [till]
    table.mark_written([till])
    assert table.unwritten([till, shop]).tolist() == []
    lease.release()
    table.remove([shop])
    assert table.unwritten(table.resolve([SHOP], table.lease())).tolist() == [shop]


def test_usage_counts_series_pairs_and_bytes() -> None:
    table = SeriesTable()
    table.resolve([SHOP, TILL, series({"job": "é"}, service="")], table.lease("a"))
    usage = table.usage()
    assert table.texts(usage.metrics) == ["requests_total", "requests_total", ""]
    assert table.texts(usage.services) == ["shop", "shop", ""]
    assert [table.sender_names[number] for number in usage.senders] == ["a"] * 3
    assert usage.label_bytes.tolist() == [8 + 14 + 3 + 4, 8 + 14 + 3 + 4, 3 + 2]
    pairs = table.pair_usage(np.array([1.0, 2.0]))
    found = zip(table.texts(pairs.names), table.texts(pairs.values), pairs.counts, pairs.sums, strict=True)
    assert sorted(found) == [
        ("__name__", "requests_total", 2, 3.0),
        ("job", "shop", 1, 1.0),
        ("job", "till", 1, 2.0),
        ("job", "é", 1, 0.0),
    ]
    assert table.texts([-1, 1 << 30]) == ["", ""]


def test_names_and_values_of_a_selection() -> None:
    table = SeriesTable()
    table.resolve([SHOP, TILL, series({"job": "shop", "pod": "p"})], table.lease())
    named = [Matcher("__name__", "!=", "")]
    assert table.label_names() == ["__name__", "job", "pod"]
    assert table.label_names(named) == ["__name__", "job"]
    assert table.label_values("job", named) == ["shop", "till"]
    assert table.label_values("job", [Matcher("pod", "=", "p")]) == ["shop"]
    assert table.label_values("pod", named) == table.label_values("none") == []


def pods(first: int, count: int) -> list[Series]:
    """Series of ten labels; two of them have values of their own."""
    return [
        Series(
            1_000_003 * number + 1,
            {
                "__name__": f"container_{number % 50}_seconds_total",
                "job": "kubelet",
                "instance": f"10.0.{number // 5000}.1:10250",
                "namespace": f"namespace-{number // 1000}",
                "pod": f"checkout-7d9f8b6c5-{number:08x}",
                "container": "main",
                "id": f"/kubepods/burstable/pod{number * 2654435761:016x}",
                "node": f"node-{number // 5000}",
                "image": "registry.example/shop/checkout:1.2.3",
                "cpu": str(number % 8),
            },
            "checkout",
        )
        for number in range(first, first + count)
    ]


def test_a_series_takes_little_and_gives_it_back() -> None:
    table = SeriesTable()
    lease = table.lease()
    random = np.random.default_rng(1).integers(0, 2**64, (40_000, 2), dtype=np.uint64)
    refs = table.bind(random, pods(0, 40_000), lease)
    lease.release()
    table.match([Matcher("cpu", "=", "1")])
    full = table.memory_bytes
    assert sum(full.values()) < 500 * 40_000
    assert len(table.remove(refs[:36_000])) == 36_000
    table.match([Matcher("cpu", "=", "1")])
    table.compact()
    left = table.memory_bytes
    assert all(left[part] < full[part] / 4 for part in ("pairs", "symbols", "postings", "wire_keys"))
    assert left["rows"] < full["rows"] / 3
    assert table.remove(refs[36_000:]).tolist() == refs[36_000:].tolist()
    assert (table.size, table.capacity) == (0, 0)
    table.compact()
    for _ in range(30):
        table.remove([])
    assert sum(table.memory_bytes.values()) < sum(full.values()) / 50


def test_a_fleet_that_churns_does_not_grow() -> None:
    table = SeriesTable()
    sizes = []
    before = np.empty(0, np.int32)
    for turn in range(24):
        lease = table.lease(f"sender {turn}")
        wire = np.random.default_rng(turn).integers(0, 2**64, (4000, 2), dtype=np.uint64)
        refs = table.bind(wire, pods(4000 * turn, 4000), lease)
        lease.release()
        table.remove(before)
        before = refs
        sizes.append(sum(table.memory_bytes.values()))
    assert table.capacity <= 8000
    assert max(sizes[12:]) <= 1.1 * max(sizes[:12])


def test_an_answer_that_nobody_asks_for_is_given_up() -> None:
    table = SeriesTable()
    table.resolve(pods(0, 1000), table.lease())
    table.match_labels([])
    kept = table.memory_bytes["answers"]
    for turn in range(30):
        table.remove([])
        if turn % 10 == 0:
            table.match([Matcher("cpu", "=", "1")])
    assert 0 < table.memory_bytes["answers"] < kept / 100


def test_a_ref_under_a_lease_never_changes_its_series() -> None:
    """Doors find and bind, an eviction removes whatever it can, all at once; refs are reused all the time."""
    table = SeriesTable()
    universe = [series({"__name__": f"m{number % 10}", "pod": str(number)}) for number in range(400)]
    fingerprints = np.array([one.fingerprint for one in universe], np.uint64)
    wire = np.random.default_rng(1).integers(0, 2**64, (400, 2), dtype=np.uint64)
    stop, faults = threading.Event(), []
    removed = 0

    def door(seed: int) -> None:
        random = np.random.default_rng(seed)
        while not stop.is_set():
            lease = table.lease(f"door {seed}")
            asked = random.choice(400, 40, replace=False)
            refs = table.find(wire[asked], lease)
            new = np.flatnonzero(refs < 0)
            refs[new] = table.bind(wire[asked[new]], [universe[place] for place in asked[new]], lease)
            for _ in range(3):
                try:
                    is_same = table.fingerprints(refs) == fingerprints[asked]
                except NotFound as error:
                    faults.append(str(error))
                    break
                if not is_same.all():
                    faults.append("a ref names another series")
            lease.release()

    doors = [threading.Thread(target=door, args=(seed,)) for seed in range(4)]
    for one in doors:
        one.start()
    try:
        random = np.random.default_rng(9)
        while removed < 5000 and not faults and any(one.is_alive() for one in doors):
            removed += len(table.remove(random.permutation(table.capacity)))
    finally:
        stop.set()
        for one in doors:
            one.join()
    assert not faults
    assert removed >= 5000
    assert table.new_total - table.removed_total == table.size


def test_two_doors_that_bring_the_same_series_share_it() -> None:
    table = SeriesTable()
    new = pods(0, 6000)
    found: list[list[int]] = []

    def door() -> None:
        found.append(table.resolve(new, table.lease()).tolist())

    doors = [threading.Thread(target=door) for _ in range(4)]
    for one in doors:
        one.start()
    for one in doors:
        one.join()
    assert len(found) == 4
    assert all(refs == found[0] for refs in found)
    assert table.size == table.new_total == 6000


def test_nothing_is_compiled_after_warm() -> None:
    """Every kernel is compiled for the types it meets, so none is in a request: read-only keys, lists of refs."""
    warm()
    before = _compiled()
    # What stands in a kernel is compiled with it, or not at all when that was loaded from the cache.
    assert not [name for name, count in before.items() if not count and "._" not in name]
    table = SeriesTable(lambda one, _: "no" if one.fingerprint % 7 == 0 else None)
    lease = table.lease()
    wire = np.random.default_rng(1).integers(0, 2**64, (9000, 2), dtype=np.uint64)
    wire.flags.writeable = False
    refs = table.bind(wire, pods(0, 9000), lease)
    table.find(wire[::2], lease)
    for expression in ("main", "m.*", "[m].*", "m[a].*", ".+"):
        for operator in ("=~", "!~"):
            table.match_labels([Matcher("container", operator, expression), Matcher("cpu", "!=", "3")])
    table.resolve(pods(9000, 100), lease, written=True)
    claiming = table.lease("scrape pods")
    table.resolve(pods(9000, 50), claiming)
    claiming.release()
    table.match_labels([Matcher("container", "=~", "m[a].*"), Matcher("cpu", "!=", "3")])
    table.label_values("cpu", [Matcher("container", "=", "main")])
    table.label_names([Matcher("container", "=", "main")])
    table.usage()
    table.pair_usage([1.0, 2.0])  # type: ignore[arg-type]
    table.unwritten(refs[refs >= 0].astype(np.int64))
    lease.release()
    table.remove(refs.tolist())
    table.match_labels([Matcher("container", "=~", "m[a].*"), Matcher("cpu", "!=", "3")])
    table.compact()
    assert _compiled() == before


def _compiled() -> dict[str, int]:
    """For how many types each kernel of the table is compiled."""
    modules = [
        importlib.import_module(f"{parts.__name__}.{one.name}")
        for one in pkgutil.iter_modules(parts.__path__)
    ]
    return {
        f"{module.__name__}.{name}": len(kernel.signatures)
        for module in modules
        for name, kernel in vars(module).items()
        if hasattr(kernel, "signatures") and kernel.__module__ == module.__name__
    }
