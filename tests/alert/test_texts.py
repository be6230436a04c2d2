# ruff: noqa: E501 - a template and what it writes stand beside each other
"""Texts of notifications: what is newer than Debian's Alertmanager, the default texts, faults, and a closed room.

What Debian's Alertmanager writes, too, is compared with it in `tests/differential/test_texts_alertmanager.py`.
"""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.model import Alert
from setpoint.alert.notify.text import TemplateData, Texts
from setpoint.alert.notify.text.texts import _defaults
from setpoint.alert.template import TemplateError

START_MS = 1_769_846_709_012  # 2026-01-31T08:05:09.012Z
FIRING = Alert(
    {"alertname": "SlowShop", "service": "shop", "severity": "page", "path": "<script>"},
    START_MS,
    START_MS,
    annotations={"summary": "Slow & steady", "runbook_url": "https://wiki.example/slow"},
    generator_url="https://shop.example/o/1",
)
RESOLVED = Alert(
    {"alertname": "SlowShop", "service": "cart", "severity": "page"},
    START_MS,
    START_MS,
    ends_ms=START_MS + 7_325_000,
)
DATA = TemplateData.of(
    "team",
    [FIRING, RESOLVED],
    {"alertname": "SlowShop"},
    resolved={RESOLVED.fingerprint},
    external_url="https://setpoint.example",
    at_ms=START_MS + 90_061_000,
)

WRITTEN = (
    ("no template { {", "no template { {"),
    (
        '{{ (index .Alerts 0).StartsAt | tz "Europe/Berlin" | date "2006-01-02 15:04 MST -0700" }}',
        "2026-01-31 09:05 CET +0100",
    ),
    (
        '{{ (tz "America/New_York" now).Format "Mon Jan _2 3:04PM" }} {{ now.Unix }}',
        "Sun Feb  1 4:06AM 1769936770",
    ),
    (
        "{{ since (index .Alerts 0).StartsAt }} {{ since (index .Alerts 0).StartsAt | humanizeDuration }}",
        "25h1m1s 1d 1h 1m 1s",
    ),
    (
        "{{ humanizeDuration 3661 }} {{ (index .Alerts 1).EndsAt.Sub (index .Alerts 1).StartsAt }}",
        "1h 1m 1s 2h2m5s",
    ),
    (
        '{{ if gt (since (index .Alerts 0).StartsAt) 3600000000000 }}long{{ end }} {{ printf "%d" (since (index .Alerts 0).StartsAt) }}',
        "long 90061000000000",
    ),
    ('{{ trimSpace "  a b\\n" }}|{{ urlUnescape "a%20b+c" }}', "a b|a b c"),
    (
        "{{ .CommonLabels }} {{ .GroupLabels.SortedPairs }}",
        "alertname=SlowShop, severity=page alertname=SlowShop",
    ),
    (
        "{{ toJson .CommonLabels }} {{ toJson (index .Alerts 0).Labels.path }}",
        '{"alertname":"SlowShop","severity":"page"} "\\u003cscript\\u003e"',
    ),
    (
        "{{ toJson (stringSlice) }} {{ toJson .Status }} {{ toJson 1.5 }} {{ toJson true }}",
        '[] "firing" 1.5 true',
    ),
    (
        '{{ $l := list 1 "b" }}{{ $l = append $l 3 }}{{ $l }} {{ (dict "a" 1 "b" "c").b }} {{ len (dict) }}',
        "[1 b 3] c 0",
    ),
    ('{{ base64encode "a?b" }} {{ base64decode "YT9i" }} {{ safeUrl "x" }}', "YT9i a?b x"),
    (
        '{{ (toDate "2006-01-02 15:04" "2026-03-04 05:06").Unix }} {{ (mustToDate "2006-01-02" "2026-03-04").Weekday }} {{ (toDate "2006" "x").IsZero }}',
        "1772600760 Wednesday true",
    ),
)


@pytest.mark.parametrize(("template", "text"), WRITTEN)
def test_what_is_newer(template: str, text: str) -> None:
    assert Texts().expand(template, DATA) == text


def test_json_has_the_names_of_the_webhook() -> None:
    found = json.loads(Texts().expand("{{ toJson . }}", DATA))
    assert found["commonLabels"] == {"alertname": "SlowShop", "severity": "page"}
    assert found["externalURL"] == "https://setpoint.example"
    assert found["alerts"][0]["startsAt"] == "2026-01-31T08:05:09.012Z"
    assert found["alerts"][0]["endsAt"] == "0001-01-01T00:00:00Z"
    assert found["alerts"][1]["endsAt"] == "2026-01-31T10:07:14.012Z"


@pytest.mark.parametrize("name", sorted(name for name in _defaults() if name and not name.endswith(".tmpl")))
def test_every_default_text_can_be_made(name: str) -> None:
    """Of alerts, and of whatever dot a template that is not for a whole notification takes."""
    dot = {"__text_alert": "(index .Alerts 0)", "__text_alert_list": ".Alerts", "__text_alert_list_markdown": ".Alerts",
           "__email_alerts": ".Alerts", "pagerduty.default.instances": ".Alerts"}.get(name, ".")  # fmt: skip
    for is_html in (False, True):
        text = Texts().expand(f'{{{{ template "{name}" {dot} }}}}', DATA, is_html=is_html)
        assert "<no value>" not in text
        assert "\n\n\n" not in text


def test_the_default_texts_say_what_matters() -> None:
    texts = Texts()
    assert texts.expand('{{ template "slack.default.title" . }}', DATA) == "[FIRING:1] SlowShop (page)"
    told = texts.expand('{{ template "default.message" . }}', DATA)
    assert "Firing (1):\nSlow & steady\n" in told
    assert "Resolved (1):\nSlowShop\n" in told
    html = texts.expand('{{ template "email.default.html" . }}', DATA, is_html=True)
    assert "Slow &amp; steady" in html
    assert "path=&lt;script&gt;" in html
    assert '<a href="https://wiki.example/slow"' in html
    assert "<script" not in html


def test_a_file_replaces_a_default() -> None:
    texts = Texts(
        {"own.tmpl": '{{ define "__subject" }}{{ .Status }} of {{ .GroupLabels.alertname }}{{ end }}whole'}
    )
    assert texts.faults == ()
    assert (
        texts.expand('{{ template "slack.default.title" . }}/{{ template "own.tmpl" . }}', DATA)
        == "firing of SlowShop/whole"
    )


FAULTS = (
    ("{{ .Nothing }}", "line 1: can't evaluate field Nothing in type *template.Data"),
    ('a\n{{ template "nowhere" . }}', 'line 2: the template "nowhere" is not defined; define it, or correct its name'),
    ('{{ template "outer" . }}', 'line 3: can\'t evaluate field X in type template.Pairs, in the template "inner"'),
    ("{{ nofunction }}", "line 1: the function 'nofunction' does not exist"),
    ("{{ if .Status }}", "line 1: {{if}} has no {{end}}; write it"),
    ("{{ index .Alerts 7 }}", "line 1: error calling index: index out of range: 7"),
    ('{{ now | tz "Mars/North" }}', "line 1: error calling tz: unknown time zone Mars/North"),
    ('{{ tz "../../etc/passwd" now }}', "line 1: error calling tz: unknown time zone ../../etc/passwd"),
    ('{{ template "endless" . }}', 'line 4: templates call each other more than 100 times; do they end?, in the template "endless"'),
    ("{{ define }}{{ end }}", 'line 1: {{define}} needs a name in quotes; write {{define "name"}}'),
    ('{{ if 1 }}{{ define "x" }}{{ end }}{{ end }}', "line 1: {{define}} stands inside another block; move it to the top"),
    ('{{ block "x" }}{{ end }}', 'line 1: a {{block}} needs the value of its dot; write {{block "name" .}}'),
)  # fmt: skip
FILE = """{{ define "outer" }}
{{ template "inner" . }}{{ end }}{{ define "inner" }}
{{ .GroupLabels.SortedPairs.X }}{{ end }}
{{ define "endless" }}{{ template "endless" . }}{{ end }}"""


@pytest.mark.parametrize(("template", "fault"), FAULTS)
def test_a_fault_is_named_and_the_news_goes_out(template: str, fault: str) -> None:
    texts = Texts([FILE])
    told = texts.tell(template, DATA)
    assert told.fault == fault
    assert "[1 firing] SlowShop" in told.text
    assert "firing: SlowShop path=<script>, service=shop, severity=page: Slow & steady" in told.text
    assert told.text.endswith(f"could not use the template of this text: {told.fault}")
    html = texts.tell(template, DATA, is_html=True)
    assert "<script" not in html.text
    assert "path=&lt;script&gt;" in html.text
    with pytest.raises(TemplateError):
        texts.expand(template, DATA)


def test_a_file_that_cannot_be_read_takes_nothing_else_along() -> None:
    texts = Texts(
        {
            "/t/bad.tmpl": 'x\n{{ define "__subject" }}{{ nope }}',
            "/t/good.tmpl": '{{ define "own" }}own{{ end }}',
        }
    )
    assert texts.faults == ("/t/bad.tmpl:2: the function 'nope' does not exist",)
    assert (
        texts.expand('{{ template "own" . }} {{ template "__subject" . }}', DATA)
        == "own [FIRING:1] SlowShop (page)"
    )


def test_a_template_ends() -> None:
    many = TemplateData.of("team", [FIRING] * 2000, {}, resolved=(), external_url="", at_ms=0)
    for template, message in (
        (
            "{{ range .Alerts }}{{ range $.Alerts }}{{ range $.Alerts }}x{{ end }}{{ end }}{{ end }}",
            "steps|characters",
        ),
        (
            "{{ $l := list 1 }}{{ range .Alerts }}{{ range $.Alerts }}{{ $l = append $l 1 }}{{ end }}{{ end }}",
            "steps",
        ),
        ('{{ $s := "xxxxxxxxxx" }}{{ range .Alerts }}{{ $s = print $s $s }}{{ end }}', "characters"),
        ('{{ reReplaceAll "(a+)+$" "" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab" }}', "repeats what repeats"),
    ):
        with pytest.raises(TemplateError, match=message):
            Texts().expand(template, many)
    assert len(Texts().tell("{{ nope }}", many).text) < 10_000


PIECES = st.sampled_from(
    ["{{ .", "{{ ", " }}", "{{ end }}", "Alerts", ".Labels", ".StartsAt", "range ", "if ", "with ", "template ", '"__subject"',
     " . ", "<a href=\"", "<!--", "-->", "'", '"', ">", "<script>", "| ", "toJson ", "len ", "$x := ", "$", "x", "\n", "style=", "=", "\0"]
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=20))
def test_nothing_breaks_a_text(template: str, label: str) -> None:
    """Whatever stands in templates and labels: there is a text, and it is made again the same."""
    alert = Alert({"alertname": "A", "x": label or "y"}, START_MS, START_MS)
    data = TemplateData.of("t", [alert], alert.labels, resolved=(), external_url="http://s", at_ms=START_MS)
    for is_html in (False, True):
        told = Texts().tell(template, data, is_html=is_html)
        assert told == Texts().tell(template, data, is_html=is_html)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.sampled_from(['<p>{}</p>', '<a href="{}">', "<a href='{}'>", "<p x={} y>", '<p style="{}">',
       '<p onclick="{}">', "<title>{}</title>", "<script>{}</script>", "<style>{}</style>", '<a href="/?q={}">']))  # fmt: skip
def test_a_label_never_leaves_its_place(label: str, form: str) -> None:
    """In any place of a page, the value of a label makes no tag, no attribute, and ends no quotes."""
    alert = Alert({"alertname": "A", "x": label or "y"}, START_MS, START_MS)
    data = TemplateData.of("t", [alert], {}, resolved=(), external_url="", at_ms=0)
    text = Texts().expand(form.format("{{ .CommonLabels.x }}"), data, is_html=True)
    before, after = form.split("{}")
    assert text.startswith(before)
    assert text.endswith(after)
    inside = text[len(before) : len(text) - len(after)]
    assert not re.search(r"[<>\"']", inside) or (
        form.startswith("<script") and re.fullmatch(r'"[^"<>]*"', inside.replace('\\"', ""))
    )
    if form == "<p x={} y>":
        assert (
            not re.search(r"[\s=`]", inside.replace("\x85", "").replace("\xa0", "")) or not inside.isascii()
        )
