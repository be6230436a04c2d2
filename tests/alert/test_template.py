# ruff: noqa: E501 - a template and what it writes stand beside each other
"""Templates of labels and annotations: what they write, compared with the real promtool where it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from setpoint.alert.template import Sample, Surroundings, Template, TemplateError
from setpoint.errors import InvalidInput
from setpoint.promql.notation import unquote

PROMTOOL = shutil.which("promtool")
LABELS = {"__name__": "m", "x": "y", "instance": "db.example:9100"}
SAMPLES = [
    Sample({"__name__": "n", "k": key}, value) for key, value in (("b", 2.5), ("a", 1e6), ("c", float("nan")))
]
VALUE = 1234567.5

WRITTEN = (
    ("plain text", "plain text"),
    ("{{ $value }} {{ .Value }} {{ $labels.x }} {{ .Labels.x }}{{ $labels.none }}", "1.2345675e+06 1.2345675e+06 y y"),
    ("a {{- /* nothing */ -}} b {{- 1 }} {{ 2 -}} c", "ab1 2c"),
    ("{{ `raw\\n` }}{{ \"tab\\t\\\"\\u00e9\" }}{{ 'a' }} {{ 0x1F }} {{ 1e3 }} {{ 1_000 }} {{ -5 }} {{ .5 }} {{ true }}",
     "raw\\ntab\t\"é97 31 1000 1000 -5 0.5 true"),
    ('{{ printf "%v %g %.3g %8.2f|%-9.1f|%+d" $value $value $value $value $value 3 }}',
     "1.2345675e+06 1.2345675e+06 1.23e+06 1234567.50|1234567.5|+3"),
    ('{{ printf "%d %s %x %q %t %5t|%05.1f" $value $value 255 "a\\"b" true false 3.14159 }}',
     '%!d(float64=1.2345675e+06) %!s(float64=1.2345675e+06) ff "a\\"b" true false|003.1'),
    ('{{ printf "%.2f %s %d%%" 3 }} {{ printf "a" 1 }} {{ printf "%z" 1 }} {{ printf "%06d|%-4d|% d" -42 7 7 }}',
     "%!f(int=03) %!s(MISSING) %!d(MISSING)% a%!(EXTRA int=1) %!z(int=1) -00042|7   | 7"),
    ('{{ printf "%c %U %o %b %X %5s|%-5s|%.2s %T %*d %e %G" 65 65 8 5 255 "ab" "ab" "abc" 1.5 4 42 1.5 1e-9 }}',
     "A U+0041 10 101 FF    ab|ab   |ab float64   42 1.500000e+00 1E-09"),
    ('{{ print 1 2 "a" "b" 3 4.5 }}{{ println "x" 1 }}', "1 2ab3 4.5x 1\n"),
    ("{{ humanize $value }} {{ humanize 0.00012345 }} {{ humanize 0 }} {{ humanize -999.5 }} {{ humanize \"1e6\" }}",
     "1.235M 123.4u 0 -999.5 1M"),
    ("{{ humanize1024 1048576 }} {{ humanize1024 0.5 }} {{ humanize1024 1e30 }}", "1Mi 0.5 8.272e+05Yi"),
    ("{{ humanizeDuration 93784.5 }} {{ humanizeDuration 0.0015 }} {{ humanizeDuration -61 }} {{ humanizeDuration 0 }}",
     "1d 2h 3m 4s 1.5ms -1m 1s 0s"),
    ("{{ humanizePercentage 0.12345678 }} {{ humanizeTimestamp 1435065584.128 }} {{ toTime 0 }}",
     "12.35% 2015-06-23 13:19:44.128 +0000 UTC 1970-01-01 00:00:00 +0000 UTC"),
    ('{{ (toTime 1435065584).Unix }} {{ (toTime 1e9).Format "Mon 2 Jan 2006 15:04" }} {{ (toTime 86400.0).Year }}',
     "1435065584 Sun 9 Sep 2001 01:46 1970"),
    ('{{ toUpper "a" }}{{ toLower "B" }} {{ title "two words" }} {{ match "a.c" "xxabc" }} {{ safeHtml "<b>" }}',
     "Ab Two Words true <b>"),
    ('{{ reReplaceAll "(a+)(b)" "$2-${1}x" "aab ab" }} {{ reReplaceAll "x*" "-" "abc" }} {{ reReplaceAll "b" "$1x|$$" "abc" }}',
     "b-aax b-ax -a-b-c- a|$c"),
    ('{{ stripPort $labels.instance }} {{ stripDomain $labels.instance }} {{ stripPort "[::1]:90" }} '
     '{{ stripDomain "10.0.0.1:90" }} {{ stripPort "none" }}', "db.example db:9100 ::1 10.0.0.1:90 none"),
    ('{{ graphLink "up == 0" }} {{ tableLink "a{b=\\"c\\"}" }}',
     "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 /graph?g0.expr=a%7Bb%3D%22c%22%7D&g0.tab=1"),
    ('{{ parseDuration "1h30m" }} {{ html "<a&\'\\">" }} {{ urlquery "a b/c?" }} {{ js "a\'b<" }}',
     "5400 &lt;a&amp;&#39;&#34;&gt; a+b%2Fc%3F a\\'b\\u003C"),
    ('{{ range $i, $s := query "n" | sortByLabel "k" }}{{ if $i }}, {{ end }}{{ $s.Labels.k }}={{ $s.Value }}{{ end }}',
     "a=1e+06, b=2.5, c=NaN"),
    ('{{ range query "none" }}x{{ else }}none{{ end }} {{ with query "none" }}x{{ else }}-{{ end }} {{ len (query "n") }}',
     "none - 3"),
    ('{{ range sortByLabel "k" (query "n") }}{{ if eq .Labels.k "b" }}{{ continue }}{{ end }}{{ .Labels.k }}'
     '{{ if eq .Labels.k "c" }}{{ break }}{{ end }};{{ end }}', "a;c"),
    ('{{ with query "n" | sortByLabel "k" }}{{ . | first | value | humanize }} {{ (first .).Labels.k }} '
     '{{ label "k" (first .) }}{{ strvalue (first .) }}{{ end }}', "1M a a"),
    ("{{ range $k, $v := $labels }}{{ $k }}={{ $v }};{{ end }} {{ $labels }} {{ len $labels }}",
     "__name__=m;instance=db.example:9100;x=y; map[__name__:m instance:db.example:9100 x:y] 3"),
    ("{{ if gt $value 5e6 }}big{{ else if lt $value 1.0 }}small{{ else }}mid{{ end }}", "mid"),
    ('{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $y := 3 }}{{ $x }}{{ $y }}{{ end }}{{ $x }}{{ with $z := "q" }}{{ $z }}{{ . }}{{ end }}',
     "232qq"),
    ('{{ and 1 0 }} {{ and 1 "a" }} {{ or 0 "" }}|{{ or "" "b" }} {{ not 1 }} {{ eq "a" "b" "a" }} {{ ne 1 2 }} {{ le 1.5 1.5 }}',
     "0 a |b false true true true"),
    ('{{ (args "a" 2).arg1 }} {{ index (args "q") "arg0" }} {{ index $labels "x" }} {{ index "abc" 1 }} '
     '{{ slice "abcdef" 1 3 }} {{ slice "abcdef" 4 }} {{ len "héllo" }}', "2 q y 98 bc ef 6"),
    ("{{ .ExternalLabels.region }} {{ $externalLabels.region }} {{ .ExternalURL }} {{ $externalURL }}",
     "eu eu http://h:1/p http://h:1/p"),
    ("{{ $labels.x | toUpper | printf \"%s-%s\" \"pre\" }} {{ if not $labels.missing }}missing{{ end }}", "pre-Y missing"),
)  # fmt: skip

FAILING = (
    ('{{ first (query "none") }}', "error calling first: first() called on vector with no elements"),
    ("{{ eq $value 3 }}", "error calling eq: incompatible types for comparison"),
    ("{{ nil }}", "nil is not a command"),
    ("{{ .Nope }}", "can't evaluate field Nope"),
    ("{{ $value.Foo }}", "can't evaluate field Foo in type float64"),
    ("{{ $labels.x.y }}", "can't evaluate field y in type string"),
    ("{{ index $labels 1 }}", "error calling index: value has type int; should be string"),
    ('{{ humanize "abc" }}', 'error calling humanize: strconv.ParseFloat: parsing "abc": invalid syntax'),
    ('{{ query "sum(" }}', "error calling query: "),
    ("{{ toUpper 5 }}", "error calling toUpper: "),
    ("{{ len 5 }}", "error calling len: len of type int"),
    ('{{ lt "a" 1 }}', "error calling lt: incompatible types for comparison"),
    ("{{ humanize }}", "wrong number of args for humanize"),
    ("{{ and }}", "wrong number of args for and"),
    ('{{ slice "abc" 2 1 }}', "error calling slice: "),
    ("{{ range true }}x{{ end }}", "range can't iterate over true"),
    ('{{ toTime "NaN" }}', "error calling toTime: value is NaN or Inf"),
)

NOT_PARSED = (
    ("{{ nofunc 1 }}", "the function 'nofunc' does not exist"),
    ("{{ $nope }}", "the variable $nope does not exist"),
    ("{{ if }}x{{ end }}", "expected a value"),
    ("{{ end }}", "{{end}} has no if, with or range above it"),
    ("{{ if true }}x", "{{if}} has no {{end}}"),
    ("{{ if true }}a{{ else }}b{{ else }}c{{ end }}", "a second {{else}}"),
    ("{{ 1 | 2 }}", "a constant takes no arguments"),
    ("{{ .a } }}", "'}' cannot stand in an action"),
    ("{{ (1 }}", "a ( is opened and not closed"),
    ("{{ break }}", "stands outside of a range"),
    ("{{ $value", "is opened with {{ and not closed"),
    ('{{ "open }}', 'a " is opened and not closed'),
    ("{{ 1x }}", "'1x' is no number and no name"),
    ("{{ if true }}a{{ end x }}", "'x' is not expected behind end"),
)


def _query(text: str) -> list[Sample]:
    if text == "sum(":
        raise InvalidInput("unclosed left parenthesis")
    return list(SAMPLES) if text == "n" else []


def expanded(text: str) -> str:
    return Template.read(text).expand(
        LABELS, VALUE, Surroundings(_query, 0, "http://h:1/p"), {"region": "eu"}
    )


@pytest.mark.parametrize(("text", "written"), WRITTEN)
def test_what_is_written(text: str, written: str) -> None:
    assert expanded(text) == written


@pytest.mark.parametrize(("text", "message"), FAILING)
def test_what_fails_when_it_is_run(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(message)):
        expanded(text)


@pytest.mark.parametrize(("text", "message"), NOT_PARSED)
def test_what_is_refused_when_it_is_read(text: str, message: str) -> None:
    with pytest.raises(TemplateError, match=re.escape(message)) as raised:
        Template.read(f"first line\n{text}")
    assert raised.value.line == 2


def test_templates_cannot_be_defined_within_rules() -> None:
    with pytest.raises(TemplateError, match="cannot be used in a rule's template"):
        Template.read('{{ define "x" }}{{ end }}')


def test_templates_end() -> None:
    nested = '{{ range $a := query "n" }}' * 40 + "x" + "{{ end }}" * 40
    with pytest.raises(TemplateError, match=r"more than 1000000 (steps|characters)"):
        expanded(nested)
    with pytest.raises(TemplateError, match="nested deeper than 50"):
        Template.read("{{ if true }}" * 60)
    with pytest.raises(TemplateError, match="nested deeper than 50"):
        Template.read("{{ " + "(" * 60 + " }}")
    assert len(expanded('{{ printf "%99999999d" 1 }}')) == 10_000


@pytest.mark.parametrize(
    "text",
    [
        '{{ $x := "0123456789" }}{{ range 22 }}{{ $x = print $x $x }}{{ end }}',
        '{{ $x := "a" }}{{ range 22 }}{{ $x = args $x $x }}{{ end }}{{ eq (print $x) "" }}',
        '{{ $x := "a" }}{{ range 13 }}{{ $x = print $x $x }}{{ end }}{{ eq (reReplaceAll "a" $x $x) "" }}',
    ],
)
def test_what_doubles_ends_before_the_memory_does(text: str) -> None:
    with pytest.raises(TemplateError, match="more than 1000000 characters"):
        expanded(text)


@pytest.mark.parametrize("use", ['match "(a+)+$"', 'reReplaceAll "(a+)+$" "x"'])
def test_expressions_that_could_take_for_ever_are_refused(use: str) -> None:
    with pytest.raises(TemplateError, match="repeats what repeats"):
        expanded("{{ " + use + ' "' + "a" * 60 + 'b" }}')


def test_native_histograms_are_told_as_text() -> None:
    around = Surroundings(_query)
    assert Template.read("{{ $value }}").expand({}, "{count:1, sum:2}", around, {}) == "{count:1, sum:2}"


@settings(max_examples=300, deadline=None)
@given(st.text(st.sampled_from(list("{}$.-|() \"'`abx1=:,/*\n\\")), max_size=40))
def test_any_text_is_written_or_refused(text: str) -> None:
    try:
        expanded(text)
    except TemplateError as error:
        assert error.message
        assert error.line >= 1


@settings(max_examples=300, deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    around = Surroundings(_query)
    assert float(Template.read("{{ $value }}").expand({}, value, around, {})) == value


def _written_by_promtool(templates: list[str], folder: Path) -> list[str]:
    """What promtool makes of `templates`, in the order given."""
    assert PROMTOOL is not None
    names = [f"a{index:03}" for index in range(len(templates))]
    rule = {"alert": "A", "expr": "m", "annotations": dict(zip(names, templates, strict=True))}
    (folder / "rules.yml").write_text(json.dumps({"groups": [{"name": "g", "rules": [rule]}]}))
    series = [{"series": 'm{x="y",instance="db.example:9100"}', "values": str(VALUE)}]
    series += [
        {"series": f'n{{k="{sample.labels["k"]}"}}', "values": f"{sample.value}"} for sample in SAMPLES
    ]
    test = {
        "input_series": series,
        "external_labels": {"region": "eu"},
        "external_url": "http://h:1/p",
        "alert_rule_test": [{"eval_time": "0s", "alertname": "A", "exp_alerts": []}],
    }
    (folder / "test.yml").write_text(json.dumps({"rule_files": ["rules.yml"], "tests": [test]}))
    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(folder / "test.yml")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    found = dict(re.findall(r'(a\d{3})=("(?:[^"\\]|\\.)*")', done.stdout + done.stderr))
    return [unquote(found[name]) for name in names]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_writes_the_same(tmp_path: Path) -> None:
    templates = [text for text, _ in WRITTEN]
    assert _written_by_promtool(templates, tmp_path) == [written for _, written in WRITTEN]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")
def test_promtool_fails_where_setpoint_fails(tmp_path: Path) -> None:
    texts = _written_by_promtool([text for text, _ in FAILING], tmp_path)
    assert all(text.startswith("<error expanding template: ") for text in texts)
