"""An encoder that two models have in common, as links: the bytes of published files are never changed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from perennial_artifact.sentence.layout import is_of_the_encoder


def link_encoder(source: Path, target: Path) -> None:
    """Give the model folder `target` every file of the encoder in `source`; copies where the file system has no links."""
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source)
        if not path.is_file() or not is_of_the_encoder(name.as_posix()):
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(path, target / name)
        except OSError:  # another file system, or one without links
            shutil.copyfile(path, target / name)
