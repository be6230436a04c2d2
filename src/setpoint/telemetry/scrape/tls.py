"""`tls_config` as what Python's ssl takes; `load` tries it, so that a bad certificate is told with its line."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

from setpoint.errors import InvalidInput
from setpoint.telemetry.scrape.spec import TlsConfig

__all__ = ["tls_context", "tls_state"]

_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}


def tls_state(tls: TlsConfig, folder: Path) -> list[tuple[int, int] | None]:
    """What differs when a file of `tls` was changed: time and size of each, None for one that is not there."""
    found: list[tuple[int, int] | None] = []
    for path in _files(tls, folder):
        try:
            status = path.stat()
            found.append((status.st_mtime_ns, status.st_size))
        except OSError:
            found.append(None)
    return found


def tls_context(tls: TlsConfig, folder: Path) -> ssl.SSLContext:
    """The context; files are relative to `folder`. Raises InvalidInput for certificates that cannot be used."""
    if tls == TlsConfig(server_name=tls.server_name):
        return _system_context()
    ca_file = None if tls.ca_file is None else str(folder / tls.ca_file)
    try:
        context = ssl.create_default_context(cafile=ca_file, cadata=tls.ca or None)
        if tls.cert_file and tls.key_file:
            context.load_cert_chain(folder / tls.cert_file, folder / tls.key_file)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(map(str, _files(tls, folder))) or "'ca'"
        raise InvalidInput(f"{files} cannot be used: {error}; name PEM files that can be read") from error
    if tls.insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if tls.min_version:
        context.minimum_version = _VERSIONS[tls.min_version]
    if tls.max_version:
        context.maximum_version = _VERSIONS[tls.max_version]
    return context


@cache
def _system_context() -> ssl.SSLContext:
    """The machine's certificates, which take tens of milliseconds to load."""
    return ssl.create_default_context()


def _files(tls: TlsConfig, folder: Path) -> list[Path]:
    return [folder / name for name in (tls.ca_file, tls.cert_file, tls.key_file) if name]
