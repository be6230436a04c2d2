"""Fields of a YAML file with the line of each: what rule files and test files are read with.

Every fault becomes a problem with its line, and reading goes on, so that a person sees all of them at once. As
Prometheus does, text may be written without quotes: `severity: 1` is the text "1".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from setpoint.errors import InvalidInput, Problem
from setpoint.resource.duration import duration_ms
from setpoint.resource.model import Place, show_place
from setpoint.resource.read import Source, read_yaml

__all__ = ["Fields", "open_document"]

_TRUE = ("true", "True", "TRUE", "yes", "Yes", "YES", "on", "On", "ON")


class Fields:
    """The mapping at `place` of a document; `problems` is shared by all of one file.

    With `ignores_unknown`, fields that are not known are no problem.
    """

    def __init__(
        self,
        source: Source,
        place: Place,
        body: dict[str, Any],
        problems: list[Problem],
        *,
        ignores_unknown: bool = False,
    ) -> None:
        self._source = source
        self._ignores_unknown = ignores_unknown
        self._place = place
        self._body = body
        self.problems = problems

    @property
    def file(self) -> str:
        """The file's name."""
        return self._source.file

    @property
    def place(self) -> Place:
        """Where the mapping stands in its document."""
        return self._place

    @property
    def line(self) -> int:
        """Where the mapping begins."""
        return self.line_of()

    def line_of(self, *names: str | int) -> int:
        """The line of a field, or of the nearest thing around it."""
        place = (*self._place, *names)
        while place and place not in self._source.lines:
            place = place[:-1]
        return self._source.lines.get(place, self._source.line)

    def report(self, message: str, *names: str | int) -> None:
        """Note a problem with a field."""
        place = show_place((*self._place, *names))
        self.problems.append(Problem(message, self.file, self.line_of(*names), place or None))

    def only(self, known: Sequence[str]) -> None:
        """Report the fields that are none of `known`."""
        for name in self._body if not self._ignores_unknown else ():
            if name not in known:
                self.report(f"the field '{name}' does not exist here; there are {', '.join(known)}", name)

    @property
    def names(self) -> list[str]:
        """The fields that are there, in their order."""
        return [str(name) for name in self._body]

    def has(self, name: str) -> bool:
        """Whether the field is there and not empty."""
        return self._body.get(name) is not None

    def value(self, name: str) -> Any:
        """What stands at a field, as YAML reads it; None where nothing does."""
        return self._body.get(name)

    def text(self, name: str, default: str = "") -> str:
        """A field of text."""
        value = self._body.get(name)
        if value is None:
            return default
        found = self._as_text((*self._place, name), value)
        if found is None:
            self.report("text is expected here", name)
            return default
        return found

    def _as_text(self, place: Place, value: Any) -> str | None:
        if isinstance(value, str):
            return value
        if isinstance(value, (dict, list)):
            return None
        written = str(value).lower() if isinstance(value, bool) else str(value)
        return "" if value is None else self._source.plain.get(place, written)

    def duration(self, name: str, default: int = 0) -> int:
        """A field with a duration, in milliseconds."""
        if not self.has(name):
            return default
        try:
            return duration_ms(self.text(name))
        except InvalidInput as error:
            self.report(error.message, name)
            return default

    def whole(self, name: str) -> int:
        """A field with a whole number from 0."""
        value = self._body.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            self.report("a whole number from 0 is expected here", name)
            return 0
        return value

    def number(self, name: str) -> float:
        """A field with a number; infinities and NaN are numbers, too."""
        try:
            return float(
                self.text(name, "0").replace(".inf", "inf").replace(".nan", "nan").replace(".NaN", "nan")
            )
        except ValueError:
            self.report("a number is expected here", name)
            return 0.0

    def flag(self, name: str) -> bool:
        """A field with true or false."""
        return self.text(name) in _TRUE

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        return [self._text_at(name, index, value) for index, value in enumerate(self.values(name))]

    def _text_at(self, name: str, index: int, value: Any) -> str:
        found = self._as_text((*self._place, name, index), value)
        if found is None:
            self.report("text is expected here", name, index)
        return found or ""

    def pairs(self, name: str) -> dict[str, str]:
        """A mapping of names to texts."""
        value = self._body.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.report("a mapping of names to texts is expected here", name)
            return {}
        found = {}
        for key, below in value.items():
            text = self._as_text((*self._place, name, key), below)
            if text is None:
                self.report("text is expected here", name, key)
            else:
                found[key] = text
        return found

    def below(self, name: str) -> Fields | None:
        """The mapping of a field; None where there is none."""
        value = self._body.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.report("a mapping is expected here", name)
            return None
        place = (*self._place, name)
        return Fields(self._source, place, value, self.problems, ignores_unknown=self._ignores_unknown)

    def source(self, *names: str | int) -> Source:
        """What stands at a field as a document of its own, with its lines."""
        place, body = (*self._place, *names), self._body
        for name in names:
            body = body[name]  # type: ignore[index]
        return Source(
            self.file,
            self.line_of(*names),
            body,
            {at[len(place) :]: line for at, line in self._source.lines.items() if at[: len(place)] == place},
            {at[len(place) :]: text for at, text in self._source.plain.items() if at[: len(place)] == place},
        )

    def items(self, name: str) -> Iterator[Fields]:
        """A list of mappings, one after another."""
        for index, value in enumerate(self.values(name)):
            if isinstance(value, dict):
                place = (*self._place, name, index)
                yield Fields(self._source, place, value, self.problems, ignores_unknown=self._ignores_unknown)
            else:
                self.report("a mapping is expected here", name, index)

    def values(self, name: str) -> list[Any]:
        """A list of anything."""
        value = self._body.get(name)
        if value is None:
            return []
        if not isinstance(value, list):
            self.report("a list is expected here; begin each item with -", name)
            return []
        return value


def open_document(
    file: str, text: str, *, ignores_unknown: bool = False, begins: str = "'groups:' or 'tests:'"
) -> Fields:
    """The one document of a file, which `begins` with such a field. Raises InvalidInput where YAML ends or is no
    mapping.
    """
    sources, problems = read_yaml(file, text, takes_infinite=True)
    if not problems and len(sources) > 1:
        problems = [Problem("the file has several documents; only one is read", file, sources[1].line)]
    source = sources[0] if sources else Source(file, 1, {})
    problems += source.problems
    if not problems and not isinstance(source.body, dict):
        problems = [Problem(f"a mapping is expected; begin with {begins}", file, source.line)]
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return Fields(source, (), source.body, [], ignores_unknown=ignores_unknown)
