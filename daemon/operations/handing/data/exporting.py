"""A task's labelled rows as a file or a folder: all of it is there afterwards, or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from config.errors import UserError
from config.files import durable
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from consumers.erasure.requests import Erasures
from consumers.erasure.tombstones import Tombstones
from consumers.formats.written import docbin, jsonl, parquet
from consumers.training_set.labelled import Counts, LabelledRows, Wanted
from daemon.operations.handing.data import card
from daemon.views import opening
from registry.reports.model_card import README_FILE

FORMATS = ("jsonl", "parquet", "hf", "docbin")
_SUFFIXES: Mapping[str, str] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True, slots=True)
class ExportedData:
    """What was written."""

    task: str
    path: Path
    format: str
    counts: Counts
    size_bytes: int


def export(
    settings: Settings, name: str, path: Path, *, as_format: str | None, wanted: Wanted, called: str | None = None
) -> ExportedData:
    """Write the labelled rows of task `name` to `path`, a new file or folder, in order of time, with bounded memory.

    `as_format`: one of `FORMATS`, by default what the suffix says, or `hf` for a path without one. `called` is how its card names
    it to whoever opens it. Killed at any point it leaves
    nothing but a hidden file beside it, which the next one removes. Raises `UserError` for a task or a format that there is not,
    a path that is there already, a task without rows, and a disk that is full.
    """
    task = task_of(settings, name)
    as_format = _format(path, as_format, task)
    if path.exists() or path.is_symlink():
        message = f"{path} exists already, and nothing was changed; name a file or folder that does not"
        raise UserError(message)
    building = path.with_name(f".{path.name}.writing")
    _remove(building)
    with labelled_rows(settings, task, wanted) as rows:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            counts = write(rows, building, as_format, called=called or path.name)
            durable.sync_tree(building) if building.is_dir() else durable.sync_file(building)
            building.rename(path)
            durable.sync_folder(path.parent)
        except (OSError, pa.ArrowException) as error:
            message = f"{name} could not be written to {path}: {error}. Nothing is left there; make room or name another place"
            raise UserError(message) from error
        finally:
            _remove(building)
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    return ExportedData(name, path, as_format, counts, sum(one.stat().st_size for one in files))


def write(rows: LabelledRows, path: Path, as_format: str, *, called: str) -> Counts:
    """Write rows in a format to a path that is not there. Raises OSError, Arrow's errors, and `UserError` where there is none."""
    counts, task = Counts(), rows.task
    for _row in rows.read(counts):
        pass
    if not counts.rows:
        left = "; ".join(f"{number} {reason}" for reason, number in counts.left_out.items())
        message = f"{task.name} has no row to write{f' ({left})' if left else ''}; label some texts, or import them"
        raise UserError(message)
    labels = sorted(counts.labels)
    if as_format in ("jsonl", "parquet"):
        (jsonl.write if as_format == "jsonl" else parquet.write)(path, task, rows.read())
        return counts
    path.mkdir()
    if as_format == "docbin":
        docbin.write_folder(path, task, rows.read(), labels)
    else:
        parquet.write_folder(path, task, rows.read(), labels)
    (path / README_FILE).write_text(card.readme(task, counts, as_format, called=called), encoding="utf-8")
    return counts


def task_of(settings: Settings, name: str) -> TaskSpec:
    """Return a task by name. Raises `UserError` where there is none."""
    tasks = load_tasks(settings.tasks_folder)
    if name not in tasks:
        message = f"task {name!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    return tasks[name]


@contextmanager
def labelled_rows(settings: Settings, task: TaskSpec, wanted: Wanted) -> Iterator[LabelledRows]:
    """A task's rows at this moment, without what anybody has asked to be erased. Raises `UserError` where nothing has run yet."""
    stones = Tombstones(b"", {})
    if Erasures.exist(settings.data_dir):
        with closing(Erasures(settings.data_dir)) as listed:
            stones = listed.tombstones()
    with opening.buffer(settings) as buffer, buffer.labelled_rows(task, wanted, erased=stones) as rows:
        yield rows


def _format(path: Path, asked: str | None, task: TaskSpec) -> str:
    chosen = asked or _SUFFIXES.get(path.suffix.lower(), "" if path.suffix else "hf")
    if chosen not in FORMATS:
        what = f"--format {asked!r} is not known" if asked else f"the name {path.name} does not show a format"
        message = f"{what}; give --format {', '.join(FORMATS)}, or a name that ends in {', '.join(_SUFFIXES)}"
        raise UserError(message)
    if chosen == "docbin" and not docbin.holds(task):
        message = f"spaCy's files hold labels and entities, and {task.name} is of kind {task.kind}; take jsonl, parquet or hf"
        raise UserError(message)
    return chosen


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
