"""Where a store lies: a URI that names a folder of this machine. Every other place is refused by its scheme."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from config.errors import UserError


def folder_of(uri: str | Path, *, what: str) -> Path:
    """Return the folder that `uri` (a path, or `file:///a/path`) names; `what` lies there, in words. Raises `UserError`."""
    if isinstance(uri, Path):
        return uri
    scheme, separator, _ = uri.partition("://")
    if not separator:
        return Path(uri)
    if scheme != "file":
        # The rest of the URI may hold a password.
        message = f"{what} cannot be stored at {scheme}://; this version needs a folder. Give a path, or file:///a/path"
        raise UserError(message)
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        message = f"the URI of {what} names the machine {parts.hostname!r}; write file:///a/path, with three slashes"
        raise UserError(message)
    return Path(unquote(parts.path))
