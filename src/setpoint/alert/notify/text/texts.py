"""Templates of notifications, read once from their files and expanded for each text of each notification.

Channels call `tell` for what people read: it never fails, because a mistake in a template must not keep a page from
being sent. `expand` says the mistake, for who checks a configuration. See decision 0044.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files as resources

from setpoint.alert.notify.text.data import TemplateData
from setpoint.alert.notify.text.escape import HtmlWriter, SafeHtml
from setpoint.alert.notify.text.functions import NAMES, functions_at
from setpoint.alert.notify.text.shapes import shape
from setpoint.alert.template.builtins import BUILTINS
from setpoint.alert.template.errors import TemplateError
from setpoint.alert.template.nodes import Node
from setpoint.alert.template.parse import parse
from setpoint.alert.template.run import Writer, run
from setpoint.errors import InvalidInput

__all__ = ["Texts", "Told"]

_DEFAULTS = ("default.tmpl", "email.tmpl")
_PLAIN_ALERTS = 20
_LARGEST_FILE = 1_000_000
_MOST_KEPT = 1000

Definitions = dict[str, tuple[Node, ...]]


@dataclass(frozen=True, slots=True)
class Told:
    """A text to send; `fault` says what is wrong with its template, for which a plain text stands in."""

    text: str
    fault: str = ""


class Texts:
    """The default templates and those of `files`, which may define the defaults anew. Thread-safe.

    `files` are texts, or texts by the names of their files; a named one can be called by its name, too. `faults` says
    which could not be read and why; what the others define holds.
    """

    def __init__(self, files: Sequence[str] | Mapping[str, str] = ()) -> None:
        self._definitions: Definitions = dict(_defaults())
        self._parsed: dict[str, tuple[tuple[Node, ...], Definitions]] = {}
        named = (
            files
            if isinstance(files, Mapping)
            else {f"file {place}": text for place, text in enumerate(files, 1)}
        )
        faults = []
        for name, text in named.items():
            try:
                self._definitions = _read(text, self._definitions, name.rpartition("/")[2])
            except TemplateError as error:
                faults.append(f"{name}:{error.line}: {error}")
        self.faults: tuple[str, ...] = tuple(faults)

    def expand(self, template: str, data: TemplateData, *, is_html: bool = False) -> str:
        """What `template` makes of `data`; if `is_html`, values are escaped for where they stand.

        Raises TemplateError.
        """
        if "{{" not in template:
            return template
        nodes, definitions = self._parse(template)
        functions = functions_at(data.at_ms)
        writer = Writer()
        if is_html:
            writer = HtmlWriter()
            functions["html"] = lambda *values: SafeHtml(BUILTINS["html"](*values))
        try:
            return run(nodes, shape(data), {}, functions, definitions=definitions, writer=writer)
        except RecursionError:
            raise TemplateError("the template is nested too deep; write it flatter") from None

    def tell(self, template: str, data: TemplateData, *, is_html: bool = False) -> Told:
        """As `expand`, and a plain text that names the fault where the template cannot be used."""
        try:
            return Told(self.expand(template, data, is_html=is_html))
        except InvalidInput as error:
            fault = f"line {error.line}: {error}" if isinstance(error, TemplateError) else str(error)
            return Told(_plain(data, fault, is_html=is_html), fault)

    def _parse(self, template: str) -> tuple[tuple[Node, ...], Definitions]:
        """The nodes of a text of the configuration, and all that it may call; kept, since it comes again and again."""
        kept = self._parsed.get(template)
        if kept is None:
            definitions = dict(self._definitions)
            kept = parse(template, NAMES, (), definitions), definitions
            if len(self._parsed) >= _MOST_KEPT:
                self._parsed.clear()
            self._parsed[template] = kept
        return kept


def _read(text: str, before: Definitions, name: str = "") -> Definitions:
    """`before` and what the file `text` defines. Raises TemplateError."""
    if len(text) > _LARGEST_FILE:
        raise TemplateError(f"has more than {_LARGEST_FILE} characters; write less")
    found = dict(before)
    nodes = parse(text, NAMES, (), found)
    if name:
        found[name] = nodes
    return found


@cache
def _defaults() -> Definitions:
    found: Definitions = {}
    for name in _DEFAULTS:
        found = _read(resources(__package__).joinpath(name).read_text(encoding="utf-8"), found)
    return found


def _plain(data: TemplateData, fault: str, *, is_html: bool) -> str:
    """What is sent for a text whose template cannot be used: what happened, and the fault."""
    firing = sum(alert.status == "firing" for alert in data.alerts)
    count = f"{firing} firing" if data.status == "firing" else f"{len(data.alerts)} resolved"
    lines = [f"[{count}] {_labels(data.group_labels or data.common_labels)}".rstrip()]
    for alert in data.alerts[:_PLAIN_ALERTS]:
        said = alert.annotations.get("summary") or alert.annotations.get("description") or ""
        lines.append(f"{alert.status}: {_labels(alert.labels)}{f': {said}' if said else ''}")
    if len(data.alerts) > _PLAIN_ALERTS:
        lines.append(f"and {len(data.alerts) - _PLAIN_ALERTS} more")
    lines.append(f"Setpoint could not use the template of this text: {fault}")
    if not is_html:
        return "\n".join(lines)
    return "".join(f"<p>{BUILTINS['html'](line)}</p>\n" for line in lines)


def _labels(labels: Mapping[str, str]) -> str:
    name = labels.get("alertname", "")
    rest = ", ".join(f"{label}={labels[label]}" for label in sorted(labels) if label != "alertname")
    return f"{name} {rest}".strip()
