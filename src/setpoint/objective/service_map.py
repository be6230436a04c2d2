"""What depends on what, as far as anybody told: `app` hands it every document, attribution and advice ask it.

Declared dependencies (`spec.dependsOn`) and those that traces show stand together, the declared ones first.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from setpoint.objective.dependencies import Dependencies
from setpoint.objective.resolve import Declared

__all__ = ["ServiceMap", "Traced"]


class Traced(Protocol):
    """What traces show; quick to ask."""

    @property
    def looked_ms(self) -> int | None:
        """When traces were last looked at; None: never."""
        ...

    def known(self) -> Dependencies:
        """Who calls whom, as far as they show."""
        ...


class ServiceMap:
    """See above; safe to use from several threads."""

    def __init__(self, traced: Traced | None = None) -> None:
        """Without `traced` only what is declared is known."""
        self._traced = traced
        self._declared = Dependencies()

    def follow(self, documents: Iterable[Declared]) -> None:
        """Every live document has changed to these."""
        self._declared = Dependencies.declared(documents)

    def known(self) -> Dependencies:
        """All dependencies of this moment."""
        return self._declared if self._traced is None else self._declared.and_also(self._traced.known())

    @property
    def traced_ms(self) -> int | None:
        """When traces were last looked at; None: never."""
        return None if self._traced is None else self._traced.looked_ms

    def dependencies_of(self, service: str) -> tuple[str, ...]:
        """What a service calls itself."""
        return self.known().of(service)
