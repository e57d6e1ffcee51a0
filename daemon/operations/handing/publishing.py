"""A version on the Hugging Face Hub, or on what speaks its language: one commit with all files, and a tag for the version."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from config.errors import RetryError, UserError
from config.files.scratch import scratch_folder
from config.settings import Settings
from daemon.operations.handing import exporting
from registry.reports.model_card import README_FILE
from registry.store import Registry

if TYPE_CHECKING:
    from huggingface_hub import HfApi  # heavy

_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)
_MAIN = "main"
_GIT_ATTRIBUTES = ".gitattributes"
_PAUSES_S = (1.0, 4.0, 15.0)
"""Waits before further attempts; a publication that was cut off goes on where nothing was committed."""
_SERVER_ERROR, _TOO_MANY, _UNAUTHORISED, _FORBIDDEN = 500, 429, 401, 403
_CONFLICT = 409


@dataclass(frozen=True, slots=True)
class Published:
    """What was published, or would be."""

    version: str
    repo: str
    revision: str
    """The tag."""
    format: str
    private: bool
    dry_run: bool
    already: bool
    """The same files were there under the tag: nothing was sent."""
    files: Mapping[str, int]
    """Bytes of each file by its path."""
    card: str
    url: str

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(self.files.values())


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
    _check(name, repo, revision)
    version = registry.versions.get(name)
    if version.affected_at is not None:
        message = f"{name} learnt from texts that have been erased; it is not published. Publish a version that did not"
        raise UserError(message)
    tag = revision or f"v{version.number}"
    with scratch_folder(settings.data_dir / "publishing", "publish-") as scratch:
        folder = scratch / "model"
        as_format = exporting.export(settings, registry, name, folder, as_format=as_format, called=repo).format
        files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
        sizes = {path: file.stat().st_size for path, file in files.items()}
        card = (folder / README_FILE).read_text(encoding="utf-8")
        endpoint = settings.hub.endpoint or _default_endpoint()
        found = Published(
            name, repo, tag, as_format, not public, dry_run, already=False, files=sizes, card=card,
            url=f"{endpoint}/{repo}/tree/{tag}",
        )  # fmt: skip
        if dry_run:
            return found
        token = _token(settings)
        registry.audit.add(
            "publish", actor=actor, reason=f"published as {tag} of {repo} on {endpoint}", task=version.task, subject=name
        )
        hub = _Hub(endpoint, token, repo)
        for pause_s in (*_PAUSES_S, None):
            try:
                with hub.in_words():
                    already, private = hub.take(files, tag, title=name, public=public)
                break
            except RetryError:
                if pause_s is None:
                    raise
                sleep(pause_s)
    return Published(name, repo, tag, as_format, private, dry_run=False, already=already, files=sizes, card=card, url=found.url)


class _Hub:
    """One repository."""

    def __init__(self, endpoint: str, token: str, repo: str) -> None:
        from huggingface_hub import HfApi  # noqa: PLC0415 - heavy
        from huggingface_hub.utils import logging  # noqa: PLC0415 - heavy
        from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415 - heavy

        disable_progress_bars()
        logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the library leaves it without types
        self._repo, self._endpoint = repo, endpoint
        self._api: HfApi = HfApi(endpoint=endpoint, token=token, library_name="perennial")

    def take(self, files: Mapping[str, Path], tag: str, *, title: str, public: bool) -> tuple[bool, bool]:
        """Bring the repository to hold the files under a tag; return whether it did already, and whether it is private."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: PLC0415 - heavy

        private, refs = self._state()
        if private is False and not public:
            message = f"{self._repo} is public, and a model is published privately unless you say --public; nothing was sent"
            raise UserError(message)
        if tag in refs:
            if not (differing := self._differing(files, tag)):
                return True, bool(private)
            message = (
                f"{self._repo} has {tag} already, with other files ({', '.join(sorted(differing)[:3])}); nothing was sent. Name "
                "another tag with --revision"
            )
            raise UserError(message)
        if private is None:
            self._api.create_repo(self._repo, private=not public, exist_ok=True)
            private = not public
        # Files that were committed by an attempt that ended before the tag are not sent again.
        if differing := self._differing(files, _MAIN):
            operations: list[Any] = [
                CommitOperationAdd(path, str(files[path])) if path in files else CommitOperationDelete(path)
                for path in sorted(differing)
            ]
            self._api.create_commit(self._repo, operations, commit_message=f"{title} ({tag})", revision=_MAIN)
        self._api.create_tag(self._repo, tag=tag, revision=_MAIN)
        return False, private

    def _state(self) -> tuple[bool | None, Sequence[str]]:
        """Return whether the repository is private, None where it is not there, and its tags."""
        from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - heavy

        try:
            private = self._api.repo_info(self._repo).private
        except RepositoryNotFoundError as error:
            if error.response.status_code == _UNAUTHORISED:
                raise
            return None, ()
        return bool(private), [one.name for one in self._api.list_repo_refs(self._repo).tags]

    def _differing(self, files: Mapping[str, Path], revision: str) -> set[str]:
        """Return the paths whose content differs from the files, or which one side lacks."""
        from huggingface_hub.errors import RevisionNotFoundError  # noqa: PLC0415 - heavy
        from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415 - heavy
        from huggingface_hub.utils.sha import git_hash, sha_fileobj  # noqa: PLC0415 - heavy

        there: dict[str, Any] = {}
        try:
            listed = list(self._api.list_repo_tree(self._repo, recursive=True, revision=revision))
        except RevisionNotFoundError:
            listed = []  # an empty repository has no commit yet
        for one in listed:
            if isinstance(one, RepoFile) and one.path != _GIT_ATTRIBUTES:
                there[one.path] = one
        found = set(there.keys() ^ files.keys())
        for path in there.keys() & files.keys():
            with files[path].open("rb") as file:
                lfs = there[path].lfs
                same = sha_fileobj(file).hex() == lfs.sha256 if lfs else git_hash(file.read()) == there[path].blob_id
            if not same:
                found.add(path)
        return found

    @contextmanager
    def in_words(self) -> Iterator[None]:
        """Raise `UserError` or `RetryError` for what the client raises; neither shows the token."""
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415 - heavy

        try:
            yield
        except HFValidationError as error:
            message = f"{self._repo!r} is no repository's name: {error}"
            raise UserError(message) from error
        except (OSError, RuntimeError, ValueError, _transport_error()) as error:
            cause = next((one for one in _chain(error) if isinstance(one, HfHubHTTPError)), error)
            status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
            said = str(cause).strip().splitlines() or [type(cause).__name__]
            if status == _UNAUTHORISED:
                message = f"{self._endpoint} does not take the token (401); nothing was sent. Give one that may write: hub.token"
                raise UserError(message) from error
            if status == _FORBIDDEN:
                message = (
                    f"the token may not write to {self._repo} on {self._endpoint} (403); nothing was sent. Name one of yours"
                )
                raise UserError(message) from error
            if status is not None and status < _SERVER_ERROR and status not in (_TOO_MANY, _CONFLICT):
                message = f"{self._endpoint} refuses to take {self._repo} ({status}: {said[-1][:300]}); nothing was published"
                raise UserError(message) from error
            if status is None and isinstance(cause, ValueError):
                message = f"{self._endpoint} does not answer as the Hub does ({said[0][:300]}); nothing was published"
                raise UserError(message) from error
            message = (
                f"{self._endpoint} did not take {self._repo} ({status or type(cause).__name__}: {said[0][:300]}). Run the "
                "command again: what arrived is not sent twice"
            )
            raise RetryError(message) from error


def _transport_error() -> type[Exception]:
    """Return what the Hub's client raises where nobody answers; it has its own HTTP library."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # noqa: PLC0415 - heavy

    found: type[Exception] = HTTPError
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _check(name: str, repo: str, revision: str | None) -> None:
    if not _REPO.fullmatch(repo):
        message = f"{repo!r} is no repository: give it as OWNER/NAME. {name} was not published"
        raise UserError(message)
    if revision is not None and (revision == _MAIN or not _REVISION.fullmatch(revision)):
        message = (
            f"--revision {revision!r} can be no tag: letters, digits, dots, dashes, and not {_MAIN}. {name} was not published"
        )
        raise UserError(message)


def _default_endpoint() -> str:
    from huggingface_hub import constants  # noqa: PLC0415 - heavy

    return str(constants.ENDPOINT)


def _token(settings: Settings) -> str:
    from huggingface_hub import get_token  # noqa: PLC0415 - heavy

    if found := settings.hub.token.get_secret_value() or get_token():
        return found
    message = (
        "there is no token for the hub; nothing was sent. Set PERENNIAL_HUB__TOKEN or HF_TOKEN, or sign in with `hf auth login`"
    )
    raise UserError(message)
