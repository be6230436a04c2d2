"""What depends on what, as far as anybody told: `app` hands it every document, attribution and advice ask it.

Declared dependencies (`spec.dependsOn`) and those that traces show stand together, the declared ones first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from setpoint.objective.dependencies import Dependencies
from setpoint.objective.resolve import Declared

__all__ = ["ServiceMap"]


class ServiceMap:
    """See above; safe to use from several threads."""

    def __init__(self, traced: Callable[[], Dependencies] = Dependencies) -> None:
        """`traced` gives what traces show; it must be quick."""
        self._traced = traced
        self._declared = Dependencies()

    def follow(self, documents: Iterable[Declared]) -> None:
        """Every live document has changed to these."""
        self._declared = Dependencies.declared(documents)

    def known(self) -> Dependencies:
        """All dependencies of this moment."""
        return self._declared.and_also(self._traced())

    def dependencies_of(self, service: str) -> tuple[str, ...]:
        """What a service calls itself."""
        return self.known().of(service)
