"""One task's versions on disk: whole folders, and which of them were good.

good.json           the versions that were loaded and answered, the present one first
v17-0123456789ab/   a whole version; the time of its `manifest.json` is when serving last said that it is the champion
.part-v18-.../      one that is being fetched; gone on with after a break or a restart
.gone-.../          one that is being removed
lock                held by the process that fetches

A file that two versions have in common is one file with two names, also across tasks: nothing here is ever written into once a
version is whole.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from perennial_artifact.durable import sync_folder, write_atomic
from perennial_artifact.manifest import MANIFEST_FILE
from perennial_artifact.sharing import Held
from perennial_client.errors import UnavailableError
from perennial_client.results import Champion

_GOOD_FILE = "good.json"
_LOCK_FILE = "lock"
_PART, _GONE = ".part-", ".gone-"
_VERSION = re.compile(r"(?P<task>[a-z][a-z0-9-]{0,62})/(?P<number>v[1-9][0-9]*)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOOK_S = 0.2


@dataclass(frozen=True, slots=True)
class Good:
    """A version that was loaded and answered."""

    champion: Champion
    confirmed_at: float
    """When serving last said that it is the champion, in seconds since the epoch."""


class Cache:
    """The folder. Several processes may share it: one at a time fetches, the others find what it fetched."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        """`keep` good versions stay, the present one included."""
        self._folder = folder
        self._keep = keep

    def good(self) -> list[Good]:
        """Return the good versions that are still here, the last one first."""
        found = []
        for champion in self._listed():
            with suppress(OSError):
                found.append(Good(champion, (self.folder(champion) / MANIFEST_FILE).stat().st_mtime))
        return found

    def confirm(self, champion: Champion) -> None:
        """Note that a good version is the champion now; remove good ones that need not stay. Raises `OSError`."""
        with suppress(OSError):  # only a later process reads the time
            os.utime(self.folder(champion) / MANIFEST_FILE)
        listed = self._listed()
        others = [one.champion for one in self.good() if one.champion.manifest_sha256 != champion.manifest_sha256]
        kept = [champion, *others][: self._keep]
        if kept == listed:
            return
        write_atomic(self._folder / _GOOD_FILE, (json.dumps([one.as_json() for one in kept], indent=1) + "\n").encode())
        for one in others[self._keep - 1 :]:
            self.remove(one)

    def _listed(self) -> list[Champion]:
        """Return what the note says, nothing when it cannot be read."""
        try:
            found = [Champion.of(entry) for entry in json.loads((self._folder / _GOOD_FILE).read_bytes())]
            # A note without versions was not written by this client.
            return [one for one in found if self.folder(one)]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return []

    def folder(self, champion: Champion) -> Path:
        """Return where a version lies, or would lie. Raises `ValueError` for what is not a version of its task."""
        known = _VERSION.fullmatch(champion.version)
        if known is None or known["task"] != champion.task or not _SHA256.fullmatch(champion.manifest_sha256):
            message = f"{champion.version!r} is not a version of task {champion.task!r}; check that url is Perennial's serving"
            raise ValueError(message)
        return self._folder / f"{known['number']}-{champion.manifest_sha256[:12]}"

    @contextmanager
    def fetching(self, champion: Champion, stop: threading.Event) -> Iterator[Path | None]:
        """Yield the folder to fetch a version into, or None when it is whole; no other process fetches meanwhile.

        What other fetches left, and versions that never were good, are removed. Raises `OSError`, and `UnavailableError` when
        `stop` is set while another process fetches.
        """
        import fcntl  # noqa: PLC0415 - POSIX only, and only models in process need it

        whole = self.folder(champion)
        if whole.is_dir():
            yield None
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / _LOCK_FILE).open("a") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if stop.wait(_LOOK_S):
                        what = "stopped while another process downloaded it"
                        raise UnavailableError(what, champion.version, "follow again") from None
            if whole.is_dir():
                yield None
                return
            part = whole.with_name(_PART + whole.name)
            needed = {part.name, *(self.folder(one.champion).name for one in self.good())}
            for path in self._folder.iterdir():
                if path.is_dir() and path.name not in needed:
                    _discard(path)
            part.mkdir(exist_ok=True)
            yield part

    def held(self) -> Held:
        """Return what whole versions hold here, of this task first and then of the others in the same cache."""
        own = sorted(self._folder.glob("v*-*"))
        others = (path for path in sorted(self._folder.parent.glob("*/v*-*")) if path.parent != self._folder)
        return Held(path for path in (*own, *others) if path.is_dir())

    def finish(self, part: Path, champion: Champion) -> None:
        """Give a fetched and synced folder its place."""
        part.rename(self.folder(champion))
        sync_folder(self._folder)
        sync_folder(self._folder.parent)

    def remove(self, champion: Champion) -> None:
        """Remove a version; it disappears at once, as a whole."""
        _discard(self.folder(champion))


def _discard(folder: Path) -> None:
    gone = folder.with_name(f"{_GONE}{secrets.token_hex(8)}")
    with suppress(OSError):  # another process was quicker, or nothing can be written: then it stays
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
