"""A prometheus.yml to jobs: reads it with line numbers, says what is wrong in it and what of it is not used.

`scraper` calls `load_file` at start and at each reload. Everything in the file counts: what changes which
samples would be stored (an unknown discovery, a proxy) is refused, what only concerns other parts of
Prometheus is named in a warning. All scalars are taken as the text that was written, as Prometheus does, so
that a label `version: 1.10` stays `1.10`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from setpoint.errors import InvalidInput, Problem
from setpoint.resource.explain import explain
from setpoint.resource.model import Place, line_at, show_place
from setpoint.resource.read import Source, read_yaml
from setpoint.telemetry.scrape.spec import PROTOCOLS, Global, PrometheusFile, ScrapeConfig
from setpoint.telemetry.scrape.tls import tls_context
from setpoint.telemetry.scrape.units import show_duration

__all__ = ["Job", "Loaded", "load_file", "plain_text", "read_text"]

_BYTES_MAX = 4 << 20
_INTERVAL_MS, _TIMEOUT_MS = 60_000, 10_000
_INHERITED = (
    "body_size_limit", "sample_limit", "target_limit", "label_limit", "label_name_length_limit",
    "label_value_length_limit", "keep_dropped_targets",
)  # fmt: skip

_OTHER_PARTS = "it concerns other parts of Prometheus"
_NOT_USED: Mapping[str, Mapping[str, str]] = {
    "file": {
        "rule_files": "rules are read from where the setting rule_files says (setpoint up --rule-files)",
        "alerting": _OTHER_PARTS,
        "remote_write": "Setpoint is where samples end; keep it in Prometheus",
        "remote_read": _OTHER_PARTS,
        "storage": _OTHER_PARTS,
        "tracing": _OTHER_PARTS,
        "otlp": _OTHER_PARTS,
        "runtime": _OTHER_PARTS,
    },
    "global": {
        "external_labels": "Prometheus adds them when it sends samples elsewhere, and Setpoint sends none; "
        "write them as labels of static_configs if series shall have them",
        "evaluation_interval": _OTHER_PARTS,
        "rule_query_offset": _OTHER_PARTS,
        "query_log_file": _OTHER_PARTS,
    },
    "scrape": {
        "scrape_failure_log_file": "failures are on the page /targets and in the log",
        "extra_scrape_metrics": "they are always stored",
        "scrape_native_histograms": "the text formats have none",
        "scrape_classic_histograms": "classic histograms are always stored",
        "always_scrape_classic_histograms": "classic histograms are always stored",
        "convert_classic_histograms_to_nhcb": "histograms are stored as they are exposed",
        "native_histogram_bucket_limit": "the text formats have none",
        "native_histogram_min_bucket_factor": "the text formats have none",
        "metric_name_validation_scheme": "every UTF-8 name is taken",
        "metric_name_escaping_scheme": "names are stored as they are exposed",
    },
}
_REFUSED = {
    "proxy_url": "scraping through a proxy is not supported; run Setpoint where it reaches the targets",
    "proxy_from_environment": "scraping through a proxy is not supported; remove it",
    "proxy_connect_header": "scraping through a proxy is not supported; remove it",
    "no_proxy": "scraping through a proxy is not supported; remove it",
    "oauth2": "OAuth 2.0 is not supported; use authorization with a credentials_file that something renews",
    "http_headers": "headers of your own are not supported; use authorization or params",
}
_DISCOVERIES = ("static_configs", "file_sd_configs", "http_sd_configs", "dns_sd_configs")


@dataclass(frozen=True, slots=True)
class Job:
    """A scrape config with everything that it inherits; relative paths are those of `folder`."""

    spec: ScrapeConfig
    folder: Path

    @property
    def name(self) -> str:
        """The job's name."""
        return self.spec.job_name


@dataclass(frozen=True, slots=True)
class Loaded:
    """The jobs of a file, what of it is not used, and the files that were read, the first one given."""

    jobs: tuple[Job, ...]
    warnings: tuple[Problem, ...]
    files: tuple[Path, ...]


def load_file(path: Path) -> Loaded:
    """The jobs that `path` declares. Raises InvalidInput with every problem, by file and line."""
    folder = path.absolute().parent
    warnings: list[Problem] = []
    main, source = _read(path, warnings)
    configs = [
        (config, source, ("scrape_configs", index)) for index, config in enumerate(main.scrape_configs)
    ]
    files = [path]
    for pattern in main.scrape_config_files:
        for extra in sorted(folder.glob(pattern) if not Path(pattern).is_absolute() else _glob(pattern)):
            more, its_source = _read(extra, warnings, is_extra=True)
            files.append(extra)
            configs += [
                (config, its_source, ("scrape_configs", index))
                for index, config in enumerate(more.scrape_configs)
            ]
    problems = list(_check_global(main.global_, source))
    jobs: dict[str, Job] = {}
    for config, its_source, place in configs:
        effective = _inherit(config, main.global_)
        problems += _check_job(effective, folder, its_source, place)
        if effective.job_name in jobs:
            problems.append(
                _problem(
                    its_source,
                    f"the job '{effective.job_name}' is declared twice; rename one",
                    *place,
                    "job_name",
                )
            )
        jobs[effective.job_name] = Job(effective, folder)
    if problems:
        raise InvalidInput(problems=tuple(problems))
    return Loaded(tuple(jobs.values()), tuple(warnings), tuple(files))


def read_text(path: Path) -> str:
    """The text of a file. Raises InvalidInput when it cannot be read, is not UTF-8 or too large."""
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        message = f"cannot be read: {reason}; check the path and its rights"
        raise InvalidInput(problems=(Problem(message, str(path)),)) from error
    if len(raw) > _BYTES_MAX:
        raise InvalidInput(problems=(Problem(f"is larger than {_BYTES_MAX >> 20} MiB", str(path)),))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidInput(problems=(Problem("is not UTF-8; save it as UTF-8", str(path), line),)) from error


def plain_text(source: Source, value: Any, place: Place = ()) -> Any:
    """`value` with every scalar as the text that was written; keys without a value are left out."""
    if isinstance(value, dict):
        found = {key: plain_text(source, item, (*place, key)) for key, item in value.items()}
        # Only an empty expression differs from one that is not there: it matches the empty text alone.
        return {
            key: "" if item is None else item
            for key, item in found.items()
            if item is not None or key == "regex"
        }
    if isinstance(value, list):
        return [plain_text(source, item, (*place, index)) for index, item in enumerate(value)]
    if value is None:
        return None
    return source.plain.get(place, value) if not isinstance(value, str) else value


def _read(path: Path, warnings: list[Problem], *, is_extra: bool = False) -> tuple[PrometheusFile, Source]:
    sources, problems = read_yaml(str(path), read_text(path))
    problems = [*(problem for source in sources for problem in source.problems), *problems]
    if len(sources) > 1:
        problems.append(Problem("holds several documents; keep one", str(path), sources[1].line))
    if problems:
        raise InvalidInput(problems=tuple(problems))
    source = sources[0] if sources else Source(str(path), 1, {})
    if not isinstance(source.body, dict):
        raise InvalidInput(
            problems=(Problem("expected a mapping with scrape_configs", str(path), source.line),)
        )
    source.body = plain_text(source, source.body)
    problems = list(_sort_out(source, warnings, is_extra))
    try:
        parsed = PrometheusFile.model_validate(source.body)
    except ValidationError as error:
        problems += [explain(fault, source, PrometheusFile) for fault in error.errors(include_url=False)]
    if problems:
        ordered = sorted(problems, key=lambda problem: problem.line or 0)
        raise InvalidInput(problems=tuple(ordered))
    return parsed, source


def _sort_out(source: Source, warnings: list[Problem], is_extra: bool) -> Iterator[Problem]:
    """Takes what is not used out of the body, with a warning, and tells what is refused."""
    body = source.body
    if is_extra:
        for key in [key for key in body if key != "scrape_configs"]:
            del body[key]
            yield _problem(source, "a file of scrape_config_files has scrape_configs only; remove this", key)
    _leave_out(source, body, (), _NOT_USED["file"], warnings)
    if isinstance(body.get("global"), dict):
        _leave_out(
            source, body["global"], ("global",), {**_NOT_USED["global"], **_NOT_USED["scrape"]}, warnings
        )
    jobs = body.get("scrape_configs")
    for index, job in enumerate(jobs if isinstance(jobs, list) else ()):
        if not isinstance(job, dict):
            continue
        place: Place = ("scrape_configs", index)
        _leave_out(source, job, place, _NOT_USED["scrape"], warnings)
        yield from _refused(source, job, place)
        for number, found in enumerate(job.get("http_sd_configs") or ()):
            if isinstance(found, dict):
                yield from _refused(source, found, (*place, "http_sd_configs", number))


def _leave_out(
    source: Source, part: dict[str, Any], place: Place, reasons: Mapping[str, str], warnings: list[Problem]
) -> None:
    for key in [key for key in part if key in reasons]:
        del part[key]
        warnings.append(_problem(source, f"is not used: {reasons[key]}", *place, key))


def _refused(source: Source, part: dict[str, Any], place: Place) -> Iterator[Problem]:
    for key in list(part):
        if key.endswith("_sd_configs") and key not in _DISCOVERIES:
            message = (
                f"this discovery is not supported; supported are {', '.join(_DISCOVERIES)}. "
                "Let something that knows the targets write a file for file_sd_configs"
            )
        elif key in _REFUSED:
            message = _REFUSED[key]
        else:
            continue
        del part[key]
        yield _problem(source, message, *place, key)


def _inherit(config: ScrapeConfig, defaults: Global) -> ScrapeConfig:
    """`config` with the values of `global`, and Prometheus's defaults, where it has none of its own."""
    interval_ms = config.scrape_interval or defaults.scrape_interval or _INTERVAL_MS
    timeout_ms = config.scrape_timeout or min(defaults.scrape_timeout or _TIMEOUT_MS, interval_ms)
    update: dict[str, Any] = {name: getattr(config, name) or getattr(defaults, name) for name in _INHERITED}
    protocols = config.scrape_protocols or defaults.scrape_protocols or PROTOCOLS
    return config.model_copy(
        update=update
        | {"scrape_interval": interval_ms, "scrape_timeout": timeout_ms, "scrape_protocols": protocols}
    )


def _check_global(found: Global, source: Source) -> Iterator[Problem]:
    if found.scrape_timeout > (found.scrape_interval or _INTERVAL_MS):
        yield _too_long(
            source, found.scrape_timeout, found.scrape_interval or _INTERVAL_MS, "global", "scrape_timeout"
        )


def _check_job(config: ScrapeConfig, folder: Path, source: Source, place: Place) -> Iterator[Problem]:
    if config.scrape_timeout > config.scrape_interval:
        yield _too_long(source, config.scrape_timeout, config.scrape_interval, *place, "scrape_timeout")
    clients = [(config.tls_config, place)]
    clients += [
        (found.tls_config, (*place, "http_sd_configs", index))
        for index, found in enumerate(config.http_sd_configs)
    ]
    for tls, its_place in clients:
        try:
            tls_context(tls, folder)
        except InvalidInput as error:
            yield _problem(source, error.message, *its_place, "tls_config")


def _too_long(source: Source, timeout_ms: int, interval_ms: int, *place: str | int) -> Problem:
    return _problem(
        source,
        f"the timeout ({show_duration(timeout_ms)}) is longer than the interval "
        f"({show_duration(interval_ms)}); shorten it",
        *place,
    )


def _problem(source: Source, message: str, *place: str | int) -> Problem:
    return Problem(message, source.file, line_at(source.lines, place, source.line), show_place(place))


def _glob(pattern: str) -> Iterator[Path]:
    path = Path(pattern)
    return path.parent.glob(path.name)
