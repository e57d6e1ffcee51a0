"""A published model as one that other programs open: an adapter becomes part of the weights."""

from __future__ import annotations

import shutil
from pathlib import Path

from perennial_artifact.apart import ADAPTER_FOLDER, FOUNDATION_FOLDER, has_adapter
from perennial_artifact.description import describe
from perennial_artifact.manifest import MANIFEST_FILE

_TAGGING_FORMAT = "transformers-ner"


def write_merged(folder: Path, target: Path) -> None:
    """Write the model in `folder` into the new folder `target`, an adapter added to the weights; nothing else differs.

    Raises `UnusableError` when the model cannot be read, `ImportError` without the library that an adapter needs, and `OSError`.
    """
    building = target.with_name(f".{target.name}.tmp")
    shutil.rmtree(building, ignore_errors=True)
    apart = (MANIFEST_FILE, ADAPTER_FOLDER, FOUNDATION_FOLDER)
    try:
        shutil.copytree(folder, building, ignore=lambda where, _names: apart if Path(where) == folder else ())
        if has_adapter(folder):
            from transformers import AutoModel, AutoModelForTokenClassification  # noqa: PLC0415 - heavy

            from perennial_artifact.transformer.encoder import load  # noqa: PLC0415 - heavy

            tagging = describe(folder).format == _TAGGING_FORMAT
            model, _tokenizer = load(AutoModelForTokenClassification if tagging else AutoModel, folder, unused="pooler")
            model.save_pretrained(building)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
