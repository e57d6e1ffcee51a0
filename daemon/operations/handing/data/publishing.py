"""A task's labelled rows as a data set on the Hugging Face Hub, or on what speaks its language."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from config.files.scratch import scratch_folder
from config.settings import Settings
from consumers.training_set.labelled import Counts, Wanted
from daemon.operations.handing import hub
from daemon.operations.handing.data import exporting
from registry.reports.model_card import README_FILE
from registry.store import Registry


@dataclass(frozen=True, slots=True)
class PublishedData:
    """What was published, or would be."""

    task: str
    repo: str
    revision: str | None
    """The tag; None: `main` alone."""
    private: bool
    dry_run: bool
    already: bool
    """The same files were there: nothing was sent."""
    counts: Counts
    files: Mapping[str, int]
    """Bytes of each file by its path."""
    card: str
    url: str

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


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
    with scratch_folder(settings.data_dir / "publishing", "publish-") as scratch:
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
    return PublishedData(name, repo, revision, private, dry_run, already, exported.counts, sizes, card, url)
