"""Targets that the name service lists (`dns_sd_configs`): records of type SRV, A, AAAA, MX or NS.

A name that does not exist has no targets; when no server answers, the targets that were found last hold.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import dns.asyncresolver
import dns.exception
import dns.resolver

from setpoint.telemetry.scrape.discover.model import Refreshed
from setpoint.telemetry.scrape.spec import DnsDiscovery
from setpoint.telemetry.scrape.target import ADDRESS, Group

__all__ = ["DnsTargets", "MakeResolver"]

MakeResolver = Callable[[], dns.asyncresolver.Resolver]
"""Makes a resolver; one is made for each refresh, so that a changed /etc/resolv.conf counts."""


class DnsTargets:
    """The targets of one entry of `dns_sd_configs`."""

    def __init__(self, spec: DnsDiscovery, make_resolver: MakeResolver = dns.asyncresolver.Resolver) -> None:
        self.every_ms = max(spec.refresh_interval, 1000)
        self._spec, self._make_resolver = spec, make_resolver
        self._known: dict[str, Group] = {}

    async def refresh(self) -> Refreshed:
        """Ask for every name, all at once."""
        try:
            resolver = self._make_resolver()
        except (OSError, dns.exception.DNSException) as error:
            return Refreshed(tuple(self._known.values()), (f"DNS: {error}",))
        names = dict.fromkeys(self._spec.names)
        told = await asyncio.gather(*(self._ask(resolver, name) for name in names))
        return Refreshed(tuple(self._known.values()), tuple(fault for fault in told if fault))

    async def close(self) -> None:
        """Nothing is held."""

    async def _ask(self, resolver: dns.asyncresolver.Resolver, name: str) -> str:
        """Asks for one name; what went wrong, or nothing."""
        kind = self._spec.type
        try:
            answer: Any = await resolver.resolve(name, kind, search=True)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            answer = ()
        except (dns.exception.DNSException, OSError, ValueError) as error:
            return f"DNS: the {kind} records of {name} cannot be found: {' '.join(str(error).split())[:300]}"
        records = [self._labels(name, record) for record in answer]
        self._known[name] = Group(tuple(records))
        return ""

    def _labels(self, name: str, record: Any) -> Mapping[str, str]:
        kind, port = self._spec.type, self._spec.port
        labels = {"__meta_dns_name": name}
        if kind == "SRV":
            host, port = str(record.target), record.port
            labels |= {"__meta_dns_srv_record_target": host, "__meta_dns_srv_record_port": str(port)}
        elif kind in ("MX", "NS"):
            host = str(record.exchange if kind == "MX" else record.target)
            labels[f"__meta_dns_{kind.lower()}_record_target"] = host
        else:
            host = str(record.address)
        host = host.rstrip(".")
        return {ADDRESS: f"[{host}]:{port}" if ":" in host else f"{host}:{port}", **labels}
