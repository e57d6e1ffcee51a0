"""Writes a task file: a shipped one of its kind, with the keys that differ."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from pydantic import ValidationError

from config.errors import UserError
from config.files.durable import write_atomic
from config.kinds import catalog as kinds
from config.kinds.kind import Measures
from config.settings import SHIPPED_TASKS_DIR
from config.tasks import TaskSpec, load_task, load_tasks

_COMMENT_AT_THE_TOP = re.compile(r"\A(#[^\n]*\n)+")
_ABOUT_LABELS = re.compile(r"^(#[^\n]*\n)+(?=labels:)", re.MULTILINE)
_KIND_COMMENT = re.compile(r"^(kind: [a-z-]+)\s+#.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a task file is to say."""

    name: str
    kind: str
    description: str = ""
    labels: Sequence[str] = ()
    """Labels that are allowed; none: any may join."""
    language: str = "en"
    """Of a spaCy pipeline that starts from nothing."""
    dimensions: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """What is measured, with its range."""


def templates() -> dict[str, Path]:
    """Return the shipped task file of each kind that has one, the default backend's first."""
    found: dict[str, Path] = {}
    for path in (*sorted(SHIPPED_TASKS_DIR.glob("*.yaml")), *sorted(SHIPPED_TASKS_DIR.glob("examples/*.yaml"))):
        found.setdefault(load_task(path).kind, path)
    return {kind.name: found[kind.name] for kind in kinds.every() if kind.name in found}


def measures(kind: str) -> bool:
    """Return whether a task of a kind names dimensions, and no labels."""
    found = kinds.get(kind)
    return isinstance(found, Measures) and found.declares == "dimensions"


def starts_blank(kind: str) -> bool:
    """Return whether a task of a kind starts from an empty pipeline of some language."""
    return load_task(templates()[kind]).base_model.startswith("blank:")


def drafts(numbers: Mapping[str, tuple[float, float]]) -> dict[str, TaskSpec]:
    """Return a task of each kind that lets any label join, and measures these columns: to try a file with."""
    made: dict[str, TaskSpec] = {}
    for kind, path in templates().items():
        task = load_task(path)
        changes: dict[str, object] = {"labels": "open", "label_names": (), "prefilter": None}
        if measures(kind):
            dimensions = [{"name": name, "low": low, "high": high} for name, (low, high) in ranges(numbers).items()]
            changes |= {"dimensions": dimensions, "tiers": {}}
        # Columns whose names can be none of a dimension's are nothing to measure, and no column at all makes no such task.
        with suppress(ValidationError):
            made[kind] = TaskSpec.model_validate({**task.model_dump(), **changes})
    return made


def ranges(numbers: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """Return whole numbers around the numbers of each column."""
    return {
        name: (math.floor(low), math.ceil(high) if high > low else math.floor(low) + 1) for name, (low, high) in numbers.items()
    }


def write(folder: Path, wanted: Wanted) -> Path:
    """Write NAME.yaml into `folder`, which may be new; return its path.

    Raises `UserError` where it is there already, where its name is another task's, or where it would not be valid.
    """
    path = folder / f"{wanted.name}.yaml"
    if path.exists():
        message = f"{path} exists already; choose another name, or change that file"
        raise UserError(message)
    if any(folder.glob("*.yaml")) and wanted.name in load_tasks(folder):
        message = f"a task {wanted.name!r} is defined in {folder} already; choose another name"
        raise UserError(message)
    content = _filled(wanted)
    try:
        TaskSpec.model_validate(yaml.safe_load(content))
    except ValueError as error:
        message = f"the task file would not be valid, and none was written: {error}"
        raise UserError(message) from None
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(path, content.encode())
    return path


def _filled(wanted: Wanted) -> str:
    known = templates()
    if wanted.kind not in known:
        message = f"no task file of kind {wanted.kind!r} is shipped to begin with; choose one of {', '.join(known)}"
        raise UserError(message)
    text = known[wanted.kind].read_text(encoding="utf-8")
    text = _COMMENT_AT_THE_TOP.sub("# Made by `perennial init`; docs/define-a-task.md explains every key.\n", text)
    text = _KIND_COMMENT.sub(r"\1", text)
    text = _put(text, "name", wanted.name)
    text = _put(text, "description", _quoted(wanted.description))
    if measures(wanted.kind):
        lines = (
            f"\n  - {{name: {_quoted(name)}, low: {low:g}, high: {high:g}, weight: 1}}"
            for name, (low, high) in wanted.dimensions.items()
        )
        return _put(_put(text, "tiers", "{}"), "dimensions", "".join(lines))
    text = _ABOUT_LABELS.sub("# open: a new label joins the model once enough rows carry it; closed: it is refused.\n", text)
    text = _put(text, "labels", "closed" if wanted.labels else "open")
    text = _put(
        text, "label_names", "\n" + "\n".join(f"  - {_quoted(name)}" for name in wanted.labels) if wanted.labels else "[]"
    )
    if starts_blank(wanted.kind):
        text = _put(text, "base_model", f"blank:{wanted.language}")
    return text


def _put(text: str, key: str, value: str) -> str:
    """Replace a key of the top level, with all lines that belong to it."""
    space = "" if value.startswith("\n") else " "
    found = re.compile(rf"^{key}:[^\n]*(\n[ \-][^\n]*)*$", re.MULTILINE)
    return found.sub(lambda _: f"{key}:{space}{value}", text, count=1)


def _quoted(value: str) -> str:
    """Return a text as YAML reads it back, on one line."""
    return yaml.safe_dump(value, allow_unicode=True, width=10**9, default_style='"').strip() if value else '""'
