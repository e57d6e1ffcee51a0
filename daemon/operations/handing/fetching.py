"""A data set of the Hugging Face Hub on this machine: its rows are read from a folder like any other."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from config.errors import RetryError, UserError
from config.settings import Settings
from consumers.formats.files.folder import CARD, SUFFIXES
from consumers.formats.files.open import COMPRESSIONS
from daemon.operations.handing import hub

_SCHEME = "hf://"
_ADDRESS = re.compile(
    r"hf://(?:datasets/)?(?P<repo>[\w.-]+(?:/[\w.-]+)?)(?:@(?P<revision>[^/\s]+))?(?:/(?P<inside>[^\s@]+))?/?", re.ASCII
)
_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND, _TOO_MANY, _SERVER_ERROR = 401, 403, 404, 429, 500


def local(settings: Settings, place: str) -> Path:
    """Return the path that `place` is, or where the rows of `hf://OWNER/NAME[@REVISION][/FOLDER]` lie now.

    They are kept where the Hub's own client keeps what it fetches, and not fetched again. Raises `UserError` for what is no
    address, a data set that is not there or not yours, and one without files of rows; `RetryError` where the hub does not answer.
    """
    if not place.startswith(_SCHEME):
        return Path(place)
    address = _ADDRESS.fullmatch(place)
    if address is None or ".." in (address["inside"] or "").split("/"):
        message = f"{place!r} is no data set: write hf://OWNER/NAME, hf://OWNER/NAME@REVISION or hf://OWNER/NAME/FOLDER"
        raise UserError(message)
    repo, revision = address["repo"], unquote(address["revision"]) if address["revision"] else None
    inside = (address["inside"] or "").strip("/")
    folder = _fetched(settings, repo, revision, inside) / inside
    if not folder.exists():
        where = f" in {inside}" if inside else ""
        message = f"data set {repo} has no file of rows{where} ({', '.join(SUFFIXES)}); nothing was imported"
        raise UserError(message)
    return folder


def _fetched(settings: Settings, repo: str, revision: str | None, inside: str) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - heavy
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - heavy

    hub.quieten()
    endpoint, token = hub.endpoint_of(settings), hub.token_or_none(settings)
    names = [f"*{suffix}{packed}" for suffix in SUFFIXES for packed in ("", *COMPRESSIONS)]
    wanted = [inside, *(f"{inside}/{name}" for name in (*names, CARD))] if inside else [*names, CARD]
    try:
        found = snapshot_download(
            repo, repo_type="dataset", revision=revision, allow_patterns=wanted, endpoint=endpoint, token=token or False,
            library_name="perennial",
        )  # fmt: skip
    except HFValidationError as error:
        message = f"{repo!r} is no data set's name: {error}"
        raise UserError(message) from error
    except (OSError, RuntimeError, ValueError, hub.transport_error()) as error:
        cause, status, said = hub.told(error)
        if status in (_UNAUTHORISED, _FORBIDDEN, _NOT_FOUND):
            at = f" at {revision}" if revision else ""
            message = (
                f"{endpoint} has no data set {repo}{at} that you may read ({status}); nothing was imported. Check the name, and "
                "give a token for a private one: hub.token"
            )
            raise UserError(message) from error
        if status is not None and status < _SERVER_ERROR and status != _TOO_MANY:
            message = f"{endpoint} does not give data set {repo} ({status}: {said[-1][:300]}); nothing was imported"
            raise UserError(message) from error
        message = (
            f"{endpoint} did not give data set {repo} ({status or type(cause).__name__}: {said[0][:300]}). Nothing was imported; "
            "run the command again: what arrived is not fetched twice"
        )
        raise RetryError(message) from error
    return Path(found)
