"""The manifest of a version: which files it has, and whether the ones here are those."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from perennial_client.answers import WRONG, decode, inert
from perennial_client.durable import sha256_of_file
from perennial_client.errors import ModelError

MANIFEST_FILE = "manifest.json"

MOST_FILES = 1_000
MOST_BYTES = 64 << 30
_LONGEST_NAME_BYTES, _LONGEST_PART_BYTES = 1_000, 255
"""What file systems take."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
# What the registry refuses to publish, refused here too: a file that some library would unpickle, which runs whatever is in it.
_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"})
_NO_PICKLES = frozenset({"lookups.bin"})
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


@dataclass(frozen=True, slots=True)
class File:
    """One file of a version."""

    name: str
    """Its path inside the version's folder: POSIX, relative."""
    sha256: str
    size_bytes: int


def parse(content: bytes, *, sha256: str, version: str) -> tuple[File, ...]:
    """Return the files. Raises `ModelError` when the bytes are not those of `sha256`, or name what must not be written here."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise _refused(version, f"{MANIFEST_FILE} is not the one on record (its SHA-256 differs)")
    try:
        body = decode(content)
        if body["format_version"] != 1:
            raise _refused(version, f"{MANIFEST_FILE} has format {inert(body['format_version'])[:80]}, and this client reads 1")
        if len(body["files"]) > MOST_FILES:
            raise _refused(version, f"it has {len(body['files'])} files; at most {MOST_FILES} are taken")
        files = tuple(File(name, entry["sha256"], entry["size_bytes"]) for name, entry in sorted(body["files"].items()))
    except WRONG as error:
        raise _refused(version, f"{MANIFEST_FILE} cannot be read ({type(error).__name__}: {inert(error)[:200]})") from None
    folders = {str(folder) for file in files for folder in PurePosixPath(file.name).parents}
    for file in files:
        path = PurePosixPath(file.name)
        if not _is_plain(file.name, path) or file.name in folders:
            raise _refused(version, f"{inert(file.name)[:200]!r} is not a plain relative path")
        if path.suffix.lower() in _PICKLE_SUFFIXES and path.name not in _NO_PICKLES:
            raise _refused(version, f"{file.name} is named like a pickle")
        sized = type(file.size_bytes) is int and file.size_bytes >= 0
        if not (sized and isinstance(file.sha256, str) and _SHA256.fullmatch(file.sha256)):
            raise _refused(version, f"{file.name} has no valid SHA-256 and size")
    if sum(file.size_bytes for file in files) > MOST_BYTES:
        raise _refused(version, f"its files have more than {MOST_BYTES} bytes together")
    return files


def _is_plain(name: str, path: PurePosixPath) -> bool:
    """Return whether a name leads to a file inside the folder, and nowhere else, on every file system."""
    if not name.isprintable() or "\\" in name or name in ("", ".", MANIFEST_FILE):
        return False
    short = len(name.encode()) <= _LONGEST_NAME_BYTES and all(len(part.encode()) <= _LONGEST_PART_BYTES for part in path.parts)
    return short and str(path) == name and not path.is_absolute() and ".." not in path.parts


def verify(folder: Path, *, sha256: str, version: str) -> None:
    """Read every byte in `folder` against its manifest. Raises `ModelError` naming what is missing, changed or in excess."""
    try:
        content = (folder / MANIFEST_FILE).read_bytes()
    except FileNotFoundError:
        raise _refused(version, f"{MANIFEST_FILE} is missing in {folder}") from None
    files = parse(content, sha256=sha256, version=version)
    found = _regular_files(folder, version) - {MANIFEST_FILE}
    for name in sorted(found ^ {file.name for file in files}):
        raise _refused(version, f"file {name} {'is not in the manifest' if name in found else 'is missing'}")
    for file in files:
        verify_file(folder / file.name, file, version)


def verify_file(path: Path, file: File, version: str) -> None:
    """Read one file against its entry. Raises `ModelError`, or `OSError` when it cannot be read."""
    if path.stat().st_size != file.size_bytes or sha256_of_file(path) != file.sha256:
        raise _refused(version, f"file {file.name} is not the one that was published (its SHA-256 differs)")
    with path.open("rb") as opened:
        if opened.read(2) in _PICKLE_STARTS:
            raise _refused(version, f"file {file.name} is a pickle")


def _regular_files(folder: Path, version: str) -> set[str]:
    found = set()
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(current) / name
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode):
                found.add(path.relative_to(folder).as_posix())
            elif not stat.S_ISDIR(mode):
                raise _refused(version, f"{path} is a link or no plain file")
    return found


def _refused(version: str, what: str) -> ModelError:
    return ModelError(
        what, version, "it is not used; what answers now goes on answering. Publish the version again, or roll back"
    )
