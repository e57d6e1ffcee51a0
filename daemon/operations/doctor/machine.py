"""Checks of the machine: Python, libraries, data folder, disk, hardware."""

from __future__ import annotations

import itertools
import sys
import tempfile
from collections.abc import Mapping
from importlib import metadata

from config.errors import PerennialError
from config.files import private
from config.files.durable import free_bytes
from config.settings import Settings
from config.tasks import TaskSpec
from daemon.operations.doctor.finding import Finding

_MIB = 2**20
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)


def python() -> Finding:
    """Look at the version of Python."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    if _OLDEST_PYTHON <= sys.version_info[:2] <= _NEWEST_PYTHON:
        return Finding("python", "ok", version)
    return Finding("python", "problem", version, "install Python 3.11, 3.12 or 3.13 and run `make setup PYTHON=python3.12`")


def libraries() -> Finding:
    """Look for the libraries that this program needs."""
    wrong = []
    for requirement in metadata.requires("perennial") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].split("=")[0].split("<")[0].split(">")[0].strip()
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(name)
    if wrong:
        return Finding("libraries", "problem", f"not installed: {', '.join(wrong)}", "run `make setup`")
    return Finding("libraries", "ok", f"torch {metadata.version('torch')}, transformers {metadata.version('transformers')}, "
                   f"spaCy {metadata.version('spacy')}, LanceDB {metadata.version('lancedb')}")  # fmt: skip


def data_folder(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Look whether the data folder can be written, and by nobody else."""
    folder = settings.data_dir.resolve()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".perennial-doctor-"):
            pass
    except OSError as error:
        remedy = f"give this user the right to write there, or set data_dir to another folder ({error.strerror})"
        return Finding("data folder", "problem", f"{existing} cannot be written", remedy)
    if existing == folder and (open_to_others := list(itertools.islice(private.exposed(folder), 3))):
        found = f"other users have access in {folder}: {', '.join(str(path) for path in open_to_others)}"
        return Finding("data folder", "warning", found, "the daemon removes them at its next start; or run `chmod -R go= FOLDER`")
    return Finding("data folder", "ok", str(folder) if existing == folder else f"{folder} (made at the first run)")


def disk(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Look at the free room on the disk."""
    free_mib = free_bytes(settings.data_dir.resolve()) // _MIB
    limit = settings.ingest.min_free_disk_mib
    if free_mib < limit:
        return Finding("disk", "problem", f"{free_mib} MiB free; ingest pauses below {limit}", "free some space or move data_dir")
    if free_mib < 4 * limit:
        return Finding("disk", "warning", f"{free_mib} MiB free; ingest pauses below {limit}", "free some space soon")
    return Finding("disk", "ok", f"{free_mib} MiB free")


def processor(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    """Look whether the processor that training asks for is there."""
    from trainers import hardware  # noqa: PLC0415 - heavy

    try:
        found = hardware.resolve(settings.training)
    except PerennialError as error:
        return Finding("hardware", "problem", str(error), "set training.device and training.precision to auto")
    return Finding("hardware", "ok", hardware.describe(found))
