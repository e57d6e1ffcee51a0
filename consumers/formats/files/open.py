"""Opening a file to import: `.xz` and `.gz` are unpacked on the way, and how much has been read is known."""

from __future__ import annotations

import codecs
import contextlib
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TextIO, cast

from config.errors import UserError

COMPRESSIONS = (".xz", ".gz")
_HEAD_BYTES = 4_096
_WORKBOOK = b"xl/"
_KNOWN: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "packed with gzip; let its name end in .gz"),
    (b"\xfd7zXZ\x00", "packed with xz; let its name end in .xz"),
    (b"PK\x03\x04", "a ZIP archive; unpack it"),
    (b"BZh", "packed with bzip2; unpack it"),
    (b"\x28\xb5\x2f\xfd", "packed with Zstandard; unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it"),
    (b"Rar!", "a RAR archive; unpack it"),
    (b"%PDF-", "a PDF document; save its rows as CSV or JSON"),
    (b"\xd0\xcf\x11\xe0", "an old Office document, such as an Excel workbook; save its sheet as CSV"),
    (b"SQLite format 3", "an SQLite database; save its rows as CSV or JSON"),
    (b"PAR1", "a Parquet file; let its name end in .parquet, or give --format parquet"),
    (b"<!doctype html", "an HTML page, such as a server sends in place of a file; fetch the file again"),
    (b"<html", "an HTML page, such as a server sends in place of a file; fetch the file again"),
)
"""What files of other kinds begin with, in lower case where case does not matter."""


class ImportFile:
    """An open file to import, unpacked while it is read."""

    def __init__(self, path: Path, raw: BinaryIO, encoding: str) -> None:
        """Read from `raw`, the open file at `path`, whose text is in `encoding`."""
        self.path = path
        self._encoding = encoding
        self._raw = raw
        self._size = max(path.stat().st_size, 1)
        self.binary = _unpacked(raw, path.suffix.lower())
        self._text: TextIO | None = None

    def text(self) -> TextIO:
        """Return the content as text: a byte-order mark removed, line ends kept as they are.

        Bytes that are not in the encoding become lone surrogates, so that one bad row does not end the import: see `is_decoded`.
        """
        self._text = io.TextIOWrapper(self.binary, encoding=self._encoding, errors="surrogateescape", newline="")
        return self._text

    def share_read(self) -> float:
        """Return how much of the file has been read, 0..1."""
        return min(self._raw.tell() / self._size, 1.0)

    def close(self) -> None:
        """Release what was opened on top of the raw file."""
        (self._text or self.binary).close()


def _unpacked(raw: BinaryIO, suffix: str) -> BinaryIO:
    if suffix == ".xz":
        return cast("BinaryIO", lzma.open(raw, "rb"))
    if suffix == ".gz":
        return cast("BinaryIO", gzip.open(raw, "rb"))
    return raw


@contextmanager
def open_import(path: Path, encoding: str = "utf-8-sig") -> Iterator[ImportFile]:
    """Open `path` for reading. Raises `UserError` when it is missing, unreadable, or (while it is read) damaged."""
    try:
        raw = path.open("rb")
    except OSError as error:
        message = f"{path} cannot be opened: {error.strerror or error}; nothing was imported from it"
        raise UserError(message) from None
    with raw:
        try:
            with contextlib.closing(ImportFile(path, raw, encoding)) as file:
                yield file
        except (lzma.LZMAError, gzip.BadGzipFile, zlib.error, EOFError) as error:
            message = f"{path} is damaged or not a {path.suffix} file ({error}); rows before the damage were read. Fetch it again"
            raise UserError(message) from None
        except UnicodeError as error:
            message = f"{path} is not in {encoding} ({error}); rows before the fault were read. Name its encoding with --encoding"
            raise UserError(message) from None


def uncompressed_name(path: Path) -> Path:
    """Return the name of the file inside: `eng.train.xz` is `eng.train`."""
    return path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path


def is_decoded(text: str) -> bool:
    """Return whether all bytes of a text that `ImportFile.text` gave were in the file's encoding."""
    return text.isascii() or not any("\udc80" <= character <= "\udcff" for character in text)


def refuse_other_kinds(path: Path) -> None:
    """Raise `UserError` where the first bytes of a file of text show that it is something else, saying what."""
    with open_import(path) as file:
        head = file.binary.read(_HEAD_BYTES)
    begins = head.removeprefix(codecs.BOM_UTF8).lstrip(b" \t\r\n")
    known = next((what for sign, what in _KNOWN if begins.startswith(sign) or begins[: len(sign)].lower() == sign), None)
    if begins.startswith(b"PK\x03\x04") and _WORKBOOK in head:
        known = "an Excel workbook; save its sheet as CSV"
    if head and not head.strip(b"\x00"):
        known = "of zero bytes only, as after a crash of the machine that wrote it; fetch it again"
    if known is not None:
        message = f"{path} is {known}. Nothing was imported from it"
        raise UserError(message)
