"""What became of the parts of a foreign document: the notes that `setpoint import` prints beside what it made."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from setpoint.errors import Problem
from setpoint.resource.fields import Fields
from setpoint.resource.model import Place, show_place

__all__ = ["Note", "Notes", "one_line"]

Kind = Literal["lost", "changed", "idle"]


@dataclass(frozen=True, slots=True)
class Note:
    """What became of a part of a document at `file`:`line`.

    `lost`: it is missing in what was made. `changed`: it is there and means something slightly different, or had to
    be written differently. `idle`: it has no meaning for Setpoint, and nothing is missing without it.
    `document` is what it was about, such as the name of the SLO.
    """

    kind: Kind
    message: str
    file: str
    line: int
    path: str = ""
    document: str = ""

    def __str__(self) -> str:
        return str(Problem(self.message, self.file, self.line, self.path or None))


@dataclass(slots=True)
class Notes:
    """Notes of a document as they are found."""

    found: list[Note] = field(default_factory=list)
    document: str = ""

    def add(self, kind: Kind, fields: Fields, message: str, *names: str | int) -> None:
        """Note something about a field of `fields`, or about all of them."""
        place: Place = (*fields.place, *names)
        line = fields.line_of(*names)
        self.found.append(
            Note(kind, one_line(message), fields.file, line, show_place(place) or "", self.document)
        )

    def lost(self, fields: Fields, message: str, *names: str | int) -> None:
        """It is missing in what was made."""
        self.add("lost", fields, message, *names)

    def changed(self, fields: Fields, message: str, *names: str | int) -> None:
        """It is there, and different."""
        self.add("changed", fields, message, *names)

    def idle(self, fields: Fields, message: str, *names: str | int) -> None:
        """It has no meaning here."""
        self.add("idle", fields, message, *names)

    def only(self, fields: Fields, known: Iterable[str]) -> None:
        """Note the fields that are none of `known`: nobody knows what they would have meant."""
        names = list(known)
        for name in fields.names:
            if name not in names:
                near = difflib.get_close_matches(name, names, 1, 0.7)
                hint = f"; did you mean '{near[0]}'?" if near else f"; known are {', '.join(names)}"
                self.lost(fields, f"the field '{one_line(name)}' is not known here{hint}", name)


def one_line(text: str) -> str:
    """`text` without line ends and other characters that would disturb a terminal or a comment."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
