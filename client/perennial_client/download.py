"""Fetches a version: the files that no version here holds, in ranges, gone on with after a break.

Every file is checked against the manifest before it has a place.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import threading
import time
from pathlib import Path

import httpx

from perennial_artifact.durable import sync_folders, write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.manifest import MANIFEST_FILE, File, parse, verify_file
from perennial_client.answers import SMALL_BYTES, Body, here
from perennial_client.cache import Cache
from perennial_client.client import Client
from perennial_client.errors import ModelError, UnavailableError, unusable
from perennial_client.results import Champion
from perennial_client.retries import refusal

_BREAKS = 5
"""Breaks in a row, without a byte between them, after which fetching is given up for now."""
_PATIENCE_S = 30.0
_SLOWEST_BYTES_PER_S = 10_000
"""A download that has lasted for `_PATIENCE_S` and is slower than this is given up for now; what was fetched stays."""
_LONGEST_REFUSAL_S = 30.0
_SPARE_BYTES = 16 << 20
"""What must stay free on the disk."""


def fetch(client: Client, champion: Champion, cache: Cache, stop: threading.Event) -> None:
    """Bring a version into the cache, whole and verified, unless it is there.

    Raises `UnavailableError` when serving cannot be read now (what was fetched stays, and the next attempt continues there),
    `ModelError` when the bytes are wrong, and `OSError` when they cannot be written.
    """
    with cache.fetching(champion, stop) as part:
        if part is None:
            return
        content = client.manifest(champion.version)
        try:
            manifest = parse(content, sha256=champion.manifest_sha256)
        except UnusableError as error:
            raise unusable(error, champion.version) from None
        files = tuple(manifest.files.values())
        if manifest.size_bytes != champion.size_bytes:
            what = f"the files have {manifest.size_bytes} bytes in total, but serving announced {champion.size_bytes}"
            raise ModelError(what, champion.version, "check the proxies between this app and serving")
        try:
            missing = _place_held(part, files, cache)
            _need_room(part, missing)
            for file in missing:
                _fetch_file(client, champion.version, file, part / file.name, stop)
            sync_folders(part)
            write_atomic(part / MANIFEST_FILE, content)
            cache.finish(part, champion)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                # The app needs the room more than a half-fetched model does.
                shutil.rmtree(part, ignore_errors=True)
            raise


def _place_held(part: Path, files: tuple[File, ...], cache: Cache) -> tuple[File, ...]:
    """Put into `part` what a version here holds already, every byte checked; return the files that must be fetched."""
    held = cache.held()
    missing = []
    for file in files:
        path = part / file.name
        known = held.holds(file)
        if known or _has_another_name(path):
            # What an earlier attempt left may be a name of a version's file, into which nothing may be written.
            path.unlink(missing_ok=True)
        if not (known and held.place(file, path)):
            missing.append(file)
    return tuple(missing)


def _need_room(part: Path, files: tuple[File, ...]) -> None:
    missing = sum(max(0, file.size_bytes - _size(part / file.name)) for file in files)
    free = shutil.disk_usage(part).free
    if missing + _SPARE_BYTES > free:
        needed, left = (missing + _SPARE_BYTES) / 2**20, free / 2**20
        raise OSError(errno.ENOSPC, f"No space left: {needed:.1f} MiB are needed and {left:.1f} MiB free; make room", str(part))


def _fetch_file(client: Client, version: str, file: File, path: Path, stop: threading.Event) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    breaks = 0
    while (have := _size(path)) < file.size_bytes:
        try:
            _go_on(client, version, file, path, stop)
        except httpx.HTTPError as error:
            breaks = 1 if _size(path) > have else breaks + 1
            # Every break is a moment to leave, and waiting is one more.
            if breaks == _BREAKS or stop.wait(random.uniform(0, 0.1 * 2**breaks)):  # noqa: S311 - spreads clients
                what = f"the download was interrupted ({type(error).__name__}: {error})"
                where = f"{version}, file {file.name}, byte {_size(path)} of {file.size_bytes}"
                raise UnavailableError(what, where, "the next attempt continues there") from error
    try:
        verify_file(path, file)
    except UnusableError as error:
        path.unlink()
        raise unusable(error, version) from None
    with path.open("rb") as written:
        os.fsync(written.fileno())


def _go_on(client: Client, version: str, file: File, path: Path, stop: threading.Event) -> None:
    """Fetch what is missing of a file, as far as the connection carries. Raises httpx's errors when it carries no further."""
    have, began = _size(path), time.monotonic()
    first = have
    headers = {"Range": f"bytes={have}-", "If-Range": f'"{file.sha256}"'} if have else {}
    with client.file(version, file.name, headers) as response, path.open("r+b") as written:
        if response.status_code not in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            where = f"GET {response.url}"
            body = Body(response, where=where, largest_bytes=SMALL_BYTES, ends=began + _LONGEST_REFUSAL_S)
            for chunk in [response.content] if here(response) else response.iter_raw():
                body.add(chunk)
            raise refusal(body.whole(), where, "the next attempt continues there")
        if response.status_code == httpx.codes.OK or not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            have = first = written.truncate(0)
        if response.status_code == httpx.codes.PARTIAL_CONTENT and not have:
            message = "another range was sent than the one requested"
            raise httpx.RemoteProtocolError(message)
        written.seek(have)
        for chunk in response.iter_raw():
            have += len(chunk)
            if have > file.size_bytes:
                what = f"file {file.name} is longer than the published {file.size_bytes} bytes"
                raise ModelError(what, version, "check the proxies between this app and serving")
            written.write(chunk)
            took_s = time.monotonic() - began
            if took_s > _PATIENCE_S and have - first < took_s * _SLOWEST_BYTES_PER_S:
                # Byte by byte it would never end, without an error.
                what = f"the download is slower than {_SLOWEST_BYTES_PER_S} bytes a second"
                raise UnavailableError(
                    what, f"{version}, file {file.name}, byte {have} of {file.size_bytes}", "check the connection"
                )
            if stop.is_set():
                what = "stopped during the download"
                raise UnavailableError(what, version, "call follow again; the download continues there")
    if have < file.size_bytes:
        message = "the answer ended early"
        raise httpx.RemoteProtocolError(message)


def _has_another_name(path: Path) -> bool:
    try:
        return path.stat().st_nlink > 1
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
