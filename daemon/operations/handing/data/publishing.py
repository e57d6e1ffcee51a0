"""A task's labelled rows as a data set on the Hugging Face Hub, or on what speaks its language."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from config.settings import Settings
from consumers.training_set.labelled import Counts, Wanted
from daemon.operations.handing import hub
from daemon.operations.handing.data import exporting
from daemon.operations.handing.on_hub import OnHub
from daemon.training import aside
from registry.reports.model_card import README_FILE
from registry.store import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedData(OnHub):
    """Rows that were published, or would be."""

    task: str
    revision: str | None
    """The tag; None: `main` alone."""
    counts: Counts


def publish(
    settings: Settings, registry: Registry, name: str, repo: str, *, wanted: Wanted, public: bool = False, dry_run: bool = False,
    revision: str | None = None, actor: str = "operator", sleep: Callable[[float], None] = time.sleep,
) -> PublishedData:  # fmt: skip
    """Publish the rows of task `name` in a repository (`owner/name`), made where it is missing: private unless `public`.

    `revision`: a tag to keep it under. Files that are there are not sent again. Raises as `publishing.publish` and
    `exporting.export` do.
    """
    hub.check(name, repo, revision)
    task = exporting.task_of(settings, name)
    with aside.copies_folder(settings.runs_dir) as scratch:
        folder = scratch / repo.partition("/")[2]
        exported = exporting.export(settings, task.name, folder, as_format="hf", wanted=wanted, called=repo)
        files = {path.relative_to(exported.path).as_posix(): path for path in sorted(exported.path.rglob("*")) if path.is_file()}
        sizes = {path: file.stat().st_size for path, file in files.items()}
        card = files[README_FILE].read_text(encoding="utf-8")
        endpoint = hub.endpoint_of(settings)
        url = f"{endpoint}/datasets/{repo}/tree/{revision or hub.MAIN}"
        private, already = not public, False
        if not dry_run:
            token = hub.token_of(settings)
            registry.audit.add(
                "data.publish", actor=actor, task=name, subject=repo,
                reason=f"{exported.counts.rows} rows published{f' as {revision}' if revision else ''} on {endpoint}",
            )  # fmt: skip
            repository = hub.Hub(endpoint, token, repo, "dataset")
            already, private = repository.send(files, revision, title=name, public=public, sleep=sleep)
    return PublishedData(
        task=name, repo=repo, revision=revision, private=private, dry_run=dry_run, already=already, counts=exported.counts,
        files=sizes, card=card, url=url,
    )  # fmt: skip
