"""Names of models as strangers may know them: no path of this machine."""

from __future__ import annotations

import re
from pathlib import Path

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+", re.ASCII)
_VERSION = re.compile(r"[\w.-]+/v\d+")


def is_on_a_hub(name: str) -> bool:
    """Return whether a model is called as those on the Hub are: `owner/name`, and no folder here is called so."""
    return _HUB_ID.fullmatch(name) is not None and not Path(name).is_dir()


def known_as(name: str) -> str:
    """Return the name of a model where it is a version's or one of the Hub's; of a path the last part."""
    if is_on_a_hub(name) or _VERSION.fullmatch(name):
        return name
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2]
