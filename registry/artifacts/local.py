"""Published models in one folder of this machine; files that versions have in common lie there once."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Collection
from pathlib import Path

from config.errors import RunFailedError
from config.files import durable, scratch
from perennial_artifact.manifest import MANIFEST_FILE, File, Manifest
from perennial_artifact.sharing import Held
from registry.artifacts import manifest as manifests
from registry.artifacts.protocol import Published

_ARTIFACT_ID = re.compile(r"[a-z][a-z0-9-]{0,62}/v[1-9][0-9]*-[0-9a-f]{12}")
_TEMPORARY_PREFIX = ".tmp-"
_COPY_CHUNK_BYTES = 1 << 20


class LocalArtifacts:
    """An artifact store in a folder of this machine: what is fetched is read where it was published, without a copy.

    Every version is a whole folder. A file that another version holds too is the same file under a second name (a hard link):
    the file system itself counts who needs it, and removing a version takes nothing from another.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def publish(self, task: str, number: int, source: Path) -> Published:
        """Copy the model folder `source` in, durably; the same content published again changes nothing.

        Order: copy, or name again, into a temporary folder beside the target, fsync files and folders, manifest last, rename,
        fsync the parent. Killed at any point it leaves the whole artifact or only a temporary folder for `sweep_temporary`.
        Raises `RunFailedError` when the folder holds what must not be published, and what the disk raises.
        """
        names = manifests.publishable(source)
        parent = self._root / task
        parent.mkdir(parents=True, exist_ok=True)
        with scratch.scratch_folder(parent, _TEMPORARY_PREFIX) as temporary:
            held = Held(map(self.folder, self.list()))
            manifest = Manifest(task=task, number=number, files=_take_in(source, names, temporary, held))
            durable.sync_tree(temporary)
            content = manifest.to_bytes()
            durable.write_atomic(temporary / MANIFEST_FILE, content)
            digest = hashlib.sha256(content).hexdigest()
            artifact_id = f"{task}/v{number}-{digest[:12]}"
            target = self.folder(artifact_id)
            try:
                os.rename(temporary, target)  # noqa: PTH104 - must fail, not replace, where the target is there already
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                # Published before by a run that was killed before it could say so.
                self.fetch(artifact_id, digest)
        durable.sync_folder(parent)
        durable.sync_folder(self._root)
        return Published(artifact_id, target, digest, manifest.size_bytes)

    def fetch(self, artifact_id: str, manifest_sha256: str) -> Path:
        """Read every byte of an artifact against its manifest and return its folder; nothing in it is executed.

        Raises `RunFailedError` that names the file that is missing, changed or in excess.
        """
        folder = self.folder(artifact_id)
        manifests.verify(folder, artifact_id, manifest_sha256)
        return folder

    def folder(self, artifact_id: str) -> Path:
        """Return where an artifact lies (or would lie). Raises `RunFailedError` for what is not an artifact id."""
        if not _ARTIFACT_ID.fullmatch(artifact_id):
            message = (
                f"{artifact_id!r} is not an artifact id (such as news-topics/v17-0123456789ab); the registry's record is damaged"
            )
            raise RunFailedError(message)
        return self._root / artifact_id

    def list(self) -> list[str]:
        """Return the ids of all artifacts on disk, known to the registry or not."""
        found = (path.relative_to(self._root).as_posix() for path in self._root.glob("*/v*") if path.is_dir())
        return sorted(artifact_id for artifact_id in found if _ARTIFACT_ID.fullmatch(artifact_id))

    def size_bytes(self, artifact_id: str) -> int:
        """Return the bytes that an artifact's files have, shared with others or not; 0 when it is not there."""
        return sum(path.lstat().st_size for path in self.folder(artifact_id).rglob("*"))

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact; it disappears at once, as a whole. Nothing happens when it is not there."""
        folder = self.folder(artifact_id)
        doomed = folder.parent / f"{_TEMPORARY_PREFIX}{secrets.token_hex(8)}"
        try:
            folder.rename(doomed)
        except FileNotFoundError:
            return
        durable.sync_folder(folder.parent)
        shutil.rmtree(doomed)

    def sweep_temporary(self) -> int:
        """Remove what killed processes left half copied or half removed; return how many folders that were."""
        return scratch.sweep(self._root.glob(f"*/{_TEMPORARY_PREFIX}*"))


def _take_in(source: Path, names: Collection[str], target: Path, held: Held) -> dict[str, File]:
    """Copy the files `names`, or name again what is held; return SHA-256 and size of each, of the very bytes in `target`."""
    taken: dict[str, File] = {}
    for name in sorted(names):
        path = source / name
        size_bytes = path.stat().st_size
        if held.may_hold(size_bytes):
            file = File(name, durable.sha256_of_file(path), size_bytes)
            if held.place(file, target / name):
                taken[name] = file
                continue
        taken[name] = _copy(path, target / name, name)
    return taken


def _copy(source: Path, target: Path, name: str) -> File:
    digest, size = hashlib.sha256(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_COPY_CHUNK_BYTES):
            writer.write(chunk)
            digest.update(chunk)
            size += len(chunk)
    return File(name, digest.hexdigest(), size)
