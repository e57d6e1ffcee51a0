"""Looks for words in every byte of every file of a folder: as they stand, and in whatever a file packs them into."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import lancedb
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

_ZSTD, _GZIP, _XZ, _BZIP2, _ZIP = b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"\xfd7zXZ", b"BZh", b"PK\x03\x04"
_PARQUET, _SQLITE = b"PAR1", b"SQLite format 3\x00"
UNREADABLE = "(a data file that no version of its table knows)"


def places_of(words: Sequence[str], folder: Path) -> dict[str, set[str]]:
    """Return the files, relative to `folder`, that hold any of the words, with the words they hold.

    The names of files count too. A file of a LanceDB table that no version knows cannot be read, and is told as such.
    """
    found: dict[str, set[str]] = defaultdict(set)
    forms = {word: (word.encode(), word.encode("utf-16-le")) for word in words}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        parts: Iterable[bytes] = [name.encode()]
        if path.is_file():
            parts = [name.encode(), *_contents(path)]
        elif path.suffix == ".lance":
            parts = _table(path)
            found.update({f"{name}/{file}": {UNREADABLE} for file in _unknown_files(path)})
        for part in parts:
            found_here = {word for word, spellings in forms.items() if any(spelling in part for spelling in spellings)}
            if found_here:
                found[name] |= found_here
    return dict(found)


def _contents(path: Path) -> Iterator[bytes]:
    content = path.read_bytes()
    yield content
    if content.startswith(_PARQUET):
        yield from _columns(pq.read_table(path))
    elif content.startswith(_SQLITE):
        yield from _rows(path)
    else:
        yield from _unpacked(content)


def _unpacked(content: bytes, depth: int = 0) -> Iterator[bytes]:
    """Yield what a packed file holds, packed files inside it too."""
    inner: list[bytes] = []
    if content.startswith(_GZIP):
        inner = [gzip.decompress(content)]
    elif content.startswith(_ZSTD):
        inner = [zstandard.ZstdDecompressor().decompressobj().decompress(content)]
    elif content.startswith(_XZ):
        inner = [lzma.decompress(content)]
    elif content.startswith(_BZIP2):
        inner = [bz2.decompress(content)]
    elif content.startswith(_ZIP):
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            inner = [packed.read(name) for name in packed.namelist()]
    elif content.startswith(b"\x89PNG"):
        inner = list(_png_texts(content))
    for part in inner:
        yield part
        if depth < 3:
            yield from _unpacked(part, depth + 1)


def _png_texts(content: bytes) -> Iterator[bytes]:
    at = 8
    while at < len(content):
        size, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        if kind in (b"zTXt", b"iTXt"):
            data = content[at + 8 : at + 8 + size]
            yield zlib.decompress(data.partition(b"\x00")[2][1:]) if kind == b"zTXt" else data
        at += 12 + size


def _rows(path: Path) -> Iterator[bytes]:
    """Yield every row's values: a long one lies on several pages of the file."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in connection.execute(f'SELECT * FROM "{table}"'):  # noqa: S608 - the file's own names
                for value in row:
                    if isinstance(value, bytes | str):
                        # Headers are kept in hex.
                        yield value if isinstance(value, bytes) else value.encode()


def _table(path: Path) -> Iterator[bytes]:
    """Yield the values of every version of a LanceDB table that is still on disk: on disk they are compressed."""
    table = lancedb.connect(path.parent).open_table(path.stem)
    for entry in table.list_versions():
        table.checkout(entry["version"])
        yield from _columns(table.to_arrow())


def _unknown_files(path: Path) -> list[str]:
    manifests = b"".join(manifest.read_bytes() for manifest in (path / "_versions").glob("*.manifest"))
    return [f"data/{file.name}" for file in (path / "data").glob("*") if file.name.encode() not in manifests]


def _columns(table: pa.Table) -> Iterator[bytes]:
    for column in table.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type) or pa.types.is_large_string(column.type):
            yield "\n".join(str(value) for value in column.to_pylist() if value is not None).encode()
