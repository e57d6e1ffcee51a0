"""Which files make up the buffer at one moment, while its writer continues.

A LanceDB table's version is a manifest that names immutable files; a write adds files and then a manifest. So the newest
manifests of all tables, seen twice the same, are the buffer of the moment in between, just as a kill at that moment would
leave it. Their files stay until the version is both superseded and older than `buffer.keep_versions_hours`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from config.errors import RetryError, StopError
from consumers.buffer import audit as buffer_audit
from consumers.buffer import folder as buffer_folder
from consumers.tables.library import lancedb

_LOOKS = 200
_BETWEEN_LOOKS_S = 0.02
_SMALL_FILES = (buffer_folder.FORMAT_FILE, buffer_folder.HIGHEST_SEQ_FILE, buffer_audit.RESTORED_FILE)
_DATA_SUFFIX = b".lance"


def cut(folder: Path) -> Mapping[str, str]:
    """Return the name of the newest manifest of each table (`NAME.lance`), all of one moment. Raises `RetryError`."""
    seen = _newest_manifests(folder)
    for _ in range(_LOOKS):
        again = _newest_manifests(folder)
        if again == seen:
            return seen
        seen = again
        time.sleep(_BETWEEN_LOOKS_S)
    message = f"the buffer in {folder} is written so often that no consistent copy was possible; it is tried again"
    raise RetryError(message)


def files_of(folder: Path, tables: Mapping[str, str]) -> Iterator[Path]:
    """Yield the files of these tables at these manifests, and the buffer's own small ones. Raises FileNotFoundError."""
    for table, manifest in tables.items():
        path = folder / table / "_versions" / manifest
        content = path.read_bytes()
        yield path
        data = {file.name: file for file in _files_in(folder / table / "data")}
        for name in sorted(_named_in(content, data)):
            yield data[name]
        yield from (file for file in _files_in(folder / table / "_transactions") if file.name.encode() in content)
        # Their names are not in the manifest as text; they are small.
        yield from _files_in(folder / table / "_deletions")
        yield from (file for file in sorted((folder / table / "_indices").rglob("*")) if file.is_file())
    # After the cut: what they hold only ever grows.
    yield from (folder / name for name in _SMALL_FILES if (folder / name).exists())


def count_rows(folder: Path, tables: Mapping[str, str]) -> dict[str, int]:
    """Read a copy: return the rows of each table by its name. Raises `StopError` when a table does not hold what it names."""
    counts = {}
    for table in tables:
        name = table.removesuffix(_DATA_SUFFIX.decode())
        try:
            handle = lancedb.connect(folder).open_table(name)
            column = handle.schema.names[0]
            # Reading a column opens every file of the version: each holds all columns of its rows.
            read = sum(batch.num_rows for batch in handle.search().select([column]).limit(None).to_batches())
            counts[name] = int(handle.count_rows())
        except (RuntimeError, OSError, ValueError) as error:
            message = f"the copy of table {name} cannot be read ({str(error).partition(chr(10))[0][:200]})"
            raise StopError(message) from error
        if read != counts[name]:
            message = f"the copy of table {name} has {read} rows that can be read of {counts[name]}"
            raise StopError(message)
    return counts


def _newest_manifests(folder: Path) -> dict[str, str]:
    newest = {}
    for table in sorted(folder.glob("*.lance")):
        # The number in a manifest's name counts down: the newest sorts first.
        manifests = sorted(path.name for path in (table / "_versions").glob("*.manifest"))
        if manifests:
            newest[table.name] = manifests[0]
    return newest


def _named_in(manifest: bytes, data: Mapping[str, Path]) -> set[str]:
    """Return the data files that a manifest names: it holds their names as they are, after a byte that may look like one more."""
    lengths = {len(name) - len(_DATA_SUFFIX) for name in data}
    named = set()
    at = manifest.find(_DATA_SUFFIX)
    while at >= 0:
        end = at + len(_DATA_SUFFIX)
        named |= {manifest[max(0, at - length) : end].decode("latin-1") for length in lengths}
        at = manifest.find(_DATA_SUFFIX, end)
    return named & data.keys()


def _files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file()) if folder.is_dir() else []
