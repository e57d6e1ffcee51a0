"""Evidence bundles as they come and go: written when a verdict falls, rows erased, gone with the record of their run."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from pathlib import Path

import pyarrow as pa
import structlog

from config.errors import UserError
from config.files.durable import sync_folder, write_atomic
from registry.evidence import bundle, names
from registry.evidence.bundle import About
from registry.store import Registry

log = structlog.get_logger(__name__)


def keep(registry: Registry, folder: Path, about: About, rows: pa.Table, *, fencing_token: int | None = None) -> Path:
    """Write the bundle of a verdict and record its hash; a repetition after a crash takes its place. Return where it lies."""
    name, content = names.name_of(about.run_id, about.again.look if about.again else 0), bundle.to_bytes(about, rows)
    path = bundle.path_of(folder, name)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A bundle without a record is swept later; a record without its bundle would look like tampering.
    write_atomic(path, content)
    registry.evidence.record(name, _sha256(content), size_bytes=len(content), rows=rows.num_rows, fencing_token=fencing_token)
    return path


def erase(
    registry: Registry, folder: Path, example_ids: Collection[str], *, articles: AbstractSet[str] | None = None,
    fencing_token: int | None = None,
) -> int:  # fmt: skip
    """Take these examples out of every bundle; return out of how many. A bundle that cannot be read goes as a whole.

    Of articles that people were asked about, every one goes that is not among `articles`, those that are stored: an erasure names
    examples alone.
    """
    erased_ids, touched = set(example_ids), 0
    _clear_unfinished(folder)
    for path in sorted(folder.glob(f"*{bundle.SUFFIX}")):
        try:
            known = bundle.ids_in(path).to_pylist()
            gone = erased_ids.intersection(known)
            if articles is not None and names.look_of(bundle.name_in(path)):
                gone |= bundle.asked_in(path) - articles
            if not gone:
                continue
            about, rows = About.of(path), bundle.rows_of(path)
        except UserError as error:
            log.warning("evidence.removed", reason=str(error), next="what it holds cannot be told from what must go")
            path.unlink(missing_ok=True)
            registry.evidence.forget([bundle.name_in(path)], fencing_token=fencing_token)
            touched += 1
            continue
        left = bundle.without(rows, gone)
        erased = about.erased + rows.num_rows - left.num_rows
        content = bundle.to_bytes(about.model_copy(update={"erased": erased}), left)
        # The hash first: killed in between, the next attempt finds the rows still there and does both again.
        registry.evidence.record_erased(
            bundle.name_in(path), _sha256(content), size_bytes=len(content), erased=erased, fencing_token=fencing_token
        )
        write_atomic(path, content)
        touched += 1
    return touched


def remove(registry: Registry, folder: Path, run_ids: Collection[str], *, fencing_token: int | None = None) -> None:
    """Remove the bundles of these runs, and of later looks at their pairs."""
    kept = [name for run_id in run_ids for name in registry.evidence.of_pair(run_id)]
    for name in kept:
        bundle.path_of(folder, name).unlink(missing_ok=True)
    if folder.exists():
        sync_folder(folder)
    registry.evidence.forget(kept, fencing_token=fencing_token)


def sweep(registry: Registry, folder: Path) -> int:
    """Remove what killed processes left, and bundles whose run has no record; return how many files."""
    found = folder.glob(f"*{bundle.SUFFIX}")
    left = [path for path in found if registry.runs.find(names.run_of(bundle.name_in(path))) is None]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left) + _clear_unfinished(folder)


def _clear_unfinished(folder: Path) -> int:
    """Remove what a killed process had begun to write. Only the leader writes here, so what is not its own is nobody's."""
    left = [path for path in folder.glob(f".*{bundle.SUFFIX}.*.tmp") if f".{os.getpid()}." not in path.name]
    for path in left:
        path.unlink(missing_ok=True)
    return len(left)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
