"""Files on their way into a backup: copied and hashed, or linked to the very same bytes in this backup or an earlier one."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from config.errors import UserError
from config.files import durable
from config.files.sqlite_file import BUSY_TIMEOUT_S, translated_errors
from daemon.operations.backups.manifest import ARTIFACTS, FILE_NAME, Backup, BackupFile

_CHUNK_BYTES = 1 << 20
_SQLITE_BEGINS = b"SQLite format 3\0"
# Of processes that run, or of writes that were not complete.
_LEFT_OUT = frozenset({"serving.json", "last_backup.json"})
_JOURNAL = "-journal"
_LEFT_OUT_SUFFIXES = (".lock", ".tmp", _JOURNAL, "-wal", "-shm")
REPLACED_PREFIX = "replaced-"


class Copies:
    """The backup's folder as it fills."""

    def __init__(self, folder: Path, earlier: tuple[Path, Backup] | None = None) -> None:
        """`earlier` is the backup whose files are linked where they hold the same bytes."""
        self.folder = folder
        self.files: dict[str, BackupFile] = {}
        self._earlier = earlier
        self._models = (
            {file: earlier[0] / name for name, file in earlier[1].files.items() if name.startswith(f"{ARTIFACTS}/")}
            if earlier
            else {}
        )
        self._model_sizes = {file.size_bytes for file in self._models}

    def file(self, source: Path, name: str) -> None:
        """Take in one file that is not written to meanwhile. Raises FileNotFoundError when it has gone."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        known = self._earlier[1].files.get(name) if self._earlier is not None else None
        if self._earlier is not None and known is not None and source.stat().st_size == known.size_bytes:
            same = durable.sha256_of_file(source) == known.sha256
            if same and self._name_again(self._earlier[0] / name, target):
                self.files[name] = known
                return
        self._copy(source, name, target)

    def model_file(self, source: Path, name: str) -> None:
        """Take in one file of a published model. What several versions hold, here or in the earlier backup, lies there once."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        size_bytes = source.stat().st_size
        if size_bytes in self._model_sizes:
            found = BackupFile(sha256=durable.sha256_of_file(source), size_bytes=size_bytes)
            if found in self._models and self._name_again(self._models[found], target):
                self.files[name] = found
                return
        self._copy(source, name, target)
        self._models[self.files[name]] = target
        self._model_sizes.add(size_bytes)

    def _copy(self, source: Path, name: str, target: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as reader, target.open("xb") as writer:
            while chunk := reader.read(_CHUNK_BYTES):
                writer.write(chunk)
                digest.update(chunk)
                size += len(chunk)
        shutil.copymode(source, target)
        self.files[name] = BackupFile(sha256=digest.hexdigest(), size_bytes=size)

    def database(self, source: Path, name: str) -> None:
        """Take in one SQLite file as of one moment, by its online backup. Raises `RetryError`, `StopError`."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        # Not to be made where it is missing.
        address = f"{source.resolve().as_uri()}?mode=rw"
        with (
            translated_errors(source),
            closing(sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT_S)) as reader,
            closing(sqlite3.connect(target)) as writer,
        ):
            # At once: in parts it would begin again after every write of another process.
            reader.backup(writer, pages=-1)
        shutil.copymode(source, target)
        self.note(name)

    def any(self, source: Path, name: str) -> None:
        """Take in a file of whatever kind. Raises as the other two do."""
        with source.open("rb") as reader:
            is_database = reader.read(len(_SQLITE_BEGINS)) == _SQLITE_BEGINS
        (self.database if is_database else self.file)(source, name)

    def tidy(self) -> None:
        """Remove the emptied journals that SQLite leaves beside a file that was open."""
        remove_journals(self.folder, self.files)

    def note(self, name: str) -> None:
        """Record a file that was written into the folder otherwise."""
        path = self.folder / name
        self.files[name] = BackupFile(sha256=durable.sha256_of_file(path), size_bytes=path.stat().st_size)

    def _name_again(self, known: Path, target: Path) -> bool:
        """Make `target` a second name of a file that a backup holds; return whether it is one."""
        try:
            os.link(known, target)
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno == errno.EMLINK:
                return False
            if error.errno != errno.EXDEV or self._earlier is None:
                raise
            folder = self._earlier[0]
            message = f"--link-to: {folder} is on another file system than {self.folder.parent}; leave the option out"
            raise UserError(message) from None
        return True


def remove_journals(folder: Path, names: Iterable[str]) -> None:
    """Remove the emptied journals beside SQLite files that nobody has open."""
    for name in names:
        (folder / f"{name}{_JOURNAL}").unlink(missing_ok=True)


def others(data_dir: Path, *, taken: frozenset[Path]) -> Iterator[Path]:
    """Yield the files of a data folder that are below none of `taken` and belong into a backup."""
    for current, folders, files in os.walk(data_dir):
        here = Path(current)
        folders[:] = sorted(name for name in folders if here / name not in taken and not name.startswith((".", REPLACED_PREFIX)))
        for name in sorted(files):
            path = here / name
            if path in taken or name in _LEFT_OUT or name.startswith(".") or name.endswith(_LEFT_OUT_SUFFIXES):
                continue
            if not path.is_symlink() and path.name != FILE_NAME:
                yield path
