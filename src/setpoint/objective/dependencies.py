"""Which services a service calls to answer its own callers: who explains or judges one asks here what is behind it.

Declared by `spec.dependsOn` of a Service, an extension of ours to OpenSLO. A cycle is allowed, as some systems have
them: `all_of` passes each service once, and `cycle` names it for a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from setpoint.objective.resolve import Declared
from setpoint.objective.spec.service import Service

__all__ = ["Dependencies", "dependencies_of"]


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Services and what they call; `direct` has no empty entries, and nobody calls itself."""

    direct: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def declared(cls, documents: Iterable[Declared]) -> Dependencies:
        """Those of all live documents."""
        found = {
            spec.metadata.name: tuple(dict.fromkeys(spec.spec.depends_on))
            for spec in (document.spec for document in documents)
            if isinstance(spec, Service) and spec.spec.depends_on
        }
        return cls(found)

    @classmethod
    def behind(cls, service: Service, find: Callable[[str], object]) -> Dependencies:
        """Those that are reached from one service; `find` gives the model of a Service by name."""
        found: dict[str, tuple[str, ...]] = {}
        waiting: list[object] = [service]
        while waiting:
            one = waiting.pop()
            if isinstance(one, Service) and one.spec.depends_on and one.metadata.name not in found:
                found[one.metadata.name] = tuple(one.spec.depends_on)
                waiting += map(find, one.spec.depends_on)
        return cls(found)

    def and_also(self, others: Dependencies) -> Dependencies:
        """With those of `others` behind the own ones of each service."""
        if not others.direct:
            return self
        services = dict.fromkeys((*self.direct, *others.direct))
        return Dependencies(
            {name: tuple(dict.fromkeys((*self.of(name), *others.of(name)))) for name in services}
        )

    def of(self, service: str) -> tuple[str, ...]:
        """What a service calls itself, in the order of its document."""
        return self.direct.get(service, ())

    def all_of(self, service: str) -> tuple[str, ...]:
        """Everything that stands behind a service, nearest first; never the service itself."""
        found: dict[str, None] = {service: None}
        level = [service]
        while level:
            level = [name for one in level for name in self.of(one) if name not in found]
            found.update(dict.fromkeys(level))
        return tuple(found)[1:]

    def callers_of(self, service: str) -> tuple[str, ...]:
        """The services that call it themselves, by name."""
        return tuple(sorted(name for name, called in self.direct.items() if service in called))

    def path(self, service: str, dependency: str) -> tuple[str, ...]:
        """The shortest way from a service to one behind it, both included; empty where there is none."""
        ways: dict[str, tuple[str, ...]] = {service: (service,)}
        level = [service]
        while level and dependency not in ways:
            further = []
            for one in level:
                for name in self.of(one):
                    if name not in ways:
                        ways[name] = (*ways[one], name)
                        further.append(name)
            level = further
        return ways.get(dependency, ()) if dependency != service else ()

    def cycle(self, service: str) -> tuple[str, ...]:
        """The shortest way from a service back to itself, such as (a, b, a); empty where there is none."""
        ways = (self.path(name, service) for name in self.of(service))
        return min(((service, *way) for way in ways if way), key=len, default=())


def dependencies_of(service: str, documents: Iterable[Declared]) -> tuple[str, ...]:
    """What the documents say that a service calls itself; `Dependencies` answers more than one question."""
    return Dependencies.declared(documents).of(service)
