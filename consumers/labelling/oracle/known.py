"""What the oracle's ledger knows of texts, for whoever asks nothing: no lock is taken, so an asking process goes on beside it."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from config.files.sqlite_file import open_file, translated_errors
from consumers.labelling.oracle.ledger import FILE_NAME, FORMAT, SCHEMA

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Known:
    """What one prompt was answered about some texts."""

    prompt: str = ""
    """Its SHA-256; empty where nothing is known."""
    said: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Target by SHA-256 of the text."""
    refused: int = 0
    """Texts whose answers were refused for good."""


def answers_about(data_dir: Path, task: str, text_sha256s: Collection[str]) -> Known:
    """Return what was answered about these texts, by the prompt of the task that was answered last about one of them.

    Answers to two prompts are never mixed: they are two labellers. Raises `RetryError`, `StopError` where the file cannot
    be used.
    """
    path, wanted = data_dir / FILE_NAME, sorted(text_sha256s)
    if not path.exists() or not wanted:
        return Known()
    connection = open_file(path, schema=SCHEMA, format_version=FORMAT)
    try:
        with translated_errors(path):
            prompts = {row[0] for row in connection.execute("SELECT DISTINCT prompt_sha256 FROM calls WHERE task = ?", (task,))}
            found = []
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                sql = (
                    "SELECT prompt_sha256, text_sha256, target, tries, at FROM answers "  # noqa: S608 - marks alone
                    f"WHERE text_sha256 IN ({','.join('?' * len(some))})"
                )
                found += [row for row in connection.execute(sql, some) if row[0] in prompts]
    finally:
        connection.close()
    if not found:
        return Known()
    newest = max(found, key=lambda row: (row[4], row[0]))[0]
    of_prompt = [row for row in found if row[0] == newest]
    said = {text: json.loads(target) for _prompt, text, target, _tries, _at in of_prompt if target is not None}
    return Known(newest, said, refused=len(of_prompt) - len(said))
