"""TLS of the serving process: its certificate, refused clearly when it cannot be used, renewed without a restart."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog

from config.errors import UserError
from config.sections import ServingSettings

SOON_DAYS = 14
"""Serving warns of a certificate that expires within this many days."""
_FIRST_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Examined:
    """What a certificate is good for, by a handshake in memory."""

    expires_at: datetime | None
    problem: str
    """Why clients will refuse it, whatever they trust; empty when nothing is wrong."""

    @property
    def expires_soon(self) -> bool:
        """Whether it is time to renew it."""
        return self.expires_at is not None and self.expires_at - datetime.now(UTC) < timedelta(days=SOON_DAYS)


class Certificate:
    """The certificate in use. `context` stays the same object; `renew` puts changed files into it."""

    def __init__(self, settings: ServingSettings) -> None:
        """Load certificate and key. Raises `UserError` when one is missing, unreadable, or does not fit the other."""
        self._settings = settings
        self._seen = _stamps(settings)
        self.context = _loaded(settings)

    async def renew(self) -> None:
        """Load the files again if they changed; unusable ones change nothing. Runs on the event loop, where handshakes begin."""
        seen = _stamps(self._settings)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            examined = examine(self._settings)
            self.context.load_cert_chain(self._settings.tls_certificate, self._settings.tls_key)
        except (UserError, OSError) as error:
            log.warning("serving.certificate_unusable", reason=str(error), next="the earlier certificate stays in use")
            return
        log.info("serving.certificate_renewed")
        warn(examined)


def wanted(settings: ServingSettings) -> bool:
    """Return whether serving speaks TLS. Raises `UserError` when only one of the two files is named."""
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        named, missing = ("tls_certificate", "tls_key") if settings.tls_certificate else ("tls_key", "tls_certificate")
        message = f"serving.{named} is set and serving.{missing} is not; TLS needs both. Set it too, or clear both"
        raise UserError(message)
    return bool(settings.tls_certificate)


def examine(settings: ServingSettings) -> Examined:
    """Shake hands with oneself over the files. Raises `UserError` when they cannot be loaded."""
    into_server, into_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = _loaded(settings).wrap_bio(into_server, into_client, server_side=True)
    client = client_context(settings).wrap_bio(into_client, into_server)
    try:
        for _ in range(3):  # hello, the answer with the certificate, its check
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
    except ssl.SSLCertVerificationError as error:
        return Examined(None, error.verify_message)
    except ssl.SSLError as error:
        return Examined(None, str(error.reason))
    found = client.getpeercert() or {}
    return Examined(datetime.fromtimestamp(ssl.cert_time_to_seconds(str(found["notAfter"])), UTC), "")


def warn(examined: Examined) -> None:
    """Log what an operator must fix soon."""
    if examined.problem:
        log.warning("serving.certificate_refused", reason=examined.problem, next="clients will refuse it; renew it")
    elif examined.expires_soon:
        log.warning("serving.certificate_expires", at=str(examined.expires_at), next="renew it; it is loaded automatically")


def client_context(settings: ServingSettings) -> ssl.SSLContext:
    """Return how this installation's own commands reach its serving process: they trust that very certificate and no other.

    The name in it is not compared: the operator's own process is asked at a loopback address, which a certificate for the
    public name does not carry; whoever answers has its private key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if not settings.tls_certificate:
        context.load_default_certs()
        return context
    text = _readable("tls_certificate", settings.tls_certificate).decode("ascii", "replace")
    try:
        found = _FIRST_CERTIFICATE.search(text)
        context.load_verify_locations(cadata=found[0] if found else "")
    except (ssl.SSLError, ValueError):
        message = f"serving.tls_certificate {settings.tls_certificate} contains no PEM certificate; name the right file"
        raise UserError(message) from None
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def _loaded(settings: ServingSettings) -> ssl.SSLContext:
    # By themselves first: the library does not say which of the two it could not read.
    _readable("tls_certificate", settings.tls_certificate)
    _readable("tls_key", settings.tls_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    asked = False

    def no_passphrase() -> str:
        nonlocal asked
        asked = True
        return ""

    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, no_passphrase)
    except ssl.SSLError as error:
        certificate, key = f"serving.tls_certificate {settings.tls_certificate}", f"serving.tls_key {settings.tls_key}"
        if asked:
            message = f"{key} is locked by a passphrase; give the key without one, readable by this user only"
        elif error.reason == "KEY_VALUES_MISMATCH":
            message = f"{certificate} and {key} do not belong together; name the key that the certificate was made for"
        else:
            message = f"{certificate} and {key} cannot be loaded ({error.reason or 'not PEM'}); both must be PEM files"
        raise UserError(message) from None
    return context


def _stamps(settings: ServingSettings) -> tuple[tuple[int, int, int] | None, ...]:
    """Return what changes when a file is replaced or written."""
    found: list[tuple[int, int, int] | None] = []
    for path in (settings.tls_certificate, settings.tls_key):
        try:
            status = Path(path).stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_ino, status.st_mtime_ns, status.st_size))
    return tuple(found)


def _readable(name: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        message = f"serving.{name} {path} cannot be read ({error.strerror}). Give this user the right to read it, or name another"
        raise UserError(message) from None
