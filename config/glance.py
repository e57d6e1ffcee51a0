"""Settings and task names at a glance: read in milliseconds and not validated, for what must not wait, as completion in a shell.

Whatever is wrong here is told by `config.settings` and `config.tasks`; a glance passes over it.
"""

from __future__ import annotations

import os
import re
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

from config.keys import ENV_FILE_VARIABLE, variable_of

_NAME = re.compile(r"^name:[ \t]*[\"']?([^\s\"'#]+)", re.MULTILINE)
_SHIPPED = Path(__file__).with_name("tasks")
_SETTINGS_FILE = "perennial.toml"
_DATA_DIR = "perennial-data"


def setting(key: str, usual: str) -> str:
    """Return the text that a dotted key has in the environment or the settings file, or else `usual`."""
    variable = variable_of(key)
    for name, value in os.environ.items():
        if name.upper() == variable:
            return value
    found: Any = {}
    with suppress(OSError, ValueError):
        found = tomllib.loads(Path(os.environ.get(ENV_FILE_VARIABLE, _SETTINGS_FILE)).read_text(encoding="utf-8"))
    for part in key.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found if isinstance(found, str) else usual


def data_dir() -> Path:
    """Return the data folder in force."""
    return Path(setting("data_dir", _DATA_DIR))


def task_names() -> list[str]:
    """Return the names that the task files in force begin with, sorted; of filter folders, the folders' names."""
    folder = Path(setting("tasks_dir", "") or _SHIPPED)
    found = set()
    for path in folder.glob("*.yaml"):
        with suppress(OSError, ValueError):
            if said := _NAME.search(path.read_text(encoding="utf-8")):
                found.add(said[1])
    found.update(path.parent.name for path in folder.glob("*/config.yaml"))
    return sorted(found)
