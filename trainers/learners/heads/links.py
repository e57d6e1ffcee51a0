"""Files that two model folders have in common, as links: their bytes are never changed, only folders of them removed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def link_files(source: Path, target: Path, *, without: Callable[[str], bool]) -> None:
    """Give `target` every file of `source` but those whose name (POSIX, relative) `without` refuses; copies where links fail."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if not path.is_file() or without(name.as_posix()):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, target / name)
