"""Erased texts leave the oracle's ledger: what was said of them, and their hashes. What they cost stays."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from config.files.sqlite_file import open_file, transaction, vacuum
from consumers.labelling.oracle.ledger import FILE_NAME, FORMAT, SCHEMA

_TABLES = ("answers", "calls", "sampled")


def keep_texts(data_dir: Path, text_sha256s: Collection[str]) -> int:
    """Forget all other texts, down to the bytes in the file. Returns how many went; 0 where nobody ever asked.

    Another process may ask meanwhile. Raises `RetryError`, `StopError` where the file cannot be used.
    """
    path = data_dir / FILE_NAME
    if not path.exists():
        return 0
    connection = open_file(path, schema=SCHEMA, format_version=FORMAT)
    try:
        with transaction(connection, path):
            every = " UNION ".join(f"SELECT text_sha256 FROM {table}" for table in _TABLES)  # noqa: S608 - constants
            gone = {sha for (sha,) in connection.execute(every) if sha} - set(text_sha256s)
            of_each = [(sha,) for sha in gone]
            connection.executemany("DELETE FROM answers WHERE text_sha256 = ?", of_each)
            connection.executemany("DELETE FROM sampled WHERE text_sha256 = ?", of_each)
            connection.executemany("UPDATE calls SET text_sha256 = '' WHERE text_sha256 = ?", of_each)
            for number, report in connection.execute("SELECT id, report FROM samples").fetchall() if gone else ():
                told = json.loads(report)
                kept = [one for one in told.get("examples", ()) if one["text_sha256"] not in gone]
                if len(kept) < len(told.get("examples", ())):
                    said = json.dumps(told | {"examples": kept}, ensure_ascii=False)
                    connection.execute("UPDATE samples SET report = ? WHERE id = ?", (said, number))
        if gone:
            vacuum(connection, path)
    finally:
        connection.close()
    return len(gone)
