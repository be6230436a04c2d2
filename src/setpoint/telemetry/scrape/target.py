"""What discovery found to targets: labels before and after relabelling, the URL, interval and timeout.

`scraper` calls `make_targets` for a job whenever one of its discoveries has news. Everything follows
Prometheus's scrape/target.go: which labels a target starts with, that `__meta_*` ends here, and that what
does not start with `__` becomes part of every series.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode

from setpoint.telemetry.scrape.load import Job
from setpoint.telemetry.scrape.relabel import relabel
from setpoint.telemetry.scrape.units import read_duration_ms, show_duration

__all__ = ["ADDRESS", "Found", "Group", "Target", "discovered_labels", "make_targets"]

ADDRESS = "__address__"
_SCHEME, _PATH, _PARAM, _META = "__scheme__", "__metrics_path__", "__param_", "__meta_"
_INTERVAL, _TIMEOUT = "__scrape_interval__", "__scrape_timeout__"
_PATH_SAFE = "/$&+,:;=@-_.~"


@dataclass(frozen=True, slots=True)
class Group:
    """Targets that were found together: one set of labels each, and labels for all of them."""

    targets: tuple[Mapping[str, str], ...]
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, addresses: Iterable[str], labels: Mapping[str, str] | None = None) -> Group:
        """A group of plain addresses."""
        return cls(tuple({ADDRESS: address} for address in addresses), labels or {})


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One thing to scrape. `labels` are all that relabelling left, `public` those that its series get."""

    job: Job
    discovered: Mapping[str, str]
    labels: Mapping[str, str]
    public: Mapping[str, str]
    url: str
    interval_ms: int
    timeout_ms: int
    identity: bytes
    """16 bytes that differ between targets of different labels or URL, the same in every process."""

    @property
    def offset_ms(self) -> int:
        """Where in its interval it is scraped: targets are spread, and keep their place over restarts."""
        return int.from_bytes(self.identity[:8], "little") % self.interval_ms


@dataclass(frozen=True, slots=True)
class Found:
    """The targets of a job, the discovered labels of those that relabelling dropped, and what went wrong."""

    targets: tuple[Target, ...]
    dropped: tuple[Mapping[str, str], ...]
    faults: tuple[str, ...]


def make_targets(job: Job, groups: Iterable[Group]) -> Found:
    """The targets of `job` in what its discoveries found, each once."""
    targets: dict[bytes, Target] = {}
    dropped: list[Mapping[str, str]] = []
    faults: list[str] = []
    for group in groups:
        for labels in group.targets:
            discovered = discovered_labels(job, {**group.labels, **labels})
            try:
                target = _make(job, discovered)
            except ValueError as error:
                faults.append(f"the target {discovered.get(ADDRESS, '')!r} of job {job.name!r}: {error}")
                continue
            if target is None:
                dropped.append(discovered)
            else:
                targets.setdefault(target.identity, target)
    return Found(tuple(targets.values()), tuple(dropped), tuple(faults))


def discovered_labels(job: Job, found: Mapping[str, str]) -> dict[str, str]:
    """What relabelling starts from: the labels that were found, and those of the job where they lack."""
    spec = job.spec
    own = {
        "job": spec.job_name,
        _INTERVAL: show_duration(spec.scrape_interval),
        _TIMEOUT: show_duration(spec.scrape_timeout),
        _PATH: spec.metrics_path,
        _SCHEME: spec.scheme,
    } | {f"{_PARAM}{name}": values[0] for name, values in spec.params.items() if values}
    labels = {name: value for name, value in found.items() if value}
    return {**{name: value for name, value in own.items() if value}, **labels}


def _make(job: Job, discovered: Mapping[str, str]) -> Target | None:
    """The target, or None when relabelling drops it. Raises ValueError for one that cannot be scraped."""
    labels = dict(discovered)
    if not relabel(labels, job.spec.relabel_configs):
        return None
    address = labels.get(ADDRESS, "")
    if not address:
        raise ValueError("has no address after relabelling")
    if "/" in address:
        raise ValueError("is no address: HOST:PORT, without scheme and path")
    scheme = labels.get(_SCHEME, "")
    if scheme not in ("http", "https"):
        raise ValueError(f"the scheme {scheme!r} is neither http nor https")
    interval_ms, timeout_ms = _duration_ms(labels, _INTERVAL), _duration_ms(labels, _TIMEOUT)
    if timeout_ms > interval_ms:
        raise ValueError(
            f"its timeout ({labels[_TIMEOUT]}) is longer than its interval ({labels[_INTERVAL]})"
        )
    labels = {name: value for name, value in labels.items() if not name.startswith(_META)}
    labels.setdefault("instance", address)
    for name, value in labels.items():
        _refuse_broken_text(name, value)
    public = {name: labels[name] for name in sorted(labels) if not name.startswith("__")}
    url = _url(job, labels)
    return Target(job, discovered, labels, public, url, interval_ms, timeout_ms, _identity(labels, url))


def _duration_ms(labels: Mapping[str, str], name: str) -> int:
    duration_ms = read_duration_ms(labels.get(name, ""))
    if not duration_ms:
        raise ValueError(f"{name} is 0")
    return duration_ms


def _refuse_broken_text(name: str, value: str) -> None:
    try:
        name.encode()
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the label {name!r} is not valid Unicode") from None


def _url(job: Job, labels: Mapping[str, str]) -> str:
    parameters = {name: list(values) for name, values in job.spec.params.items()}
    for name, value in labels.items():
        if name.startswith(_PARAM):
            parameters[name.removeprefix(_PARAM)] = [
                value,
                *parameters.get(name.removeprefix(_PARAM), [])[1:],
            ]
    path = labels.get(_PATH, "")
    if path and not path.startswith("/"):
        path = f"/{path}"
    query = urlencode(sorted(parameters.items()), doseq=True)
    base = f"{labels[_SCHEME]}://{labels[ADDRESS]}{quote(path, safe=_PATH_SAFE)}"
    return f"{base}?{query}" if query else base


def _identity(labels: Mapping[str, str], url: str) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for text in (*(part for name in sorted(labels) for part in (name, labels[name])), url):
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(4, "little"))
        digest.update(encoded)
    return digest.digest()
