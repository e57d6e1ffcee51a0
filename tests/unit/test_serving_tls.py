"""The certificate: refused in words when it cannot be used, trusted by our own commands, renewed while it serves."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from config.errors import UserError
from config.sections import ServingSettings
from config.settings import load_settings
from daemon.serving.http import tls
from tests.support.certificates import Pair, expired, self_signed

pytestmark = pytest.mark.process


def settings(certificate: Any, key: Any) -> ServingSettings:
    return load_settings(serving={"tls_certificate": str(certificate), "tls_key": str(key)}).serving


def of(pair: Pair) -> ServingSettings:
    return settings(pair.certificate, pair.key)


@contextmanager
def answering(context: ssl.SSLContext) -> Iterator[int]:
    """Shake hands with whoever connects; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _address = listener.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as spoken:
                        spoken.sendall(b"hello")
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def greeted(port: int, context: ssl.SSLContext) -> bytes:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as spoken,
    ):
        return spoken.recv(5)


def test_without_files_there_is_no_tls_and_with_one_of_two_it_is_refused() -> None:
    assert not tls.wanted(settings("", ""))
    for certificate, key, said in (("c.pem", "", "tls_certificate is set and serving.tls_key is not"),
                                   ("", "k.pem", "tls_key is set and serving.tls_certificate is not")):  # fmt: skip
        with pytest.raises(UserError, match=said):
            tls.wanted(settings(certificate, key))


def test_files_that_cannot_be_used_are_named_with_the_remedy(tmp_path: Path) -> None:
    good, other = self_signed(tmp_path), self_signed(tmp_path, "other")
    locked = self_signed(tmp_path, "locked", passphrase="hush-hush")
    (tmp_path / "text").write_text("no certificate")
    for certificate, key, said in (
        (tmp_path / "nowhere", good.key, r"serving\.tls_certificate .*nowhere cannot be read \(No such file"),
        (good.certificate, tmp_path / "nowhere", r"serving\.tls_key .*nowhere cannot be read \(No such file"),
        (good.certificate, tmp_path, r"serving\.tls_key .* cannot be read \(Is a directory"),
        (good.certificate, other.key, r"served\.crt and serving\.tls_key .*other\.key do not belong together"),
        (tmp_path / "text", good.key, r"text and serving\.tls_key .* cannot be loaded .*must be PEM files"),
        (good.certificate, tmp_path / "text", r"cannot be loaded .*must be PEM files"),
        (locked.certificate, locked.key, r"locked\.key is locked by a passphrase; give the key without one"),
    ):
        with pytest.raises(UserError, match=said):
            tls.Certificate(settings(certificate, key))


def test_our_own_commands_trust_that_certificate_whatever_name_it_carries_and_no_other(tmp_path: Path) -> None:
    mine, other = self_signed(tmp_path), self_signed(tmp_path, "other")
    with answering(tls.Certificate(of(mine)).context) as port:
        assert greeted(port, tls.client_context(of(mine))) == b"hello"
        for stranger in (tls.client_context(of(other)), tls.client_context(settings("", ""))):
            with pytest.raises(ssl.SSLCertVerificationError):
                greeted(port, stranger)


def test_of_a_chain_only_the_first_certificate_is_trusted(tmp_path: Path) -> None:
    mine, issuer = self_signed(tmp_path), self_signed(tmp_path, "issuer")
    chain = tmp_path / "chain.pem"
    chain.write_text(mine.certificate.read_text() + issuer.certificate.read_text())
    with answering(tls.Certificate(of(issuer)).context) as port, pytest.raises(ssl.SSLCertVerificationError):
        greeted(port, tls.client_context(settings(chain, mine.key)))
    with answering(tls.Certificate(settings(chain, mine.key)).context) as port:
        assert greeted(port, tls.client_context(settings(chain, mine.key))) == b"hello"


def test_old_protocols_are_not_spoken(tmp_path: Path) -> None:
    assert tls.Certificate(of(self_signed(tmp_path))).context.minimum_version >= ssl.TLSVersion.TLSv1_2


def test_a_certificate_is_examined_for_what_clients_will_say(tmp_path: Path) -> None:
    long, short = tls.examine(of(self_signed(tmp_path))), tls.examine(of(self_signed(tmp_path, "short", days=3)))
    assert long.expires_at is not None
    assert timedelta(days=89) < long.expires_at - datetime.now(UTC) < timedelta(days=91)
    assert (long.problem, long.expires_soon, short.expires_soon) == ("", False, True)
    over = tls.examine(of(expired(tmp_path)))
    assert (over.expires_at, over.problem) == (None, "certificate has expired")


def test_what_an_operator_must_fix_is_warned_of(tmp_path: Path) -> None:
    with capture_logs() as logs:
        for examined in (tls.examine(of(pair)) for pair in (
            self_signed(tmp_path), self_signed(tmp_path, "short", days=3), expired(tmp_path)
        )):  # fmt: skip
            tls.warn(examined)
    assert [line["event"] for line in logs] == ["serving.certificate_expires", "serving.certificate_refused"]


def test_changed_files_are_used_without_a_restart_and_unusable_ones_are_not(tmp_path: Path) -> None:
    pair, renewed = self_signed(tmp_path), self_signed(tmp_path, "renewed")
    former = tls.client_context(of(pair))
    certificate = tls.Certificate(of(pair))
    with answering(certificate.context) as port, capture_logs() as logs:
        asyncio.run(certificate.renew())
        assert logs == []
        shutil.copy(renewed.certificate, pair.certificate)  # half-way: the key is not there yet
        for _ in range(2):
            asyncio.run(certificate.renew())
        assert greeted(port, former) == b"hello"
        shutil.copy(renewed.key, pair.key)
        asyncio.run(certificate.renew())
        assert greeted(port, tls.client_context(of(renewed))) == b"hello"
        with pytest.raises(ssl.SSLCertVerificationError):
            greeted(port, former)
        pair.certificate.unlink()
        asyncio.run(certificate.renew())
        assert greeted(port, tls.client_context(of(renewed))) == b"hello"
    assert [line["event"] for line in logs] == [
        "serving.certificate_unusable", "serving.certificate_renewed", "serving.certificate_unusable",
    ]  # fmt: skip
