"""Opening a file to import: `.xz` and `.gz` are unpacked on the way, and how much has been read is known."""

from __future__ import annotations

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
