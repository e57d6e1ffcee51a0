"""The manifest of an artifact, and what may be in one: plain files only, nothing that runs when it is loaded."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from config.errors import RunFailedError

MANIFEST_FILE = "manifest.json"

_PICKLE_SUFFIXES = frozenset({".pkl", ".pickle", ".pt", ".pth", ".bin", ".ckpt", ".joblib"})
# spaCy's lookup tables carry the suffix too, but are msgpack.
_NO_PICKLES = frozenset({"lookups.bin"})
# Every pickle since protocol 2 begins with 0x80 and its protocol's number; no msgpack file that spaCy writes does.
_PICKLE_STARTS = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


class ManifestFile(BaseModel):
    """One file of an artifact."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    size_bytes: Annotated[int, Field(ge=0)]


class Manifest(BaseModel):
    """All files of an artifact by their path inside it (POSIX, relative)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    task: str
    number: int
    files: dict[str, ManifestFile]

    @field_validator("files")
    @classmethod
    def _stay_inside(cls, files: dict[str, ManifestFile]) -> dict[str, ManifestFile]:
        check_plain_paths(files, besides=MANIFEST_FILE)
        return files

    @property
    def size_bytes(self) -> int:
        """Bytes of all files together."""
        return sum(file.size_bytes for file in self.files.values())

    def to_bytes(self) -> bytes:
        """Return the one serialised form: the same files always give the same bytes, and so the same hash."""
        return (json.dumps(self.model_dump(), indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def read(cls, folder: Path, artifact_id: str, sha256: str) -> Self:
        """Return the manifest in `folder` if its hash is `sha256`. Raises `RunFailedError`."""
        path = folder / MANIFEST_FILE
        try:
            if stat.S_ISLNK(path.lstat().st_mode):
                raise RunFailedError(_refused(artifact_id, f"{MANIFEST_FILE} is a symbolic link"))
            content = path.read_bytes()
        except FileNotFoundError:
            raise RunFailedError(_refused(artifact_id, f"{MANIFEST_FILE} is missing in {folder}")) from None
        if hashlib.sha256(content).hexdigest() != sha256:
            raise RunFailedError(_refused(artifact_id, f"{MANIFEST_FILE} is not the one on record (its SHA-256 differs)"))
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise RunFailedError(_refused(artifact_id, f"{MANIFEST_FILE} is not valid: {error.errors()[0]['msg']}")) from None


def check_plain_paths(names: Iterable[str], *, besides: str) -> None:
    """Raise `ValueError` for a name that could lead out of its folder, or is that of the manifest itself, `besides`."""
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or "\\" in name or str(path) != name or name in ("", ".", besides):
            message = f"{name!r} is not a plain relative path"
            raise ValueError(message)


def regular_files(folder: Path) -> set[str]:
    """Return the paths of all files below `folder` (POSIX, relative). Raises `RunFailedError` for a link or a special file."""
    found = set()
    for current, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(current) / name
            mode = path.lstat().st_mode
            relative = path.relative_to(folder).as_posix()
            if stat.S_ISREG(mode):
                found.add(relative)
            elif not stat.S_ISDIR(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "not a plain file"
                message = f"{folder}: {relative} is {what}; an artifact holds plain files only, so that its bytes are its own"
                raise RunFailedError(message)
    return found


def check_publishable(source: Path) -> None:
    """Refuse (`RunFailedError`) a folder that is empty, or holds a pickle, a link or a manifest of its own."""
    if not source.is_dir():
        message = f"there is no model folder {source} to publish"
        raise RunFailedError(message)
    names = regular_files(source)
    if not names:
        message = f"the model folder {source} is empty; training wrote no model"
        raise RunFailedError(message)
    for name in sorted(names):
        if name == MANIFEST_FILE:
            message = f"{source} holds a {MANIFEST_FILE} already; that name is the registry's own. Save the model without it"
            raise RunFailedError(message)
        if _is_pickle(source / name):
            message = (
                f"{source}: {name} is a pickle, or named like one, and loading a pickle runs whatever is in it; nothing was "
                "published. Save weights as safetensors (or spaCy's own format, or ONNX) and keep checkpoints out of this folder"
            )
            raise RunFailedError(message)


def _is_pickle(path: Path) -> bool:
    if path.suffix.lower() in _PICKLE_SUFFIXES and path.name not in _NO_PICKLES:
        return True
    with path.open("rb") as file:
        return file.read(2) in _PICKLE_STARTS


def _refused(artifact_id: str, what: str) -> str:
    return f"artifact {artifact_id} is not loaded: {what}. Restore its folder from a backup, or roll back to another version"
