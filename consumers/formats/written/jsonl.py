"""JSON Lines: one object a row, UTF-8; what has no value is left out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from config.tasks import TaskSpec
from consumers.formats.written.columns import schema_of, values_of
from consumers.training_set.labelled import LabelledRow


def write(path: Path, task: TaskSpec, rows: Iterable[LabelledRow]) -> None:
    """Write the rows to a new file. Raises OSError."""
    schema = schema_of(task)
    with path.open("x", encoding="utf-8", newline="\n") as file:
        for row in rows:
            said = {name: value for name, value in values_of(row, schema).items() if value is not None}
            file.write(json.dumps(said | {"time": row.time.isoformat()}, ensure_ascii=False) + "\n")
