"""What licence a base model has, as far as anybody says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from perennial_artifact.description import Description
from registry.reports.model_card import UNKNOWN
from trainers.learners.reading_length import MINILM

MINILM_ID = "sentence-transformers/all-MiniLM-L6-v2"
_README = "README.md"
_FENCE = "---"
_BETWEEN = re.compile(r"[^a-z0-9.]+")
_NOT_WRITTEN = frozenset({"gnu", "licence", "license", "the", "version"})


def base_id(described: Description) -> str:
    """Return the base model as the Hub calls it, where it is there; else as the task file named it."""
    return MINILM_ID if described.base == MINILM else described.base


def licence_of(described: Description, published: Path) -> str:
    """Return the licence of the base of a published model as the Hub writes licences; `UNKNOWN` where nobody names one.

    A packaged base, a folder, and what a hub has sent before tell it without a network: none is asked.
    """
    from_pipeline = _of_pipeline(published) if described.backend == "spacy" else None
    return from_pipeline or _of_base(described.base) or UNKNOWN


def _of_base(base: str) -> str | None:
    from trainers.learners.encoders.bases import source_of  # noqa: PLC0415 - heavy

    if not base:
        return None
    folder = Path(source_of(base))
    if folder.is_dir():
        return _of_readme(folder / _README)
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - heavy
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415 - heavy

    try:
        kept = try_to_load_from_cache(base, _README)
    except HFValidationError:  # no name of a model there
        return None
    return _of_readme(Path(kept)) if isinstance(kept, str) else None


def _of_readme(path: Path) -> str | None:
    """Return the licence that the front matter of a model card names."""
    try:
        first, *parts = path.read_text(encoding="utf-8").split(f"{_FENCE}\n", 2)
        matter = yaml.safe_load(parts[0]) if len(parts) > 1 and not first.strip() else {}
    except (OSError, ValueError, yaml.YAMLError):
        return None
    return _named(matter)


def _of_pipeline(folder: Path) -> str | None:
    try:
        return _named(json.loads((folder / "meta.json").read_bytes()))
    except (OSError, ValueError):
        return None


def _named(content: Any) -> str | None:  # noqa: ANN401 - whatever the file holds
    found = content.get("license") if isinstance(content, dict) else None
    return _as_hubs_write(found) if isinstance(found, str) and found.strip() else None


def _as_hubs_write(licence: str) -> str | None:
    """Return a licence as hubs write it: `CC BY-SA 4.0` is `cc-by-sa-4.0` there, and `GNU GPL 3.0` is `gpl-3.0`."""
    parts = _BETWEEN.split(licence.lower())
    return "-".join(part for part in parts if part and part not in _NOT_WRITTEN) or None
