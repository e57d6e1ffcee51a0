"""Self-signed certificates, made by the openssl command."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.support.missing import missing


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM files."""

    certificate: Path
    key: Path


def self_signed(folder: Path, name: str = "served", *, days: int = 90, passphrase: str = "", host: str = "news.example") -> Pair:
    """Make a certificate for `host` (a name or address), good for so many days.

    Where openssl is not installed, skip, or fail in CI.
    """
    kind = "IP" if host.replace(".", "").isdigit() else "DNS"
    pair = Pair(folder / f"{name}.crt", folder / f"{name}.key")
    _openssl(
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-keyout", str(pair.key), "-out",
        str(pair.certificate), "-days", str(days), "-subj", f"/CN={host}", "-addext", f"subjectAltName={kind}:{host}",
        *(["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]),
    )  # fmt: skip
    return pair


def expired(folder: Path) -> Pair:
    """Make a certificate whose time ended in 2021."""
    pair = self_signed(folder, "expired")
    request = folder / "expired.csr"
    _openssl("req", "-new", "-key", str(pair.key), "-out", str(request), "-subj", "/CN=news.example")
    (folder / "authority.cnf").write_text(
        "[ca]\ndefault_ca=own\n[own]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n"
        "[any]\ncommonName=supplied\n"
    )
    (folder / "index.txt").write_text("")
    (folder / "serial").write_text("01\n")
    _openssl(
        "ca", "-batch", "-selfsign", "-config", "authority.cnf", "-keyfile", pair.key.name, "-in", request.name, "-out",
        pair.certificate.name, "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext", folder=folder,
    )  # fmt: skip
    return pair


def _openssl(*arguments: str, folder: Path | None = None) -> None:
    if shutil.which("openssl") is None:
        missing("the command openssl is not installed; on Debian: apt-get install -y openssl")
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=60)
