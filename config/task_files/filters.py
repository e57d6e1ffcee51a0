"""A filter folder, as article filters labelled by a language model are kept, read as a task of kind `regression`.

`config.yaml` names the dimensions with their weights, and the tiers; `prefilter.yaml`, where there is one, holds the rules of
`config.task_files.sections.prefilter`. The prompt beside them is for whoever labels, and is not read. `docs/regression.md` has
the keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from config.errors import UserError

CONFIG_FILE, PREFILTER_FILE = "config.yaml", "prefilter.yaml"
OWN_KEY = "perennial"
"""Keys of a task file that replace what is made of the others."""
_LOW, _HIGH = 0.0, 10.0
"""The scale of such filters."""
_NOT_APPLIED = ("gatekeepers", "content_type_caps", "score_scale_factor")
_DEFAULTS: Mapping[str, Any] = {
    "kind": "regression", "backend": "transformer", "base_model": "minilm", "promotion": {"metric": "mae"},
    "training": {"epochs": 1, "full_epochs": 2, "max_tokens": 256, "max_rows": 100_000},
}  # fmt: skip


def filters_in(folder: Path) -> list[Path]:
    """Return the filter folders directly in a folder, by name."""
    return sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))


def content_of(folder: Path) -> dict[str, Any]:
    """Return a filter folder as the content of a task file. Raises `UserError` naming file, key, and what is wrong."""
    path = folder / CONFIG_FILE
    config = _mapping(_read(path), f"{path}")
    about, scoring = (_mapping(config.get(key), f"{path}: `{key}`") for key in ("filter", "scoring"))
    dimensions = _mapping(scoring.get("dimensions"), f"{path}: `scoring.dimensions`")
    own = _mapping(config.get(OWN_KEY, {}), f"{path}: `{OWN_KEY}`")
    name = re.sub(r"[^a-z0-9]+", "-", str(about.get("name") or folder.name).lower()).strip("-")
    made: dict[str, Any] = {
        **_DEFAULTS,
        "name": name,
        "description": _described(about, scoring, dimensions),
        "dimensions": [_dimension(path, one, said) for one, said in dimensions.items()],
        "tiers": _tiers(path, scoring.get("tiers")),
    }
    if (folder / PREFILTER_FILE).exists() and _mapping(config.get("prefilter", {}), f"{path}: `prefilter`").get("enabled", True):
        made["prefilter"] = _mapping(_read(folder / PREFILTER_FILE), f"{folder / PREFILTER_FILE}")
    return {**made, **own}


def _dimension(path: Path, name: str, said: object) -> dict[str, Any]:
    found = _mapping(said, f"{path}: `scoring.dimensions.{name}`")
    return {"name": name, "low": _LOW, "high": _HIGH, "weight": found.get("weight", 1.0)}


def _tiers(path: Path, said: object) -> dict[str, float]:
    """Return where each tier begins; what lies below the lowest becomes a tier of its own."""
    if said is None:
        return {}
    where = f"{path}: `scoring.tiers`"
    found: dict[str, float] = {}
    for name, tier in _mapping(said, where).items():
        begins = _mapping(tier, f"{where}.{name}").get("threshold")
        if not isinstance(begins, int | float) or isinstance(begins, bool):
            message = f"{where}.{name} needs `threshold:`, the score from which it holds"
            raise UserError(message)
        found[name] = begins
    lowest = min(found, key=found.__getitem__, default=None)
    if lowest is not None and found[lowest] > _LOW:
        found[f"below {lowest}"] = _LOW
    return found


def _described(about: Mapping[str, Any], scoring: Mapping[str, Any], dimensions: Mapping[str, Any]) -> str:
    missing = [key for key in _NOT_APPLIED if scoring.get(key)]
    if any(isinstance(said, Mapping) and said.get("gatekeeper") for said in dimensions.values()):
        missing.append("gatekeeper")
    said = f"{about.get('description', '')} (filter version {about.get('version', 'unknown')})".strip()
    return f"{said}; not applied: {', '.join(dict.fromkeys(missing))}" if missing else said


def _read(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = f"{path} cannot be read as YAML: {error}"
        raise UserError(message) from None


def _mapping(found: object, where: str) -> Mapping[str, Any]:
    if not isinstance(found, Mapping):
        held = "nothing" if found is None else type(found).__name__
        message = f"{where} must be a mapping, as in a filter folder; it holds {held}"
        raise UserError(message)
    return {str(key): value for key, value in found.items()}
