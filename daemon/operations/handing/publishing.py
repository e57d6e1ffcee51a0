"""A version on the Hugging Face Hub, or on what speaks its language: one commit with all files, and a tag for the version."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from config.errors import UserError
from config.settings import Settings
from daemon.operations.handing import exporting, hub
from daemon.operations.handing.on_hub import OnHub
from daemon.training import aside
from registry.reports.model_card import README_FILE
from registry.store import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Published(OnHub):
    """A version that was published, or would be."""

    version: str
    revision: str
    """The tag."""
    format: str


def publish(
    settings: Settings,
    registry: Registry,
    name: str,
    repo: str,
    *,
    as_format: str | None = None,
    public: bool = False,
    dry_run: bool = False,
    revision: str | None = None,
    actor: str = "operator",
    sleep: Callable[[float], None] = time.sleep,
) -> Published:
    """Publish a version in a repository (`owner/name`), which is made, private unless `public`, where it is not there yet.

    `as_format`: by default the plainest that there is for it. `revision` is the tag, by default such as `v3`. The same files
    under the same tag are not sent again. Raises `UserError` for what an operator must mend, `RetryError` where the hub does not
    answer.
    """
    hub.check(name, repo, revision)
    version = registry.versions.get(name)
    if version.affected_at is not None:
        message = f"{name} learnt from texts that have been erased; it is not published. Publish a version that did not"
        raise UserError(message)
    tag = revision or f"v{version.number}"
    with aside.copies_folder(settings.runs_dir) as scratch:
        folder = scratch / "model"
        as_format = exporting.export(settings, registry, name, folder, as_format=as_format, called=repo).format
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        sizes = {path: file.stat().st_size for path, file in files.items()}
        card = (folder / README_FILE).read_text(encoding="utf-8")
        endpoint = hub.endpoint_of(settings)
        found = Published(
            version=name, repo=repo, revision=tag, format=as_format, private=not public, dry_run=dry_run, already=False,
            files=sizes, card=card, url=f"{endpoint}/{repo}/tree/{tag}",
        )  # fmt: skip
        if dry_run:
            return found
        token = hub.token_of(settings)
        registry.audit.add(
            "publish", actor=actor, reason=f"published as {tag} of {repo} on {endpoint}", task=version.task, subject=name
        )
        already, private = hub.Hub(endpoint, token, repo).send(files, tag, title=name, public=public, sleep=sleep)
    return replace(found, private=private, already=already)
