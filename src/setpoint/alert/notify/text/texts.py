"""Templates of notifications, read once from their files and expanded for each text of each notification.

Channels call `tell` for what people read: it never fails, because a mistake in a template must not keep a page from
being sent. `expand` says the mistake, for who checks a configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from setpoint.alert.notify.text.data import TemplateData

__all__ = ["Texts", "Told"]


@dataclass(frozen=True, slots=True)
class Told:
    """A text to send; `fault` says what is wrong with its template, for which a plain text stands in."""

    text: str
    fault: str = ""


class Texts:
    """The default templates and those of `files` (their texts), which may define the defaults anew. Thread-safe.

    `faults` names the files that could not be read; what the others define holds.
    """

    def __init__(self, files: Sequence[str] = ()) -> None:
        self.faults: tuple[str, ...] = ()

    def expand(self, template: str, data: TemplateData, *, is_html: bool = False) -> str:
        """What `template` makes of `data`; values are escaped for where they stand if `is_html`. Raises TemplateError."""
        return template

    def tell(self, template: str, data: TemplateData, *, is_html: bool = False) -> Told:
        """As `expand`, and a plain text that names the fault where the template cannot be used."""
        return Told(self.expand(template, data, is_html=is_html))
