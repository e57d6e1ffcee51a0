"""One repository of the Hugging Face Hub, or of what speaks its language: all files in one commit, nothing sent twice."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from config.errors import RetryError, UserError
from config.settings import Settings

if TYPE_CHECKING:
    from huggingface_hub import HfApi  # heavy

Holds = Literal["model", "dataset"]
MAIN = "main"
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][\w.-]{0,99}", re.ASCII)
_GIT_ATTRIBUTES = ".gitattributes"
_PAUSES_S = (1.0, 4.0, 15.0)
"""Waits before further attempts; a publication that was cut off goes on where nothing was committed."""
_SERVER_ERROR, _TOO_MANY, _UNAUTHORISED, _FORBIDDEN = 500, 429, 401, 403
_CONFLICT = 409


def check(name: str, repo: str, revision: str | None) -> None:
    """Refuse, with a `UserError`, what can be no repository or no tag; `name` is what was to be published."""
    if not _REPO.fullmatch(repo):
        message = f"{repo!r} is no repository: give it as OWNER/NAME. {name} was not published"
        raise UserError(message)
    if revision is not None and (revision == MAIN or not _REVISION.fullmatch(revision)):
        message = (
            f"--revision {revision!r} can be no tag: letters, digits, dots, dashes, and not {MAIN}. {name} was not published"
        )
        raise UserError(message)


def endpoint_of(settings: Settings) -> str:
    """Return the address of the hub."""
    from huggingface_hub import constants  # noqa: PLC0415 - heavy

    return settings.hub.endpoint or str(constants.ENDPOINT)


def token_or_none(settings: Settings) -> str | None:
    """Return the token that the settings or the Hub's own client have."""
    from huggingface_hub import get_token  # noqa: PLC0415 - heavy

    return settings.hub.token.get_secret_value() or get_token() or None


def token_of(settings: Settings) -> str:
    """Return the token. Raises `UserError` where there is none."""
    if found := token_or_none(settings):
        return found
    message = (
        "there is no token for the hub; nothing was sent. Set PERENNIAL_HUB__TOKEN or HF_TOKEN, or sign in with `hf auth login`"
    )
    raise UserError(message)


def quieten() -> None:
    """Have the Hub's client print nothing of its own."""
    from huggingface_hub.utils import logging  # noqa: PLC0415 - heavy
    from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415 - heavy

    disable_progress_bars()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the library leaves it without types


class Hub:
    """One repository."""

    def __init__(self, endpoint: str, token: str, repo: str, holds: Holds = "model") -> None:
        from huggingface_hub import HfApi  # noqa: PLC0415 - heavy

        quieten()
        self._repo, self._endpoint, self._holds = repo, endpoint, holds
        self._api: HfApi = HfApi(endpoint=endpoint, token=token, library_name="perennial")

    def send(
        self, files: Mapping[str, Path], tag: str | None, *, title: str, public: bool, sleep: Callable[[float], None] = time.sleep
    ) -> tuple[bool, bool]:
        """Bring the repository to hold the files, under a tag where one is given; try again where the server is in trouble.

        Return whether it did already, and whether it is private. Raises `UserError` and `RetryError`.
        """
        for pause_s in (*_PAUSES_S, None):
            try:
                with self._in_words():
                    return self._take(files, tag, title=title, public=public)
            except RetryError:
                if pause_s is None:
                    raise
                sleep(pause_s)
        raise AssertionError  # the last attempt returns or raises

    def _take(self, files: Mapping[str, Path], tag: str | None, *, title: str, public: bool) -> tuple[bool, bool]:
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: PLC0415 - heavy

        private, refs = self._state()
        if private is False and not public:
            what = "model" if self._holds == "model" else "data set"
            message = f"{self._repo} is public, and a {what} is published privately unless you say --public; nothing was sent"
            raise UserError(message)
        if tag in refs:
            if not (differing := self._differing(files, str(tag))):
                return True, bool(private)
            message = (
                f"{self._repo} has {tag} already, with other files ({', '.join(sorted(differing)[:3])}); nothing was sent. Name "
                "another tag with --revision"
            )
            raise UserError(message)
        if private is None:
            self._api.create_repo(self._repo, private=not public, exist_ok=True, repo_type=self._holds)
            private = not public
        # Files that were committed by an attempt that ended before the tag are not sent again.
        if differing := self._differing(files, MAIN):
            operations: list[Any] = [
                CommitOperationAdd(path, str(files[path])) if path in files else CommitOperationDelete(path)
                for path in sorted(differing)
            ]
            self._api.create_commit(
                self._repo, operations, commit_message=f"{title} ({tag})" if tag else title, revision=MAIN, repo_type=self._holds
            )
        if tag is None:
            return not differing, private
        self._api.create_tag(self._repo, tag=tag, revision=MAIN, repo_type=self._holds)
        return False, private

    def _state(self) -> tuple[bool | None, Sequence[str]]:
        """Return whether the repository is private, None where it is not there, and its tags."""
        from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415 - heavy

        try:
            private = self._api.repo_info(self._repo, repo_type=self._holds).private
        except RepositoryNotFoundError as error:
            if error.response.status_code == _UNAUTHORISED:
                raise
            return None, ()
        refs = self._api.list_repo_refs(self._repo, repo_type=self._holds)
        return bool(private), [one.name for one in refs.tags]

    def _differing(self, files: Mapping[str, Path], revision: str) -> set[str]:
        """Return the paths whose content differs from the files, or which one side lacks."""
        from huggingface_hub.errors import RevisionNotFoundError  # noqa: PLC0415 - heavy
        from huggingface_hub.hf_api import RepoFile  # noqa: PLC0415 - heavy
        from huggingface_hub.utils.sha import git_hash, sha_fileobj  # noqa: PLC0415 - heavy

        there: dict[str, Any] = {}
        try:
            listed = list(self._api.list_repo_tree(self._repo, recursive=True, revision=revision, repo_type=self._holds))
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
    def _in_words(self) -> Iterator[None]:
        """Raise `UserError` or `RetryError` for what the client raises; neither shows the token."""
        from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - heavy

        try:
            yield
        except HFValidationError as error:
            message = f"{self._repo!r} is no repository's name: {error}"
            raise UserError(message) from error
        except (OSError, RuntimeError, ValueError, transport_error()) as error:
            cause, status, said = told(error)
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


def told(error: BaseException) -> tuple[BaseException, int | None, list[str]]:
    """Return what an error of the Hub's client comes from, the status that the server answered (None: none), and its words."""
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415 - heavy

    cause = next((one for one in _chain(error) if isinstance(one, HfHubHTTPError)), error)
    status = cause.response.status_code if isinstance(cause, HfHubHTTPError) else None
    return cause, status, str(cause).strip().splitlines() or [type(cause).__name__]


def transport_error() -> type[Exception]:
    """Return what the Hub's client raises where nobody answers; it has its own HTTP library."""
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # noqa: PLC0415 - heavy

    found: type[Exception] = HTTPError
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
