"""One file to import, as it was recognised: its format, its encoding, and how its fields or columns are separated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.errors import UserError
from config.files.durable import sha256_of_file
from consumers.formats.files import brat, conll, csv, docbin, encoding, json, parquet
from consumers.formats.files.open import open_import, uncompressed_name
from consumers.formats.rows import AnyRow

Format = Literal["jsonl", "csv", "parquet", "conll", "brat", "docbin"]
SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".conll": "conll", ".iob": "conll", ".iob2": "conll", ".bio": "conll",
    ".bmes": "conll", ".conllu": "conll", ".ann": "brat", ".spacy": "docbin",
}  # fmt: skip
_MAY_BE_TAGGED = frozenset({".tsv", ".txt", ".csv"})
_GUESSED: frozenset[Format] = frozenset({"csv", "conll"})
"""Formats of text that do not say that they are UTF-8."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How a user says that a file is to be read; what is left out is recognised."""

    format: Format | None = None
    header: bool = True
    delimiter: str | None = None
    encoding: str | None = None
    columns: tuple[str, ...] | None = None
    """Where tokens and tags (and sentences) stand: numbers in CoNLL, else names."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file whose rows can be read as often as they are needed."""

    path: Path
    format: Format
    encoding: encoding.Encoding
    header: bool
    dialect: csv.Dialect | None
    columns: conll.Columns | None
    outside: Mapping[str, str]
    said: tuple[str, ...]

    def rows(self, progress: Callable[[float], None] | None = None) -> Iterator[AnyRow]:
        """Yield every row, unreadable ones as `BadRow`. `progress` hears how much of the file is read, 0..1.

        Raises `UserError` when the file is missing or damaged.
        """
        if self.format == "brat":
            yield from brat.read(self.path, self.encoding.name)
        else:
            yield from self._from_file(progress)
        if progress is not None:
            progress(1.0)

    def digest(self) -> str:
        """Return the SHA-256 of all bytes that the rows come from."""
        if self.format != "brat":
            return sha256_of_file(self.path)
        found = hashlib.sha256()
        for entities in brat.files(self.path):
            for part in (entities, entities.with_suffix(".txt")):
                found.update(f"{part.name} {sha256_of_file(part)}\n".encode())
        return found.hexdigest()

    def _from_file(self, progress: Callable[[float], None] | None) -> Iterator[AnyRow]:
        with open_import(self.path, self.encoding.name) as file:
            if self.dialect is not None:
                rows: Iterator[AnyRow] = csv.read(file, self.dialect, header=self.header)
            elif self.columns is not None:
                rows = conll.read(file, self.columns, self.outside)
            else:
                rows = {"jsonl": json.read, "parquet": parquet.read, "docbin": docbin.read}[self.format](file)
            for row in rows:
                if progress is not None:
                    progress(file.share_read())
                yield row


def identify(path: Path, reading: Reading, outside: Mapping[str, str] | None = None) -> Source:
    """Return how a file is to be read, from the whole of it where that takes it. `outside` as `conll.recognise` says.

    Raises `UserError` when the file is missing, damaged, or of an unknown format.
    """
    chosen = reading.format or _format_of(path)
    found = encoding.named(reading.encoding) if reading.encoding else _encoding_of(path, chosen)
    if reading.format is None and _suffix(path) in _MAY_BE_TAGGED and chosen != "brat":
        with open_import(path, found.name) as file:
            chosen = "conll" if conll.looks_tagged(file) else chosen
    if chosen is None:
        message = f"the name {path.name} does not show the format; give --format {', '.join(sorted(set(SUFFIXES.values())))}"
        raise UserError(message)
    dialect = columns = None
    said = [found.said] if found.said else []
    if chosen == "csv":
        with open_import(path, found.name) as file:
            dialect = csv.recognise(file, reading.delimiter, header=reading.header)
        said += [dialect.said] if dialect.said else []
    if chosen == "conll":
        with open_import(path, found.name) as file:
            columns = conll.recognise(file, reading.columns, outside)
        with open_import(path, found.name) as file:
            columns = conll.described(file, columns)
        said += columns.said
    return Source(path, chosen, found, reading.header, dialect, columns, outside or {}, tuple(said))


def _suffix(path: Path) -> str:
    return uncompressed_name(path).suffix.lower()


def _format_of(path: Path) -> Format | None:
    """Return the format by a file's name, `csv` for a `.tsv` that may turn out to be CoNLL; None when the name shows none."""
    if path.is_dir() or (_suffix(path) == ".txt" and path.with_suffix(".ann").exists()):
        return "brat"
    return SUFFIXES.get(_suffix(path))


def _encoding_of(path: Path, format_: Format | None) -> encoding.Encoding:
    if format_ in {"parquet", "docbin"}:
        return encoding.Encoding("utf-8-sig")
    if format_ == "brat":
        return encoding.Encoding("utf-8")
    with open_import(path) as file:
        return encoding.recognise(file.binary, guess=format_ is None or format_ in _GUESSED)
