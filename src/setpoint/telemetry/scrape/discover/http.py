"""Targets that a web service lists as JSON (`http_sd_configs`); when it fails, the last list holds."""

from __future__ import annotations

from pathlib import Path

from setpoint.errors import InvalidInput, SetpointError
from setpoint.telemetry.scrape.discover.model import Refreshed, read_json_groups
from setpoint.telemetry.scrape.fetch import Answer, Fetcher, Room
from setpoint.telemetry.scrape.spec import HttpDiscovery
from setpoint.telemetry.scrape.target import Group

__all__ = ["HttpTargets"]

_BODY_LIMIT_BYTES = 32 << 20


class HttpTargets:
    """The targets of one entry of `http_sd_configs`."""

    def __init__(self, spec: HttpDiscovery, folder: Path, room: Room) -> None:
        self.every_ms = max(spec.refresh_interval, 1000)
        self._url = spec.url
        self._fetcher = Fetcher(spec, folder, room)
        self._groups: tuple[Group, ...] = ()
        self._headers = {
            "Accept": "application/json",
            "Accept-Encoding": "gzip",
            "X-Prometheus-Refresh-Interval-Seconds": f"{self.every_ms / 1000:g}",
        }

    async def refresh(self) -> Refreshed:
        """Ask for the list, within one interval."""
        try:
            await self._fetcher.refresh()
            async with self._fetcher.get(
                self._url, self._headers, self.every_ms, _BODY_LIMIT_BYTES
            ) as answer:
                self._groups = self._read(answer)
        except SetpointError as error:
            return Refreshed(self._groups, (f"{self._url}: {error.message}",))
        return Refreshed(self._groups)

    async def close(self) -> None:
        """Close the connection."""
        await self._fetcher.close()

    def _read(self, answer: Answer) -> tuple[Group, ...]:
        media = answer.content_type.partition(";")[0].strip().lower()
        if media != "application/json":
            raise InvalidInput(f"the Content-Type is '{media[:80]}' and not application/json")
        try:
            text = answer.inflated(_BODY_LIMIT_BYTES).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise InvalidInput("the body is not UTF-8") from None
        return read_json_groups(self._url, text, {"__meta_url": self._url})
