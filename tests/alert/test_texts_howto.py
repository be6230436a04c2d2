"""What docs/howto/write-notification-texts.md shows is what its templates write."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from setpoint.alert.model import Alert
from setpoint.alert.notify.text import TemplateData, Texts
from setpoint.alert.notify.text.functions import NAMES

PAGE = (Path(__file__).parents[2] / "docs/howto/write-notification-texts.md").read_text()
FILES = re.findall(r"```gotemplate\n(.*?)```", PAGE, re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)\n```", PAGE, re.DOTALL)


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _alert(service: str, summary: str, starts: str, ends_ms: int | None = None) -> Alert:
    labels = {"alertname": "CheckoutSlow", "service": service}
    starts_ms = _ms(starts)
    return Alert(labels, starts_ms, starts_ms, ends_ms=ends_ms, annotations={"summary": summary})


CHECKOUT = _alert("checkout", "every second payment takes longer than 3 s", "2026-01-31T08:05:00Z")
CART = _alert(
    "cart", "adding to the cart takes longer than 1 s", "2026-01-31T08:01:00Z", _ms("2026-01-31T08:04:00Z")
)
DATA = TemplateData.of(
    "shop-team",
    [CHECKOUT, CART],
    {"alertname": "CheckoutSlow"},
    resolved={CART.fingerprint},
    external_url="http://127.0.0.1:8428",
    at_ms=CHECKOUT.starts_ms,
)


def test_the_texts_of_the_page() -> None:
    own, subject = FILES
    title, text = re.findall(r"(?:title|text): '(.*?)'", PAGE)
    texts = Texts({"shop.tmpl": own})
    assert texts.faults == ()
    assert texts.expand(title, DATA).strip() == SHOWN[0]
    assert texts.expand(text, DATA).strip() == SHOWN[1]
    assert Texts([subject]).expand('{{ template "slack.default.title" . }}', DATA) == SHOWN[2]
    told = texts.tell('{{ template "shop.titel" . }}', DATA)
    assert told.fault
    assert told.text == SHOWN[3]


def test_the_functions_of_the_page_exist() -> None:
    section = PAGE.partition("| to do this |")[2].partition("\n\n")[0]
    named = {code.split()[0] for code in re.findall(r"`([a-zA-Z]\w*[^`]*)`", section)}
    assert named <= NAMES
    assert len(named) > 20
