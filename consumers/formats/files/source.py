"""One file to import, as it was recognised: its format, its encoding, and how its fields or columns are separated."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from config.errors import UserError
from config.files.durable import sha256_of_file
from consumers.formats.files import brat, conll, conll_columns, csv, docbin, encoding, folder, json, parquet
from consumers.formats.files.open import open_import, refuse_other_kinds, uncompressed_name
from consumers.formats.rows import AnyRow, renumbered

Format = Literal["jsonl", "csv", "parquet", "conll", "brat", "docbin"]
SUFFIXES: Mapping[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "csv",
    ".parquet": "parquet", ".pq": "parquet", ".conll": "conll", ".iob": "conll", ".iob2": "conll", ".bio": "conll",
    ".bmes": "conll", ".conllu": "conll", ".ann": "brat", ".spacy": "docbin",
}  # fmt: skip
_MAY_BE_TAGGED = frozenset({".tsv", ".txt", ".csv"})
_SHOWN_FILES = 8
_OF_FOLDERS: tuple[Format, ...] = ("jsonl", "csv", "parquet", "docbin")
"""Formats whose rows say themselves what they belong to, so that several files can be one set of rows."""
_BINARY: frozenset[Format | None] = frozenset({"parquet", "docbin", "brat"})
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
    splits: tuple[str, ...] | None = None
    """Parts of a folder, such as `train`; all if left out."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or a folder of files, whose rows can be read as often as they are needed."""

    path: Path
    format: Format
    encoding: encoding.Encoding
    header: bool
    dialect: csv.Dialect | None
    columns: conll_columns.Columns | None
    outside: Mapping[str, str]
    said: tuple[str, ...]
    parts: tuple[tuple[folder.Part, Source], ...] = ()
    """The files of a folder; each of the same format."""

    @property
    def files(self) -> list[Path]:
        """Return the file, or the files, that rows are read from."""
        return [part.path for part, _source in self.parts] or [self.path]

    def rows(self, progress: Callable[[float], None] | None = None) -> Iterator[AnyRow]:
        """Yield every row, unreadable ones as `BadRow`. `progress` hears how much of the file is read, 0..1.

        Raises `UserError` when the file is missing or damaged.
        """
        if self.parts:
            yield from self._from_parts(progress)
        elif self.format == "brat":
            yield from brat.read(self.path, self.encoding.name)
        else:
            yield from self._from_file(progress)
        if progress is not None:
            progress(1.0)

    def digest(self) -> str:
        """Return the SHA-256 of all bytes that the rows come from."""
        if self.format != "brat" and not self.parts:
            return sha256_of_file(self.path)
        found = hashlib.sha256()
        if self.parts:
            for one, source in self.parts:
                found.update(f"{one.name} {source.digest()}\n".encode("utf-8", "surrogateescape"))
            return found.hexdigest()
        for entities in brat.files(self.path):
            for part in (entities, entities.with_suffix(".txt")):
                found.update(f"{part.name} {sha256_of_file(part)}\n".encode())
        return found.hexdigest()

    def _from_parts(self, progress: Callable[[float], None] | None) -> Iterator[AnyRow]:
        """Yield the rows of all files, numbered on from one to the next."""
        before = 0
        for at, (_part, source) in enumerate(self.parts):
            if progress is not None:
                progress(at / len(self.parts))
            highest = before
            for row in source.rows():
                highest = max(highest, before + row.line)
                yield renumbered(row, before + row.line)
            before = highest

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
    """Return how a file is to be read, from the whole of it where that takes it. `outside` as `conll_columns.recognise` says.

    Raises `UserError` when the file is missing, damaged, or of an unknown format.
    """
    if path.is_dir() and reading.format in (None, *_OF_FOLDERS) and not _is_brat(path):
        return _of_folder(path, reading)
    chosen = reading.format or _format_of(path)
    if chosen not in _BINARY:
        refuse_other_kinds(path)
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
            columns = conll_columns.recognise(file, reading.columns, outside)
        with open_import(path, found.name) as file:
            columns = conll.described(file, columns)
        said += columns.said
    return Source(path, chosen, found, reading.header, dialect, columns, outside or {}, tuple(said))


def _is_brat(path: Path) -> bool:
    return next(path.rglob("*.ann"), None) is not None


def _of_folder(path: Path, reading: Reading) -> Source:
    found, unread = folder.parts(path, reading.splits)
    parts = [(part, identify(part.path, reading)) for part in found]
    first = parts[0][1]
    if others := [part.name for part, source in parts if source.format != first.format]:
        message = f"{path} holds files of several formats ({parts[0][0].name}, {others[0]}); name one of them, or its folder"
        raise UserError(message)
    counts: dict[str, int] = {}
    for part, _source in parts:
        counts[part.split] = counts.get(part.split, 0) + 1
    told = ", ".join(f"{split} {number}" for split, number in counts.items())
    more = ", ..." if len(unread) > _SHOWN_FILES else ""
    left = (f"files of another kind, not read: {', '.join(unread[:_SHOWN_FILES])}{more}",) if unread else ()
    return replace(first, path=path, parts=tuple(parts), said=(f"files: {told}", *left, *first.said))


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
