"""The running shop: what it answers, what it sends, how it breaks, and that it heals."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from setpoint.demo.fault import SERVICES
from setpoint.demo.shop.goods import PRODUCTS
from tests.demo.conftest import Shop, open_shop
from tests.demo.receiver import attributes, eventually

BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10]


def buy(shop: Shop, customer: str) -> int:
    """A customer buys tea, again when the card is declined (one in a hundred is)."""
    for _ in range(5):
        assert shop.post("storefront", "/cart", customer=customer, product=3).json()["cart"]["items"]
        status = shop.post("storefront", "/checkout", customer=customer).status_code
        if status != 402:
            return status
    raise AssertionError("five cards in a row were declined")


def resident_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def test_customers_browse_and_buy(shop: Shop) -> None:
    assert len(shop.get("storefront", "/").json()["products"]) == 8
    assert shop.get("storefront", "/product/3").json()["product"]["name"] == PRODUCTS[3].name
    assert shop.get("storefront", "/product/999").status_code == 404
    left = shop.get("inventory", "/stock/3").json()["quantity"]
    assert buy(shop, "ann") == 200
    assert shop.get("inventory", "/stock/3").json()["quantity"] == left - 1
    assert shop.get("storefront", "/cart?customer=ann").json()["cart"]["items"] == []
    assert shop.post("storefront", "/checkout", customer="ann").status_code == 409, "an empty cart"
    assert shop.post("storefront", "/cart", customer="../ann", product=1).status_code == 400


def test_one_trace_crosses_the_services_and_the_logs_carry_it(shop: Shop) -> None:
    assert buy(shop, "bob") == 200

    path = {
        ("storefront", "POST /checkout"),
        ("checkout", "POST /orders"),
        ("payment", "POST /charges"),
        ("inventory", "POST /reservations"),
    }

    def crossed() -> list[bytes]:
        seen: dict[bytes, set[tuple[str, str]]] = {}
        for service, span in shop.receiver.spans():
            seen.setdefault(span.trace_id, set()).add((service, span.name))
        return [trace for trace, spans in seen.items() if path <= spans]

    trace = eventually(crossed)[0]

    def sql() -> bool:
        return any(
            span.trace_id == trace and "UPDATE stock" in str(attributes(span).values())
            for service, span in shop.receiver.spans()
            if service == "inventory"
        )

    eventually(sql)
    of_trace = eventually(
        lambda: {name for name, record in shop.receiver.records() if record.trace_id == trace}
    )
    assert of_trace <= set(SERVICES)
    placed = next(record for _, record in shop.receiver.records() if " placed: " in record.body.string_value)
    assert placed.span_id
    assert placed.severity_text == "INFO"
    assert attributes(placed)["customer.id"] == "bob" or attributes(placed)["order.id"].startswith("o-")


def test_the_duration_metric_follows_the_stable_conventions(shop: Shop) -> None:
    shop.get("storefront", "/product/3")
    shop.get("storefront", "/product/999")

    def seen() -> dict[tuple[str, int], tuple[dict[str, Any], dict[str, Any], Any]]:
        points = shop.receiver.points("http.server.request.duration")
        return {
            (at.get("http.route", ""), at["http.response.status_code"]): (resource, at, point)
            for resource, at, point in points
            if resource["service.name"] == "storefront"
        }

    eventually(lambda: {("/product/{id}", 200), ("/product/{id}", 404)} <= set(seen()))
    resource, at, point = seen()["/product/{id}", 200]
    assert at["http.request.method"] == "GET"
    assert list(point.explicit_bounds) == BOUNDS
    assert 0 < point.sum < 5, "seconds"
    assert resource["service.version"] == "1.0.0"
    assert resource["service.instance.id"]
    assert not [route for route, _ in seen() if route.startswith("/_")], "the runner's calls are no traffic"


def test_the_services_have_metrics_of_their_own(shop: Shop) -> None:
    assert buy(shop, "flo") == 200

    def arrived(metric: str, service: str) -> list[Any]:
        found = [(made["service.name"], point) for made, _, point in shop.receiver.points(metric)]
        return [point for name, point in found if name == service and (point.as_int or point.as_double) > 0]

    eventually(lambda: arrived("shop.orders.placed", "checkout"))
    eventually(lambda: arrived("shop.stock.level", "inventory"))
    eventually(lambda: arrived("process.memory.usage", "payment"))


def test_errors_come_at_about_the_ratio_and_end_with_heal(shop: Shop) -> None:
    shop.receiver.board.set("checkout", "errors", {"error_ratio": 0.3}, actor="ada")
    eventually(lambda: shop.get("checkout", "/carts/ann").status_code == 500)

    statuses = [shop.get("checkout", "/carts/ann").status_code for _ in range(300)]

    # 300 draws at 0.3: mean 90, standard deviation 7.9; this is five of them to each side.
    assert 50 <= statuses.count(500) <= 130
    assert set(statuses) == {200, 500}
    failed = eventually(
        lambda: [
            record
            for service, record in shop.receiver.records()
            if service == "checkout" and record.severity_text == "ERROR" and record.trace_id
        ]
    )
    assert attributes(failed[0])["exception.type"] == "InjectedError"
    shop.receiver.board.heal("checkout")
    eventually(lambda: all(shop.get("checkout", "/carts/ann").status_code == 200 for _ in range(20)))


def test_a_broken_checkout_leaves_the_pages_and_takes_the_orders(shop: Shop) -> None:
    shop.post("storefront", "/cart", customer="eve", product=3)
    shop.receiver.board.set("checkout", "errors", {"error_ratio": 1})
    eventually(lambda: shop.get("checkout", "/carts/eve").status_code == 500)

    assert shop.get("storefront", "/product/3").status_code == 200
    assert shop.get("storefront", "/cart?customer=eve").json()["cart"] is None
    assert shop.post("storefront", "/checkout", customer="eve").status_code == 502


def test_goods_go_back_when_the_payment_fails(shop: Shop) -> None:
    left = shop.get("inventory", "/stock/3").json()["quantity"]
    shop.receiver.board.set("payment", "errors", {"error_ratio": 1})
    eventually(lambda: shop.post("payment", "/charges", order="o-x", amount_cents=1).status_code == 500)

    assert buy(shop, "kim") == 502
    assert shop.get("inventory", "/stock/3").json()["quantity"] == left


def test_latency_and_a_slow_query_take_time(shop: Shop) -> None:
    began = time.monotonic()
    shop.get("inventory", "/stock/3")
    usual_s = time.monotonic() - began
    shop.receiver.board.set("catalog", "latency", {"latency_ms": 300})
    shop.receiver.board.set("inventory", "slow-query", {"rows": 1_000_000})

    def takes(service: str, path: str, at_least_s: float) -> bool:
        began = time.monotonic()
        assert shop.get(service, path).status_code == 200
        return time.monotonic() - began >= at_least_s

    eventually(lambda: takes("catalog", "/products/3", 0.3))
    eventually(lambda: takes("inventory", "/stock/3", max(0.05, 2 * usual_s)))


def test_a_leak_grows_and_heals(shop: Shop) -> None:
    pid = shop.runner.pids["payment"]
    before = resident_mb(pid)
    shop.receiver.board.set("payment", "leak", {"mb_per_minute": 6000})

    eventually(lambda: resident_mb(pid) > before + 40)
    shop.receiver.board.heal("payment")
    eventually(lambda: resident_mb(pid) < before + 20)


def test_a_dead_service_stays_away_until_it_is_healed(shop: Shop) -> None:
    shop.post("storefront", "/cart", customer="dan", product=3)
    pid = shop.runner.pids["payment"]
    shop.receiver.board.set("payment", "dead")
    eventually(lambda: not shop.is_serving("payment"))
    assert shop.post("storefront", "/checkout", customer="dan").status_code == 502
    time.sleep(1.2)  # two looks of the runner
    assert not shop.is_serving("payment")

    shop.receiver.board.heal("payment")
    eventually(lambda: shop.is_serving("payment"))
    assert shop.runner.pids["payment"] != pid
    assert buy(shop, "dan") == 200


def test_a_bad_release_takes_over_is_told_and_is_rolled_back(shop: Shop) -> None:
    deploys = len(shop.receiver.timeline.query(kinds=["deploy"]))
    shop.receiver.board.set("catalog", "version", {"version": "1.7.0", "error_ratio": 1, "latency_ms": 0})
    answers: list[int] = []

    def is_bad() -> bool:
        answers.append(shop.get("catalog", "/products/3").status_code)  # a refused connection would raise
        return answers[-1] == 500

    eventually(is_bad)
    told = eventually(lambda: shop.receiver.timeline.query(kinds=["deploy"])[: -deploys or None])
    assert (told[0].service, told[0].actor) == ("catalog", "shop")
    assert told[0].data == {"version": "1.7.0", "previous": "1.0.0"}
    eventually(
        lambda: [
            resource
            for resource, _, _ in shop.receiver.points("http.server.request.duration")
            if (resource["service.name"], resource["service.version"]) == ("catalog", "1.7.0")
        ]
    )

    shop.receiver.board.heal("catalog")
    eventually(lambda: all(shop.get("catalog", "/products/3").status_code == 200 for _ in range(10)))
    newest = eventually(lambda: shop.receiver.timeline.query(kinds=["deploy"])[: -deploys - 1])[0]
    assert newest.data == {"version": "1.0.0", "previous": "1.7.0"}


def test_a_crashed_service_is_started_again(shop: Shop) -> None:
    pid = shop.runner.pids["catalog"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: shop.runner.pids.get("catalog", pid) != pid and shop.is_serving("catalog"))
    assert any("catalog ended with status -9" in line for line in shop.said)


def test_the_shop_goes_on_while_the_server_is_away(shop: Shop) -> None:
    shop.receiver.board.set("catalog", "errors", {"error_ratio": 1})
    eventually(lambda: shop.get("catalog", "/products/3").status_code == 500)
    shop.receiver.is_away = True
    time.sleep(1.2)
    assert shop.get("catalog", "/products/3").status_code == 500, "the last word of the server stands"
    shop.receiver.board.heal()
    shop.receiver.is_away = False
    eventually(lambda: shop.get("catalog", "/products/3").status_code == 200)
    assert any("answers again" in line for line in shop.said)


def test_each_service_starts_quickly_and_small(shop: Shop) -> None:
    for service, pid in shop.runner.pids.items():
        assert resident_mb(pid) < 100, service


def test_a_new_shop_starts_healthy_and_shows_its_token(tmp_path: Path) -> None:
    def break_before(board: Any) -> None:
        board.poll()
        board.set("catalog", "errors", {"error_ratio": 1}, actor="yesterday")

    with open_shop(tmp_path, token="s3cret value", prepare=break_before) as shop:
        assert shop.get("catalog", "/products/3").status_code == 200
        assert shop.receiver.board.faults() == []
        (healed,) = shop.receiver.timeline.query(kinds=["demo.heal"])
        assert healed.actor == "shop"
        eventually(lambda: list(shop.receiver.spans()))
        pids = list(shop.runner.pids.values())
        command = Path(f"/proc/{pids[0]}/cmdline").read_bytes()
        assert b"s3cret" not in command
    assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
