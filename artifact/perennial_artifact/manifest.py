"""The manifest of an artifact: which files it has, whether the ones here are those, and what may be among them.

Plain files only, and nothing that runs when it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from perennial_artifact.durable import sha256_of_file
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert

MANIFEST_FILE = "manifest.json"

MOST_FILES = 1_000
MOST_BYTES = 64 << 30
_FORMAT_VERSION = 1
_LONGEST_NAME_BYTES, _LONGEST_PART_BYTES = 1_000, 255
"""What file systems take."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
# Some library would unpickle such a file, and a pickle runs whatever is in it.
_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"})
# spaCy's lookup tables carry the suffix too, but are msgpack.
_NO_PICKLES = frozenset({"lookups.bin"})
# Every pickle since protocol 2 begins with 0x80 and its protocol's number; no msgpack file that spaCy writes does.
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


@dataclass(frozen=True, slots=True)
class File:
    """One file of an artifact."""

    name: str
    """Its path inside the artifact's folder: POSIX, relative."""
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """All files of a version by their names, in their order."""

    task: str
    number: int
    files: Mapping[str, File]

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files.values())

    def to_bytes(self) -> bytes:
        """Return the one serialised form: the same files always give the same bytes, and so the same hash."""
        files = {file.name: {"sha256": file.sha256, "size_bytes": file.size_bytes} for file in self.files.values()}
        body = {"format_version": _FORMAT_VERSION, "task": self.task, "number": self.number, "files": files}
        return (json.dumps(body, indent=1, sort_keys=True) + "\n").encode()


def parse(content: bytes, *, sha256: str) -> Manifest:
    """Return the manifest. Raises `UnusableError` when the bytes are not those of `sha256`, or name what must not be written."""
    if hashlib.sha256(content).hexdigest() != sha256:
        message = f"{MANIFEST_FILE} is not the one on record (its SHA-256 differs)"
        raise UnusableError(message)
    try:
        body = decode(content)
        if body["format_version"] != _FORMAT_VERSION:
            other = inert(body["format_version"])[:80]
            message = f"{MANIFEST_FILE} has format {other}, and this program reads {_FORMAT_VERSION}; upgrade it"
            raise UnusableError(message)
        if len(body["files"]) > MOST_FILES:
            message = f"it has {len(body['files'])} files; at most {MOST_FILES} are allowed"
            raise UnusableError(message)
        files = [File(name, entry["sha256"], entry["size_bytes"]) for name, entry in sorted(body["files"].items())]
        found = Manifest(str(body["task"]), int(body["number"]), {file.name: file for file in files})
    except WRONG as error:
        message = f"{MANIFEST_FILE} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
        raise UnusableError(message) from None
    _check(files)
    return found


def read(folder: Path, *, sha256: str) -> Manifest:
    """Return the manifest in `folder` if its hash is `sha256`. Raises `UnusableError`."""
    path = folder / MANIFEST_FILE
    try:
        if stat.S_ISLNK(path.lstat().st_mode):
            message = f"{MANIFEST_FILE} is a symbolic link"
            raise UnusableError(message)
        content = path.read_bytes()
    except FileNotFoundError:
        message = f"{MANIFEST_FILE} is missing in {folder}"
        raise UnusableError(message) from None
    return parse(content, sha256=sha256)


def unchecked(folder: Path) -> Mapping[str, File]:
    """Return the files that the manifest in `folder` names, whatever its hash; none where it cannot be read.

    For who looks for content and reads every byte of what is found.
    """
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
        return parse(content, sha256=hashlib.sha256(content).hexdigest()).files
    except (OSError, UnusableError):
        return {}


def verify(folder: Path, *, sha256: str) -> None:
    """Read every byte in `folder` against its manifest; nothing in it is executed.

    Raises `UnusableError` naming what is missing, changed or in excess, and `OSError` for what cannot be read.
    """
    manifest = read(folder, sha256=sha256)
    found = regular_files(folder) - {MANIFEST_FILE}
    for name in sorted(found ^ manifest.files.keys()):
        message = f"file {name} {'is not in the manifest' if name in found else 'is missing'}"
        raise UnusableError(message)
    for file in manifest.files.values():
        verify_file(folder / file.name, file)


def verify_file(path: Path, file: File) -> None:
    """Read one file against its entry. Raises `UnusableError`, or `OSError` when it cannot be read."""
    if path.stat().st_size != file.size_bytes or sha256_of_file(path) != file.sha256:
        message = f"file {file.name} is not the one that was published (its SHA-256 differs)"
        raise UnusableError(message)
    if is_pickle(path):
        message = f"file {file.name} is a pickle"
        raise UnusableError(message)


def regular_files(folder: Path) -> set[str]:
    """Return the paths of all files below `folder` (POSIX, relative). Raises `UnusableError` for a link or a special file."""
    found = set()
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(current) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.add(path.relative_to(folder).as_posix())
            elif not stat.S_ISDIR(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "not a plain file"
                message = f"{path.relative_to(folder)} is {what}; only plain files are taken, whose bytes are their own"
                raise UnusableError(message)
    return found


def is_pickle(path: Path) -> bool:
    """Return whether a file is named like a pickle, or begins like one."""
    if _is_named_like_a_pickle(PurePosixPath(path.name)):
        return True
    with path.open("rb") as file:
        return file.read(2) in _PICKLE_STARTS


def is_plain(name: str) -> bool:
    """Return whether a name leads to a file inside its folder, and nowhere else, on every file system."""
    path = PurePosixPath(name)
    if not name.isprintable() or "\\" in name or name in ("", "."):
        return False
    short = len(name.encode()) <= _LONGEST_NAME_BYTES and all(len(part.encode()) <= _LONGEST_PART_BYTES for part in path.parts)
    return short and str(path) == name and not path.is_absolute() and ".." not in path.parts


def _check(files: Iterable[File]) -> None:
    """Raise `UnusableError` for what must not be written to a disk."""
    folders = {str(folder) for file in files for folder in PurePosixPath(file.name).parents}
    total_bytes = 0
    for file in files:
        if not is_plain(file.name) or file.name == MANIFEST_FILE or file.name in folders:
            message = f"{inert(file.name)[:200]!r} is not a plain relative path"
            raise UnusableError(message)
        if _is_named_like_a_pickle(PurePosixPath(file.name)):
            message = f"{file.name} is named like a pickle"
            raise UnusableError(message)
        sized = type(file.size_bytes) is int and file.size_bytes >= 0
        if not (sized and isinstance(file.sha256, str) and _SHA256.fullmatch(file.sha256)):
            message = f"{file.name} has no valid SHA-256 and size"
            raise UnusableError(message)
        total_bytes += file.size_bytes
    if total_bytes > MOST_BYTES:
        message = f"its files are larger than {MOST_BYTES} bytes in total"
        raise UnusableError(message)


def _is_named_like_a_pickle(path: PurePosixPath) -> bool:
    return path.suffix.lower() in _PICKLE_SUFFIXES and path.name not in _NO_PICKLES
